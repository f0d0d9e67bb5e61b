# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's swap, from the wish to the report: refuse first, then pin, swap, verify, unpin.

The pin comes before the swap and goes after it, so that no monitor undoes in between what the person does. Where
nothing moved it goes as well: it would only keep the monitors from moving routes away from a gateway that fails.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import ec2, left_routes, marks, pace, prefix_lists
from .errors import Ec2Error, VpnhaError
from .model import Deployment, Ec2View, Pin, RouteKey
from .new_pins import NewPins, Undone
from .routes import (
    FOREIGN,
    MISSING,
    NO_HOME,
    PINNED,
    THERE,
    Choice,
    Line,
    chosen_tables,
    destination_argument,
    plan,
    preflight,
    read_view,
    survey,
    swap_all,
    target_argument,
)
from .swap_progress import Progress

_LONG = 10.0  # s of waiting for EC2's limit that are worth a warning
_WHY = {
    THERE: "It already is there.",
    FOREIGN: "It points at no gateway of the deployment: a person's route, unless taken over.",
    PINNED: "Its table is pinned; set a new pin or clear it along with the swap.",
    NO_HOME: "Its zone has no home gateway.",
    MISSING: "There is no such route; the deploy playbook creates it, or failback with vpnha_take_over=true.",
}


@dataclass(frozen=True)
class Wish:
    """What a person wants done."""

    choice: Choice
    pin_minutes: int = 0  # above 0: the tables are pinned for so long
    unpin: bool = False
    by: str = ""
    create_missing: bool = False
    seconds: float = 60.0  # nothing is begun after so long


@dataclass(frozen=True)
class Report:
    """What came of it. ``routes`` are the documented return values of the module route_swap."""

    changed: bool
    routes: list[dict[str, Any]]
    tables: list[str]
    failure: str = ""  # one sentence; empty if all is as wished
    swapping: dict[str, Any] = field(default_factory=dict)  # calls, and the seconds that they take
    warnings: tuple[str, ...] = ()  # one sentence each
    pins_taken_back: tuple[str, ...] = ()  # tables of which no route moved: pinned, or not, as before


def refusals(view: Ec2View, deployment: Deployment, wish: Wish) -> list[str]:
    """Why a wish cannot be fulfilled, one sentence each."""
    choice = wish.choice
    zones = {zone.name for zone in deployment.zones}
    sites = {site.name for site in deployment.sites}
    gateways = {gateway.name for gateway in deployment.targets}
    out = [
        f"{given} is no {word} of the deployment; it has {', '.join(sorted(known))}."
        for word, names, known in (
            ("zone", choice.zones, zones),
            ("site", choice.sites, sites),
            ("gateway", [name for name in (choice.gateway, choice.leaving) if name], gateways),
        )
        for given in names
        if given not in known
    ]
    for table in choice.tables:
        if table not in view.table_zones:
            out.append(view.refused_tables.get(table, f"{table} is no route table of the deployment."))
    if out:
        return out
    tables = chosen_tables(view, choice)
    if not tables and choice.leaving:
        return []  # nothing leads there any more
    if not tables:
        where = ", ".join([*choice.zones, *choice.tables]) or "the deployment"
        return [f"No route table is looked after in {where}.", *view.refused_tables.values()]
    targets: dict[str, list[str]] = {}
    for table in tables:
        home = deployment.home(view.table_zones[table])
        target = choice.gateway or (home.name if home else None)
        if target:
            targets.setdefault(target, []).append(table)
    return [problem for target, its in sorted(targets.items()) for problem in preflight(view, target, its)]


def run(
    client: Any, deployment: Deployment, wish: Wish, *, check: bool, wall: float, progress: Progress | None = None
) -> Report:
    """Fulfils a wish, or in check mode says what it would do. Raises VpnhaError before any change.

    ``wall``: what this host's clock shows now. ``progress`` is filled meanwhile.
    """
    view = read_view(client, deployment)
    wall += ec2.CLOCK.skew  # the monitors go by AWS's clock
    if problems := refusals(view, deployment, wish):
        raise VpnhaError(" ".join(problems))
    choice = replace(wish.choice, over_pins=wish.choice.over_pins or wish.unpin or wish.pin_minutes > 0)
    tables = chosen_tables(view, choice)
    lines = survey(view, deployment, choice, wall)
    pin = Pin(choice.gateway or "", wall + wish.pin_minutes * 60, wish.by)
    pins = NewPins(client, _to_pin(view, wish, tables, wall), pin)
    missing = [line for line in lines if line.verdict == MISSING and line.gateway] if wish.create_missing else []
    swaps = plan(view, deployment, choice, wall)
    if problem := _too_many(len(swaps), wish.seconds):
        raise VpnhaError(problem)
    pinned = [table for table in tables if table in view.table_pins] if wish.unpin else []
    changed = bool(swaps or missing or pins.tables or pinned)
    done: dict[RouteKey, _Done] = {}
    undone = Undone()
    failure, began, bucket = "", time.monotonic(), pace.TokenBucket()
    if not check:
        pins.set(view)
        done = {line.key: _create(client, view, line) for line in missing}
        deadline = time.monotonic() + wish.seconds
        swapping_client = client if progress is None else progress.watch(client, len(swaps), bucket)
        for result in swap_all(swapping_client, swaps, bucket=bucket, deadline=deadline):
            error = "" if result.accepted else result.detail or result.error
            done[result.swap.key] = _Done(result.accepted, error, round(result.milliseconds, 1))
        failure = _failure(done)
        if failure:
            failed = [line for line in lines if line.key in done and done[line.key].accepted is False]
            undone = pins.take_back(failed, _there(lines, done))
            failure = " ".join([f"{failure.rstrip('.')}.", *undone.told])
            changed = len(failed) < len(done) or set(undone.tables) != set(pins.tables)
        elif pinned:
            marks.unpin(client, pinned)
    acts = {swap.key for swap in swaps} | {line.key for line in missing}
    rows = [_row(deployment, line, line.key in acts, done.get(line.key)) for line in lines]
    spent = None if check else round(time.monotonic() - began, 2)
    swapping, warnings = _swapping(len(swaps), spent, bucket.refusals)
    warnings = (*warnings, *_staying(client, view, deployment, choice), *_not_looked_after(view, choice))
    return Report(changed, rows, tables, failure, swapping, warnings, undone.tables)


