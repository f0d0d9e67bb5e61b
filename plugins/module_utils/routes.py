# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which routes should be swapped for a person's choice, and the swapping itself, in parallel and verified.

`read_view` (of ``ec2_view``) reads, `survey` and `plan` decide for a choice, `preflight` refuses a target, and
`swap_all` acts. The monitor decides by itself and uses the first and the last.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from . import ec2, pace
from .ec2_view import read_view
from .errors import Ec2Error
from .items import routes_of, target_of
from .model import DEADLINE, Deployment, Ec2View, Route, RouteKey, Swap, SwapResult
from .urgency import ordered

__all__ = ["Choice", "Line", "plan", "preflight", "read_view", "survey", "swap_all"]

# What `survey` says of a route
SWAP = "swap"
THERE = "there"  # it already points where it should
FOREIGN = "foreign"  # it points at no gateway of the deployment: a person's route
PINNED = "pinned"
NO_HOME = "no home"  # its zone has no home gateway
MISSING = "missing"  # the table has no such route

STALE = "stale"  # error of a swap: EC2 said yes, and its reads did not show it while we waited


@dataclass(frozen=True)
class Choice:
    """Which routes a person means, and where they shall go. Empty means all."""

    gateway: str | None = None  # None: each zone's home gateway
    zones: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    take_over: bool = False  # also routes that point at no gateway of the deployment
    over_pins: bool = False  # also in tables with a pin
    leaving: str = ""  # a gateway: only routes that lead there now


@dataclass(frozen=True)
class Line:
    """One managed route and what a choice means for it."""

    key: RouteKey
    zone: str
    verdict: str
    gateway: str | None  # where it should go
    route: Route | None  # None: missing


def chosen_tables(view: Ec2View, choice: Choice) -> list[str]:
    """Ids of the tables that a choice means, sorted."""
    leaving = {key.table_id for key, route in view.routes.items() if route.gateway == choice.leaving}
    return sorted(
        table
        for table, zone in view.table_zones.items()
        if (not choice.zones or zone in choice.zones)
        and (not choice.tables or table in choice.tables)
        and (not choice.leaving or table in leaving)
    )


def survey(view: Ec2View, deployment: Deployment, choice: Choice, wall: float) -> list[Line]:
    """What a choice means for each route of the deployment that it covers, sorted. ``wall``: now, for the pins."""
    tables = set(chosen_tables(view, choice))
    lines: list[Line] = []
    for key in sorted({*view.routes, *view.missing_routes}):
        site = deployment.site_of(key.destination)
        if key.table_id not in tables or site is None or (choice.sites and site.name not in choice.sites):
            continue
        route = view.routes.get(key)
        if choice.leaving and (route is None or route.gateway != choice.leaving):
            continue
        zone = view.table_zones[key.table_id]
        home = deployment.home(zone)
        wanted = choice.gateway or (home.name if home else None)
        lines.append(Line(key, zone, _verdict(view, choice, key, wanted, wall), wanted, route))
    return lines


def _verdict(view: Ec2View, choice: Choice, key: RouteKey, wanted: str | None, wall: float) -> str:
    route = view.routes.get(key)
    if route is None:
        return MISSING
    if wanted is None:
        return NO_HOME
    if route.target == view.target(wanted):
        return THERE
    if route.gateway is None and not choice.take_over:
        return FOREIGN
    pin = view.table_pins.get(key.table_id)
    if pin is not None and pin.expires_wall > wall and not choice.over_pins:
        return PINNED
    return SWAP


def plan(view: Ec2View, deployment: Deployment, choice: Choice, wall: float, reason: str = "manual") -> list[Swap]:
    """The swaps that a choice asks for, the most urgent first.

    Gateways without an ENI are left out: `preflight` names them.
    """
    swaps = []
    for line in survey(view, deployment, choice, wall):
        target = view.target(line.gateway or "")
        if line.verdict == SWAP and line.gateway and target:
            priority = view.priority(line.key.table_id)
            swaps.append(Swap(line.key, line.gateway, target, reason, voluntary=True, priority=priority))
    return ordered(swaps, view)


