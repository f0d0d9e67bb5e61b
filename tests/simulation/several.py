# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules with two monitors and a lease store: ``python -m tests.simulation --two-monitors``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import cast

from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Swap
from ansible_collections.vpnha.aws.plugins.module_utils.model import Monitor as MonitorPlace
from tests.unit.plugins.module_utils.scenario import deployment

from .faults import Fault
from .schedule import Outcome
from .several_members import APPLIES, Member, SeveralWorld
from .several_oracle import MemberOracle, SeveralOracle
from .store_model import StoreModel
from .striking import Process, mend, strike
from .violation import Violation
from .workshop import Workshop

FINE, COARSE = 0.05, 0.25  # seconds between two steps
STIR = 12.0  # seconds of full attention after anything happens
FROM, TO = 20.0, 110.0

# kind: (weight, what it strikes, how long)
KINDS: dict[str, tuple[int, str, tuple[tuple[float, float], ...]]] = {
    "power off": (8, "gateway", ((2.0, 10.0), (10.0, 40.0))),
    "host hangs": (2, "gateway", ((40.0, 60.0),)),
    "gateway cut off": (2, "gateway", ((0.7, 5.0), (5.0, 30.0))),
    "agent dead": (1, "gateway", ((5.0, 30.0),)),
    "tunnel cut": (3, "tunnel", ((2.0, 30.0),)),
    "site down": (1, "site", ((2.0, 30.0),)),
    "monitor cut from gateway": (3, "sight", ((2.0, 30.0),)),
    "monitor isolated": (2, "monitor", ((1.0, 20.0), (40.0, 60.0))),
    "monitor paused": (6, "monitor", ((0.3, 2.0), (10.0, 20.0))),
    "monitor killed": (4, "monitor", ((1.0, 30.0),)),
    "monitor stopped": (2, "monitor", ((1.0, 30.0),)),
    "monitor is to be paused in a swap": (3, "monitor", ((30.0, 60.0),)),
    "monitor is to be killed in a swap": (2, "monitor", ((30.0, 60.0),)),
    "zones cut": (5, "all", ((2.0, 10.0), (10.0, 30.0))),
    "zone lost": (3, "zone", ((10.0, 40.0),)),
    "store cut": (5, "monitor", ((1.0, 8.0), (8.0, 40.0))),
    "store cut from all": (4, "all", ((1.0, 8.0), (8.0, 40.0))),
    "store slow": (2, "all", ((10.0, 40.0),)),
    "store loses answers": (3, "all", ((10.0, 40.0),)),
    "writes fail now and then": (2, "all", ((5.0, 30.0),)),
    "writes time out, applied": (1, "all", ((5.0, 30.0),)),
    "reads stale": (1, "all", ((5.0, 30.0),)),
    "reads fail": (1, "all", ((5.0, 20.0),)),
}
TRAPS = {"monitor is to be paused in a swap": "monitor paused", "monitor is to be killed in a swap": "monitor killed"}
ENDED = ("monitor killed", "monitor stopped", "zone lost")


def plan_for(random: Random) -> Deployment:
    """Two or three zones, and a monitor in each of the first two."""
    hold = random.choice((2.0, 5.0))
    plan = deployment(
        random.choice(("ab", "ab", "abc")),
        random.choice(("bgp", "static")),
        hold_down=hold,
        hold_down_max=2 * hold,
        voluntary_delay=10.0,
        repair_after=15.0,
        repair_interval=40.0,
    )
    monitors = (MonitorPlace("mon-a", "zone-a", "10.20.0.20"), MonitorPlace("mon-b", "zone-b", "10.20.1.20"))
    return replace(plan, monitors=monitors, repair="restart")


def draw(plan: Deployment, random: Random, only: Sequence[str] = ()) -> list[Fault]:
    """A few episodes, in each of which several things go wrong within seconds: any, or each of ``only`` once."""
    weights = [weight for weight, _scope, _durations in KINDS.values()]
    faults: list[Fault] = []
    for _ in range(random.randint(1, 2)):
        begin = random.uniform(FROM, TO)
        for kind in only or random.choices(list(KINDS), weights, k=random.randint(1, 4)):
            low, high = random.choice(KINDS[kind][2])
            start = begin + random.uniform(0.0, random.choice((1.0, 8.0)))
            where = _where(plan, random, KINDS[kind][1])
            faults.append(Fault(kind, where, start, start + random.uniform(low, high)))
    return sorted(faults, key=lambda fault: fault.start)


def _where(plan: Deployment, random: Random, scope: str) -> tuple[str, ...]:
    gateway, monitor = random.choice(plan.gateways).name, random.choice(plan.monitors).name
    site, zone = random.choice(plan.sites).name, random.choice(plan.zones).name
    places = {
        "gateway": (gateway,), "monitor": (monitor,), "sight": (monitor, gateway), "tunnel": (gateway, site),
        "site": (site,), "zone": (zone,), "all": (),
    }  # fmt: skip
    return places[scope]


