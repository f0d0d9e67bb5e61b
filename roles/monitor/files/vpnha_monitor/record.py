# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything that happens is written: journal, log, counters, and a short memory for ``status``."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note, RepairResult, RouteKey, SwapResult
from ansible_collections.vpnha.aws.plugins.module_utils.places import HOUR, NOT_BEGUN

from . import log
from .clock import monotonic
from .journal import Event, Journal, read
from .metrics import Counters

_REMEMBERED = 50
_ACTIONS_REMEMBERED = 20


def moves_before(journal: Path, now: float) -> dict[RouteKey, tuple[float, ...]]:
    """The voluntary moves of the last hour that the journal tells of, in this process's time: a restart forgives none.

    A journal that is not there or cannot be read tells of none; whoever writes to it says so.
    """
    wall = time.time()
    try:
        events = read(journal, wall - HOUR)
    except (OSError, sqlite3.Error, ValueError):
        return {}
    moved: dict[RouteKey, tuple[float, ...]] = {}
    for event in events:
        table, _blank, destination = event.subject.partition(" ")
        if event.code == "swap-accepted" and event.evidence.get("voluntary") is True and destination:
            key = RouteKey(table, destination)
            moved[key] = (*moved.get(key, ()), now - max(0.0, wall - event.wall))
    return moved


class Recorder:
    """Called from the loop only; nothing here blocks."""

    def __init__(self, journal: Journal, counters: Counters) -> None:
        self.recent: deque[Event] = deque(maxlen=_REMEMBERED)
        self.actions: deque[dict[str, Any]] = deque(maxlen=_ACTIONS_REMEMBERED)
        self._journal = journal
        self._counters = counters

    def note(self, note: Note, state: Mapping[str, object] | None = None) -> None:
        """Record what the engine or a room of the monitor says; ``state`` is what it was decided from."""
        event = Event(time.time(), monotonic(), note.code, note.subject, note.text, note.evidence, note.resolved)
        self.recent.append(event)
        self._counters.events.labels(note.code, str(note.resolved).lower()).inc()
        self._journal.put(event)
        fields: dict[str, object] = {
            "code": note.code,
            "subject": note.subject,
            "resolved": note.resolved,
            "evidence": dict(note.evidence),
        }
        if state is not None:
            fields["state"] = dict(state)
        log.line(note.text, _level(note), **fields)

    def swapped(self, result: SwapResult) -> None:
        """What became of a swap."""
        swap = result.swap
        outcome = self._acted(
            result, table=swap.key.table_id, destination=swap.key.destination, gateway=swap.gateway, reason=swap.reason
        )
        self._counters.swaps.labels(outcome, swap.reason).inc()
        if result.accepted:
            self._counters.swap_seconds.observe(result.milliseconds / 1000)

    def repaired(self, result: RepairResult) -> None:
        """What became of a repair."""
        repair = result.repair
        outcome = self._acted(result, gateway=repair.gateway, repair=repair.rung, reason=repair.reason)
        self._counters.repairs.labels(outcome, repair.rung).inc()
        if result.error:
            log.line(f"Repair of {repair.gateway}: {result.detail}", logging.WARNING, code="repair-failed")

    def _acted(self, result: SwapResult | RepairResult, **what: str) -> str:
        """Remember it; how it ended, in a word."""
        outcome = {True: "accepted", False: "refused", None: "unknown"}[result.accepted]
        if result.accepted is False and result.error in NOT_BEGUN:  # EC2 was not asked
            outcome = "not begun"
        milliseconds = round(result.milliseconds, 1)
        self.actions.append(
            {"wall": time.time(), **what, "outcome": outcome, "error": result.error, "milliseconds": milliseconds}
        )
        return outcome

    def error(self, room: str, error: BaseException) -> None:
        """An error that must not end the monitor: counted, and logged with its traceback."""
        self._counters.errors.labels(room).inc()
        log.logger.error(
            "%s: %s", room, error, exc_info=error, extra={"fields": {"room": room, "error": type(error).__name__}}
        )


def _level(note: Note) -> int:
    diagnosis = DIAGNOSES.get(note.code)
    quiet = note.resolved or diagnosis is None or diagnosis.action == "none"
    return logging.INFO if quiet else logging.WARNING
