# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When drills are welcome: hours of chosen days by the clock of a named time zone, also past midnight."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from . import tags
from .errors import VpnhaError

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WHERE = "vpnha_drill_window"
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_KEYS = ("days", "from", "to", "timezone", "every_weeks")
_MONDAY = date(2026, 1, 5)  # weeks count from here, whenever it is asked: the same window gives the same rule
_RULE_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True)
class Window:
    """``start`` and ``end`` are minutes after midnight; an end before the start is the next day's."""

    days: tuple[int, ...]  # on which it begins; 0 is Monday
    start: int
    end: int
    zone: ZoneInfo
    every_weeks: int = 1

    def begins_on(self, day: date) -> bool:
        """Whether it begins on that day."""
        return day.weekday() in self.days and (day - _MONDAY).days // 7 % self.every_weeks == 0

    def on(self, day: date) -> tuple[float, float]:
        """From when until when it is open that begins on a day, in seconds since the epoch."""
        return self._wall(day, self.start), self._wall(day, self.end if self.end > self.start else self.end + 1440)

    def _wall(self, day: date, minutes: int) -> float:
        day += timedelta(days=minutes // 1440)
        hour, minute = divmod(minutes % 1440, 60)
        return datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone).timestamp()

    @property
    def rule(self) -> str:
        """Its beginnings, as AWX takes them for a schedule."""
        first = datetime.combine(_MONDAY + timedelta(days=self.days[0]), time(*divmod(self.start, 60)))
        days = ",".join(_RULE_DAYS[day] for day in self.days)
        return (
            f"DTSTART;TZID={self.zone.key}:{first:%Y%m%dT%H%M%S} "
            f"RRULE:FREQ=WEEKLY;INTERVAL={self.every_weeks};BYDAY={days}"
        )

    def __str__(self) -> str:
        days = "every day" if len(self.days) == 7 else ", ".join(DAYS[day].capitalize() for day in self.days)
        weeks = "" if self.every_weeks == 1 else f" of every {self.every_weeks} weeks"
        return f"{_clock(self.start)} to {_clock(self.end)} {self.zone.key}, {days}{weeks}"


def parse(given: Any) -> Window | None:
    """The window that ``vpnha_drill_window`` describes, None for an empty one. VpnhaError with all that is wrong."""
    if not given:
        return None
    if not isinstance(given, Mapping):
        raise VpnhaError(
            f'{_WHERE} should read like {{days: [tue, wed], from: "02:00", to: "04:00", timezone: Europe/Berlin}}.'
        )
    problems = [f"{_WHERE}.{key}: this key is unknown; it has {', '.join(_KEYS)}." for key in given if key not in _KEYS]
    start, end = (_minutes(key, given.get(key), problems) for key in ("from", "to"))
    days = _days(given.get("days", list(DAYS)), problems)
    zone = _zone(given.get("timezone"), problems)
    weeks = given.get("every_weeks", 1)
    if isinstance(weeks, bool) or not str(weeks).isdecimal() or not 1 <= int(weeks) <= 52:
        problems.append(f"{_WHERE}.every_weeks: write a whole number from 1 to 52, not {weeks}.")
    if start == 1440 or (start == end and not problems):
        problems.append(
            f"{_WHERE}: nothing is between {_clock(start)} and {_clock(end)}; for whole days write 00:00 to 24:00."
        )
    if problems or zone is None:
        raise VpnhaError(" ".join(problems))
    return Window(days, start, end, zone, int(weeks))


def objection(window: Window | None, now: float, seconds: float) -> str:
    """Why nothing that may take so long should begin now, in sentences; empty if it may. ``now``: wall clock."""
    if window is None:
        return ""
    today = datetime.fromtimestamp(now, window.zone).date()
    # from yesterday's, which may still be open; a day that the clocks' change leaves without it is passed over
    days = (today + timedelta(days=n) for n in range(-1, 14 * window.every_weeks + 1))
    spans = [window.on(day) for day in days if window.begins_on(day)]
    ends = max((end for start, end in spans if start <= now < end), default=None)
    if ends is not None and ends - now >= seconds:
        return ""
    start, end = next((start, end) for start, end in spans if start > now and end > start)
    local = datetime.fromtimestamp(start, window.zone)
    day = f"{DAYS[local.weekday()].capitalize()}, {local:%Y-%m-%d %H:%M}"
    begins = f"the next one begins on {day} ({tags.format_time(start)})"
    if ends is None:
        reason = f"Now is outside the window for drills ({window}); {begins}."
    else:
        left = f"ends in {_span(ends - now)}, and this may take {_span(seconds)}"
        reason = f"The window for drills ({window}) {left}; {begins}."
    if end - start < seconds:
        reason += f" It is open for {_span(end - start)} only, so ask for fewer runs or make it longer."
    return reason


def _minutes(key: str, text: Any, problems: list[str]) -> int:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        wrong = "this is missing" if text is None else f"{text} is no time of day"
        problems.append(f'{_WHERE}.{key}: {wrong}; write it in quotes, like "22:00".')
        return 0
    return 60 * int(found[1]) + int(found[2]) if found[1] else 1440


def _days(names: Any, problems: list[str]) -> tuple[int, ...]:
    if not isinstance(names, list) or not names:
        problems.append(f"{_WHERE}.days: write a list of days like [mon, tue], or leave it out for every day.")
        return ()
    known = {**{day: n for n, day in enumerate(DAYS)}, **{day[:3]: n for n, day in enumerate(DAYS)}}
    wrong = [str(name) for name in names if str(name).lower() not in known]
    problems += [f"{_WHERE}.days: {name} is no day; write mon, tue, wed, thu, fri, sat or sun." for name in wrong]
    return tuple(sorted({known[str(name).lower()] for name in names} if not wrong else ()))


def _zone(name: Any, problems: list[str]) -> ZoneInfo | None:
    if not name:
        problems.append(f"{_WHERE}.timezone: this is missing; write the name of a time zone, like Europe/Berlin.")
        return None
    try:
        return ZoneInfo(str(name))
    except (OSError, ValueError, KeyError):
        problems.append(
            f"{_WHERE}.timezone: this controller knows no time zone {name}; write one like Europe/Berlin "
            "(the package tzdata has them)."
        )
        return None


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
