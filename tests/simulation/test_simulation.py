# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision keeps its promises in schedules of faults, and the simulation notices when it does not."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.moves import wanted

from . import __main__ as command
from . import mutants, schedule
from .faults import IN_THE_WAY, KINDS, LASTING, REPLACED
from .mutants import ELSEWHERE, MUTANTS, Mutant, hunt
from .world import Truth

SCHEDULES = 2000


def test_the_promises_hold_in_many_schedules() -> None:
    coverage: Counter[str] = Counter()
    broken = []
    for outcome in command.outcomes(range(1, SCHEDULES + 1), jobs=min(2, os.cpu_count() or 1)):
        coverage.update(outcome.coverage)
        if outcome.violation:
            broken.append(f"seed {outcome.seed}: {outcome.violation}")
    assert broken == []
    assert {*KINDS, *LASTING, *REPLACED, *IN_THE_WAY} <= set(coverage), "every kind of fault was met"
    assert coverage["ended by a repair"] > 50
    assert min(coverage["repair: terminate"], coverage["repair: launch"]) > 20
    assert min(*command.met(coverage).values(), coverage["must leave"]) > 50


def test_two_blackouts_with_no_probe_between_them_are_one() -> None:
    for gap, one in ((0.04, True), (0.06, False)):
        truth = Truth()
        for at, dark in ((10.0, True), (10.3, False), (10.3 + gap, True), (10.6, False)):
            truth.note("dark", at, dark)
        assert truth.within("dark", 10.5, 11.0, 0.44) is one


def test_the_same_seed_gives_the_same_schedule_and_the_same_decisions() -> None:
    assert schedule.run(4) == schedule.run(4)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    fate = hunt(mutant)
    assert fate.killed, fate.found


def test_every_promise_has_a_planted_bug_or_a_place_where_it_is_kept() -> None:
    planted_for = {number for mutant in MUTANTS for number in mutant.invariants} - {0}
    assert planted_for == set(command.PROMISES)
    assert planted_for | set(ELSEWHERE) == set(range(1, 22))


def test_a_bug_that_survives_is_told_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harmless = replace(MUTANTS[0], name="no bug at all", instead=wanted)
    monkeypatch.setattr(mutants, "MUTANTS", (MUTANTS[0], harmless))
    monkeypatch.setattr(mutants, "PATIENCE", 2)
    monkeypatch.setattr(mutants, "REPORT", tmp_path / "mutants.json")
    assert mutants.main(jobs=1) == 1
    assert "no bug at all" in capsys.readouterr().out
    assert json.loads((tmp_path / "mutants.json").read_text())["survived"] == ["no bug at all"]


def test_a_failing_seed_is_reported_with_the_command_that_replays_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mutant = MUTANTS[0]
    monkeypatch.setattr(mutant.where, mutant.what, mutant.instead)
    seed = next(seed for seed in range(1, 200) if schedule.run(seed).violation)
    report = tmp_path / "report.json"
    code = command.main(["--schedules", "1", "--seed", str(seed), "--jobs", "1", "--report", str(report)])
    assert code == 1
    assert f"replay: python -m tests.simulation --schedules 1 --seed {seed} --verbose" in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert (found["schedules"], found["violations"], found["failing_seeds"][0]["seed"]) == (1, 1, seed)
