# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the rooms of the notification in one thread. The loop only puts notes into a queue, and never waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.vpnha.aws.plugins.module_utils.announced import Announcing, kind_of
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Note

from .. import log
from ..clock import monotonic
from .facts import Fact, Message, fact_of
from .outbox import Outbox
from .sending import SECONDS, Address, Try, addresses
from .target import Parcel, Target
from .telling import Opened, Telling, Told
from .wording import Wording, late

CAPACITY = 10_000  # notes that wait for the thread
POLL = 5.0  # s between two looks for orders of other processes, and for a file that could not be written
_WATCH = 0.05  # s between two looks at the processes under way
_GATHER = 0.1  # s: notes come in swarms, and while they do the loop has better things to do
_STOP_SECONDS = 1.5  # for tries under way when told to stop; what they have not sent is sent after the next start


class Attempt(Protocol):
    """A try under way, see ``sending.Try``."""

    def outcome(self, mono: float) -> str | None:
        """Why it failed, empty if it did not; None while it is under way."""

    def kill(self) -> None:
        """End it."""


Begin = Callable[[Address, Message, float], Attempt]


@dataclass(frozen=True)
class Settings:
    """What a configuration says."""

    monitor: str
    deployment: Deployment
    announcing: Announcing
    endpoint_url: str = ""


@dataclass
class _Post:
    """A target with its address and the one try that may be under way."""

    address: Address
    target: Target
    attempt: Attempt | None = None
    parcel: Parcel | None = None


