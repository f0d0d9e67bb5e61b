# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One schedule: a world, its faults and a monitor with the real judge, decision and actuator, on a virtual clock."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from ansible_collections.vpnha.aws.plugins.module_utils import decision
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Ec2View,
    Evidence,
    Note,
    ReadEc2,
    Repair,
    RepairResult,
    RouteKey,
    Swap,
    SwapResult,
)
from ansible_collections.vpnha.aws.plugins.module_utils.state import State
from tests.unit.plugins.module_utils.scenario import deployment, with_managed
from vpnha_monitor import repairing

from .actuating import Actuator
from .faults import HOUR, LASTING, MANAGED, REPLACED, Fault, draw, draw_day, draw_lasting, draw_managed
from .oracle import Oracle
from .striking import mend, strike
from .violation import Violation
from .workshop import Workshop
from .world import World

TICK = 0.05
STIR, DAY_STIR = 2.2, 1.2  # seconds of full attention after anything happens, and in a schedule of a day
FAULTS_FROM, FAULTS_TO = 30.0, 540.0
REPAIR_AFTER, REPAIR_INTERVAL = 20.0, 150.0  # seconds: schedules are short
EVERY_SEVENTH = 7  # has a managed gateway as its last resort
MANAGED_WINDOW = 2.0
EVERY_TENTH = 10  # is a day long, with the delays that are shipped for repairs
DAY_TO = 25.2 * HOUR
# seconds that are skipped at once: where nothing is amiss, where nothing has been done for long, else; while it waits
CALM_HOP, SETTLED_HOP, HOP, WAITING_HOP = 300.0, 10.0, 5.0, 3.0
SETTLED = 120.0  # seconds in which nothing happens and nothing is done: the monitor only waits for somebody


@dataclass
class Outcome:
    """What came of a schedule."""

    seed: int
    violation: str = ""
    promise: int | None = None
    steps: int = 0
    swaps: int = 0
    virtual_seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    coverage: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)


