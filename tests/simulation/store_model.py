# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease store, and each monitor's way to it: cut, slow, or losing answers, also of writes that come later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ansible_collections.vpnha.aws.plugins.module_utils import lease, owners
from ansible_collections.vpnha.aws.plugins.module_utils.model import Evidence
from ansible_collections.vpnha.aws.plugins.module_utils.state import State
from vpnha_monitor.store import leaves_it

from .violation import Violation
from .world import World

TIMEOUT = 1.0  # seconds until a monitor gives a call up
SWIFT, SLOW = (0.003, 0.02), (0.1, 0.4)  # seconds of one way
LATE = 5.0  # seconds after which a write may still be applied, although its answer was given up


class Process(Protocol):
    """A monitor, as far as its client of the store depends on it."""

    name: str
    life: int
    state: State

    def awake(self, do: Callable[[], None]) -> None:
        """Do it now, or when it goes on; never, if it has ended."""


class StoreModel:
    """What the table has, and who wrote it when."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lease: lease.Item | None = None
        self.sent = 0.0  # when its holder sent what has been applied
        self.words: dict[str, lease.Word] = {}
        self.said: dict[str, list[tuple[float, lease.Word]]] = {}  # monitor -> all of its words
        self.claim = ""  # number of the item that goes before a repair
        self.taken = 0  # times that another has taken the lease
        self._number = 0

    def number(self) -> str:
        """A new one."""
        self._number += 1
        return str(self._number)

    def cut(self, monitor: str) -> bool:
        """A monitor's calls do not arrive."""
        return self.world.has(("store cut",), (monitor,)) or self.world.has(("store cut from all",))

    def way(self) -> float:
        """Seconds that a call, or its answer, takes."""
        return self.world.random.uniform(*(SLOW if self.world.has(("store slow",)) else SWIFT))

    def write_lease(self, write: lease.Write, sent: float) -> bool:
        """The conditional write arrives."""
        before = self.lease
        if (before.number if before is not None else "") != write.instead_of:
            return False
        if before is not None and before.holder != write.item.holder:
            self.taken += 1
            if self.world.now < self.sent + lease.SECONDS:
                raise Violation(16, f"{write.item.holder} takes the lease of {before.holder}, which still has it")
        self.lease, self.sent = write.item, sent
        return True

    def say(self, monitor: str, word: lease.Word) -> None:
        """A word arrives."""
        self.words[monitor] = word
        self.said.setdefault(monitor, []).append((self.world.now, word))


class Client:
    """One monitor's client, in the rhythm of the real one."""

    def __init__(self, store: StoreModel, process: Process) -> None:
        self.store, self.process, self.life = store, process, process.life
        self.lease = lease.Lease(process.name)
        self.heard: dict[str, lease.Heard] = {}
        self.read_at: float | None = None
        self.claim = ""
        self._reading = self._saying = False
        self._read_due = self._say_due = 0.0
        self._said: lease.Word | None = None
        self._word: lease.Word | None = None  # what there is to say

    def tick(self, evidence: Evidence | None) -> None:
        """Called in each step, with what the last one saw."""
        now = self.store.world.now
        sooner = lease.READ - lease.READ_IN_HASTE if owners.in_haste(self.process.state) else 0.0
        if not self._reading and now >= self._read_due - sooner:
            self._read(now)
        if evidence is None:
            return
        self._word = word = owners.word(self.process.state, evidence, "", now)
        if self._saying:
            return
        if now >= self._say_due or self._said is None or word != replace(self._said, number=""):
            self._say(replace(word, number=self.store.number()), now)

    def release(self) -> None:
        """The process ends in order."""
        item, held = self.store.lease, self.lease.held
        own = {*self.lease.tried, held.number if held is not None else ""}
        if item is not None and item.number in own:
            self.store.lease = None

    def _at(self, t: float, do: Callable[[], None]) -> None:
        def mine() -> None:
            if self.process.life == self.life:
                do()

        self.store.world.at(t, lambda: self.process.awake(mine))

    def _read(self, sent: float) -> None:
        store = self.store
        self._reading, self._read_due = True, sent + lease.READ
        if store.cut(self.process.name):
            self._at(sent + TIMEOUT, self._read_failed)
            return
        shown: list[tuple[lease.Item | None, dict[str, lease.Word], str]] = []
        there = sent + store.way()
        store.world.at(there, lambda: shown.append((store.lease, dict(store.words), store.claim)))
        self._at(there + store.way(), lambda: self._read_answered(sent, *shown[0]))

    def _read_failed(self) -> None:
        self._reading = False

    def _read_answered(self, sent: float, item: lease.Item | None, words: dict[str, lease.Word], claim: str) -> None:
        now = self.store.world.now
        self.lease = lease.take_read(self.lease, item, now)
        others = {monitor: word for monitor, word in words.items() if monitor != self.process.name}
        self.heard = lease.hear(self.heard, others, now)
        self.read_at, self.claim = sent, claim
        leaves = leaves_it(self._word, self.heard, now)
        write = None if leaves else lease.due(self.lease, self.store.number(), now)
        if write is None:
            self._reading = False
        else:
            self._write(write, now)

    def _write(self, write: lease.Write, sent: float) -> None:
        store, random = self.store, self.store.world.random
        outcome: list[str] = []

        def arrive() -> None:
            outcome.append(lease.WRITTEN if store.write_lease(write, sent) else lease.REFUSED)

        if store.cut(self.process.name):
            outcome.append(lease.UNKNOWN)
            self._at(sent + TIMEOUT, lambda: self._written(write, sent, lease.UNKNOWN))
        elif store.world.has(("store loses answers",)) and random.random() < 0.5:
            store.world.at(sent + random.choice((0.1, random.uniform(0.0, LATE))), arrive)
            self._at(sent + TIMEOUT, lambda: self._written(write, sent, lease.UNKNOWN))
        else:
            there = sent + store.way()
            store.world.at(there, arrive)
            self._at(there + store.way(), lambda: self._written(write, sent, outcome[0]))

    def _written(self, write: lease.Write, sent: float, outcome: str) -> None:
        now = self.store.world.now
        self.lease = lease.take_written(self.lease, write, outcome, sent=sent, answered=now)
        self._reading = False

    def _say(self, word: lease.Word, now: float) -> None:
        store = self.store
        self._saying, self._say_due, self._said = True, now + lease.SAY, word
        if store.cut(self.process.name):
            self._at(now + TIMEOUT, self._said_it)
            return
        there = now + store.way()
        store.world.at(there, lambda: store.say(self.process.name, word))
        self._at(there + store.way(), self._said_it)

    def _said_it(self) -> None:
        self._saying = False
