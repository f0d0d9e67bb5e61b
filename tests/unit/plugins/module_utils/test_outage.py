# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a probe's record to outages: what is lost, for how long, on which way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.outage import StreamLosses, pace
from ansible_collections.vpnha.aws.plugins.module_utils.traffic_record import (
    ANSWERED,
    ENDED,
    ENTRY,
    SENT,
    UNSENDABLE,
    Header,
    Record,
    StreamId,
    read,
)

MS = 1_000_000
WALL = 1_767_225_600.0
UDP = StreamId("192.168.10.10", "udp", 7785)
ICMP = StreamId("192.168.10.10", "icmp")


def record(
    ticks: Iterable[int],
    *,
    out: Callable[[int], bool] = lambda tick: False,
    back: Callable[[int], bool] = lambda tick: False,
    stream: StreamId = UDP,
    late: Callable[[int], int] = lambda tick: 0,
    rtt_ms: Callable[[int], int] = lambda tick: 1,
    linger_ms: int = 2000,
) -> Record:
    """A record of packets every 10 ms; ``out`` and ``back`` say which are lost on which way."""
    header = Header("d", 1, 10 * MS, 0, int(WALL * 1e9), 900, (stream,))
    body, counter, last = bytearray(), 0, 0
    for tick in ticks:
        at = tick * 10 * MS + late(tick)
        body += ENTRY.pack(SENT, 0, tick, at, 0)
        last = at
        if not out(tick):
            counter += 1
            if not back(tick):
                body += ENTRY.pack(ANSWERED, 0, tick, at + rtt_ms(tick) * MS, counter if stream is UDP else 0)
    if linger_ms:
        body += ENTRY.pack(ENDED, 0, 0, last + linger_ms * MS, 0)
    return read(header.line() + body)


def losses(of: Record) -> StreamLosses:
    return StreamLosses(of, of.packets[0])


def between(first: int, last: int) -> Callable[[int], bool]:
    return lambda tick: first <= tick < last


def test_nothing_lost_is_no_outage() -> None:
    stats = losses(record(range(300))).stats()
    assert (stats.sent, stats.lost, stats.longest_ms, stats.longest_packets) == (300, 0, 0.0, 0)
    assert (stats.lost_out, stats.lost_return, stats.rtt_median_ms) == (0, 0, 1.0)


def test_an_outage_is_as_long_as_its_run_of_packets() -> None:
    judged = losses(record(range(300), out=between(100, 161)))
    (run,) = judged.runs
    assert (run.packets, run.milliseconds, run.first_tick, run.last_tick) == (61, 610.0, 100, 160)
    assert run.start_wall == pytest.approx(WALL + 1.0) and run.end_wall == pytest.approx(WALL + 1.61)
    assert judged.stats().longest_ms == 610.0


@pytest.mark.parametrize(
    ("out", "back", "direction", "lost_out", "lost_return"),
    [
        (between(10, 20), between(0, 0), "out", 10, 0),
        (between(0, 0), between(10, 20), "return", 0, 10),
        (between(10, 17), between(17, 20), "both", 7, 3),
        (between(0, 5), between(0, 0), "out", 5, 0),
    ],
)
def test_the_responders_count_tells_the_ways_apart(
    out: Callable[[int], bool], back: Callable[[int], bool], direction: str, lost_out: int, lost_return: int
) -> None:
    (run,) = losses(record(range(50), out=out, back=back)).runs
    assert (run.direction, run.lost_out, run.lost_return) == (direction, lost_out, lost_return)


def test_icmp_cannot_tell_the_ways_apart() -> None:
    judged = losses(record(range(50), out=between(10, 20), stream=ICMP))
    assert judged.runs[0].direction == "unknown"
    assert judged.stats().lost_out is None


def test_an_outage_that_never_ends_has_no_known_way_and_counts() -> None:
    judged = losses(record(range(50), out=between(40, 50)))
    assert judged.runs[0].direction == "unknown"
    assert judged.stats().longest_ms == 100.0


def test_a_responder_that_began_anew_makes_the_way_unknown() -> None:
    header = Header("d", 1, 10 * MS, 0, 0, 900, (UDP,))
    body = b"".join(ENTRY.pack(SENT, 0, tick, tick * 10 * MS, 0) for tick in range(10))
    for tick, counter in ((0, 101), (1, 102), (5, 1), (6, 2), (7, 3), (8, 4), (9, 5)):
        body += ENTRY.pack(ANSWERED, 0, tick, tick * 10 * MS + MS, counter)
    (run,) = losses(read(header.line() + body + ENTRY.pack(ENDED, 0, 0, 9000 * MS, 0))).runs
    assert (run.packets, run.direction) == (3, "unknown")


def test_an_answer_later_than_the_timeout_is_none() -> None:
    judged = losses(record(range(50), rtt_ms=lambda tick: 1500 if tick == 20 else 1))
    assert judged.stats().lost == 1