class Monitor:
    """The daemon's place: it feeds ``step`` and carries out what it says."""

    def __init__(self, world: World, oracle: Oracle, trace: list[str]) -> None:
        self.world, self.oracle, self.trace = world, oracle, trace
        self.steps = self.swaps = 0
        self.far = False  # idle time is skipped in long hops, as in a schedule of a day
        self.paused_at: float | None = None
        self.running = True
        self.results: list[SwapResult] = []
        self.repair_results: list[RepairResult] = []
        self.workshop: Workshop | None = None
        self.actuator: Actuator | None = None
        self.life = 0
        self.moved: dict[RouteKey, tuple[float, ...]] = {}  # what its journal tells of voluntary moves
        self._home = {zone: gateway.name for gateway in world.plan.gateways for zone in gateway.home_zones}
        self._begin()

    def _begin(self) -> None:
        now = self.world.now
        self.life += 1
        self.since = self.trusted = now
        self.oracle.coverage["promise 10"] += 1
        self.view: Ec2View | None = None
        self.read_due = 0.0  # when the last read arrives
        self.acted = now  # when it last did or told something, or something happened
        self._at_home = False  # all routes of the view
        self.view_began, self.version = now, 0
        self.heard: set[str] = set()
        self.lag = 0.0
        self.results.clear()
        self.repair_results.clear()
        self._reading = False
        self._asked = False
        self.state = self._start(now)

    def _start(self, now: float) -> State:
        return decision.start(self.world.plan, now, seed=self.life, moved=self.moved)

    def start_again(self) -> None:
        """A fresh process, which knows nothing."""
        self.world.restart_monitor()
        self.world.forget_reports()
        self.oracle.forget_flights()
        self.oracle.forget_interfaces()
        self._begin()
        self.running = True

    def pause(self) -> None:
        """The process stands still."""
        self.paused_at = self.world.now

    def resume(self) -> None:
        """It goes on, and finds that it is late."""
        if self.paused_at is None:
            return
        self.lag = self.world.now - self.paused_at
        self.paused_at = None
        if self.lag > self.world.plan.timing.loop_lag:
            self.trusted = self.world.now
            self.oracle.coverage["promise 3"] += 1
            self.world.restart_monitor()

    @property
    def able(self) -> bool:
        """It runs and is not paused."""
        return self.running and self.paused_at is None

    @property
    def busy(self) -> bool:
        """Something is under way that needs its full attention."""
        routes = self.state.routes
        repairing = self.state.repairs.flight or self.repair_results
        return bool(routes.flights or routes.doubts or self.results or repairing)

    @property
    def waiting(self) -> bool:
        """It counts seconds for something."""
        return bool(self.state.routes.retries or self.world.faults or not self.view)

    @property
    def hop(self) -> float:
        """Seconds for which nothing needs to be looked at, unless something happens."""
        if not self.far:
            return WAITING_HOP if self.waiting else HOP
        if self._at_home and not (self.waiting or self.state.repairs.down_since):
            return CALM_HOP
        if self.world.now - self.acted > SETTLED:
            return SETTLED_HOP
        return WAITING_HOP if self.waiting else HOP

    def step(self) -> None:
        """One step of the decision."""
        world = self.world
        now = world.now
        if not self._reading and (
            self._asked or self.view is None or now - self.view_began >= world.plan.timing.ec2_interval
        ):
            self._read()
        results, self.results = tuple(self.results), []
        repaired, self.repair_results = tuple(self.repair_results), []
        evidence = self._evidence(results, repaired)
        self.lag = 0.0
        self.oracle.on_results(results, now)
        self.state, actions = decision.step(self.state, evidence, now)
        self.steps += 1
        for action in actions:
            self._trace(action)
            if isinstance(action, Note) and action.code == "swap-accepted" and action.evidence["voluntary"]:
                key = RouteKey(*action.subject.split(" "))
                self.moved[key] = (*self.moved.get(key, ()), now)
        if actions:
            self.acted = now
            sources = {key: group.gateway for group, keys in self.state.routes.groups.items() for key in keys}
            self.oracle.on_actions(actions, self.view, sources, self.trusted, self.view_began)
        for action in actions:
            if isinstance(action, Swap):
                self._order(action)
            elif isinstance(action, Repair):
                self._repair(action)
            elif isinstance(action, ReadEc2):
                self._asked = True
        self.oracle.on_step(self.since)

    def _evidence(self, results: tuple[SwapResult, ...], repaired: tuple[RepairResult, ...]) -> Evidence:
        world = self.world
        seen = {gateway: world.seen(gateway, gateway in self.heard) for gateway in world.gateways}
        if len(self.heard) < len(seen):
            self.heard.update(gateway for gateway, evidence in seen.items() if evidence.heard_since_start)
        return Evidence(
            seen,
            self.view,
            world.now - self.view_began if self.view else None,
            self.version,
            self.lag,
            world.wall,
            results,
            repair_results=repaired,
            clock_skew=-world.skew,
            managed=world.seen_managed(),
        )

    def _trace(self, action: object) -> None:
        if isinstance(action, Note):
            over = " (over)" if action.resolved else ""
            self.trace.append(f"{self.world.now:9.2f} {action.code} {action.subject}{over}: {action.text}")
        elif isinstance(action, Swap):
            self.trace.append(f"{self.world.now:9.2f} SWAP {action.key} -> {action.gateway} ({action.reason})")
        elif isinstance(action, Repair):
            self.trace.append(f"{self.world.now:9.2f} REPAIR {action.gateway}: {action.rung} ({action.reason})")

    def equip(self, workshop: Workshop) -> None:
        """Give it hands: what the calls of its repairs do to gateways is the workshop's."""
        self.workshop = workshop
        self.actuator = Actuator(self.world.ec2, lambda: self.world.now, workshop.power)

    def carry_out(self, one: Repair, still: Callable[[], str]) -> tuple[RepairResult, float]:
        """The calls of a repair; their result, and the virtual seconds that they took."""
        assert self.actuator is not None
        before = self.world.ec2.truth.repairs.get(one.gateway)
        result, seconds = self.actuator.repair(one, still)
        if one.mark is not None and before != self.world.ec2.truth.repairs.get(one.gateway):
            self.oracle.repairs.on_tag(one)
        return result, seconds

    def _repair(self, one: Repair) -> None:
        world, life = self.world, self.life

        def answer(result: RepairResult) -> None:
            if life == self.life:
                self.repair_results.append(result)

        def still() -> str:
            # what a life that has ended sent before its end still arrives
            return repairing.unwanted(self.state, one) if life == self.life else ""

        def apply() -> None:
            result, seconds = self.carry_out(one, still)
            world.at(world.now + seconds + world.random.uniform(0.05, 0.4), lambda: answer(result))

        world.at(world.now + world.random.uniform(0.05, 0.2), apply)

    def _read(self) -> None:
        began, life = self.world.now, self.life
        view = self.world.ec2.read(began)
        self._reading, self._asked = True, False

        def arrive() -> None:
            if life != self.life:
                return
            self._reading = False
            if view is not None:
                self.view, self.view_began, self.version = view, began, self.version + 1
                self._at_home = all(route.gateway == self._home[route.zone] for route in view.routes.values())
                self.oracle.on_view(view)

        self.read_due = began + self.world.random.uniform(0.05, 0.4)
        self.world.at(self.read_due, arrive)

    def _order(self, swap: Swap) -> None:
        self.swaps += 1
        world, life = self.world, self.life

        def answer(result: SwapResult) -> None:
            if life == self.life:
                self.results.append(result)

        def apply() -> None:
            assert self.actuator is not None
            result, seconds = self.actuator.swap(swap)
            world.at(world.now + seconds + world.random.uniform(0.05, 0.4), lambda: answer(result))

        world.at(world.now + world.random.uniform(0.05, 0.2), apply)


def plan_for(random: Random) -> Deployment:
    """A deployment of two or three zones, with short delays so that much happens in ten minutes."""
    hold = random.choice((5.0, 15.0, 40.0))
    return deployment(
        random.choice(("ab", "ab", "abc")),
        random.choice(("bgp", "static")),
        hold_down=hold,
        hold_down_max=2 * hold,
        voluntary_delay=random.choice((10.0, 30.0)),
    )


