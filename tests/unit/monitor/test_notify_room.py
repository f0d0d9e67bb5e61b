# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The notification's thread, step by step at given times, with targets that do as they are told."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from notify_desk import ONE, SECRET, TWO, WALL, A, Attempt, B, Desk, rows

from ansible_collections.vpnha.aws.plugins.module_utils.announced import Announcing
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note
from vpnha_monitor.notify import room
from vpnha_monitor.notify.facts import Message
from vpnha_monitor.notify.outbox import Outbox
from vpnha_monitor.notify.room import Notifications
from vpnha_monitor.notify.sending import SECONDS, TIMED_OUT, Address
from vpnha_monitor.notify.target import AGE_MOST, BURST, QUEUE, RETRY, RETRY_MOST, Target
from vpnha_monitor.notify.telling import SETTLE


def test_a_matter_goes_to_every_target_once_and_its_end_too(path: Path) -> None:
    desk = Desk(path, ONE, TWO)
    desk.tell("site-down", "hq")
    desk.tell("site-down", "hq")
    desk.tell("site-down", "hq", resolved=True)
    assert desk.post.titles(A) == desk.post.titles(B) == ["hq: Site is down", "Over: hq: Site is down"]
    desk.go(1.0)
    assert [rows(path, table) for table in ("notify_facts", "notify_open", "notify_queue")] == [0, 0, 0]


def test_half_a_surrogate_pair_keeps_no_other_message_back(path: Path) -> None:
    desk = Desk(path)
    desk.tell("site-down", "hq\ud800")
    desk.tell("site-down", "plant")
    assert desk.post.titles(A) == ["hq?: Site is down", "plant: Site is down"]


def test_what_is_only_recorded_is_not_sent(path: Path) -> None:
    desk = Desk(path)
    for code in ("swap-issued", "swap-accepted", "pinned", "gateway-up", "no-such-code"):
        desk.tell(code, "x")
    assert desk.post.begun == [] and rows(path, "notify_facts") == 0


# --- targets that fail or hang --------------------------------------------------------------------------------


def test_a_failing_target_is_tried_ever_more_rarely_and_the_other_one_gets_its_messages(path: Path) -> None:
    desk = Desk(path, ONE, TWO)
    desk.post.says[A] = "the target did not take it (HTTP 500)"
    desk.tell("site-down", "hq")
    times = []
    for _step in range(400):
        before = len(desk.post.begun)
        desk.go(5.0)
        times += [desk.mono] * (len(desk.post.begun) - before)
    gaps = [round(after - before) for before, after in pairwise(times)]
    assert gaps[:6] == [10, 20, 40, 80, 160, 320] and max(gaps) <= RETRY_MOST
    assert desk.post.titles(B) == ["hq: Site is down"]
    assert desk.target() | {"failed": 0} == {
        "name": A, "queued": 1, "failing": True, "error": "the target did not take it (HTTP 500)", "sent_wall": None,
        "sent": 0, "failed": 0, "dropped": 0,
    }  # fmt: skip
    assert [(note.code, note.subject, note.resolved) for note in desk.told] == [("notification-failing", A, False)]

    desk.post.says.clear()
    desk.go(RETRY_MOST)
    assert desk.post.titles(A) == ["Late: hq: Site is down".replace("hq", "[test] hq")]
    assert desk.told[-1].resolved and not desk.target()["failing"]


def test_a_hanging_target_holds_nobody_and_has_one_try_at_a_time(path: Path) -> None:
    desk = Desk(path, ONE, TWO)
    desk.post.says[A] = "hangs"
    for number in range(20):
        desk.tell("route-foreign", f"rtb-{number}")
    assert len(desk.post.titles(B)) == 20
    begun = [one for one in desk.post.begun if one.name == A]
    assert len([one for one in begun if not one.killed]) <= 1
    assert len(begun) == 2 and begun[0].deadline - 1000.0 == pytest.approx(SETTLE + SECONDS)
    assert desk.target()["error"] == TIMED_OUT and desk.target()["queued"] == 20


