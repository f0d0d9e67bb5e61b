# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease store, where there are several monitors: a DynamoDB table, asked in threads of its own.

What is read and written, and what it means, is the engine's ``lease``; here are the calls. Each is tried once and ends
within seconds, whatever happens; nothing here ever holds up the loop or ends the monitor.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, lease, owners
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.lease import Heard, Item, Lease, Word, Write

HASH, RANGE = "deployment", "item"  # the table's key
LEASE, REPAIR, WORD = "lease", "repair", "word/"  # its items
_REFUSED = "ConditionalCheckFailedException"
_CLOSING_SECONDS = 3.0  # for calls in flight when told to stop


@dataclass(frozen=True)
class Known:
    """What is known of the store, as a whole; replaced, never changed."""

    lease: Lease
    heard: Mapping[str, Heard]
    read_at: float | None = None  # before the last read that was answered was sent
    claim: str = ""  # number of the item that goes before a repair
    read_error: str = ""  # one sentence
    write_error: str = ""  # the same of the lease


class Table:
    """The calls. Raises Ec2Error."""

    def __init__(self, client: Any, deployment: str) -> None:
        self._client, self._deployment = client, deployment
        self._name = lease.table_name(deployment)

    def read(self, monitor: str) -> tuple[Item | None, dict[str, Word], str]:
        """The lease, the other monitors' words, and the number of the item that goes before a repair."""
        with ec2.telling(f"reading the lease store {self._name}"):
            found = self._client.query(
                TableName=self._name,
                ConsistentRead=True,
                KeyConditionExpression="#h = :d",
                ExpressionAttributeNames={"#h": HASH},
                ExpressionAttributeValues={":d": {"S": self._deployment}},
            )["Items"]
        items = {_text(each, RANGE): each for each in found}
        words = {
            name.removeprefix(WORD): _word(each)
            for name, each in items.items()
            if name.startswith(WORD) and name != WORD + monitor
        }
        held = items.get(LEASE)
        item = None if held is None else Item(_text(held, "holder"), _text(held, "number"))
        return item, words, _text(items.get(REPAIR, {}), "number")

    def write_lease(self, write: Write) -> bool:
        """The conditional write; False if the item had another number."""
        return self._put(LEASE, write.instead_of, holder={"S": write.item.holder}, number={"S": write.item.number})

    def claim_repair(self, monitor: str, gateway: str, instead_of: str) -> bool:
        """The item that goes before a repair; False if another monitor has begun one since ``instead_of`` was read."""
        number = {"S": _number()}
        return self._put(REPAIR, instead_of, holder={"S": monitor}, number=number, gateway={"S": gateway})

    def say(self, monitor: str, word: Word) -> None:
        """Tell the others."""
        item = {**self._key(WORD + monitor), "number": {"S": word.number}, "able": {"BOOL": word.able}}
        if word.healthy:  # there are no empty sets in DynamoDB
            item["healthy"] = {"SS": sorted(word.healthy)}
        with ec2.telling(f"writing to the lease store {self._name}"):
            self._client.put_item(TableName=self._name, Item=item)

    def release(self, number: str) -> bool:
        """Give the lease back; False if the item had another number."""
        try:
            with ec2.telling(f"releasing the lease in {self._name}"):
                self._client.delete_item(
                    TableName=self._name,
                    Key=self._key(LEASE),
                    ConditionExpression="#n = :n",
                    ExpressionAttributeNames={"#n": "number"},
                    ExpressionAttributeValues={":n": {"S": number}},
                )
        except Ec2Error as error:
            if error.code == _REFUSED:
                return False
            raise
        return True

    def _put(self, name: str, instead_of: str, **values: Mapping[str, str]) -> bool:
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#n)"}
        if instead_of:
            condition = {"ConditionExpression": "#n = :n", "ExpressionAttributeValues": {":n": {"S": instead_of}}}
        try:
            with ec2.telling(f"writing to the lease store {self._name}"):
                self._client.put_item(
                    TableName=self._name,
                    Item={**self._key(name), **values},
                    ExpressionAttributeNames={"#n": "number"},
                    **condition,
                )
        except Ec2Error as error:
            if error.code == _REFUSED:
                return False
            raise
        return True

    def _key(self, name: str) -> dict[str, Any]:
        return {HASH: {"S": self._deployment}, RANGE: {"S": name}}


