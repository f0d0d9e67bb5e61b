# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What forbids a wanted network to become true: the reasons to refuse before anything changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from . import network_adoption, tags
from .endpoints import made_for
from .endpoints import problems as endpoint_problems
from .items import Item, destination_of, edge_of, gateway_of_interface, routes_of, target_of, zone_of_table
from .network import APP, PUBLIC, Found, Network, is_of, leads_to_internet


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
        *_gone_problems(network, found),
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
        if own or _own_routes(network, found, table):
            out.append(
                f"{subnet_id}, for gateways and monitors, uses {table['RouteTableId']}, which has no default route to "
                "an internet gateway; add one there, or use another subnet."
            )
        elif network.internet_gateway is None:
            out.append(f"{subnet_id} needs a default route to an internet gateway, and none was given.")
    return out


def _not_app(network: Network, found: Found) -> Iterator[tuple[str, str, Item, bool]]:
    """Zone, subnet, table, and whether that is its own, where it is not one of the deployment's for applications."""
    for zone in network.zones:
        for subnet_id in zone.subnets:
            table, own = found.table_of(subnet_id)
            if table is not None and not is_of(table, network.deployment, APP):
                yield zone.zone, subnet_id, table, own


def _app_problems(network: Network, found: Found) -> list[str]:
    out = []
    for zone, subnet_id, table, own in _not_app(network, found):
        if owner := network_adoption.owner(table.get("Tags"), network.deployment):
            out.append(network_adoption.others_table(subnet_id, table["RouteTableId"], owner))
            continue
        if network.adopt:
            continue
        hint = (
            f"tag it {tags.DEPLOYMENT}={network.deployment}, {tags.TABLE}={APP} and {tags.ZONE}={zone} to "
            "have its site routes looked after, or set adopt_route_tables"
        )
        if own:
            out.append(f"{subnet_id} uses {table['RouteTableId']}, which is not the deployment's; {hint}.")
        elif lost := _own_routes(network, found, table):
            out.append(
                f"{subnet_id} uses the VPC's main route table {table['RouteTableId']}, and would lose its routes "
                f"({', '.join(lost)}) with a table of its own; associate a table with it and {hint}. "
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
    for zone, subnet_id, table, own in _not_app(network, found):
        if own:
            users.setdefault(table["RouteTableId"], set()).add(zone)
            if edge_of(table):
                out.append(f"{subnet_id}: {edge_of(table)}")
        elif _own_routes(network, found, table):
            out.append(
                f"{subnet_id} uses the VPC's main route table {table['RouteTableId']}, which other subnets use "
                f"too; associate a route table of zone {zone} with it, or tag the main table "
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


def _gone_problems(network: Network, found: Found) -> list[str]:
    """Routes to gateways that are not described any more: nobody would move them, and their peers are shut out."""
    known = {one.name for one in network.interfaces} | {zone.gateway for zone in network.zones}
    gone = {str(eni["NetworkInterfaceId"]): gateway_of_interface(eni) for eni in found.interfaces}
    users: dict[str, dict[str, list[str]]] = {}  # gateway -> table -> destinations
    for table in found.tables if network.zones else ():
        for destination, route in routes_of(table).items() if is_of(table, network.deployment, APP) else ():
            gateway = gone.get(target_of(route), "")
            if gateway and gateway not in known:
                users.setdefault(gateway, {}).setdefault(table["RouteTableId"], []).append(destination)
    return [
        f"Routes still lead to {gateway}, which is not described any more ("
        + ", ".join(f"{table}: {', '.join(sorted(routes))}" for table, routes in sorted(tables.items()))
        + "), and nobody would move them. Put it back with home_zones: [], deploy, run the playbook "
        "vpnha.aws.failback, and then take it out; delete a route to what no site has."
        for gateway, tables in sorted(users.items())
    ]


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


def _own_routes(network: Network, found: Found, table: Item) -> list[str]:
    """The routes of a table that a new table would lack, each "destination -> target".

    Those that the deployment has made for its monitors do not count: nobody else needs them.
    """
    ours = {str(one["VpcEndpointId"]) for one in found.endpoints.endpoints if made_for(one, network.deployment)}
    probes = tags.parse_probes(tags.to_dict(table.get("Tags")).get(tags.probes_of(network.deployment), ""))
    probed = {f"{address}/32" for address in probes}
    return [
        f"{destination_of(route)} -> {target_of(route)}"
        for route in table.get("Routes", ())
        if target_of(route) not in {"local", *ours}
        and not (destination_of(route) in probed and target_of(route).startswith("vgw-"))
    ]
