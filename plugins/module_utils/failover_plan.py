# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the failover of each gateway takes at worst, what that time is spent on, and what would make it shorter.

It is arithmetic: so long until the gateway is found dead, so many calls under EC2's limit, one answer, and two reads;
from a full bucket, and from one that another failover has emptied. Not in it: refusals because others use up the
account's limit, stale reads, EC2's propagation.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .dual_stack import is_ipv6
from .model import Deployment, Ec2View, ManagedGateway, RouteKey, Timing
from .pace import CHANGES, SIDE_BY_SIDE, seconds_for

LATENCY = 0.15  # s of an answer of EC2's, where nothing else is given
_LOOP = 0.025  # s between two looks of the monitor's loop
_WORTH = 0.1  # s that a change must save to be worth telling
_READS = 2  # that must agree, one after the other


@dataclass(frozen=True)
class Need:
    """The seconds of one failover."""

    calls: int
    detect: float
    limit: float  # until EC2's limit lets the last call begin
    answers: float  # until the last call is answered, beyond that
    read_back: float

    @property
    def total(self) -> float:
        """From the failure until two reads agree on the last route."""
        return self.detect + self.limit + self.answers + self.read_back

    @property
    def after_another(self) -> float:
        """The same if no token is left and nobody waits for one: another failover, or the monitor's start, is over."""
        return self.total + min(self.calls, CHANGES.capacity) / CHANGES.rate

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "calls": self.calls,
            "seconds": round(self.total, 2),
            "seconds_after_another": round(self.after_another, 2),
            "detect_seconds": round(self.detect, 3),
            "limit_seconds": round(self.limit, 2),
            "answer_seconds": round(self.answers, 3),
            "read_back_seconds": round(self.read_back, 3),
        }


def need(calls: int, detect: float, latency: float) -> Need:
    """What so many swaps take, from a full bucket."""
    if not calls:
        return Need(0, detect, 0.0, 0.0, 0.0)
    limit = seconds_for(calls)
    waves = math.ceil(min(calls, CHANGES.capacity) / SIDE_BY_SIDE)
    # those that were begun at once are answered while the others wait
    answers = max(latency, waves * latency - limit)
    return Need(calls, detect, limit, answers, _READS * latency)


def detection(timing: Timing, managed: ManagedGateway | None = None) -> float:
    """Seconds until a gateway that has died between two probes is found dead."""
    if managed is not None:  # neither EC2 nor CloudWatch says so too
        return max(timing.managed_window, timing.managed_patience) + timing.managed_interval + _LOOP
    return timing.window + 2 * timing.heartbeat_interval + _LOOP


def plan(view: Ec2View, deployment: Deployment, latency: float = LATENCY) -> dict[str, Any]:
    """The failover of each gateway, and of one that has taken over everything. ``latency``: of a call, seconds."""
    reckoner = _Reckoner(view, deployment, latency)
    gateways = []
    for gateway in deployment.targets:
        detect = detection(deployment.timing, deployment.managed(gateway.name))
        now = sum(route.gateway == gateway.name for route in view.routes.values())
        keys = _carried_at_worst(view, deployment, gateway.name)
        gateways.append(reckoner.one(gateway.name, keys, detect) | {"carries_now": now})
    everything = reckoner.one("one that carries everything", list(view.routes), detection(deployment.timing))
    return {
        "latency_ms": round(latency * 1000, 1),
        "at_once": CHANGES.capacity,
        "a_second": CHANGES.rate,
        "ec2_at_once": CHANGES.size,
        "ec2_a_second": CHANGES.refill,
        "gateways": gateways,
        "everything": everything,
    }