class Notifications:
    """``tell`` is called with notes about the targets, from the thread. ``begin`` starts a try."""

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        tell: Callable[[Note], None],
        begin: Begin = Try,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.leads = True  # whether this monitor tells what all of them see; set by the loop
        self.lost = 0  # notes that found the queue full
        self._tell = tell
        self._begin = begin
        self._wall = wall
        self._outbox = outbox
        self._inbox: queue.Queue[Fact | Settings] = queue.Queue(CAPACITY)
        self._telling = Telling(settings.deployment)
        self._posts: dict[str, _Post] = {}
        self._restored = False
        self._poll_at = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self._failure = ""
        self._take_settings(settings)

    # --- for the loop -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, note: Note, drill: str = "") -> None:
        """A note was made; never blocks, never raises. An end counts also while there is nobody to tell."""
        if (self._posts or note.resolved) and (kind_of(note.code) or note.code == "swap-accepted"):
            self._put(fact_of(note, self._wall(), drill))

    def reload(self, settings: Settings) -> None:
        """Go on with another configuration; messages wait for targets that have kept their names."""
        self._put(settings)

    def stop(self) -> None:
        """End; what was not sent is sent after the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2 * _STOP_SECONDS)

    def status(self) -> dict[str, Any]:
        """For the status document; without anything of an address."""
        return {
            "lost": self.lost,
            "error": self._outbox.error,
            "open": len(self._telling.open),
            "targets": [
                {
                    "name": one.name,
                    "queued": len(one.waiting),
                    "failing": one.failures > 0,
                    "error": one.error,
                    "sent_wall": one.sent_wall,
                    "sent": one.sent,
                    "failed": one.failed,
                    "dropped": one.dropped,
                }
                for one in (post.target for post in list(self._posts.values()))
            ],
        }

    def _put(self, one: Fact | Settings) -> None:
        try:
            self._inbox.put_nowait(one)
        except queue.Full:
            self.lost += 1
        self._wake.set()

    # --- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait = POLL
            try:
                wait = self.step(monotonic(), self._wall())
                self._failure = ""
            except Exception as error:  # the next step tries again; its text is not told, it may have a secret
                if self._failure != type(error).__name__:
                    self._failure = type(error).__name__
                    log.line("The notification failed; it goes on.", logging.ERROR, error=self._failure)
            self._wake.wait(wait)
            self._stopping.wait(_GATHER)
            self._wake.clear()
        until = monotonic() + _STOP_SECONDS
        while any(post.attempt for post in self._posts.values()) and monotonic() < until:
            self._collect(monotonic(), self._wall())
            time.sleep(_WATCH)
        for post in self._posts.values():
            if post.attempt is not None:
                post.attempt.kill()
        self._take_in(monotonic())
        self._outbox.write()

    def step(self, mono: float, wall: float) -> float:
        """All that is to be done now; returns for how many seconds there is nothing more, unless something happens."""
        self._restore(mono, wall)
        self._take_in(mono)
        if self._posts and mono >= self._poll_at:
            self._poll_at = mono + POLL
            known = {fact.id for fact in self._telling.pending()}
            for fact in self._outbox.orders() if self._restored else []:
                if fact.id not in known:
                    self._consider(fact, mono, kept=True)
        for fact in self._telling.gone(mono, wall):
            self._consider(fact, mono)
        for told in self._telling.due(mono, leads=self.leads):
            self._make(told, mono)
        self._collect(mono, wall)
        self._outbox.write()
        self._send(mono, wall)
        return self._idle(mono)

    def _idle(self, mono: float) -> float:
        if any(post.attempt for post in self._posts.values()):
            return _WATCH
        times = [self._telling.next_due(mono), *(post.target.next_due(mono) for post in self._posts.values())]
        return min([POLL, *(max(0.01, at - mono) for at in times if at is not None)])

    def _restore(self, mono: float, wall: float) -> None:
        """Once, as soon as there is a file: what waited when the last monitor ended."""
        if self._restored:
            return
        kept = self._outbox.read()
        if kept is None:
            return
        self._restored = True
        self._telling.restore(kept.open, mono)
        for name, message, tries in kept.queue:
            post = self._posts.get(name)
            if post is None:
                self._give_up(name, message, "its target is no longer configured")
            elif all(one.message.id != message.id for one in post.target.waiting):
                post.target.put(message, mono - max(0.0, wall - message.wall), tries)
        for fact in kept.facts:
            if not fact.kind or not self._telling.take_again(fact, mono):
                self._outbox.forget(fact)

    def _take_in(self, mono: float) -> None:
        while not self._inbox.empty():
            one = self._inbox.get_nowait()
            if isinstance(one, Settings):
                self._take_settings(one)
            elif one.code == "swap-accepted":
                self._telling.accepted(str(one.evidence.get("gateway", "")))
            else:
                self._consider(one, mono)

    def _take_settings(self, settings: Settings) -> None:
        self._telling.deployment = settings.deployment
        announcing = settings.announcing
        self._wording = Wording(settings.deployment.name, settings.monitor, announcing.templates)
        before, posts = dict(self._posts), {}
        for address in addresses(announcing, settings.deployment.region, settings.endpoint_url):
            post = before.pop(address.name, None) or _Post(address, Target(address.name, announcing.rate))
            post.address, post.target.rate = address, announcing.rate
            posts[address.name] = post
        self._posts = posts  # at once: the loop puts no notes where there are none
        for name, post in before.items():
            if post.attempt is not None:
                post.attempt.kill()
            for waiting in post.target.waiting:
                self._give_up(name, waiting.message, "its target is no longer configured")
            if post.target.told:
                self._failing(name, f"{name} is no longer configured.", resolved=True)

    def _consider(self, fact: Fact, mono: float, *, kept: bool = False) -> None:
        """Take a fact, and keep it until it is told; ``kept``: it is in the file already."""
        if fact.kind and self._telling.take(fact, mono):
            if not kept:
                self._outbox.fact(fact)
        elif kept:
            self._outbox.forget(fact)

    def _make(self, told: Told, mono: float) -> None:
        """One message for all targets; in one transaction its facts go and it waits for each of them."""
        for fact in told.facts:
            self._outbox.forget(fact)
        if told.silent:
            return
        message = self._wording.message(told)
        for post in self._posts.values():
            for lost in post.target.put(message, mono):
                self._give_up(post.address.name, lost, "too many messages wait")
            self._outbox.queued(post.address.name, message)
        for fact in told.opens:
            self._outbox.opened(fact.key, Opened(fact.wall, fact.text))
        if told.over:
            for fact in told.facts:
                self._outbox.closed(fact.key)
        self._telling.told(told)

    # --- sending ------------------------------------------------------------------------------------------

    def _send(self, mono: float, wall: float) -> None:
        for post in self._posts.values():
            for message in post.target.expired(mono):
                self._give_up(post.address.name, message, "it is older than a day")
            if post.attempt is not None:
                continue
            post.parcel = post.target.parcel(mono, lambda messages: self._wording.summary(messages, wall))
            if post.parcel is None:
                continue
            message = late(post.parcel.message) if post.parcel.late else post.parcel.message
            try:
                post.attempt = self._begin(post.address, message, mono + SECONDS)
            except OSError as error:  # no process can be made now
                self._ended(post, f"no process can be started ({error.strerror})", mono, wall)

    def _collect(self, mono: float, wall: float) -> None:
        for post in self._posts.values():
            said = None if post.attempt is None else post.attempt.outcome(mono)
            if said is not None:
                post.attempt = None
                self._ended(post, said, mono, wall)

    def _ended(self, post: _Post, error: str, mono: float, wall: float) -> None:
        parcel, target, name = post.parcel, post.target, post.address.name
        assert parcel is not None
        if error:
            first = target.failed_with(parcel, error, mono)
            for waiting in target.waiting:
                if waiting.message in parcel.stands_for:
                    self._outbox.tried(name, waiting.message, waiting.tries)
            log.line("A message could not be sent; it is tried again.", logging.WARNING, target=name, error=error)
            if first:
                self._failing(name, f"Messages cannot be sent to {name}: {error}.")
            return
        recovered = target.succeeded(parcel, wall)
        for message in parcel.stands_for:
            self._outbox.done(name, message)
        log.line("A message was sent.", target=name, title=parcel.message.title)
        if recovered:
            self._failing(name, f"Messages can be sent to {name} again.", resolved=True)

    def _failing(self, name: str, text: str, resolved: bool = False) -> None:
        self._tell(Note("notification-failing", name, text, resolved=resolved))

    def _give_up(self, name: str, message: Message, why: str) -> None:
        self._outbox.done(name, message)
        log.line("A message was given up.", logging.WARNING, target=name, title=message.title, reason=why)
