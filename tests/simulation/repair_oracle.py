# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges repairs by what was really so: promises 5, 6 and 7, and those that hold for every action."""

from __future__ import annotations

from collections import Counter

from ansible_collections.vpnha.aws.plugins.module_utils.model import Ec2View, Repair, RouteKey

from .ec2_model import WORD_LASTS
from .violation import Violation
from .world import World

LAG = 1.3  # seconds after which what is so must be known
FIT = 5.0  # seconds that a gateway must have been fit to count as one that could carry
DARK = 3.0  # seconds after which a site that is down everywhere must be known


class RepairOracle:
    """Watches the repairs of one schedule, over all lives of the monitor."""

    def __init__(self, world: World, coverage: Counter[str]) -> None:
        self.world, self.coverage = world, coverage
        self._steps: dict[str, list[float]] = {}  # as the tags tell: when each was written
        self._rungs: dict[str, set[str]] = {}  # that steps have begun with
        self._tokens: dict[tuple[str, str, int], str] = {}  # gateway, interface, number of steps -> of its launches

    def on_order(self, one: Repair, view: Ec2View | None, sources: dict[RouteKey, str | None], trusted: float) -> None:
        """A repair is ordered by a monitor that has been able to see since ``trusted``."""
        self.coverage["promise 5"] += 1
        self.coverage["promise 7"] += one.mark is not None
        self.coverage[f"repair: {one.rung}"] += 1
        world, now, name = self.world, self.world.now, one.gateway
        if view is None:
            raise Violation(10, f"{name} repaired before EC2 was read")
        self._check_sight(name, trusted)
        if max(view.paused_deployment_until_wall or 0.0, view.paused_gateways.get(name, 0.0)) > world.aws_wall:
            raise Violation(14, f"{name} is paused")
        for site in world.sites:
            since = world.truth.since(("site dark", site))
            if since is not None and now - since > DARK and not world.walled(since):
                raise Violation(4, f"{name} repaired while {site} is down everywhere")
        self._check_worth(one, view, sources)
        self._check_patience(name, view)
        if one.rung in ("terminate", "launch"):
            self._check_replacement(one, view)

    def _check_replacement(self, one: Repair, view: Ec2View) -> None:
        """Last of all, and never two."""
        self.coverage["promise 9"] += 1
        name, instance = one.gateway, view.instances[one.gateway]
        if one.rung == "terminate":
            if not self._rungs.get(name, set()) & {"stop", "power-cut", "start"}:
                raise Violation(6, f"{name} is replaced before stop and start were tried")
            return
        if instance.state != "absent" or not instance.eni_free:
            raise Violation(9, f"{name} gets another instance while it has one ({instance.state})")
        step = len(self._steps.get(name, ())) + (one.mark is not None)
        if one.mark is not None:  # a step of the same number before has not been begun: its tag was not written
            self._tokens[name, one.eni_id, step] = one.token
        token = self._tokens.setdefault((name, one.eni_id, step), one.token)
        if one.token != token:
            raise Violation(9, f"{name} is launched twice in one step, by {token} and by {one.token}")

    def _check_sight(self, name: str, trusted: float) -> None:
        """A monitor that heard nobody, was late or was started counts the time from then on."""
        now, timing = self.world.now, self.world.plan.timing
        if now - trusted < timing.repair_after - 0.01:
            raise Violation(3, f"{name} repaired {now - trusted:.1f} s after the monitor had been paused or started")
        for begin, end in self.world.cut_off():
            if self.world.ec2.all_stopped(begin - WORD_LASTS, end):
                continue  # hearing nobody is no isolation then
            if now - end < timing.repair_after - LAG:
                raise Violation(3, f"{name} repaired {now - end:.1f} s after nobody was heard")

    def _check_worth(self, one: Repair, view: Ec2View, sources: dict[RouteKey, str | None]) -> None:
        world, now, name = self.world, self.world.now, one.gateway
        if not any(end >= now - LAG for _begin, end in world.truth.stretches(("bad host", name), now)):
            raise Violation(5, f"{name} works, and is repaired ({one.rung})")
        for key, route in view.routes.items():
            if name not in (route.gateway, sources.get(key)):
                continue
            site = next(site.name for site in world.plan.sites if key.destination in site.prefixes)
            for other in world.led_to:
                if other != name and self._could_carry(other, site, view):
                    raise Violation(5, f"{key} leads to {name}, which is repaired, and {other} could carry it")
        if name in [route.gateway for route in view.routes.values()]:
            self.coverage["repair with routes in place"] += 1

    def _could_carry(self, gateway: str, site: str, view: Ec2View) -> bool:
        world, now = self.world, self.world.now
        instance = view.instances.get(gateway)  # a managed gateway has none
        if (instance is not None and instance.source_dest_check) or world.said_goodbye(gateway):
            return False
        if world.has(("site not behind peer",), (gateway, site)):
            return False
        # all others stand still by EC2's word: who is cut off meanwhile does not see that a managed one works
        if instance is None and any(end >= now - FIT for _begin, end in world.truth.stretches("isolated", now)):
            return False
        return all(end < now - FIT for _begin, end in world.truth.stretches(("bad", (gateway, site)), now))

    def _check_patience(self, name: str, view: Ec2View) -> None:
        world, now, least = self.world, self.world.now, self.world.plan.timing.repair_after
        if not world.truth.within(("bad host", name), now - LAG, now, least - LAG):
            raise Violation(7, f"{name} repaired although it has not been down for {least:g} s")
        instance = view.instances[name]
        by_ec2 = instance.state != "running" or "impaired" in (instance.system_status, instance.instance_status)
        # what a witness said a moment ago counts, also if it has fallen silent since, or hears the patient again
        deaf = any(end >= now - LAG for _begin, end in world.truth.stretches(("deaf", name), now))
        if not by_ec2 and not deaf and world.on(name):
            raise Violation(7, f"{name} repaired on the monitor's word alone")

    def on_tag(self, one: Repair) -> None:
        """A step's tag has been written."""
        self.coverage["promise 6"] += 1
        now, timing = self.world.now, self.world.plan.timing
        steps = self._steps.setdefault(one.gateway, [])
        if steps and now - steps[-1] < timing.repair_interval - 0.5:
            raise Violation(6, f"{one.gateway}: a step {now - steps[-1]:.1f} s after the last one")
        if len([at for at in steps if now - at < 86400.0]) >= timing.repairs_per_day:
            raise Violation(6, f"{one.gateway}: a step after {len(steps)} steps within a day")
        for other, its in self._steps.items():
            if other == one.gateway or not its or now - its[-1] >= timing.repair_interval - 0.5:
                continue
            bad_since = self.world.truth.since(("bad host", other))
            if bad_since is not None and bad_since <= its[-1]:
                raise Violation(6, f"{one.gateway}: a step while the repair of {other} is under way")
        steps.append(now)
        self._rungs.setdefault(one.gateway, set()).add(one.rung)
