# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module gateway_network wants, and what EC2 has.

`Network` is wanted, `read` gives what is `Found`. What forbids the one to become the other is in ``network_problems``,
making it so in ``network_build``, removing it in ``network_removal``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import ec2, prefix_lists, tags
from .ec2_view import read_instances
from .endpoints import Seen as EndpointsSeen
from .endpoints import Wanted as EndpointsWanted
from .endpoints import read as read_endpoints
from .items import Item, destination_of, table_of
from .prefix_lists import Key, PrefixList, SiteList

APP = "app"
PUBLIC = "public"
_VALUES = 150  # of a filter in one call; EC2 allows 200 in all of a call's filters


@dataclass(frozen=True)
class Interface:
    """The first network interface of a host; it outlives the host's instance."""

    name: str  # of the host, unique in the deployment
    role: str  # "gateway", "monitor" or "app"
    subnet_id: str
    address: str
    security_groups: tuple[str, ...]
    elastic_ip: bool
    ipv6: bool = False  # whether it shall have an address of IPv6, whichever EC2 gives it

    @property
    def check(self) -> bool:
        """The source/destination check: off where packets of others are forwarded."""
        return self.role != "gateway"


@dataclass(frozen=True)
class ZoneTables:
    """The subnets of a zone whose route tables lead to its home gateway."""

    zone: str
    subnets: tuple[str, ...]
    gateway: str


@dataclass(frozen=True)
class Managed:
    """A managed gateway, and the addresses that the monitors probe through it."""

    name: str
    vpn_gateway: str
    probes: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """What gateway_network shall see to."""

    deployment: str
    vpc_id: str
    interfaces: tuple[Interface, ...] = ()
    zones: tuple[ZoneTables, ...] = ()
    destinations: tuple[str, ...] = ()
    prefix_lists: tuple[SiteList, ...] = ()
    public_subnets: tuple[str, ...] = ()
    internet_gateway: str | None = None
    adopt: bool = False  # tag route tables that subnets already have, instead of refusing them
    managed: tuple[Managed, ...] = ()
    endpoints: tuple[str, ...] = ()  # the services that monitors reach by VPC endpoints

    @property
    def probed_from(self) -> tuple[str, ...]:
        """The monitors' subnets, from which managed gateways are probed."""
        return tuple(dict.fromkeys(one.subnet_id for one in self.interfaces if one.role == "monitor"))

    def wanted_endpoints(self, tables: Iterable[str] = ()) -> EndpointsWanted:
        """The VPC endpoints; ``tables`` are those that the monitors' subnets use."""
        return EndpointsWanted(
            self.deployment, self.vpc_id, self.endpoints, self.probed_from, tuple(dict.fromkeys(tables))
        )


@dataclass(frozen=True)
class Found:
    """What EC2 has, as boto3 gives it."""

    subnets: Sequence[Item]
    interfaces: Sequence[Item]  # of the deployment, in any VPC
    taken: Sequence[Item]  # whatever has one of the wanted addresses in the VPC
    addresses: Sequence[Item]  # Elastic IPs of the deployment
    tables: Sequence[Item]  # all route tables of the VPC
    vpn_gateways: Sequence[Item] = ()  # those of the managed gateways
    instances: Sequence[Item] = ()  # of the deployment, and those that have one of its interfaces
    prefix_lists: Mapping[Key, PrefixList] = field(default_factory=dict)  # of the deployment
    endpoints: EndpointsSeen = field(default_factory=EndpointsSeen)

    def interface(self, name: str) -> Item | None:
        """The deployment's ENI of a host."""
        for eni in self.interfaces:
            if tags.to_dict(eni.get("TagSet")).get("Name") == name:
                return eni
        return None

    def table_of(self, subnet_id: str) -> tuple[Item | None, bool]:
        """The route table that a subnet uses, and whether by an association of its own."""
        return table_of(subnet_id, self.tables)

    def subnet_zones(self) -> dict[str, str]:
        """Zone by subnet id."""
        return {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in self.subnets}


