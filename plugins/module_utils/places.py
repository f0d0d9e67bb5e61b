# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the managed routes stand: EC2's last word, corrected by what was done since.

A read can be stale, and a call that timed out may have been applied. So a swap that was accepted is believed until two
later reads, some seconds apart, agree on another gateway, or one shows what is no gateway's; one whose outcome is
not known is tried again only after a read that began later.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from . import lease
from .changed import changed
from .model import DEADLINE, WITHDRAWN, Deployment, Ec2View, Evidence, RouteKey, Swap, SwapResult
from .owners import read_lately
from .state import Belief, Doubt, Group, Interface, Retry, Routes

_T = TypeVar("_T")

BELIEF_SECONDS = 60.0  # how long a stale read is thought possible
READS_APART = 2.0  # seconds between the two reads that overrule a belief
DOUBT_SECONDS = 5.0  # how long a read is waited for before an unknown swap is tried again
RETRY_LEAST, RETRY_MOST = 1.0, 30.0
HOUR = 3600.0
# With several monitors a belief is given up sooner: what a read shows may be the late write of another one.
READS_APART_OF_SEVERAL = 0.3
BELIEVED_OF_SEVERAL = 1.2  # seconds after a swap before which none is
FORBIDDEN = ("UnauthorizedOperation", "AccessDenied", "AuthFailure", "UnauthorizedAccess")
NOT_BEGUN = (DEADLINE, WITHDRAWN)  # nothing went wrong: its turn did not come


def take_in(routes: Routes, deployment: Deployment, evidence: Evidence, now: float, seed: int) -> Routes:
    """The routes after results, timeouts and, if there is one, a new read."""
    before = routes
    for result in evidence.results:
        routes = _take_result(routes, result, now, seed)
    for flight in routes.flights.values():
        if now >= flight.deadline:
            lost = SwapResult(flight.swap, accepted=None, error="timeout", detail="no result came")
            routes = _take_result(routes, lost, now, seed)
    view, several = evidence.ec2, lease.needed(deployment)
    if routes.placed and (not several or read_lately(evidence)):
        routes = changed(routes, placed={})
    if view is None:
        return routes
    if evidence.ec2_version != routes.version:
        routes = _take_view(routes, view, evidence, now, several)
    elif routes.beliefs is before.beliefs:
        return routes
    return _grouped(routes, deployment, view)


def free(routes: Routes, key: RouteKey, now: float, voluntary: bool, target: str) -> bool:
    """Whether a swap of the route to that target may be ordered now."""
    if key in routes.flights:
        return False
    doubt = routes.doubts.get(key)
    if doubt is not None and now - doubt.since < DOUBT_SECONDS:
        return False
    retry = routes.retries.get(key)
    return retry is None or now >= retry.due(voluntary, target)


def _take_result(routes: Routes, result: SwapResult, now: float, seed: int) -> Routes:
    key, swap = result.swap.key, result.swap
    flight = routes.flights.get(key)
    if flight is not None and flight.swap == swap:
        routes = changed(routes, flights=_without(routes.flights, key))
    if result.accepted:
        return _accepted(routes, key, Belief(swap.gateway, swap.target, now), now if swap.voluntary else None)
    if result.error == WITHDRAWN and swap.voluntary:
        return routes  # nothing was sent, so that an emergency need not wait
    last = routes.retries.get(key)
    if last is not None and last.swap.voluntary and not swap.voluntary:
        last = None  # an emergency has its own rounds
    retry = _next_retry(last, swap, result.error or "unknown", now, seed)
    routes = changed(routes, retries={**routes.retries, key: retry})
    if result.accepted is None:
        routes = changed(routes, doubts={**routes.doubts, key: Doubt(swap, now)})
    return routes


