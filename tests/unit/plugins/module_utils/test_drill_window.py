# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a drill may begin: by local time, past midnight, over the changes of the clock, and with time left to end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.drill_window import objection, parse
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

HOUR = 3600.0


def window(**more: Any) -> dict[str, Any]:
    return {"days": ["tue", "Wednesday"], "from": "02:00", "to": "04:00", "timezone": "Europe/Berlin", **more}


def at(text: str) -> float:
    """Seconds since the epoch of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def says(now: str, seconds: float = HOUR, **more: Any) -> str:
    return objection(parse(window(**more)), at(now), seconds)


def test_without_a_window_every_time_is_good() -> None:
    assert objection(parse({}), 0.0, 1e9) == ""


@pytest.mark.parametrize("now", ["2026-01-06T01:00", "2026-01-06T02:00", "2026-01-07T01:30"])
def test_inside_with_time_enough_nothing_is_said(now: str) -> None:
    assert says(now) == ""


@pytest.mark.parametrize(
    ("now", "begins"),
    [
        ("2026-01-06T00:59:59", "Tuesday, 2026-01-06 02:00 (2026-01-06T01:00:00Z)."),
        ("2026-01-06T03:00", "Wednesday, 2026-01-07 02:00 (2026-01-07T01:00:00Z)."),  # its end is outside
        ("2026-01-07T12:00", "Tuesday, 2026-01-13 02:00 (2026-01-13T01:00:00Z)."),
        ("2026-07-06T12:00", "Tuesday, 2026-07-07 02:00 (2026-07-07T00:00:00Z)."),  # in summer
    ],
)
def test_outside_the_next_one_is_told(now: str, begins: str) -> None:
    assert says(now) == (
        "Now is outside the window for drills (02:00 to 04:00 Europe/Berlin, Tuesday, Wednesday); "
        f"the next one begins on {begins}"
    )


def test_what_could_not_end_inside_does_not_begin() -> None:
    assert says("2026-01-06T02:30", 1801) == (
        "The window for drills (02:00 to 04:00 Europe/Berlin, Tuesday, Wednesday) ends in 30 min, and this may take "
        "30 min; the next one begins on Wednesday, 2026-01-07 02:00 (2026-01-07T01:00:00Z)."
    )
    assert says("2026-01-06T02:30", 1800) == ""
    assert says("2026-01-06T01:00", 2.5 * HOUR).endswith(
        " It is open for 2 h 0 min only, so ask for fewer runs or make it longer."
    )


def test_one_past_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night: dict[str, Any] = {"days": ["tue"], "from": "23:00", "to": "02:00", "timezone": "UTC"}
    assert says("2026-01-06T23:30", **night) == ""
    assert says("2026-01-07T00:30", **night) == ""
    assert "is outside" in says("2026-01-06T00:30", **night)
    assert says("2026-01-07T02:00", **night).endswith("on Tuesday, 2026-01-13 23:00 (2026-01-13T23:00:00Z).")


def test_whole_days() -> None:
    whole: dict[str, Any] = {"days": ["sat"], "from": "00:00", "to": "24:00", "timezone": "UTC"}
    assert says("2026-01-10T00:00", 24 * HOUR, **whole) == ""
    assert "Saturday, 2026-01-17" in says("2026-01-11T00:00", **whole)
    assert objection(parse({"from": "00:00", "to": "24:00", "timezone": "UTC"}), at("2026-01-11T12:00"), HOUR) == ""


def test_the_clocks_change() -> None:
    sunday: dict[str, Any] = {"days": ["sun"]}
    # in spring 02:00 to 04:00 is one hour, and 02:00 to 03:00 is none
    assert says("2026-03-29T01:00", HOUR, **sunday) == ""
    assert says("2026-03-29T01:00", HOUR + 60, **sunday) != ""
    assert says("2026-03-28T12:00", **sunday, to="03:00").endswith("Sunday, 2026-04-05 02:00 (2026-04-05T00:00:00Z).")
    # in autumn it is three
    assert says("2026-10-25T00:00", 3 * HOUR, **sunday) == ""


def test_every_second_week() -> None:
    sunday: dict[str, Any] = {"days": ["sun"], "every_weeks": 2}
    assert [says(f"2026-01-{day}T01:00", **sunday) == "" for day in (11, 18, 25)] == [True, False, True]
    assert says("2026-01-11T12:00", **sunday).endswith("on Sunday, 2026-01-25 02:00 (2026-01-25T01:00:00Z).")
    yearly = says("2026-01-11T12:00", days=["sun"], every_weeks=52)
    assert "Sunday of every 52 weeks" in yearly
    assert "on Sunday, 2027-01-10 02:00" in yearly


def test_the_rule_of_its_beginnings_does_not_depend_on_when_it_is_made() -> None:
    made = parse(window(days=["sat", "wed"], every_weeks=2, **{"from": "22:30"}))
    assert made is not None
    assert made.rule == "DTSTART;TZID=Europe/Berlin:20260107T223000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=WE,SA"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("x", 'vpnha_drill_window should read like {days: [tue, wed], from: "02:00", to: "04:00", timezone: Europe/'),
        (window(day="mon"), "vpnha_drill_window.day: this key is unknown; it has days, from, to, timezone, every_"),
        # YAML reads 22:00 without quotes as a number
        (window(to=1320), 'vpnha_drill_window.to: 1320 is no time of day; write it in quotes, like "22:00".'),
        (window(to="25:00"), "vpnha_drill_window.to: 25:00 is no time of day; "),
        (window(every_weeks=0), "vpnha_drill_window.every_weeks: write a whole number from 1 to 52, not 0."),
        (window(timezone=None), "vpnha_drill_window.timezone: this is missing; write the name of a time zone, like"),
        ({"from": "02:00"}, 'vpnha_drill_window.to: this is missing; write it in quotes, like "22:00".'),
        (window(days=["tuesdy"]), "vpnha_drill_window.days: tuesdy is no day; write mon, tue, wed,"),
        (window(days="tue"), "vpnha_drill_window.days: write a list of days like [mon, tue],"),
        (window(days=[]), "vpnha_drill_window.days: write a list of days like [mon, tue],"),
        (
            window(timezone="Europe/Berln"),
            "vpnha_drill_window.timezone: this controller knows no time zone Europe/Berln; "
            "write one like Europe/Berlin (the package tzdata has them).",
        ),
        (
            window(to="02:00"),
            "vpnha_drill_window: nothing is between 02:00 and 02:00; for whole days write 00:00 to 24:00.",
        ),
        (
            window(**{"from": "24:00"}),
            "vpnha_drill_window: nothing is between 24:00 and 04:00; for whole days write 00:00 to 24:00.",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_in_a_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(VpnhaError) as told:
        parse(given)
    assert str(told.value).startswith(sentence)


def test_several_faults_are_told_at_once() -> None:
    with pytest.raises(VpnhaError) as told:
        parse({"days": ["x"], "timezone": "../etc", "from": "2", "to": "3"})
    assert [word in str(told.value) for word in (".days:", ".timezone:", ".from:", ".to:")] == [True] * 4
