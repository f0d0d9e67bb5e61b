# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of ways to swap: what it counts, what it calls done, and when it goes on or begins anew."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error, VpnhaError
from benchmarks import __main__ as pages
from benchmarks import enclosed, peers
from benchmarks.kept import Kept
from benchmarks.swapping import __main__ as swapping
from benchmarks.swapping import stand as stands
from benchmarks.swapping import ways
from benchmarks.swapping.stand import Stand
from benchmarks.swapping.summary import bound, cells
from benchmarks.swapping.ways import Monitor, MoveIp, RouteSwap, Way, WayFailed
from tests.unit.endpoint_process import endpoint
from tests.unit.fake_clock import Clock

CELL = swapping.Cell(2, 2, throttle=False)
LIMITS = swapping.Limits(10, 60.0, 300.0, 900.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Two tables with two destinations each, without proxy and delay."""
    with endpoint(tmp_path_factory.mktemp("ec2")) as url:
        yield stands.build(2, 2, url, url)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """An empty one; nothing was fetched."""
    monkeypatch.setattr(peers, "versions", lambda: {"awscli": "1"})
    return swapping.kept(tmp_path / "swapping.json", LIMITS)


def of(way: str, seconds: float | None, error: str = "", cell: swapping.Cell = CELL) -> dict[str, Any]:
    """A swap as it is kept."""
    at = {"tables": cell.tables, "destinations": cell.destinations, "throttle": cell.throttle}
    return {"way": way, "seconds": seconds, "ended": seconds or 1.0, "given_up": False, "error": error, **at}


class Idle(Way):
    """Ends at once, and has done nothing."""

    name = "idle"
    says = ""

    def swap(self, gateway: str) -> None:
        """Do nothing."""


class Half(Idle):
    """Fails after one table."""

    name = "half"

    def swap(self, gateway: str) -> None:
        """Swap one table."""
        for destination in self.stand.destinations:
            self.stand.client.replace_route(
                RouteTableId=self.stand.tables[0], DestinationCidrBlock=destination,
                NetworkInterfaceId=self.stand.enis[gateway],
            )  # fmt: skip
        raise WayFailed("half: exit code 1: enough")


class Blind(Idle):
    """Cannot read EC2 in the middle of it."""

    def swap(self, gateway: str) -> None:
        """Fail as the monitor's view does."""
        raise VpnhaError("EC2 does not answer")


class Unprepared(Idle):
    """Cannot read EC2 before it."""

    def prepare(self) -> None:
        """Fail as the monitor's view does."""
        raise Ec2Error("DescribeRouteTables", "Throttling", "slower")


def test_routes_are_brought_together_past_ec2s_buckets(tmp_path: Path) -> None:
    with endpoint(tmp_path, real_buckets=True) as url:
        made = stands.build(2, 30, url, url)
        assert swapping.settled(made) == "gw-a"
        made.throttle = True
        stands.throttled(url, True)
        exhaust(made, "gw-b")
        assert len(made.leads_to()) == 2
        assert swapping.settled(made) == "gw-a"
        assert made.leads_to() == {made.enis["gw-a"]}
        exhaust(made, "gw-b")  # the buckets are there again


def exhaust(made: Stand, gateway: str) -> None:
    """Swap one route until EC2 wants no more."""
    wanted = {"RouteTableId": made.tables[0], "DestinationCidrBlock": made.destinations[0]}
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        while True:
            made.client.replace_route(**wanted, NetworkInterfaceId=made.enis[gateway])


def test_the_monitor_swaps_all_and_is_counted_by_ec2(made: Stand, tmp_path: Path) -> None:
    made.move("gw-a")
    way = Monitor(made, tmp_path, 900.0)
    one = swapping.swapped(way, made, "gw-b")
    assert (one["swaps"], one["refused"], one["error"]) == (4, 0, "")
    assert 0.0 < one["seconds"] <= one["ended"]
    assert way.actuator.limits.changes.level > 40.0, "it began with a full bucket, as after a quiet hour"
    assert made.leads_to() == {made.enis["gw-b"]}


@pytest.mark.parametrize(
    ("way", "swaps", "error"),
    [
        (Idle, 0, "idle has ended, and not all routes lead to gw-b."),
        (Half, 2, "half: exit code 1: enough"),
        (Blind, 0, "EC2 does not answer"),
        (Unprepared, 0, "DescribeRouteTables: Throttling: slower"),
    ],
)
def test_who_has_not_swapped_all_has_failed(
    made: Stand, tmp_path: Path, way: type[Way], swaps: int, error: str
) -> None:
    made.move("gw-a")
    one = swapping.swapped(way(made, tmp_path, 900.0), made, "gw-b")
    assert (one["swaps"], one["given_up"], one["error"]) == (swaps, False, error)
    assert made.leads_to() == {made.enis["gw-b"]}, "the next one begins with all routes at one gateway"


class Endless(Idle):
    """Waits, in a program that a program has started, in a session of its own."""

    def swap(self, gateway: str) -> None:
        """Never end."""
        self.run(["bash", "-c", f"setsid bash -c 'while true; do sleep 1; done' {self.directory} & sleep 600"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a namespace of processes")
def test_a_way_that_does_not_end_is_stopped_with_all_that_it_has_started(made: Stand, tmp_path: Path) -> None:
    made.move("gw-a")
    one = swapping.swapped(Endless(made, tmp_path, 1.0), made, "gw-b")
    assert (one["seconds"], one["given_up"], one["swaps"], one["error"]) == (None, True, 0, "")
    assert made.leads_to() == {made.enis["gw-b"]}, "the next one begins with all routes at one gateway"
    limit = time.monotonic() + 60
    while running(str(tmp_path)):
        assert time.monotonic() < limit, "what it has started still runs"
        time.sleep(0.05)


def running(mark: str) -> bool:
    """Whether there is a process with that in its command."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark in each.read_text(encoding="utf-8", errors="replace"):
                return True
    return False


class Slow(Idle):
    """Swaps all, and does not end."""

    name = "slow"

    def swap(self, gateway: str) -> None:
        """Swap all, and wait."""
        self.stand.move(gateway)
        self.run(["sleep", "600"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a namespace of processes")
def test_a_way_that_has_swapped_all_before_it_is_stopped_has_its_figure(made: Stand, tmp_path: Path) -> None:
    made.move("gw-a")
    one = swapping.swapped(Slow(made, tmp_path, 1.0), made, "gw-b")
    assert (one["given_up"], one["swaps"], one["error"]) == (False, 4, "")
    assert 0.0 < one["seconds"] <= one["ended"]


def test_a_monitor_whose_swap_does_not_end_is_given_up(
    made: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.move("gw-a")
    way = Monitor(made, tmp_path, 0.0)
    monkeypatch.setattr(way.actuator, "swap", lambda _wanted: None)
    one = swapping.swapped(way, made, "gw-b")
    assert (one["swaps"], one["given_up"], one["error"]) == (0, True, "")


def test_a_benchmark_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pages.main(["swaping"])
    assert ended.value.code == 2
    known = "decision, load, sas, growth, outage, deploying, swapping"
    assert f"There is no benchmark swaping: they are {known}." in capsys.readouterr().err


def test_it_runs_enclosed_so_that_nothing_is_left_of_it_however_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[Any] = []
    monkeypatch.setattr("sys.argv", ["swapping", "--runs", "3"])
    monkeypatch.setattr(peers, "fetch", lambda: began.append("fetched"))
    monkeypatch.setattr(enclosed, "run", lambda *asked: began.append(asked) or enclosed.INTERRUPTED)
    assert swapping.main() == enclosed.INTERRUPTED
    assert began == ["fetched", ("benchmarks.swapping", ["--runs", "3"])]


@pytest.mark.parametrize(
    ("calls", "throttle", "seconds"),
    [(1, True, 0.15), (50, True, 0.15), (51, True, 0.35), (500, True, 90.15), (500, False, 0.15)],
)
def test_the_bound_is_ec2s_bucket_and_one_delay(calls: int, throttle: bool, seconds: float) -> None:
    assert bound(calls, 0.15, throttle) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("way", "longest", "runs"),
    [
        (MoveIp, 59.0, 10),
        (MoveIp, 61.0, 3),
        (MoveIp, 301.0, 1),
        (Monitor, 301.0, 10),
        (RouteSwap, 301.0, 10),
    ],
)
def test_a_slow_way_swaps_less_often_and_ours_as_often_as_asked(way: type[Way], longest: float, runs: int) -> None:
    done = [of(way.name, longest)] * runs
    assert LIMITS.due(way, done[:-1]) or runs == 1
    assert not LIMITS.due(way, done)


@pytest.mark.parametrize(
    ("failed", "measured", "due"), [(1, 9, True), (1, 10, False), (2, 0, True), (3, 0, False), (5, 9, True)]
)
def test_what_failed_is_made_up_for_and_not_for_ever(failed: int, measured: int, due: bool) -> None:
    done = [of(MoveIp.name, None, "broken")] * failed + [of(MoveIp.name, 1.0)] * measured
    assert LIMITS.due(MoveIp, done) == due


@pytest.mark.parametrize(("throttle", "seconds"), [(False, 0.0), (True, 0.8)])
def test_only_ec2s_bucket_is_waited_for_and_only_as_long_as_it_takes(
    made: Stand, monkeypatch: pytest.MonkeyPatch, throttle: bool, seconds: float
) -> None:
    monkeypatch.setattr(swapping, "time", Clock(1000.0))
    monkeypatch.setattr(swapping.time, "time", swapping.time, raising=False)
    monkeypatch.setattr(Stand, "swapped", lambda _made, since: [one for one in (991.0, 999.4) if one >= since])
    cell = swapping.Cell(1, 7, throttle)
    assert swapping.rest(cell, made) == pytest.approx(seconds)


@pytest.mark.parametrize(("way", "given"), [(RouteSwap, "/ours"), (MoveIp, None), (ways.CommandLine, None)])
def test_others_do_not_inherit_our_python_path(
    made: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: type[Way], given: str | None
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    assert way(made, tmp_path, 900.0).environment.get("PYTHONPATH") == given


def test_only_what_others_have_made_is_cut_short() -> None:
    assert [way.name for way in ways.WAYS if way.ours] == ["vpnha.aws monitor", "vpnha.aws.route_swap"]


def test_a_benchmark_that_is_cut_off_has_sizes_with_buckets_and_without() -> None:
    first = swapping.sizes([1, 20], [1, 5])[:4]
    assert [(each.destinations, each.throttle) for each in first] == [(1, False), (1, True), (5, False), (5, True)]


def test_what_was_measured_is_gone_on_with(report: Kept, tmp_path: Path) -> None:
    report.add(of(Monitor.name, 0.2))
    assert len(swapping.kept(tmp_path / "swapping.json", LIMITS).having(way=Monitor.name, **asdict(CELL))) == 1
    patient = swapping.kept(tmp_path / "swapping.json", swapping.Limits(10, 60.0, 1e9, 900.0))
    assert len(patient.having(way=Monitor.name, **asdict(CELL))) == 1, "more of the same is no other measurement"
    assert patient.content["limits"]["most_s"] == 1e9


@pytest.mark.parametrize("name", ["amazon.aws", "ansible-core", "botocore", "Python"])
def test_what_was_measured_of_another_version_is_not(
    report: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    report.add(of(Monitor.name, 0.2))
    assert report.content["versions"][name][0].isdigit()
    monkeypatch.setattr(peers, "libraries", lambda: {**report.content["versions"], name: "0"})
    assert swapping.kept(tmp_path / "swapping.json", LIMITS).having(way=Monitor.name, **asdict(CELL)) == []


def test_what_was_measured_of_other_code_is_not(report: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.add(of(Monitor.name, 0.2))
    monkeypatch.setattr(swapping, "commit", lambda: "another")
    assert swapping.kept(tmp_path / "swapping.json", LIMITS).having(way=Monitor.name, **asdict(CELL)) == []


def test_a_size_tells_the_spread_who_failed_and_who_was_first(report: Kept) -> None:
    idle = list(report.content["ways"])[-1]
    for one in (of(Monitor.name, 0.3), of(Monitor.name, 0.1), of(Monitor.name, 0.2), of(idle, None, "broken")):
        report.add(one)
    [size] = cells(report.content)
    assert size.ways[Monitor.name].text == "0.20 (0.10 to 0.30, 3)"
    assert size.ways[idle].text == "-, 1 failed"
    assert (size.first, size.bound) == ((Monitor.name,), 0.15)
    report.add(of(idle, 0.01))
    assert cells(report.content)[0].first == (Monitor.name,), "who has failed once is not first"


def test_who_was_given_up_has_no_figure_is_not_first_and_does_not_try_again(report: Kept) -> None:
    for one in (of(MoveIp.name, 880.0), of(MoveIp.name, None) | {"given_up": True, "ended": 900.0}):
        report.add(one)
    [size] = cells(report.content)
    assert (size.ways[MoveIp.name].text, size.ways[MoveIp.name].runs) == ("not within 900", 2)
    assert size.first == ()
    assert not LIMITS.due(MoveIp, report.having(way=MoveIp.name)[1:])
    longer = swapping.Limits(10, 60.0, 300.0, 3600.0)
    assert longer.due(MoveIp, report.having(way=MoveIp.name)[1:]), "it has more time now"
    report.add(of(MoveIp.name, 1500.0))
    assert cells(report.content)[0].ways[MoveIp.name].text == "1190.00 (880.00 to 1500.00, 2)"


def test_the_page_and_its_picture_show_what_there_is(report: Kept, tmp_path: Path) -> None:
    report.add(of(Monitor.name, 0.25))
    content = json.loads((tmp_path / "swapping.json").read_text(encoding="utf-8"))
    pages.bars(content, tmp_path / "swapping.svg")
    assert "<svg" in (tmp_path / "swapping.svg").read_text(encoding="utf-8")
    shown = pages.page({"swapping": content})
    assert '<td class="n yes">0.25 (1)</td>' in shown and "What monitor and agent cost" not in shown
    assert (
        "only three times where\none swap took longer than 60 s, and once, without a spread, where longer than\n300 s. "
        "A swap that had not ended after\n900 s was stopped." in shown
    )


def test_the_picture_names_also_a_way_that_is_not_at_every_size(report: Kept, tmp_path: Path) -> None:
    for one in (of(Monitor.name, 0.2), of(MoveIp.name, 4.0), of(Monitor.name, 0.3, cell=swapping.Cell(20, 5, True))):
        report.add(one)
    pages.bars(report.content, tmp_path / "swapping.svg")
    drawn = (tmp_path / "swapping.svg").read_text(encoding="utf-8")
    assert drawn.count(f"<!-- {Monitor.name} -->") == drawn.count(f"<!-- {MoveIp.name} -->") == 1


def test_the_report_of_all_benchmarks_has_each_size_with_bound_medians_and_who_was_first(
    report: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (of(Monitor.name, 0.3), of(Monitor.name, 0.1), of(MoveIp.name, 4.0), of(RouteSwap.name, None, "broken")):
        report.add(one)
    [size] = pages.gathered(tmp_path)["swapping"]["rows"]
    assert (size["tables"], size["destinations"], size["throttle"]) == (2, 2, False)
    assert (size["bound"], size["first"]) == (0.15, (Monitor.name,))
    assert list(size["ways"]) == [way.name for way in ways.WAYS]
    assert size["ways"][Monitor.name] == {
        "median": 0.2,
        "least": 0.1,
        "most": 0.3,
        "runs": 2,
        "failed": 0,
        "given_up": None,
    }
    assert (size["ways"][MoveIp.name]["median"], size["ways"][RouteSwap.name]["failed"]) == (4.0, 1)


def test_parts_of_different_commits_are_not_shown_as_one_run(
    report: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.add(of(Monitor.name, 0.25))
    said = "The parts were not measured in one run"
    assert said not in pages.page(pages.gathered(tmp_path))
    (tmp_path / "decision.json").write_text(json.dumps({"commit": "another", "rows": []}), encoding="utf-8")
    found = pages.gathered(tmp_path)
    assert found["commits"] == sorted(["another", report.content["commit"]])
    assert said in pages.page(found)
