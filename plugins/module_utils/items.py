# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What EC2's route tables, routes and network interfaces say, as boto3 gives them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import tags

Item = Mapping[str, Any]  # one thing as boto3 gives it


def destination_of(route: Item) -> str:
    """What a route is for: an IPv4 CIDR, an IPv6 CIDR or a prefix list id."""
    for name in ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"):
        if route.get(name):
            return str(route[name])
    return ""


def target_of(route: Item) -> str:
    """What a route points at, for people. The ENI comes first: EC2 names the instance beside it."""
    for name in (
        "NetworkInterfaceId", "InstanceId", "GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId",
        "EgressOnlyInternetGatewayId", "LocalGatewayId", "CarrierGatewayId", "CoreNetworkArn",
    ):  # fmt: skip
        if route.get(name):
            return str(route[name])
    return "nothing"


def routes_of(table: Item) -> dict[str, Item]:
    """A table's routes by destination. What a virtual private gateway propagates is left out: no call changes it."""
    return {destination_of(route): route for route in table.get("Routes", ()) if not is_propagated(route)}


def is_propagated(route: Item) -> bool:
    """Whether a virtual private gateway has put the route there by itself."""
    return bool(route.get("Origin") == "EnableVgwRoutePropagation")


def table_of(subnet_id: str, tables: Iterable[Item]) -> tuple[Item | None, bool]:
    """The route table that a subnet uses of all those of its VPC, and whether by an association of its own."""
    main: Item | None = None
    for table in tables:
        for association in table.get("Associations", ()):
            if association.get("SubnetId") == subnet_id:
                return table, True
            if association.get("Main"):
                main = table
    return main, False


def edge_of(table: Item) -> str:
    """Why a table cannot have routes to sites if it is a gateway's own, an edge table, else an empty string.

    EC2 lets such a table have no route to what is outside the VPC, and none for a prefix list
    (https://docs.aws.amazon.com/vpc/latest/userguide/gateway-route-tables.html).
    """
    gateways = sorted(str(each["GatewayId"]) for each in table.get("Associations", ()) if each.get("GatewayId"))
    if not gateways:
        return ""
    return (
        f"{table['RouteTableId']} is the edge table of {' and '.join(gateways)}, which can have no route out of the "
        f"VPC and so none to a site; remove {tags.DEPLOYMENT} and {tags.TABLE} from it."
    )


def zone_of_table(table: Item, subnet_zones: Mapping[str, str], known: Sequence[str]) -> tuple[str | None, str]:
    """The zone whose subnets use a table, or None and a sentence that says why it is not looked after.

    The tag `vpnha:zone` decides; without it the zones of the associated subnets do, if they are one.
    """
    table_id = table["RouteTableId"]
    if edge := edge_of(table):
        return None, edge
    zone = tags.to_dict(table.get("Tags")).get(tags.ZONE)
    if zone is not None:
        if zone in known:
            return zone, ""
        return None, f"{table_id}: {tags.ZONE} says {zone}, which is no zone of the deployment ({', '.join(known)})."
    associations = table.get("Associations", ())
    if any(association.get("Main") for association in associations):
        return None, (
            f"{table_id} is the VPC's main route table, used by every subnet without one of its own; "
            f"tag it {tags.ZONE} with the zone whose home gateway it shall use."
        )
    zones = {subnet_zones.get(association.get("SubnetId", ""), "") for association in associations} - {""}
    if len(zones) == 1 and zones <= set(known):
        return zones.pop(), ""
    if len(zones) > 1:
        why = (
            f"{table_id} is shared by subnets of {' and '.join(sorted(zones))}; "
            f"tag it {tags.ZONE} with the zone whose home gateway it shall use."
        )
    elif not zones:
        why = f"{table_id} has no associated subnet to tell its zone by; tag it {tags.ZONE}."
    else:
        why = f"{table_id} belongs to {zones.pop()}, which is no zone of the deployment ({', '.join(known)})."
    return None, why


def gateway_of_interface(interface: Item) -> str:
    """The gateway that an ENI belongs to, by its tag; "" if none."""
    return tags.to_dict(interface.get("TagSet")).get(tags.GATEWAY, "")
