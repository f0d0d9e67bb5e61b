# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes to gateways of the deployment for what is not described any more: no monitor moves them when a gateway fails.

They remain where a site goes, gets another name with a prefix list, or gets one wide prefix instead of several. EC2
follows the longest prefix, so that the narrow one which nobody moves wins over the described one. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from .items import Item, gateway_of_interface, routes_of, target_of
from .model import WIDEST_PREFIX, Deployment, Left

Entries = Mapping[str, tuple[str, ...]]  # of prefix lists, by their ids


def targets(interfaces: Iterable[Item], deployment: Deployment) -> dict[str, str]:
    """The deployment's gateways, by what routes to them lead to; those too that are not described any more."""
    found = {str(eni["NetworkInterfaceId"]): gateway_of_interface(eni) for eni in interfaces}
    return found | {one.vpn_gateway: one.name for one in deployment.managed_gateways}


@lru_cache(maxsize=8192)
def around(cidr: str) -> tuple[str, ...]:
    """A network and all that it is a part of, the narrowest first."""
    network = ipaddress.ip_network(cidr)
    return tuple(str(network.supernet(new_prefix=length)) for length in range(network.prefixlen, -1, -1))


def networks(destination: str, lists: Entries) -> tuple[str, ...]:
    """What a route is for; nothing for a prefix list whose entries are not known."""
    return lists.get(destination, () if destination.startswith("pl-") else (destination,))


def described(deployment: Deployment) -> dict[str, str]:
    """The destinations that monitors look after where a table has them, and the site of each."""
    return {each: site.name for site in deployment.sites for each in (*site.destinations, *site.prefixes)}


def left(tables: Iterable[Item], known: Iterable[str], lists: Entries, gateways: Mapping[str, str]) -> Iterator[Left]:
    """The routes that are left. ``known``: what is described; ``gateways``: by what leads to them."""
    looked_after = dict.fromkeys(known)
    over: dict[str, str] = {}
    for one in looked_after:
        over |= {network: one for network in networks(one, lists) if network not in over}
    for table in tables:
        for destination, route in routes_of(table).items():
            target = target_of(route)
            if target not in gateways or destination in looked_after:
                continue
            of_its = [
                next((over[wider] for wider in around(network) if wider in over), "")
                for network in networks(destination, lists)
            ]
            within = tuple(dict.fromkeys(of_its)) if all(of_its) else ()  # of a list all its entries
            yield Left(str(table["RouteTableId"]), destination, target, gateways[target], within)


def of(tables: Iterable[Item], interfaces: Iterable[Item], deployment: Deployment) -> Iterator[Left]:
    """The routes that are left, as one read of EC2 shows them. Lists of no site count as if nothing were in them."""
    entries = {listed: prefixes for site in deployment.sites for listed, prefixes in site.prefix_lists.items()}
    return left(tables, described(deployment), entries, targets(interfaces, deployment))


def carried_to(destination: str, have: Mapping[str, Item], lists: Entries, gateways: Iterable[str]) -> str:
    """What packets to a destination without a route lead to now, if that is one gateway of the deployment, else "".

    A new route leads there as well, so that nothing moves. Routes for parts of it count first: they remain beside it.
    ``gateways``: what leads to them.
    """
    wanted = set(networks(destination, lists))
    wider = {each: len(around(each)) for network in wanted for each in around(network)[1:]}
    parts, over = set(), {}
    ours = set(gateways)
    for other, route in have.items():
        target = target_of(route)
        for network in networks(other, lists) if target in ours else ():
            if not wanted.isdisjoint(around(network)):
                parts.add(target)
            elif network in wider:
                over[wider[network]] = target  # how long its prefix is
    if not parts and over:
        parts = {over[max(over)]}
    return parts.pop() if len(parts) == 1 else ""


def facts(
    found: Iterable[Left], sites: Mapping[str, str], made: Mapping[str, str] | None = None, named: int | None = None
) -> dict[tuple[str, str], tuple[str, str]]:
    """What to tell people of each destination and gateway: what is so, and what to do, neither with its full stop.

    ``sites``: see `described`, by now, as ``found`` may be of an older description; ``made``: the sites of the
    deployment's prefix lists, by their ids; ``named``: the most tables that are named.
    """
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for one in found:
        groups.setdefault((one.destination, one.gateway, one.within), []).append(one.table_id)
    told: dict[tuple[str, str], tuple[str, str]] = {}
    for (destination, gateway, within), tables in groups.items():
        of_list = (made or {}).get(destination)
        name = f"{destination} ({of_list})" if of_list is not None else destination
        fact = (
            f"{name} leads to {gateway} in {_named(tables, named)}, and is not described, so that no monitor moves it"
        )
        removes = "the deploy playbook removes it with vpnha_remove_covered_routes where"
        over = [f"{one} ({sites[one]})" for one in within if one in sites]
        if over:
            fact += f", though it takes packets of {', '.join(over)}"
            told[destination, gateway] = fact, f"{removes} both lead to the same gateway"
        elif of_list is not None:
            advice = f"{removes} described routes that lead to the same gateway are for all its entries"
            told[destination, gateway] = fact, advice
        elif too_wide(destination):
            told[destination, gateway] = fact, "its packets stop with the gateway"
        else:
            advice = "describe it as a prefix of a site, or delete the route if nobody needs it"
            told[destination, gateway] = fact, advice
    return told


def sentences(found: Iterable[Left], sites: Mapping[str, str], made: Mapping[str, str] | None = None) -> list[str]:
    """The same, a sentence for each."""
    return [f"{fact}; {advice}." for fact, advice in facts(found, sites, made).values()]


def too_wide(destination: str) -> bool:
    """Whether it can be no prefix of a site: who sends the internet's packets through a gateway does so knowingly."""
    return not destination.startswith("pl-") and int(destination.rpartition("/")[2]) < WIDEST_PREFIX[":" in destination]


def _named(tables: list[str], most: int | None) -> str:
    shown = sorted(tables)[:most]
    return ", ".join(shown) + (f" and {len(tables) - len(shown)} more" if len(shown) < len(tables) else "")
