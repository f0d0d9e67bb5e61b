# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of the promised figures says what the drills' reports say, and when a promise is not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
        ([run(1700.0)], "gateway_power_off: the gateway did not come back"),
    ],
)
def test_a_broken_promise_is_said(tmp_path: Path, runs: list[dict[str, Any]], aborted: str) -> None:
    report(tmp_path, *runs, aborted=aborted)
    found = figures.measured(ROW, tmp_path)
    assert found is not None and not found["kept"]


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
