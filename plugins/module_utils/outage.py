# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the packets a traffic probe wrote down to outages: pure functions, no clock, no I/O.

An outage is a run of consecutive packets without an answer, and its length is counted in the sequence's ticks, so
neither a log nor a clock has a say in it. Ticks that the measuring host itself missed are never packets lost; inside
a run they count towards its length, because nothing shows that packets passed in them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .traffic_record import Packets, Record

# So long every packet must be answered for a line to work again. Losses with less between them are one trouble; what a
# working line loses by chance, one packet in a hundred, has longer breaks often enough not to add up.
WORKS_AGAIN_SECONDS = 1.0

OUT, RETURN, BOTH, UNKNOWN = "out", "return", "both", "unknown"


@dataclass(frozen=True)
class LossRun:
    """Packets lost one after the other."""

    first_tick: int
    last_tick: int
    packets: int
    milliseconds: float
    start_wall: float  # when the first of them was sent
    end_wall: float  # when the last of them was sent, plus one interval
    direction: str  # where they were lost: "out", "return", "both", or "unknown" (ICMP, or no answer after them)
    lost_out: int | None = None
    lost_return: int | None = None
    missed_ticks: int = 0  # inside the run and at its edges: by so much the true outage may differ


@dataclass(frozen=True)
class StreamStats:
    """What became of one stream's packets in a stretch of time."""

    sent: int  # packets whose answer is due
    lost: int
    unsendable: int  # of these: refused by the measuring host's own kernel
    longest_packets: int
    longest_ms: float
    lost_ms: float  # most time lost by runs that follow one another before the line works again
    lost_out: int | None  # None: this stream cannot tell
    lost_return: int | None
    rtt_median_ms: float | None


@dataclass(frozen=True)
class Pace:
    """How well the probe kept its time; a figure measured on a starved host should not be believed blindly."""

    ticks: int  # that should have been sent
    missed_ticks: int
    late_sends: int  # more than half an interval late
    worst_late_ms: float


