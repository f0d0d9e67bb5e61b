# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault matrix: its rows are complete, it goes on where it was stopped, and its report says what was kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES
from lab import reports
from lab.matrix import __main__ as matrix
from lab.matrix import results
from lab.matrix.conductor import VARIABLES
from lab.matrix.faults import FAULTS, NOT_SHOWN
from lab.matrix.model import ROWS, Expect, row
from lab.matrix.page import page
from lab.names import Names
from lab.steps import commit
from tests.unit.lab.matrix_world import observation

GATEWAYS = ("", "gw-a", "gw-a/hq", "gw-a/plant")


def kept(output: Path, number: int, repetition: int, verdict: str = results.AS_EXPECTED, **more: Any) -> None:
    seen = {
        **observation(),
        "commit": commit(),
        "row": number,
        "repetition": repetition,
        "verdict": verdict,
        "problems": [],
        **more,
    }
    reports.write(results.file_of(output, number, repetition), seen)


def row_of(output: Path, number: int) -> dict[str, Any]:
    return next(one for one in results.report(output)["rows"] if one["number"] == number)


def test_every_fault_is_caused_or_listed_with_the_reason_and_none_is_both() -> None:
    assert sorted(FAULTS) == list(range(1, 65))
    assert sorted([*ROWS, *NOT_SHOWN]) == sorted(FAULTS)
    assert all(reason.endswith(".") for reason in NOT_SHOWN.values())


@pytest.mark.parametrize("number", sorted(ROWS))
def test_a_row_speaks_of_diagnoses_and_gateways_that_there_are(number: int) -> None:
    expect = ROWS[number].expect
    assert ROWS[number].how
    assert {*expect.told, *expect.untold, *expect.once} <= set(DIAGNOSES)
    assert expect.leaves in GATEWAYS and expect.may_leave in GATEWAYS
    assert not set(expect.told) & set(expect.untold)


def test_a_number_is_used_once() -> None:
    with pytest.raises(ValueError, match="Row 3 is there twice"):
        row(3, "once more", Expect())(lambda stage: None)


def test_repairs_are_allowed_so_that_rows_which_expect_none_count() -> None:
    assert VARIABLES["vpnha_repair"] == "restart"
    limits = {"repairs_per_day", "voluntary_moves_per_hour"}
    assert set(VARIABLES["vpnha_timing"]) == {"hold_down", "hold_down_max", "repair_after", "repair_interval"} | limits


def test_all_rows_are_run_once_before_any_is_run_again(tmp_path: Path) -> None:
    assert results.due(tmp_path, [3, 8], 2) == [(3, 1), (8, 1), (3, 2), (8, 2)]


def test_it_goes_on_where_it_was_stopped_and_tries_again_what_could_not_start(tmp_path: Path) -> None:
    kept(tmp_path, 3, 1)
    kept(tmp_path, 3, 2, results.NOT_AS_EXPECTED)
    kept(tmp_path, 8, 1, results.NOT_STARTED)
    assert results.due(tmp_path, [3, 8], 2) == [(8, 1), (8, 2)]
    assert results.due(tmp_path, [3, 8], 3) == [(8, 1), (8, 2), (3, 3), (8, 3)]


def test_what_other_code_has_shown_is_run_again(tmp_path: Path) -> None:
    kept(tmp_path, 3, 1, commit="of another time")
    kept(tmp_path, 8, 1)
    assert results.due(tmp_path, [3, 8], 1) == [(3, 1)]


@pytest.mark.parametrize("killed", [True, False])
def test_a_lab_in_which_a_row_was_killed_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    names, ran = Names("t1", tmp_path, 4700), list[str]()
    monkeypatch.setattr(matrix, "run", lambda _title, argv, _env: ran.append(argv[-1]))
    names.run.mkdir(parents=True)
    if killed:
        (names.run / matrix.IN_FORCE).write_text("37\n")
    matrix.lab_up(names)
    assert ran == (["down", "up"] if killed else ["up"])


