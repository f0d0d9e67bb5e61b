# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module gateway_network wants, what EC2 has, and what forbids the one to become the other.

`Network` is wanted, `read` gives what is `Found`, `problems` are the reasons to refuse before anything changes.
Making it so is in ``network_build``, removing it in ``network_removal``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import ec2, network_adoption, prefix_lists, tags
from .ec2_view import Item, destination_of, edge_of, read_instances, routes_of, target_of, zone_of_table
from .endpoints import Seen as EndpointsSeen
from .endpoints import Wanted as EndpointsWanted
from .endpoints import problems as endpoint_problems
from .endpoints import read as read_endpoints
from .prefix_lists import PrefixList, SiteList

APP = "app"
PUBLIC = "public"


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
    taken: Sequence[Item]  # whatever has one of the wanted addresses in one of the wanted subnets
    addresses: Sequence[Item]  # Elastic IPs of the deployment
    tables: Sequence[Item]  # all route tables of the VPC
    vpn_gateways: Sequence[Item] = ()  # those of the managed gateways
    instances: Sequence[Item] = ()  # of the deployment, and those that have one of its interfaces
    prefix_lists: Mapping[str, PrefixList] = field(default_factory=dict)  # of the deployment, by site
    endpoints: EndpointsSeen = field(default_factory=EndpointsSeen)

    def interface(self, name: str) -> Item | None:
        """The deployment's ENI of a host."""
        for eni in self.interfaces:
            if tags.to_dict(eni.get("TagSet")).get("Name") == name:
                return eni
        return None

    def table_of(self, subnet_id: str) -> tuple[Item | None, bool]:
        """The route table that a subnet uses, and whether by an association of its own."""
        main: Item | None = None
        for table in self.tables:
            for association in table.get("Associations", ()):
                if association.get("SubnetId") == subnet_id:
                    return table, True
                if association.get("Main"):
                    main = table
        return main, False

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
    taken: list[dict[str, Any]] = []
    if network.interfaces:
        taken = ec2.pages(
            client, "describe_network_interfaces", "NetworkInterfaces", "reading who has the wanted addresses",
            Filters=[
                {"Name": "subnet-id", "Values": sorted({i.subnet_id for i in network.interfaces})},
                {"Name": "addresses.private-ip-address", "Values": [i.address for i in network.interfaces]},
            ],
        )  # fmt: skip
    tables = ec2.pages(client, "describe_route_tables", "RouteTables", "reading the VPC's route tables", Filters=in_vpc)
    interfaces = ec2.pages(
        client, "describe_network_interfaces", "NetworkInterfaces", "reading the network interfaces", Filters=mine
    )
    return Found(
        subnets=ec2.pages(
            client, "describe_subnets", "Subnets", "reading the subnets",
            Filters=[{"Name": "subnet-id", "Values": wanted}] if wanted else in_vpc,
        ),
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


def _read_instances(client: Any, mine: list[dict[str, Any]], interfaces: Sequence[Item]) -> list[dict[str, Any]]:
    """The deployment's instances, and those with one of its interfaces that lack its tags. Raises Ec2Error."""
    found = read_instances(client, mine)
    known = {one["InstanceId"] for one in found}
    used = {str((eni.get("Attachment") or {}).get("InstanceId", "")) for eni in interfaces}
    others = sorted(used - known - {""})
    return found + (read_instances(client, [{"Name": "instance-id", "Values": others}]) if others else [])


# --- Pure from here ------------------------------------------------------------------------------------------------


def is_of(item: Item, deployment: str, kind: str | None = None) -> bool:
    """Whether a route table belongs to a deployment, and is of a kind."""
    tag = tags.to_dict(item.get("Tags"))
    return tag.get(tags.DEPLOYMENT) == deployment and (kind is None or tag.get(tags.TABLE) == kind)


def own_routes(table: Item) -> list[str]:
    """The routes of a table that a new table would lack, each "destination -> target"."""
    return [
        f"{destination_of(route)} -> {target_of(route)}"
        for route in table.get("Routes", ())
        if route.get("GatewayId") != "local"
    ]


def leads_to_internet(table: Item) -> bool:
    """Whether a table's default route is an internet gateway."""
    return any(
        destination_of(route) == "0.0.0.0/0" and str(route.get("GatewayId", "")).startswith("igw-")
        for route in table.get("Routes", ())
    )


def problems(network: Network, found: Found) -> list[str]:
    """Every reason to refuse, one sentence each; empty if nothing forbids the work."""
    return [
        *_elsewhere(network, found),
        *network_adoption.problems(
            network.deployment, [one.name for one in network.interfaces], found.interfaces, found.instances
        ),
        *_subnet_problems(network, found),
        *_interface_problems(network, found),
        *_public_problems(network, found),
        *_app_problems(network, found),
        *_managed_problems(network, found),
        *endpoint_problems(network.wanted_endpoints(), found.endpoints, found.subnet_zones()),
    ]


def _elsewhere(network: Network, found: Found) -> list[str]:
    return [
        f"{tags.to_dict(eni.get('TagSet')).get('Name', 'a host')} is in another VPC: its interface "
        f"{eni['NetworkInterfaceId']} is in {eni['VpcId']}, not in {network.vpc_id}; tear that down first, or give "
        "this deployment another name."
        for eni in found.interfaces
        if eni["VpcId"] != network.vpc_id
    ]


def _subnet_problems(network: Network, found: Found) -> list[str]:
    known = {subnet["SubnetId"]: subnet for subnet in found.subnets}
    users: dict[str, str] = dict.fromkeys(network.public_subnets, "the gateways and monitors")
    users |= {subnet: f"zone {zone.zone}" for zone in network.zones for subnet in zone.subnets}
    users |= {interface.subnet_id: interface.name for interface in network.interfaces}
    out = []
    for subnet_id, user in users.items():
        if subnet_id not in known:
            out.append(f"{subnet_id}, named for {user}, does not exist.")
        elif known[subnet_id]["VpcId"] != network.vpc_id:
            out.append(f"{user} would be in {known[subnet_id]['VpcId']} ({subnet_id}), not in {network.vpc_id}.")
    zones = found.subnet_zones()
    for zone in network.zones:
        for subnet_id in zone.subnets:
            if zones.get(subnet_id, zone.zone) != zone.zone:
                out.append(f"{subnet_id} is in {zones[subnet_id]}, so it cannot be a subnet of zone {zone.zone}.")
    return out


def _interface_problems(network: Network, found: Found) -> list[str]:
    out = []
    for wanted in network.interfaces:
        eni = found.interface(wanted.name)
        if eni is None:
            for other in found.taken:
                addresses = [each["PrivateIpAddress"] for each in other.get("PrivateIpAddresses", ())]
                if other["SubnetId"] == wanted.subnet_id and wanted.address in addresses:
                    out.append(
                        network_adoption.taken(
                            network.deployment, wanted.name, f"{wanted.address} in {wanted.subnet_id}", other
                        )
                    )
            continue
        eni_id = eni["NetworkInterfaceId"]
        if eni["VpcId"] != network.vpc_id:
            continue
        if eni["SubnetId"] != wanted.subnet_id or eni["PrivateIpAddress"] != wanted.address:
            out.append(
                f"{wanted.name}'s interface {eni_id} has {eni['PrivateIpAddress']} in {eni['SubnetId']}, which cannot "
                f"become {wanted.address} in {wanted.subnet_id}; correct the description, or delete the interface."
            )
    if not network.destinations and not network.prefix_lists:
        return out  # no route to make, so no gateway is needed
    names = {interface.name for interface in network.interfaces if interface.role == "gateway"}
    names |= {tags.to_dict(eni.get("TagSet")).get(tags.GATEWAY, "") for eni in found.interfaces}
    names |= {one.name for one in network.managed}
    out += [
        f"Zone {zone.zone} has {zone.gateway} as its home gateway, which has no interface here and none in EC2."
        for zone in network.zones
        if zone.gateway not in names
    ]
    return out


def _public_problems(network: Network, found: Found) -> list[str]:
    out = []
    for subnet_id in network.public_subnets:
        table, own = found.table_of(subnet_id)
        if table is None or leads_to_internet(table) or is_of(table, network.deployment, PUBLIC):
            continue
        if own or own_routes(table):
            out.append(
                f"{subnet_id}, for gateways and monitors, uses {table['RouteTableId']}, which has no default route to "
                "an internet gateway; add one there, or use another subnet."
            )
        elif network.internet_gateway is None:
            out.append(f"{subnet_id} needs a default route to an internet gateway, and none was given.")
    return out


def _app_problems(network: Network, found: Found) -> list[str]:
    out = []
    for zone in network.zones:
        for subnet_id in zone.subnets:
            table, own = found.table_of(subnet_id)
            if table is None or is_of(table, network.deployment, APP):
                continue
            if owner := network_adoption.owner(table.get("Tags"), network.deployment):
                out.append(network_adoption.others_table(subnet_id, table["RouteTableId"], owner))
                continue
            if network.adopt:
                continue
            hint = (
                f"tag it {tags.DEPLOYMENT}={network.deployment}, {tags.TABLE}={APP} and {tags.ZONE}={zone.zone} to "
                "have its site routes looked after, or set adopt_route_tables"
            )
            if own:
                out.append(f"{subnet_id} uses {table['RouteTableId']}, which is not the deployment's; {hint}.")
            elif own_routes(table):
                out.append(
                    f"{subnet_id} uses the VPC's main route table {table['RouteTableId']}, and would lose its routes "
                    f"({', '.join(own_routes(table))}) with a table of its own; associate a table with it and {hint}. "
                    "Or tag the main table so: every subnet without a table of its own then has that zone's gateway."
                )
    zones = [zone.zone for zone in network.zones]
    for table in found.tables:
        if zones and is_of(table, network.deployment, APP):
            zone_name, why = zone_of_table(table, found.subnet_zones(), zones)
            if zone_name is None:
                out.append(why)
    return out + (_adoption_problems(network, found) if network.adopt else [])


def _adoption_problems(network: Network, found: Found) -> list[str]:
    """With adopt: a table that subnets of two zones use can have one home gateway only."""
    users: dict[str, set[str]] = {}
    out = []
    for zone in network.zones:
        for subnet_id in zone.subnets:
            table, own = found.table_of(subnet_id)
            if table is None or is_of(table, network.deployment, APP):
                continue
            if own:
                users.setdefault(table["RouteTableId"], set()).add(zone.zone)
                if edge_of(table):
                    out.append(f"{subnet_id}: {edge_of(table)}")
            elif own_routes(table):
                out.append(
                    f"{subnet_id} uses the VPC's main route table {table['RouteTableId']}, which other subnets use "
                    f"too; associate a route table of zone {zone.zone} with it, or tag the main table "
                    f"{tags.DEPLOYMENT}={network.deployment}, {tags.TABLE}={APP}, and {tags.ZONE} with the zone whose "
                    "home gateway all of them shall use."
                )
    for table_id, zones in sorted(users.items()):
        if len(zones) > 1:
            out.append(
                f"{table_id} is shared by subnets of {' and '.join(sorted(zones))}; tag it {tags.TABLE}={APP}, "
                f"{tags.DEPLOYMENT}={network.deployment}, and {tags.ZONE} with the zone that it shall belong to."
            )
    return out


def _managed_problems(network: Network, found: Found) -> list[str]:
    out = []
    attached = {
        one["VpnGatewayId"]: [each["VpcId"] for each in one.get("VpcAttachments", ()) if each["State"] == "attached"]
        for one in found.vpn_gateways
        if one.get("State") == "available"
    }
    for managed in network.managed:
        vpcs = attached.get(managed.vpn_gateway)
        if vpcs is None:
            out.append(
                f"{managed.vpn_gateway}, named for the managed gateway {managed.name}, does not exist or is not "
                "available; correct the description, or make it first."
            )
        elif network.vpc_id not in vpcs:
            where = f"attached to {', '.join(vpcs)}" if vpcs else "not attached"
            out.append(
                f"{managed.vpn_gateway}, named for the managed gateway {managed.name}, is {where}; attach it to "
                f"{network.vpc_id} first."
            )
    for subnet_id in network.probed_from if network.managed else ():
        table, _own = found.table_of(subnet_id)
        if table is not None:
            out += _probe_problems(network, table, subnet_id)
    return list(dict.fromkeys(out))


def _probe_problems(network: Network, table: Item, subnet_id: str) -> list[str]:
    """What stands in the way of the host routes by which a monitor probes managed gateways."""
    if is_of(table, network.deployment, APP):
        return [
            f"{subnet_id}, for a monitor, uses {table['RouteTableId']}, whose routes are the deployment's to move; a "
            "managed gateway is probed by routes that must not move, so give that subnet another table."
        ]
    have = routes_of(table)
    return [
        f"{table['RouteTableId']}: {address}/32 leads to {target_of(have[f'{address}/32'])}, but {managed.name} is "
        f"probed through {managed.vpn_gateway}; remove that route, or probe another address."
        for managed in network.managed
        for address in managed.probes
        if f"{address}/32" in have and target_of(have[f"{address}/32"]) != managed.vpn_gateway
    ]


def wanted_tags(network: Network, name: str, role: str) -> Mapping[str, str]:
    """The tags of a host's interface and Elastic IP."""
    tag = {"Name": name, tags.DEPLOYMENT: network.deployment, tags.MADE: network.deployment, tags.ROLE: role}
    return tag | {tags.GATEWAY: name} if role == "gateway" else tag
