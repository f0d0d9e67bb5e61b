# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two monitors never fight and lose no route, in schedules of faults, and the simulation notices when they do."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from . import several
from .__main__ import outcomes
from .mutants import Mutant
from .several_mutants import MUTANTS, hunt

SCHEDULES = 100


def test_promise_16_holds_in_many_schedules() -> None:
    coverage: Counter[str] = Counter()
    broken = []
    for outcome in outcomes(range(1, SCHEDULES + 1), min(2, os.cpu_count() or 1), several.run):
        coverage.update(outcome.coverage)
        if outcome.violation:
            broken.append(f"seed {outcome.seed}: {outcome.violation}")
    assert broken == []
    assert set(several.KINDS) <= set(coverage), "every kind of fault was met"
    met = ("by the owner", "by the lease", "lease taken over", "repair", "must leave", *several.TRAPS)
    assert min(coverage[what] for what in met) > 5


def test_a_late_write_to_a_dead_gateway_is_put_right() -> None:
    outcomes = [several.run(seed, ("power off", "monitor is to be paused in a swap")) for seed in range(1, 21)]
    assert [outcome.violation for outcome in outcomes if outcome.violation] == []
    assert sum(outcome.coverage["late write to a dead gateway"] for outcome in outcomes) > 0


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert several.run(7) == several.run(7)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    fate = hunt(mutant)
    assert fate.killed, fate.found
