# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which drills a journal knows of: those that ended, the one that runs, and those that died."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vpnha_monitor import drills
from vpnha_monitor.drills import DIED
from vpnha_monitor.journal import Event


def event(wall: float, code: str, drill: str, **more: object) -> Event:
    resolved = bool(more.pop("over", False))
    return Event(wall, wall, code, drill, f"{code} {drill}", more, resolved)


def rows(events: Iterable[Event], now: float = 100.0) -> list[dict[str, Any]]:
    return drills.rows(events, now)


def test_one_that_ended_one_that_died_and_one_that_runs() -> None:
    found = rows(
        [
            event(1.0, "drill-running", "d1"),
            event(5.0, "drill-running", "d1", over=True),
            event(6.04, "drill-result", "d1", passed=True, by="jane", outages_ms={"planned": 0.0}, report="/r.html"),
            event(7.0, "swap-done", "rtb-1"),
            event(10.0, "drill-running", "d2"),
            event(20.0, "drill-running", "d2", over=True),
            event(30.0, "drill-running", "d3"),
        ]
    )
    assert found[0] == {
        "wall": 1.0, "ended": 6.0, "drill": "d1", "state": "passed", "verdict": "drill-result d1", "by": "jane",
        "outages_ms": {"planned": 0.0}, "report": "/r.html",
    }  # fmt: skip
    assert [(row["drill"], row["state"], row["ended"]) for row in found[1:]] == [
        ("d2", "died", 20.0), ("d3", "running", None),
    ]  # fmt: skip
    assert found[1]["verdict"] == DIED


def test_a_monitor_that_starts_sees_the_same_drill() -> None:
    found = rows([event(1.0, "drill-running", "d1"), event(2.0, "drill-running", "d1")])
    assert [(row["wall"], row["state"]) for row in found] == [(1.0, "running")]


def test_the_same_name_again_is_another_drill() -> None:
    begun, over = event(1.0, "drill-running", "d1"), event(2.0, "drill-running", "d1", over=True)
    failed = event(3.0, "drill-result", "d1", passed=False)
    found = rows([begun, over, failed, begun, over, begun])
    assert [row["state"] for row in found] == ["failed", "died", "running"]


def test_a_result_alone_is_a_drill_too() -> None:
    found = rows([event(3.0, "drill-result", "d1", passed=False), event(4.0, "drill-result", "d1", passed=True)])
    assert [(row["wall"], row["ended"], row["state"]) for row in found] == [(3.0, 3.0, "failed"), (4.0, 4.0, "passed")]


STARTED = event(50.0, "daemon-started", "mon-a")
BEGUN = event(1.0, "drill-running", "d1")


def test_one_whose_mark_went_while_no_monitor_was_there_has_died() -> None:
    found = rows([BEGUN, STARTED], now=50.0 + 3600.0)
    assert [(row["state"], row["ended"], row["verdict"]) for row in found] == [("died", 50.0, DIED)]
    assert [row["state"] for row in rows([BEGUN, STARTED], now=60.0)] == ["running"], "EC2 may not have been read"
    again = event(400.0, "daemon-started", "mon-a")
    assert [row["state"] for row in rows([BEGUN, STARTED, again], now=700.0)] == ["running"], "each has its time"
    assert [row["ended"] for row in rows([BEGUN, STARTED, again], now=1000.0)] == [400.0]


def test_one_that_the_next_monitor_sees_runs_on() -> None:
    seen = event(52.0, "drill-running", "d1")
    assert [(row["wall"], row["state"]) for row in rows([BEGUN, STARTED, seen], now=9000.0)] == [(1.0, "running")]
    over = event(900.0, "drill-running", "d1", over=True)
    assert [row["ended"] for row in rows([BEGUN, STARTED, seen, over], now=9000.0)] == [900.0]


def test_one_that_ended_is_not_touched_by_a_start() -> None:
    passed = event(40.0, "drill-result", "d1", passed=True)
    assert [row["state"] for row in rows([BEGUN, passed, STARTED], now=9000.0)] == ["passed"]
    late = event(5000.0, "drill-result", "d1", passed=False)
    assert [row["state"] for row in rows([BEGUN, STARTED, late], now=9000.0)] == ["failed"]


def test_the_same_name_after_one_that_died_is_another_drill() -> None:
    found = rows([BEGUN, STARTED, event(90_000.0, "drill-running", "d1")], now=90_001.0)
    assert [row["state"] for row in found] == ["died", "running"]
