# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same world, monitor and judges, with Hypothesis at the switches: what breaks a promise shrinks to few steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment
from tests.unit.plugins.module_utils.scenario import deployment

from .faults import KINDS, LASTING, Fault
from .oracle import Oracle
from .schedule import REPAIR_AFTER, REPAIR_INTERVAL, Monitor, _beginning, _ending, _play, _Stir
from .violation import Violation
from .workshop import Workshop
from .world import World

EXPIRING = ("pause", "person fails over")  # what these begin of ends by itself only
MOST = 4  # faults at the same time
HOUR = 3600.0
# Hypothesis shrinks towards the first: long enough for whatever there is to see.
PAUSES = (30.0, 0.3, 1.0, 3.0, 10.0, 120.0)  # seconds of time that passes
LASTS = (60.0, 0.2, 0.4, 1.0, 3.0, 10.0, 300.0)  # seconds that a fault lasts unless it is mended before


class Stage:
    """A world, a monitor and their judges, whose faults are not known beforehand."""

    def __init__(self, plan: Deployment, random: Random, seed: int) -> None:
        self.world = World(plan, random, seed)
        self.oracle = Oracle(self.world, [])
        self.monitor = Monitor(self.world, self.oracle, [])
        self._stir = _Stir()
        self._workshop = Workshop(self.world, self.oracle, self._end)
        self.monitor.equip(self._workshop)

    def play(self, seconds: float) -> None:
        """Let time pass."""
        end = self.world.now + seconds
        self.world.at(end, lambda: None)  # so that no hop over idle time goes beyond it
        _play(self.world, self.monitor, self._stir, end)

    def strike(self, fault: Fault) -> None:
        """A fault begins now, and ends by itself."""
        self.oracle.faults.append(fault)
        _beginning(self.world, self.monitor, fault, self._stir)()
        self.world.at(fault.end, lambda: self._end(fault))

    def mend(self, fault: Fault) -> None:
        """A fault ends now."""
        self._end(fault)
        ended = replace(fault, end=self.world.now)
        self.oracle.faults[self.oracle.faults.index(fault)] = ended

    def finish(self) -> None:
        """Wait until all is over, and for as long as the routes may take home then."""
        now, plan = self.world.now, self.world.plan
        over = max([now, *(fault.end for fault in self.oracle.faults)])
        self.world.at(over + 1.0, self._workshop.inspect)
        moves = max(map(len, self.oracle.moves.values()), default=0)
        used_up = moves >= plan.timing.voluntary_moves_per_hour
        self.play(over - now + plan.timing.hold_down_max + 80.0 + (HOUR if used_up else 0.0))
        self.oracle.at_end()

    def _end(self, fault: Fault) -> None:
        _ending(self.world, self.monitor, fault, self._stir)()


class Machine(RuleBasedStateMachine):
    """A schedule that is made up on the way."""

    kinds: Sequence[str] = (*KINDS, *LASTING)

    def __init__(self) -> None:
        super().__init__()
        self.stage: Stage | None = None
        self.broken = False  # a promise, already

    @initialize(
        letters=st.sampled_from(("ab", "abc")),
        routing=st.sampled_from(("bgp", "static")),
        hold_down=st.sampled_from((5.0, 40.0)),
        repair=st.sampled_from(("none", "restart")),
        seed=st.integers(0, 2**16),
    )
    def begin(self, letters: str, routing: str, hold_down: float, repair: str, seed: int) -> None:
        """A deployment, with all well, and a monitor that has observed it for a while."""
        plan = deployment(letters, routing, hold_down=hold_down, hold_down_max=2 * hold_down, voluntary_delay=10.0)
        timing = replace(plan.timing, repair_after=REPAIR_AFTER, repair_interval=REPAIR_INTERVAL)
        self.stage = Stage(replace(plan, repair=repair, timing=timing), Random(seed), seed)
        self.stage.play(30.0)

    @precondition(lambda self: self.stage is not None and len(self.stage.world.faults) < MOST)
    @rule(data=st.data(), seconds=st.sampled_from(LASTS))
    def strike(self, data: st.DataObject, seconds: float) -> None:
        """Something breaks, or a person does something."""
        assert self.stage is not None
        lasting = self.stage.world.plan.repair != "none"
        kind = data.draw(st.sampled_from([kind for kind in self.kinds if lasting or kind not in LASTING]), "kind")
        where = data.draw(st.sampled_from(_places(self.stage.world, kind)), "where")
        now = self.stage.world.now
        self.stage.strike(Fault(kind, where, now, now + seconds))

    @precondition(lambda self: self.stage is not None and any(map(_mendable, self.stage.world.faults)))
    @rule(data=st.data())
    def mend(self, data: st.DataObject) -> None:
        """One thing is mended before its time."""
        assert self.stage is not None
        fault = data.draw(st.sampled_from([fault for fault in self.stage.world.faults if _mendable(fault)]), "which")
        self.stage.mend(fault)

    @precondition(lambda self: self.stage is not None)
    @rule(seconds=st.sampled_from(PAUSES))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        assert self.stage is not None
        try:
            self.stage.play(seconds)
        except Violation:
            self.broken = True
            raise

    def teardown(self) -> None:
        """All is mended, and the routes must come home within a bound."""
        if self.stage is not None and not self.broken:
            self.stage.finish()


def _mendable(fault: Fault) -> bool:
    return not fault.kind.startswith(EXPIRING)


def _places(world: World, kind: str) -> list[tuple[str, ...]]:
    """Where a fault of the kind may strike."""
    scope = KINDS[kind][1] if kind in KINDS else "gateway"
    return {
        "gateway": [(gateway,) for gateway in world.gateways],
        "site": [(site,) for site in world.sites],
        "tunnel": list(world.pairs),
        "route": [(f"rtb-{g.zone}", p) for g in world.plan.gateways for s in world.plan.sites for p in s.prefixes],
    }.get(scope, [()])
