# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which route table each subnet uses, as vpn_ha_info returns it."""

from __future__ import annotations

from ansible_collections.vpnha.aws.plugins.module_utils import subnet_tables
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict
from tests.unit.module_process import run_module

from .conftest import REGION, A, B, World


def test_the_module_says_which_table_each_subnet_uses(world: World, url: str) -> None:
    net = world.deployment.vpc_cidrs[0].removesuffix("0.0/16")
    shared, other = world.new_subnet(f"{net}18.0/24", B), world.new_subnet(f"{net}19.0/24", B)
    bare = world.new_subnet(f"{net}20.0/24", A)
    theirs = world.new_table(other)  # of somebody else
    world.client.associate_route_table(RouteTableId=world.table(A), SubnetId=shared)
    given = {"deployment": to_dict(world.deployment), "region": REGION, "endpoint_url": url}
    answer = run_module("vpn_ha_info", **given, subnets=True)
    assert answer.code == 0, answer.output
    found = {one["id"]: one for one in answer.result["subnets"]}
    assert set(found) == {*world.subnets.values(), shared, other, bare}
    assert found[shared] == {
        "id": shared, "zone": B, "cidrs": [f"{net}18.0/24"], "route_table_id": world.table(A), "associated": True,
    }  # fmt: skip
    assert found[world.subnets[f"{net}17.0/24"]]["route_table_id"] == world.table(B)
    assert found[other]["route_table_id"] == theirs
    main = [{"Name": "association.main", "Values": ["true"]}, {"Name": "vpc-id", "Values": [world.vpc]}]
    [table] = world.client.describe_route_tables(Filters=main)["RouteTables"]
    assert (found[bare]["route_table_id"], found[bare]["associated"]) == (table["RouteTableId"], False)
    assert "subnets" not in run_module("vpn_ha_info", **given).result


def test_nothing_is_known_of_a_deployment_that_ec2_does_not_show(bare: World, url: str) -> None:
    given = {"deployment": to_dict(bare.deployment), "region": REGION, "endpoint_url": url}
    assert run_module("vpn_ha_info", **given, subnets=True).result["subnets"] == []


def test_a_subnets_networks_are_those_of_both_families() -> None:
    subnet = {
        "SubnetId": "subnet-1", "AvailabilityZone": A, "CidrBlock": "10.20.16.0/24",
        "Ipv6CidrBlockAssociationSet": [
            {"Ipv6CidrBlock": "2001:db8:20:16::/64", "Ipv6CidrBlockState": {"State": "associated"}},
            {"Ipv6CidrBlock": "2001:db8:20:17::/64", "Ipv6CidrBlockState": {"State": "disassociated"}},
        ],
    }  # fmt: skip
    [found] = subnet_tables.of([subnet], [])
    assert found["cidrs"] == ["10.20.16.0/24", "2001:db8:20:16::/64"] and found["route_table_id"] is None
