# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Structured logs: one JSON object per line on standard output, where the service manager's journal takes them.

Lines are written by a thread behind a bounded queue, because a full pipe must not hold the loop.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
from collections.abc import Mapping
from logging.handlers import QueueHandler, QueueListener

_CAPACITY = 5_000
_LOGGER = "vpnha"

logger = logging.getLogger(_LOGGER)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {"level": record.levelname.lower(), "message": record.getMessage()}
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            line |= fields
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _DroppingHandler(QueueHandler):
    """Drops lines when the queue is full."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # formatted by the listener: the queue stays inside this process

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class Log:
    """The process's log while it runs."""

    def __init__(self) -> None:
        lines: queue.Queue[logging.LogRecord] = queue.Queue(_CAPACITY)
        stream = logging.StreamHandler(sys.stdout)
        stream.setFormatter(_Formatter())
        self._handler = _DroppingHandler(lines)
        self._listener = QueueListener(lines, stream)

    @property
    def dropped(self) -> int:
        """Lines that found the queue full."""
        return self._handler.dropped

    def start(self) -> None:
        """Send everything that the process logs to standard output."""
        root = logging.getLogger()
        root.handlers[:] = [self._handler]
        root.setLevel(logging.WARNING)  # libraries
        logger.setLevel(logging.INFO)
        self._listener.start()

    def stop(self) -> None:
        """Write what is queued."""
        self._listener.stop()


def line(message: str, level: int = logging.INFO, **fields: object) -> None:
    """One line with fields beside the message."""
    logger.log(level, message, extra={"fields": fields})
