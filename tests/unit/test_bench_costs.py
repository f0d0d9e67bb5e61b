# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks of the daemons' cost and of growth: what they count, and when it counts."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as pages
from benchmarks import enclosed
from benchmarks.figures import figure, first
from benchmarks.gateway import NotUp
from benchmarks.growth import __main__ as growth
from benchmarks.growth import summary as growing
from benchmarks.growth.works import Size
from benchmarks.kept import Kept
from benchmarks.load import __main__ as load
from benchmarks.load import others
from benchmarks.load import summary as costs
from benchmarks.load.plan import plan_of
from benchmarks.sas import __main__ as asking

PATIENCE = 60.0


def window(daemon: str, gateways: int, share: float, **more: Any) -> dict[str, Any]:
    """One window as it is kept."""
    return {
        "daemon": daemon, "gateways": gateways, "share_of_a_core": share, "share_of_children": 0.0, "resident_mb": 80.0,
        "most_resident_mb": 90.0, "sent_per_second": 400.0, "received_per_second": 398.0, "heartbeats_per_second": 40.0,
        "heartbeats_per_second_due": 40, **more,
    }  # fmt: skip


def question(way: str, tunnels: int, milliseconds: float, error: str = "") -> dict[str, Any]:
    """One question to charon as it is kept."""
    return {
        "way": way, "tunnels": tunnels, "milliseconds": milliseconds, "cpu_ms": milliseconds / 2, "charon_ms": 0.5,
        "error": error,
    }  # fmt: skip


def run(work: str, seconds: float, size: Size = growth.BASE, **calls: int) -> dict[str, Any]:
    """One run of the growth as it is kept."""
    at = {"tables": size.tables, "gateways": size.gateways, "sites": size.sites}
    return {"work": work, **at, "seconds": seconds, "cpu_ms": None if work == "route_swap" else 1.5, "calls": calls}


# --- What is reported -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "-"),
        ([0.25], "0.25 (1)"),
        ([3.0, 1.0, 2.0], "2.00 (1.00 to 3.00, 3)"),
        ([1.0, 2.0], "1.50 (1.00 to 2.00, 2)"),
    ],
)
def test_a_figure_is_a_median_with_its_spread(values: list[float], text: str) -> None:
    assert figure(values).text() == text


@pytest.mark.parametrize(
    ("of", "names"),
    [
        ({}, ()),
        ({"quick": [], "slow": [9.0]}, ("slow",)),
        ({"quick": [1.0, 2.0, 3.0], "chance": [2.9, 2.9], "slow": [2.0, 3.1, 4.0]}, ("quick", "chance")),
        ({"slow": [1.1, 1.9], "quick": [1.0]}, ("quick",)),
    ],
)
def test_first_is_also_whose_median_the_first_ones_own_runs_reach(
    of: dict[str, list[float]], names: tuple[str, ...]
) -> None:
    assert first({name: figure(values) for name, values in of.items()}) == names


def test_a_daemons_row_is_of_its_own_windows() -> None:
    windows = [window("monitor", 20, share) for share in (0.2, 0.1, 0.3)]
    windows += [window("agent", 20, 0.05), window("monitor", 2, 0.04)]
    small, monitor, agent = costs.rows({"windows": windows})
    assert (small.gateways, monitor.gateways, monitor.share.text(1)) == (2, 20, "0.2 (0.1 to 0.3, 3)")
    assert (agent.daemon, agent.share.median, agent.sent.median) == ("agent", 0.05, 400.0)


@pytest.mark.parametrize(
    ("daemon", "share", "most", "too_much"),
    [
        ("monitor", 0.5, 200.0, False),
        ("monitor", 0.51, 90.0, True),
        ("monitor", 0.2, 200.1, True),
        ("agent", 0.6, 90.0, False),
    ],
)
def test_more_than_was_promised_is_told(daemon: str, share: float, most: float, too_much: bool) -> None:
    [row] = costs.rows({"windows": [window(daemon, 100, share, most_resident_mb=most)]})
    assert row.too_much is too_much


@pytest.mark.parametrize(("answered", "busy", "text"), [(38.0, 0, "0.30 (0.10 to 0.50, 2)"), (37.9, 1, "0.10 (1)")])
def test_a_window_in_which_the_machine_was_too_busy_is_told_and_spoils_no_other(
    answered: float, busy: int, text: str
) -> None:
    windows = [window("agent", 2, 0.1), window("agent", 2, 0.5, heartbeats_per_second=answered)]
    [row] = costs.rows({"windows": windows})
    assert (row.busy, row.share.text()) == (busy, text)


