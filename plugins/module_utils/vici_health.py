# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What charon says of its security associations, and what that amounts to for a tunnel. Pure: no I/O.

The input are the messages of VICI's ``list-sas``, as the ``vici`` library gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .model import Verdict

_LIVING_IKE = ("ESTABLISHED", "REKEYING")
_CARRYING_CHILD = ("INSTALLED", "REKEYING", "REKEYED", "UPDATING")
_NO_SPI = "0000000000000000"
_DUPLICATE_SECONDS = 5.0  # a reauthentication has two SAs for a moment
_ABSENT_SECONDS = 0.5  # an SA that is busy is left out of a poll
_UNANSWERED_SECONDS = 5.0  # in which a request is sent again at least once


@dataclass(frozen=True)
class ChildSa:
    """One CHILD SA. Counters are since it was installed, ages in whole seconds."""

    name: str
    unique_id: str
    state: str  # charon's word: "INSTALLED", "REKEYING", "DELETED"…
    spi_in: str = ""
    spi_out: str = ""
    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    last_in: int | None = None  # since the last packet, None: there was none
    last_out: int | None = None
    installed: int | None = None

    @property
    def carries(self) -> bool:
        """Whether packets may go through it."""
        return self.state in _CARRYING_CHILD


@dataclass(frozen=True)
class IkeSa:
    """One IKE SA with its children."""

    name: str  # of its connection
    unique_id: str
    state: str  # charon's word: "ESTABLISHED", "CONNECTING", "DELETING"…
    initiator: bool = False
    remote_host: str = ""
    remote_id: str = ""
    established: int | None = None  # seconds ago
    answered: bool = False  # the peer has answered at least once
    tasks: tuple[str, ...] = ()  # exchanges under way, such as "IKE_DPD"
    children: tuple[ChildSa, ...] = ()

    @property
    def lives(self) -> bool:
        """Whether it is established."""
        return self.state in _LIVING_IKE

    @property
    def has_child(self) -> bool:
        """Whether it is established and has a CHILD SA that carries packets."""
        return self.lives and any(child.carries for child in self.children)


@dataclass(frozen=True)
class TunnelSas:
    """The security associations of one tunnel."""

    name: str
    ike: str  # "established", "connecting", "missing", "unknown"
    child: str  # "installed", "missing", "unknown"
    sas: tuple[IkeSa, ...] = ()
    unanswered: bool = False  # the peer has owed an answer for seconds, on an established IKE SA

    @property
    def established(self) -> tuple[IkeSa, ...]:
        """Its established IKE SAs; more than one are duplicates."""
        return tuple(sa for sa in self.sas if sa.lives)

    @property
    def peer_silent(self) -> bool:
        """Whether we try to reach the peer and it has never answered."""
        return self.ike == "connecting" and not any(sa.answered for sa in self.sas)

    @property
    def waiting(self) -> bool:
        """Whether the peer owes an answer on an established IKE SA."""
        return any(sa.tasks for sa in self.established)


def parse_sas(messages: Iterable[Mapping[str, Any]]) -> list[IkeSa]:
    """The IKE SAs in the messages of ``list-sas``; values may be bytes or strings."""
    return [_ike(name, body) for message in messages for name, body in message.items()]


def tunnel_sas(name: str, sas: Iterable[IkeSa]) -> TunnelSas:
    """What the SAs say of the tunnel whose connection has that name; an absent SA reads as missing."""
    own = tuple(sa for sa in sas if sa.name == name)
    if any(sa.lives for sa in own):
        ike = "established"
    elif any(sa.state in ("CREATED", "CONNECTING") for sa in own):
        ike = "connecting"
    else:
        ike = "missing"
    child = "installed" if any(sa.has_child for sa in own) else "missing"
    return TunnelSas(name, ike, child, own)


def superfluous(tunnel: TunnelSas, before: Mapping[str, int]) -> tuple[str, ...]:
    """Unique ids of the duplicate IKE SAs that can go.

    Kept is the newest that carries: whose CHILD SA has received packets since ``before`` (packets-in by SPI, from
    ``packets_in`` of an earlier poll); where none has, the newest with a CHILD SA.
    """

    def rank(sa: IkeSa) -> tuple[bool, bool, int, int]:
        received = any(
            child.carries and child.spi_in in before and child.packets_in > before[child.spi_in]
            for child in sa.children
        )
        age = -sa.established if sa.established is not None else 0
        return received, sa.has_child, age, int(sa.unique_id) if sa.unique_id.isdigit() else 0

    ranked = sorted(tunnel.established, key=rank, reverse=True)
    return tuple(sa.unique_id for sa in ranked[1:])


def packets_in(sas: Iterable[IkeSa]) -> dict[str, int]:
    """Packets received, by the SPI of each CHILD SA (a rekeying begins at 0 under a new SPI)."""
    return {child.spi_in: child.packets_in for sa in sas for child in sa.children if child.spi_in}


@dataclass
class _Track:
    seen: TunnelSas
    absent_since: float | None = None
    waiting_since: float | None = None
    confirmed: bool = False  # an event said that it is gone
    duplicate_since: float | None = None
    packets: Mapping[str, int] = field(default_factory=dict)  # when the duplicates were first seen