def test_rows_can_be_forgotten_one_by_one(tmp_path: Path) -> None:
    for number in (3, 30, 8):
        kept(tmp_path, number, 1)
    results.forget(tmp_path, [3])
    assert results.due(tmp_path, [3, 8, 30], 1) == [(3, 1)]


def test_who_is_interrupted_while_writing_leaves_no_half_of_a_result(tmp_path: Path) -> None:
    kept(tmp_path, 3, 1)
    with pytest.raises(TypeError):
        kept(tmp_path, 3, 1, facts=object())
    assert json.loads(results.file_of(tmp_path, 3, 1).read_text())["verdict"] == results.AS_EXPECTED


def test_the_report_has_every_row_with_its_verdict(tmp_path: Path) -> None:
    kept(tmp_path, 3, 1, outage_ms=400.0)
    kept(tmp_path, 3, 2, outage_ms=900.0)
    kept(tmp_path, 8, 1, problems=["The monitor changed a route."], verdict=results.NOT_AS_EXPECTED)
    found = results.report(tmp_path)
    assert [one["number"] for one in found["rows"]] == sorted(FAULTS)
    assert found["counts"][results.LEFT_OUT] == len(NOT_SHOWN)
    assert found["counts"][results.AS_EXPECTED] == found["counts"][results.NOT_AS_EXPECTED] == 1
    three, eight, eleven = (row_of(tmp_path, number) for number in (3, 8, 11))
    assert (three["observed"]["outage_median_ms"], three["observed"]["outage_worst_ms"]) == (650, 900)
    assert (three["observed"]["passed"], three["observed"]["runs"]) == (2, 2)
    assert eight["problems"] == ["1: The monitor changed a route."]
    assert (eleven["verdict"], eleven["reason"]) == (results.LEFT_OUT, NOT_SHOWN[11])


def test_one_bad_run_of_several_makes_the_row_bad(tmp_path: Path) -> None:
    kept(tmp_path, 3, 1)
    assert results.kept(results.report(tmp_path), [3])
    kept(tmp_path, 3, 2, results.NOT_AS_EXPECTED)
    assert row_of(tmp_path, 3)["verdict"] == results.NOT_AS_EXPECTED
    assert not results.kept(results.report(tmp_path), [3])


def test_rows_that_were_not_run_or_could_not_start_are_not_as_expected(tmp_path: Path) -> None:
    kept(tmp_path, 3, 1)
    kept(tmp_path, 8, 1, results.NOT_STARTED, problems=["Not within 60 s: all is well."])
    found = results.report(tmp_path)
    assert (row_of(tmp_path, 8)["verdict"], row_of(tmp_path, 9)["verdict"]) == (results.NOT_STARTED, results.NOT_RUN)
    assert not results.kept(found, [3, 8]) and not results.kept(found, [3, 9])


def test_the_page_has_a_line_for_each_row_and_nothing_of_a_fault_becomes_markup(tmp_path: Path) -> None:
    kept(tmp_path, 7, 1, facts=[{"text": "<b>grey</b>", "true": True}])
    kept(tmp_path, 8, 1, results.NOT_STARTED, problems=["Not within 60 s: all is well."])
    text = page(results.report(tmp_path))
    assert text.count("<tr><td") == len(FAULTS)
    assert "&lt;b&gt;grey" in text and "<b>" not in text
    assert "Not within 60 s: all is well." in text
    assert all(reason.replace("'", "&#39;") in text for reason in NOT_SHOWN.values())


def test_slow_rows_come_last_and_rows_can_be_picked() -> None:
    everything = matrix.chosen("")
    assert sorted(everything) == sorted(ROWS)
    assert everything[-len(matrix.LAST) :] == list(matrix.LAST)
    assert matrix.chosen("42, 8,3") == [3, 8, 42]


@pytest.mark.parametrize(
    ("only", "sentence"),
    [("x", "no row 'x'"), ("65", "no row '65'"), ("3,29", "row 29 is not shown: The matrix deploys one")],
)
def test_a_row_that_cannot_be_run_is_refused_in_a_sentence(only: str, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        matrix.chosen(only)
