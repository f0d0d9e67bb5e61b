# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease that one of several monitors has, and what they tell each other, as pure functions.

The protocol is that of the AWS lock client. An item in the store has its holder's name and a number that is new with
each write, and no time. Every write is conditional on the number that it replaces. A holder counts its lease from
before it sent the renewal, and all others from when the answer came that first showed a number: so theirs always ends
later, by nobody's wall clock. Whoever has seen one number for as long as a lease lasts may take the lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .model import Deployment, StoreView

SECONDS = 5.0  # that a lease lasts
RENEW = 1.0  # seconds between two renewals
RENEW_UNANSWERED = 1.5  # the same after a write without an answer, which has kept the reader waiting for a second
SAY = 1.0  # seconds between two words to the other monitors; what has changed is said at once
READ = 0.5  # seconds between two reads of the store...
READ_IN_HASTE = 0.1  # ...and while a veto may decide
WAITED = 1.0  # seconds, at most, of waiting for the store in which a word grows no older: a newer one may be there

WRITTEN = "written"
REFUSED = "refused"  # the item had another number
FAILED = "failed"  # for certain
UNKNOWN = "unknown"  # it may have been written


def table_name(deployment: str) -> str:
    """The name of a deployment's lease store, a DynamoDB table."""
    return f"{deployment}-monitors"


def needed(deployment: Deployment) -> bool:
    """Whether there is anybody to agree with."""
    return len(deployment.monitors) > 1


# --- The lease ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """The lease as the store has it."""

    holder: str
    number: str


@dataclass(frozen=True)
class Write:
    """A conditional write of the lease."""

    item: Item
    instead_of: str  # the number that it must replace; empty: there must be no item


@dataclass(frozen=True)
class Held:
    """A write of ours that is known to have been applied."""

    number: str
    sent: float  # before the call


@dataclass(frozen=True)
class Lease:
    """What a monitor knows of the lease. Times are seconds of its monotonic clock."""

    monitor: str
    known: bool = False  # what the store has is known, so that a write can be conditional on it
    item: Item | None = None
    since: float = 0.0  # when the answer came that first showed the item
    held: Held | None = None
    tried: Mapping[str, float] = field(default_factory=dict)  # number -> sent, of writes whose outcome is not known
    unanswered: float = float("-inf")  # when the last of these was sent

    @property
    def holder(self) -> str:
        """Who has it, by the last word of the store; whether it has run out is another matter."""
        return self.item.holder if self.item is not None else ""

    def age(self, now: float) -> float | None:
        """Seconds since before its last renewal was sent; None if this monitor does not have it."""
        return None if self.held is None else now - self.held.sent


def take_read(lease: Lease, item: Item | None, answered: float) -> Lease:
    """What is known after a read. The read must have begun after the last write had ended."""
    if item is None:
        return replace(lease, known=True, item=None, held=None)
    since = lease.since if lease.item == item else answered
    held = lease.held if lease.held is not None and lease.held.number == item.number else None
    if item.holder == lease.monitor and item.number in lease.tried:
        held = Held(item.number, lease.tried[item.number])
        return replace(lease, known=True, item=item, since=since, held=held, tried={})
    return replace(lease, known=True, item=item, since=since, held=held)


def due(lease: Lease, number: str, now: float) -> Write | None:
    """The write that should be made now: a renewal, or taking a lease that is free or has run out."""
    if not lease.known or now - lease.unanswered < RENEW_UNANSWERED:
        return None  # what the others say must be read between two that are waited for in vain
    mine = Item(lease.monitor, number)
    if lease.item is None:
        return Write(mine, "")
    if lease.held is not None:
        return Write(mine, lease.held.number) if now - lease.held.sent >= RENEW else None
    return Write(mine, lease.item.number) if now - lease.since >= SECONDS else None


def take_written(lease: Lease, write: Write, outcome: str, *, sent: float, answered: float) -> Lease:
    """What is known after a write."""
    if outcome == WRITTEN:
        return replace(lease, item=write.item, since=answered, held=Held(write.item.number, sent), tried={})
    if outcome == REFUSED:
        return replace(lease, known=False, held=None)
    if outcome == UNKNOWN:
        return replace(lease, known=False, tried={**lease.tried, write.item.number: sent}, unanswered=sent)
    return lease


# --- What the monitors tell each other ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """What a monitor says about once a second; its number is new each time."""

    number: str
    able: bool  # it could act now
    healthy: frozenset[str] = frozenset()  # gateways of its own zone that work


@dataclass(frozen=True)
class Heard:
    """Another monitor's last word, and when the answer came that first showed it."""

    word: Word
    at: float


def hear(heard: Mapping[str, Heard], words: Mapping[str, Word], answered: float) -> dict[str, Heard]:
    """What is known of the others after a read of their words."""
    return {
        monitor: heard[monitor] if monitor in heard and heard[monitor].word == word else Heard(word, answered)
        for monitor, word in words.items()
    }


def vetoes(heard: Mapping[str, Heard], read_at: float | None, now: float) -> dict[str, float]:
    """Gateways that other monitors call healthy, and how long ago they did, in seconds.

    ``read_at``: before the last read that was answered was sent. A renewal without an answer keeps the reader waiting
    for a second, and a word is a second old when the next one comes.
    """
    waited = 0.0 if read_at is None else min(WAITED, max(0.0, now - read_at))
    found: dict[str, float] = {}
    for one in heard.values():
        age = max(0.0, now - one.at - waited)
        for gateway in one.word.healthy:
            found[gateway] = min(found.get(gateway, age), age)
    return found


def view(lease: Lease, heard: Mapping[str, Heard], read_at: float | None, now: float) -> StoreView:
    """What the decision gets to see; ``read_at``: before the last read that was answered was sent."""
    return StoreView(
        age=None if read_at is None else now - read_at,
        lease_age=lease.age(now),
        holder=lease.holder,
        words={monitor: now - one.at for monitor, one in heard.items() if one.word.able},
    )
