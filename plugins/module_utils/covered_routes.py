# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that another one makes needless, where a site goes over from prefixes to a prefix list or back.

While both are there the route for a prefix decides, and that for the list waits. Removing one of them loses no packet
if what remains leads to the same gateway; nothing else is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import prefix_lists, prefix_lists_build
from .dual_stack import ipv4, ipv6
from .ec2_view import Item, read_tables, routes_of, target_of
from .model import Deployment, Site
from .network_worker import Change, Worker
from .prefix_lists import IPV6, Key, PrefixList
from .routes import destination_argument


@dataclass(frozen=True)
class Covered:
    """A route beside another one for the same packets."""

    table_id: str
    destination: str
    site: str
    target: str
    why: str = ""  # it must stay; empty: it may go

    def row(self) -> dict[str, Any]:
        """The return value of the module covered_routes."""
        return {
            "route_table_id": self.table_id,
            "destination": self.destination,
            "site": self.site,
            "target": self.target,
            "action": "keep" if self.why else "remove",
            "reason": self.why,
        }


@dataclass(frozen=True)
class Cleared:
    """What was removed, or in check mode would be, and what stays."""

    routes: list[dict[str, Any]]
    changes: list[Change]


def clear(client: Any, deployment: Deployment, *, check: bool) -> Cleared:
    """Removes the routes that are covered, and the lists that no site wants. Raises VpnhaError."""
    lists = prefix_lists.read(client, deployment.name)
    tables = read_tables(client, deployment.name) if lists else []
    found = sorted(covered(tables, lists, deployment), key=lambda one: (one.table_id, one.destination))
    needless = [one for one in found if not one.why]
    worker = Worker(client, check)
    for one in needless:
        worker.change(
            f"route table {one.table_id}", f"{one.destination} -> {one.target}", "route deleted", "delete_route",
            RouteTableId=one.table_id, **destination_argument(one.destination),
        )  # fmt: skip
    gone = {(one.table_id, one.destination) for one in needless}
    sites = {site.name: site for site in deployment.sites}
    for known in lists.values():
        users = [table["RouteTableId"] for table in tables if known.id in routes_of(table)]
        if not _wanted(sites.get(known.site), known) and all((table_id, known.id) in gone for table_id in users):
            prefix_lists_build.delete(worker, known.id, known.site)
    return Cleared([one.row() for one in found], worker.changes)


def _wanted(site: Site | None, known: PrefixList) -> bool:
    """Whether a site is routed by a list."""
    return site is not None and site.by_prefix_list and bool(_prefixes(site, known))


def _prefixes(site: Site, known: PrefixList) -> tuple[str, ...]:
    """Those that belong into a list of the site's."""
    return ipv6(site.prefixes) if known.family == IPV6 else ipv4(site.prefixes)


def covered(tables: Iterable[Item], lists: Mapping[Key, PrefixList], deployment: Deployment) -> Iterator[Covered]:
    """Every route of these tables beside another one for the same packets, and whether it may go."""
    sites = {site.name: site for site in deployment.sites}
    for table in tables:
        have = routes_of(table)
        for known in lists.values():
            site = sites.get(known.site)
            if known.id not in have:
                continue
            if site is not None and _wanted(site, known):
                yield from _by_list(table, have, known, site)
            elif site is not None:
                yield from _by_prefixes(table, have, known)


def _by_list(table: Item, have: Mapping[str, Item], known: PrefixList, site: Site) -> Iterator[Covered]:
    """The routes to prefixes of a site that is routed by its list."""
    leads = target_of(have[known.id])
    for prefix in (prefix for prefix in _prefixes(site, known) if prefix in have):
        target, why = target_of(have[prefix]), ""
        if prefix not in known.entries or known.busy:
            why = f"{known.id} does not have {prefix} yet."
        elif have[known.id].get("State") == "blackhole":
            why = f"The route to {known.id} is a blackhole."
        elif target != leads:
            why = f"It leads to {target}, and the route to {known.id} to {leads}."
        yield Covered(table["RouteTableId"], prefix, site.name, target, why)


def _by_prefixes(table: Item, have: Mapping[str, Item], known: PrefixList) -> Iterator[Covered]:
    """The route to the list of a site that is routed by its prefixes again: needless once each has a route."""
    lacking: Sequence[str] = [entry for entry in known.entries if entry not in have]
    why = f"There is no route to {', '.join(lacking)}." if lacking else ""
    yield Covered(table["RouteTableId"], known.id, known.site, target_of(have[known.id]), why)