def test_a_process_that_cannot_be_made_is_a_failed_try(path: Path) -> None:
    desk = Desk(path)
    real, refused = desk.post, []

    def begin(address: Address, message: Message, deadline: float) -> Attempt:
        if not refused:
            refused.append(address)
            raise OSError(11, "Resource temporarily unavailable")
        return real(address, message, deadline)

    desk.room._begin = begin
    desk.tell("site-down", "hq")
    assert desk.target()["error"] == "no process can be started (Resource temporarily unavailable)"
    desk.go(RETRY)
    assert desk.post.titles(A) == ["hq: Site is down"]


def test_a_message_that_is_refused_again_and_again_lets_the_others_go_first() -> None:
    target = Target(A, 1000)
    messages = [Message(str(n), WALL, "trouble", "warning", f"t{n}", "") for n in range(3)]
    for message in messages:
        target.put(message, 0.0)
    now, sent = 1.0, []
    while len(sent) < 2 and now < 60.0:  # the first one is refused, whatever is done
        parcel = target.parcel(now, lambda _many: messages[0])
        if parcel is not None and parcel.message is messages[0]:
            target.failed_with(parcel, "no", now)
        elif parcel is not None:
            target.succeeded(parcel, WALL)
            sent.append(parcel.message.id)
        now += 1.0
    assert sent == ["1", "2"]


def test_messages_come_in_their_order_after_an_outage_of_the_target() -> None:
    for back in (20.0, 50.0, 100.0, 500.0, 3000.0):
        target = Target(A, 1000)
        messages = [Message(str(n), WALL, "trouble", "warning", f"t{n}", "") for n in range(3)]
        for message in messages:
            target.put(message, 0.0)
        now, sent = 1.0, []
        while target.waiting:
            parcel = target.parcel(now, lambda _many, one=messages[0]: one)
            if parcel is not None and now < back:
                target.failed_with(parcel, "no", now)
            elif parcel is not None:
                target.succeeded(parcel, WALL)
                sent.append(parcel.message.id)
            now += 1.0
        assert sent == ["0", "1", "2"], back


def test_messages_are_given_up_after_a_day_and_when_too_many_wait(path: Path) -> None:
    desk = Desk(path)
    desk.post.says[A] = "no"
    desk.tell("site-down", "hq")
    desk.go(AGE_MOST + 1)
    assert desk.target()["queued"] == 0 and desk.target()["dropped"] == 1
    desk.go(1.0)
    assert rows(path, "notify_queue") == 0

    target = Target(A, 1)
    lost = [one for n in range(QUEUE + 2) for one in target.put(Message(str(n), WALL, "", "info", "", ""), 0.0)]
    assert [one.id for one in lost] == ["0", "1"] and len(target.waiting) == QUEUE and target.dropped == 2


# --- too many -------------------------------------------------------------------------------------------------


def test_beyond_the_rate_one_message_stands_for_the_many(path: Path) -> None:
    desk = Desk(path, rate=30)  # one in 120 s
    for number in range(25):
        desk.tell("site-down", f"s{number}")
    sent = desk.post.titles(A)
    assert sent[:BURST] == [f"s{number}: Site is down" for number in range(BURST)] and len(sent) == BURST
    desk.go(120.0, 24)
    sent = desk.post.titles(A)
    assert sent[BURST:] == ["15 more messages: see `vpnha events`"]
    summary = desk.post.sent[-1][1].body
    assert all(f"s{number}: Site is down" in summary for number in range(BURST, 25))
    desk.go(1.0)
    assert desk.target()["queued"] == 0 and rows(path, "notify_queue") == 0
    desk.tell("site-down", "s99")
    desk.go(120.0, 24)
    assert desk.post.titles(A)[-1] == "s99: Site is down"  # alone it is itself


def test_a_try_that_fails_costs_nothing_of_the_rate(path: Path) -> None:
    desk = Desk(path, rate=1)
    desk.post.says[A] = "no"
    desk.tell("site-down", "hq")
    desk.go(1.0)
    desk.post.says.clear()
    desk.go(30.0, 30)
    assert desk.post.titles(A)[-1] == "hq: Site is down" and desk.target()["queued"] == 0


