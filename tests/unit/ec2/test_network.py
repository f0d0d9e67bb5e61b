# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway_network's work: made once, unchanged when run again, and no route of anybody is ever moved or removed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import network, network_removal, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish, run
from ansible_collections.vpnha.aws.plugins.module_utils.network_worker import NEW
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice

from .conftest import HQ, NOW, PLANT, World

A, B = "eu-central-1a", "eu-central-1b"


def routes_of(world: World, table: str) -> dict[str, str]:
    [found] = world.client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {
        route.get("DestinationCidrBlock", "?"): route.get("NetworkInterfaceId") or route.get("GatewayId", "?")
        for route in found["Routes"]
        if route.get("GatewayId") != "local"
    }


def app_subnet(world: World, zone: str) -> str:
    [subnet] = [each.subnets[0] for each in world.wanted.zones if each.zone == zone]
    return subnet


# --- Making ----------------------------------------------------------------------------------------------------


def test_from_nothing_to_routes(bare: World) -> None:
    outcome = bare.build()
    enis = {name: each["id"] for name, each in outcome.interfaces.items()}
    for gateway, zone in (("gw-a", A), ("gw-b", B)):
        assert routes_of(bare, bare.table(zone)) == {HQ: enis[gateway], PLANT: enis[gateway]}
        [eni] = bare.client.describe_network_interfaces(NetworkInterfaceIds=[enis[gateway]])["NetworkInterfaces"]
        assert eni["SourceDestCheck"] is False
        assert eni["PrivateIpAddress"] == bare.deployment.gateway(gateway).address
        assert eni["Association"]["PublicIp"] == outcome.interfaces[gateway]["public_ip"]
    [public] = [each["id"] for each in outcome.route_tables if each["kind"] == "public"]
    assert routes_of(bare, public) == {"0.0.0.0/0": bare.wanted.internet_gateway}
    assert outcome.changes


def test_run_again_it_changes_nothing(bare: World) -> None:
    first = bare.build()
    again = bare.build()
    assert again.changes == []
    assert again.interfaces == first.interfaces


def test_check_mode_says_it_all_and_makes_nothing(bare: World) -> None:
    outcome = bare.build(check=True)
    said = [str(change) for change in outcome.changes]
    assert any("192.168.10.0/24 -> gw-a" in each for each in said)
    assert any("source/destination check on -> source/destination check off" in each for each in said)
    assert outcome.interfaces["gw-a"]["id"] == NEW
    assert bare.read().interfaces == []
    assert len(bare.build().changes) == len(said)


def test_a_check_that_somebody_switched_on_is_switched_off(world: World) -> None:
    eni = world.eni("gw-a")
    world.client.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": True})
    [change] = world.build().changes
    assert change.after == "source/destination check off"
    assert world.view().instances["gw-a"].source_dest_check is False


def test_a_check_that_ec2_keeps_on_is_an_error(bare: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)

    real = bare.client

    class Deaf:
        def __getattr__(self, name: str) -> Any:
            return (lambda **_: {}) if name == "modify_network_interface_attribute" else getattr(real, name)

    bare.client = Deaf()
    with pytest.raises(VpnhaError, match="wrong source/destination check for gw-a, gw-b"):
        bare.build()


def test_a_monitors_interface_keeps_its_check(bare: World) -> None:
    plain = replace(
        bare.wanted.interfaces[0], name="mon-a", role="monitor", address=bare.deployment.gateways[0].address[:-2] + "20"
    )
    bare.wanted = replace(bare.wanted, interfaces=(*bare.wanted.interfaces, plain))
    bare.build()
    assert bare.build().changes == []
    [eni] = [e for e in bare.read().interfaces if tags.to_dict(e["TagSet"])["Name"] == "mon-a"]
    assert eni["SourceDestCheck"] is True
    assert tags.GATEWAY not in tags.to_dict(eni["TagSet"])


