# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes what `network.Network` wants: interfaces, Elastic IPs, VPC endpoints, route tables and their missing routes.

Nothing that is there is removed but endpoints of ours that are not wanted any more, and no route is moved, wherever it
points: while routes are failed over, a run of this moves nothing. A new route leads where its packets go already, and
none is made where that is somebody else's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import endpoints_build, network_adoption, prefix_lists, prefix_lists_build, tags
from .errors import Ec2Error, VpnhaError
from .items import Item, gateway_of_interface, routes_of, target_of, zone_of_table
from .network import (
    APP,
    PUBLIC,
    Found,
    Interface,
    Network,
    ZoneTables,
    is_of,
    leads_to_internet,
    read_by,
    wanted_tags,
)
from .network_ways import Ways
from .network_worker import NEW, Change, Worker
from .prefix_lists import IPV4, IPV6
from .routes import destination_argument, target_argument


@dataclass
class Outcome:
    """What there is now, or in check mode would be. Ids of what is not made yet read "(new)"."""

    interfaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    route_tables: list[dict[str, Any]] = field(default_factory=list)
    prefix_lists: dict[str, dict[str, str]] = field(default_factory=dict)  # family -> site -> id
    endpoints: dict[str, str] = field(default_factory=dict)  # service -> id
    changes: list[Change] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # routes that are not made, one sentence each


def build(client: Any, network: Network, found: Found, check: bool, wall: float) -> Outcome:
    """Makes it so. `network_problems.problems` must have been asked before. ``wall`` is now. Raises VpnhaError."""
    worker = Worker(client, check)
    outcome = Outcome()
    for wanted in network.interfaces:
        outcome.interfaces[wanted.name] = _interface(worker, network, found, wanted)
    _assert_checks(worker, network, outcome)
    public = _public(worker, network, found)
    outcome.route_tables += public
    own_table = public[0]["id"] if public else NEW
    _probes(worker, network, found, own_table)
    tables = [_table_id(found, network, subnet_id, own_table) for subnet_id in network.probed_from]
    outcome.endpoints = endpoints_build.keep(worker, network.wanted_endpoints(tables), found.endpoints)
    names = {eni["NetworkInterfaceId"]: gateway_of_interface(eni) for eni in found.interfaces}
    gateways = {name: eni_id for eni_id, name in names.items() if name}
    gateways |= {name: result["id"] for name, result in outcome.interfaces.items() if result["role"] == "gateway"}
    gateways |= {one.name: one.vpn_gateway for one in network.managed}
    lists = prefix_lists_build.keep(worker, network.deployment, network.prefix_lists, found.prefix_lists)
    used = [one for one in lists.values() if one.entries]
    outcome.prefix_lists = {
        family: {one.site: one.id for one in used if one.family == family} for family in (IPV4, IPV6)
    }
    destinations = (*network.destinations, *(one.id for one in used))
    known = {**found.prefix_lists, **lists}.values()
    beside, entries = prefix_lists.beside(known), {one.id: one.entries for one in known}
    for zone in network.zones:
        for table in _app_tables(worker, network, found, zone):
            ways = Ways(gateways, _target(table, zone, gateways, wall), beside, entries)
            routes = _missing_routes(worker, destinations, table, ways, outcome.left)
            outcome.route_tables.append({"id": table["RouteTableId"], "kind": APP, "zone": zone.zone, "routes": routes})
    outcome.changes = worker.changes
    return outcome


