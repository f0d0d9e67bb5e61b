# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent's report as JSON, strict in what it takes: a monitor decides by it.

Keys that are not known are ignored and missing ones take their default, and a word that is not known says nothing, so
that a monitor and an agent of neighbouring versions understand each other.

With a hundred gateways the peers' ages would be most of a report, and of the work of reading it, while they are asked
for only when a gateway is silent. So they are two strings: ``heard``, the names with a space between them, and
``heard_ms``, eight hexadecimal digits for each, which any decoder passes over quickly.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Union

from .model import AgentReport, LossStats, TunnelReport

IKE = ("established", "unanswered", "connecting", "missing", "unknown")
CHILD = ("installed", "missing", "unknown")
BGP = ("established", "down", "unknown", "static")
CHARON = ("alive", "hung", "dead", "unknown")
PATHS = ("tunnel", "neighbour", "none")
STOPPING = ("", "agent", "host")
DATAPLANE = ("", "filter-missing", "forwarding-off", "ipv4-forwarding-off", "ipv6-forwarding-off")
_NEVER = 0xFFFFFFFF  # the age of a peer that was never heard
_DIGITS = 8


class WireError(ValueError):
    """The JSON is no report."""


class Ages(Mapping[str, Union[float, None]]):  # noqa: UP007  (ansible-test's pylint knows no | in a base)
    """How long ago each peer was heard, in seconds, None for never; an age is read when it is asked for."""

    __slots__ = ("_ages", "_places")

    def __init__(self, names: str, ages: str) -> None:
        """Of both strings of a report. Raises WireError."""
        self._places = _places(names)
        try:
            self._ages = binascii.unhexlify(ages)
        except ValueError:
            raise WireError("heard_ms is not hexadecimal") from None
        if len(ages) != _DIGITS * len(self._places):
            raise WireError("heard_ms has not eight digits for each name in heard")

    def __getitem__(self, name: str) -> float | None:
        place = self._places[name]
        age = int.from_bytes(self._ages[place : place + _DIGITS // 2], "big")
        return None if age == _NEVER else age / 1000

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


@lru_cache(maxsize=1024)
def _places(names: str) -> dict[str, int]:
    """Where each name's age begins, in bytes; they are the same names in report after report."""
    each = names.split(" ") if names else []
    places = {name: number * _DIGITS // 2 for number, name in enumerate(each)}
    if len(places) != len(each) or "" in places:
        raise WireError("a name in heard is empty, or there twice")
    return places


def _ages_to_wire(ages: Mapping[str, float | None]) -> str:
    whole = (_NEVER if age is None else min(round(1000 * age), _NEVER - 1) for age in ages.values())
    return "".join([f"{age:08x}" for age in whole])


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


def _loss_to_wire(stats: LossStats) -> dict[str, Any]:
    return {
        "sent": stats.sent,
        "lost": stats.lost,
        "full": stats.window_full,
        "age": _rounded(stats.last_answer_age),
        "slow": _rounded(stats.slow_loss),
        "slow_full": stats.slow_full,
    }


def to_wire(report: AgentReport) -> dict[str, Any]:
    """The report as a JSON object; times in seconds unless the name says ms."""
    return {
        "boot": report.boot_id,
        "agent": report.agent_id,
        "charon": report.charon,
        "stopping": report.stopping,
        "tunnels": [
            {
                "name": tunnel.name,
                "ike": tunnel.ike,
                "child": tunnel.child,
                "bgp": tunnel.bgp,
                "probe": _loss_to_wire(tunnel.probe),
                "target": _loss_to_wire(tunnel.target),
                "large": _rounded(tunnel.large_loss),
                "rtt_ms": _rounded(tunnel.rtt_ms),
            }
            for tunnel in report.tunnels.values()
        ],
        "paths": dict(report.paths),
        "heard": " ".join(report.peers),
        "heard_ms": _ages_to_wire(report.peers),
        "counters": dict(report.counters),
        "handed_over": report.handed_over,
        "dataplane": report.dataplane,
        "mesh_down": " ".join(report.mesh_down),
    }


class _Reader:
    """Typed access to a JSON object; WireError where a value is not what it must be."""

    def __init__(self, raw: object) -> None:
        if not isinstance(raw, dict):
            raise WireError("not an object")
        self._raw: dict[str, Any] = raw

    def text(self, key: str, default: str | None = None) -> str:
        value = self._raw.get(key, default)
        if not isinstance(value, str):
            raise WireError(f"{key} is not a string")
        return value

    def one_of(self, key: str, words: tuple[str, ...], default: str | None = None, otherwise: str = "unknown") -> str:
        """One of the words; ``otherwise`` for one of a newer version."""
        value = self.text(key, default)
        return value if value in words else otherwise

    def flag(self, key: str) -> bool:
        value = self._raw.get(key, False)
        if not isinstance(value, bool):
            raise WireError(f"{key} is not a boolean")
        return value

    def count(self, key: str) -> int:
        return count(self._raw.get(key, 0), key)

    def share(self, key: str) -> float:
        value = number(self._raw.get(key, 0.0), key)
        if value is None or value > 1:
            raise WireError(f"{key} is not within 0..1")
        return value

    def number(self, key: str) -> float | None:
        return number(self._raw.get(key), key)

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self._raw.get(key, {})
        if not isinstance(value, dict):
            raise WireError(f"{key} is not an object")
        return value

    def items(self, key: str) -> list[Any]:
        value = self._raw.get(key, [])
        if not isinstance(value, list):
            raise WireError(f"{key} is not a list")
        return value


def count(value: object, what: str) -> int:
    """A whole number >= 0, else WireError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise WireError(f"{what} is not a count")
    return value


def number(value: object, what: str) -> float | None:
    """A finite number >= 0, or None; else WireError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WireError(f"{what} is not a number")
    try:
        result = float(value)
    except OverflowError:
        raise WireError(f"{what} is too large") from None
    if not math.isfinite(result) or result < 0:
        raise WireError(f"{what} is not a finite number of at least 0")
    return result


def _loss_from_wire(raw: object) -> LossStats:
    reader = _Reader(raw)
    sent, lost = reader.count("sent"), reader.count("lost")
    if lost > sent:
        raise WireError("more lost than sent")
    return LossStats(
        sent=sent,
        lost=lost,
        window_full=reader.flag("full"),
        last_answer_age=reader.number("age"),
        slow_loss=reader.share("slow"),
        slow_full=reader.flag("slow_full"),
    )


def _tunnel_from_wire(raw: object) -> TunnelReport:
    reader = _Reader(raw)
    return TunnelReport(
        name=reader.text("name"),
        ike=reader.one_of("ike", IKE),
        child=reader.one_of("child", CHILD),
        probe=_loss_from_wire(reader.mapping("probe")),
        target=_loss_from_wire(reader.mapping("target")),
        large_loss=reader.share("large"),
        bgp=reader.one_of("bgp", BGP, "unknown"),
        rtt_ms=reader.number("rtt_ms"),
    )


def from_wire(raw: object) -> AgentReport:
    """The report in a JSON object as ``to_wire`` makes it. WireError (a ValueError) when it is none."""
    reader = _Reader(raw)
    tunnels = [_tunnel_from_wire(item) for item in reader.items("tunnels")]
    paths: dict[str, str] = {}
    for site, path in reader.mapping("paths").items():
        if not isinstance(path, str):
            raise WireError(f"the path of {site} is not a string")
        if path in PATHS:  # a newer version's word says nothing
            paths[site] = path
    return AgentReport(
        boot_id=reader.text("boot"),
        agent_id=reader.text("agent"),
        charon=reader.one_of("charon", CHARON),
        tunnels={tunnel.name: tunnel for tunnel in tunnels},
        paths=paths,
        peers=Ages(reader.text("heard", ""), reader.text("heard_ms", "")),
        stopping=reader.one_of("stopping", STOPPING, "", otherwise=""),
        counters={zone: count(packets, "a counter") for zone, packets in reader.mapping("counters").items()},
        handed_over=reader.flag("handed_over"),
        dataplane=reader.one_of("dataplane", DATAPLANE, "", otherwise=""),
        mesh_down=tuple(reader.text("mesh_down", "").split()),
    )
