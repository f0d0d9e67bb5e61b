# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The notification without its thread: a clock that the test moves, and targets that do as they are told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from monitor_world import deployment

from ansible_collections.vpnha.aws.plugins.module_utils.announced import Announcing
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note
from vpnha_monitor.notify.facts import Message
from vpnha_monitor.notify.outbox import Outbox
from vpnha_monitor.notify.room import Notifications, Settings
from vpnha_monitor.notify.sending import TIMED_OUT, Address
from vpnha_monitor.notify.telling import SETTLE

WALL = 1_795_600_000.0
SECRET = "s3cr3t-t0ken"
ONE, TWO = f"json://127.0.0.1/{SECRET}", f"slack://{SECRET}"
A, B = "apprise-1-json", "apprise-2-slack"


class Attempt:
    """A try whose end the test decides."""

    def __init__(self, post: Post, name: str, message: Message, deadline: float) -> None:
        self.post, self.name, self.message, self.deadline = post, name, message, deadline
        self.killed = False

    def outcome(self, mono: float) -> str | None:
        said = self.post.says.get(self.name, "")
        if said == "hangs":
            self.killed = mono >= self.deadline
            return TIMED_OUT if self.killed else None
        if not said:
            self.post.sent.append((self.name, self.message))
        return said

    def kill(self) -> None:
        self.killed = True


class Post:
    """Begins tries; ``says`` is what each target answers: nothing, an error, or that it hangs."""

    def __init__(self) -> None:
        self.says: dict[str, str] = {}
        self.sent: list[tuple[str, Message]] = []
        self.begun: list[Attempt] = []

    def __call__(self, address: Address, message: Message, deadline: float) -> Attempt:
        self.begun.append(Attempt(self, address.name, message, deadline))
        return self.begun[-1]

    def titles(self, name: str) -> list[str]:
        return [message.title.removeprefix("[test] ") for target, message in self.sent if target == name]


class Desk:
    """Notifications with a clock that the test moves."""

    def __init__(self, path: Path, *addresses: str, rate: int = 1000, ready: bool = True) -> None:
        self.post = Post()
        self.told: list[Note] = []
        self.mono, self.wall = 1000.0, WALL
        self.ready = ready
        self.settings = Settings("mon-a", deployment(), Announcing(apprise=addresses or (ONE,), rate=rate))
        outbox = Outbox(path, lambda: self.ready)
        self.room = Notifications(self.settings, outbox, self.told.append, self.post, lambda: self.wall)

    def note(self, code: str, subject: str = "", *, resolved: bool = False, **evidence: object) -> None:
        self.room.put(Note(code, subject, "It is so.", evidence, resolved))

    def go(self, seconds: float = SETTLE, steps: int = 1) -> float:
        """Time passes, in so many steps; what is begun in one step ends in the next."""
        for _step in range(steps):
            self.mono += seconds / steps
            self.wall += seconds / steps
            self.room.step(self.mono, self.wall)
            idle = self.room.step(self.mono, self.wall)
        return idle

    def tell(self, code: str, subject: str = "", **given: object) -> None:
        """A note, and its message is made."""
        self.note(code, subject, **given)
        self.room.step(self.mono, self.wall)
        self.go()

    def target(self, name: str = A) -> dict[str, object]:
        return next(one for one in self.room.status()["targets"] if one["name"] == name)


def rows(path: Path, table: str) -> int:
    with sqlite3.connect(path) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