def _accepted(routes: Routes, key: RouteKey, belief: Belief, voluntary_at: float | None) -> Routes:
    moves = routes.moves
    if voluntary_at is not None:
        recent = tuple(at for at in moves.get(key, ()) if voluntary_at - at < HOUR)
        moves = {**moves, key: (*recent, voluntary_at)}
    return changed(
        routes,
        beliefs={**routes.beliefs, key: belief},
        doubts=_without(routes.doubts, key),
        retries=_without(routes.retries, key),
        moves=moves,
        placed={**routes.placed, key: belief.gateway},
    )


def _found_done(routes: Routes, doubt: Doubt, now: float) -> Routes:
    """The routes where a read shows that a doubted swap was applied; what has failed since keeps its pause."""
    swap, retry = doubt.swap, routes.retries.get(doubt.swap.key)
    belief = Belief(swap.gateway, swap.target, doubt.since, confirmed=True)
    routes = _accepted(routes, swap.key, belief, now if swap.voluntary else None)
    if retry is None or retry.soon_at <= doubt.since + RETRY_LEAST:
        return routes  # the doubt's own
    return changed(routes, retries={**routes.retries, swap.key: retry})


def _next_retry(last: Retry | None, swap: Swap, error: str, now: float, seed: int) -> Retry:
    """Rounds 1 to 30 s apart; the spread comes from the route's name, so that a step stays a pure function.

    A call that was never begun is no round: what waits for EC2's limit must not wait longer each time.
    """
    before = last.round if last is not None else 0
    count = max(1, before if error in NOT_BEGUN else before + 1)
    spread = zlib.crc32(f"{seed} {swap.key} {count}".encode()) / 2**32
    delay = RETRY_LEAST * 2 ** min(count - 1, 5) * (1.0 + spread)
    if error in FORBIDDEN:
        delay = RETRY_MOST
    return Retry(count, now + min(RETRY_MOST, max(RETRY_LEAST, delay)), error, swap, now + RETRY_LEAST)


def _take_view(routes: Routes, view: Ec2View, evidence: Evidence, now: float, several: bool) -> Routes:
    began = now - (evidence.ec2_age or 0.0)
    owners = {instance.eni_id: name for name, instance in view.instances.items() if instance.eni_id}
    owners |= {target: name for name, target in view.managed.items()}
    gateway_of_target = {**routes.gateway_of_target, **owners}
    beliefs: dict[RouteKey, Belief] = {}
    for key, belief in routes.beliefs.items():
        route = view.routes.get(key)
        shown = route.target if route is not None else None
        if _overruled(belief, shown, routes.gateway_of_target, began):
            continue
        kept = (_weigh_of_several if several else _weigh)(belief, shown, evidence.ec2_version, began, now)
        if kept is not None:
            beliefs[key] = kept
    interfaces = {
        name: _interface(routes.interfaces.get(name), view.target(name), now)
        for name in (*view.instances, *view.managed)
    }
    blackholes = {
        key: routes.blackholes.get(key, evidence.ec2_version) for key, route in view.routes.items() if route.blackhole
    }
    routes = changed(
        routes,
        version=evidence.ec2_version,
        beliefs=beliefs,
        blackholes=blackholes,
        gateway_of_target=gateway_of_target,
        interfaces=interfaces,
    )
    # what has not been tried again for long is no longer wanted
    retries = {key: retry for key, retry in routes.retries.items() if now - retry.next_at < BELIEF_SECONDS}
    routes = changed(routes, retries=retries)
    for key, doubt in routes.doubts.items():
        if began <= doubt.since:
            continue
        now_there = view.routes.get(key)
        if now_there is not None and now_there.target == doubt.swap.target:
            routes = _found_done(routes, doubt, now)
        else:
            routes = changed(routes, doubts=_without(routes.doubts, key))
    return routes


