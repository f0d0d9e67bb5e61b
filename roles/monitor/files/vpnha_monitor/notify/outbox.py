# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits to be told, in the journal's file: it outlives a restart.

The thread's memory is what counts. Changes are noted here in order and written as one transaction; while the file
cannot be written they wait, and messages are sent all the same. A message is taken out after it was sent, so one that
was sent right before a crash is sent again: at least once.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .facts import Fact, Message, fact_from, message_from
from .telling import Key, Opened

_MOST = 20_000  # changes that wait for the disk; the oldest are given up, and with them what a restart would find
KEEP_FACT = "INSERT OR REPLACE INTO notify_facts (id, fact) VALUES (?, ?)"


@dataclass(frozen=True)
class Kept:
    """What a file had when it was read."""

    facts: list[Fact] = field(default_factory=list)
    open: dict[Key, Opened] = field(default_factory=dict)
    queue: list[tuple[str, Message, int]] = field(default_factory=list)  # target, message, tries; oldest first


class Outbox:
    """For one thread. ``ready`` says whether the journal has made the file; nothing here makes one."""

    def __init__(self, path: Path, ready: Callable[[], bool]) -> None:
        self.path = path
        self.error = ""  # why it cannot be read or written; empty as soon as that has worked again
        self._ready = ready
        self._changes: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=_MOST)

    def read(self) -> Kept | None:
        """Everything in the file; None while it cannot be read. What is no fact or message of ours is passed over."""
        try:
            with self._connection() as database:
                facts = _facts(database)
                known = database.execute("SELECT code, subject, wall, text FROM notify_open").fetchall()
                rows = database.execute("SELECT target, message, tries FROM notify_queue ORDER BY rowid").fetchall()
        except (sqlite3.Error, OSError) as error:
            self.error = str(error)
            return None
        self.error = ""
        queue = [(target, message, tries) for target, text, tries in rows for message in _parsed(message_from, text)]
        opened = {(code, subject): Opened(wall, text) for code, subject, wall, text in known}
        return Kept(facts, opened, queue)

    def orders(self) -> list[Fact]:
        """The facts in the file, also those that another process has put there; nothing while changes wait."""
        if self._changes:
            return []
        try:
            with self._connection() as database:
                facts = _facts(database)
        except (sqlite3.Error, OSError) as error:
            self.error = str(error)
            return []
        self.error = ""
        return facts

    def fact(self, fact: Fact) -> None:
        """Keep a fact until it is told."""
        self._note(KEEP_FACT, fact.id, fact.to_json())

    def forget(self, fact: Fact) -> None:
        """It was told, or is not to be."""
        self._note("DELETE FROM notify_facts WHERE id = ?", fact.id)

    def opened(self, key: Key, opened: Opened) -> None:
        """People are told of a matter."""
        self._note("INSERT OR REPLACE INTO notify_open VALUES (?, ?, ?, ?)", *key, opened.wall, opened.text)

    def closed(self, key: Key) -> None:
        """People are told that it is over."""
        self._note("DELETE FROM notify_open WHERE code = ? AND subject = ?", *key)

    def queued(self, target: str, message: Message) -> None:
        """A message waits for a target."""
        text = message.to_json()
        self._note("INSERT OR REPLACE INTO notify_queue VALUES (?, ?, 0, ?)", target, message.id, text)

    def tried(self, target: str, message: Message, tries: int) -> None:
        """It could not be sent."""
        self._note("UPDATE notify_queue SET tries = ? WHERE target = ? AND message_id = ?", tries, target, message.id)

    def done(self, target: str, message: Message) -> None:
        """It was sent, or given up."""
        self._note("DELETE FROM notify_queue WHERE target = ? AND message_id = ?", target, message.id)

    def write(self) -> bool:
        """Write what has changed, as one transaction; False when that has to wait."""
        if not self._changes:
            return True
        try:
            with self._connection() as database:
                for statement, values in self._changes:
                    database.execute(statement, values)
                database.commit()
        except (sqlite3.Error, OSError) as error:
            self.error = str(error)
            return False
        self._changes.clear()
        self.error = ""
        return True

    def _note(self, statement: str, *values: Any) -> None:
        self._changes.append((statement, values))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A new one each time: the journal may have put a broken file aside meanwhile."""
        if not self._ready():
            raise OSError("the journal has not made its file yet")
        database = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=rw", uri=True, timeout=2.0)
        try:
            yield database
        finally:
            database.close()


def _facts(database: sqlite3.Connection) -> list[Fact]:
    rows = database.execute("SELECT fact FROM notify_facts ORDER BY rowid")
    return [fact for (text,) in rows for fact in _parsed(fact_from, text)]


def _parsed(parse: Callable[[str], Any], text: str) -> list[Any]:
    try:
        return [parse(text)]
    except (ValueError, TypeError):
        return []
