# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real threads on a virtual clock, which moves on only when every one of them sleeps or waits for another."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class VirtualTime:
    """The thread that makes it is one of those that it counts."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.lock = threading.Lock()
        self._busy = 1
        self._sleepers: list[tuple[float, int, threading.Event]] = []
        self._number = 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Until the clock has moved on by so much."""
        awake = threading.Event()
        with self.lock:
            self._number += 1
            heapq.heappush(self._sleepers, (self.now + max(0.0, seconds), self._number, awake))
            self.rests()
        awake.wait()

    def rests(self) -> None:
        """A thread has nothing to do; call with the lock."""
        self._busy -= 1
        if not self._busy and self._sleepers:
            at, _number, awake = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            self.works(awake)

    def works(self, awake: threading.Event | None = None) -> None:
        """A thread has something to do; call with the lock."""
        self._busy += 1
        if awake is not None:
            awake.set()

    def threads(self, workers: int, _name: str) -> Executor:
        """As ThreadPoolExecutor."""
        return _Threads(self, workers)


class _Awaited(Future[Any]):
    """Whoever waits for it rests."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time
        self._waiting: list[threading.Event] = []

    def result(self, timeout: float | None = None) -> Any:
        awake = threading.Event()
        with self._time.lock:
            if self.done():
                awake.set()
            else:
                self._waiting.append(awake)
                self._time.rests()
        awake.wait()
        return super().result(timeout)

    def ended(self) -> None:
        """Wake those who wait."""
        with self._time.lock:
            for awake in self._waiting:
                self._time.works(awake)
            self._waiting.clear()


class _Threads(Executor):
    def __init__(self, time: VirtualTime, workers: int) -> None:
        self._time, self._free = time, workers
        self._tasks: deque[tuple[_Awaited, Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = _Awaited(self._time)
        with self._time.lock:
            self._tasks.append((future, lambda: fn(*args, **kwargs)))
            if self._free:
                self._free -= 1
                self._time.works()
                threading.Thread(target=self._work, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            with self._time.lock:
                if not self._tasks:
                    self._free += 1
                    self._time.rests()
                    return
                future, task = self._tasks.popleft()
            try:
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)
            future.ended()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._time.lock:
            if cancel_futures:
                self._tasks.clear()
