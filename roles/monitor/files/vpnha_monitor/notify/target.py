# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One address that messages go to: its queue, its rate and its retries. Pure: times come as arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .facts import Message

BURST = 10  # messages at once, after a quiet time
QUEUE = 500  # messages that wait; the oldest are given up
RETRY = 5.0  # s after the first failure, doubled with each further one
RETRY_MOST = 900.0  # s
FAILING = 3  # failures in a row after which people are told by the other targets
ANOTHER = (2, 12, 50)  # failures in a row after which another message than the oldest is tried, once
LATE = 600.0  # s after which a message is marked as late
AGE_MOST = 86_400.0  # s after which it is given up


@dataclass
class Waiting:
    """A message in a target's queue; ``since`` is the monotonic time when it was new."""

    message: Message
    since: float
    tries: int = 0


@dataclass(frozen=True)
class Parcel:
    """What one try sends: a message, which may stand for many that wait."""

    message: Message
    stands_for: tuple[Message, ...]
    late: bool


@dataclass
class Target:
    """The state of one target. ``name`` is shown everywhere, and has nothing of the address but its scheme."""

    name: str
    rate: float  # messages an hour
    waiting: list[Waiting] = field(default_factory=list)
    failures: int = 0  # in a row
    error: str = ""
    sent_wall: float | None = None
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    _retry_at: float = 0.0
    _tokens: float = field(default=0.0, init=False)
    _filled_at: float | None = None
    _crowded: bool = False  # more came than the rate allows: they go as one

    @property
    def told(self) -> bool:
        """Whether people were told that it fails."""
        return self.failures >= FAILING

    def put(self, message: Message, mono: float, tries: int = 0) -> list[Message]:
        """Queue a message; returns those that are given up for it."""
        self.waiting.append(Waiting(message, mono, tries))
        lost = [one.message for one in self.waiting[: max(0, len(self.waiting) - QUEUE)]]
        self.waiting = self.waiting[len(lost) :]
        self.dropped += len(lost)
        return lost

    def expired(self, mono: float) -> list[Message]:
        """Messages that are too old to be of use; they are given up."""
        old = [one.message for one in self.waiting if mono - one.since > AGE_MOST]
        if old:
            self.waiting = [one for one in self.waiting if one.message not in old]
            self.dropped += len(old)
        return old

    def next_due(self, mono: float) -> float | None:
        """When something may be sent; None: nothing waits."""
        if not self.waiting:
            return None
        self._fill(mono)
        lacking = 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) * 3600.0 / self.rate
        return max(self._retry_at, mono + lacking)

    def parcel(self, mono: float, summary: Callable[[list[Message]], Message]) -> Parcel | None:
        """What to send now, if anything; costs one of the rate's messages."""
        if not self.waiting or mono < self._retry_at:
            return None
        self._fill(mono)
        if self._tokens < 1.0 - 1e-9:
            self._crowded = self._crowded or len(self.waiting) > 1
            return None
        self._tokens = max(0.0, self._tokens - 1.0)
        if self._crowded and len(self.waiting) > 1:
            messages = [one.message for one in self.waiting]
            return Parcel(summary(messages), tuple(messages), late=False)
        self._crowded = False
        first = self._next()
        return Parcel(first.message, (first.message,), late=mono - first.since > LATE)

    def _next(self) -> Waiting:
        """The oldest, so that they come in their order; once another, since it may be the oldest that is refused.

        Seldom, for mostly it is the target that is away, and the end of a trouble must not be told before its begin.
        """
        others = ANOTHER.index(self.failures) + 1 if self.failures in ANOTHER else 0
        return self.waiting[others % len(self.waiting)]

    def succeeded(self, parcel: Parcel, wall: float) -> bool:
        """It was sent. Whether that ends a failure that people were told of."""
        told = self.told
        self.waiting = [one for one in self.waiting if one.message not in parcel.stands_for]
        if len(parcel.stands_for) > 1:
            self._crowded = False
        self.failures, self.error, self._retry_at = 0, "", 0.0
        self.sent_wall = wall
        self.sent += 1
        return told

    def failed_with(self, parcel: Parcel, error: str, mono: float) -> bool:
        """It was not sent. Whether people are to be told now that the target fails."""
        for one in self.waiting:
            if one.message in parcel.stands_for:
                one.tries += 1
        self.failures += 1
        self.failed += 1
        self.error = error
        self._tokens += 1.0  # what was not sent costs nothing: the pauses below are its limit
        self._retry_at = mono + min(RETRY_MOST, RETRY * 2 ** min(self.failures - 1, 20))
        return self.failures == FAILING

    def _fill(self, mono: float) -> None:
        burst = min(float(BURST), max(1.0, self.rate))
        if self._filled_at is None:
            self._tokens = burst
        else:
            self._tokens = min(burst, self._tokens + (mono - self._filled_at) * self.rate / 3600.0)
        self._filled_at = mono
