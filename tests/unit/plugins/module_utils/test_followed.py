# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the counters say after a person's swap: that packets follow, that they do not, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.followed import PATIENCE, Followed, follow

HQ, PLANT = "192.168.10.0/24", "192.168.20.0/24"


def status(gw_a: dict[str, int] | None, gw_b: dict[str, int] | None) -> dict[str, Any]:
    return {
        "gateways": [{"name": "gw-a", "counters": gw_a}, {"name": "gw-b", "counters": gw_b}],
        "routes": [{"table": "rtb-1", "destination": net, "zone": "zone-a"} for net in (HQ, PLANT)],
    }


def rows(*destinations: str, action: str = "swap", accepted: bool | None = True) -> list[dict[str, Any]]:
    return [
        {"route_table_id": "rtb-1", "destination": net, "zone": "zone-a", "after": "gw-b"}
        | {"action": action, "accepted": accepted}
        for net in destinations
    ]


def followed(
    before: dict[str, Any], moved: list[dict[str, Any]], *later: dict[str, Any]
) -> tuple[list[Followed], float]:
    """What is found, and the seconds it took; the last of ``later`` is what the monitor says from then on."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    said: Iterator[dict[str, Any]] = iter(later)
    last = [before]

    def read() -> dict[str, Any]:
        last[0] = next(said, last[0])
        return last[0]

    return follow(before, moved, read, lambda: now, sleep), now


def test_packets_that_follow_are_seen_at_once() -> None:
    before = status({"zone-a": 100}, {"zone-a": 7})
    still, there = status({"zone-a": 103}, {"zone-a": 7}), status({"zone-a": 103}, {"zone-a": 8})
    found, seconds = followed(before, rows(HQ, PLANT), still, there)
    assert found == [Followed("gw-b", "zone-a", True, "gw-b carries packets of zone-a.")]
    assert seconds < 1.0


def test_packets_that_get_lost_are_told_after_a_bounded_time() -> None:
    found, seconds = followed(
        status({"zone-a": 100}, {"zone-a": 7}), rows(HQ, PLANT), status({"zone-a": 103}, {"zone-a": 7})
    )
    (one,) = found
    assert one.carrying is False and "although zone-a sent some" in one.text
    assert PATIENCE <= seconds < PATIENCE + 1.0


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"zone-a": 7}, {"zone-a": 7}, "zone-a has sent no packet"),
        (None, {"zone-a": 7}, "What gw-b counts of zone-a is not known."),
        ({"zone-a": 7}, None, "What gw-b counts of zone-a is not known."),
        ({"zone-a": 7}, {"zone-a": 2}, "What gw-b counts of zone-a is not known."),  # its agent began anew
    ],
)
def test_what_cannot_be_told_is_not(before: dict[str, int] | None, after: dict[str, int] | None, said: str) -> None:
    busy = {"zone-a": 100}
    ((one,), _seconds) = followed(status(busy, before), rows(HQ, PLANT), status(busy, after))
    assert one.carrying is None and said in one.text


def test_a_zone_that_was_moved_in_part_is_not_judged() -> None:
    ((one,), seconds) = followed(status({"zone-a": 1}, {"zone-a": 1}), rows(HQ), status({"zone-a": 9}, {"zone-a": 9}))
    assert one.carrying is None and "Not all routes of zone-a were moved" in one.text
    assert seconds == 0.0


@pytest.mark.parametrize("moved", [rows(HQ, action="none"), rows(HQ, accepted=False), rows(HQ, accepted=None), []])
def test_where_nothing_was_swapped_nothing_is_said(moved: list[dict[str, Any]]) -> None:
    assert followed(status({}, {}), moved) == ([], 0.0)