class Store:
    """Keeps the lease and the words up to date in two threads. ``known`` may be read by any thread.

    ``connect`` makes the client, and raises Ec2Error. ``speak`` is asked by both for this monitor's word and must not
    wait; None while there is nothing to say yet. ``news`` is called, in a thread, when another's word has changed.
    """

    def __init__(
        self, monitor: str, connect: Callable[[], Table], speak: Callable[[], Word | None], news: Callable[[], None]
    ) -> None:
        self.haste = threading.Event()  # set while a veto may decide
        self.known = Known(Lease(monitor), {})  # written by one thread only
        self.errors = 0  # calls that failed
        self._say_error = ""
        self._monitor, self._connect, self._speak, self._news = monitor, connect, speak, news
        self._table: Table | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._changed = threading.Event()
        self._reader = threading.Thread(target=self._read_on, name="lease-read", daemon=True)
        self._speaker = threading.Thread(target=self._speak_on, name="lease-say", daemon=True)

    def start(self) -> None:
        """Begin with a read and a word at once."""
        self._reader.start()
        self._speaker.start()

    def changed(self) -> None:
        """This monitor's word is another one now: say it without delay."""
        self._changed.set()

    @property
    def read_error(self) -> str:
        """Why the last read has failed, one sentence."""
        return self.known.read_error

    @property
    def write_error(self) -> str:
        """Why the last write has failed, one sentence."""
        return self.known.write_error or self._say_error

    def claim_repair(self, gateway: str, instead_of: str) -> bool:
        """Write the item that goes before a repair, in a thread. Raises Ec2Error."""
        return self._reach().claim_repair(self._monitor, gateway, instead_of)

    def leave(self) -> None:
        """The same as `stop`, without waiting for it."""
        threading.Thread(target=self.stop, name="lease-leave", daemon=True).start()

    def stop(self) -> None:
        """Say no more, and release the lease; takes some seconds at most."""
        self._stopped.set()
        self._changed.set()
        until = time.monotonic() + _CLOSING_SECONDS
        for thread in (self._reader, self._speaker):
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        with contextlib.suppress(Exception):  # whatever it is, the lease runs out by itself
            if not self._reader.is_alive():
                self._release(self.known.lease)
        with contextlib.suppress(Exception):  # a word that is not renewed is believed for seconds only
            self._reach().say(self._monitor, Word(_number(), able=False))

    def _release(self, known: Lease) -> None:
        """By the number that is known to be its own, or one whose write got no answer, the last of them first."""
        held = [] if known.held is None else [known.held.number]
        any(self._reach().release(number) for number in [*held, *reversed(list(known.tried))])

    # --- threads ------------------------------------------------------------------------------------------

    def _reach(self) -> Table:
        with self._lock:
            if self._table is None:
                self._table = self._connect()
            return self._table

    def _read_on(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            self._read(began)
            while not self._stopped.is_set():
                pause = lease.READ_IN_HASTE if self.haste.is_set() else lease.READ
                left = began + pause - time.monotonic()
                if left <= 0.0:
                    break
                self._stopped.wait(min(left, lease.READ_IN_HASTE))

    def _read(self, began: float) -> None:
        try:
            item, words, claim = self._reach().read(self._monitor)
        except Exception as error:  # whatever it is, the monitor goes on, and tells
            self.errors += 1
            self.known = replace(self.known, read_error=str(error))
            return
        before, answered = self.known, time.monotonic()
        self.known = replace(
            before,
            lease=lease.take_read(before.lease, item, answered),
            heard=lease.hear(before.heard, words, answered),
            read_at=began,
            claim=claim,
            read_error="",
        )
        if {name: (one.word.able, one.word.healthy) for name, one in before.heard.items()} != {
            name: (one.able, one.healthy) for name, one in words.items()
        }:
            self._news()
        now = time.monotonic()
        if self._stopped.is_set() or leaves_it(self._speak(), self.known.heard, now):
            return
        write = lease.due(self.known.lease, _number(), now)
        if write is not None:
            self._write(write)

    def _write(self, write: Write) -> None:
        sent, text = time.monotonic(), ""
        try:
            outcome = lease.WRITTEN if self._reach().write_lease(write) else lease.REFUSED
        except Ec2Error as error:
            outcome, text = lease.FAILED if error.applied is False else lease.UNKNOWN, str(error)
        except Exception as error:
            outcome, text = lease.UNKNOWN, str(error)
        self.errors += bool(text)
        after = lease.take_written(self.known.lease, write, outcome, sent=sent, answered=time.monotonic())
        self.known = replace(self.known, lease=after, write_error=text)

    def _speak_on(self) -> None:
        while not self._stopped.is_set():
            self._changed.clear()
            began, word = time.monotonic(), self._speak()
            if word is not None:
                self._say(replace(word, number=_number()))
            self._changed.wait(max(lease.READ_IN_HASTE, began + lease.SAY - time.monotonic()))

    def _say(self, word: Word) -> None:
        try:
            self._reach().say(self._monitor, word)
            self._say_error = ""
        except Exception as error:
            self.errors += 1
            self._say_error = str(error)


def leaves_it(word: Word | None, heard: Mapping[str, Heard], now: float) -> bool:
    """Whether this monitor, whose word it is, leaves the lease to another: it cannot act, and another says that it can.

    Where nobody can, whoever has the lease keeps it: its holder also tells what all of them see.
    """
    if word is not None and word.able:
        return False
    return any(one.word.able and now - one.at <= owners.OWNER_SILENCE for one in heard.values())


def _number() -> str:
    return uuid.uuid4().hex


def _word(item: Mapping[str, Any]) -> Word:
    able = bool(item.get("able", {}).get("BOOL"))
    return Word(_text(item, "number"), able, frozenset(item.get("healthy", {}).get("SS", ())))


def _text(item: Mapping[str, Any], name: str) -> str:
    return str(item.get(name, {}).get("S", ""))
