# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the monitors would move the zones of a lost gateway while all others are well, for a drill that does so.

The order is that of ``moves``. Which gateways it is of follows here from the description alone, there from all that a
monitor sees; a test holds the two together. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .model import Deployment, Gateway, ManagedGateway
from .moves import rank

Spot = tuple[str, str, str]  # of a route: its zone, its site, the gateway that it leads to


def takers(deployment: Deployment, lost: str, standing: Mapping[str, Any]) -> dict[str, str]:
    """By zone whose home is the lost gateway: the one that takes over; none where there is no other.

    ``standing`` is what the module vpn_ha_info returns. Without route tables in it each zone counts as one table.
    """
    others = [one for one in deployment.targets if one.name != lost and _takes_all(deployment, one)]
    spots = list(_shown(standing)) or list(_described(deployment))
    load = Counter(gateway for _zone, _site, gateway in spots)
    found: dict[str, str] = {}
    for zone in sorted(one.name for one in deployment.zones if _home(deployment, one.name) == lost) if others else ():
        sites = Counter(site for its, site, _gateway in spots if its == zone)
        taker = min(rank(deployment, zone, one, load[one.name] + sites.total()) for one in others)[-1]
        found[zone] = taker
        load[taker] += sites.total()
    return found


def moves(found: Mapping[str, str]) -> list[dict[str, Any]]:
    """The same by gateway, as plain data."""
    return [
        {"gateway": gateway, "zones": [zone for zone, taker in found.items() if taker == gateway]}
        for gateway in dict.fromkeys(found.values())
    ]


def text(found: Sequence[Mapping[str, Any]]) -> str:
    """The moves for people."""
    if len(found) == 1:
        return str(found[0]["gateway"])
    return " and ".join(f"{one['gateway']} ({', '.join(one['zones'])})" for one in found)


def _takes_all(deployment: Deployment, one: Gateway | ManagedGateway) -> bool:
    """A last resort is for when nothing else is up, and a managed gateway only for sites that are probed through it."""
    if isinstance(one, Gateway):
        return True
    return not one.last_resort and {site.name for site in deployment.sites} <= {probe.site for probe in one.probes}


def _home(deployment: Deployment, zone: str) -> str:
    home = deployment.home(zone)
    return home.name if home is not None else ""


def _shown(standing: Mapping[str, Any]) -> Iterable[Spot]:
    for table in standing.get("route_tables", ()):
        for route in table["routes"]:
            yield table["zone"], route["site"] or "", route["gateway"] or ""


def _described(deployment: Deployment) -> Iterable[Spot]:
    for zone in deployment.zones:
        for site in deployment.sites:
            for _destination in site.destinations:
                yield zone.name, site.name, _home(deployment, zone.name)
