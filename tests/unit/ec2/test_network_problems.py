# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read before anything is changed, and what of it forbids the work."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import network, network_problems
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish, run
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice

from .conftest import HQ, NOW, PLANT, A, B, World


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