def test_an_interface_outlives_its_instance(world: World) -> None:
    before = world.eni("gw-a")
    world.client.terminate_instances(InstanceIds=[world.view().instances["gw-a"].instance_id])
    assert world.build().changes == []
    world.launch("gw-a")
    assert world.eni("gw-a") == before
    assert world.build().changes == []


def test_an_elastic_ip_that_is_there_stays(without_elastic_ips: World) -> None:
    world = without_elastic_ips
    world.build()
    mine = world.client.allocate_address(Domain="vpc")
    world.client.associate_address(AllocationId=mine["AllocationId"], NetworkInterfaceId=world.eni("gw-a"))
    world.wanted = replace(world.wanted, interfaces=tuple(replace(e, elastic_ip=True) for e in world.wanted.interfaces))
    outcome = world.build()
    assert outcome.interfaces["gw-a"]["public_ip"] == mine["PublicIp"]
    assert {change.subject for change in outcome.changes} == {"Elastic IP of gw-b"}


# --- Routes are never moved ----------------------------------------------------------------------------------------


def test_while_failed_over_nothing_is_moved(world: World) -> None:
    table, other = world.table(A), world.eni("gw-b")
    world.client.replace_route(RouteTableId=table, DestinationCidrBlock=HQ, NetworkInterfaceId=other)
    before = routes_of(world, table)
    outcome = world.build()
    assert outcome.changes == []
    assert routes_of(world, table) == before
    [shown] = [each for each in outcome.route_tables if each["id"] == table]
    assert shown["routes"][HQ] == other


def test_a_persons_routes_stay_whatever_they_are(world: World) -> None:
    table, igw = world.table(A), world.wanted.internet_gateway
    world.client.replace_route(RouteTableId=table, DestinationCidrBlock=HQ, GatewayId=igw)
    world.client.create_route(RouteTableId=table, DestinationCidrBlock="172.16.0.0/12", GatewayId=igw)
    before = routes_of(world, table)
    assert world.build().changes == []
    assert routes_of(world, table) == before


def test_only_the_missing_route_is_made_and_leads_home(world: World) -> None:
    table = world.table(A)
    world.client.delete_route(RouteTableId=table, DestinationCidrBlock=PLANT)
    world.client.replace_route(RouteTableId=table, DestinationCidrBlock=HQ, NetworkInterfaceId=world.eni("gw-b"))
    [change] = world.build().changes
    assert change.after.startswith(f"{PLANT} -> gw-a")
    assert routes_of(world, table) == {HQ: world.eni("gw-b"), PLANT: world.eni("gw-a")}


def test_in_a_pinned_table_the_missing_route_follows_the_pin(world: World) -> None:
    table = world.table(A)
    world.client.delete_route(RouteTableId=table, DestinationCidrBlock=PLANT)
    world.tag(table, vpnha_pin=f"gateway=gw-b expires={tags.format_time(NOW + 60)}")
    [change] = world.build().changes
    assert change.after.startswith(f"{PLANT} -> gw-b")
    world.client.delete_route(RouteTableId=table, DestinationCidrBlock=PLANT)
    world.tag(table, vpnha_pin=f"gateway=gw-b expires={tags.format_time(NOW - 60)}")
    [change] = world.build().changes
    assert change.after.startswith(f"{PLANT} -> gw-a")


def test_a_table_added_by_tag_gets_its_routes(world: World) -> None:
    added = world.new_table(vpnha_deployment=world.deployment.name, vpnha_table="app", vpnha_zone=B)
    outcome = world.build()
    assert len(outcome.changes) == 2
    assert routes_of(world, added) == {HQ: world.eni("gw-b"), PLANT: world.eni("gw-b")}


# --- In a VPC that others use ----------------------------------------------------------------------------------------


def test_a_subnet_with_somebodys_table_is_refused_with_the_way_out(bare: World) -> None:
    table = bare.new_table(app_subnet(bare, A))
    [problem] = bare.problems()
    assert table in problem
    assert f"{tags.DEPLOYMENT}={bare.deployment.name}" in problem
    assert "adopt_route_tables" in problem


