# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's limits, kept on this side: how many calls at once, how many a second, and slower when EC2 says so.

EC2 counts by account and region with token buckets. It documents 50 tokens and 5 a second for calls that change
something and have no limit of their own, as ReplaceRoute, and 100 tokens and 20 a second for those that read. Whether
all such calls share a bucket has been documented in both ways, so they share one here. EC2 may add a second's tokens
all at once: so many fewer are taken at first, and somewhat fewer afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import Ec2Error

THROTTLED = frozenset(
    {"RequestLimitExceeded", "RequestThrottled", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)
SIDE_BY_SIDE = 32  # swaps under way at the same time

_SHARE = 0.96  # of EC2's refill
_SLOWEST = 1 / 4  # of the own rate: slower it never is, since routes wait
_RECOVERY = 60.0  # s from standing still to the full refill; half of it takes half of that
_ONE_ANSWER = 1.0  # s in which refusals count as one: calls side by side are refused side by side
_READ_PATIENCE = 3.0  # s that a read waits for its token
_READ_RESERVE = 20.0  # tokens that are left for reading swaps back
_TOLD = "ReplaceRoute"  # whoever swaps tells of its refusals, with any client: heard here too, they would count twice


@dataclass(frozen=True)
class Published:
    """A bucket as EC2 documents it, and what is taken of it."""

    size: float
    refill: float  # a second

    @property
    def capacity(self) -> float:
        """How many calls are made at once."""
        return self.size - self.refill

    @property
    def rate(self) -> float:
        """How many are made a second after that."""
        return self.refill * _SHARE


CHANGES = Published(50.0, 5.0)
READS = Published(100.0, 20.0)


class Tokens(Protocol):
    """Where a call gets the permission to be made."""

    def acquire(self, deadline: float | None = None, *, count: int = 1) -> bool:
        """Waits for so many tokens and takes them; False, without any, if they would come after ``deadline``."""

    def throttled(self) -> None:
        """To be called when EC2 says that its limit is reached."""


class TokenBucket:
    """Tokens for calls, ``capacity`` at once and ``rate`` a second.

    Others may empty EC2's bucket too. When EC2 refuses a call for it, no token is left, and those that follow come at
    half the rate, which grows back within a minute. Thread-safe; ``clock`` and ``sleep`` are seconds, monotonic.
    ``level``: tokens at first. Who may have made calls just before, as a monitor that has crashed, begins with none.
    """

    def __init__(
        self,
        capacity: float = CHANGES.capacity,
        rate: float = CHANGES.rate,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        level: float | None = None,
    ) -> None:
        self.capacity = capacity
        self.rate = rate
        self.refusals = 0  # calls that EC2 refused
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = capacity if level is None else level
        self._pace = rate  # of the moment
        self._at = clock()
        self._slowed_at = float("-inf")

    def acquire(self, deadline: float | None = None, spare: float = 0.0, count: int = 1) -> bool:
        """Takes tokens, waiting for them if need be; False, without one, if they would come after ``deadline``.

        ``spare`` tokens are left for calls that are more urgent.
        """
        with self._lock:
            self._refill()
            wait = max(0.0, (count + spare - self._tokens) / self._pace)
            if deadline is not None and self._at + wait > deadline:
                return False
            self._tokens -= count  # below zero: taken in advance, in the order of asking
        if wait > 0.0:
            self._sleep(wait)
        return True

    def wait_for(self, count: float) -> float:
        """Seconds until so many tokens are there, at the pace of the moment; 0.0 if they are there now."""
        with self._lock:
            self._refill()
            return max(0.0, (count - self._tokens) / self._pace)

    def throttled(self) -> None:
        """Call when EC2 says that the limit is reached: no token is left, and it goes on at half the pace."""
        with self._lock:
            self._refill()
            self.refusals += 1
            self._tokens = min(self._tokens, 0.0)
            if self._at - self._slowed_at >= _ONE_ANSWER:
                self._slowed_at = self._at
                self._pace = max(self.rate * _SLOWEST, self._pace / 2)

    @property
    def pace(self) -> float:
        """Tokens a second at this moment."""
        with self._lock:
            self._refill()
            return self._pace

    @property
    def level(self) -> float:
        """Tokens that are there; below zero while some have been taken in advance."""
        with self._lock:
            self._refill()
            return self._tokens

    def _refill(self) -> None:
        now = self._clock()
        passed = max(0.0, now - self._at)
        growing = min(passed, (self.rate - self._pace) * _RECOVERY / self.rate)
        grown = self._pace + growing * self.rate / _RECOVERY
        new = growing * (self._pace + grown) / 2 + (passed - growing) * self.rate
        self._tokens = min(self.capacity, self._tokens + new)
        self._pace = min(self.rate, grown)
        self._at = now


_URGENT: ContextVar[bool] = ContextVar("urgent", default=False)


@contextmanager
def urgently() -> Iterator[None]:
    """Reads inside the block, in this thread, may use the tokens that are kept for them."""
    before = _URGENT.set(True)
    try:
        yield
    finally:
        _URGENT.reset(before)


class Limits:
    """All that one process asks of EC2: a bucket for what changes something, and one for reads.

    Tokens for changes are taken where they are ordered, because they have an order and deadlines. Reads take theirs in
    the client, wherever they come from: `watch` it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        fresh: bool = True,
    ) -> None:
        """``fresh``: nobody has made calls just before."""
        self._clock = clock
        level = None if fresh else 0.0
        self.changes = TokenBucket(CHANGES.capacity, CHANGES.rate, clock, sleep, level)
        # What a start itself has to read, some ten calls, is there in any case: EC2 has 20 a second.
        self.reads = TokenBucket(READS.capacity, READS.rate, clock, sleep, None if fresh else 2 * _READ_RESERVE)

    def watch(self, client: Any) -> Any:
        """Makes an EC2 client of botocore keep the limits; returns it."""
        client.meta.events.register("provide-client-params.ec2", self._before)
        client.meta.events.register("after-call.ec2", self._after)
        return client

    def _before(self, model: Any, **_more: Any) -> None:
        if not _reads(model.name):
            return
        spare = 0.0 if _URGENT.get() else _READ_RESERVE
        if not self.reads.acquire(self._clock() + _READ_PATIENCE, spare):
            raise Ec2Error(model.name, "RequestLimitExceeded", "EC2's limit on reads is used up, and this one can wait")

    def _after(self, model: Any, parsed: Any, **_more: Any) -> None:
        if parsed.get("Error", {}).get("Code") in THROTTLED and model.name != _TOLD:
            (self.reads if _reads(model.name) else self.changes).throttled()


def _reads(operation: str) -> bool:
    return operation.startswith(("Describe", "Get"))


def seconds_for(calls: int) -> float:
    """Seconds until the last of so many changes may begin, from a full bucket."""
    return max(0.0, calls - CHANGES.capacity) / CHANGES.rate