def run(
    seed: int,
    only: Sequence[str] = (),
    plan_of: Callable[[Random], Deployment] = plan_for,
    judge: type[Oracle] = Oracle,
) -> Outcome:
    """Play a schedule to its end or to the first broken promise. ``only``: these kinds of faults."""
    random = Random(seed)
    plan, lasting = plan_of(random), []
    if set(only) & set(MANAGED) or (not only and seed % EVERY_SEVENTH == 5):
        plan = with_managed(replace(plan, timing=replace(plan.timing, managed_window=MANAGED_WINDOW)))
    day = not only and seed % EVERY_TENTH == 0
    if day:
        faults = draw_day(plan, random, FAULTS_FROM, DAY_TO)
        return play_out(seed, random, replace(plan, repair="restart"), faults, judge)
    if set(only) & {*LASTING, *REPLACED} or (not only and seed % 3 == 0):
        timing = replace(plan.timing, repair_after=REPAIR_AFTER, repair_interval=REPAIR_INTERVAL)
        replacing = set(only) & set(REPLACED) or (not only and seed % 6 == 0)
        plan = replace(plan, repair="replace" if replacing else "restart", timing=timing)
        lasting = draw_lasting(plan, Random(-seed), FAULTS_FROM, FAULTS_TO, only)
    if plan.managed_gateways:
        lasting += draw_managed(plan, Random(seed + 0.5), FAULTS_FROM, FAULTS_TO)
    faults = [*draw(plan, random, FAULTS_FROM, FAULTS_TO, only), *lasting]
    return play_out(seed, random, plan, sorted(faults, key=lambda fault: fault.start), judge)


def play_out(seed: int, random: Random, plan: Deployment, faults: list[Fault], judge: type[Oracle] = Oracle) -> Outcome:
    """Let these faults strike a deployment."""
    world = World(plan, random, seed)
    outcome = Outcome(seed, faults=[str(fault) for fault in faults])
    oracle = judge(world, faults)
    monitor = Monitor(world, oracle, outcome.trace)
    stir = _Stir()
    workshop = Workshop(world, oracle, lambda fault: _ending(world, monitor, fault, stir)())
    monitor.equip(workshop)
    if max((fault.start for fault in faults), default=0.0) > DAY_TO / 2:
        monitor.far, stir.seconds = True, DAY_STIR
    for fault in faults:
        world.at(fault.start, _beginning(world, monitor, fault, stir))
        world.at(fault.end, _ending(world, monitor, fault, stir))
    last = max([FAULTS_TO, *(fault.end for fault in faults)])
    world.at(last + 1.0, workshop.inspect)
    end = last + world.plan.timing.hold_down_max + 80.0
    if last > DAY_TO / 2:
        end = max(end + HOUR, DAY_TO)  # the last hour's moves may be used up
    try:
        _play(world, monitor, stir, end)
        oracle.at_end()
    except Violation as violation:
        outcome.violation, outcome.promise = str(violation), violation.number
        outcome.trace.append(f"{world.now:9.2f} VIOLATION {violation}")
    except Exception as error:  # whoever raises keeps no promise, and the other schedules are to be played all the same
        outcome.violation = f"it ended in {error!r}"
        outcome.trace.append(traceback.format_exc())
    outcome.steps, outcome.swaps, outcome.virtual_seconds = monitor.steps, monitor.swaps, world.now
    outcome.coverage = oracle.coverage
    outcome.coverage.update(fault.kind for fault in faults)
    return outcome


class _Stir:
    """Until when the clock ticks finely, and for how long after anything happens."""

    until, seconds = 3.0, STIR


def _play(world: World, monitor: Monitor, stir: _Stir, end: float) -> None:
    while world.now < end:
        fine = world.now < stir.until or monitor.busy
        following = world.now + TICK
        if not fine:
            # a monitor has just looked when something happens, and looks again soon after, out of step with it
            next_timer, spread = world.next_timer(), TICK * world.random.random()
            hop = min(world.now + monitor.hop, end)
            arrives = next_timer == monitor.read_due and world.due_by(next_timer + TICK) == 1
            following = max(following, min(hop, next_timer + (spread if arrives else -spread)))
        world.advance(following)
        if monitor.able:
            monitor.step()


def _beginning(world: World, monitor: Monitor, fault: Fault, stir: _Stir) -> Callable[[], None]:
    def begin() -> None:
        monitor.trace.append(f"{world.now:9.2f} FAULT {fault}")
        stir.until = max(stir.until, world.now + stir.seconds)
        monitor.acted = world.now
        world.begin(fault)
        strike(world, monitor, fault)

    return begin


def _ending(world: World, monitor: Monitor, fault: Fault, stir: _Stir) -> Callable[[], None]:
    def end() -> None:
        if fault not in world.faults:
            return  # a repair has ended it
        monitor.trace.append(f"{world.now:9.2f} MENDED {fault.kind} {'/'.join(fault.where)}")
        stir.until = max(stir.until, world.now + stir.seconds)
        monitor.acted = world.now
        world.end(fault)
        mend(world, monitor, fault)

    return end
