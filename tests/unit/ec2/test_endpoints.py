# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VPC endpoints of the monitors: made once, kept in step, gone when they are not wanted, and nobody else's touched."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import endpoints_build, network_removal
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.network import Interface
from ansible_collections.vpnha.aws.plugins.module_utils.network_worker import NEW, Worker
from tests.unit.module_process import run_module

from .conftest import REGION, A, World

BOTH = ("ec2", "monitoring")


@pytest.fixture
def watched(bare: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A deployment with a monitor in each zone, in a VPC whose DNS gives names; nothing is waited for."""
    monkeypatch.setattr(endpoints_build, "_PAUSE", 0.0)
    bare.client.modify_vpc_attribute(VpcId=bare.vpc, EnableDnsHostnames={"Value": True})
    group = bare.wanted.interfaces[0].security_groups
    monitors = tuple(
        Interface(f"mon-{gateway.name[-1]}", "monitor", gateway.subnet_id, f"{gateway.address[:-2]}20", group, False)
        for gateway in bare.wanted.interfaces
    )
    bare.wanted = replace(bare.wanted, interfaces=(*bare.wanted.interfaces, *monitors), endpoints=BOTH)
    return bare


def there(world: World) -> dict[str, dict[str, Any]]:
    """The VPC's endpoints that are not going, by service."""
    found = world.client.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [world.vpc]}])["VpcEndpoints"]
    return {one["ServiceName"].rpartition(".")[2]: one for one in found if one["State"] != "deleting"}


def groups(world: World) -> list[dict[str, Any]]:
    """The endpoints' security groups."""
    name = f"{world.deployment.name}-endpoint"
    return list(
        world.client.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
    )