def _interface(worker: Worker, network: Network, found: Found, wanted: Interface) -> dict[str, Any]:
    tag = wanted_tags(network, wanted.name, wanted.role)
    subject = f"interface of {wanted.name}"
    eni = found.interface(wanted.name)
    if eni is None:
        answer = worker.change(
            subject, "", f"{wanted.address} in {wanted.subnet_id}", "create_network_interface",
            SubnetId=wanted.subnet_id, PrivateIpAddress=wanted.address, Groups=list(wanted.security_groups),
            Description=f"{wanted.role} {wanted.name} of {network.deployment}",
            TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags.to_list(tag)}],
            **({"Ipv6AddressCount": 1} if wanted.ipv6 else {}),
        )  # fmt: skip
        eni = answer["NetworkInterface"] if answer else {"NetworkInterfaceId": NEW}
        have_groups = want_groups = set(wanted.security_groups)
    else:
        tag = network_adoption.tags_beside(network.deployment, tag, eni.get("TagSet"))
        worker.tag(eni["NetworkInterfaceId"], subject, tags.to_dict(eni.get("TagSet")), tag)
        have_groups = {group["GroupId"] for group in eni.get("Groups", ())}
        kept = set() if network_adoption.is_made(eni.get("TagSet"), network.deployment) else have_groups
        want_groups = {*wanted.security_groups, *kept}  # a person's interface keeps what it has
        if wanted.ipv6 and not eni.get("Ipv6Addresses"):
            worker.change(
                subject, "without IPv6", "with an address of IPv6", "assign_ipv6_addresses",
                NetworkInterfaceId=eni["NetworkInterfaceId"], Ipv6AddressCount=1,
            )  # fmt: skip
    eni_id = eni["NetworkInterfaceId"]
    modify = "modify_network_interface_attribute"
    if have_groups != want_groups:
        groups = sorted(want_groups)
        before, after = f"groups {', '.join(sorted(have_groups))}", f"groups {', '.join(groups)}"
        worker.change(subject, before, after, modify, NetworkInterfaceId=eni_id, Groups=groups)
    # CreateNetworkInterface has no such argument: a new one always has the check on.
    if bool(eni.get("SourceDestCheck", True)) != wanted.check:
        before, after = (f"source/destination check {'on' if on else 'off'}" for on in (not wanted.check, wanted.check))
        worker.change(
            subject, before, after, modify, NetworkInterfaceId=eni_id, SourceDestCheck={"Value": wanted.check}
        )
    attachment = eni.get("Attachment") or {}
    if attachment.get("DeleteOnTermination") and attachment.get("AttachmentId"):
        stays = {"AttachmentId": attachment["AttachmentId"], "DeleteOnTermination": False}
        before, after = "deleted with its instance", "kept when its instance ends"
        worker.change(subject, before, after, modify, NetworkInterfaceId=eni_id, Attachment=stays)
    instance = network_adoption.attached_to(eni, found.instances)
    if instance is not None:
        want = network_adoption.instance_tags(network.deployment, wanted.name, wanted.role)
        worker.tag(instance["InstanceId"], f"instance of {wanted.name}", tags.to_dict(instance.get("Tags")), want)
    result = {
        "id": eni_id,
        "role": wanted.role,
        "address": wanted.address,
        "subnet_id": wanted.subnet_id,
        "source_dest_check": wanted.check,
        "instance_id": attachment.get("InstanceId"),
        "public_ip": (eni.get("Association") or {}).get("PublicIp"),
    }
    if wanted.elastic_ip:
        result["public_ip"] = _elastic_ip(worker, network, found, wanted, eni)
    return result


def _elastic_ip(worker: Worker, network: Network, found: Found, wanted: Interface, eni: Item) -> str:
    """The interface's Elastic IP. One that is associated already stays, whoever made it."""
    eni_id = eni["NetworkInterfaceId"]
    tag = wanted_tags(network, wanted.name, wanted.role)
    subject = f"Elastic IP of {wanted.name}"
    mine = [each for each in found.addresses if tags.to_dict(each.get("Tags")).get("Name") == wanted.name]
    mine.sort(key=lambda each: each.get("NetworkInterfaceId") != eni_id)
    address: Item | None = mine[0] if mine else None
    associated = eni.get("Association") or {}
    if associated.get("PublicIp") and (address is None or address["PublicIp"] != associated["PublicIp"]):
        return str(associated["PublicIp"])
    if address is None:
        address = worker.change(
            subject, "", "allocated", "allocate_address", Domain="vpc",
            TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags.to_list(tag)}],
        ) or {"PublicIp": NEW, "AllocationId": NEW}  # fmt: skip
    else:
        tag = network_adoption.tags_beside(network.deployment, tag, address.get("Tags"))
        worker.tag(address["AllocationId"], subject, tags.to_dict(address.get("Tags")), tag)
    if address.get("NetworkInterfaceId") != eni_id:
        worker.change(
            subject, address.get("NetworkInterfaceId") or "", f"{address['PublicIp']} associated with {eni_id}",
            "associate_address", AllocationId=address["AllocationId"], NetworkInterfaceId=eni_id,
            AllowReassociation=True,
        )  # fmt: skip
    return str(address["PublicIp"])