def _interface(known: Interface | None, shown: str | None, now: float) -> Interface:
    """The gateway's interface after a read; one that it once had comes back only if reads insist."""
    if known is None:
        return Interface(shown)
    if shown == known.eni_id:
        return known if known.back_since is None else replace(known, back_since=None)
    if shown is None:
        return Interface(None, known.former)
    former = known.former | {known.eni_id} if known.eni_id else known.former
    if shown in known.former:
        since = now if known.back_since is None else known.back_since
        if now - since < BELIEF_SECONDS:
            return replace(known, back_since=since)
    return Interface(shown, frozenset(one for one in former if one != shown))


def _overruled(belief: Belief, shown: str | None, known: Mapping[str, str], began: float) -> bool:
    """Whether a read ends a belief at once, as it cannot be older than the swap. ``known``: targets seen before it.

    The route led to a gateway before the swap as well: what is no gateway's, or a network interface that nobody had
    seen, was put there since.
    """
    return began - belief.at >= BELIEF_SECONDS or (began >= belief.at and shown not in known)


def _weigh(belief: Belief, shown: str | None, version: int, began: float, now: float) -> Belief | None:
    """The belief after a read; None where it is given up for what EC2 says."""
    if began < belief.at:
        return belief  # the read may be older than the swap
    if shown == belief.target:
        return replace(belief, confirmed=True, contrary=None)
    if belief.contrary is not None and belief.contrary[2] == shown:
        first, since, _shown = belief.contrary
        return None if version != first and now - since >= READS_APART else belief
    return replace(belief, contrary=(version, now, shown))


def _weigh_of_several(belief: Belief, shown: str | None, version: int, began: float, now: float) -> Belief | None:
    """The same where other monitors may write: a route that one of them has moved is corrected within two seconds."""
    kept = _weigh(belief, shown, version, began, now)
    if kept is None or belief.contrary is None or kept.contrary != belief.contrary or belief.contrary[2] != shown:
        return kept
    first, since, _shown = belief.contrary
    old = now - belief.at >= BELIEVED_OF_SEVERAL and now - since >= READS_APART_OF_SEVERAL
    return None if old and version != first else kept


def _grouped(routes: Routes, deployment: Deployment, view: Ec2View) -> Routes:
    """Sort the routes by what is decided about alike; done once per read or result, not per step."""
    groups: dict[Group, list[RouteKey]] = {}
    carried: dict[str, int] = {}
    foreign: dict[RouteKey, str] = {}
    for key in sorted(view.routes, key=lambda one: (one.table_id, one.destination)):
        route = view.routes[key]
        site = deployment.site_of(key.destination)
        if site is None or key.table_id in view.refused_tables:
            continue
        belief = routes.beliefs.get(key)
        gateway: str | None
        if belief is not None:
            gateway, target, blackhole = belief.gateway, belief.target, False
        else:
            gateway = route.gateway or routes.gateway_of_target.get(route.target)
            target, blackhole = route.target, route.blackhole
        if gateway is None:
            foreign[key] = f"{route.target} (blackhole)" if route.blackhole else route.target
            continue
        current, fault = routes.target_of(gateway), ""
        if current is not None and target != current:
            # what the newest read contradicts may be no more: the next read tells
            fault = "old interface" if belief is None or belief.contrary is None else ""
        elif blackhole:
            fault = "blackhole?" if routes.blackholes.get(key) == routes.version else "blackhole"
        groups.setdefault(Group(gateway, route.zone, site.name, fault), []).append(key)
        carried[gateway] = carried.get(gateway, 0) + 1
    ordered = sorted(groups, key=lambda one: (one.zone, one.site, one.gateway or "", one.fault))
    return changed(
        routes,
        groups={group: tuple(groups[group]) for group in ordered},
        carried=carried,
        foreign=foreign,
    )


def _without(mapping: Mapping[RouteKey, _T], key: RouteKey) -> Mapping[RouteKey, _T]:
    if key not in mapping:
        return mapping
    rest = dict(mapping)  # hashes no key again: hundreds of results may come at once
    del rest[key]
    return rest
