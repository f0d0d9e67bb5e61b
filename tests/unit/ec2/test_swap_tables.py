# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's swap and the tables that a deployment cannot look after, or that more than their own subnets use."""

from __future__ import annotations

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import manual_swap
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Report, Wish
from ansible_collections.vpnha.aws.plugins.module_utils.overview import overview
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice

from .conftest import HQ, NOW, PLANT, A, B, World
from .test_network import main_table, routes_of


def run(world: World, gateway: str, **choice: object) -> Report:
    wish = Wish(Choice(gateway=gateway, **choice), pin_minutes=60)  # type: ignore[arg-type]
    return manual_swap.run(world.client, world.deployment, wish, check=False, wall=NOW)


def edge_of_vgw(world: World) -> str:
    table, vgw = world.new_table(), world.client.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    world.client.attach_vpn_gateway(VpcId=world.vpc, VpnGatewayId=vgw)
    world.client.associate_route_table(RouteTableId=table, GatewayId=vgw)
    return table


def edge_of_igw(world: World) -> str:
    table = world.new_table()
    world.client.associate_route_table(RouteTableId=table, GatewayId=world.wanted.internet_gateway)
    return table


def shared(world: World) -> str:
    """A table that subnets of both zones use."""
    net = world.deployment.vpc_cidrs[0].removesuffix(".0.0/16")
    return world.new_table(*(world.new_subnet(f"{net}.{n}.0/24", zone) for n, zone in ((18, A), (19, B))))


def lead(world: World, table: str, gateway: str) -> None:
    for destination in (HQ, PLANT):
        world.client.create_route(
            RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=world.eni(gateway)
        )


def ours(world: World, *tables: str, **more: str) -> None:
    for table in tables:
        world.tag(table, vpnha_deployment=world.deployment.name, vpnha_table="app", **more)


def test_tables_that_are_not_looked_after_are_refused_by_their_ids_and_named_beside_a_swap(world: World) -> None:
    edges = {edge_of_igw(world): "is the edge table of igw-", edge_of_vgw(world): "is the edge table of vgw-"}
    others = {
        main_table(world): "is the VPC's main route table, used by every subnet without one of its own; tag it",
        shared(world): f"is shared by subnets of {A} and {B}; tag it",
        world.new_table(): "has no associated subnet to tell its zone by; tag it",
    }
    ours(world, *edges, vpnha_zone=A)  # which helps an edge table to nothing
    ours(world, *others)
    for table in others:
        lead(world, table, "gw-a")
    before = {table: routes_of(world, table) for table in (*edges, *others)}
    sentences = {**edges, **others}

    for table, sentence in sentences.items():
        with pytest.raises(VpnhaError, match=f"^{table} {sentence}"):
            run(world, "gw-b", tables=(table,))
        with pytest.raises(VpnhaError, match=f"^{table} {sentence}"):
            run(world, "gw-b", tables=(world.table(A), table))
    assert not world.view().table_pins
    assert set(routes_of(world, world.table(A)).values()) == {world.eni("gw-a")}

    report = run(world, "gw-b", leaving="gw-a")
    assert (report.failure, report.tables) == ("", [world.table(A)])
    assert set(world.view().table_pins) == {world.table(A)}
    assert {table: routes_of(world, table) for table in before} == before
    summary = overview(world.view(), world.deployment, NOW)["summary"]
    assert len(report.warnings) == len(sentences)
    for table, sentence in sentences.items():
        said = f"Not looked after, so its routes stay as they are: {table} {sentence}"
        assert any(warning.startswith(said) for warning in report.warnings), table
        assert any(line.startswith(f"{table} {sentence}") for line in summary), table

    again = run(world, "gw-b", leaving="gw-a")
    assert (again.changed, again.routes, again.warnings) == (False, [], report.warnings)


def test_only_the_table_that_is_meant_is_told_of(world: World) -> None:
    ours(world, shared(world))
    assert run(world, "gw-b", tables=(world.table(A),)).warnings == ()


def test_with_its_zone_a_table_of_many_subnets_moves_with_that_zone_and_with_no_other(world: World) -> None:
    net = world.deployment.vpc_cidrs[0].removesuffix(".0.0/16")
    world.new_subnet(f"{net}.20.0/24", B)  # follows the main table
    both = main_table(world), shared(world)
    ours(world, *both, vpnha_zone=A)
    world.build()
    home, away = (dict.fromkeys((HQ, PLANT), world.eni(gateway)) for gateway in ("gw-a", "gw-b"))
    assert [routes_of(world, table) for table in both] == [home, home]
    assert {row["zone"] for row in run(world, "gw-a", zones=(B,)).routes} == {B}
    assert [routes_of(world, table) for table in both] == [home, home]
    report = run(world, "gw-b", zones=(A,))
    assert {(row["route_table_id"], row["zone"]) for row in report.routes if row["accepted"]} >= {
        (table, A) for table in both
    }
    assert [routes_of(world, table) for table in both] == [away, away]
    assert report.warnings == ()
