# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the engine's ``step`` to the evidence at hand: judge and decide. Runs on the loop, does no I/O."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, invariants
from ansible_collections.vpnha.aws.plugins.module_utils.decision import reconfigured, start, step
from ansible_collections.vpnha.aws.plugins.module_utils.errors import InvariantViolation
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Action,
    Deployment,
    Ec2View,
    Evidence,
    GatewayEvidence,
    ManagedEvidence,
    RepairResult,
    RouteKey,
    StoreView,
    Swap,
    SwapResult,
)
from ansible_collections.vpnha.aws.plugins.module_utils.state import State

from .waiting import OVERTAKEN

_TRIES = 40  # steps that fail in a row, about a second of them, before the state is given up for a fresh one


@dataclass
class Mind:
    """The engine's state, and what goes into the next step."""

    deployment: Deployment
    monitor: str
    started: float
    moved: Mapping[RouteKey, tuple[float, ...]] = field(default_factory=dict)  # voluntarily, before the state began
    view: Ec2View | None = None
    view_began: float = 0.0
    view_version: int = 0
    results: list[SwapResult] = field(default_factory=list)
    repair_results: list[RepairResult] = field(default_factory=list)
    failures: int = 0  # steps in a row that ended in an exception

    def __post_init__(self) -> None:
        self.state = self._fresh(self.started)
        self.evidence = Evidence(gateways={})

    def read(self, view: Ec2View, began: float) -> None:
        """Take a read of EC2 that began at ``began``."""
        self.view, self.view_began = view, began
        self.view_version += 1

    def step(
        self,
        gateways: dict[str, GatewayEvidence],
        lag: float,
        now: float,
        store: StoreView | None = None,
        vetoes: Mapping[str, float] | None = None,
        *,
        managed: Mapping[str, ManagedEvidence] | None = None,
        traffic: Mapping[str, float] | None = None,
    ) -> Sequence[Action]:
        """One step. An exception of the engine's leaves the state as it was; after many in a row it begins afresh.

        Results are there until a step has taken them in, or the state that waits for them is given up.
        """
        self.evidence = Evidence(
            gateways=gateways,
            ec2=self.view,
            ec2_age=None if self.view is None else now - self.view_began,
            ec2_version=self.view_version,
            loop_lag=lag,
            wall=time.time(),
            results=tuple(self.results),
            repair_results=tuple(self.repair_results),
            clock_skew=ec2.CLOCK.skew,
            store=store or StoreView(),
            vetoes=vetoes or {},
            managed=managed or {},
            traffic=traffic or {},
        )
        try:
            self.state, actions = step(self.state, self.evidence, now)
        except Exception:
            self.failures += 1
            if self.failures % _TRIES == 0:
                self.moved = self.state.routes.moves  # the hour's limit counts them whatever becomes of the rest
                self.state = self._fresh(now)
                self._took_results()
            raise
        self.failures = 0
        self._took_results()
        return actions

    def still(self, swap: Swap, now: float) -> str:
        """Why a swap that was ordered a while ago is not to be begun any more; empty if it is. For threads."""
        state, evidence = self.state, self.evidence
        flight = state.routes.flights.get(swap.key)
        if flight is None or flight.swap != swap or now >= flight.deadline:
            return "It is not waited for any longer."
        if swap.key in state.routes.overtaken:
            return OVERTAKEN
        # its own flight and retry do not stand against it
        alone = replace(state, routes=replace(state.routes, flights={}, retries={}))
        try:
            invariants.check(alone, evidence, swap, now)
        except InvariantViolation as violation:
            return f"There is no reason any more: {violation}"
        return ""

    def reload(self, deployment: Deployment) -> None:
        """Go on with another description of the same deployment."""
        self.deployment = deployment
        self.state = reconfigured(self.state, deployment)

    def _took_results(self) -> None:
        self.results.clear()
        self.repair_results.clear()

    def _fresh(self, now: float) -> State:
        # The seed only spreads the retries of several monitors, so their names are random enough.
        seed = zlib.crc32(self.monitor.encode())
        return start(self.deployment, now, seed, self.monitor, moved=self.moved)

    def summary(self) -> dict[str, str]:
        """The state that a decision comes from, as logs show it."""
        return {name: judgement.verdict.value for name, judgement in self.state.verdicts.gateways.items()}
