# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loss figures from probes, however their answers come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow

EVERY = 0.05


def window() -> LossWindow:
    return LossWindow(0.5, 10.0, due=0.1)


def probed(losses: LossWindow, start: float, seconds: float, seq: int = 0, answered: bool = True) -> tuple[float, int]:
    """Probe for a while; the time and sequence number to go on with."""
    for _ in range(round(seconds / EVERY)):
        losses.sent(seq, start)
        if answered:
            losses.answered(seq, start + 0.001)
        seq += 1
        start += EVERY
    return start, seq


def test_nothing_is_known_before_anything_was_sent() -> None:
    stats = window().stats(100.0)
    assert (stats.sent, stats.window_full, stats.last_answer_age, stats.slow_full) == (0, False, None, False)
    assert not stats.silent


def test_all_answered_is_no_loss() -> None:
    losses = window()
    now, _ = probed(losses, 0.0, 12.0)
    stats = losses.stats(now)
    assert (stats.lost, stats.window_full, stats.slow_loss, stats.slow_full) == (0, True, 0.0, True)
    assert stats.sent == pytest.approx(10, abs=1)
    assert stats.last_answer_age == pytest.approx(EVERY - 0.001)


def test_silence_needs_a_full_window_since_the_first_probe() -> None:
    losses = window()
    now, seq = probed(losses, 0.0, 0.45, answered=False)
    assert not losses.stats(now).silent
    now, _ = probed(losses, now, 0.1, seq, answered=False)
    assert losses.stats(now).silent
    assert losses.stats(now).last_answer_age is None


def test_silence_after_answers_is_seen_after_exactly_one_window() -> None:
    losses = window()
    now, seq = probed(losses, 0.0, 5.0)
    died = now
    while not losses.stats(now).silent:
        now, seq = probed(losses, now, EVERY, seq, answered=False)
    assert 0.45 <= now - died <= 0.56


def test_a_probe_whose_answer_is_not_due_yet_is_not_lost() -> None:
    losses = window()
    now, seq = probed(losses, 0.0, 1.0)
    losses.sent(seq, now)
    assert losses.stats(now + 0.09).lost == 0
    assert losses.stats(now + 0.11).lost == 1


def test_a_late_answer_takes_the_loss_back() -> None:
    losses = window()
    now, seq = probed(losses, 0.0, 1.0)
    losses.sent(seq, now)
    assert losses.stats(now + 0.3).lost == 1
    assert losses.answered(seq, now + 0.3)
    stats = losses.stats(now + 0.3)
    assert (stats.lost, stats.slow_loss, stats.last_answer_age) == (0, 0.0, 0.0)


def test_answers_that_say_nothing_new_are_not_counted() -> None:
    losses = window()
    losses.sent(1, 0.0)
    assert losses.answered(1, 0.01)
    assert not losses.answered(1, 0.02), "a duplicate"
    assert not losses.answered(7, 0.02), "never sent"
    probed(losses, 0.05, 11.0, 2)
    assert not losses.answered(1, 11.0), "too old"
    assert losses.stats(11.0).slow_loss == 0.0


def test_answers_in_any_order_never_make_the_last_one_older() -> None:
    losses = window()
    losses.sent(1, 0.0)
    losses.sent(2, 0.05)
    losses.answered(2, 0.06)
    losses.answered(1, 0.055)
    assert losses.stats(0.1).last_answer_age == pytest.approx(0.04)


def test_the_long_window_tells_the_share_that_is_lost() -> None:
    losses = window()
    chance = random.Random(4)
    now, seq = 0.0, 0
    for _ in range(400):
        now, seq = probed(losses, now, EVERY, seq, answered=chance.random() > 0.4)
    assert losses.stats(now).slow_loss == pytest.approx(0.4, abs=0.1)
    now, seq = probed(losses, now, 10.2, seq)
    assert losses.stats(now).slow_loss == 0.0


def test_after_a_break_a_full_window_must_be_observed_again_but_the_last_answer_is_remembered() -> None:
    losses = window()
    now, seq = probed(losses, 0.0, 12.0)
    losses.break_()
    stats = losses.stats(now + 5.0)
    assert (stats.sent, stats.window_full, stats.slow_full) == (0, False, False)
    assert stats.last_answer_age == pytest.approx(5.0 + EVERY, abs=0.01)
    assert not losses.answered(seq - 1, now), "probes from before the break are forgotten"
    now, seq = probed(losses, now + 5.0, 0.4, seq, answered=False)
    assert not losses.stats(now).silent
    now, _ = probed(losses, now, 0.2, seq, answered=False)
    assert losses.stats(now).silent