def preflight(view: Ec2View, gateway: str, tables: Iterable[str] = ()) -> list[str]:
    """Why a gateway cannot carry the routes of these tables, one sentence each; empty if it can.

    Of a managed gateway nothing is known beforehand: EC2 refuses a route to one that is not attached to the VPC.
    """
    if gateway in view.managed:
        return []
    instance = view.instances.get(gateway)
    if instance is None:
        known = ", ".join(sorted({*view.instances, *view.managed}))
        return [f"{gateway} is no gateway of the deployment; it has {known}."]
    problems = []
    if instance.eni_id is None:
        problems.append(f"{gateway} has no network interface in EC2; run the deploy playbook to make it.")
    elif instance.source_dest_check:
        problems.append(
            f"{gateway}: the source/destination check of {instance.eni_id} is on, so EC2 would drop what it forwards; "
            "run the deploy playbook to switch it off."
        )
    if instance.state != "running":
        problems.append(f"{gateway} is not running: EC2 says its instance is {instance.state}.")
    elsewhere = sorted({table for table in tables if view.table_vpcs.get(table, instance.vpc_id) != instance.vpc_id})
    if instance.eni_id is not None and elsewhere:
        vpcs = ", ".join(f"{table} in {view.table_vpcs[table]}" for table in elsewhere)
        problems.append(f"{gateway} is in {instance.vpc_id}, and a route cannot lead into another VPC: {vpcs}.")
    return problems


# --- Acting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answer:
    """What EC2 answered to the last try of a swap; ``error`` is empty if it said yes."""

    error: str = ""
    detail: str = ""
    certain: bool = True  # False: it may have been applied all the same
    milliseconds: float = 0.0


