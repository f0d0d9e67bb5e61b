# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 as far as the monitor sees it: routes and instances, read late or stale, written with or without an answer."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ansible_collections.vpnha.aws.plugins.module_utils import tags
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Ec2View,
    Instance,
    Route,
    RouteKey,
)

WORD_LASTS = 15.0  # seconds that EC2's word on an instance is believed after it has changed: a stale read, and its wait
WALL = 1_700_000_000.0
POWERED = ("pending", "running")  # states in which EC2 calls routes to an instance active


class Ec2Model:
    """The truth, its history, and the ways in which it is shown wrongly."""

    def __init__(self, plan: Deployment, random: Random) -> None:
        self._random = random
        self.plan = plan
        routes: dict[RouteKey, Route] = {}
        for zone, name in ((zone, gateway.name) for gateway in plan.gateways for zone in gateway.home_zones):
            for site in plan.sites:
                for prefix in site.prefixes:
                    key = RouteKey(f"rtb-{zone}", prefix)
                    routes[key] = Route(key, zone, f"eni-{name}", name, f"eni-{name}")
        instances = {g.name: Instance(g.name, f"i-{g.name}", f"eni-{g.name}", "running") for g in plan.gateways}
        self.impaired: set[str] = set()  # gateways whose status check fails
        self.full = False  # no capacity for another instance that runs
        self.launched: set[str] = set()  # the tokens of launches
        self.truth = Ec2View(routes, instances, managed={one.name: one.vpn_gateway for one in plan.managed_gateways})
        self._history = [(0.0, self.truth)]
        # faults of the API itself, switched by the schedule
        self.stale = 0.0  # reads show a state up to this old, each another
        self.reads_fail = False
        self.writes: str = ""  # "", "throttle", "error", "timeout, applied", "timeout, not applied", "mixed"

    def change(self, now: float, **changes: object) -> None:
        """The truth changes."""
        truth = replace(self.truth, **changes)  # type: ignore[arg-type]
        truth = replace(truth, instances={name: self._checked(one) for name, one in truth.instances.items()})
        self.truth = replace(truth, routes=_with_states(truth))
        self._history.append((now, self.truth))

    def change_instance(self, now: float, name: str, **changes: object) -> None:
        """A gateway's instance changes."""
        changed = replace(self.truth.instances[name], **changes)  # type: ignore[arg-type]
        self.change(now, instances={**self.truth.instances, name: changed})

    def impair(self, now: float, name: str, fails: bool) -> None:
        """A gateway's status check begins to fail, or passes again."""
        (self.impaired.add if fails else self.impaired.discard)(name)
        self.change(now)

    def _checked(self, one: Instance) -> Instance:
        """An instance with what its status checks say, which is nothing unless it runs."""
        running = "ok" if one.state == "running" else "not-applicable"
        system = "impaired" if running == "ok" and one.gateway in self.impaired else running
        if (one.system_status, one.instance_status) == (system, running):
            return one
        return replace(one, system_status=system, instance_status=running)

    def point(self, now: float, key: RouteKey, eni_id: str | None) -> None:
        """A route is made to point at an interface, or at something that is none."""
        owner = {instance.eni_id: name for name, instance in self.truth.instances.items()}.get(eni_id)
        self._lead(now, key, eni_id, owner, eni_id or "igw-1")

    def point_managed(self, now: float, key: RouteKey, vpn_gateway: str) -> None:
        """A route is made to point at a virtual private gateway."""
        owner = {its: name for name, its in self.truth.managed.items()}.get(vpn_gateway)
        self._lead(now, key, None, owner, vpn_gateway)

    def _lead(self, now: float, key: RouteKey, eni_id: str | None, gateway: str | None, target: str) -> None:
        route = replace(self.truth.routes[key], eni_id=eni_id, gateway=gateway, target=target, blackhole=False)
        self.change(now, routes={**self.truth.routes, key: route})

    def delete_route(self, now: float, key: RouteKey) -> None:
        """A route is deleted."""
        routes = {other: route for other, route in self.truth.routes.items() if other != key}
        self.change(now, routes=routes, missing_routes=self.truth.missing_routes | {key})

    def renew(self, now: float, name: str) -> None:
        """A gateway's interface is replaced: routes to the old one are blackholes that no gateway owns."""
        old = self.truth.instances[name].eni_id
        self.change_instance(now, name, eni_id=f"{old}+")
        routes = {
            key: replace(route, gateway=None, blackhole=True) if route.eni_id == old else route
            for key, route in self.truth.routes.items()
        }
        self.change(now, routes=routes)

    def read(self, now: float) -> Ec2View | None:
        """What a read that begins now will show; None if it fails."""
        if self.reads_fail:
            return None
        if not self.stale:
            return self.truth
        then = now - self._random.uniform(0.0, self.stale)
        shown = self._history[0][1]
        for at, view in self._history:
            if at > then:
                break
            shown = view
        return shown

    def weather(self) -> str:
        """What becomes of a call that changes something: as ``writes``, one of them where they are mixed."""
        if self.writes != "mixed":
            return self.writes
        return self._random.choice(("", "throttle", "error", "timeout, applied", "timeout, not applied"))

    def all_stopped(self, begin: float, end: float) -> bool:
        """Whether each instance stood still at some moment of that time: reads may show moments side by side."""
        still, stopped = ("stopping", "stopped", "shutting-down"), set()
        for n, (at, view) in enumerate(self._history):
            until = self._history[n + 1][0] if n + 1 < len(self._history) else end
            if at <= end and until >= begin:
                stopped |= {
                    name
                    for name, one in view.instances.items()
                    if one.state in still or (one.state == "absent" and one.eni_free)
                }
        return stopped >= set(self.truth.instances)

    def mark_repair(self, now: float, eni_id: str, value: str) -> None:
        """The tag that tells of a gateway's repairs is written."""
        [name] = [name for name, one in self.truth.instances.items() if one.eni_id == eni_id]
        self.change(now, repairs={**self.truth.repairs, name: tags.parse_repair(value)})

    def gateway_of(self, key: RouteKey) -> str | None:
        """The gateway that a route really leads to."""
        route = self.truth.routes.get(key)
        return route.gateway if route is not None else None


def _with_states(view: Ec2View) -> dict[RouteKey, Route]:
    """The routes, each a blackhole if the instance that it leads to is off."""
    off = {one.eni_id: one.state not in POWERED for one in view.instances.values() if one.eni_id}
    return {
        key: replace(route, blackhole=off[route.eni_id])
        if route.eni_id in off and off[route.eni_id] != route.blackhole
        else route
        for key, route in view.routes.items()
    }
