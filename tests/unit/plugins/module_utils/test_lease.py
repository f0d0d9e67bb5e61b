# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease of several monitors: its protocol, and what the monitors hear of each other."""

from __future__ import annotations

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import lease
from ansible_collections.vpnha.aws.plugins.module_utils.lease import (
    FAILED,
    READ_IN_HASTE,
    REFUSED,
    SECONDS,
    UNKNOWN,
    WRITTEN,
    Heard,
    Item,
    Lease,
    Word,
    Write,
    due,
    hear,
    take_read,
    take_written,
    vetoes,
)


def holding(sent: float = 10.0, answered: float = 10.2) -> Lease:
    """A lease that mon-a has just taken."""
    free = take_read(Lease("mon-a"), None, sent - 0.1)
    return take_written(free, Write(Item("mon-a", "1"), ""), WRITTEN, sent=sent, answered=answered)


def test_nothing_is_written_before_the_store_has_been_read() -> None:
    assert due(Lease("mon-a"), "1", 10.0) is None


def test_a_free_lease_is_taken_at_once_if_nobody_is_faster() -> None:
    assert due(take_read(Lease("mon-a"), None, 10.0), "1", 10.0) == Write(Item("mon-a", "1"), instead_of="")


def test_a_holder_counts_from_before_its_call_was_sent() -> None:
    assert holding(sent=10.0, answered=12.0).age(12.5) == 2.5


def test_a_holder_renews_each_second_in_place_of_its_own_number() -> None:
    held = holding()
    assert due(held, "2", 10.9) is None
    assert due(held, "2", 11.0) == Write(Item("mon-a", "2"), instead_of="1")


def test_others_count_from_the_answer_that_first_showed_the_number() -> None:
    seen = take_read(Lease("mon-b"), Item("mon-a", "1"), answered=20.0)
    seen = take_read(seen, Item("mon-a", "1"), answered=24.0)
    assert due(seen, "9", 20.0 + SECONDS - 0.01) is None
    assert due(seen, "9", 20.0 + SECONDS) == Write(Item("mon-b", "9"), instead_of="1")


def test_each_new_number_starts_the_count_anew() -> None:
    seen = take_read(Lease("mon-b"), Item("mon-a", "1"), answered=20.0)
    seen = take_read(seen, Item("mon-a", "2"), answered=24.0)
    assert due(seen, "9", 24.0 + SECONDS - 0.01) is None


def test_a_holder_that_finds_another_number_has_lost_it() -> None:
    lost = take_read(holding(), Item("mon-b", "7"), answered=30.0)
    assert (lost.age(30.0), lost.holder) == (None, "mon-b")
    assert take_read(holding(), None, answered=30.0).age(30.0) is None


def test_a_process_that_starts_again_waits_for_the_lease_of_the_one_before() -> None:
    seen = take_read(Lease("mon-a"), Item("mon-a", "1"), answered=20.0)
    assert seen.age(20.0) is None
    assert due(seen, "9", 21.0) is None


@pytest.mark.parametrize("outcome", [REFUSED, UNKNOWN])
def test_after_a_write_that_was_refused_or_got_no_answer_the_store_is_read_before_the_next(outcome: str) -> None:
    after = take_written(holding(), Write(Item("mon-a", "2"), "1"), outcome, sent=11.0, answered=12.0)
    assert due(after, "3", 12.0) is None


def test_a_write_that_was_refused_ends_the_lease() -> None:
    assert take_written(holding(), Write(Item("mon-a", "2"), "1"), REFUSED, sent=11.0, answered=12.0).age(12.0) is None


def test_a_write_without_an_answer_prolongs_nothing_until_a_read_shows_it() -> None:
    after = take_written(holding(sent=10.0), Write(Item("mon-a", "2"), "1"), UNKNOWN, sent=11.0, answered=12.0)
    assert after.age(12.0) == 2.0
    applied = take_read(after, Item("mon-a", "2"), answered=12.5)
    assert applied.age(12.5) == 1.5, "from before that write was sent"
    not_applied = take_read(after, Item("mon-a", "1"), answered=12.5)
    assert not_applied.age(12.5) == 2.5
    assert due(not_applied, "3", 12.5) == Write(Item("mon-a", "3"), instead_of="1")


def test_a_write_that_comes_late_is_still_known_as_ones_own() -> None:
    after = take_written(holding(), Write(Item("mon-a", "2"), "1"), UNKNOWN, sent=11.0, answered=12.0)
    after = take_read(after, Item("mon-a", "1"), answered=12.5)
    after = take_written(after, Write(Item("mon-a", "3"), "1"), REFUSED, sent=12.5, answered=12.6)
    after = take_read(after, Item("mon-a", "2"), answered=12.7)
    assert after.age(13.0) == 2.0


@pytest.mark.parametrize("every", [1.0, 1.05, 1.2])
def test_while_no_write_gets_an_answer_what_another_says_each_second_is_heard_within_two(every: float) -> None:
    """One thread reads and writes, and waits a second for an answer: a veto must not run out over that."""
    known, now, ages = holding(sent=10.0), 10.0, list[float]()
    heard: dict[str, Heard] = {}
    for number in range(100):
        if heard:
            ages.append(now - heard["mon-b"].at)
        heard = hear(heard, {"mon-b": Word(str(int(now / every)), True)}, now)
        known = take_read(known, Item("mon-a", "1"), now)
        write = due(known, f"try {number}", now)
        if write is None:
            now += READ_IN_HASTE
        else:
            known = take_written(known, write, UNKNOWN, sent=now, answered=now + 1.0)
            now += 1.01
    assert known.tried and max(ages) < 2.0


def test_a_write_that_has_failed_for_certain_changes_nothing() -> None:
    assert take_written(holding(), Write(Item("mon-a", "2"), "1"), FAILED, sent=11.0, answered=12.0) == holding()


def test_a_word_is_as_old_as_the_answer_that_first_showed_it() -> None:
    first = Word("1", able=True, healthy=frozenset({"gw-b"}))
    heard = hear({}, {"mon-b": first}, answered=10.0)
    heard = hear(heard, {"mon-b": first}, answered=11.5)
    assert vetoes(heard, 12.0, 12.0) == {"gw-b": 2.0}
    view = lease.view(Lease("mon-a"), heard, read_at=11.4, now=12.0)
    assert view.words == {"mon-b": 2.0}
    assert view.age == pytest.approx(0.6)


def test_a_word_grows_no_older_while_a_renewal_without_an_answer_keeps_the_reader_waiting() -> None:
    heard = {"mon-b": Heard(Word("1", able=True, healthy=frozenset({"gw-b"})), 10.0)}
    assert vetoes(heard, 11.0, 12.03) == {"gw-b": pytest.approx(1.03)}
    assert vetoes(heard, 11.0, 15.0) == {"gw-b": 4.0}, "a store that says nothing for longer keeps nobody from acting"
    assert vetoes(heard, None, 12.0) == {"gw-b": 2.0}


def test_the_newest_word_counts_and_takes_the_one_before_back() -> None:
    heard = {"mon-b": Heard(Word("1", able=True, healthy=frozenset({"gw-b"})), 10.0)}
    heard = hear(heard, {"mon-b": Word("2", able=False)}, answered=11.0)
    assert vetoes(heard, 11.0, 11.0) == {}
    assert lease.view(Lease("mon-a"), heard, None, 11.0).words == {}