def test_adopted_the_table_is_tagged_and_keeps_what_it_has(bare: World) -> None:
    table = bare.new_table(app_subnet(bare, A))
    igw = bare.wanted.internet_gateway
    bare.client.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    bare.wanted = replace(bare.wanted, adopt=True)
    bare.build()
    assert bare.table(A) == table
    assert routes_of(bare, table) == {"0.0.0.0/0": igw, HQ: bare.eni("gw-a"), PLANT: bare.eni("gw-a")}
    assert bare.build().changes == []


def test_a_table_of_two_zones_cannot_be_adopted(bare: World) -> None:
    table = bare.new_table(app_subnet(bare, A), app_subnet(bare, B))
    bare.wanted = replace(bare.wanted, adopt=True)
    [problem] = bare.problems()
    assert problem.startswith(f"{table} is shared by subnets of {A} and {B}")


def test_a_shared_table_without_its_zone_is_refused_by_its_id(bare: World) -> None:
    subnets = [app_subnet(bare, A), app_subnet(bare, B)]
    table = bare.new_table(*subnets, vpnha_deployment=bare.deployment.name, vpnha_table="app")
    [problem] = bare.problems()
    assert problem.startswith(f"{table} is shared by subnets of {A} and {B}")
    bare.tag(table, vpnha_zone=A)
    assert bare.problems() == []