class StreamLosses:
    """The losses of one stream. ``timeout_ms``: an answer later than that is none."""

    def __init__(self, record: Record, packets: Packets, timeout_ms: float = 1000.0) -> None:
        self.stream = packets.stream
        self._record, self._packets = record, packets
        self._interval_ms = record.header.interval_ns / 1e6
        timeout = int(timeout_ms * 1e6)
        horizon = record.seen_until_ns - timeout  # unanswered packets sent after it are still under way
        self._ticks: list[int] = []  # judged ones, in order
        self._lost: list[bool] = []
        self._pending: int | None = None  # the oldest tick that may still be answered
        for tick in sorted(packets.sent):
            answer = packets.answered.get(tick)
            if answer is None and packets.sent[tick] > horizon and tick not in packets.unsendable:
                self._pending = tick if self._pending is None else self._pending
                continue
            self._ticks.append(tick)
            self._lost.append(answer is None or answer[0] - packets.sent[tick] > timeout)
        self.runs: tuple[LossRun, ...] = tuple(self._runs())

    def stats(self, start_wall: float | None = None, end_wall: float | None = None) -> StreamStats:
        """Figures of the packets sent in [start, end); runs that reach into it count with their whole length."""
        first, last = self._slice(start_wall, end_wall)
        ticks, lost = self._ticks[first:last], self._lost[first:last]
        runs = runs_between(self.runs, start_wall, end_wall)
        longest = max(runs, key=lambda run: run.milliseconds, default=None)
        told = self.stream.protocol == "udp" and all(run.lost_out is not None for run in runs)
        rtts = [self._rtt_ms(tick) for tick, gone in zip(ticks, lost, strict=True) if not gone]
        return StreamStats(
            sent=len(ticks),
            lost=sum(lost),
            unsendable=sum(tick in self._packets.unsendable for tick in ticks),
            longest_packets=longest.packets if longest else 0,
            longest_ms=longest.milliseconds if longest else 0.0,
            lost_ms=round(
                max((sum(run.milliseconds for run in trouble) for trouble in troubles(runs)), default=0.0), 3
            ),
            lost_out=sum(run.lost_out or 0 for run in runs) if told else None,
            lost_return=sum(run.lost_return or 0 for run in runs) if told else None,
            rtt_median_ms=round(median(rtts), 3) if rtts else None,
        )

    def steady_seconds(self, since_wall: float) -> float:
        """For how long every packet sent since then was answered, up to the first that still awaits its answer."""
        if not self._ticks:
            return 0.0
        newest = self._wall(self._ticks[-1] if self._pending is None else self._pending)
        losses = [tick for tick, gone in zip(reversed(self._ticks), reversed(self._lost), strict=True) if gone][:1]
        begin = max([since_wall, self._wall(self._ticks[0]), *(self._wall(tick) for tick in losses)])
        return max(0.0, newest - begin)

    def _wall(self, tick: int) -> float:
        return self._record.wall(self._packets.sent[tick])

    def _rtt_ms(self, tick: int) -> float:
        return (self._packets.answered[tick][0] - self._packets.sent[tick]) / 1e6

    def _slice(self, start_wall: float | None, end_wall: float | None) -> tuple[int, int]:
        first = 0 if start_wall is None else bisect_left(self._ticks, start_wall, key=self._wall)
        last = len(self._ticks) if end_wall is None else bisect_left(self._ticks, end_wall, key=self._wall)
        return first, max(first, last)

    def _runs(self) -> list[LossRun]:
        runs: list[LossRun] = []
        index = 0
        while index < len(self._ticks):
            if not self._lost[index]:
                index += 1
                continue
            end = index
            while end < len(self._ticks) and self._lost[end]:
                end += 1
            runs.append(self._run(index, end))
            index = end
        return runs

    def _run(self, begin: int, end: int) -> LossRun:
        """The run of judged packets [begin, end)."""
        first, last = self._ticks[begin], self._ticks[end - 1]
        before = self._ticks[begin - 1] if begin else first - 1
        after = self._ticks[end] if end < len(self._ticks) else last + 1
        packets = end - begin
        lost_out = self._lost_on_the_way_out(begin, end)
        lost_return = None if lost_out is None else packets - lost_out
        return LossRun(
            first_tick=first,
            last_tick=last,
            packets=packets,
            milliseconds=round((last - first + 1) * self._interval_ms, 3),
            start_wall=self._wall(first),
            end_wall=self._wall(last) + self._interval_ms / 1e3,
            direction=_direction(lost_out, lost_return),
            lost_out=lost_out,
            lost_return=lost_return,
            missed_ticks=after - before - 1 - packets,
        )

    def _lost_on_the_way_out(self, begin: int, end: int) -> int | None:
        """How many of the run the responder never counted; None when that cannot be known."""
        if self.stream.protocol != "udp" or end == len(self._ticks):
            return None
        answered = self._packets.answered
        counted_before = answered[self._ticks[begin - 1]][1] if begin else 0
        counted = answered[self._ticks[end]][1] - counted_before - 1  # the answered packet itself is counted too
        if counted < 0:
            return None  # the responder began anew in between
        return max(0, end - begin - counted)


def _direction(lost_out: int | None, lost_return: int | None) -> str:
    if lost_out is None or lost_return is None:
        return UNKNOWN
    if lost_out and lost_return:
        return BOTH
    return OUT if lost_out else RETURN


def runs_between(runs: Sequence[LossRun], start_wall: float | None, end_wall: float | None) -> list[LossRun]:
    """The runs that have a part in [start, end)."""
    return [
        run
        for run in runs
        if (end_wall is None or run.start_wall < end_wall) and (start_wall is None or run.end_wall > start_wall)
    ]


def troubles(runs: Sequence[LossRun]) -> list[list[LossRun]]:
    """Runs, in order of time, that follow one another before the line has worked again."""
    found: list[list[LossRun]] = []
    for run in runs:
        if found and run.start_wall - found[-1][-1].end_wall < WORKS_AGAIN_SECONDS:
            found[-1].append(run)
        else:
            found.append([run])
    return found


def pace(record: Record) -> Pace:
    """How well the probe kept its time, over its first stream (all are sent at the same ticks)."""
    sent = record.packets[0].sent if record.packets else {}
    if not sent:
        return Pace(0, 0, 0, 0.0)
    interval = record.header.interval_ns
    lateness = [at - tick * interval for tick, at in sent.items()]
    ticks = max(sent) + 1
    return Pace(
        ticks=ticks,
        missed_ticks=ticks - len(sent),
        late_sends=sum(late > interval // 2 for late in lateness),
        worst_late_ms=round(max(lateness) / 1e6, 3),
    )
