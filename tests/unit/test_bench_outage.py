# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of outages: what is a figure and what is none, when all is well, and what is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import __main__ as pages
from benchmarks import peers
from benchmarks.kept import Kept
from benchmarks.outage import __main__ as outage
from benchmarks.outage import ways
from benchmarks.outage.scenarios import Scenario
from benchmarks.outage.stage import PacedProbes
from benchmarks.outage.summary import dots, rows
from benchmarks.outage.ways import Way
from lab.matrix import lookout as lookouts
from lab.matrix.lookout import Lookout
from tests.unit.fake_clock import Clock

POWER, BLOCK = "gateway_power_off", "tunnel_block"


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """An empty one; nothing was fetched."""
    monkeypatch.setattr(peers, "versions", lambda: {"awscli": "1"})
    return outage.kept(tmp_path / "outage.json")


def of(way: str, scenario: str, milliseconds: float, recovered: bool = True) -> dict[str, Any]:
    """A run as it is kept."""
    return {
        "way": way, "scenario": scenario, "outage_ms": milliseconds, "recovered": recovered, "patience_s": 20.0,
    }  # fmt: skip


# --- What is reported ------------------------------------------------------------------------------------------


def test_a_row_has_median_and_spread_and_who_did_not_recover_has_no_figure(report: Kept) -> None:
    for milliseconds in (700.0, 900.0, 710.0):
        report.add(of("vpnha.aws", POWER, milliseconds))
    report.add(of("no HA", POWER, 19_990.0, recovered=False))
    ours, *_others, nobody = rows(report.content)
    assert ours.scenarios[POWER].text == "710 (700 to 900, 3)"
    assert ours.scenarios[BLOCK].text == "-"
    assert nobody.scenarios[POWER].text == "did not recover within 20 s (1)"


def test_runs_that_did_not_recover_stand_beside_the_figures_of_those_that_did(report: Kept) -> None:
    for milliseconds, recovered in ((700.0, True), (19_990.0, False), (800.0, True)):
        report.add(of("BGP alone", BLOCK, milliseconds, recovered))
    spread = rows(report.content)[1].scenarios[BLOCK]
    assert spread.text == "750 (700 to 800, 2); did not recover within 20 s (1)"


def test_first_is_who_recovered_soonest_and_each_time(report: Kept) -> None:
    for milliseconds in (700.0, 900.0):
        report.add(of("vpnha.aws", BLOCK, milliseconds))
    for milliseconds, recovered in ((100.0, True), (19_990.0, False)):
        report.add(of("BGP alone", BLOCK, milliseconds, recovered))
    assert {row.way: row.first for row in rows(report.content) if row.first} == {"vpnha.aws": (BLOCK,)}
    report.add(of("no HA", BLOCK, 650.0))
    assert {row.way: row.first for row in rows(report.content) if row.first} == {"no HA": (BLOCK,)}


def test_the_page_and_its_picture_have_all_ways(report: Kept, tmp_path: Path) -> None:
    report.add(of("vpnha.aws", POWER, 725.0))
    report.add(of("no HA", POWER, 19_990.0, recovered=False))
    dots(report.content, tmp_path / "outage.svg")
    assert "<svg" in (tmp_path / "outage.svg").read_text(encoding="utf-8")
    shown = pages.page({"outage": report.content})
    for said in ("725 (1)", "did not recover within 20 s (1)", *report.content["ways"]):
        assert said in shown