@dataclass
class SaTracker:
    """Successive polls of all tunnels, with charon's habits taken into account.

    ``list-sas`` without waiting leaves out an SA that is busy, so a first absence is only "unknown".
    """

    names: Sequence[str]
    _tracks: dict[str, _Track] = field(default_factory=dict)
    prunable: tuple[str, ...] = ()  # unique ids of lasting duplicates, as of the last poll
    _unknown: Mapping[str, TunnelSas] = field(init=False, repr=False)  # made once, since it is asked for often

    def __post_init__(self) -> None:
        """Know nothing of any tunnel."""
        self._unknown = {name: TunnelSas(name, "unknown", "unknown") for name in self.names}

    def observe(self, sas: Sequence[IkeSa], now: float) -> dict[str, TunnelSas]:
        """Take a poll; the tunnels by name."""
        prunable: list[str] = []
        for name in self.names:
            seen = tunnel_sas(name, sas)
            track = self._tracks.setdefault(name, _Track(seen))
            if seen.sas:
                track.absent_since, track.confirmed = None, False
            elif track.absent_since is None:
                track.absent_since = now
            if track.absent_since is not None and now - track.absent_since < _ABSENT_SECONDS and not track.confirmed:
                seen = self._unknown[name]
            if not seen.waiting:
                track.waiting_since = None
            elif track.waiting_since is None:
                track.waiting_since = now
            elif now - track.waiting_since >= _UNANSWERED_SECONDS:
                seen = replace(seen, unanswered=True)
            if len(seen.established) < 2:
                track.duplicate_since = None
            elif track.duplicate_since is None:
                track.duplicate_since, track.packets = now, packets_in(seen.sas)
            elif now - track.duplicate_since >= _DUPLICATE_SECONDS:
                prunable += superfluous(seen, track.packets)
            track.seen = seen
        self.prunable = tuple(prunable)
        return self.tunnels()

    def went_down(self, name: str) -> None:
        """An event said that an IKE SA of the tunnel is gone: if none is left, that is believed at once."""
        if name in self._tracks:
            self._tracks[name].confirmed = True

    def forget(self) -> None:
        """charon does not answer: nothing is known."""
        self._tracks = {}
        self.prunable = ()

    def tunnels(self) -> dict[str, TunnelSas]:
        """The tunnels as last seen, by name."""
        return {name: self._tracks[name].seen if name in self._tracks else self._unknown[name] for name in self.names}


def diagnose(charon: str, tunnel: TunnelSas, loss: float | None, grey_loss: float) -> tuple[Verdict, tuple[str, ...]]:
    """A tunnel's verdict and its reasons (codes of diagnoses), from charon's word and the probe.

    ``charon`` is "alive", "hung" or "dead"; ``loss`` the share of probes lost in the tunnel, 0..1, None: not probed.
    What the probe says decides; what charon says explains it.
    """
    if charon != "alive":
        why = [f"charon-{charon}"]
    elif tunnel.ike == "established":
        why = ["child-sa-missing"] if tunnel.child == "missing" else []
    elif tunnel.ike == "unknown":
        why = []
    else:
        why = ["ike-sa-missing"]
    if loss is None:
        return (Verdict.DOWN if why and charon != "hung" else Verdict.UNKNOWN), tuple(why) or ("tunnel-unknown",)
    if loss < 1.0:
        if why:
            why = ["charon-silent-esp-passes" if charon != "alive" else "ike-down-esp-passes"]
        return (
            (Verdict.GREY, ("tunnel-grey", *why)) if loss >= grey_loss else (Verdict.UP, tuple(why) or ("tunnel-up",))
        )
    if charon == "alive" and (tunnel.peer_silent or tunnel.waiting):
        why.append("peer-not-answering")
    return Verdict.DOWN, tuple(why) or ("tunnel-nothing-returns",)


def _ike(name: str, body: Mapping[str, Any]) -> IkeSa:
    return IkeSa(
        name=name,
        unique_id=_text(body, "uniqueid"),
        state=_text(body, "state"),
        initiator=_text(body, "initiator") == "yes",
        remote_host=_text(body, "remote-host"),
        remote_id=_text(body, "remote-id"),
        established=_number(body, "established"),
        answered=all(_text(body, spi) not in ("", _NO_SPI) for spi in ("initiator-spi", "responder-spi")),
        tasks=tuple(_string(task) for task in body.get("tasks-active", ())),
        children=tuple(_child(child) for child in body.get("child-sas", {}).values()),
    )


def _child(body: Mapping[str, Any]) -> ChildSa:
    return ChildSa(
        name=_text(body, "name"),
        unique_id=_text(body, "uniqueid"),
        state=_text(body, "state"),
        spi_in=_text(body, "spi-in"),
        spi_out=_text(body, "spi-out"),
        packets_in=_number(body, "packets-in") or 0,
        packets_out=_number(body, "packets-out") or 0,
        bytes_in=_number(body, "bytes-in") or 0,
        bytes_out=_number(body, "bytes-out") or 0,
        last_in=_number(body, "use-in"),
        last_out=_number(body, "use-out"),
        installed=_number(body, "install-time"),
    )


def _string(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _text(body: Mapping[str, Any], key: str) -> str:
    return _string(body.get(key, ""))


def _number(body: Mapping[str, Any], key: str) -> int | None:
    """A decimal number; None when it is absent or no number."""
    text = _text(body, key)
    return int(text) if text.isdigit() else None
