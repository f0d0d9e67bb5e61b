# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose gateway the packets of a drill's application hosts take, by the route tables of the hosts' subnets.

The tag ``vpnha:zone`` may give a table the gateway of another zone than that of its subnets. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

NOWHERE = ""  # in place of a zone: the table is not looked after, and no gateway of ours is known to take its packets


@dataclass(frozen=True)
class Placed:
    """What is known of the hosts."""

    zones: Mapping[str, str]  # by host: the zone of the table that its packets take, where it is known
    notes: tuple[str, ...]  # one sentence for each host whose table is not what one would think, or not known


def place(
    hosts: Sequence[str], addresses: Mapping[str, str], described: Mapping[str, str], standing: Mapping[str, Any]
) -> Placed:
    """Where the hosts' packets go. ``described``: the zone of each host that the description names.

    ``standing`` is what the module vpn_ha_info returns with ``subnets``. A host whose subnet is not found is taken to
    be where it is described.
    """
    tables = {table["id"]: table["zone"] for table in standing.get("route_tables", ())}
    zones: dict[str, str] = {}
    notes: list[str] = []
    for host in hosts:
        subnet = _subnet(addresses.get(host, ""), standing.get("subnets", ()))
        where = described.get(host)
        if subnet is None:
            notes.append(_unknown(host, addresses.get(host, ""), where))
            if where is not None:
                zones[host] = where
            continue
        table = subnet["route_table_id"]
        zones[host] = tables.get(table, NOWHERE)
        uses = f"{host} is in {subnet['id']} ({subnet['zone']}), whose route table {table}"
        if table not in tables:
            notes.append(f"{uses} is not looked after, so its packets are taken to use no gateway of the deployment.")
        elif tables[table] != (where or subnet["zone"]):
            notes.append(f"{uses} leads to the home gateway of {tables[table]}.")
    return Placed(zones, tuple(notes))


def _subnet(address: str, subnets: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    try:
        wanted = ip_address(address)
    except ValueError:  # a name, or none
        return None
    return next((one for one in subnets if any(wanted in ip_network(cidr) for cidr in one["cidrs"])), None)


def _unknown(host: str, address: str, described: str | None) -> str:
    why = f"{address} is in no subnet that EC2 shows of the VPC" if address else "no address of it is known"
    taken = f"it is taken to use the gateway of {described}, where it is described" if described else (
        "which gateway its packets use is seen only when they are sent"
    )  # fmt: skip
    return f"The subnet of {host} is not known ({why}): {taken}."
