# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drills that a journal knows of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .journal import Event

DIED = "It is over, and nobody said what came of it: its controller has died, or did not reach this monitor at the end."


def rows(events: Iterable[Event]) -> list[dict[str, Any]]:
    """A row for each drill, oldest first, as `vpnha drills --json` has it; what nobody said is empty.

    A monitor sees the mark that a drill is running come and go, and the role says at the end what came of it.
    """
    found: list[dict[str, Any]] = []
    latest: dict[str, dict[str, Any]] = {}
    for event in events:
        row = latest.get(event.subject)
        if event.code == "drill-running" and not event.resolved:
            if row is None or row["state"] != "running":  # else a monitor has started, and sees the same
                row = latest[event.subject] = _row(event)
                found.append(row)
        elif event.code == "drill-running":
            if row is not None and row["state"] == "running":
                row |= {"state": "died", "ended": round(event.wall, 1), "verdict": DIED}
        elif event.code == "drill-result":
            if row is None or row["state"] in ("passed", "failed"):
                row = latest[event.subject] = _row(event)
                found.append(row)
            row |= _result(event)
    return found


def _row(event: Event) -> dict[str, Any]:
    return {
        "wall": round(event.wall, 1),
        "ended": None,
        "drill": event.subject,
        "state": "running",
        "verdict": "",
        "by": "",
        "outages_ms": {},
        "report": "",
    }


def _result(event: Event) -> dict[str, Any]:
    said = event.evidence
    return {
        "ended": round(event.wall, 1),
        "state": "passed" if said.get("passed") else "failed",
        "verdict": event.text,
        "by": said.get("by", ""),
        "outages_ms": said.get("outages_ms", {}),
        "report": said.get("report", ""),
    }