def _assert_checks(worker: Worker, network: Network, outcome: Outcome) -> None:
    """The source/destination check is what EC2 says it is, not what we asked for: with it on, a gateway is a wall."""
    if worker.check or not worker.changes:
        return
    ids = {result["id"]: name for name, result in outcome.interfaces.items()}
    want = {outcome.interfaces[wanted.name]["id"]: wanted.check for wanted in network.interfaces}
    for pause in (0.5, 1.0, 2.0, None):
        enis = read_by(
            worker.client, "describe_network_interfaces", "NetworkInterfaces", "reading the interfaces back",
            name="network-interface-id", values=sorted(ids),
        )  # fmt: skip
        says = {eni["NetworkInterfaceId"]: bool(eni["SourceDestCheck"]) for eni in enis}
        wrong = sorted(ids[eni_id] for eni_id in ids if says.get(eni_id) != want[eni_id])
        if not wrong:
            return
        if pause is not None:
            time.sleep(pause)
    raise VpnhaError(f"EC2 still shows the wrong source/destination check for {', '.join(wrong)}; run this again.")


def _new_table(worker: Worker, network: Network, kind: str, name: str, more: Mapping[str, str]) -> Item:
    tag = {
        "Name": name, tags.DEPLOYMENT: network.deployment, tags.MADE: network.deployment, tags.TABLE: kind, **more,
    }  # fmt: skip
    answer = worker.change(
        f"route table {name}", "", f"made in {network.vpc_id}", "create_route_table", VpcId=network.vpc_id,
        TagSpecifications=[{"ResourceType": "route-table", "Tags": tags.to_list(tag)}],
    )  # fmt: skip
    table: dict[str, Any] = dict(answer["RouteTable"]) if answer else {"RouteTableId": NEW, "Routes": []}
    return table | {"Tags": tags.to_list(tag)}


def _associate(worker: Worker, table: Item, subnet_id: str) -> None:
    name = tags.to_dict(table.get("Tags")).get("Name", table["RouteTableId"])
    worker.change(
        subnet_id, "the VPC's main route table", f"route table {name}", "associate_route_table",
        RouteTableId=table["RouteTableId"], SubnetId=subnet_id,
    )  # fmt: skip


def _public(worker: Worker, network: Network, found: Found) -> list[dict[str, Any]]:
    """Gives the gateways' subnets a way to the internet, where they have none; returns the table of ours, if any."""
    table = next((each for each in found.tables if is_of(each, network.deployment, PUBLIC)), None)
    lacking = [subnet_id for subnet_id in network.public_subnets if not _is_public(found, network, subnet_id)]
    if lacking and table is None:
        table = _new_table(worker, network, PUBLIC, f"{network.deployment}-public", {})
    if table is None:
        return []
    if network.internet_gateway and not leads_to_internet(table):
        worker.change(
            f"route table {network.deployment}-public", "", f"0.0.0.0/0 -> {network.internet_gateway}", "create_route",
            RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=network.internet_gateway,
        )  # fmt: skip
    for subnet_id in lacking:
        _associate(worker, table, subnet_id)
    return [{"id": table["RouteTableId"], "kind": PUBLIC, "zone": None, "routes": {}}]


def _is_public(found: Found, network: Network, subnet_id: str) -> bool:
    table, own = found.table_of(subnet_id)
    return table is not None and (leads_to_internet(table) or (own and is_of(table, network.deployment, PUBLIC)))


def _probes(worker: Worker, network: Network, found: Found, public: str) -> None:
    """The host routes by which monitors probe managed gateways: in the tables of their subnets, and in no other.

    ``public`` is the deployment's own table for gateways and monitors. A tag on the table names the routes before they
    are made, so that those that nobody wants any more can be told from a person's.
    """
    wanted = {address: one for one in network.managed for address in one.probes}
    used = {_table_id(found, network, subnet_id, public) for subnet_id in network.probed_from if wanted}
    known = {table["RouteTableId"]: table for table in found.tables}
    name = tags.probes_of(network.deployment)
    for table_id in sorted({*used, *(key for key, table in known.items() if name in tags.to_dict(table.get("Tags")))}):
        table = known.get(table_id, {})
        tag, have = tags.to_dict(table.get("Tags")), routes_of(table)
        here = wanted if table_id in used else {}
        stale = {address for address in tags.parse_probes(tag.get(name, "")) if address not in here}
        worker.tag(table_id, table_id, tag, {name: tags.format_probes({*here, *stale})})
        for address, managed in here.items():
            if f"{address}/32" not in have:
                worker.change(
                    f"route table {table_id}", "", f"{address}/32 -> {managed.name} ({managed.vpn_gateway})",
                    "create_route", RouteTableId=table_id, GatewayId=managed.vpn_gateway,
                    DestinationCidrBlock=f"{address}/32",
                )  # fmt: skip
        remove_probes(worker, table, stale)
        if stale and here:
            worker.tag(table_id, table_id, {}, {name: tags.format_probes(here)})
        elif stale:
            worker.change(table_id, f"tag {name}", "without", "delete_tags", Resources=[table_id], Tags=[{"Key": name}])


