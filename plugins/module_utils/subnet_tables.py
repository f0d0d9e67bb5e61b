# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which route table each subnet of a VPC uses: the one that it is associated with, else the VPC's main one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import ec2
from .items import Item, table_of


def read(client: Any, vpc_id: str) -> list[dict[str, Any]]:
    """The subnets of a VPC, as `of` gives them. Raises Ec2Error."""
    in_vpc = [{"Name": "vpc-id", "Values": [vpc_id]}]
    tables = ec2.pages(
        client, "describe_route_tables", "RouteTables", "reading the VPC's route tables", Filters=in_vpc, MaxResults=100
    )
    subnets = ec2.pages(client, "describe_subnets", "Subnets", "reading the subnets", Filters=in_vpc, MaxResults=1000)
    return of(subnets, tables)


def of(subnets: Sequence[Item], tables: Sequence[Item]) -> list[dict[str, Any]]:
    """The subnets, by their ids. ``tables`` are all of the VPC: a table of somebody else's takes a subnet from ours."""
    found = []
    for subnet in sorted(subnets, key=lambda one: str(one["SubnetId"])):
        table, associated = table_of(subnet["SubnetId"], tables)
        found.append(
            {
                "id": subnet["SubnetId"],
                "zone": subnet["AvailabilityZone"],
                "cidrs": [subnet["CidrBlock"], *_ipv6(subnet)] if subnet.get("CidrBlock") else _ipv6(subnet),
                "route_table_id": table["RouteTableId"] if table is not None else None,
                "associated": associated,
            }
        )
    return found


def _ipv6(subnet: Item) -> list[str]:
    return [
        str(each["Ipv6CidrBlock"])
        for each in subnet.get("Ipv6CidrBlockAssociationSet", ())
        if each.get("Ipv6CidrBlockState", {}).get("State") == "associated"
    ]
