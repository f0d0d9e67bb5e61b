# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision keeps its promises in schedules of faults, and the simulation notices when it does not."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from . import __main__ as command
from . import progress, schedule
from .faults import IN_THE_WAY, KINDS, LASTING, MANAGED, REPLACED
from .mutants import MUTANTS
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
    assert {*KINDS, *LASTING, *REPLACED, *IN_THE_WAY, *MANAGED} <= set(coverage), "every kind of fault was met"
    assert coverage["last resort"] > 50
    assert coverage["ended by a repair"] > 50
    assert min(coverage["repair: terminate"], coverage["repair: launch"]) > 20
    assert min(coverage["told: moves-limited"], coverage["told: repair-needs-person"]) > 50, "budgets come to bite"
    assert min(*command.met(coverage).values(), coverage["must leave"]) > 50


def test_two_blackouts_with_no_probe_between_them_are_one() -> None:
    for gap, one in ((0.04, True), (0.06, False)):
        truth = Truth()
        for at, dark in ((10.0, True), (10.3, False), (10.3 + gap, True), (10.6, False)):
            truth.note("dark", at, dark)
        assert truth.within("dark", 10.5, 11.0, 0.44) is one


def test_the_same_seed_gives_the_same_schedule_and_the_same_decisions() -> None:
    assert schedule.run(4) == schedule.run(4)


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


def test_a_run_that_is_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole.json", tmp_path / "parts" / "report.json"
    command.main(["--schedules", "4", "--jobs", "1", "--report", str(whole)])

    def play(seed: int) -> schedule.Outcome:
        if seed == 3:
            raise KeyboardInterrupt
        return schedule.run(seed)

    arguments = ["--schedules", "4", "--jobs", "1", "--report", str(parts)]
    with monkeypatch.context() as interrupted:
        interrupted.setattr(command, "run", play)
        assert command.main(arguments) == 130
    assert "stopped after 2 of 4 schedules" in capsys.readouterr().out
    assert not parts.exists()
    command.main(arguments)
    assert "going on after 2 schedules" in capsys.readouterr().out
    command.main(arguments)
    assert "this very code has played them before" in capsys.readouterr().out
    one, other = json.loads(whole.read_text()), json.loads(parts.read_text())
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert {"schedules", "violations", "seconds", "coverage", "commit"} <= set(one)


@pytest.mark.parametrize(
    ("flag", "shows"), [("two-monitors", "lease taken over"), ("many-zones", "spread"), ("", "must leave")]
)
def test_each_kind_of_deployment_has_a_report_of_its_own(
    flag: str, shows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(["--schedules", "12", "--jobs", "1", *([f"--{flag}"] if flag else [])]) == 0
    report = Path("artifacts/sim") / f"{flag or 'report'}.json"
    assert str(report) in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert (found["schedules"], found["violations"]) == (12, 0)
    assert found["coverage"][shows] > 0


def test_what_other_code_has_played_does_not_count(tmp_path: Path) -> None:
    kept = progress.Progress(1, "of another time", done=2)
    kept.save(tmp_path / "progress.json")
    assert progress.resume(tmp_path / "progress.json", 1, 4).done == 0
    kept.code = progress.code()
    kept.save(tmp_path / "progress.json")
    for seed, schedules, done in ((1, 4, 2), (2, 4, 0), (1, 2, 2), (1, 1, 0)):
        assert progress.resume(tmp_path / "progress.json", seed, schedules).done == done
    (tmp_path / "progress.json").write_text("{", encoding="utf-8")
    assert progress.resume(tmp_path / "progress.json", 1, 4).done == 0


def test_schedules_are_as_long_and_as_full_as_they_should_be() -> None:
    for seed in (7, 8, 9, 10):
        outcome = schedule.run(seed)
        assert len(outcome.faults) >= 3
        assert outcome.virtual_seconds >= (25 * 3600 if seed == 10 else 600)
