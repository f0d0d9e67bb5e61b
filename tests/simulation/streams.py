# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams of probes, computed instead of played: what a ``LossWindow`` would say, at any moment, without the idle time.

Each probe's fate follows from the stream's condition when it was sent and from a hash of its number, so that the
same schedule always gives the same losses.
"""

from __future__ import annotations

from math import ceil, floor, inf

from ansible_collections.vpnha.aws.plugins.module_utils.model import LossStats

EVERY = 0.05
DUE = 0.1
RTT = 0.002
SILENCE = 0.5  # seconds after which the long window begins anew
_MASK = (1 << 64) - 1


def chance(seed: int, number: int) -> float:
    """A number from 0 to 1 that looks random (splitmix64)."""
    z = (seed + number * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) / 2**64


class _Segment:
    """A stretch of probes sent under one condition."""

    __slots__ = ("before", "first", "loss", "prefix", "rtt", "seed")

    def __init__(self, first: int, before: int, loss: float, rtt: float, seed: int) -> None:
        self.first, self.before, self.loss, self.rtt, self.seed = first, before, loss, rtt, seed
        self.prefix = [0]  # of random losses, grown as needed

    def is_lost(self, k: int) -> bool:
        if self.loss <= 0.0:
            return False
        return self.loss >= 1.0 or chance(self.seed, k) < self.loss

    def lost_before(self, k: int) -> int:
        """How many of the stream's probes before ``k`` are lost."""
        if self.loss <= 0.0:
            return self.before
        if self.loss >= 1.0:
            return self.before + k - self.first
        while len(self.prefix) <= k - self.first:
            n = self.first + len(self.prefix) - 1
            self.prefix.append(self.prefix[-1] + self.is_lost(n))
        return self.before + self.prefix[k - self.first]


class Stream:
    """Probes every 50 ms from ``born`` on; ``watched`` is the start or the last break of whoever counts them."""

    def __init__(self, seed: int, born: float) -> None:
        self.seed = seed
        self.phase = chance(seed, 1) * EVERY
        self.born = self.watched = born
        self._segments = [_Segment(self._first(born), 0, 0.0, RTT, seed)]
        self._alive_again = self._segments[0].first  # the first probe after the last silence
        self._clean_since = born  # since when every probe has been answered in time; never, if one is not
        self._calm_since = born  # the same, and been counted

    @property
    def condition(self) -> tuple[float, float]:
        """Share of probes lost, and seconds to the answer of the others."""
        return self._segments[-1].loss, self._segments[-1].rtt

    def change(self, t: float, loss: float, rtt: float = RTT) -> None:
        """From ``t`` on another condition."""
        if (loss, rtt) == self.condition:
            return
        first = self._first(t)
        if self._segments[-1].loss >= 1.0 and (first - self._segments[-1].first) * EVERY >= SILENCE:
            self._alive_again = first
        self._segments.append(_Segment(first, self._segments[-1].lost_before(first), loss, rtt, self.seed))
        self._clean_since = self.phase + first * EVERY if loss <= 0.0 and rtt <= DUE else inf
        self._calm_since = max(self._clean_since, self.watched)

    def restart(self, t: float, forget: bool = True) -> None:
        """Whoever counts begins anew; with ``forget`` it does not know the last answer either."""
        self.watched = t
        self._calm_since = max(self._clean_since, t)
        if forget:
            self.born = t

    def calm(self, now: float, seconds: float) -> bool:
        """Whether nothing has been amiss for so long that its figures only repeat."""
        return now - self._calm_since > seconds + EVERY

    def stats(self, now: float, window: float, slow_window: float) -> LossStats:
        """What a ``LossWindow`` that was fed with these probes says."""
        phase, segment = self.phase, self._segments[-1]
        if now - self._calm_since > slow_window + EVERY:  # calm, the usual case, at once
            rtt = segment.rtt
            answered = floor((now - rtt - phase) / EVERY)
            sent = answered - ceil((now - window - phase) / EVERY) + 1
            return LossStats(sent, 0, True, now - (phase + answered * EVERY + rtt), 0.0, True)
        since, last = ceil((self.watched - phase) / EVERY), floor((now - phase) / EVERY)
        low = max(since, ceil((now - window - phase) / EVERY))
        sent, lost = self._count(low, last, now)
        slow_since = max(since, self._alive_again)
        slow_low, slow_high = max(slow_since, ceil((now - slow_window - phase) / EVERY)), self._last(now - DUE) + 1
        slow = 0.0
        if slow_high > slow_low:
            if slow_low < segment.first or 0.0 < segment.loss < 1.0:
                slow = (self._lost_before(slow_high) - self._lost_before(slow_low)) / (slow_high - slow_low)
            elif segment.loss >= 1.0:
                slow = 1.0
        watched_for = now - (phase + since * EVERY)
        slow_full = now - (phase + slow_since * EVERY) >= slow_window
        return LossStats(sent, lost, watched_for >= window and sent >= 3, self.last_answer_age(now), slow, slow_full)

    def _count(self, low: int, last: int, now: float) -> tuple[int, int]:
        """How many of these probes' answers are due, and how many of those are missing."""
        segment = self._segments[-1]
        if segment.first <= low and segment.loss >= 1.0:
            due = max(0, self._last(now - DUE) - low + 1)
            return due, due
        if segment.first <= low and segment.loss <= 0.0 and segment.rtt <= DUE:
            return max(0, self._last(now - segment.rtt) - low + 1), 0
        sent = lost = 0
        for k in range(low, last + 1):
            at = self.phase + k * EVERY
            segment = self._segment(k)
            if not segment.is_lost(k) and at + segment.rtt <= now:
                sent += 1
            elif at <= now - DUE:
                sent += 1
                lost += 1
        return sent, lost

    def last_answer_age(self, now: float) -> float | None:
        """Seconds since the last answer came; None if none came since the counting was born."""
        phase = self.phase
        if now - self._calm_since > SILENCE + EVERY:
            rtt = self._segments[-1].rtt
            return now - (phase + floor((now - rtt - phase) / EVERY) * EVERY + rtt)
        k, born = floor((now - phase) / EVERY), ceil((self.born - phase) / EVERY)
        while k >= born:
            segment = self._segment(k)
            if segment.loss >= 1.0:
                k = segment.first - 1
                continue
            at = phase + k * EVERY + segment.rtt
            if at <= now and not segment.is_lost(k):
                return now - at
            k -= 1
        return None

    def _first(self, t: float) -> int:
        """The first probe sent at ``t`` or later."""
        return ceil((t - self.phase) / EVERY)

    def _last(self, t: float) -> int:
        """The last probe sent at ``t`` or before."""
        return floor((t - self.phase) / EVERY)

    def _segment(self, k: int) -> _Segment:
        for segment in reversed(self._segments):
            if segment.first <= k:
                return segment
        return self._segments[0]

    def _lost_before(self, k: int) -> int:
        return self._segment(k - 1).lost_before(k)
