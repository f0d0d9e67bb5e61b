# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first question to AWS, as Ansible runs it: whether it answers, which zones, and what there is of the VPC."""

from __future__ import annotations

from typing import Any

from tests.unit.module_process import run_module

from .conftest import REGION, A, B, World


def ask(url: str, **options: Any) -> dict[str, Any]:
    return run_module("aws_check", region=REGION, endpoint_url=url, **options).result


def test_a_vpc_with_what_is_in_it(bare: World, url: str) -> None:
    bare.client.create_tags(
        Resources=[bare.vpc], Tags=[{"Key": "Stage", "Value": "live_1"}, {"Key": "Shared", "Value": "true"}]
    )
    for filters in (
        {"vpc-id": bare.vpc},
        {"tag:Stage": ["live_1"], "vpc-id": [bare.vpc, "vpc-other"], "tag:Shared": True},
    ):
        found = ask(url, zones=[A, B], vpc_filters=filters)
        assert [vpc["vpc_id"] for vpc in found["vpcs"]] == [bare.vpc] and not found["changed"]
        assert {"Key": "Stage", "Value": "live_1"} in found["vpcs"][0]["tags"]
        assert {subnet["cidr_block"]: subnet["subnet_id"] for subnet in found["subnets"]} == bare.subnets
        assert {subnet["availability_zone"] for subnet in found["subnets"]} == {A, B}
        assert [one["internet_gateway_id"] for one in found["internet_gateways"]] == [bare.wanted.internet_gateway]


def test_nothing_is_looked_for_in_no_vpc_or_in_several(bare: World, url: str) -> None:
    other = bare.client.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    none = ask(url, vpc_filters={"tag:Name": "nobody's"})
    assert (none["vpcs"], none["subnets"], none["internet_gateways"]) == ([], [], [])
    both = ask(url, vpc_filters={"vpc-id": [bare.vpc, other]})
    assert {vpc["vpc_id"] for vpc in both["vpcs"]} == {bare.vpc, other} and both["subnets"] == []
    assert ask(url)["vpcs"] == []


def test_a_key_pair_is_found_by_its_name(bare: World, url: str) -> None:
    name = f"{bare.deployment.name}-admin"
    assert ask(url, key_name=name)["key_pairs"] == ask(url)["key_pairs"] == []
    bare.client.create_key_pair(KeyName=name)
    assert ask(url, key_name=name)["key_pairs"] == [name]


def test_what_is_wrong_is_one_sentence(bare: World, url: str) -> None:
    refused = ask(url, zones=[A, "eu-central-1x"])
    assert refused["failed"] and "has no zone eu-central-1x for this account; it has eu-central-1a" in refused["msg"]
    refused = ask(url, vpc_filters={"no-such-filter": "x"})
    assert refused["failed"] and refused["msg"].startswith("AWS cannot be asked for the VPC: ")
    assert refused["msg"].endswith("Nothing was changed.")
