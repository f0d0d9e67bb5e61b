# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what AWS shows in a thread of its own, at an interval and out of turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_LEAST_GAP = 0.1  # s between two reads, however often they are asked for: EC2 counts them
_RETRY = 1.0  # s after a failed read, or the interval if that is shorter


@dataclass(frozen=True)
class Reading(Generic[T]):
    """One read: its view, or why there is none. ``began`` is the monotonic time before the first call of it."""

    began: float
    ended: float
    view: T | None
    error: Exception | None = None


class Reader(Generic[T]):
    """Calls ``read`` again and again, and hands each reading to ``deliver``, which runs in the reader's thread."""

    def __init__(
        self,
        read: Callable[[], T],
        interval: float,
        deliver: Callable[[Reading[T]], None],
        name: str = "ec2-reader",
        retry: float = _RETRY,
    ) -> None:
        self.interval = interval
        self._retry = retry
        self._read = read
        self._deliver = deliver
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin with a read at once."""
        self._thread.start()

    def request(self) -> None:
        """Read now; a read that is already under way may have missed what matters, so another one follows it."""
        self._wanted.set()

    def stop(self) -> None:
        """Begin no more reads."""
        self._stopped.set()
        self._wanted.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wanted.clear()
            reading = self._once()
            if self._stopped.is_set():
                return
            self._deliver(reading)
            if not self._stopped.wait(_LEAST_GAP):
                self._wanted.wait(self.interval if reading.error is None else min(self.interval, self._retry))

    def _once(self) -> Reading[T]:
        began = time.monotonic()
        try:
            view = self._read()
        except Exception as error:  # whatever it is, the monitor goes on by its last view, and tells
            return Reading(began, time.monotonic(), None, error)
        return Reading(began, time.monotonic(), view)