def test_the_report_of_all_benchmarks_has_medians_and_runs(
    report: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for milliseconds in (700.0, 900.0, 710.0):
        report.add(of("vpnha.aws", POWER, milliseconds))
    found = pages.gathered(tmp_path)["outage"]
    assert len(found["runs"]) == 3
    assert found["rows"][0]["scenarios"][POWER] == {
        "runs": 3, "recovered": 3, "median": 710.0, "least": 700.0, "most": 900.0, "within": 20.0,
    }  # fmt: skip


def test_what_was_measured_is_gone_on_with_unless_the_code_is_other(
    report: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.add(of("no HA", POWER, 19_990.0, recovered=False))
    assert len(outage.kept(tmp_path / "outage.json").having(way="no HA", scenario=POWER)) == 1
    assert outage.kept(tmp_path / "outage.json").having(way="no HA", scenario=BLOCK) == []
    monkeypatch.setattr(outage, "commit", lambda: "another")
    assert outage.kept(tmp_path / "outage.json").having(way="no HA", scenario=POWER) == []


# --- A run -----------------------------------------------------------------------------------------------------


class FakeProbes:
    """Every packet is answered, but from ``broken`` until ``mended``."""

    def __init__(self, clock: Clock, lasts: float) -> None:
        self._clock, self._lasts, self.broken = clock, lasts, float("inf")
        self.sending = False
        self.looks: list[float] = []

    def start(self) -> None:
        self.sending = True

    def stop(self) -> None:
        self.sending = False

    def pace(self) -> dict[str, Any]:
        return {"missed_ticks": 3, "late_sends": 7}

    def steady_seconds(self, since: float) -> float:
        self.looks.append(self._clock())
        now = self._clock()
        if now < self.broken:
            return now - since
        return max(0.0, now - max(since, self.broken + self._lasts))

    def measured(self, start: float, end: float) -> list[dict[str, Any]]:
        lost = min(end, self.broken + self._lasts) - self.broken
        return [
            {"longest_ms": lost * 1000, "sent": int((end - start) * 100), "lost": int(lost * 100)},
            {"longest_ms": 0.0, "sent": 1, "lost": 0},
        ]


class Watched(Way):
    """A way that writes down what becomes of it."""

    name = "watched"
    says = ""

    def __init__(self, seen: list[str]) -> None:
        super().__init__(cast(Lookout, None), "192.168.10.10", Path())
        self.seen = seen

    @contextmanager
    def standing(self) -> Iterator[None]:
        """It watches."""
        self.seen.append("stands")
        yield
        self.seen.append("is gone")


@pytest.mark.parametrize(
    ("lasts", "recovered", "milliseconds", "ended"),
    [
        (0.7, True, 700.0, 4.0),  # not before it has shown
        (5.0, True, 5000.0, 7.0),
        (19.0, False, 19_000.0, 20.0),  # back, and not yet for long enough to call it over
        (500.0, False, 20_000.0, 20.0),
    ],
)
def test_a_run_ends_with_recovery_or_patience_and_then_it_is_repaired(
    monkeypatch: pytest.MonkeyPatch, lasts: float, recovered: bool, milliseconds: float, ended: float
) -> None:
    clock, seen, repaired = Clock(100.0), [], []
    monkeypatch.setattr(clock, "time", clock, raising=False)
    monkeypatch.setattr(lookouts, "time", clock)
    monkeypatch.setattr(outage, "time", clock)
    probes = FakeProbes(clock, lasts)

    @contextmanager
    def caused(_lookout: Lookout) -> Iterator[None]:
        probes.broken = clock()
        seen.append("broken")
        yield
        repaired.append(clock())
        seen.append("repaired")

    scenario = Scenario(POWER, "", caused)
    one = outage.one_run(Watched(seen), scenario, cast(PacedProbes, probes))
    assert (one["recovered"], one["patience_s"]) == (recovered, 20.0)
    assert one["outage_ms"] == pytest.approx(milliseconds, abs=200 if recovered else 700)
    assert repaired[0] - probes.broken == pytest.approx(ended, abs=0.7)
    assert one["pace"] == {"missed_ticks": 3, "late_sends": 7}
    later = [look for look in probes.looks if look > probes.broken + 11.0]
    assert all(after - before > 0.4 for before, after in pairwise(later)), "each look reads all packets"
    assert seen == ["stands", "broken", "repaired", "is gone"] and not probes.sending


def agreeing(monkeypatch: pytest.MonkeyPatch, clock: Clock, unwell: Callable[[], list[str]]) -> float:
    """When all is called well, of a lab that has something to say against it now and then."""
    monkeypatch.setattr(lookouts, "time", clock)
    monkeypatch.setattr(ways, "time", clock)
    monkeypatch.setattr(ways, "unwell", lambda _lookout: unwell())
    ways.well(cast(Lookout, None))
    return clock()


def test_all_is_well_only_after_a_while_without_a_word_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    at = agreeing(monkeypatch, clock, lambda: ["gw-a's session is Idle."] if 3.0 <= clock() < 8.0 else [])
    assert at == pytest.approx(8.0 + ways.CALM_SECONDS, abs=0.3)


def test_what_does_not_become_well_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(lookouts.NotSeen, match=r"all is well for 5 s\. gw-a's session is Idle\."):
        agreeing(monkeypatch, Clock(), lambda: ["gw-a's session is Idle."])


# --- What is asked for -----------------------------------------------------------------------------------------


def test_a_way_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["outage", "--ways", "keepalived"])
    with pytest.raises(SystemExit, match=r"No way's name has 'keepalived' in it: they are vpnha\.aws, BGP alone,"):
        outage.main()


def test_what_is_measured_already_starts_no_lab(
    report: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for scenario in (POWER, BLOCK):
        report.add(of("BGP alone", scenario, 640.0))
    monkeypatch.setattr("sys.argv", ["outage", "--ways", "BGP", "--runs", "1"])
    monkeypatch.setattr(peers, "fetch", lambda: None)
    monkeypatch.setattr(outage, "REPORT", tmp_path / "outage.json")
    monkeypatch.setattr(outage, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(outage, "compare", lambda *_: pytest.fail("the lab was wanted"))
    outage.main()
    assert "640 (1)" in capsys.readouterr().out