@pytest.mark.parametrize(("width", "every"), [(0.2, 0.1), (0.25, 0.1), (0.3, 0.1), (0.5, 0.16), (0.5, 0.24)])
def test_probes_that_are_sent_seldom_tell_of_silence_as_well(width: float, every: float) -> None:
    losses = LossWindow(width, 10.0, due=0.1)
    now, seq = 0.0, 0
    for _ in range(100):
        losses.sent(seq, now)
        losses.answered(seq, now + 0.005)
        now, seq = now + every, seq + 1
    assert not losses.stats(now).silent
    silent = []
    for number in range(40):
        losses.sent(seq, now)
        now, seq = now + every, seq + 1
        silent.append(losses.stats(now).silent)
        assert number >= 2 or not silent[-1], "silence takes three lost probes"
    assert all(silent[round((width + 0.1) / every) + 3 :])


def test_a_monitor_that_stops_sending_concludes_nothing() -> None:
    losses = window()
    now, seq = probed(losses, 0.0, 5.0)
    losses.sent(seq, now)
    assert not losses.stats(now + 0.45).silent, "one lost probe is no silence"
    assert not losses.stats(now + 5.0).silent


def test_who_is_back_from_a_silence_is_not_one_who_loses_many_packets() -> None:
    losses = window()
    now, seq = probed(losses, 0.0, 12.0)
    now, seq = probed(losses, now, 5.0, seq, answered=False)
    assert losses.stats(now).slow_loss > 0.4
    now, seq = probed(losses, now, 1.0, seq)
    assert losses.stats(now).slow_loss == 0.0
    assert not losses.stats(now).slow_full, "the long window has begun anew"
    now, seq = probed(losses, now, 9.2, seq)
    assert losses.stats(now).slow_full


@pytest.mark.parametrize("seed", range(20))
def test_row_7_a_silence_that_loss_alone_makes_does_not_begin_the_long_window_anew(seed: int) -> None:
    losses, chance = window(), random.Random(seed)
    now, seq = probed(losses, 0.0, 12.0)
    silences = 0
    for step in range(1800):  # 90 s of 40 % loss each way
        now, seq = probed(losses, now, EVERY, seq, answered=chance.random() > 0.64)
        stats = losses.stats(now)
        silences += stats.silent
        if step > 500:
            assert stats.slow_full and stats.slow_loss > 0.45
    assert silences > 0


class Plain:
    """The same counts, kept in the plainest way."""

    def __init__(self) -> None:
        self.probes: dict[int, tuple[float, bool]] = {}
        self.since: float | None = None
        self.forgiven: set[int] = set()
        self.last: float | None = None
        self.newest = 0.0

    def sent(self, seq: int, t: float) -> None:
        self.probes[seq] = (t, False)
        self.newest = t
        if self.since is None:
            self.since = t

    def answered(self, seq: int, t: float) -> None:
        at, before = self.probes.get(seq, (t - 99.0, True))
        if before or at < t - 10.0:
            return
        quiet_since = self.since if self.last is None else self.last
        if quiet_since is not None and t - quiet_since >= 0.5 and not self.by_chance(seq, quiet_since):
            self.forgiven.update(one for one in self.probes if one < seq)
        self.probes[seq] = (at, True)
        self.last = t

    def by_chance(self, seq: int, quiet_since: float) -> bool:
        kept = {n: probe for n, probe in self.probes.items() if n < seq and n not in self.forgiven}
        before = [ok for at, ok in kept.values() if self.newest - 10.0 <= at < quiet_since]
        silent = sum(at >= quiet_since for n, (at, _ok) in self.probes.items() if n < seq)
        return bool(before) and (before.count(False) / len(before)) ** silent > 1e-4

    def counts(self, now: float) -> tuple[int, int, float]:
        due = [(n, at, ok) for n, (at, ok) in self.probes.items() if at >= now - 10.0 and (ok or at <= now - 0.1)]
        slow = [ok for n, _at, ok in due if n not in self.forgiven]
        recent = [ok for _n, at, ok in due if at >= now - 0.5]
        return len(recent), recent.count(False), slow.count(False) / len(slow) if slow else 0.0


@given(
    st.lists(
        st.tuples(st.sampled_from(["sent", "sent", "answered", "break"]), st.integers(0, 4), st.floats(0, 0.8)),
        max_size=60,
    )
)
def test_whatever_happens_the_figures_agree_with_a_plain_count(events: list[tuple[str, int, float]]) -> None:
    losses, plain, now, seq = window(), Plain(), 0.0, 0
    for what, back, wait in events:
        now += wait
        if what == "sent":
            losses.sent(seq, now)
            plain.sent(seq, now)
            seq += 1
        elif what == "answered":
            losses.answered(seq - 1 - back, now)
            plain.answered(seq - 1 - back, now)
        elif back == 0:
            losses.break_()
            plain.probes.clear()
            plain.since = None
        stats = losses.stats(now)
        assert (stats.sent, stats.lost, stats.slow_loss) == pytest.approx(plain.counts(now))
