# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drills that a journal knows of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .journal import Event

DIED = "It is over, and nobody said what came of it: its controller has died, or did not reach this monitor at the end."
_READS_WITHIN = 600.0  # s in which a monitor that has started reads EC2, and sees the mark of a drill that still runs


def rows(events: Iterable[Event], now: float) -> list[dict[str, Any]]:
    """A row for each drill, oldest first, as `vpnha drills --json` has it; what nobody said is empty.

    A monitor sees the mark that a drill is running come and go, and the role says at the end what came of it.
    ``now`` is seconds since the epoch.
    """
    found: list[dict[str, Any]] = []
    latest: dict[str, dict[str, Any]] = {}
    unseen: dict[str, float] = {}  # drills that ran when a monitor ended, and when one has started that must see them
    for event in events:
        _give_up(latest, unseen, event.wall)
        row = latest.get(event.subject)
        if event.code == "daemon-started":
            unseen |= {drill: event.wall for drill, its in latest.items() if its["state"] == "running"}
        elif event.code == "drill-running" and not event.resolved:
            unseen.pop(event.subject, None)
            if row is None or row["state"] != "running":  # else a monitor has started, and sees the same
                row = latest[event.subject] = _row(event)
                found.append(row)
        elif event.code == "drill-running":
            if row is not None and row["state"] == "running":
                row |= _died(event.wall)
        elif event.code == "drill-result":
            if row is None or row["state"] in ("passed", "failed"):
                row = latest[event.subject] = _row(event)
                found.append(row)
            row |= _result(event)
    _give_up(latest, unseen, now)
    return found


def _give_up(latest: Mapping[str, dict[str, Any]], unseen: dict[str, float], now: float) -> None:
    """The mark of a drill that no monitor sees any more went while none was there."""
    for drill, started in list(unseen.items()):
        if latest[drill]["state"] != "running":
            del unseen[drill]
        elif now - started >= _READS_WITHIN:
            latest[drill].update(_died(unseen.pop(drill)))


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


def _died(wall: float) -> dict[str, Any]:
    return {"state": "died", "ended": round(wall, 1), "verdict": DIED}


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
