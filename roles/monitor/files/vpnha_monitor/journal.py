# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event journal: what the monitor saw and did, for people to read afterwards.

It is written by a thread of its own behind a bounded queue. Nothing ever waits for it: a full disk, a broken file
or a slow device costs events, which are counted, and never delays a swap. Nothing is ever decided by it either.
The same file has the tables of what waits to be told, see ``notify.outbox``.
"""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import log

CAPACITY = 10_000  # events that wait for the disk; more are dropped and counted
KEEP = 100_000  # events in the file; the oldest go first
RETRY_SECONDS = 5.0
_TRIM_EVERY = 1_000
_BATCH = 500
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, wall REAL NOT NULL, mono REAL NOT NULL, code TEXT NOT NULL,
    subject TEXT NOT NULL, text TEXT NOT NULL, evidence TEXT NOT NULL, resolved INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS events_wall ON events (wall);
CREATE TABLE IF NOT EXISTS notify_facts (id TEXT PRIMARY KEY, fact TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notify_open (
    code TEXT NOT NULL, subject TEXT NOT NULL, wall REAL NOT NULL, text TEXT NOT NULL, PRIMARY KEY (code, subject));
CREATE TABLE IF NOT EXISTS notify_queue (
    target TEXT NOT NULL, message_id TEXT NOT NULL, tries INTEGER NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (target, message_id));
"""


Row = tuple[float, float, str, str, str, str, int]


@dataclass(frozen=True)
class Event:
    """One line of the journal. ``wall`` is seconds since the epoch, ``mono`` the monitor's monotonic clock."""

    wall: float
    mono: float
    code: str
    subject: str
    text: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    resolved: bool = False

    def to_dict(self) -> dict[str, object]:
        """The form in which people and drills get it."""
        return {
            "wall": round(self.wall, 4),
            "code": self.code,
            "subject": self.subject,
            "text": self.text,
            "evidence": dict(self.evidence),
            "resolved": self.resolved,
        }


@dataclass(frozen=True)
class Trouble:
    """Something to tell about the journal itself; ``kind`` is "failed", "recovered" or "corrupt"."""

    kind: str
    text: str


class Journal:
    """Writes events in the background. ``tell`` is called from its thread, and must not block."""

    def __init__(self, path: Path, tell: Callable[[Trouble], None], capacity: int = CAPACITY) -> None:
        self.path = path
        self.dropped = 0
        self.failing = False
        self.error = ""  # why it cannot be written, one sentence
        self.opened = threading.Event()  # the file is there, with its tables
        self._tell = tell
        self._queue: queue.Queue[Event] = queue.Queue(capacity)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._database: sqlite3.Connection | None = None
        self._written = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin writing."""
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event; never blocks, never raises."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1
        self._wake.set()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued, for at most ``timeout`` seconds, and end."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    # --- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        batch: list[Row] = []
        while True:
            stopping = self._stop.is_set()
            while len(batch) < _BATCH and not self._queue.empty():
                batch += self._encoded(self._queue.get_nowait())
            try:
                self._write(batch)
            except Exception as error:  # whatever it is, a thread that has ended would tell nobody
                self._failed(error)
                if stopping:
                    self.dropped += len(batch) + self._queue.qsize()
                    return
                self._stop.wait(RETRY_SECONDS)
                continue
            batch.clear()
            if self._queue.empty():
                if stopping:
                    self._disconnect()
                    return
                self._wake.wait()
                self._wake.clear()

    def _encoded(self, event: Event) -> list[Row]:
        """The row of an event; none if it cannot be one, which must not keep the others out."""
        try:
            return [row(event)]
        except Exception as error:
            self.dropped += 1
            what = {"code": event.code, "subject": event.subject, "error": f"{type(error).__name__}: {error}"}
            log.line("An event cannot be written into the journal.", logging.ERROR, **what)
            return []

    def _write(self, batch: list[Row]) -> None:
        database = self._connect()
        with database:
            insert(database, batch)
            # also with the first ones: a monitor that ends again and again would never come to it
            if not self._written or self._written // _TRIM_EVERY != (self._written + len(batch)) // _TRIM_EVERY:
                database.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (KEEP,))
        self._written += len(batch)
        if self.failing:
            self.failing = False
            self.error = ""
            self._tell(Trouble("recovered", f"The journal {self.path} can be written again."))

    def _connect(self) -> sqlite3.Connection:
        if self._database is None:
            try:
                self._database = _open(self.path)
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                self._move_aside(error)
                self._database = _open(self.path)
            self.opened.set()
        return self._database

    def _disconnect(self) -> None:
        if self._database is not None:
            database, self._database = self._database, None
            database.close()

    def _failed(self, error: Exception) -> None:
        try:
            self._disconnect()  # whatever the state of the connection was: the next try begins with a new one
            if isinstance(error, sqlite3.DatabaseError) and is_corrupt(error):
                self._move_aside(error)
        except (sqlite3.Error, OSError):
            self._database = None
        if not self.failing:
            self.error = (
                f"The journal {self.path} cannot be written ({error}); failover works without it, "
                f"events are kept in memory up to {self._queue.maxsize}."
            )
            self.failing = True
            self._tell(Trouble("failed", self.error))

    def _move_aside(self, error: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.corrupt-{int(time.time())}")
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):  # they belong to the broken file, and would break the new one
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.failing = True  # until something is written
        self._tell(Trouble("corrupt", f"The journal was corrupt ({error}) and is now {aside}; a new one was begun."))


def row(event: Event) -> Row:
    """What the file has of an event. Raises TypeError or ValueError where its evidence has no JSON."""
    evidence = json.dumps(event.evidence, default=str)
    texts = (writable(event.code), writable(event.subject), writable(event.text))
    return (event.wall, event.mono, *texts, evidence, int(event.resolved))


def writable(text: str) -> str:
    """A text as UTF-8 can have it: half a surrogate pair, which JSON of others may hold, becomes a question mark."""
    return text.encode(errors="replace").decode()


def insert(database: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Add rows of events, within a transaction of the caller's."""
    database.executemany(
        "INSERT INTO events (wall, mono, code, subject, text, evidence, resolved) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
    )


def is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is broken, not only out of reach."""
    return getattr(error, "sqlite_errorcode", None) in _CORRUPT or "malformed" in str(error)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=2.0, check_same_thread=False)
    try:
        # After a power cut WAL may lose the last moments but never breaks the file; that is enough for an audit.
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {verdict}")
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def read(path: Path, since_wall: float = 0.0, limit: int | None = None) -> list[Event]:
    """The journal's events from ``since_wall`` on, oldest first; with ``limit`` the newest so many.

    For other processes than the monitor; works while it writes and while it does not run. Raises OSError when the
    file is not there or cannot be read, sqlite3.Error when it is broken.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no journal at {path}")
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2.0)
    try:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone():
            return []  # it is just being made
        rows: list[tuple[Any, ...]] = database.execute(
            "SELECT wall, mono, code, subject, text, evidence, resolved FROM events WHERE wall >= ? "
            "ORDER BY id DESC LIMIT ?",
            (since_wall, -1 if limit is None else limit),
        ).fetchall()
    finally:
        database.close()
    return [
        Event(wall, mono, code, subject, text, json.loads(evidence), bool(resolved))
        for wall, mono, code, subject, text, evidence, resolved in reversed(rows)
    ]