def somebodys(world: World, service: str, **more: Any) -> str:
    made = world.client.create_vpc_endpoint(
        VpcId=world.vpc, ServiceName=f"com.amazonaws.{REGION}.{service}", **more
    )  # fmt: skip
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def test_one_for_each_service_in_each_zone_of_a_monitor_and_nothing_the_second_time(watched: World) -> None:
    outcome = watched.build()
    subnets = {one.subnet_id for one in watched.wanted.interfaces if one.role == "monitor"}
    found = there(watched)
    assert outcome.endpoints == {service: found[service]["VpcEndpointId"] for service in BOTH}
    for one in found.values():
        assert (one["VpcEndpointType"], one["PrivateDnsEnabled"], set(one["SubnetIds"])) == ("Interface", True, subnets)
        tag = {each["Key"]: each["Value"] for each in one["Tags"]}
        assert tag["vpnha:made"] == tag["vpnha:deployment"] == watched.deployment.name
    [group] = groups(watched)
    assert {each["GroupId"] for one in found.values() for each in one["Groups"]} == {group["GroupId"]}
    [rule] = group["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
    # the whole VPC: with private DNS everybody's way to that API leads there
    assert [each["CidrIp"] for each in rule["IpRanges"]] == list(watched.deployment.vpc_cidrs)
    assert watched.build().changes == []


def test_check_mode_says_it_and_makes_nothing(watched: World) -> None:
    watched.wanted = replace(watched.wanted, endpoints=(*BOTH, "dynamodb"))
    outcome = watched.build(check=True)
    assert outcome.endpoints == dict.fromkeys((*BOTH, "dynamodb"), NEW)
    assert there(watched) == {} and groups(watched) == []
    assert len(watched.build().changes) == len(outcome.changes)


def test_none_is_wanted_so_none_is_made_and_one_call_asks(bare: World) -> None:
    asked: list[str] = []
    bare.client.meta.events.register("before-call.ec2", lambda model, **_: asked.append(model.name), "count")
    try:
        bare.read()
    finally:
        bare.client.meta.events.unregister("before-call.ec2", unique_id="count")
    assert [each for each in asked if "Endpoint" in each or "Vpcs" in each] == ["DescribeVpcEndpoints"]
    assert bare.build().endpoints == {} and there(bare) == {}


def test_what_is_not_wanted_any_more_goes_and_the_group_with_the_last(watched: World) -> None:
    watched.build()
    theirs = somebodys(watched, "sqs", VpcEndpointType="Interface")
    watched.wanted = replace(watched.wanted, endpoints=("ec2",))
    [change] = watched.build().changes
    assert str(change).startswith("endpoint for monitoring: vpce-")
    assert set(there(watched)) == {"ec2", "sqs"} and len(groups(watched)) == 1
    watched.wanted = replace(watched.wanted, endpoints=())
    would = [str(change) for change in watched.build(check=True).changes]
    assert set(there(watched)) == {"ec2", "sqs"}
    assert [str(change) for change in watched.build().changes] == would
    assert there(watched)["sqs"]["VpcEndpointId"] == theirs
    assert set(there(watched)) == {"sqs"} and groups(watched) == []
    assert watched.build().changes == []


def test_it_follows_the_monitors_zones(watched: World) -> None:
    both = watched.wanted
    watched.wanted = replace(both, interfaces=both.interfaces[:3], endpoints=("ec2",))
    watched.build()
    assert there(watched)["ec2"]["SubnetIds"] == [both.interfaces[2].subnet_id]
    watched.wanted = replace(both, interfaces=(*both.interfaces[:2], both.interfaces[3]), endpoints=("ec2",))
    changes = [str(each) for each in watched.build().changes if each.subject == "endpoint for ec2"]
    assert changes == [
        f"endpoint for ec2: subnets {both.interfaces[2].subnet_id} -> subnets {both.interfaces[3].subnet_id}"
    ]
    assert there(watched)["ec2"]["SubnetIds"] == [both.interfaces[3].subnet_id]
    assert watched.build().changes == []


def test_what_somebody_has_changed_is_put_right(watched: World) -> None:
    watched.build()
    [group] = groups(watched)
    mine = there(watched)["ec2"]["VpcEndpointId"]
    other = watched.wanted.interfaces[0].security_groups[0]
    watched.client.modify_vpc_endpoint(
        VpcEndpointId=mine, AddSecurityGroupIds=[other], RemoveSecurityGroupIds=[group["GroupId"]]
    )
    watched.client.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    watched.client.delete_tags(Resources=[mine], Tags=[{"Key": "Name"}])
    assert len(watched.build().changes) == 3
    assert [each["GroupId"] for each in there(watched)["ec2"]["Groups"]] == [group["GroupId"]]
    assert groups(watched)[0]["IpPermissions"] == group["IpPermissions"]
    assert watched.build().changes == []


def test_one_that_somebody_else_has_made_serves_and_is_left_alone(watched: World) -> None:
    theirs = somebodys(watched, "ec2", VpcEndpointType="Interface", PrivateDnsEnabled=True)
    outcome = watched.build()
    assert outcome.endpoints["ec2"] == theirs
    assert there(watched)["ec2"].get("SubnetIds", []) == []
    assert outcome.endpoints["monitoring"] != theirs
    watched.wanted = replace(watched.wanted, endpoints=())
    watched.build()
    assert set(there(watched)) == {"ec2"}


def test_one_of_somebody_else_without_private_dns_serves_nobody_but_them(watched: World) -> None:
    theirs = somebodys(watched, "ec2", VpcEndpointType="Interface", PrivateDnsEnabled=False)
    assert watched.build().endpoints["ec2"] != theirs
    assert watched.build().changes == []


# --- DynamoDB ------------------------------------------------------------------------------------------------------


def lists_of(world: World, table: str) -> dict[str, str]:
    """A table's routes for prefix lists, to what they lead."""
    [found] = world.client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {
        route["DestinationPrefixListId"]: route.get("GatewayId", "")
        for route in found["Routes"]
        if "DestinationPrefixListId" in route
    }


def test_dynamodb_is_reached_by_a_route_of_the_monitors_table_and_no_other(watched: World) -> None:
    watched.wanted = replace(watched.wanted, endpoints=("dynamodb",))
    outcome = watched.build()
    [public] = [each["id"] for each in outcome.route_tables if each["kind"] == "public"]
    assert list(lists_of(watched, public).values()) == [outcome.endpoints["dynamodb"]]
    assert there(watched)["dynamodb"]["VpcEndpointType"] == "Gateway"
    assert lists_of(watched, watched.table(A)) == {} and groups(watched) == []
    assert watched.build().changes == []
    watched.wanted = replace(watched.wanted, endpoints=())
    watched.build()
    assert lists_of(watched, public) == {} and there(watched) == {}


def test_in_subnets_that_are_not_public_the_route_is_in_the_table_that_they_use(watched: World) -> None:
    monitor = watched.wanted.interfaces[2]
    table = watched.new_table(monitor.subnet_id)
    interfaces = tuple(replace(one, elastic_ip=False) for one in watched.wanted.interfaces[:3])
    watched.wanted = replace(
        watched.wanted, interfaces=interfaces, public_subnets=(), internet_gateway=None, endpoints=("dynamodb",)
    )
    outcome = watched.build()
    assert list(lists_of(watched, table).values()) == [outcome.endpoints["dynamodb"]]
    assert [each for each in outcome.route_tables if each["kind"] == "public"] == []
    assert watched.build().changes == []


def test_a_table_that_leads_to_somebodys_endpoint_is_left_as_it_is(watched: World) -> None:
    [public] = [each["id"] for each in watched.build().route_tables if each["kind"] == "public"]
    theirs = somebodys(watched, "dynamodb", VpcEndpointType="Gateway", RouteTableIds=[public])
    watched.wanted = replace(watched.wanted, endpoints=(*BOTH, "dynamodb"))
    outcome = watched.build()
    assert (outcome.changes, outcome.endpoints["dynamodb"]) == ([], theirs)


# --- What stands in the way ----------------------------------------------------------------------------------------


def test_a_vpc_whose_dns_gives_no_names_is_refused(watched: World) -> None:
    watched.client.modify_vpc_attribute(VpcId=watched.vpc, EnableDnsHostnames={"Value": False})
    [problem] = watched.problems()
    assert problem.startswith(f"{watched.vpc} has enableDnsHostnames switched off")
    watched.wanted = replace(watched.wanted, endpoints=("dynamodb",))
    assert watched.problems() == []


def test_a_service_that_the_region_or_a_zone_lacks_is_refused(watched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = watched.read()
    offers = [dict(each) for each in found.endpoints.offers if not each["ServiceName"].endswith(".monitoring")]
    for each in offers:
        each["AvailabilityZones"] = [A]
    fewer = replace(found, endpoints=replace(found.endpoints, offers=offers))
    monkeypatch.setattr(watched, "read", lambda: fewer)
    assert watched.problems() == [
        f"com.amazonaws.{REGION}.ec2 has no endpoint in eu-central-1b, where a monitor is; place the monitor in {A}, "
        "or want none for ec2.",
        f"{REGION} offers no endpoint for monitoring; want none for it.",
    ]


def test_one_of_ours_that_has_failed_is_told_by_its_id(watched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.build()
    found = watched.read()
    broken = [{**each, "State": "Failed"} for each in found.endpoints.endpoints]
    monkeypatch.setattr(watched, "read", lambda: replace(found, endpoints=replace(found.endpoints, endpoints=broken)))
    ids = [each["VpcEndpointId"] for each in broken]
    assert len(ids) == 2
    for endpoint_id in ids:
        assert any(f"{endpoint_id} for " in each and "is failed; delete it" in each for each in watched.problems())


def test_a_deletion_that_ec2_refuses_is_an_error(watched: World) -> None:
    watched.build()
    real = watched.client

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def delete_vpc_endpoints(self, **_arguments: Any) -> Any:
            return {"Unsuccessful": [{"ResourceId": "vpce-1", "Error": {"Message": "It is in use."}}]}

    watched.client, watched.wanted = Refusing(), replace(watched.wanted, endpoints=())
    with pytest.raises(VpnhaError, match=r"could not delete the endpoint for .*: It is in use"):
        watched.build()


def test_what_does_not_go_is_told(watched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.build()
    ids = [one["VpcEndpointId"] for one in there(watched).values()]
    slept: list[float] = []
    monkeypatch.setattr(endpoints_build, "_PAUSE", 200.0)
    with pytest.raises(VpnhaError, match="is still there after 600 s; run this again later"):
        endpoints_build._wait_gone(Worker(watched.client, False, slept.append), ids)
    assert slept == [200.0] * 3


# --- Teardown, and the module --------------------------------------------------------------------------------------


def test_a_teardown_leaves_nothing_that_would_keep_the_subnets(watched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    watched.wanted = replace(watched.wanted, endpoints=(*BOTH, "dynamodb"))
    watched.build()
    name = watched.deployment.name
    would = [str(each) for each in network_removal.remove(watched.client, name, True).changes]
    assert len(there(watched)) == 3
    assert [str(each) for each in network_removal.remove(watched.client, name, False).changes] == would
    assert there(watched) == {} and groups(watched) == []
    for subnet in watched.subnets.values():
        watched.client.delete_subnet(SubnetId=subnet)
    assert network_removal.remove(watched.client, name, False).changes == []


def test_the_module_makes_them_and_says_their_ids(watched: World, url: str) -> None:
    given = {
        "deployment": watched.deployment.name,
        "vpc_id": watched.vpc,
        "interfaces": [
            {
                "name": one.name,
                "role": one.role,
                "subnet_id": one.subnet_id,
                "address": one.address,
                "security_groups": list(one.security_groups),
                "elastic_ip": one.elastic_ip,
            }
            for one in watched.wanted.interfaces
        ],
        "endpoints": ["ec2"],
        "region": REGION,
        "endpoint_url": url,
    }
    answer = run_module("gateway_network", **given)
    assert answer.code == 0, answer.output
    assert answer.result["endpoints"] == {"ec2": there(watched)["ec2"]["VpcEndpointId"]}
    assert run_module("gateway_network", **given).result["changed"] is False
    wrong = run_module("gateway_network", **{**given, "endpoints": ["s3"]})
    assert wrong.code != 0 and "endpoints must be one or more of" in wrong.result["msg"]
