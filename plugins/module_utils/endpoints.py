# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VPC endpoints: the monitors' way to AWS's APIs that needs no internet. What is wanted, what EC2 has, what forbids it.

One with private DNS that somebody else has made for the same service serves as well, and none of ours can be beside it.
Making and removing is in ``endpoints_build``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import ec2, tags
from .items import Item

GATEWAY = "dynamodb"  # by routes, for nothing; all others by interfaces, billed by zone and hour
SERVICES = ("ec2", "sts", "monitoring", "sns", "secretsmanager", "ssm", GATEWAY)
_GONE = ("deleting", "deleted")
_DEAD = ("failed", "rejected", "expired")
_DNS = ("enableDnsSupport", "enableDnsHostnames")


@dataclass(frozen=True)
class Wanted:
    """The endpoints of a deployment."""

    deployment: str
    vpc_id: str
    services: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()  # where interfaces are made: one for each zone of the monitors
    tables: tuple[str, ...] = ()  # the route tables of these subnets

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The services that are reached by interfaces."""
        return tuple(service for service in self.services if service != GATEWAY)

    @property
    def group_name(self) -> str:
        """Of the security group of these interfaces."""
        return f"{self.deployment}-endpoint"


@dataclass(frozen=True)
class Seen:
    """What EC2 has, as boto3 gives it. Without anything wanted or made, only that there are no endpoints of ours."""

    region: str = ""
    endpoints: Sequence[Item] = ()  # of the VPC, those too that are going
    offers: Sequence[Item] = ()  # what the region offers, where one is to be made
    group: Item | None = None
    cidrs: tuple[str, ...] = ()  # the VPC's
    dns: Mapping[str, bool] = field(default_factory=dict)  # its attributes

    def _of(self, service: str) -> list[Item]:
        kind = "gateway" if service == GATEWAY else "interface"
        return [
            one
            for one in self.endpoints
            if is_for(str(one["ServiceName"]), self.region, service)
            and str(one.get("VpcEndpointType", "")).lower() == kind
            and state_of(one) not in _GONE
        ]

    def ours(self, deployment: str, service: str) -> Item | None:
        """The endpoint that was made for a deployment."""
        return next((one for one in self._of(service) if made_for(one, deployment)), None)

    def served_by(self, deployment: str, service: str) -> str:
        """The id of somebody else's endpoint by which a service's own name leads there, if there is one."""
        for one in self._of(service):
            if not made_for(one, deployment) and one.get("PrivateDnsEnabled") and state_of(one) not in _DEAD:
                return str(one["VpcEndpointId"])
        return ""

    def routed(self, deployment: str) -> dict[str, str]:
        """The route tables with a route to somebody else's gateway endpoint, and its id."""
        return {
            str(table): str(one["VpcEndpointId"])
            for one in self._of(GATEWAY)
            if not made_for(one, deployment) and state_of(one) not in _DEAD
            for table in one.get("RouteTableIds", ())
        }

    def offer(self, service: str) -> Item | None:
        """What the region offers for a service."""
        kind = "Gateway" if service == GATEWAY else "Interface"
        for one in self.offers:
            kinds = [each["ServiceType"] for each in one.get("ServiceType", ())]
            if kind in kinds and is_for(str(one["ServiceName"]), self.region, service):
                return one
        return None


def read(client: Any, wanted: Wanted) -> Seen:
    """Reads what `problems` and the building need: one call where nothing is wanted and nothing was made.

    Raises Ec2Error.
    """
    in_vpc = [{"Name": "vpc-id", "Values": [wanted.vpc_id]}]
    region = str(client.meta.region_name)
    endpoints = ec2.pages(
        client, "describe_vpc_endpoints", "VpcEndpoints", "reading the VPC's endpoints", Filters=in_vpc
    )
    seen = Seen(region, endpoints)
    if not wanted.services and not any(made_for(one, wanted.deployment) for one in endpoints):
        return seen
    vpcs = ec2.pages(client, "describe_vpcs", "Vpcs", "reading the VPC", Filters=in_vpc)
    groups = ec2.pages(
        client, "describe_security_groups", "SecurityGroups", "reading the endpoints' security group",
        Filters=[*in_vpc, *made_filters(wanted.deployment), {"Name": "group-name", "Values": [wanted.group_name]}],
    )  # fmt: skip
    missing = [each for each in wanted.services if seen.ours(wanted.deployment, each) is None]
    offers = ec2.pages(
        client, "describe_vpc_endpoint_services", "ServiceDetails", "reading which endpoints the region offers"
    ) if missing else []  # fmt: skip
    return Seen(
        region=region,
        endpoints=endpoints,
        offers=offers,
        group=groups[0] if groups else None,
        cidrs=tuple(
            str(block["CidrBlock"])
            for vpc in vpcs
            for block in vpc.get("CidrBlockAssociationSet", ())
            if block.get("CidrBlockState", {}).get("State", "associated") == "associated"
        ),
        dns={name: _attribute(client, wanted.vpc_id, name) for name in _DNS} if vpcs and wanted.interfaces else {},
    )


def _attribute(client: Any, vpc_id: str, name: str) -> bool:
    answer = ec2.call(
        "reading the VPC's attributes", partial(client.describe_vpc_attribute, VpcId=vpc_id, Attribute=name)
    )
    return bool(answer[name[0].upper() + name[1:]]["Value"])


# --- Pure from here ------------------------------------------------------------------------------------------------


def is_for(name: str, region: str, service: str) -> bool:
    """Whether an endpoint's service name is that of a service; what it begins with depends on the partition."""
    return name.endswith(f".{region}.{service}")


def state_of(endpoint: Item) -> str:
    """EC2's word for how an endpoint is; its documentation and its answers differ in capitals."""
    return str(endpoint.get("State", "")).lower()


def made_for(item: Item, deployment: str) -> bool:
    """Whether it was made for a deployment."""
    return tags.to_dict(item.get("Tags")).get(tags.MADE) == deployment


def made_filters(deployment: str) -> list[dict[str, Any]]:
    """Filters for what was made for a deployment."""
    return [{"Name": f"tag:{tags.MADE}", "Values": [deployment]}]


def problems(wanted: Wanted, seen: Seen, zones: Mapping[str, str]) -> list[str]:
    """Every reason to refuse, one sentence each. ``zones``: by subnet id."""
    out = []
    off = [name for name, on in seen.dns.items() if not on]
    if off:
        out.append(
            f"{wanted.vpc_id} has {' and '.join(off)} switched off, so that the names of AWS's APIs would not lead to "
            "its endpoints; switch that on (ModifyVpcAttribute), or want no endpoints but dynamodb."
        )
    for service in wanted.services:
        mine = seen.ours(wanted.deployment, service)
        if mine is not None:
            if state_of(mine) in _DEAD:
                out.append(
                    f"The endpoint {mine['VpcEndpointId']} for {service} is {state_of(mine)}; delete it, and run this "
                    "again."
                )
            continue
        if service != GATEWAY and seen.served_by(wanted.deployment, service):
            continue
        offer = seen.offer(service)
        if offer is None:
            out.append(f"{seen.region} offers no endpoint for {service}; want none for it.")
            continue
        there = offer.get("AvailabilityZones", ())
        lacking = sorted({zones[subnet] for subnet in wanted.subnets if zones.get(subnet, "") not in ("", *there)})
        if service != GATEWAY and lacking:
            out.append(
                f"{offer['ServiceName']} has no endpoint in {', '.join(lacking)}, where a monitor is; place the "
                f"monitor in {', '.join(there)}, or want none for {service}."
            )
    return out
