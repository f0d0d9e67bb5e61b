# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.simulation.several_mutants``: bugs that only several monitors show; each must be found."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import decision, judge, lease, moves, owners, repair

from . import several, store_model
from .mutants import Fate, Mutant, planted

PATIENCE = 80  # schedules within which a planted bug must be found

_judge, _take_written, _due = judge.judge, lease.take_written, lease.due


def _deaf(deployment: Any, evidence: Any, *rest: Any) -> Any:
    return _judge(deployment, replace(evidence, vetoes={}), *rest)


def _from_the_answer(known: Any, write: Any, outcome: str, *, sent: float, answered: float) -> Any:
    return _take_written(known, write, outcome, sent=answered, answered=answered)


def _for_ever(state: Any, evidence: Any, _now: float) -> float:
    return 0.0 if evidence.store.lease_age is None else lease.SECONDS


def _at_once(known: Any, number: str, now: float) -> Any:
    return _due(replace(known, since=now - lease.SECONDS), number, now)


MUTANTS = (
    Mutant(
        "whose a route is does not matter", (16,), moves, "acts", lambda *_: True,
        ("power off", "store cut", "store cut from all"),
    ),
    Mutant("a veto is not heard", (16,), judge, "judge", _deaf, ("zones cut",)),
    Mutant(
        "a lease counts from the answer", (16,), lease, "take_written", _from_the_answer,
        ("store slow", "power off"),
    ),
    Mutant(
        "a lease's last second counts", (16,), owners, "LEAST", 0.0,
        ("store cut from all", "monitor killed", "power off"),
    ),
    Mutant(
        "a lease does not run out", (16,), owners, "lease_left", _for_ever,
        ("store cut from all", "monitor killed", "power off"), seen=6,
    ),
    Mutant(
        "a lease is taken before it has run out", (16,), lease, "due", _at_once, ("store slow", "monitor paused"),
    ),
    Mutant(
        "what another has moved back is moved again", (16,), moves, "contested", lambda *_: False,
        ("zones cut", "store cut"),
    ),
    Mutant(
        "what was swapped unseen is swapped again", (16,), moves, "unseen", lambda *_: False,
        ("zones cut", "store cut", "reads fail"),
    ),
    Mutant(
        "a repair needs no lease", (16,), repair, "LEAST", -1000.0,
        ("host hangs", "monitor killed", "store cut from all"), seen=20,
    ),
    Mutant(
        "nobody looks for late writes", (16,), decision, "_late_writes", lambda *_: False,
        ("power off", "monitor is to be paused in a swap"), seen=48,
    ),
    Mutant(
        "nobody acts for a monitor that is gone", (0,), owners, "OWNER_SILENCE", float("inf"),
        ("zone lost", "monitor killed", "power off"), seen=16,
    ),
    Mutant(
        "who cannot act keeps the lease", (0,), store_model, "leaves_it", lambda *_: False,
        ("monitor isolated", "power off"), seen=3,
    ),
)  # fmt: skip


def hunt(mutant: Mutant) -> Fate:
    """Look for the bug, in schedules of the faults under which it shows."""
    with planted(mutant):
        for seed in mutant.seeds(PATIENCE):
            outcome = several.run(seed, mutant.faults)
            if outcome.violation:
                killed = outcome.promise in (*mutant.invariants, *mutant.also_found_as)
                return Fate(mutant.name, mutant.invariants, killed, seed, outcome.violation)
    return Fate(mutant.name, mutant.invariants, False, None, f"nothing in {PATIENCE} schedules")


def main() -> int:
    """Print the table; exit code 1 if a bug survives."""
    fates = []
    for mutant in MUTANTS:
        fate = hunt(mutant)
        fates.append(fate)
        state = "killed" if fate.killed else "SURVIVED"
        print(f"{mutant.name:44} {state:9} {fate.seed or '-':>4}  {fate.found}", flush=True)
    survived = [fate.mutant for fate in fates if not fate.killed]
    print(f"{len(fates) - len(survived)} of {len(fates)} planted bugs found")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
