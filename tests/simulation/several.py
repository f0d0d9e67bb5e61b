# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules with two monitors and a lease store: ``python -m tests.simulation.several --schedules N --seed S``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import cast

from ansible_collections.vpnha.aws.plugins.module_utils import decision, lease, owners
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Evidence,
    Repair,
    RepairResult,
    Swap,
    SwapResult,
)
from ansible_collections.vpnha.aws.plugins.module_utils.model import Monitor as MonitorPlace
from ansible_collections.vpnha.aws.plugins.module_utils.state import State
from tests.unit.plugins.module_utils.scenario import deployment

from .faults import Fault
from .oracle import Oracle
from .pool import workers
from .schedule import Monitor, Outcome
from .several_oracle import MemberOracle, SeveralOracle
from .store_model import Client, StoreModel
from .streams import Stream
from .striking import Process, mend, strike
from .violation import Violation
from .workshop import Workshop
from .world import World

FINE, COARSE = 0.05, 0.25  # seconds between two steps
STIR = 12.0  # seconds of full attention after anything happens
FROM, TO = 20.0, 110.0
APPLIES = (0.05, 0.2)

# kind: (weight, what it strikes, how long)
KINDS: dict[str, tuple[int, str, tuple[tuple[float, float], ...]]] = {
    "power off": (8, "gateway", ((2.0, 10.0), (10.0, 40.0))),
    "host hangs": (2, "gateway", ((40.0, 60.0),)),
    "gateway cut off": (2, "gateway", ((0.7, 5.0), (5.0, 30.0))),
    "agent dead": (1, "gateway", ((5.0, 30.0),)),
    "tunnel cut": (3, "tunnel", ((2.0, 30.0),)),
    "site down": (1, "site", ((2.0, 30.0),)),
    "monitor cut from gateway": (3, "sight", ((2.0, 30.0),)),
    "monitor isolated": (2, "monitor", ((1.0, 20.0),)),
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


class Eyes:
    """What one monitor's probes have seen."""

    def __init__(self, gateways: Sequence[str], stream: Callable[[], Stream]) -> None:
        self.hearts = {gateway: stream() for gateway in gateways}
        self.pings = {gateway: stream() for gateway in gateways}
        self.reports: dict[str, object] = {}


class SeveralWorld(World):
    """The world, seen by several monitors, each from its own zone."""

    def __init__(self, plan: Deployment, random: Random, seed: int) -> None:
        number = iter(range(5_000, 10_000))
        names = [gateway.name for gateway in plan.gateways]
        self.places = {monitor.name: monitor.zone for monitor in plan.monitors}
        self.zones = {gateway.name: gateway.zone for gateway in plan.gateways}
        self.eyes = {monitor: Eyes(names, lambda: Stream(seed * 10_000 + next(number), 0.0)) for monitor in self.places}
        self.looking = next(iter(self.places))
        super().__init__(plan, random, seed)

    def through(self, monitor: str) -> None:
        """From now on what is seen is seen by that monitor."""
        self.looking, eyes = monitor, self.eyes[monitor]
        self.hearts, self.pings, self._reports = eyes.hearts, eyes.pings, eyes.reports  # type: ignore[assignment]

    def on(self, gateway: str) -> bool:
        return super().on(gateway) and not self.has(("zone lost",), (self.zones[gateway],))

    def link(self, gateway: str) -> bool:
        me = self.looking
        return (
            super().link(gateway)
            and not self.has(("monitor isolated",), (me,))
            and not self.has(("monitor cut from gateway",), (me, gateway))
            and self._connected(self.places[me], self.zones[gateway])
        )

    def between(self, one: str, other: str) -> bool:
        return super().between(one, other) and self._connected(self.zones[one], self.zones[other])

    def settle(self) -> None:
        for monitor in self.places:
            self.through(monitor)
            super().settle()
        for gateway in self.gateways:
            self.truth.note(("off", gateway), self.now, not self.on(gateway))

    def _connected(self, one: str, other: str) -> bool:
        return one == other or not self.has(("zones cut",))


class Member(Monitor):
    """One of several monitors."""

    def __init__(self, world: SeveralWorld, oracle: MemberOracle, trace: list[str], name: str) -> None:
        self.name, self.store = name, oracle.several.store
        self.evidence: Evidence | None = None
        self._later: list[Callable[[], None]] = []
        self.several = world
        # it has the methods of the other oracle that a monitor calls
        super().__init__(world, cast(Oracle, oracle), trace)

    def _start(self, now: float) -> State:
        self.evidence = None
        self._later.clear()
        self.client = Client(self.store, self)
        return decision.start(self.world.plan, now, seed=self.life, monitor=self.name)

    def start_again(self) -> None:
        self.several.through(self.name)
        self.paused_at = None
        super().start_again()

    def end(self, release: bool) -> None:
        """The process ends, with or without warning."""
        if self.running and release and self.paused_at is None and not self.store.cut(self.name):
            self.client.release()
        self.running = False
        self.life += 1

    def pause(self) -> None:
        if self.paused_at is None:
            super().pause()

    def resume(self) -> None:
        self.several.through(self.name)
        super().resume()
        later, self._later = self._later, []
        for do in later:
            do()

    def awake(self, do: Callable[[], None]) -> None:
        """Do it now, or when the process goes on."""
        if self.paused_at is None:
            do()
        else:
            self._later.append(do)

    def step(self) -> None:
        self.several.through(self.name)
        super().step()
        if self.evidence is not None:
            cast(MemberOracle, self.oracle).several.on_lease(self.name, self.evidence.store.lease_age)
        self.client.tick(self.evidence)

    def _evidence(self, results: tuple[SwapResult, ...], repaired: tuple[RepairResult, ...]) -> Evidence:
        now, client = self.world.now, self.client
        self.evidence = replace(
            super()._evidence(results, repaired),
            vetoes=lease.vetoes(client.heard, now),
            store=lease.view(client.lease, client.heard, client.read_at, now),
        )
        return self.evidence

    def _order(self, swap: Swap) -> None:
        """Nothing is begun after the deadline, as by the actuator; but a call may be late after its last look at it."""
        self.swaps += 1
        world, life, now = self.world, self.life, self.world.now
        age = self.evidence.store.lease_age if self.evidence is not None else None
        left = lease.SECONDS - owners.LEAST - (age or 0.0) if swap.by_lease else owners.OWNER_SILENCE
        deadline = now + min(left, owners.OWNER_SILENCE)

        def answer(result: SwapResult) -> None:
            if life == self.life:
                self.results.append(result)

        def call() -> None:
            if life != self.life and world.random.random() < 0.5:
                return  # it was killed before it
            if world.now > deadline and world.random.random() < 0.5:
                answer(SwapResult(swap, accepted=False, error="deadline"))
                return
            member = cast(MemberOracle, self.oracle)
            assert self.actuator is not None
            result, seconds = self.actuator.swap(swap)
            member.several.on_call(self.name, swap, result, late=world.now > deadline)
            world.at(world.now + seconds + world.random.uniform(0.05, 0.4), lambda: answer(result))

        world.at(now + world.random.uniform(*APPLIES), lambda: self.awake(call))

    def _repair(self, one: Repair) -> None:
        world, life, claim = self.world, self.life, self.client.claim

        def answer(result: RepairResult) -> None:
            if life == self.life:
                self.repair_results.append(result)

        def call() -> None:
            if life != self.life:
                return
            if self.store.cut(self.name) or self.store.claim != claim:
                result, seconds = RepairResult(one, marked=False, accepted=False, error="claimed"), 0.0
            else:
                self.store.claim = self.store.number()
                result, seconds = self.carry_out(one)
            world.at(world.now + seconds + world.random.uniform(0.05, 0.4), lambda: answer(result))

        world.at(world.now + world.random.uniform(*APPLIES), lambda: self.awake(call))


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
        last = max(fault.end for fault in self.faults) + 20.0
        some = next(iter(self.members.values()))
        assert some.workshop is not None
        world.at(last + 1.0, some.workshop.inspect)
        try:
            while world.now < last + world.plan.timing.hold_down_max + 60.0:
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


def outcomes(seeds: range, jobs: int) -> Iterator[Outcome]:
    """The schedules' outcomes, in the seeds' order."""
    if jobs <= 1:
        yield from map(run, seeds)
        return
    with workers(jobs) as pool:
        yield from pool.map(run, seeds, chunksize=10)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.several", description=__doc__)
    parser.add_argument("--schedules", type=int, default=500, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print what happens in each schedule")
    chosen = parser.parse_args(arguments)
    coverage: Counter[str] = Counter()
    failed = 0
    for outcome in outcomes(range(chosen.seed, chosen.seed + chosen.schedules), chosen.jobs):
        coverage.update(outcome.coverage)
        if chosen.verbose:
            print(*outcome.trace, sep="\n")
        if outcome.violation:
            failed += 1
            print(f"seed {outcome.seed}: {outcome.violation}", *outcome.faults, sep="\n    ")
    print(*(f"{what}: {times}" for what, times in sorted(coverage.items())), sep="\n")
    print(f"{chosen.schedules} schedules with two monitors, {failed} violations")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