def test_a_subnet_of_the_main_table_does_not_lose_the_main_tables_routes(bare: World) -> None:
    main = next(each for each in bare.read().tables if any(a.get("Main") for a in each["Associations"]))
    igw = bare.wanted.internet_gateway
    bare.client.create_route(RouteTableId=main["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    found = bare.problems()
    assert len(found) == 2
    assert all(main["RouteTableId"] in each and "0.0.0.0/0" in each for each in found)
    bare.wanted = replace(bare.wanted, zones=())
    outcome = bare.build()
    assert outcome.route_tables == []  # the gateways' subnets reach the internet by the main table already


def main_table(world: World) -> str:
    [found] = [each for each in world.read().tables if any(a.get("Main") for a in each["Associations"])]
    return str(found["RouteTableId"])


def test_subnets_follow_a_main_table_that_is_the_deployments(bare: World) -> None:
    main, igw = main_table(bare), bare.wanted.internet_gateway
    bare.client.create_route(RouteTableId=main, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    bare.tag(main, vpnha_deployment=bare.deployment.name, vpnha_table="app")
    assert all(each.startswith(f"{main} is the VPC's main route table") for each in bare.problems()) and bare.problems()
    bare.tag(main, vpnha_zone=B)
    outcome = bare.build()
    assert [each["id"] for each in outcome.route_tables] == [main]  # neither app subnet gets a table of its own
    home = outcome.interfaces["gw-b"]["id"]
    assert routes_of(bare, main) == {"0.0.0.0/0": igw, HQ: home, PLANT: home}
    assert bare.view().table_zones == {main: B}
    assert bare.build().changes == []
    [row] = [row for row in swapped(bare, "gw-a") if row["destination"] == HQ]
    assert (row["route_table_id"], row["zone"], row["accepted"]) == (main, B, True)
    network_removal.remove(bare.client, bare.deployment.name, check=False)
    assert routes_of(bare, main) == {"0.0.0.0/0": igw}


def swapped(world: World, gateway: str) -> list[dict[str, Any]]:
    world.launch(gateway)
    report = run(world.client, world.deployment, Wish(Choice(gateway=gateway)), check=False, wall=NOW)
    assert not report.failure
    world.client.terminate_instances(InstanceIds=[world.view().instances[gateway].instance_id])
    return report.routes


def test_a_main_table_with_routes_is_not_adopted_by_itself(bare: World) -> None:
    main = main_table(bare)
    bare.client.create_route(
        RouteTableId=main, DestinationCidrBlock="0.0.0.0/0", GatewayId=bare.wanted.internet_gateway
    )
    bare.wanted = replace(bare.wanted, adopt=True)
    found = bare.problems()
    assert len(found) == 2 and all(f"main route table {main}, which other subnets use too" in each for each in found)
    assert all("tag the main table vpnha:deployment=" in each for each in found)


def test_an_edge_table_is_refused_by_its_id_whatever_its_zone(bare: World) -> None:
    table, igw = bare.new_table(), bare.wanted.internet_gateway
    bare.client.associate_route_table(RouteTableId=table, GatewayId=igw)
    assert bare.problems() == []  # without tags it is nobody's
    bare.tag(table, vpnha_deployment=bare.deployment.name, vpnha_table="app", vpnha_zone=A)
    [problem] = bare.problems()
    assert problem.startswith(f"{table} is the edge table of {igw}")
    assert bare.view().refused_tables == {table: problem}


def test_a_gateways_subnet_without_a_way_out_is_refused(bare: World) -> None:
    table = bare.new_table(bare.wanted.public_subnets[0])
    [problem] = bare.problems()
    assert table in problem
    assert "no default route" in problem


def test_a_gateway_in_another_vpc_is_refused(world: World) -> None:
    other = world.client.create_vpc(CidrBlock="10.251.0.0/16")["Vpc"]["VpcId"]
    world.wanted = replace(world.wanted, vpc_id=other)
    assert any(
        f"gw-a is in another VPC: its interface {world.eni('gw-a')} is in {world.vpc}" in p for p in world.problems()
    )


def test_a_subnet_of_another_vpc_is_refused(bare: World) -> None:
    other = bare.client.create_vpc(CidrBlock="10.252.0.0/16")["Vpc"]["VpcId"]
    subnet = bare.client.create_subnet(VpcId=other, CidrBlock="10.252.0.0/24", AvailabilityZone=A)["Subnet"]["SubnetId"]
    first = replace(bare.wanted.interfaces[0], subnet_id=subnet, address="10.252.0.10")
    bare.wanted = replace(bare.wanted, interfaces=(first, bare.wanted.interfaces[1]))
    assert f"gw-a would be in {other} ({subnet}), not in {bare.vpc}." in bare.problems()


def test_a_taken_address_is_refused(bare: World) -> None:
    wanted = bare.wanted.interfaces[0]
    bare.client.create_network_interface(SubnetId=wanted.subnet_id, PrivateIpAddress=wanted.address)
    [problem] = bare.problems()
    assert problem.startswith(f"{wanted.address} in {wanted.subnet_id} is taken by eni-")


def test_an_address_cannot_be_changed(world: World) -> None:
    first = replace(world.wanted.interfaces[0], address=world.wanted.interfaces[0].address[:-2] + "99")
    world.wanted = replace(world.wanted, interfaces=(first, world.wanted.interfaces[1]))
    [problem] = world.problems()
    assert "which cannot become" in problem


def test_a_subnet_of_another_zone_is_refused(bare: World) -> None:
    swapped = (replace(bare.wanted.zones[0], subnets=(app_subnet(bare, B),)),)
    bare.wanted = replace(bare.wanted, zones=swapped)
    assert any(f"is in {B}, so it cannot be a subnet of zone {A}" in each for each in bare.problems())


def test_a_zone_needs_its_home_gateway(bare: World) -> None:
    bare.wanted = replace(bare.wanted, interfaces=bare.wanted.interfaces[1:])
    [problem] = bare.problems()
    assert problem.startswith(f"Zone {A} has gw-a as its home gateway")


def test_without_destinations_no_home_gateway_is_needed(bare: World) -> None:
    bare.wanted = replace(bare.wanted, interfaces=(), destinations=())
    assert {change.after for change in bare.build().changes if "route table" in change.subject}
    bare.wanted = replace(bare.wanted, destinations=(HQ,))
    assert len(bare.problems()) == 2


# --- Removing ------------------------------------------------------------------------------------------------------


def remove(world: World, *, check: bool = False) -> list[str]:
    outcome = network_removal.remove(world.client, world.deployment.name, check)
    return [str(change) for change in outcome.changes]


def test_all_that_was_made_goes_and_nothing_else(bare: World) -> None:
    foreign = bare.new_table(app_subnet(bare, A))
    igw = bare.wanted.internet_gateway
    bare.client.create_route(RouteTableId=foreign, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    bare.wanted = replace(bare.wanted, adopt=True)
    bare.build()
    would = remove(bare, check=True)
    assert len(bare.read().interfaces) == 2
    assert remove(bare) == would
    found = bare.read()
    assert found.interfaces == []
    assert found.addresses == []
    assert routes_of(bare, foreign) == {"0.0.0.0/0": igw}
    [left] = [each for each in found.tables if each["RouteTableId"] == foreign]
    assert tags.to_dict(left.get("Tags")) == {}
    assert found.table_of(app_subnet(bare, A))[0] == left
    assert not [each for each in found.tables if network.is_of(each, bare.deployment.name)]
    assert remove(bare) == []


def test_interfaces_in_use_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_removal, "_PATIENCE", 0.01)
    with pytest.raises(VpnhaError, match="terminate the instances first: eni-"):
        remove(world)
    assert len(world.view().routes) == 4


# --- IPv6 -----------------------------------------------------------------------------------------------------------

SIX = "2001:db8:a10::/48"


def _with_ipv6(world: World, number: int) -> World:
    """The same, its subnets with networks of IPv6, and a prefix of IPv6 to route."""
    world.client.associate_vpc_cidr_block(VpcId=world.vpc, AmazonProvidedIpv6CidrBlock=True)
    for n, subnet in enumerate(world.subnets.values()):
        world.client.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=f"2001:db8:2f{number}:{n}::/64")
    world.wanted = replace(
        world.wanted,
        interfaces=tuple(replace(each, ipv6=True) for each in world.wanted.interfaces),
        destinations=(*world.wanted.destinations, SIX),
    )
    return world


def _addresses(world: World, name: str) -> list[str]:
    [eni] = [each for each in world.read().interfaces if tags.to_dict(each["TagSet"])["Name"] == name]
    return [each["Ipv6Address"] for each in eni["Ipv6Addresses"]]


def _leads(world: World, zone: str) -> str | None:
    [table] = world.client.describe_route_tables(RouteTableIds=[world.table(zone)])["RouteTables"]
    [route] = [each for each in table["Routes"] if each.get("DestinationIpv6CidrBlock") == SIX]
    return str(route["NetworkInterfaceId"])


def test_a_prefix_of_ipv6_is_one_more_route_and_the_interfaces_have_an_address(bare: World) -> None:
    world = _with_ipv6(bare, 0)
    outcome = world.build()
    assert _leads(world, A) == outcome.interfaces["gw-a"]["id"]
    assert len(_addresses(world, "gw-a")) == 1
    assert world.build().changes == []


def test_an_interface_that_is_there_gets_an_address_once(world: World) -> None:
    changed = _with_ipv6(world, 1)
    said = [str(change) for change in changed.build().changes]
    assert "interface of gw-a: without IPv6 -> with an address of IPv6" in said
    assert len(_addresses(changed, "gw-a")) == 1
    assert changed.build().changes == []


def test_a_prefix_of_ipv6_is_swapped_like_any_other(bare: World) -> None:
    world = _with_ipv6(bare, 2)
    world.build()
    world.launch("gw-a", "gw-b")
    sites = tuple(
        replace(site, prefixes=(*site.prefixes, SIX)) if site.name == "hq" else site for site in world.deployment.sites
    )
    deployment = replace(world.deployment, sites=sites)
    run(world.client, deployment, Wish(Choice(gateway="gw-b", zones=(A,))), check=False, wall=NOW)
    assert _leads(world, A) == world.eni("gw-b")
