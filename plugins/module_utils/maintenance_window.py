# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A maintenance window: hours of some weekdays, by the clock of a named time zone. Pure functions over plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .errors import VpnhaError

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
KEYS = ("days", "start", "end", "timezone", "every_weeks")
_MONDAY = date(2026, 1, 5)  # rules begin in this week, whenever they are made: the same window gives the same rule


@dataclass(frozen=True)
class Window:
    """A window as it was read; one whose end is not after its start ends on the next day."""

    days: tuple[int, ...]  # 0 is Monday
    start: time
    end: time
    zone: ZoneInfo
    every_weeks: int = 1

    def __str__(self) -> str:
        days = ", ".join(DAYS[day] for day in self.days)
        weeks = "" if self.every_weeks == 1 else f" of every {self.every_weeks} weeks"
        return f"{days}{weeks} from {self.start:%H:%M} to {self.end:%H:%M} {self.zone.key}"

    @property
    def rule(self) -> str:
        """The beginnings of the window, as AWX takes them for a schedule."""
        first = datetime.combine(_MONDAY + timedelta(days=self.days[0]), self.start)
        days = ",".join(DAYS[day] for day in self.days)
        return (
            f"DTSTART;TZID={self.zone.key}:{first:%Y%m%dT%H%M%S} "
            f"RRULE:FREQ=WEEKLY;INTERVAL={self.every_weeks};BYDAY={days}"
        )

    def holds(self, wall: float) -> bool:
        """Whether the window is open at that moment, in seconds since the epoch."""
        here = datetime.fromtimestamp(wall, UTC).astimezone(self.zone)
        now = here.time()
        if self.start < self.end:
            return self._opens(here.date()) and self.start <= now < self.end
        return (self._opens(here.date()) and now >= self.start) or (
            self._opens(here.date() - timedelta(days=1)) and now < self.end
        )

    def _opens(self, day: date) -> bool:
        week = (day - _MONDAY).days // 7
        return day.weekday() in self.days and week % self.every_weeks == 0


def read(window: Mapping[str, Any], where: str) -> Window:
    """The window of a mapping with `KEYS`. VpnhaError with a sentence for each thing that is wrong."""
    problems = [
        f"{where}.{key}: this key is unknown; known are {', '.join(KEYS)}." for key in window if key not in KEYS
    ]
    days = [str(day).upper()[:2] for day in window.get("days") or ()]
    if not days or isinstance(window.get("days"), str) or set(days) - set(DAYS):
        problems.append(f"{where}.days: a list of weekdays is needed, each one of {', '.join(DAYS)}.")
    start = _time(window, "start", where, problems)
    end = _time(window, "end", where, problems)
    if start is not None and start == end:
        problems.append(f"{where}.end: the window would end when it starts, at {start:%H:%M}.")
    zone = _zone(window.get("timezone"), where, problems)
    weeks = window.get("every_weeks", 1)
    if isinstance(weeks, bool) or not str(weeks).isdecimal() or not 1 <= int(weeks) <= 52:
        problems.append(f"{where}.every_weeks: a whole number from 1 to 52 is needed, not {weeks}.")
    if problems or start is None or end is None or zone is None:
        raise VpnhaError(" ".join(problems))
    return Window(tuple(sorted({DAYS.index(day) for day in days})), start, end, zone, int(weeks))


def _time(window: Mapping[str, Any], key: str, where: str, problems: list[str]) -> time | None:
    value = window.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)  # what YAML makes of 22:00 without quotes
    if isinstance(value, str) and re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value):
        hours, minutes = value.split(":")
        return time(int(hours), int(minutes))
    given = "it is missing" if value in (None, "") else f"{value!r} is none"
    problems.append(f'{where}.{key}: a time of day like "02:00" is needed; {given}.')
    return None


def _zone(name: Any, where: str, problems: list[str]) -> ZoneInfo | None:
    try:
        return ZoneInfo(str(name or ""))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        given = f"{name!r} is none" if name else "it is missing"
        problems.append(f"{where}.timezone: the name of a time zone like Europe/Berlin is needed; {given}.")
        return None