class Several:
    """One schedule."""

    def __init__(self, seed: int, only: Sequence[str] = ()) -> None:
        random = Random(seed)
        plan = plan_for(random)
        self.world = SeveralWorld(plan, random, seed)
        self.faults = draw(plan, random, only)
        self.outcome = Outcome(seed, faults=[str(fault) for fault in self.faults])
        self.oracle = SeveralOracle(self.world, self.faults, StoreModel(self.world))
        names = [monitor.name for monitor in plan.monitors]
        self.members = {
            name: Member(self.world, MemberOracle(self.oracle, name), self.outcome.trace, name) for name in names
        }
        self.oracle.members = dict(self.members)
        self.oracle.ordered = self._ordered
        self._trapped: set[tuple[str, str]] = set()
        self.until = 3.0
        for member in self.members.values():
            member.equip(Workshop(self.world, member.oracle, self._mend))
        for fault in self.faults:
            self.world.at(fault.start, self._beginning(fault))
            self.world.at(fault.end, self._ending(fault))

    def play(self) -> Outcome:
        """To its end or to the first broken promise."""
        world, outcome = self.world, self.outcome
        world.at(self._last + 1.0, self._inspect)
        try:
            while world.now < self._last + world.plan.timing.hold_down_max + 60.0:
                busy = world.now < self.until or any(member.busy for member in self.members.values())
                world.advance(world.now + (FINE if busy else COARSE))
                for member in self.members.values():
                    if member.able:
                        member.step()
                self.oracle.on_step()
            self.oracle.at_end()
        except Violation as violation:
            outcome.violation, outcome.promise = str(violation), violation.number
            outcome.trace.append(f"{world.now:9.2f} VIOLATION {violation}")
        outcome.steps = sum(member.steps for member in self.members.values())
        outcome.swaps = sum(member.swaps for member in self.members.values())
        outcome.virtual_seconds = world.now
        outcome.coverage.update(self.oracle.coverage)
        outcome.coverage.update(fault.kind for fault in self.faults)
        outcome.coverage["lease taken over"] = self.oracle.store.taken
        return outcome

    @property
    def _last(self) -> float:
        """When all has been well for a while, by the faults that there are so far."""
        return max(fault.end for fault in self.faults) + 20.0

    def _inspect(self) -> None:
        some = next(iter(self.members.values()))
        assert some.workshop is not None
        some.workshop.inspect()

    def _ordered(self, monitor: str, swap: Swap) -> None:
        """A monitor has ordered a swap, and may be waited for to do just that; its target may die meanwhile."""
        random, now = self.world.random, self.world.now
        for trap, kind in TRAPS.items():
            if not self.world.has((trap,), (monitor,)) or (trap, monitor) in self._trapped:
                continue
            self._trapped.add((trap, monitor))
            at = now + random.uniform(0.01, APPLIES[1])
            self._add(Fault(kind, (monitor,), at, at + random.uniform(10.0, 18.0)))
            if random.random() < 0.5:
                self._add(Fault("power off", (swap.gateway,), at + random.uniform(3.0, 8.0), at + 25.0))

    def _add(self, fault: Fault) -> None:
        self.faults.append(fault)
        self.outcome.coverage[fault.kind] += 1
        self.world.at(fault.start, self._beginning(fault))
        self.world.at(fault.end, self._ending(fault))
        self.world.at(self._last + 1.0, self._inspect)

    def _stir(self) -> None:
        self.until = max(self.until, self.world.now + STIR)

    def _members_of(self, fault: Fault) -> list[Member]:
        if fault.kind == "zone lost":
            return [member for name, member in self.members.items() if self.world.places[name] == fault.where[0]]
        return [self.members[fault.where[0]]] if fault.kind.startswith("monitor ") else []

    def _beginning(self, fault: Fault) -> Callable[[], None]:
        def begin() -> None:
            self.outcome.trace.append(f"{self.world.now:9.2f} FAULT {fault}")
            self._stir()
            self.world.begin(fault)
            for member in self._members_of(fault):
                if fault.kind == "monitor paused":
                    member.pause()
                elif fault.kind in ENDED:
                    member.end(release=fault.kind == "monitor stopped")
            if not fault.kind.startswith("monitor "):
                strike(self.world, cast(Process, None), fault)

        return begin

    def _ending(self, fault: Fault) -> Callable[[], None]:
        return lambda: self._mend(fault) if fault in self.world.faults else None

    def _mend(self, fault: Fault) -> None:
        world = self.world
        self.outcome.trace.append(f"{world.now:9.2f} MENDED {fault.kind} {'/'.join(fault.where)}")
        self._stir()
        world.end(fault)
        for member in self._members_of(fault):
            place, me = (world.places[member.name],), (member.name,)
            if fault.kind == "monitor paused" and not world.has((fault.kind,), me) and member.running:
                member.resume()
            gone = world.has(("monitor killed", "monitor stopped"), me) or world.has(("zone lost",), place)
            if fault.kind in ENDED and not gone and not member.running:
                member.start_again()
                if world.has(("monitor paused",), me):
                    member.pause()
        if not fault.kind.startswith("monitor "):
            mend(world, cast(Process, None), fault)


def run(seed: int, only: Sequence[str] = ()) -> Outcome:
    """Play a schedule. ``only``: these kinds of faults."""
    return Several(seed, only).play()