class Daemon:
    """A daemon whose windows are answered as told, and that is well at the end or not."""

    def __init__(self, answered: list[float], well: bool = True) -> None:
        self.answered, self.well = iter(answered), well

    def windows(
        self, daemon: str, gateways: int, more: Callable[[], bool], _seconds: float
    ) -> Iterator[dict[str, Any]]:
        while more():
            yield window(daemon, gateways, 0.1, heartbeats_per_second=next(self.answered))
        if not self.well:
            raise NotUp("The monitor did not come to hear every gateway.")


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the benchmark of one daemon at one size, as it is enclosed."""
    monkeypatch.setattr(load, "REPORT", tmp_path / "load.json")

    def run(daemon: Daemon) -> int:
        monkeypatch.setattr(load, "windows", daemon.windows)
        asked = ["--inside", "--daemons", "monitor", "--gateways", "2", "--runs", "3", "--seconds", "10"]
        monkeypatch.setattr("sys.argv", ["load", *asked])
        return load.main()

    return run


def test_windows_that_do_not_count_are_made_up_for_and_not_for_ever(loaded: Callable[..., int]) -> None:
    assert loaded(Daemon([40.0, 1.0, 40.0, 1.0, 1.0, 1.0])) == 0
    report = load.kept(load.REPORT, 10.0)
    assert (load.done(report, "monitor", 2), len(report.having())) == (2, 6)
    assert loaded(Daemon([40.0])) == 0, "the next benchmark has one to make up for"
    [row] = costs.rows(load.kept(load.REPORT, 10.0).content)
    assert (row.share.runs, row.busy) == (3, 4)


def test_no_window_counts_of_a_daemon_that_is_not_well_at_the_end(loaded: Callable[..., int]) -> None:
    assert loaded(Daemon([40.0, 40.0, 40.0], well=False)) == load.FAILED
    assert not load.kept(load.REPORT, 10.0).having()


@pytest.mark.parametrize(
    ("codes", "share", "ends"),
    [
        ([1, 0], 0.1, (load.FAILED, 2)),  # a traceback of the enclosed one is no figure
        ([0, 0], 0.1, (load.TOO_BUSY, 2)),
        ([enclosed.INTERRUPTED, 0], 0.1, (enclosed.INTERRUPTED, 1)),
        ([0, 0], 0.6, (load.TOO_MUCH, 0)),
    ],
)
def test_what_fails_keeps_nothing_else_from_being_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: list[int], share: float, ends: tuple[int, int]
) -> None:
    monkeypatch.setattr(load, "REPORT", tmp_path / "load.json")
    if share > costs.HALF_A_CORE:
        for gateways in (2, 20):
            load.kept(load.REPORT, 10.0).add(window("monitor", gateways, share))
    ran: list[Any] = []
    monkeypatch.setattr(enclosed, "run", lambda *given: ran.append(given) or codes[len(ran) - 1])
    monkeypatch.setattr("sys.argv", ["load", "--daemons", "monitor", "--gateways", "2", "20", "--runs", "1"])
    code = load.main()
    assert (code, len(ran)) == ends
    [part] = [part for part in pages.PARTS if part.name == "load"]
    assert (code in part.failing) == (code in (load.TOO_BUSY, load.TOO_MUCH)) and 1 not in part.failing


def test_growth_has_a_curve_for_what_alone_changes() -> None:
    many, wide = replace(growth.BASE, tables=1000), replace(growth.BASE, gateways=100)
    runs = [run("read", 0.5, many, DescribeRouteTables=10), run("read", 0.3, DescribeRouteTables=1, DescribeVpcs=1)]
    runs += [run("read", 0.9, wide), run("read", 0.7, many, DescribeRouteTables=12), run("swap", 9.0)]
    report = {"works": {"read": "", "swap": ""}, "runs": runs}
    curve = growing.along(growing.rows(report), "read", "tables", {"tables": 100, "gateways": 10, "sites": 2})
    assert [(row.size["tables"], row.milliseconds.median) for row in curve] == [(100, 300.0), (1000, 600.0)]
    assert [row.calls_text for row in curve] == ["1 DescribeRouteTables, 1 DescribeVpcs", "11 DescribeRouteTables"]


def test_the_sizes_change_in_one_thing_each() -> None:
    base = (growth.BASE.tables, growth.BASE.gateways, growth.BASE.sites)
    others = [(each.tables, each.gateways, each.sites) for each in growth.sizes()[1:]]
    assert all(sum(a != b for a, b in zip(base, other, strict=True)) == 1 for other in others)
    assert [Size(10, 3, 2).of_one, Size(1, 100, 20).of_one] == [8, 20]


@pytest.mark.parametrize(("seconds", "done", "left"), [(50.0, 3, 7), (61.0, 1, 2), (61.0, 3, 0), (61.0, 4, 0)])
def test_what_takes_long_is_done_thrice(seconds: float, done: int, left: int) -> None:
    assert growth.left([{"seconds": seconds}] * done, 10) == left


def test_the_page_and_its_pictures_show_what_there_is(tmp_path: Path) -> None:
    reports = {
        "load": load.kept(tmp_path / "load.json", 10.0),
        "sas": asking.kept(tmp_path / "sas.json", {"strongSwan": "6.0.1"}),
        "growth": growth.kept(tmp_path / "growth.json"),
    }
    empty = pages.page({})
    reports["load"].add(window("monitor", 20, 0.123))
    reports["load"].add(window("monitor", 20, 0.123, heartbeats_per_second=1.0))
    reports["load"].add(window("monitor", 100, 0.123, heartbeats_per_second=1.0))
    reports["sas"].add(question(asking.WAYS[0].name, 10, 1234.5))
    reports["growth"].add(run("swap", 0.6543, ReplaceRoute=20))
    found = pages.gathered(tmp_path)
    assert (found["load"]["rows"][0]["share"]["runs"], found["load"]["rows"][0]["busy"]) == (1, 1)
    shown = pages.page(found)
    for said in (
        "0.123 (1)",
        "too few heartbeats were answered: 1; the\nmachine was too busy.",
        "1234.50 (1)",
        "strongSwan 6.0.1",
        "654.30 (1)",
        "20 ReplaceRoute",
    ):
        assert said in shown and said not in empty
    for name, draw in pages.PICTURES.items():
        if name in reports:
            draw(found[name], tmp_path / f"{name}.svg")
            assert "<svg" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("of", [load, asking, growth])
def test_what_was_measured_of_other_code_is_not_gone_on_with(
    of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report() -> Kept:
        more = {load: (10.0,), asking: ({},), growth: ()}[of]
        kept: Kept = of.kept(tmp_path / "kept.json", *more)
        return kept

    report().add({"some": "step"})
    assert report().having(some="step")
    monkeypatch.setattr(of, "commit", lambda: "another")
    assert not report().having(some="step")


# --- Who talks with the daemons ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gateways", "sites"), [(100, 2), (10, 20)])
def test_a_plan_gives_nothing_twice(gateways: int, sites: int) -> None:
    plan = plan_of(gateways, sites)
    assert len(plan.tunnels) == gateways * sites
    for of in ("name", "inside_cidr", "if_id", "peer_address"):
        assert len({getattr(tunnel, of) for tunnel in plan.tunnels}) == len(plan.tunnels), of


def test_all_others_are_answered_and_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.2", 0))
        monkeypatch.setattr(others, "PORT", probe.getsockname()[1])
    monkeypatch.setattr(others, "MONITORS", ("127.0.0.9",))
    plan = plan_of(3)
    plan = replace(plan, gateways=tuple(replace(g, address=f"127.0.0.{n + 2}") for n, g in enumerate(plan.gateways)))
    answering = others.Answering(plan, ["gw-000"])
    asked = others.Asking(plan, "gw-000", ["gw-001", "gw-002"])
    asked.send(asked._began + 0.05)  # the other gateways' and the monitor's first, and not yet their second
    limit = time.monotonic() + PATIENCE
    while asked.answers < 3:
        assert time.monotonic() < limit
        for descriptor in select.select([*answering.sockets, *asked.sockets], [], [], 1.0)[0]:
            if descriptor in answering.sockets:
                answering.readable(descriptor, time.monotonic())
            else:
                asked.readable(descriptor)
    assert answering.answered == 3
    for sock, _answerer, _bodies in answering.sockets.values():
        sock.close()
    for each in asked.sockets.values():
        each.close()
