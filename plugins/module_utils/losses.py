# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting what a stream of probes loses, over a short window (silence) and a long one (grey)."""

from __future__ import annotations

from collections import deque

from .model import LossStats

_MIN_PROBES = 3  # silence is never concluded from fewer lost probes, whatever the interval
_CHANCE = 1e-4  # a silence that loss alone makes more often than this is part of the loss


class _Probe:
    __slots__ = ("answered", "forgiven", "sent_at", "seq")

    def __init__(self, seq: int, sent_at: float) -> None:
        self.seq = seq
        self.sent_at = sent_at
        self.answered = False
        self.forgiven = False  # no longer counted over the long window


class LossWindow:
    """Fed with sent and answered probes, tells what was lost.

    All times are seconds of one monotonic clock. ``due`` is how long an answer may take before its probe counts
    as lost; an answer that comes later still takes the loss back. Answers may come in any order, twice, or to
    probes never sent; sequence numbers must not repeat within ``slow_window``.

    The long window begins anew after a silence: who is back from the dead is not one who loses many packets. Where so
    many are lost that it may be chance, the silence counts as loss like any other.
    """

    def __init__(self, window: float, slow_window: float, due: float = 0.1) -> None:
        self.window = window
        self.slow_window = max(slow_window, window)
        self.due = min(due, window / 2)
        self._probes: deque[_Probe] = deque()  # of the slow window, oldest first
        self._by_seq: dict[int, _Probe] = {}
        self._unanswered = 0  # among _probes, those forgiven not counted
        self._forgiven = 0  # among _probes
        self._slow_since: float | None = None  # the first that counts over the long window
        self._since: float | None = None  # first probe since the start or the last break
        self._last_answer: float | None = None

    def sent(self, seq: int, t: float) -> None:
        """A probe left at ``t``."""
        if self._since is None:
            self._since = self._slow_since = t
        self._expire(t)
        probe = _Probe(seq, t)
        self._probes.append(probe)
        self._by_seq[seq] = probe
        self._unanswered += 1

    def answered(self, seq: int, t: float) -> bool:
        """An answer to probe ``seq`` came at ``t``; False if it says nothing new (unknown, too old, a duplicate)."""
        probe = self._by_seq.get(seq)
        if probe is None or probe.answered:
            return False
        before = self._since if self._last_answer is None else self._last_answer
        if before is not None and t - before >= self.window and not self._by_chance(probe, before):
            self._forgive(probe)
        probe.answered = True
        if not probe.forgiven:
            self._unanswered -= 1
        self._last_answer = t if self._last_answer is None else max(self._last_answer, t)
        return True

    def break_(self) -> None:
        """Throw away what was observed, as after a pause; only the time of the last answer stays."""
        self._probes.clear()
        self._by_seq.clear()
        self._unanswered = self._forgiven = 0
        self._since = self._slow_since = None

    def stats(self, now: float) -> LossStats:
        """What is known at ``now``."""
        self._expire(now)
        due_before = now - self.due
        oldest = now - self.window
        sent = lost = pending = 0
        for probe in reversed(self._probes):
            if probe.sent_at < oldest:
                break
            if probe.answered:
                sent += 1
            elif probe.sent_at <= due_before:
                sent += 1
                lost += 1
            elif not probe.forgiven:
                pending += 1
        considered = len(self._probes) - self._forgiven - pending
        since, slow_since = self._since, self._slow_since
        enough = sent >= _MIN_PROBES or (lost == sent > 0 and self._unbroken(due_before))
        return LossStats(
            sent=sent,
            lost=lost,
            window_full=since is not None and now - since >= self.window and enough,
            last_answer_age=None if self._last_answer is None else max(0.0, now - self._last_answer),
            slow_loss=(self._unanswered - pending) / considered if considered else 0.0,
            slow_full=slow_since is not None and now - slow_since >= self.slow_window,
        )

    def _unbroken(self, due_before: float) -> bool:
        """Whether the last probes that are due are lost, as many as silence needs: they may be sent too seldom for it.

        So it is with a short window, and where the sender is short of time.
        """
        run = 0
        for probe in reversed(self._probes):
            if probe.answered or run >= _MIN_PROBES:
                break
            run += probe.sent_at <= due_before
        return run >= _MIN_PROBES

    def _expire(self, now: float) -> None:
        oldest = now - self.slow_window
        probes = self._probes
        while probes and probes[0].sent_at < oldest:
            probe = probes.popleft()
            if probe.forgiven:
                self._forgiven -= 1
            elif not probe.answered:
                self._unanswered -= 1
            if self._by_seq.get(probe.seq) is probe:
                del self._by_seq[probe.seq]

    def _by_chance(self, first: _Probe, silent_from: float) -> bool:
        """Whether what was lost before the silence makes it likely; ``first`` is the probe whose answer ends it."""
        sent = lost = silent = 0
        for probe in self._probes:
            if probe is first:
                break
            if probe.sent_at >= silent_from:
                silent += 1
            elif not probe.forgiven:
                sent += 1
                lost += not probe.answered
        return sent > 0 and (lost / sent) ** silent > _CHANCE

    def _forgive(self, first: _Probe) -> None:
        """Count nothing that was sent before ``first`` over the long window."""
        for probe in self._probes:
            if probe is first:
                break
            if not probe.forgiven:
                probe.forgiven = True
                self._forgiven += 1
                self._unanswered -= not probe.answered
        self._slow_since = first.sent_at