def remove_probes(worker: Worker, table: Item, addresses: Iterable[str]) -> None:
    """Deletes the host routes that `_probes` made, where they still lead to a virtual private gateway."""
    have = routes_of(table)
    for address in sorted(addresses):
        target = target_of(have.get(f"{address}/32", {}))
        if target.startswith("vgw-"):
            worker.change(
                f"route table {table['RouteTableId']}", f"{address}/32 -> {target}", "route deleted", "delete_route",
                RouteTableId=table["RouteTableId"], DestinationCidrBlock=f"{address}/32",
            )  # fmt: skip


def _table_id(found: Found, network: Network, subnet_id: str, public: str) -> str:
    """The table that a subnet of monitors uses once all is made."""
    table, _own = found.table_of(subnet_id)
    stays = subnet_id not in network.public_subnets or _is_public(found, network, subnet_id)
    return str(table["RouteTableId"]) if table is not None and stays else public


def _app_tables(worker: Worker, network: Network, found: Found, zone: ZoneTables) -> list[Item]:
    """A zone's route tables: those that are there by tag, adopted ones, and one of ours for subnets without any."""
    known = [each.zone for each in network.zones]
    tables = [
        table
        for table in found.tables
        if is_of(table, network.deployment, APP) and zone_of_table(table, found.subnet_zones(), known)[0] == zone.zone
    ]
    ours = next((table for table in tables if tags.MADE in tags.to_dict(table.get("Tags"))), None)
    for subnet_id in zone.subnets:
        table, own = found.table_of(subnet_id)
        ours_already = table is not None and is_of(table, network.deployment, APP)  # also the main table, where tagged
        if table is not None and (own or ours_already):
            if not ours_already and table not in tables:
                adopted = {tags.DEPLOYMENT: network.deployment, tags.TABLE: APP, tags.ZONE: zone.zone}
                worker.tag(table["RouteTableId"], table["RouteTableId"], tags.to_dict(table.get("Tags")), adopted)
                tables.append(table)
            continue
        if ours is None:
            name = f"{network.deployment}-app-{zone.zone}"
            ours = _new_table(worker, network, APP, name, {tags.ZONE: zone.zone})
            tables.append(ours)
        _associate(worker, ours, subnet_id)
    return tables


def _target(table: Item, zone: ZoneTables, gateways: Mapping[str, str], wall: float) -> tuple[str, str]:
    """Where a table's new routes lead, a gateway and its target: home, or where a pin holds the table.

    Nobody would move a new route away from a home gateway that is down while the pin lasts.
    """
    value = tags.to_dict(table.get("Tags")).get(tags.PIN)
    if value is not None:
        pin, _readable = tags.parse_pin(value)
        if pin.expires_wall > wall and pin.gateway in gateways:
            return pin.gateway, gateways[pin.gateway]
    return zone.gateway, gateways.get(zone.gateway, "")


def _missing_routes(
    worker: Worker, destinations: tuple[str, ...], table: Item, ways: Ways, left: list[str]
) -> dict[str, str]:
    """Creates a table's missing routes; returns all of the deployment's, destination to target, or "elsewhere".

    ``left`` gets a sentence for each that is not made since somebody else's wider route carries its packets.
    """
    subject = f"route table {tags.to_dict(table.get('Tags')).get('Name', table['RouteTableId'])}"
    have = routes_of(table)
    result: dict[str, str] = {}
    for destination in destinations:
        if destination in have:
            leads = target_of(have[destination])
            result[destination] = leads if leads.startswith(("eni-", "vgw-")) else "elsewhere"
            continue
        carried = ways.carried(destination, table)
        left += [carried] if carried else []
        way = None if carried else ways.of(destination, table)
        if way is None:
            result[destination] = "elsewhere"
            continue
        gateway, target_id = way
        try:
            worker.change(
                subject, "", f"{destination} -> {gateway} ({target_id})", "create_route",
                RouteTableId=table["RouteTableId"], **target_argument(target_id), **destination_argument(destination),
            )  # fmt: skip
            result[destination] = target_id
        except Ec2Error as error:
            if error.code != "RouteAlreadyExists":
                raise
            worker.changes.pop()  # somebody was faster; where it points is not ours to change
            result[destination] = "elsewhere"
    return result
