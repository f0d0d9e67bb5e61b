# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A monitor's way to EC2, found in EC2: by its own interface, its subnet's table, and the deployment's gateways."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.api_way import BEHIND, PAST, UNKNOWN, WITHIN, Way, find
from ansible_collections.vpnha.aws.plugins.module_utils.network import Interface

from .conftest import World

PUBLIC = "52.94.1.1"


def way(world: World, address: str = PUBLIC, monitor: str = "mon-b") -> Way:
    """What a monitor finds whose EC2 has that address."""
    return find(world.client, world.deployment, monitor, lambda _host, _port: (address,))


@pytest.fixture
def watched(bare: World) -> World:
    """A deployment with a monitor in zone b, as the role makes it."""
    gateway = bare.wanted.interfaces[1]
    monitor = Interface(
        "mon-b", "monitor", gateway.subnet_id, f"{gateway.address[:-2]}20", gateway.security_groups, True
    )
    bare.wanted = replace(bare.wanted, interfaces=(*bare.wanted.interfaces, monitor))
    bare.outcome = bare.build()
    return bare


def public_table(world: World) -> str:
    assert world.outcome is not None
    [table] = [each["id"] for each in world.outcome.route_tables if each["kind"] == "public"]
    return str(table)


def test_as_the_role_makes_it_the_way_leads_past_the_gateways(watched: World) -> None:
    found = way(watched)
    assert (found.kind, found.table, found.target) == (PAST, public_table(watched), watched.wanted.internet_gateway)


def test_a_default_route_to_a_gateway_is_found(watched: World) -> None:
    gateway = watched.eni("gw-a")
    watched.client.replace_route(
        RouteTableId=public_table(watched), DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=gateway
    )
    found = way(watched)
    assert (found.kind, found.destination, found.target) == (BEHIND, "0.0.0.0/0", gateway)
    assert "is called through gw-a" in found.text
    inside = watched.deployment.vpc_cidrs[0].replace("0.0/16", "1.99")
    assert way(watched, inside).kind == WITHIN


def test_a_subnet_without_a_table_of_its_own_uses_the_main_one(watched: World) -> None:
    [table] = watched.client.describe_route_tables(RouteTableIds=[public_table(watched)])["RouteTables"]
    for association in table["Associations"]:
        watched.client.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    found = way(watched)
    assert found.kind == UNKNOWN and found.table not in ("", public_table(watched))


def test_a_prefix_list_of_somebody_is_read(watched: World) -> None:
    made = watched.client.create_managed_prefix_list(
        PrefixListName="clouds", AddressFamily="IPv4", MaxEntries=1, Entries=[{"Cidr": "52.94.0.0/16"}]
    )
    gateway = watched.eni("gw-b")
    watched.client.create_route(
        RouteTableId=public_table(watched),
        DestinationPrefixListId=made["PrefixList"]["PrefixListId"],
        NetworkInterfaceId=gateway,
    )
    assert (way(watched).kind, way(watched).target) == (BEHIND, gateway)
    assert way(watched, "3.0.0.1").kind == PAST


def test_a_route_of_the_deployment_in_a_table_of_the_deployment_is_no_way(watched: World) -> None:
    [site, other] = watched.deployment.sites
    watched.deployment = replace(watched.deployment, sites=(replace(site, prefixes=("52.94.0.0/16",)), other))
    table = public_table(watched)
    watched.client.create_route(
        RouteTableId=table, DestinationCidrBlock="52.94.0.0/16", GatewayId=watched.wanted.internet_gateway
    )
    assert way(watched).kind == PAST  # nobody moves it in a table that is not looked after
    watched.tag(table, vpnha_table="app")
    assert way(watched).kind == BEHIND


def test_who_is_not_in_ec2_or_finds_no_name_does_not_know(watched: World) -> None:
    stranger = way(watched, monitor="mon-x")
    assert stranger.kind == UNKNOWN and "No network interface in EC2 has the tags of mon-x" in stranger.text

    def nameless(host: str, port: int) -> tuple[str, ...]:
        raise socket.gaierror(-2, "Name or service not known")

    found = find(watched.client, watched.deployment, "mon-b", nameless)
    assert found.kind == UNKNOWN and "cannot be resolved any more" in found.text
