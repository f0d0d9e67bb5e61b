# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether packets follow a person's swap: the agents' counters before and after it, as the monitor hears them.

The monitor watches its own swaps as they happen. A person's swap is made by another process, maybe on another host, so
it is measured from two of the monitor's status documents. Packets are counted by zone: where a zone was moved only in
part, nothing can be told from them, and nothing is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PATIENCE = 5.0  # s for EC2's propagation and the next packets
_EVERY = 0.25  # s between two looks

Counters = Mapping[str, Mapping[str, int]]  # packets by gateway and zone
Status = Mapping[str, Any]  # the monitor's status document; of it only ``gateways`` and ``routes``


@dataclass(frozen=True)
class Followed:
    """What became of a zone's packets; ``carrying`` is None where it cannot be told, and ``text`` says why."""

    gateway: str
    zone: str
    carrying: bool | None
    text: str


def follow(
    before: Status,
    rows: Sequence[Mapping[str, Any]],
    read: Callable[[], Status],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Followed]:
    """Look until every moved zone's packets are seen at the new gateway, for PATIENCE seconds at most.

    ``before`` is from before the swap; ``rows`` are the routes that route_swap returns; ``read`` asks the monitor.
    """
    moved: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for row in rows:
        if row["action"] != "none" and row["accepted"]:
            moved.setdefault((row["after"], row["zone"]), set()).add((row["route_table_id"], row["destination"]))
    whole = [place for place, keys in moved.items() if _of_zone(before, place[1]) <= keys]
    first = last = _counters(before)
    end = clock() + PATIENCE
    while whole:
        last = _counters(read())
        if all(_grown(first, last, *place) is not False for place in whole) or clock() >= end:
            break
        sleep(_EVERY)
    return [_judge(first, last, place, place in whole) for place in sorted(moved)]


def with_carrying(rows: Sequence[Mapping[str, Any]], found: Sequence[Followed]) -> list[dict[str, Any]]:
    """The routes that route_swap returns, with what was found of those that were moved."""
    known = {(one.gateway, one.zone): one.carrying for one in found}
    return [
        {**row, "carrying": None if row["action"] == "none" else known.get((row["after"], row["zone"]))} for row in rows
    ]


def _judge(first: Counters, last: Counters, place: tuple[str, str], whole: bool) -> Followed:
    gateway, zone = place
    if not whole:
        return Followed(*place, None, f"Not all routes of {zone} were moved to {gateway}, and packets count by zone.")
    grown = _grown(first, last, gateway, zone)
    if grown is None:
        return Followed(*place, None, f"What {gateway} counts of {zone} is not known.")
    if grown:
        return Followed(*place, True, f"{gateway} carries packets of {zone}.")
    if any(_grown(first, last, other, zone) for other in first):
        said = f"{gateway} has seen no packet of {zone} for {PATIENCE:g} s, although {zone} sent some meanwhile."
        return Followed(*place, False, said)
    return Followed(*place, None, f"{zone} has sent no packet, so it is not known whether {gateway} carries them.")


def _grown(first: Counters, last: Counters, gateway: str, zone: str) -> bool | None:
    """Whether a counter has grown; None where it is not known, or began anew."""
    before, after = first.get(gateway, {}).get(zone), last.get(gateway, {}).get(zone)
    return None if before is None or after is None or after < before else after > before


def _counters(status: Status) -> Counters:
    return {gateway["name"]: gateway["counters"] or {} for gateway in status["gateways"]}


def _of_zone(status: Status, zone: str) -> set[tuple[str, str]]:
    return {(route["table"], route["destination"]) for route in status["routes"] if route["zone"] == zone}
