# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that another one makes needless.

They stand beside each other where a site goes over from prefixes to a prefix list or back, gets another name, or where
one wide prefix is described instead of several. A route goes if what is described takes its packets then, and leads
to the same gateway: no packet goes another way, and nothing else is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import ec2, left_routes, prefix_lists, prefix_lists_build, tags
from .dual_stack import ipv4, ipv6
from .ec2_view import read_tables
from .items import Item, routes_of, target_of
from .left_routes import around, networks
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


def _read_targets(client: Any, deployment: Deployment) -> dict[str, str]:
    """The deployment's gateways, by what routes to them lead to. Raises Ec2Error."""
    return left_routes.targets(
        ec2.pages(
            client, "describe_network_interfaces", "NetworkInterfaces", "reading the gateways' interfaces",
            Filters=[*tags.filters(deployment.name), {"Name": "tag-key", "Values": [tags.GATEWAY]}],
        ),
        deployment,
    )  # fmt: skip


def clear(client: Any, deployment: Deployment, *, check: bool) -> Cleared:
    """Removes the routes that are covered, and the lists that no site wants. Raises VpnhaError."""
    lists = prefix_lists.read(client, deployment.name)
    tables = read_tables(client, deployment.name)
    found = list(covered(tables, lists, deployment, _read_targets(client, deployment)))
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


def covered(
    tables: Iterable[Item], lists: Mapping[Key, PrefixList], deployment: Deployment, gateways: Mapping[str, str]
) -> Iterator[Covered]:
    """Every route of these tables beside another one for the same packets, and whether it may go.

    In the order in which they may go. ``gateways``: by what leads to them.
    """
    deployment = prefix_lists.with_ids(deployment, {key: known.id for key, known in lists.items()})
    for table in sorted(tables, key=lambda one: str(one["RouteTableId"])):
        yield from _of_table(_Table(table, lists, deployment), gateways)


class _Table:
    """A table's routes, and what follows when some of them go."""

    def __init__(self, table: Item, lists: Mapping[Key, PrefixList], deployment: Deployment) -> None:
        self.item = table
        self.id = str(table["RouteTableId"])
        self.have = routes_of(table)
        self.lists = lists
        self.sites = {site.name: site for site in deployment.sites}
        self.entries = {known.id: known.entries for known in lists.values()}
        self.described = left_routes.described(deployment)
        self._ways: dict[str, list[str]] = {}  # network -> the routes for it, that for the CIDR itself first
        for destination in sorted(self.have):
            for network in networks(destination, self.entries):
                self._ways.setdefault(network, []).append(destination)

    def decided(self, destination: str, site: str, why: str) -> Covered:
        """A route with its verdict; where it goes, the next ones are asked about without it."""
        if not why:
            for network in networks(destination, self.entries):
                self._ways[network].remove(destination)
        return Covered(self.id, destination, site, target_of(self.have[destination]), why)

    def why(self, destination: str) -> str:
        """Why a route must stay: that its packets would go elsewhere, or where nobody looks after them."""
        target, lacking = target_of(self.have[destination]), []
        for network in networks(destination, self.entries):
            same = self._ways[network]
            if destination.startswith("pl-") and network in same:
                continue  # the route for the CIDR takes its packets already
            over = [[one for one in self._ways.get(wider, ()) if one != destination] for wider in around(network)]
            if not any(one in self.described for ways in over for one in ways):
                lacking.append(network)
                continue
            ways = next(ways for ways in over if ways)
            # of routes for the same that for the CIDR takes all; which one of several lists does is not known
            for heir in ways if ways[0].startswith("pl-") else ways[:1]:
                if self.have[heir].get("State") == "blackhole":
                    return f"The route to {heir} is a blackhole."
                leads = target_of(self.have[heir])
                if leads != target:
                    return f"It leads to {target}, and the route to {heir} to {leads}."
        if lacking == [destination]:
            return "There is no described route for its packets."
        return f"There is no route to {', '.join(lacking)}." if lacking else ""


def _of_table(table: _Table, gateways: Mapping[str, str]) -> Iterator[Covered]:
    # lists that nobody wants go first, so that none of them comes to light when the route to a prefix goes
    for known in table.lists.values():
        if known.id in table.have and not _wanted(table.sites.get(known.site), known):
            yield table.decided(known.id, known.site, table.why(known.id))
    for known in table.lists.values():
        site = table.sites.get(known.site)
        if known.id in table.have and site is not None and _wanted(site, known):
            yield from _by_list(table, known, site)
    left = left_routes.left([table.item], table.described, table.entries, gateways)
    within = [one for one in left if one.within and not one.destination.startswith("pl-")]
    # the wide ones first, since those within them may lead where they do
    for one in sorted(within, key=lambda one: len(around(one.destination))):
        yield table.decided(one.destination, table.described[one.within[0]], table.why(one.destination))


def _by_list(table: _Table, known: PrefixList, site: Site) -> Iterator[Covered]:
    """The routes to prefixes of a site that is routed by its list."""
    for prefix in sorted(prefix for prefix in _prefixes(site, known) if prefix in table.have):
        if prefix not in known.entries or known.busy:
            why = f"{known.id} does not have {prefix} yet."
        else:
            why = table.why(prefix)
        yield table.decided(prefix, site.name, why)
