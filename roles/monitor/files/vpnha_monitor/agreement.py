# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins the lease store to the loop, where there are several monitors; a single one has no store and nothing to ask."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, lease, owners
from ansible_collections.vpnha.aws.plugins.module_utils.lease import Word
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note, StoreView, Swap

from . import log
from .store import Store, Table

if TYPE_CHECKING:
    from .daemon import Monitor

_TOLD_AFTER = 5.0  # s that writes must fail in a row
_WORD_LASTS = 1.0  # s after the last decision; what is older says nothing of what this monitor could do now


@dataclass(frozen=True)
class Seen:
    """What goes into a step."""

    store: StoreView = field(default_factory=StoreView)
    vetoes: Mapping[str, float] = field(default_factory=dict)
    claim: str = ""


class Agreement:
    """Works for one monitor, on its loop."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self.store: Store | None = None
        self._seen = Seen()
        self._word: Word | None = None  # the store's threads read it, and the time of the last decision
        self._decided = float("-inf")
        self._held = False
        self._failing_since: float | None = None
        self._told_failing = False
        self._error = ""

    def suit(self) -> None:
        """Open the store, or leave it, as the description in force has it; at the start and after a reload."""
        wanted = lease.needed(self._monitor.config.deployment)
        if wanted and self.store is None:
            self.store = Store(self._monitor.config.monitor, self._connect, self._speak, self._monitor.news)
            self.store.start()
        elif not wanted and self.store is not None:
            self.store.leave()
            self.store, self._seen, self._word = None, Seen(), None
            self._holds(False, "has left the lease")
            self._error, self._failing_since = "", None
            if self._told_failing:
                self._tell_failing("It is not needed any more.", resolved=True)

    def see(self, now: float) -> Seen:
        """What the store says at this moment."""
        if self.store is not None:
            known = self.store.known
            view = lease.view(known.lease, known.heard, known.read_at, now)
            self._seen = Seen(view, lease.vetoes(known.heard, known.read_at, now), known.claim)
        return self._seen

    def decided(self, now: float) -> None:
        """After each step: what there is to say to the others, and how urgent their words are."""
        if self.store is None:
            return
        mind = self._monitor.mind
        word = owners.word(mind.state, mind.evidence, "", now)
        said = self._speak()
        self._word, self._decided = word, now  # in this order: an old word never looks new
        if word != said:
            self.store.changed()
        if owners.in_haste(mind.state):
            self.store.haste.set()
        else:
            self.store.haste.clear()

    def batches(self, swaps: Sequence[Swap], now: float) -> Iterable[tuple[list[Swap], float | None]]:
        """Swaps with the time after which they must not be begun, because somebody else may act by then."""
        if self.store is None:
            return [(list(swaps), None)]
        own = now + owners.OWNER_SILENCE
        leased = now + lease.SECONDS - owners.LEAST - (self._seen.store.lease_age or 0.0)
        return [
            ([swap for swap in swaps if swap.by_lease is by_lease], min(own, leased) if by_lease else own)
            for by_lease in (False, True)
        ]

    def claim(self, gateway: str) -> Callable[[], bool] | None:
        """What must be allowed right before a repair, in its thread; None where nobody is to be asked."""
        store, instead_of = self.store, self._seen.claim
        if store is None:
            return None

        return lambda: (
            not without_lease(store.known.lease, time.monotonic()) and store.claim_repair(gateway, instead_of)
        )

    def unleased(self) -> str:
        """Why this monitor must not go on with a repair; empty if it may. For threads."""
        store = self.store
        return "" if store is None else without_lease(store.known.lease, time.monotonic())

    def keep(self, now: float) -> None:
        """Once a second: tell of the lease and of trouble with the store."""
        store = self.store
        if store is None:
            return
        held = owners.lease_left(self._monitor.mind.state, self._monitor.mind.evidence, now) > 0.0
        self._holds(held, "has taken the lease" if held else "has lost the lease")
        if store.read_error and store.read_error != self._error:
            log.line(store.read_error, logging.WARNING, code="lease-store-unreadable")
        self._error = store.read_error
        failing = store.write_error
        self._failing_since = (self._failing_since or now) if failing else None
        lasted = self._failing_since is not None and now - self._failing_since >= _TOLD_AFTER
        if lasted and not self._told_failing:
            self._tell_failing(f"{failing}.")
        elif not failing and self._told_failing:
            self._tell_failing("It can be written again.", resolved=True)

    def leave(self) -> None:
        """Say from now on that this monitor does not act, though its calls in flight may take a while."""
        if self.store is not None:
            self._word = Word("", able=False)
            self.store.changed()

    def stop(self) -> None:
        """Release the lease; takes some seconds at most, so not on the loop."""
        if self.store is not None:
            self.store.stop()

    def _speak(self) -> Word | None:
        """The last decision's word. A monitor that decides no more cannot act, nor say that a gateway works."""
        word = self._word
        if word is None or time.monotonic() - self._decided <= _WORD_LASTS:
            return word
        return Word("", able=False)

    def _holds(self, held: bool, text: str) -> None:
        if held != self._held:
            self._held, name = held, self._monitor.config.monitor
            self._monitor.note(Note("lease-taken" if held else "lease-lost", name, f"{name} {text}."))

    def _tell_failing(self, text: str, resolved: bool = False) -> None:
        self._told_failing = not resolved
        self._monitor.note(Note("lease-store-unwritable", "", text, resolved=resolved))

    def _connect(self) -> Table:
        config = self._monitor.config
        region, name = config.deployment.region, config.deployment.name
        url, prepare = config.endpoint_url, self._monitor.renewal.prepare
        client = ec2.make_client("dynamodb", region=region, endpoint_url=url, pool=4, swift=True, prepare=prepare)
        return Table(client, name)


def without_lease(known: lease.Lease, now: float) -> str:
    """Why a repair must not be gone on with by what is known of the lease; empty if it may."""
    age = known.age(now)
    has_it = age is not None and age <= lease.SECONDS - owners.LEAST
    return "" if has_it else "This monitor does not have the lease any more."
