# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of outages, run after run: what becomes of one that the lab spoils, or that somebody stops."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from benchmarks import __main__ as pages
from benchmarks import peers
from benchmarks.kept import Kept
from benchmarks.outage import __main__ as outage
from benchmarks.outage.scenarios import SCENARIOS, Scenario
from benchmarks.outage.stage import Stage
from benchmarks.outage.summary import aborted
from benchmarks.outage.ways import BgpAlone, NoHa, Way
from lab.errors import LabError
from lab.matrix.lookout import Lookout

WAYS = (BgpAlone, NoHa)
POWER = SCENARIOS[0]


class FakeStage:
    """A lab that is there."""

    lookout = target = probes = None
    versions: ClassVar = {"FRR": "10.3"}

    def ready(self) -> None:
        """All is well."""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """An empty one; nothing was fetched."""
    monkeypatch.setattr(peers, "versions", lambda: {"awscli": "1"})
    return outage.kept(tmp_path / "outage.json")


def compared(
    report: Kept, monkeypatch: pytest.MonkeyPatch, spoils: Callable[[int, str, str], bool], repeat: int = 2
) -> tuple[list[str], list[FakeStage]]:
    """Compare where some runs are spoilt, by their number, way and scenario; the runs begun, and the labs."""
    begun: list[str] = []
    labs: list[FakeStage] = []

    def one_run(way: Way, scenario: Scenario, _probes: object) -> dict[str, Any]:
        begun.append(f"{way.name} {scenario.name}")
        if spoils(len(begun), way.name, scenario.name):
            raise LabError("Not within 10 s: they are apart.")
        return {
            "way": way.name, "scenario": scenario.name, "outage_ms": 700.0, "recovered": True, "patience_s": 20.0,
        }  # fmt: skip

    def fresh() -> Stage:
        labs.append(FakeStage())
        return cast(Stage, labs[-1])

    monkeypatch.setattr(outage, "one_run", one_run)
    outage.compare(report, WAYS, repeat, fresh)
    return begun, labs


def runs(report: Kept) -> list[int]:
    """How many there are of each way and scenario."""
    return [len(report.having(way=way.name, scenario=one.name)) for one in SCENARIOS for way in WAYS]


def test_a_run_that_is_spoilt_is_told_and_made_up_for_in_a_fresh_lab(
    report: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, labs = compared(report, monkeypatch, lambda number, *_: number == 2)
    assert (runs(report), len(begun), len(labs)) == ([2, 2, 2, 2], 9, 2)
    reason = "Not within 10 s: they are apart."
    assert report.content["aborted"] == [{"way": "no HA", "scenario": "gateway_power_off", "reason": reason}]
    assert outage.kept(tmp_path / "outage.json").content["aborted"], "also after a stop"
    assert report.content["labs"] == [FakeStage.versions] * 2
    said = f"no HA, gateway_power_off: 1 aborted, and in no figure; the last one's reason: {reason}"
    assert aborted(report.content) == [said]
    shown = pages.page({"outage": report.content})
    assert said.replace("'", "&#39;") in shown and "FRR 10.3, " in shown


def test_a_lab_that_spoils_three_runs_one_after_the_other_is_given_up(
    report: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabError, match="3 runs one after the other were aborted"):
        compared(report, monkeypatch, lambda number, *_: number > 1)
    assert (sum(runs(report)), len(report.content["aborted"])) == (1, 3)


def test_a_way_that_cannot_be_measured_does_not_keep_the_others_from_it(
    report: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabError, match=r"not measured to the end: no HA in gateway_power_off\."):
        compared(report, monkeypatch, lambda _number, *of: of == ("no HA", "gateway_power_off"), repeat=4)
    assert runs(report) == [4, 0, 4, 4]


class FakeLab:
    """Writes down what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.machines = SimpleNamespace(state=lambda _id: "running")
        self.ec2 = SimpleNamespace(
            stop_instances=lambda **_: self.asked.append("stop"),
            start_instances=lambda **_: self.asked.append("start"),
            get_waiter=lambda _name: SimpleNamespace(wait=lambda **_: None),
        )

    def host_id(self, name: str) -> str:
        return name

    def run(self, host: str, *argv: str) -> str:
        self.asked.append(" ".join((host, *argv[1:])))
        return "{}"


STOPPED = ["mon-a stop vpnha-monitor", "gw-a stop vpnha-agent", "gw-b stop vpnha-agent"]
STARTED = ["gw-b start vpnha-agent", "gw-a start vpnha-agent", "mon-a start vpnha-monitor"]


@pytest.mark.parametrize(
    ("ends", "undone"),
    [(None, ["start", *STARTED]), (LabError("no packets"), ["start", *STARTED]), (KeyboardInterrupt(), [])],
)
def test_nothing_is_repaired_when_somebody_stops_the_benchmark(
    ends: BaseException | None, undone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FakeLab()
    lookout = cast(Lookout, made)
    monkeypatch.setattr(BgpAlone, "_repaired", lambda _self: None)
    with suppress(LabError, KeyboardInterrupt), BgpAlone(lookout, "", Path()).standing(), POWER.caused(lookout):
        if ends is not None:
            raise ends
    assert made.asked == [*STOPPED, "stop", *undone]
