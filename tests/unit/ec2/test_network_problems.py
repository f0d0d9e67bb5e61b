# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read before anything is changed, and what of it forbids the work."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import network, network_problems
from ansible_collections.vpnha.aws.plugins.module_utils.items import target_of
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish, run
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice

from .conftest import HQ, NOW, PLANT, A, B, World
from .test_managed_gateway import PROBES, vpn_gateway


def test_a_gateway_that_routes_lead_to_cannot_be_taken_out(world: World) -> None:
    """As its routes would belong to nobody, and its peers would be shut out."""
    [_zone_a, zone_b] = world.wanted.zones
    both = replace(world.wanted.zones[0], gateway="gw-b")
    world.wanted = replace(world.wanted, interfaces=world.wanted.interfaces[1:], zones=(both, zone_b))
    asked = replace(world.wanted, destinations=())  # as the role does before it changes anything
    [problem] = network_problems.problems(asked, world.read())
    table = world.table(A)
    assert problem.startswith(
        f"Routes still lead to gw-a, which is not described any more ({table}: {HQ}, {PLANT}), and nobody would"
    )
    assert "home_zones: []" in problem and "vpnha.aws.failback" in problem
    world.deployment = replace(
        world.deployment,
        gateways=(
            replace(world.deployment.gateways[0], home_zones=()),
            replace(world.deployment.gateways[1], home_zones=(A, B)),
        ),
    )
    report = run(world.client, world.deployment, Wish(Choice()), check=False, wall=NOW)
    assert not report.failure
    assert world.problems() == []
    assert world.build().changes == []


class Strict:
    """An EC2 that refuses calls with more than 200 values to filter by, and shows nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.meta = SimpleNamespace(region_name="eu-central-1")

    def __getattr__(self, name: str) -> Any:
        def call(Filters: Any = (), **_given: Any) -> dict[str, Any]:
            assert sum(len(each["Values"]) for each in Filters) <= 200, name
            self.asked.append(name)
            return {"Addresses": []}

        return call


def test_hundreds_of_subnets_and_addresses_are_read_in_several_calls() -> None:
    many = tuple(
        network.Interface(f"gw-{n}", "gateway", f"subnet-{n}", f"10.0.{n // 256}.{n % 256}", (), True)
        for n in range(300)
    )
    client = Strict()
    network.read(client, network.Network("d", "vpc-1", interfaces=many))
    assert client.asked.count("describe_subnets") == 2
    assert client.asked.count("describe_network_interfaces") == 3  # two for the addresses, one for our own


def private(world: World) -> None:
    """No host has a public address, so that the monitor's subnet stays on the main table."""
    first = world.wanted.interfaces[0]
    monitor = replace(first, name="mon-a", role="monitor", address=first.address.removesuffix("10") + "20")
    interfaces = tuple(replace(one, elastic_ip=False) for one in (*world.wanted.interfaces, monitor))
    world.wanted = replace(world.wanted, interfaces=interfaces, public_subnets=(), internet_gateway=None)


def with_one_more_subnet(world: World) -> World:
    net = world.deployment.vpc_cidrs[0].removesuffix(".0.0/16")
    zone, *others = world.wanted.zones
    more = replace(zone, subnets=(*zone.subnets, world.new_subnet(f"{net}.18.0/24", A)))
    world.wanted = replace(world.wanted, zones=(more, *others))
    return world


def main_routes(world: World) -> set[str]:
    [main] = [each for each in world.read().tables if any(one.get("Main") for one in each["Associations"])]
    return {target_of(route) for route in main["Routes"]} - {"local"}


def test_the_deployments_own_route_to_dynamodb_is_nothing_that_a_subnet_would_lose(bare: World) -> None:
    private(bare)
    bare.wanted = replace(bare.wanted, endpoints=("dynamodb",))
    outcome = bare.build()
    assert main_routes(bare) == {outcome.endpoints["dynamodb"]}
    assert with_one_more_subnet(bare).problems() == []
    bare.wanted = replace(bare.wanted, adopt=True)
    assert bare.problems() == []
    assert bare.build().changes


def test_nor_are_its_probes_of_a_managed_gateway_but_a_persons_route_is(bare: World) -> None:
    vgw = vpn_gateway(bare)
    private(bare)
    bare.wanted = replace(bare.wanted, managed=(network.Managed("vgw", vgw, PROBES),))
    bare.build()
    assert main_routes(bare) == {vgw}
    assert with_one_more_subnet(bare).problems() == []
    [main] = [each for each in bare.read().tables if any(one.get("Main") for one in each["Associations"])]
    bare.client.create_route(RouteTableId=main["RouteTableId"], DestinationCidrBlock="192.168.30.0/24", GatewayId=vgw)
    [problem] = bare.problems()
    assert f"would lose its routes (192.168.30.0/24 -> {vgw})" in problem
