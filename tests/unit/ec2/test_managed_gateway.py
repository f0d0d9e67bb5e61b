# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed gateway in EC2: routes to it and back, a person's swap, and the host routes by which it is probed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import manual_swap, network, network_removal, pace, tags
from ansible_collections.vpnha.aws.plugins.module_utils.ec2_view import Snapshot, view_of
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish
from ansible_collections.vpnha.aws.plugins.module_utils.model import ManagedGateway, ManagedProbe, RouteKey, Swap
from ansible_collections.vpnha.aws.plugins.module_utils.overview import overview
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice, swap_all

from .conftest import HQ, NOW, PLANT, A, B, World

PROBES = ("192.168.10.10", "192.168.20.10")


class Calls:
    """A client that notes the arguments of what changes routes."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.noted: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)

        def call(**arguments: Any) -> Any:
            self.noted += [arguments] if name in ("replace_route", "create_route") else []
            return real(**arguments)

        return call if name in ("replace_route", "create_route") else real


def vpn_gateway(world: World, *, attached: bool = True) -> str:
    made = world.client.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    if attached:
        world.client.attach_vpn_gateway(VpcId=world.vpc, VpnGatewayId=made)
    return str(made)


def take(world: World, vgw: str, *home_zones: str) -> World:
    """The world with a managed gateway, and with a monitor that probes it."""
    probes = tuple(ManagedProbe(site.name, site.probe_targets[0]) for site in world.deployment.sites)
    use = "home" if home_zones else "last_resort"
    gateways = tuple(
        replace(gateway, home_zones=tuple(zone for zone in gateway.home_zones if zone not in home_zones))
        for gateway in world.deployment.gateways
    )
    managed = ManagedGateway("vgw", vgw, use, home_zones, probes)
    world.deployment = replace(world.deployment, gateways=gateways, managed_gateways=(managed,))
    first = world.wanted.interfaces[0]
    monitor = replace(first, name="mon-a", role="monitor", address=first.address.removesuffix("10") + "20")
    world.wanted = replace(
        world.wanted,
        interfaces=(*world.wanted.interfaces[:2], monitor),
        zones=tuple(replace(z, gateway="vgw") if z.zone in home_zones else z for z in world.wanted.zones),
        managed=(network.Managed("vgw", vgw, PROBES),),
    )
    return world


def targets(world: World, table: str) -> dict[str, str]:
    [found] = world.client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {
        route["DestinationCidrBlock"]: route.get("NetworkInterfaceId") or route["GatewayId"]
        for route in found["Routes"]
        if route.get("GatewayId") != "local"
    }


def tag_of(world: World, table: str) -> str | None:
    [found] = world.client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return tags.to_dict(found["Tags"]).get(tags.probes_of(world.deployment.name))


def public(world: World) -> str:
    assert world.outcome is not None
    [table] = [each["id"] for each in world.outcome.route_tables if each["kind"] == "public"]
    return str(table)


def swap(world: World, client: Any, target: str, gateway: str) -> Any:
    key = RouteKey(world.table(A), HQ)
    one = Swap(key, gateway, target, "manual")
    [result] = swap_all(client, [one], bucket=pace.TokenBucket(), deadline=time.monotonic() + 30)
    return result.accepted, result.error


# --- Swapping ------------------------------------------------------------------------------------------------------


def test_a_swap_to_it_names_it_as_a_gateway_and_a_swap_back_an_interface(world: World) -> None:
    vgw = vpn_gateway(world)
    take(world, vgw)
    calls = Calls(world.client)
    assert swap(world, calls, vgw, "vgw") == (True, "")
    route = world.view().routes[RouteKey(world.table(A), HQ)]
    assert (route.gateway, route.eni_id, route.target) == ("vgw", None, vgw)
    assert swap(world, calls, world.eni("gw-a"), "gw-a") == (True, "")
    assert world.view().routes[RouteKey(world.table(A), HQ)].gateway == "gw-a"
    assert [set(each) - {"RouteTableId", "DestinationCidrBlock"} for each in calls.noted] == [
        {"GatewayId"},
        {"NetworkInterfaceId"},
    ]


def test_a_swap_to_one_that_does_not_exist_is_refused_and_changes_nothing(world: World) -> None:
    take(world, "vgw-00000000")
    accepted, error = swap(world, world.client, "vgw-00000000", "vgw")
    assert accepted is False
    assert error == "InvalidVpnGatewayID.NotFound"
    assert world.view().routes[RouteKey(world.table(A), PLANT)].gateway == "gw-a"


def test_a_route_to_another_one_is_a_persons(world: World) -> None:
    other = vpn_gateway(world)
    take(world, other)
    assert swap(world, world.client, other, "vgw") == (True, "")
    world.client.detach_vpn_gateway(VpcId=world.vpc, VpnGatewayId=other)
    take(world, vpn_gateway(world))
    route = world.view().routes[RouteKey(world.table(A), HQ)]
    assert (route.gateway, route.target) == (None, other)


def test_what_it_propagates_is_no_route_of_ours() -> None:
    propagated = {"DestinationCidrBlock": HQ, "GatewayId": "vgw-1", "Origin": "EnableVgwRoutePropagation"}
    made = {"DestinationCidrBlock": HQ, "NetworkInterfaceId": "eni-1", "Origin": "CreateRoute"}
    table = {"RouteTableId": "rtb-1", "VpcId": "vpc-1", "Tags": [{"Key": tags.ZONE, "Value": A}]}
    plan = _plan()
    for routes, missing in (([made, propagated], set()), ([propagated], {RouteKey("rtb-1", HQ)})):
        view = view_of(Snapshot(tables=[{**table, "Routes": routes}]), plan, NOW)
        assert {key for key in view.missing_routes if key.destination == HQ} == missing
        assert all(route.target == "eni-1" for route in view.routes.values())


def _plan() -> Any:
    from tests.unit.plugins.module_utils.scenario import deployment, with_managed

    plan = with_managed(deployment())
    return replace(plan, zones=tuple(replace(zone, name=name) for zone, name in zip(plan.zones, (A, B), strict=True)))


def test_a_person_moves_routes_there_with_a_pin_and_home_again(world: World) -> None:
    vgw = vpn_gateway(world)
    take(world, vgw)
    to_it = Wish(Choice(gateway="vgw", zones=(A,)), pin_minutes=60, by="jane")
    assert manual_swap.run(world.client, world.deployment, to_it, check=True, wall=NOW).changed
    report = manual_swap.run(world.client, world.deployment, to_it, check=False, wall=NOW)
    assert {(row["before"], row["after"], row["accepted"]) for row in report.routes} == {("gw-a", "vgw", True)}
    assert report.failure == ""
    assert not manual_swap.run(world.client, world.deployment, to_it, check=False, wall=NOW + 10).changed
    view = world.view()
    assert view.table_pins[world.table(A)].gateway == "vgw"
    shown = overview(view, world.deployment, NOW)
    [managed] = shown["managed_gateways"]
    assert managed["carries"] == [f"{world.table(A)} {HQ}", f"{world.table(A)} {PLANT}"]
    assert f"{A} uses vgw (home is gw-a)." in shown["summary"]
    back = manual_swap.run(world.client, world.deployment, Wish(Choice(), unpin=True), check=False, wall=NOW)
    assert {row["after"] for row in back.routes} == {"gw-a", "gw-b"}


def test_a_name_that_is_nobodys_is_refused_with_all_the_names(world: World) -> None:
    take(world, vpn_gateway(world))
    with pytest.raises(VpnhaError, match=r"vgx is no gateway of the deployment; it has gw-a, gw-b, vgw\."):
        manual_swap.run(world.client, world.deployment, Wish(Choice(gateway="vgx")), check=False, wall=NOW)


# --- Making and removing -------------------------------------------------------------------------------------------


def test_its_probes_get_host_routes_in_the_monitors_table_only(bare: World) -> None:
    vgw = vpn_gateway(bare)
    take(bare, vgw)
    bare.outcome = bare.build()
    routes = targets(bare, public(bare))
    assert {destination: routes[destination] for destination in routes if destination != "0.0.0.0/0"} == {
        f"{probe}/32": vgw for probe in PROBES
    }
    assert tag_of(bare, public(bare)) == " ".join(PROBES)
    for zone, gateway in ((A, "gw-a"), (B, "gw-b")):
        assert targets(bare, bare.table(zone)) == dict.fromkeys((HQ, PLANT), bare.eni(gateway))
    assert bare.build().changes == []
    view = bare.view()
    assert {key.destination for key in {*view.routes, *view.missing_routes}} == {HQ, PLANT}


def test_check_mode_tells_of_them_and_makes_nothing(bare: World) -> None:
    vgw = vpn_gateway(bare)
    take(bare, vgw)
    said = [str(change) for change in bare.build(check=True).changes]
    assert any(f"{PROBES[0]}/32 -> vgw ({vgw})" in each for each in said)
    assert len(bare.build().changes) == len(said)


def test_another_probe_takes_the_place_of_one_that_nobody_wants(bare: World) -> None:
    vgw = vpn_gateway(bare)
    take(bare, vgw)
    bare.outcome = bare.build()
    bare.wanted = replace(bare.wanted, managed=(network.Managed("vgw", vgw, ("192.168.10.99", PROBES[1])),))
    bare.build()
    assert set(targets(bare, public(bare))) == {"0.0.0.0/0", "192.168.10.99/32", f"{PROBES[1]}/32"}
    assert tag_of(bare, public(bare)) == f"192.168.10.99 {PROBES[1]}"
    bare.wanted = replace(bare.wanted, managed=())
    bare.build()
    assert set(targets(bare, public(bare))) == {"0.0.0.0/0"}
    assert tag_of(bare, public(bare)) is None
    assert bare.build().changes == []


def test_from_a_persons_table_all_that_is_ours_goes_with_the_deployment_and_nothing_else(bare: World) -> None:
    vgw = vpn_gateway(bare)
    take(bare, vgw)
    theirs = bare.new_table(*bare.wanted.public_subnets)
    bare.client.create_route(
        RouteTableId=theirs, DestinationCidrBlock="0.0.0.0/0", GatewayId=bare.wanted.internet_gateway
    )
    bare.client.create_route(RouteTableId=theirs, DestinationCidrBlock="192.168.10.77/32", GatewayId=vgw)
    bare.build()
    assert set(targets(bare, theirs)) == {"0.0.0.0/0", "192.168.10.77/32", *(f"{probe}/32" for probe in PROBES)}
    network_removal.remove(bare.client, bare.deployment.name, check=False)
    assert set(targets(bare, theirs)) == {"0.0.0.0/0", "192.168.10.77/32"}
    assert tag_of(bare, theirs) is None


def test_missing_routes_of_a_zone_whose_home_it_is_lead_to_it(bare: World) -> None:
    vgw = vpn_gateway(bare)
    take(bare, vgw, A)
    outcome = bare.build()
    assert targets(bare, bare.table(A)) == {HQ: vgw, PLANT: vgw}
    assert targets(bare, bare.table(B)) == dict.fromkeys((HQ, PLANT), bare.eni("gw-b"))
    [table] = [each for each in outcome.route_tables if each["zone"] == A]
    assert table["routes"] == {HQ: vgw, PLANT: vgw}
    assert bare.build().changes == []
    away = overview(bare.view(), bare.deployment, NOW)["differences"]
    assert {each["zone"] for each in away} == {B}, "no instance runs there"


def test_one_that_is_not_there_or_not_attached_here_is_refused(bare: World) -> None:
    take(bare, "vgw-00000000")
    [problem] = bare.problems()
    assert problem.startswith("vgw-00000000, named for the managed gateway vgw, does not exist")
    loose = vpn_gateway(bare, attached=False)
    take(bare, loose)
    assert bare.problems() == [
        f"{loose}, named for the managed gateway vgw, is not attached; attach it to {bare.vpc} first."
    ]
    elsewhere = bare.client.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    bare.client.attach_vpn_gateway(VpcId=elsewhere, VpnGatewayId=loose)
    assert bare.problems()[0].endswith(f"is attached to {elsewhere}; attach it to {bare.vpc} first.")


def test_a_persons_host_route_to_a_probe_is_not_touched(bare: World) -> None:
    vgw = vpn_gateway(bare)
    take(bare, vgw)
    theirs = bare.new_table(*bare.wanted.public_subnets)
    for destination in ("0.0.0.0/0", f"{PROBES[0]}/32"):
        bare.client.create_route(
            RouteTableId=theirs, DestinationCidrBlock=destination, GatewayId=bare.wanted.internet_gateway
        )
    [problem] = bare.problems()
    assert problem == (
        f"{theirs}: {PROBES[0]}/32 leads to {bare.wanted.internet_gateway}, but vgw is probed through {vgw}; "
        "remove that route, or probe another address."
    )


def test_a_monitor_in_a_table_whose_routes_are_moved_is_refused(bare: World) -> None:
    take(bare, vpn_gateway(bare))
    theirs = bare.new_table(
        *bare.wanted.public_subnets, vpnha_deployment=bare.deployment.name, vpnha_table="app", vpnha_zone=A
    )
    bare.client.create_route(
        RouteTableId=theirs, DestinationCidrBlock="0.0.0.0/0", GatewayId=bare.wanted.internet_gateway
    )
    assert any("managed gateway is probed by routes that must not move" in problem for problem in bare.problems())
