# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a monitor tells of the lease store, which stands for itself here."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from monitor_world import deployment

from ansible_collections.vpnha.aws.plugins.module_utils import lease, owners
from ansible_collections.vpnha.aws.plugins.module_utils.lease import Word
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note
from vpnha_monitor import agreement
from vpnha_monitor.agreement import Agreement
from vpnha_monitor.daemon import Monitor
from vpnha_monitor.store import Store


def test_what_was_told_of_the_store_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload leaves one monitor, and another one brings the second back."""
    several = True
    left: list[str] = []
    notes: list[Note] = []
    store = SimpleNamespace(
        read_error="", write_error="no network", start=lambda: None, leave=lambda: left.append("left")
    )
    monkeypatch.setattr(agreement, "Store", lambda *_given: store)
    monkeypatch.setattr(agreement.lease, "needed", lambda _deployment: several)
    monkeypatch.setattr(owners, "lease_left", lambda _state, _evidence, _now: 5.0)
    monitor = SimpleNamespace(
        config=SimpleNamespace(monitor="mon-a", deployment=deployment()), note=notes.append, news=None,
        mind=SimpleNamespace(state=None, evidence=None),
    )  # fmt: skip
    one = Agreement(cast(Monitor, monitor))

    def told() -> list[tuple[str, bool]]:
        found = [(note.code, note.resolved) for note in notes]
        notes.clear()
        return found

    for _turn in range(2):
        several = True
        one.suit()
        for now in (100.0, 103.0, 106.0):
            one.keep(now)
        assert told() == [("lease-taken", False), ("lease-store-unwritable", False)]
        several = False
        one.suit()
        one.keep(107.0)
        assert told() == [("lease-lost", False), ("lease-store-unwritable", True)]
    assert left == ["left", "left"]


def test_16_a_repair_is_not_gone_on_with_without_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is lost while the tag is written, say: what the store knows at that moment counts."""
    now, claims = 100.0, []
    held = lease.Lease("mon-a", held=lease.Held("1", sent=100.0))
    store = SimpleNamespace(known=SimpleNamespace(lease=held), claim_repair=lambda *given: claims.append(given) or True)
    monkeypatch.setattr(agreement, "time", SimpleNamespace(monotonic=lambda: now))
    one = Agreement(cast(Monitor, SimpleNamespace()))
    assert one.unleased() == "" and one.claim("gw-a") is None, "a single monitor asks nobody"
    one.store = cast(Store, store)
    claim = one.claim("gw-a")
    assert claim is not None and claim() and claims == [("gw-a", "")]
    assert one.unleased() == ""
    now = 104.1
    assert one.unleased() == "This monitor does not have the lease any more."
    assert not claim()
    now, store.known.lease = 100.0, lease.Lease("mon-a")
    assert one.unleased() == "This monitor does not have the lease any more."
    assert not claim() and len(claims) == 1


def test_a_word_ends_a_second_after_the_last_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor whose cycles fail would go on saying that it can act, and that its gateways work."""
    now = 100.0
    speak: list[Callable[[], Word | None]] = []
    changes: list[float] = []
    store = SimpleNamespace(
        start=lambda: None, changed=lambda: changes.append(now), haste=SimpleNamespace(clear=lambda: None)
    )

    def make(_monitor: str, _connect: Any, speaks: Callable[[], Word | None], *_rest: Any) -> SimpleNamespace:
        speak.append(speaks)
        return store

    word = Word("", able=True, healthy=frozenset({"gw-a"}))
    monkeypatch.setattr(agreement, "Store", make)
    monkeypatch.setattr(agreement, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(agreement.lease, "needed", lambda _deployment: True)
    monkeypatch.setattr(owners, "word", lambda *_given: word)
    monkeypatch.setattr(owners, "in_haste", lambda _state: False)
    monitor = SimpleNamespace(
        config=SimpleNamespace(monitor="mon-a", deployment=deployment()), news=None,
        mind=SimpleNamespace(state=None, evidence=None),
    )  # fmt: skip
    one = Agreement(cast(Monitor, monitor))
    one.suit()
    assert speak[0]() is None, "there is nothing to say before the first decision"
    for now in (100.0, 100.5):
        one.decided(now)
    now = 101.4
    assert speak[0]() == word
    now = 101.6
    assert speak[0]() == Word("", able=False)
    one.decided(now)
    assert speak[0]() == word
    assert changes == [100.0, 101.6], "what is true again is said at once"
    one.leave()
    assert speak[0]() == Word("", able=False)
