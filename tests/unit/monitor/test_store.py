# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease store's client, two of them at one DynamoDB: the calls, the threads, and what they make of errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import moto
import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import lease, lease_table
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.lease import Heard, Item, Word, Write
from vpnha_monitor.store import Store, Table, leaves_it

UNABLE = Word("", able=False)
WELL = Word("", able=True, healthy=frozenset({"gw-a"}))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(lease, "RENEW", 0.1)
    monkeypatch.setattr(lease, "READ", 0.05)
    monkeypatch.setattr(lease, "READ_IN_HASTE", 0.02)
    monkeypatch.setattr(lease, "SAY", 0.1)
    with moto.mock_aws():
        made = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        lease_table.make(made, "lab", check=False)
        yield made


@pytest.fixture
def table(client: Any) -> Table:
    return Table(client, "lab")


class Faulty:
    """A table whose calls fail as long as the test wants."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.error: Exception | None = None
        self.applied = False  # whether a call that fails is carried out all the same

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if self.error is None:
                return getattr(self.table, name)(*arguments)
            if self.applied:
                getattr(self.table, name)(*arguments)
            raise self.error

        return call


@pytest.fixture
def stores() -> Iterator[Callable[..., Store]]:
    made: list[Store] = []

    def start(
        monitor: str,
        table: Any,
        word: Word | None = WELL,
        news: Callable[[], None] = lambda: None,
        speak: Callable[[], Word | None] | None = None,
    ) -> Store:
        store = Store(monitor, lambda: table, speak or (lambda: word), news)
        made.append(store)
        store.start()
        return store

    yield start
    for store in made:
        store.stop()


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


# --- calls ------------------------------------------------------------------------------------------------------------


def test_a_lease_is_written_only_in_place_of_the_number_that_was_seen(table: Table) -> None:
    assert table.write_lease(Write(Item("mon-a", "1"), ""))
    assert not table.write_lease(Write(Item("mon-b", "2"), ""))
    assert not table.write_lease(Write(Item("mon-b", "2"), "0"))
    assert table.read("mon-b")[0] == Item("mon-a", "1")
    assert table.write_lease(Write(Item("mon-b", "2"), "1"))
    assert table.read("mon-a")[0] == Item("mon-b", "2")


def test_a_lease_is_released_only_by_its_number(table: Table) -> None:
    table.write_lease(Write(Item("mon-a", "1"), ""))
    assert not table.release("0")
    assert table.read("mon-a")[0] is not None
    assert table.release("1")
    assert table.read("mon-a")[0] is None


def test_a_word_is_what_was_said_and_ones_own_is_not_heard(table: Table) -> None:
    table.say("mon-a", Word("1", able=True, healthy=frozenset({"gw-a", "gw-c"})))
    table.say("mon-b", Word("2", able=False))
    assert table.read("mon-b")[1] == {"mon-a": Word("1", able=True, healthy=frozenset({"gw-a", "gw-c"}))}
    assert table.read("mon-a")[1] == {"mon-b": Word("2", able=False)}


def test_a_repair_is_begun_only_if_nobody_has_begun_one_since_the_store_was_read(table: Table) -> None:
    seen = table.read("mon-a")[2]
    assert seen == ""
    assert table.claim_repair("mon-a", "gw-a", seen)
    assert not table.claim_repair("mon-b", "gw-a", seen)
    assert table.claim_repair("mon-b", "gw-a", table.read("mon-b")[2])


def test_no_time_is_stored(table: Table, client: Any) -> None:
    table.write_lease(Write(Item("mon-a", "n"), ""))
    table.say("mon-a", WELL)
    table.claim_repair("mon-a", "gw-a", "")
    kept = {name for item in client.scan(TableName="lab-monitors")["Items"] for name in item}
    assert kept == {"deployment", "item", "holder", "number", "able", "healthy", "gateway"}


def test_a_table_that_is_not_there_is_one_sentence(client: Any) -> None:
    with pytest.raises(Ec2Error, match="reading the lease store other-monitors: ResourceNotFoundException"):
        Table(client, "other").read("mon-a")


# --- threads ----------------------------------------------------------------------------------------------------------


def test_of_two_one_gets_the_lease_and_keeps_it(table: Table, stores: Callable[..., Store]) -> None:
    one = stores("mon-a", table)
    until(lambda: one.known.lease.held)
    other = stores("mon-b", table, Word("", able=True, healthy=frozenset({"gw-b"})))
    until(lambda: "mon-b" in one.known.heard and "mon-a" in other.known.heard)
    first = one.known.lease.held
    until(lambda: one.known.lease.held not in (None, first))
    assert other.known.lease.held is None and other.known.lease.holder == "mon-a"
    assert lease.vetoes(one.known.heard, one.known.read_at, time.monotonic()).keys() == {"gw-b"}


def test_18_a_monitor_that_stops_releases_the_lease_and_says_that_it_cannot_act(
    table: Table, stores: Callable[..., Store]
) -> None:
    one = stores("mon-a", table)
    until(lambda: one.known.lease.held)
    other = stores("mon-b", table)
    until(lambda: "mon-a" in other.known.heard)
    began = time.monotonic()
    one.stop()
    until(lambda: other.known.lease.held)
    assert time.monotonic() - began < lease.SECONDS, "nobody had to wait until it ran out"
    assert not table.read("mon-b")[1]["mon-a"].able


@pytest.mark.parametrize("error", [Ec2Error("writing", "timeout", "no answer", applied=None), ValueError("anything")])
def test_18_a_monitor_whose_last_word_fails_releases_the_lease_all_the_same(
    table: Table, client: Any, stores: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_given: Any) -> None:
        raise error

    one = stores("mon-a", table)
    until(lambda: one.known.lease.held)
    monkeypatch.setattr(table, "say", fail)
    one.stop()
    assert Table(client, "lab").read("mon-b")[0] is None


def test_18_a_monitor_whose_last_renewal_got_no_answer_releases_the_lease(
    table: Table, client: Any, stores: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = table.write_lease, []

    def lost(*_given: Any) -> None:
        raise Ec2Error("reading", "timeout", "no answer", applied=None)

    def applied_but_lost(write: Write) -> None:
        monkeypatch.setattr(table, "read", lost)
        written.append(real(write))
        lost()

    one = stores("mon-a", table)
    until(lambda: one.known.lease.held)
    monkeypatch.setattr(table, "write_lease", applied_but_lost)
    until(lambda: one.read_error)
    assert written == [True]
    one.stop()
    assert Table(client, "lab").read("mon-b")[0] is None


def test_a_release_that_fails_does_not_escape_and_the_word_is_said(
    table: Table, client: Any, stores: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_number: str) -> None:
        raise ValueError("anything")

    one = stores("mon-a", table)
    until(lambda: one.known.lease.held)
    monkeypatch.setattr(table, "release", fail)
    one.stop()
    assert not Table(client, "lab").read("mon-b")[1]["mon-a"].able


def test_a_monitor_that_cannot_act_leaves_the_lease_to_one_that_can(
    table: Table, stores: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    word = WELL
    one = stores("mon-a", table, speak=lambda: word)
    until(lambda: one.known.lease.held)
    other = stores("mon-b", table)
    until(lambda: "mon-b" in one.known.heard)
    assert other.known.lease.held is None
    word = UNABLE
    until(lambda: other.known.lease.held)
    word = WELL
    until(lambda: one.known.lease.holder == "mon-b")
    time.sleep(1.5)
    assert one.known.lease.held is None, "who has it keeps it"


def test_where_nobody_can_act_the_lease_stays_where_it_is(
    table: Table, stores: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    one = stores("mon-a", table, UNABLE)
    until(lambda: one.known.lease.held)
    other = stores("mon-b", table, UNABLE)
    until(lambda: "mon-b" in one.known.heard)
    time.sleep(1.5)
    held = one.known.lease.held
    assert held is not None and time.monotonic() - held.sent < lease.SECONDS, "it is renewed"
    assert other.known.lease.held is None


@pytest.mark.parametrize(
    ("word", "others", "leaves"),
    [
        (WELL, WELL, False),
        (UNABLE, WELL, True),
        (None, WELL, True),  # it has decided nothing yet
        (UNABLE, UNABLE, False),
    ],
)
def test_only_the_word_of_a_moment_ago_that_another_can_act_counts(
    word: Word | None, others: Word, leaves: bool
) -> None:
    heard = {"mon-b": Heard(others, 100.0)}
    assert leaves_it(word, heard, 103.0) is leaves
    assert not leaves_it(word, heard, 103.1)
    assert not leaves_it(word, {}, 103.0)


def test_news_are_told_when_a_word_changes_and_only_then(table: Table, stores: Callable[..., Store]) -> None:
    told: list[float] = []
    one = stores("mon-a", table, news=lambda: told.append(time.monotonic()))
    table.say("mon-b", Word("1", able=True))
    until(lambda: len(told) == 1)
    table.say("mon-b", Word("2", able=True))
    until(lambda: one.known.heard["mon-b"].word.number == "2")
    table.say("mon-b", Word("3", able=False))
    until(lambda: len(told) == 2)


def test_errors_are_counted_and_said_and_end_nothing(table: Table, stores: Callable[..., Store]) -> None:
    faulty = Faulty(table)
    one = stores("mon-a", faulty)
    until(lambda: one.known.lease.held)
    faulty.error = Ec2Error("reading", "timeout", "no answer", applied=None)
    until(lambda: one.read_error and one.write_error and one.errors > 3)
    read_at = one.known.read_at
    faulty.error = ValueError("anything")
    until(lambda: "anything" in one.read_error)
    assert one.known.read_at == read_at
    faulty.error = None
    until(lambda: not one.read_error and not one.write_error)


def test_a_renewal_that_was_applied_without_an_answer_is_known_as_ones_own(
    table: Table, stores: Callable[..., Store]
) -> None:
    faulty = Faulty(table)
    real = table.write_lease

    def applied_but_lost(write: Write) -> bool:
        real(write)
        raise Ec2Error("writing", "timeout", "no answer", applied=None)

    one = stores("mon-a", faulty)
    until(lambda: one.known.lease.held)
    first = one.known.lease.held
    assert first is not None
    table.write_lease = applied_but_lost  # type: ignore[method-assign]
    until(lambda: one.known.lease.held is not None and one.known.lease.held.sent > first.sent)
    table.write_lease = real  # type: ignore[method-assign]
    item = table.read("mon-b")[0]
    assert item is not None and item.holder == "mon-a"