def read(client: Any, network: Network) -> Found:
    """Reads what `problems` and the building need. Raises Ec2Error."""
    mine = tags.filters(network.deployment)
    in_vpc = [{"Name": "vpc-id", "Values": [network.vpc_id]}]
    wanted = sorted(
        {
            *network.public_subnets,
            *(i.subnet_id for i in network.interfaces),
            *(s for z in network.zones for s in z.subnets),
        }
    )
    taken = read_by(
        client, "describe_network_interfaces", "NetworkInterfaces", "reading who has the wanted addresses",
        name="addresses.private-ip-address", values=[i.address for i in network.interfaces], within=in_vpc,
    )  # fmt: skip
    tables = ec2.pages(client, "describe_route_tables", "RouteTables", "reading the VPC's route tables", Filters=in_vpc)
    interfaces = ec2.pages(
        client, "describe_network_interfaces", "NetworkInterfaces", "reading the network interfaces", Filters=mine
    )
    return Found(
        subnets=read_by(client, "describe_subnets", "Subnets", "reading the subnets", name="subnet-id", values=wanted)
        if wanted else ec2.pages(client, "describe_subnets", "Subnets", "reading the subnets", Filters=in_vpc),
        interfaces=interfaces,
        taken=taken,
        addresses=ec2.call("reading the Elastic IPs", lambda: client.describe_addresses(Filters=mine))["Addresses"],
        tables=tables,
        vpn_gateways=ec2.pages(
            client, "describe_vpn_gateways", "VpnGateways", "reading the virtual private gateways",
            Filters=[{"Name": "vpn-gateway-id", "Values": [one.vpn_gateway for one in network.managed]}],
        ) if network.managed else (),
        instances=_read_instances(client, mine, interfaces) if network.interfaces else (),
        prefix_lists=prefix_lists.read(client, network.deployment)
        if network.prefix_lists or prefix_lists.named_by(tables) else {},
        endpoints=read_endpoints(client, network.wanted_endpoints()),
    )  # fmt: skip


def read_by(
    client: Any, operation: str, key: str, doing: str, *, name: str, values: Sequence[str], within: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """What a Describe call shows for any of the values of a filter, however many they are. Raises Ec2Error.

    ``within``: further filters.
    """
    return [
        item
        for start in range(0, len(values), _VALUES)
        for item in ec2.pages(
            client, operation, key, doing, Filters=[*within, {"Name": name, "Values": values[start : start + _VALUES]}]
        )
    ]


def _read_instances(client: Any, mine: list[dict[str, Any]], interfaces: Sequence[Item]) -> list[dict[str, Any]]:
    """The deployment's instances, and those with one of its interfaces that lack its tags. Raises Ec2Error."""
    found = read_instances(client, mine)
    known = {one["InstanceId"] for one in found}
    used = {str((eni.get("Attachment") or {}).get("InstanceId", "")) for eni in interfaces}
    others = sorted(used - known - {""})
    for start in range(0, len(others), _VALUES):
        found += read_instances(client, [{"Name": "instance-id", "Values": others[start : start + _VALUES]}])
    return found


# --- Pure from here ------------------------------------------------------------------------------------------------


def is_of(item: Item, deployment: str, kind: str | None = None) -> bool:
    """Whether a route table belongs to a deployment, and is of a kind."""
    tag = tags.to_dict(item.get("Tags"))
    return tag.get(tags.DEPLOYMENT) == deployment and (kind is None or tag.get(tags.TABLE) == kind)


def leads_to_internet(table: Item) -> bool:
    """Whether a table's default route is an internet gateway."""
    return any(
        destination_of(route) == "0.0.0.0/0" and str(route.get("GatewayId", "")).startswith("igw-")
        for route in table.get("Routes", ())
    )


def wanted_tags(network: Network, name: str, role: str) -> Mapping[str, str]:
    """The tags of a host's interface and Elastic IP."""
    tag = {"Name": name, tags.DEPLOYMENT: network.deployment, tags.MADE: network.deployment, tags.ROLE: role}
    return tag | {tags.GATEWAY: name} if role == "gateway" else tag
