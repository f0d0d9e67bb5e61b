# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A maintenance window: what is refused, the rule of its beginnings, and when it is open."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.maintenance_window import read

SUNDAY: dict[str, Any] = {"days": ["SU"], "start": "02:00", "end": "04:00", "timezone": "Europe/Berlin"}


def wall(text: str, zone: str = "Europe/Berlin") -> float:
    """A moment by the clock of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"end": None}, 'w.end: a time of day like "02:00" is needed; it is missing.'),
        ({"start": "25:00"}, "w.start: a time of day like \"02:00\" is needed; '25:00' is none."),
        ({"end": "02:00"}, "w.end: the window would end when it starts, at 02:00."),
        (
            {"timezone": "Europe/Berlyn"},
            "w.timezone: the name of a time zone like Europe/Berlin is needed; 'Europe/Berlyn' is none.",
        ),
        ({"timezone": None}, "w.timezone: the name of a time zone like Europe/Berlin is needed; it is missing."),
        ({"days": "SU"}, "w.days: a list of weekdays is needed, each one of MO, TU, WE, TH, FR, SA, SU."),
        ({"days": []}, "w.days: a list of weekdays is needed, each one of MO, TU, WE, TH, FR, SA, SU."),
        ({"every_weeks": 0}, "w.every_weeks: a whole number from 1 to 52 is needed, not 0."),
        ({"until": 1}, "w.until: this key is unknown; known are days, start, end, timezone, every_weeks."),
    ],
)
def test_one_sentence_for_each_fault(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(VpnhaError) as caught:
        read(SUNDAY | change, "w")
    assert str(caught.value) == sentence


def test_the_rule_begins_on_the_first_of_its_days() -> None:
    window = read(SUNDAY | {"days": ["SA", "we"], "start": 22 * 60 + 30, "every_weeks": 2}, "w")
    assert window.rule == ("DTSTART;TZID=Europe/Berlin:20260107T223000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=WE,SA")
    assert str(window) == "WE, SA of every 2 weeks from 22:30 to 04:00 Europe/Berlin"


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-06-07T01:59", False),
        ("2026-06-07T02:00", True),
        ("2026-06-07T03:59", True),
        ("2026-06-07T04:00", False),
        ("2026-06-08T03:00", False),
        ("2026-01-04T03:00", True),  # before the first rule's week, in winter
    ],
)
def test_it_is_open_by_the_zones_clock(moment: str, is_open: bool) -> None:
    assert read(SUNDAY, "w").holds(wall(moment)) is is_open


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-06-07T22:59", False),
        ("2026-06-07T23:00", True),
        ("2026-06-08T00:59", True),
        ("2026-06-08T01:00", False),
        ("2026-06-07T00:30", False),
    ],
)
def test_past_midnight_it_belongs_to_the_day_before(moment: str, is_open: bool) -> None:
    assert read(SUNDAY | {"start": "23:00", "end": "01:00"}, "w").holds(wall(moment)) is is_open


def test_every_second_week() -> None:
    window = read(SUNDAY | {"every_weeks": 2}, "w")
    assert [window.holds(wall(f"2026-01-{day}T03:00")) for day in (11, 18, 25)] == [True, False, True]
