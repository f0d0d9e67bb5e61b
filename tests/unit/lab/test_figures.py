# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of the promised figures says what the drills' reports say, and when a promise is not kept."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from lab import figures

ROW = figures.Row("gateway_power_off", 1, 800, 1200)


def run(outage: float | None, **more: Any) -> dict[str, Any]:
    return {
        "outage_ms": outage, "failback_lost": 0, "packets_sent": 1000, "packets_lost": 80, "plaintext_packets": 0,
        "detect_ms": 500.0, "swap_ms": 300.0, "propagation_ms": 1000.0, "return_path_ms": None, **more,
    }  # fmt: skip


def report(output: Path, *runs: dict[str, Any], aborted: str = "") -> None:
    file = output / ROW.name / "report.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent / "commit").write_text("0123abc\n")
    file.write_text(json.dumps({"aborted": aborted, "scenarios": [{"name": ROW.scenario, "runs": list(runs)}]}))


def test_a_row_is_the_median_and_the_worst_of_its_runs(tmp_path: Path) -> None:
    report(tmp_path, run(1700.0), run(1900.0), run(1760.0))
    found = figures.measured(ROW, tmp_path)
    assert found is not None and found["kept"]
    assert (found["runs"], found["median_ms"], found["worst_ms"]) == (3, 1760.0, 1900.0)
    assert (found["promised_median_ms"], found["promised_worst_ms"]) == (1800.0, 2200.0)
    assert (found["packets_sent"], found["packets_lost"], found["detect_ms"]) == (3000, 240, 500.0)
    assert found["return_path_ms"] is None
    assert found["commit"] == "0123abc"


@pytest.mark.parametrize(
    ("runs", "aborted"),
    [
        ([run(1900.0)], ""),
        ([run(1700.0), run(1700.0), run(2300.0)], ""),
        ([run(1700.0, failback_lost=1)], ""),
        ([run(1700.0), run(1700.0, plaintext_packets=2)], ""),
        ([run(1700.0), run(1700.0, plaintext_packets=None)], ""),
        ([run(1700.0), run(None, plaintext_packets=2)], ""),
        ([run(1700.0)], "gateway_power_off: the gateway did not come back"),
    ],
)
def test_a_broken_promise_is_said(tmp_path: Path, runs: list[dict[str, Any]], aborted: str) -> None:
    report(tmp_path, *runs, aborted=aborted)
    found = figures.measured(ROW, tmp_path)
    assert found is not None and not found["kept"]


@pytest.mark.parametrize(("counted", "total", "shown"), [((0, 2), 2, " 2 "), ((2, None), None, "not counted")])
def test_packets_in_clear_that_nobody_counted_are_not_said_to_be_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counted: tuple[int | None, ...], total: int | None, shown: str
) -> None:
    report(tmp_path, *(run(1700.0, plaintext_packets=one) for one in counted))
    found = figures.measured(ROW, tmp_path)
    assert found is not None and found["plaintext_packets"] == total
    figures.show([found], tmp_path)
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(("once", "code"), [(run(1700.0), 0), (run(1700.0, plaintext_packets=2), 1), (run(None), 1)])
def test_what_an_earlier_call_has_drilled_is_left_and_said_to_be_broken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], once: dict[str, Any], code: int
) -> None:
    report(tmp_path, once)
    monkeypatch.setattr(figures, "OUTPUT", tmp_path)
    monkeypatch.setattr(figures, "ROWS", (ROW,))
    monkeypatch.setattr(figures, "lab_program", lambda **_stays: contextlib.nullcontext())
    monkeypatch.setattr(figures, "lab_environment", lambda _names: {})
    started: list[str] = []
    monkeypatch.setattr(figures, "run", lambda title, *_how: started.append(title))
    with pytest.raises(typer.Exit) as ended:
        figures.main()
    assert started == ["Lab up", "Deploy", "EC2 API delayed"]
    assert ended.value.exit_code == code
    assert ("not kept, or not measured: gateway_power_off-1s" in capsys.readouterr().out) is bool(code)


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    assert figures.measured(ROW, tmp_path) is None
    report(tmp_path, run(None))
    assert figures.measured(ROW, tmp_path) is None


def test_the_summary_and_its_picture_are_written(tmp_path: Path) -> None:
    report(tmp_path, run(1700.0))
    found = figures.write(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == found
    assert [one["scenario"] for one in found["figures"]] == ["gateway_power_off"]
    assert (tmp_path / "figures.svg").read_text().startswith("<?xml")