def test_packets_still_under_way_are_neither_lost_nor_sent() -> None:
    running = losses(record(range(300), out=between(250, 300), linger_ms=0))
    assert (running.stats().sent, running.stats().lost) == (250, 0)
    ended = losses(record(range(300), out=between(250, 300)))
    assert (ended.stats().sent, ended.stats().lost) == (300, 50)


def test_ticks_that_the_host_missed_are_told_and_not_lost() -> None:
    ticks = [tick for tick in range(100) if not 40 <= tick < 50]
    starved = record(ticks, late=lambda tick: 7 * MS if tick == 50 else 0)
    assert losses(starved).stats().lost == 0
    kept = pace(starved)
    assert (kept.ticks, kept.missed_ticks, kept.late_sends, kept.worst_late_ms) == (100, 10, 1, 7.0)


def test_ticks_missed_inside_an_outage_lengthen_it_and_are_told() -> None:
    ticks = [tick for tick in range(100) if tick not in (45, 46, 50)]
    (run,) = losses(record(ticks, out=between(40, 50))).runs
    assert (run.packets, run.milliseconds, run.missed_ticks) == (8, 100.0, 3)


def test_what_the_own_kernel_refused_is_lost_at_once_and_told() -> None:
    header = Header("d", 1, 10 * MS, 0, 0, 900, (ICMP,))
    body = ENTRY.pack(SENT, 0, 0, 0, 0) + ENTRY.pack(ANSWERED, 0, 0, MS, 0) + ENTRY.pack(UNSENDABLE, 0, 1, 10 * MS, 0)
    stats = losses(read(header.line() + body)).stats()
    assert (stats.sent, stats.lost, stats.unsendable) == (2, 1, 1)


def test_a_window_counts_its_own_packets_and_whole_runs() -> None:
    judged = losses(record(range(400), out=lambda tick: 100 <= tick < 130 or tick in (300, 301)))
    before = judged.stats(None, WALL + 1.0)
    fault = judged.stats(WALL + 1.0, WALL + 2.0)
    astride = judged.stats(WALL + 1.2, WALL + 2.0)
    healing = judged.stats(WALL + 2.0)
    assert (before.sent, before.lost, before.longest_ms) == (100, 0, 0.0)
    assert (fault.sent, fault.lost, fault.longest_ms) == (100, 30, 300.0)
    assert (astride.lost, astride.longest_ms) == (10, 300.0)
    assert (healing.lost, healing.longest_ms) == (2, 20.0)


def test_what_many_short_losses_amount_to_is_told() -> None:
    # 12 s in which every tenth packet is answered
    stats = losses(record(range(2000), out=lambda tick: 300 <= tick < 1500 and tick % 10 > 0)).stats(WALL + 1.0)
    assert (stats.longest_ms, stats.lost_ms, stats.lost) == (90.0, 10800.0, 1080)


@pytest.mark.parametrize(("answered", "lost_ms"), [(50, 2000.0), (99, 2000.0), (100, 1000.0)])
def test_a_line_works_again_after_a_second_of_answers(answered: int, lost_ms: float) -> None:
    stats = losses(record(range(600), out=lambda tick: 100 <= tick < 200 or 200 <= tick - answered < 300)).stats()
    assert (stats.longest_ms, stats.lost_ms) == (1000.0, lost_ms)


def test_chance_losses_do_not_add_up() -> None:
    chance = random.Random(7)  # ten minutes with 1 % of loss: 6 s in all
    stats = losses(record(range(60_000), out=lambda tick: chance.random() < 0.01)).stats()
    assert stats.lost > 550 and stats.lost_ms <= 300.0


def test_steady_means_answered_without_a_break_up_to_the_first_that_is_open() -> None:
    assert losses(record(range(300))).steady_seconds(0.0) == pytest.approx(2.99)
    assert losses(record(range(300))).steady_seconds(WALL + 2.0) == pytest.approx(0.99)
    assert losses(record(range(300), out=between(100, 150))).steady_seconds(0.0) == pytest.approx(1.50)
    # 20 packets are open, later ones have been answered: it may be a gap, so nothing after its begin counts
    assert losses(record(range(300), out=between(250, 270), linger_ms=0)).steady_seconds(0.0) == pytest.approx(2.50)


def test_a_record_cut_in_the_middle_is_read_as_far_as_it_goes() -> None:
    header = Header("d", 1, 10 * MS, 0, 0, 900, (ICMP,))
    whole = ENTRY.pack(SENT, 0, 0, 0, 0) + ENTRY.pack(ANSWERED, 0, 0, MS, 0)
    cut = read(header.line() + whole + ENTRY.pack(SENT, 0, 1, 10 * MS, 0)[:7])
    assert list(cut.packets[0].sent) == [0]
    assert cut.end_reason == ""


@pytest.mark.parametrize("data", [b"", b"nothing\n", b"{}\n", b'{"format": 99}\n', b'{"format": 1, "streams": 3}\n'])
def test_a_file_that_is_no_record_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(VpnhaError, match="no record of a traffic probe"):
        read(data)