def _staying(client: Any, view: Ec2View, deployment: Deployment, choice: Choice) -> list[str]:
    """What stays at a gateway that is to be left, because it is not described."""
    stays = [one for one in view.left if choice.leaving and one.gateway == choice.leaving]
    made: dict[str, str] = {}
    with contextlib.suppress(Ec2Error):  # the swaps are done: at worst the site of a list is not named
        made = prefix_lists.sites_of(client, deployment.name, (one.destination for one in stays))
    return left_routes.sentences(stays, left_routes.described(deployment), made)


def _not_looked_after(view: Ec2View, choice: Choice) -> list[str]:
    """The tables with the deployment's tags that nobody moves: of which zone they are is not known."""
    if choice.tables:
        return []  # others are not meant; one of these is refused
    return [f"Not looked after, so its routes stay as they are: {why}" for why in view.refused_tables.values()]


def _too_many(calls: int, allowed: float) -> str:
    """Why so many swaps are not begun: some would be left over for certain. Empty if they have the time."""
    least = pace.seconds_for(calls)
    if least <= allowed:
        return ""
    return (
        f"{calls} swaps take at least {math.ceil(least)} s under EC2's limit, and no call is begun after "
        f"{allowed:g} s: allow more time, or move fewer routes at once. Nothing was changed."
    )


def _swapping(calls: int, spent: float | None, refused: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """How long so many swaps take under EC2's limit, and what a person should know of that."""
    least = pace.seconds_for(calls)
    found = {
        "calls": calls,
        "at_least_seconds": round(least, 1),
        "seconds": spent,
        "refused": refused,
    }
    warnings = []
    if least >= _LONG:
        warnings.append(
            f"{calls} swaps take at least {least:.0f} s under EC2's limit; prefix lists or shared route tables would "
            "make them fewer."
        )
    if refused:
        warnings.append(
            f"EC2 refused {refused} calls for its limit, so the others were made more slowly: something else in the "
            "account uses it up too."
        )
    return found, tuple(warnings)


@dataclass(frozen=True)
class _Done:
    """What became of one route."""

    accepted: bool | None
    error: str = ""
    milliseconds: float | None = None


def _to_pin(view: Ec2View, wish: Wish, tables: Sequence[str], wall: float) -> list[str]:
    """The tables that need a new pin: a pin to the same gateway that lasts about as long is as good."""
    until = wall + wish.pin_minutes * 60
    good = {
        table
        for table, pin in view.table_pins.items()
        if pin.gateway == (wish.choice.gateway or "") and abs(pin.expires_wall - until) < 60
    }
    return [table for table in tables if table not in good] if wish.pin_minutes > 0 else []


def _create(client: Any, view: Ec2View, line: Line) -> _Done:
    try:
        with ec2.telling(f"creating {line.key} to {line.gateway}"):
            client.create_route(
                RouteTableId=line.key.table_id,
                **target_argument(view.target(line.gateway or "") or ""),
                **destination_argument(line.key.destination),
            )
        return _Done(True)
    except Ec2Error as error:
        return _Done(None if error.applied is None else False, str(error))


def _there(lines: Sequence[Line], done: Mapping[RouteKey, _Done]) -> set[RouteKey]:
    """The routes that lead where they should, or perhaps do."""
    moved = {key for key, each in done.items() if each.accepted is not False}
    return moved | {line.key for line in lines if line.verdict == THERE}


def _row(deployment: Deployment, line: Line, acts: bool, done: _Done | None) -> dict[str, Any]:
    before = (line.route.gateway or line.route.target) if line.route else None
    action = ("create" if line.verdict == MISSING else "swap") if acts else "none"
    site = deployment.site_of(line.key.destination)
    return {
        "route_table_id": line.key.table_id,
        "destination": line.key.destination,
        "zone": line.zone,
        "site": site.name if site else None,
        "before": before,
        "after": line.gateway if acts and (done is None or done.accepted) else before,
        "action": action,
        "reason": "" if acts else _WHY[line.verdict],
        "accepted": done.accepted if done else None,
        "carrying": None,  # for the caller to find out, see followed: only a monitor hears the agents' counters
        "milliseconds": done.milliseconds if done else None,
        "error": done.error if done else "",
    }


def _failure(done: Mapping[RouteKey, _Done]) -> str:
    failed = {key: each for key, each in done.items() if not each.accepted}
    if not failed:
        return ""
    reasons = "; ".join(f"{key}: {each.error}" for key, each in sorted(failed.items()))
    unknown = sum(each.accepted is None for each in failed.values())
    also = f" ({unknown} of them perhaps all the same: read them back)" if unknown else ""
    return f"{len(failed)} of {len(done)} routes were not changed{also}: {reasons}"
