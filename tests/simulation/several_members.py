# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several monitors in one world: what each sees from its zone, and how its process, its swaps and its repairs go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from ansible_collections.vpnha.aws.plugins.module_utils.state import State
from vpnha_monitor import agreement, repairing

from .oracle import Oracle
from .schedule import Monitor
from .several_oracle import MemberOracle
from .store_model import Client
from .streams import Stream
from .world import World

APPLIES = (0.05, 0.2)  # seconds until what a monitor has ordered begins


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
        return decision.start(self.world.plan, now, seed=self.life, monitor=self.name, moved=self.moved)

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
            vetoes=lease.vetoes(client.heard, client.read_at, now),
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

        def still() -> str:
            return repairing.unwanted(self.state, one) or agreement.without_lease(self.client.lease, world.now)

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
                result, seconds = self.carry_out(one, still)
            world.at(world.now + seconds + world.random.uniform(0.05, 0.4), lambda: answer(result))

        world.at(world.now + world.random.uniform(*APPLIES), lambda: self.awake(call))
