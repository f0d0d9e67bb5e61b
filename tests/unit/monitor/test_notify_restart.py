# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits to be told, or was told, over a restart, and the file that it waits in."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import pytest
from notify_desk import WALL, A, Desk, rows
from rich.console import Console

from vpnha_monitor import cli_output
from vpnha_monitor.notify import room
from vpnha_monitor.notify.target import LATE
from vpnha_monitor.notify.telling import RECONFIRM, SETTLE


def test_what_was_not_sent_is_sent_after_a_restart_with_its_tries(path: Path) -> None:
    desk = Desk(path)
    desk.post.says[A] = "no"
    desk.tell("site-down", "hq")
    desk.go(1.0)
    again = Desk(path)
    again.wall += LATE + 60
    again.go(0.1)
    assert again.post.titles(A) == ["Late: [test] hq: Site is down"]
    assert again.post.sent[0][1].id == desk.post.begun[0].message.id


def test_what_had_not_become_a_message_yet_does_after_a_restart(path: Path) -> None:
    desk = Desk(path)
    desk.note("site-down", "hq")
    desk.room.step(desk.mono, desk.wall)
    assert rows(path, "notify_facts") == 1
    again = Desk(path)
    again.go(0.1)
    again.go()
    assert again.post.titles(A) == ["hq: Site is down"]
    again.tell("site-down", "hq")
    assert len(again.post.sent) == 1


def test_what_began_and_ended_right_before_a_restart_gets_its_end_and_is_told_when_it_comes_again(path: Path) -> None:
    desk = Desk(path)
    desk.note("site-down", "hq")
    desk.note("monitor-sick", "mon-a")
    desk.room.step(desk.mono, desk.wall)
    desk.note("site-down", "hq", resolved=True)
    desk.room.step(desk.mono, desk.wall)
    again = Desk(path)
    again.go(0.1)
    again.go(RECONFIRM + 2 * SETTLE, steps=40)
    assert again.post.titles(A) == ["hq: Site is down", "Over: hq: Site is down"]
    assert [rows(path, table) for table in ("notify_facts", "notify_open")] == [0, 0]
    again.tell("site-down", "hq")
    assert again.post.titles(A)[2:] == ["hq: Site is down"]


@pytest.mark.parametrize("waiting", [True, False])
def test_status_says_what_is_not_kept_on_disk_until_it_is(path: Path, waiting: bool) -> None:
    desk = Desk(path)
    aside = path.with_suffix(".aside")
    path.rename(aside)
    if waiting:
        desk.note("site-down", "hq")
    desk.go(60.0)
    why = desk.room.status()["error"]
    assert why

    said = io.StringIO()
    cli_output.notification(Console(file=said, width=200), {"notify": {**desk.room.status(), "lost": 3}})
    assert said.getvalue().splitlines() == [
        f"Messages that wait are not kept on disk ({why}): a restart now would lose them.",
        "Events that nobody is told of, as too many came at once: 3",
    ]
    aside.rename(path)
    desk.go(60.0)
    said = io.StringIO()
    cli_output.notification(Console(file=said, width=200), {"notify": desk.room.status()})
    assert said.getvalue() == "" and desk.post.titles(A) == (["hq: Site is down"] if waiting else [])


def test_killed_between_sending_and_noting_it_the_message_is_sent_again(path: Path) -> None:
    """At least once: the same message, by its id, and never none."""
    desk = Desk(path)
    desk.note("site-down", "hq")
    desk.room.step(desk.mono, desk.wall)
    desk.mono += SETTLE
    desk.room.step(desk.mono, desk.wall)  # the try is begun
    desk.room._outbox.write = lambda: False  # killed before anything else reaches the disk
    desk.room.step(desk.mono, desk.wall)
    assert len(desk.post.sent) == 1
    again = Desk(path)
    again.go(0.1)
    assert [message.id for _name, message in again.post.sent] == [desk.post.sent[0][1].id]
    last = Desk(path)
    last.go(0.1)
    assert last.post.sent == []


def test_after_a_restart_a_known_matter_is_not_told_again_and_its_end_is(path: Path) -> None:
    Desk(path).tell("site-down", "hq")
    again = Desk(path)
    again.go(0.1)
    again.post.sent.clear()
    again.tell("site-down", "hq")
    assert again.post.sent == []
    again.tell("site-down", "hq", resolved=True)
    assert again.post.titles(A) == ["Over: hq: Site is down"]


def test_messages_are_sent_while_the_file_cannot_be_written_and_kept_when_it_can(path: Path) -> None:
    desk = Desk(path, ready=False)
    desk.tell("journal-failed", str(path))
    assert len(desk.post.sent) == 1
    assert desk.room.status()["error"] == "the journal has not made its file yet"
    desk.ready = True
    desk.go(room.POLL)
    assert rows(path, "notify_open") == 1 and rows(path, "notify_queue") == 0 and desk.room.status()["error"] == ""


def test_another_process_puts_a_fact_into_the_file(path: Path) -> None:
    desk = Desk(path)
    desk.go(0.1)
    order = {"id": "x", "wall": WALL, "code": "drill-result", "subject": "d1", "text": "It passed.",
             "evidence": {"passed": True}, "resolved": False, "drill": ""}  # fmt: skip
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO notify_facts VALUES (?, ?)", ("x", json.dumps(order)))
        database.execute("INSERT INTO notify_facts VALUES ('y', 'no fact')")
    desk.go(room.POLL)
    desk.go(room.POLL * 3, 3)
    assert desk.post.titles(A) == ["Drill d1 passed"]