def swap_all(
    client: Any,
    swaps: Sequence[Swap],
    *,
    bucket: pace.Tokens,
    pool: Executor | None = None,
    deadline: float,
    carrying: Callable[[Swap], bool | None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[SwapResult]:
    """Swaps all, side by side, and says of each what became of it, in the order given. Never raises for EC2's errors.

    One try and one retry each; nothing is begun after ``deadline`` (of ``clock``). Then the tables are read until two
    reads in a row agree with what was wanted, a handful of times at most. A read that shows the old target changes
    nothing: it may be stale, and the next round of the caller decides on a fresh view. ``SwapResult.milliseconds`` is
    from the call of this function to EC2's answer, waiting for a token included. ``carrying`` is asked once for every
    accepted swap.
    ``pool`` must not be one that this function itself runs in.
    """
    if not swaps:
        return []
    if pool is None:
        with ThreadPoolExecutor(min(pace.SIDE_BY_SIDE, len(swaps)), thread_name_prefix="vpnha-swap") as own:
            return swap_all(
                client, swaps, bucket=bucket, pool=own, deadline=deadline, carrying=carrying, clock=clock, sleep=sleep
            )
    this = _Round(client, bucket, deadline, clock, sleep, clock())
    futures = [pool.submit(_replace, this, swap) for swap in swaps]
    answers = [future.result() for future in futures]
    shown, trouble = _verify(client, swaps, answers, pool, sleep)
    results = []
    for swap, answer in zip(swaps, answers, strict=True):
        accepted = _accepted(answer, shown[swap.key], swap.target)
        error, detail = answer.error, answer.detail
        if accepted is None and not error:
            error, detail = (trouble.code, str(trouble)) if trouble else (STALE, "EC2's reads do not show it yet.")
        carries = carrying(swap) if carrying is not None and accepted else None
        results.append(SwapResult(swap, accepted, error, detail, answer.milliseconds, carries))
    return results


@dataclass(frozen=True)
class _Round:
    """What all swaps of one call of `swap_all` share."""

    client: Any
    bucket: pace.Tokens
    deadline: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    began: float


def _replace(this: _Round, swap: Swap) -> _Answer:
    answer = _Answer(DEADLINE, "Time was up before its turn came.")
    for attempt in (1, 2):
        if not this.bucket.acquire(this.deadline):
            return answer
        try:
            with ec2.telling(f"swapping {swap.key} to {swap.gateway}"):
                this.client.replace_route(
                    RouteTableId=swap.key.table_id,
                    **target_argument(swap.target),
                    **destination_argument(swap.key.destination),
                )
            return _Answer(milliseconds=(this.clock() - this.began) * 1000.0)
        except Ec2Error as error:
            certain = error.applied is not None and answer.certain
            answer = _Answer(error.code, str(error), certain, (this.clock() - this.began) * 1000.0)
            if error.code in pace.THROTTLED:
                this.bucket.throttled()
            if error.code not in ec2.TRANSIENT:
                return answer
        if attempt == 1:
            this.sleep(random.uniform(0.05, 0.2))
    return answer


def target_argument(target: str) -> dict[str, str]:
    """What a route shall point at as the argument that ReplaceRoute and CreateRoute want for its kind."""
    return {"GatewayId": target} if target.startswith("vgw-") else {"NetworkInterfaceId": target}


def destination_argument(destination: str) -> dict[str, str]:
    """A destination as the argument that ReplaceRoute and CreateRoute want for its kind."""
    if destination.startswith("pl-"):
        return {"DestinationPrefixListId": destination}
    if ":" in destination:
        return {"DestinationIpv6CidrBlock": destination}
    return {"DestinationCidrBlock": destination}


def _accepted(answer: _Answer, shown: Sequence[str | None], wanted: str) -> bool | None:
    """Two reads that agree decide; a call that may have been applied, or that EC2 confirmed, is never called failed."""
    if len(shown) >= 2 and shown[-1] == shown[-2] == wanted:
        return True
    return False if answer.error and answer.certain else None


def _verify(
    client: Any, swaps: Sequence[Swap], answers: Sequence[_Answer], pool: Executor, sleep: Callable[[float], None]
) -> tuple[dict[RouteKey, list[str | None]], Ec2Error | None]:
    """What each read showed each route to point at, oldest first, and the last error while reading."""
    shown: dict[RouteKey, list[str | None]] = {swap.key: [] for swap in swaps}
    # A route whose call was refused for certain, or never begun, will not change: two reads are enough for it.
    hopeless = {s.key for s, a in zip(swaps, answers, strict=True) if a.error and a.certain}
    trouble: Ec2Error | None = None
    for pause in (0.0, 0.0, 0.05, 0.1, 0.2, 0.4, 0.8):
        open_swaps = [
            swap
            for swap in swaps
            if shown[swap.key][-2:] != [swap.target] * 2 and not (swap.key in hopeless and len(shown[swap.key]) >= 2)
        ]
        if not open_swaps:
            break
        if pause:
            sleep(pause)
        tables = sorted({swap.key.table_id for swap in open_swaps})
        chunks = [tables[start : start + 100] for start in range(0, len(tables), 100)]
        for chunk, future in [(chunk, pool.submit(_targets, client, chunk)) for chunk in chunks]:
            try:
                targets = future.result()
            except Ec2Error as error:
                trouble = error
                continue
            for swap in open_swaps:
                if swap.key.table_id in chunk:
                    shown[swap.key].append(targets.get(swap.key))
    return shown, trouble


def _targets(client: Any, tables: list[str]) -> dict[RouteKey, str | None]:
    # By filter: asked by id, one deleted table would spoil the answer for all others.
    with pace.urgently():
        found = ec2.pages(
            client, "describe_route_tables", "RouteTables", "reading the route tables back",
            Filters=[{"Name": "route-table-id", "Values": tables}], MaxResults=100,
        )  # fmt: skip
    return {
        RouteKey(table["RouteTableId"], destination): target_of(route)
        for table in found
        for destination, route in routes_of(table).items()
    }
