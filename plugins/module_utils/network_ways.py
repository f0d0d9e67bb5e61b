# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a new route to a site leads: where its packets go already, so that nothing moves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import left_routes
from .items import Item, destination_of, is_propagated, routes_of, target_of


@dataclass(frozen=True)
class Ways:
    """Where new routes of a table may lead."""

    gateways: Mapping[str, str]  # gateway -> its target
    usual: tuple[str, str]  # a gateway and its target
    beside: Mapping[str, tuple[str, ...]]  # destination -> those for the same packets, see `prefix_lists.beside`
    entries: left_routes.Entries  # of the deployment's prefix lists, by their ids

    def of(self, destination: str, table: Item) -> tuple[str, str] | None:
        """A gateway and its target: where routes for the same packets lead, so that nothing moves; None: elsewhere.

        A route for a prefix comes before that of its list, so that it would take packets from where they go now.
        """
        have = routes_of(table)
        others = {target_of(have[other]) for other in self.beside.get(destination, ()) if other in have}
        if not others:  # routes for parts of it, or for more, may be left from another description
            others = {left_routes.carried_to(destination, have, self.entries, self.gateways.values())} - {""}
        known = [(gateway, target) for gateway, target in self.gateways.items() if target in others]
        if len(others) == len(known) == 1:
            return known[0]
        return None if others and destination not in self.entries else self.usual

    def carried(self, destination: str, table: Item) -> str:
        """The sentence that somebody else's route carries packets to a destination without a route; "" if none does.

        A route to the destination would be the narrower one, and take these packets before the gateways carry any. What
        leads to the internet says nothing of a site, and is no such route.
        """
        routes = _by_network(table, self.entries)
        for network in left_routes.networks(destination, self.entries):
            found = next((each for each in left_routes.around(network) if each in routes), "")
            if not found or left_routes.too_wide(found):
                continue
            route = routes[found]
            if found == network and not is_propagated(route):
                continue  # it stays in force beside a list's, and decides for its packets
            target = target_of(route)
            if target in {*self.gateways.values(), "local"} or route.get("State") == "blackhole":
                continue
            return (
                f"{table['RouteTableId']} gets no route to {destination}: packets to {network} go to {target} by the "
                f"route to {found}. Once the gateways carry them, the playbook failback makes it, with "
                "vpnha_take_over=true."
            )
        return ""


def _by_network(table: Item, lists: left_routes.Entries) -> dict[str, Item]:
    """A table's routes by network. Of one network EC2 follows a CIDR's, then a list's, then a propagated one."""
    found: dict[str, Item] = {}
    for route in sorted(table.get("Routes", ()), key=_rank):
        for network in left_routes.networks(destination_of(route), lists):
            found.setdefault(network, route)
    return found


def _rank(route: Item) -> tuple[bool, bool]:
    return is_propagated(route), destination_of(route).startswith("pl-")