def _carried_at_worst(view: Ec2View, deployment: Deployment, gateway: str) -> list[RouteKey]:
    """What it carries when all is well, or now if that is more."""
    homes = {zone.name: deployment.home(zone.name) for zone in deployment.zones}
    at_home, now = [], []
    for key, route in sorted(view.routes.items()):
        home = homes.get(route.zone)
        if home is not None and home.name == gateway:
            at_home.append(key)
        if route.gateway == gateway:
            now.append(key)
    return at_home if len(at_home) >= len(now) else now


class _Reckoner:
    """Reckons for one deployment as it stands."""

    def __init__(self, view: Ec2View, deployment: Deployment, latency: float) -> None:
        self._view, self._deployment, self._latency = view, deployment, latency

    def one(self, name: str, keys: Collection[RouteKey], detect: float) -> dict[str, Any]:
        """One failover of these routes."""
        needed = need(len(keys), detect, self._latency)
        tables = {key.table_id for key in keys}
        return {
            "name": name,
            "tables": len(tables),
            **needed.to_dict(),
            "text": _text(name, needed, len(tables)),
            "priorities": self._priorities(keys, detect),
            "shorter": self._shorter(keys, needed),
        }

    def _priorities(self, keys: Collection[RouteKey], detect: float) -> list[dict[str, Any]]:
        """When the tables of each priority are done, where there are several."""
        mine = [self._view.priority(key.table_id) for key in keys]
        found = sorted(set(mine))
        if len(found) < 2:
            return []
        counts = {priority: sum(one <= priority for one in mine) for priority in found}
        return [
            {"priority": priority, **need(calls, detect, self._latency).to_dict()} for priority, calls in counts.items()
        ]

    def _shorter(self, keys: Collection[RouteKey], needed: Need) -> list[dict[str, Any]]:
        """What would make it shorter, the least change first."""
        zones, lists = {key: self._view.routes[key].zone for key in keys}, {key: self._list(key) for key in keys}
        sites = {site for site, _ipv6 in lists.values()}
        both_families = len(set(lists.values())) > len(sites)
        listed = f"one prefix list for each site{' and address family' if both_families else ''}"
        ways = (
            ("prefix lists", listed, {(key.table_id, lists[key]) for key in keys}),
            ("shared tables", "one route table for each zone", {(zones[key], key.destination) for key in keys}),
            ("both", f"one route table for each zone, {listed}", {(zones[key], lists[key]) for key in keys}),
        )
        out: list[dict[str, Any]] = []
        for by, how, calls in ways:
            shorter = need(len(calls), needed.detect, self._latency)
            # both together must be better than either alone
            least = min([needed.total, *(each["seconds"] for each in out if by == "both")])
            if shorter.total < least - _WORTH:
                text = f"{how}: {_counted(shorter.calls, 'call')}, {shorter.total:.1f} s"
                out.append({"by": by, "calls": shorter.calls, "seconds": round(shorter.total, 2), "text": text})
        return out

    def _list(self, key: RouteKey) -> tuple[str, bool]:
        """The prefix list that a route could lead to, or does: of which site, and whether of IPv6."""
        site = self._deployment.site_of(key.destination)
        if site is None:
            return key.destination, False
        prefixes = site.prefix_lists.get(key.destination, (key.destination,))
        return site.name, is_ipv6(prefixes[0])  # those of a list are of one family


def _text(name: str, needed: Need, tables: int) -> str:
    if not needed.calls:
        return f"{name}: no route leads there."
    spent = [f"{needed.detect:.2f} s until it is found dead"]
    if needed.limit:
        pace = f"{CHANGES.capacity:.0f} calls at once, then {CHANGES.rate:g} a second"
        spent.append(f"{needed.limit:.1f} s for EC2's limit ({pace})")
    spent.append(f"{needed.answers:.2f} s for {'the last answer' if needed.limit else 'answers'}")
    spent.append(f"{needed.read_back:.2f} s for two reads")
    calls = f"{_counted(needed.calls, 'call')} in {_counted(tables, 'route table')}"
    return f"{name}: {calls}, at worst {needed.total:.1f} s: {', '.join(spent)}."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
