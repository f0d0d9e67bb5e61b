# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 as far as the monitor sees it: routes and instances, read late or stale, written with or without an answer."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Ec2View,
    Instance,
    Repair,
    Route,
    RouteKey,
    Swap,
    SwapResult,
)

WALL = 1_700_000_000.0


class Ec2Model:
    """The truth, its history, and the ways in which it is shown wrongly."""

    def __init__(self, plan: Deployment, random: Random) -> None:
        self._random = random
        self.plan = plan
        routes: dict[RouteKey, Route] = {}
        for gateway in plan.gateways:
            for site in plan.sites:
                for prefix in site.prefixes:
                    key = RouteKey(f"rtb-{gateway.zone}", prefix)
                    routes[key] = Route(key, gateway.zone, f"eni-{gateway.name}", gateway.name, f"eni-{gateway.name}")
        instances = {g.name: Instance(g.name, f"i-{g.name}", f"eni-{g.name}", "running") for g in plan.gateways}
        self.truth = Ec2View(routes, instances)
        self._history = [(0.0, self.truth)]
        # faults of the API itself, switched by the schedule
        self.stale = 0.0  # reads show a state up to this old, each another
        self.reads_fail = False
        self.writes: str = ""  # "", "throttle", "error", "timeout, applied", "timeout, not applied", "mixed"
        self.written: list[tuple[float, Swap]] = []  # what was really applied

    def change(self, now: float, **changes: object) -> None:
        """The truth changes."""
        self.truth = replace(self.truth, **changes)  # type: ignore[arg-type]
        self._history.append((now, self.truth))

    def change_instance(self, now: float, name: str, **changes: object) -> None:
        """A gateway's instance changes."""
        changed = replace(self.truth.instances[name], **changes)  # type: ignore[arg-type]
        self.change(now, instances={**self.truth.instances, name: changed})

    def point(self, now: float, key: RouteKey, eni_id: str | None) -> None:
        """A route is made to point at an interface, or at something that is none."""
        owner = {instance.eni_id: name for name, instance in self.truth.instances.items()}.get(eni_id)
        route = replace(self.truth.routes[key], eni_id=eni_id, gateway=owner, target=eni_id or "igw-1", blackhole=False)
        self.change(now, routes={**self.truth.routes, key: route})

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

    def swap(self, now: float, swap: Swap) -> SwapResult:
        """A call of ReplaceRoute, and what its caller learns of it."""
        mode = self.writes
        if mode == "mixed":
            mode = self._random.choice(("", "throttle", "error", "timeout, applied", "timeout, not applied"))
        if mode == "throttle":
            return SwapResult(swap, accepted=False, error="RequestLimitExceeded")
        if mode == "error":
            return SwapResult(swap, accepted=False, error="InternalError")
        known = swap.eni_id in {instance.eni_id for instance in self.truth.instances.values()}
        if swap.key not in self.truth.routes or not known:
            return SwapResult(swap, accepted=False, error="InvalidParameterValue")
        if mode == "timeout, not applied":
            return SwapResult(swap, accepted=None, error="timeout")
        self.point(now, swap.key, swap.eni_id)
        self.written.append((now, swap))
        if mode == "timeout, applied":
            return SwapResult(swap, accepted=None, error="timeout")
        accepted = None if self.stale and self._random.random() < 0.5 else True
        return SwapResult(swap, accepted=accepted, milliseconds=200.0)

    def all_stopped(self, begin: float, end: float) -> bool:
        """Whether no instance ran at some moment of that time."""
        for n, (at, view) in enumerate(self._history):
            until = self._history[n + 1][0] if n + 1 < len(self._history) else end
            still = ("stopping", "stopped", "shutting-down")
            stopped = all(
                one.state in still or (one.state == "absent" and one.eni_free) for one in view.instances.values()
            )
            if stopped and at <= end and until >= begin:
                return True
        return False

    def tag(self, now: float, one: Repair) -> str:
        """The call that writes a repair's tag; an error's code if its caller learns of one."""
        mode = self.writes
        if mode == "mixed":
            mode = self._random.choice(("", "throttle", "error", "timeout, applied", "timeout, not applied"))
        if mode in ("", "timeout, applied") and one.mark is not None:
            self.change(now, repairs={**self.truth.repairs, one.gateway: one.mark})
        return {"": "", "throttle": "RequestLimitExceeded", "error": "InternalError"}.get(mode, "timeout")

    def gateway_of(self, key: RouteKey) -> str | None:
        """The gateway that a route really leads to."""
        route = self.truth.routes.get(key)
        return route.gateway if route is not None else None
