# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For each promise there is a planted bug, which the simulation finds, or a unit test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.moves import wanted

from . import __main__ as command
from . import mutants
from .mutants import ELSEWHERE, MUTANTS, Mutant, hunt, hunt_text
from .text_mutants import TEXT_MUTANTS, TextMutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    fate = hunt(mutant)
    assert fate.killed, fate.found


def test_every_promise_has_a_planted_bug_or_a_place_where_it_is_kept() -> None:
    played = {number for mutant in MUTANTS for number in mutant.invariants} - {0}
    assert played == set(command.PROMISES)
    named = {number for mutant in TEXT_MUTANTS for number in mutant.invariants}
    assert played | named | set(ELSEWHERE) == set(range(1, 22))


@pytest.mark.parametrize("mutant", TEXT_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bug_planted_in_the_text_is_found(mutant: TextMutant) -> None:
    fate = hunt_text(mutant)
    assert fate.killed, fate.found


def test_a_bug_that_survives_is_told_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harmless = replace(MUTANTS[0], name="no bug at all", instead=wanted)
    monkeypatch.setattr(mutants, "MUTANTS", (MUTANTS[0], harmless))
    monkeypatch.setattr(mutants, "TEXT_MUTANTS", ())
    monkeypatch.setattr(mutants, "PATIENCE", 2)
    monkeypatch.setattr(mutants, "REPORT", tmp_path / "mutants.json")
    assert mutants.main(jobs=1) == 1
    assert "no bug at all" in capsys.readouterr().out
    assert json.loads((tmp_path / "mutants.json").read_text())["survived"] == ["no bug at all"]