def test_a_summary_that_fails_loses_nothing(path: Path) -> None:
    desk = Desk(path, rate=30)
    for number in range(BURST + 3):
        desk.tell("site-down", f"s{number}")
    desk.post.says[A] = "no"
    desk.go(120.0, 24)
    assert desk.target()["queued"] == 3
    desk.post.says.clear()
    desk.go(240.0, 48)
    assert desk.post.titles(A)[-1] == "3 more messages: see `vpnha events`" and desk.target()["queued"] == 0


# --- configuration --------------------------------------------------------------------------------------------


def test_targets_that_are_gone_lose_their_messages_and_those_that_stay_keep_them(path: Path) -> None:
    desk = Desk(path, ONE, TWO)
    desk.post.says = {A: "no", B: "hangs"}
    desk.tell("site-down", "hq")
    trying = desk.post.begun[-1]
    announcing = Announcing(apprise=(ONE,), templates={"default": {"title": "mine: ${title}"}})
    desk.room.reload(replace(desk.settings, announcing=announcing))
    desk.post.says.clear()
    desk.go(60.0)
    assert trying.name == B and trying.killed
    assert desk.post.titles(A) == ["hq: Site is down"] and rows(path, "notify_queue") == 0
    desk.tell("site-down", "plant")
    assert desk.post.titles(A)[-1] == "mine: plant: Site is down"


def test_a_failing_target_that_goes_fails_no_more(path: Path) -> None:
    desk = Desk(path, ONE, TWO)
    desk.post.says = {B: "no"}
    desk.tell("site-down", "hq")
    desk.go(100.0, 20)
    desk.room.reload(replace(desk.settings, announcing=Announcing(apprise=(ONE,))))
    desk.go(1.0)
    assert [(note.subject, note.resolved) for note in desk.told] == [(B, False), (B, True)]


def test_what_ends_while_there_is_nobody_to_tell_is_told_when_it_comes_again(path: Path) -> None:
    desk = Desk(path)
    desk.tell("site-down", "hq")
    desk.room.reload(replace(desk.settings, announcing=Announcing()))
    desk.go(1.0)
    desk.tell("site-down", "hq", resolved=True)
    assert rows(path, "notify_open") == 0
    desk.room.reload(desk.settings)
    desk.go(1.0)
    desk.tell("site-down", "hq")
    assert desk.post.titles(A) == ["hq: Site is down"] * 2


def test_a_note_that_comes_amid_a_reload_is_not_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on while the notification's thread takes the new targets."""
    desk, real = Desk(path), room.addresses

    def slowly(*given: Any) -> list[Address]:
        desk.note("site-down", "hq")
        return real(*given)

    monkeypatch.setattr(room, "addresses", slowly)
    desk.room.reload(desk.settings)
    desk.go(2 * SETTLE, steps=4)
    assert desk.post.titles(A) == ["hq: Site is down"]


def test_nobody_to_tell_keeps_nothing(path: Path) -> None:
    desk = Desk(path)
    quiet = Notifications(replace(desk.settings, announcing=Announcing()), Outbox(path, lambda: True), desk.told.append)
    for _note in range(5):
        quiet.put(Note("site-down", "hq", "x"))
    quiet.step(0.0, WALL)
    assert quiet.status()["targets"] == [] and rows(path, "notify_facts") == 0


def test_notes_that_find_the_queue_full_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CAPACITY", 3)
    desk = Desk(path)
    for number in range(5):
        desk.note("site-down", str(number))
    assert desk.room.status()["lost"] == 2


def test_no_secret_is_in_file_status_or_repr(path: Path) -> None:
    desk = Desk(path, ONE, TWO)
    desk.post.says = {A: "no", B: "hangs"}
    desk.tell("site-down", "hq")
    shown = json.dumps(desk.room.status()) + repr(desk.settings) + repr(desk.room._posts) + repr(desk.told)
    assert SECRET not in shown
    for file in path.parent.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file
