# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the removal of a deployment would cut off: others in the VPC and subnets that it made, or on its way out.

EC2 deletes no subnet with an interface in it, but only says so when the routes of that subnet are gone already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import ec2, tags
from .endpoints import made_filters, state_of
from .errors import VpnhaError
from .items import Item
from .network import PUBLIC, is_of, read_by
from .network_adoption import is_made

_NAMED = 10  # so many are named, more are counted


def refuse_others(client: Any, deployment: str, tables: Sequence[Item]) -> None:
    """Raises VpnhaError where somebody else's interface is in the way, before anything is changed; else Ec2Error.

    ``tables``: the deployment's. Those of its zones do not count: without them their subnets only lose the sites.
    """
    made = made_filters(deployment)
    vpcs = ec2.pages(client, "describe_vpcs", "Vpcs", "reading the VPC that was made", Filters=made)
    subnets = ec2.pages(client, "describe_subnets", "Subnets", "reading the subnets that were made", Filters=made)
    endpoints = ec2.pages(client, "describe_vpc_endpoints", "VpcEndpoints", "reading the endpoints", Filters=made)
    on_the_way = {
        str(association["SubnetId"])
        for table in tables
        if is_made(table.get("Tags"), deployment) and is_of(table, deployment, PUBLIC)
        for association in table.get("Associations", ())
        if association.get("SubnetId")
    }
    places = {
        "vpc-id": [str(vpc["VpcId"]) for vpc in vpcs],
        "subnet-id": sorted({*on_the_way, *(str(subnet["SubnetId"]) for subnet in subnets)}),
    }
    found = {
        str(eni["NetworkInterfaceId"]): eni
        for name, values in places.items()
        for eni in read_by(
            client,
            "describe_network_interfaces",
            "NetworkInterfaces",
            "reading who is in what was made",
            name=name,
            values=values,
        )
    }
    _refuse_stranded(client, deployment, endpoints)
    ours = {str(eni_id) for endpoint in endpoints for eni_id in endpoint.get("NetworkInterfaceIds", ())}
    others = [eni for eni_id, eni in sorted(found.items()) if eni_id not in ours and not _is_ours(eni, deployment)]
    if others:
        raise VpnhaError(_sentence(deployment, others))


def _refuse_stranded(client: Any, deployment: str, endpoints: Sequence[Item]) -> None:
    """Raises VpnhaError where other deployments' monitors have no way to EC2 but an endpoint of ours.

    With its private DNS no other deployment of the VPC can have one of its own.
    """
    for endpoint in endpoints:
        serves = endpoint.get("PrivateDnsEnabled") and state_of(endpoint) not in ("deleting", "deleted")
        if not serves or not str(endpoint["ServiceName"]).endswith(".ec2"):
            continue
        monitors = ec2.pages(
            client, "describe_network_interfaces", "NetworkInterfaces", "reading who uses the endpoint for EC2",
            Filters=[
                {"Name": "vpc-id", "Values": [str(endpoint["VpcId"])]},
                {"Name": f"tag:{tags.ROLE}", "Values": ["monitor"]},
            ],
        )  # fmt: skip
        cut = [eni for eni in monitors if not _is_ours(eni, deployment) and not eni.get("Association")]
        if cut:
            raise VpnhaError(
                f"Monitors without a public address reach EC2 by {deployment}'s endpoint {endpoint['VpcEndpointId']}, "
                f"and could move no route without it: {', '.join(_named(eni) for eni in cut[:_NAMED])}. Give them "
                f"Elastic IPs until their own deploy has made an endpoint, or take the tag {tags.MADE} off this one "
                "and its security group, which then stay. Nothing was removed."
            )


def _is_ours(eni: Item, deployment: str) -> bool:
    return tags.to_dict(eni.get("TagSet")).get(tags.DEPLOYMENT) == deployment


def _sentence(deployment: str, others: Sequence[Item]) -> str:
    named = ", ".join(_named(eni) for eni in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return (
        f"Others are in the VPC or the subnets that were made for {deployment}, or reach the internet by its route "
        f"table, and would be cut off: {named}{more}. Remove them first, or take the tag {tags.MADE} off the VPC, the "
        "subnets, the internet gateway and the route table that shall stay for them. Nothing was removed."
    )


def _named(eni: Item) -> str:
    tag = tags.to_dict(eni.get("TagSet"))
    words = [tag.get("Name") or str(eni.get("Description") or "")]
    words += [f"of the deployment {tag[tags.DEPLOYMENT]}"] if tags.DEPLOYMENT in tag else []
    said = " ".join(word for word in words if word)
    return f"{eni['NetworkInterfaceId']} in {eni['SubnetId']}{f' ({said})' if said else ''}"
