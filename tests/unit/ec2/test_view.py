# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a read of EC2 says: which tables are looked after, who owns a route, which marks count."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import tags
from ansible_collections.vpnha.aws.plugins.module_utils.ec2_view import Snapshot, read_snapshot, view_of
from ansible_collections.vpnha.aws.plugins.module_utils.items import zone_of_table
from ansible_collections.vpnha.aws.plugins.module_utils.model import RepairMark, RouteKey

from .conftest import HQ, NOW, PLANT, World

A, B = "eu-central-1a", "eu-central-1b"
ZONES = {"s-a": A, "s-a2": A, "s-b": B, "s-c": "eu-central-1c"}


def table(*subnets: str, main: bool = False, **more: str) -> dict[str, Any]:
    associations: list[dict[str, Any]] = [{"SubnetId": subnet, "Main": False} for subnet in subnets]
    if main:
        associations.append({"Main": True})
    pairs = [{"Key": key.replace("_", ":"), "Value": value} for key, value in more.items()]
    return {"RouteTableId": "rtb-1", "VpcId": "vpc-1", "Associations": associations, "Tags": pairs}


def edge(*gateways: str, **more: str) -> dict[str, Any]:
    return {**table(**more), "Associations": [{"GatewayId": gateway, "Main": False} for gateway in gateways]}


@pytest.mark.parametrize(
    ("given", "zone", "why"),
    [
        (table("s-a", "s-a2"), A, ""),
        (table("s-b", vpnha_zone=A), A, ""),
        (table("s-a", "s-b", vpnha_zone=B), B, ""),
        (table("s-a", main=True, vpnha_zone=A), A, ""),
        (table("s-a", "s-b"), None, "rtb-1 is shared by subnets of eu-central-1a and eu-central-1b; tag it vpnha:zone"),
        (table("s-a", main=True), None, "rtb-1 is the VPC's main route table"),
        (table(), None, "rtb-1 has no associated subnet"),
        (table("s-c"), None, "rtb-1 belongs to eu-central-1c, which is no zone of the deployment"),
        (table("s-a", vpnha_zone="mars"), None, "vpnha:zone says mars"),
        (edge("igw-1", vpnha_zone=A), None, "rtb-1 is the edge table of igw-1, which can have no route out of the VPC"),
        (edge("igw-1", "vgw-1"), None, "rtb-1 is the edge table of igw-1 and vgw-1"),
    ],
)
def test_the_zone_of_a_table(given: dict[str, Any], zone: str | None, why: str) -> None:
    found, said = zone_of_table(given, ZONES, [A, B])
    assert found == zone
    assert said.startswith(why) if why.startswith("rtb") else why in said
    assert (found is None) == bool(said)


def test_a_deployment_is_read_whole(world: World) -> None:
    view = world.view()
    table_a = world.table(A)
    assert {route.gateway for key, route in view.routes.items() if key.table_id == table_a} == {"gw-a"}
    assert {key.destination for key in view.routes} == {HQ, PLANT}
    assert len(view.routes) == 4
    assert not view.missing_routes
    assert not view.refused_tables
    assert view.vpc_id == world.vpc
    assert set(view.table_vpcs.values()) == {world.vpc}
    instance = view.instances["gw-a"]
    assert (instance.state, instance.source_dest_check, instance.vpc_id) == ("running", False, world.vpc)
    assert (instance.system_status, instance.instance_status) == ("ok", "ok")


def test_many_tables_hold_up_nothing_else() -> None:
    asked = threading.Event()

    class Client:
        def describe_route_tables(self, **_given: Any) -> dict[str, Any]:
            assert asked.wait(60), "the status checks are read after the tables"
            return {"RouteTables": []}

        def describe_instances(self, **_given: Any) -> dict[str, Any]:
            return {"Reservations": [{"Instances": [{"InstanceId": "i-1"}]}]}

        def describe_instance_status(self, **given: Any) -> dict[str, Any]:
            asked.set()
            return {"InstanceStatuses": [{"InstanceId": each} for each in given["InstanceIds"]]}

        def describe_network_interfaces(self, **_given: Any) -> dict[str, Any]:
            return {}

        describe_vpcs = describe_network_interfaces

    assert read_snapshot(Client(), "lab").statuses == [{"InstanceId": "i-1"}]


def test_a_table_added_by_tag_is_looked_after_by_its_subnets(world: World) -> None:
    subnet = world.new_subnet(world.deployment.vpc_cidrs[0].replace(".0.0/16", ".18.0/24"), B)
    added = world.new_table(subnet, vpnha_deployment=world.deployment.name, vpnha_table="app")
    view = world.view()
    assert view.table_zones[added] == B
    assert view.missing_routes == {RouteKey(added, HQ), RouteKey(added, PLANT)}


def test_a_table_shared_by_two_zones_is_refused_by_its_id(world: World) -> None:
    net = world.deployment.vpc_cidrs[0]
    subnets = [world.new_subnet(net.replace(".0.0/16", f".{n}.0/24"), zone) for n, zone in ((18, A), (19, B))]
    shared = world.new_table(*subnets, vpnha_deployment=world.deployment.name, vpnha_table="app")
    view = world.view()
    assert shared in view.refused_tables[shared]
    assert shared not in view.table_zones
    assert all(key.table_id != shared for key in (*view.routes, *view.missing_routes))
    world.tag(shared, vpnha_zone=A)
    assert world.view().table_zones[shared] == A


def test_a_route_that_points_elsewhere_belongs_to_nobody(world: World) -> None:
    key = RouteKey(world.table(A), HQ)
    world.client.replace_route(
        RouteTableId=key.table_id, DestinationCidrBlock=HQ, GatewayId=world.wanted.internet_gateway
    )
    route = world.view().routes[key]
    assert (route.gateway, route.eni_id, route.target) == (None, None, world.wanted.internet_gateway)


def test_a_deleted_route_is_missing(world: World) -> None:
    key = RouteKey(world.table(A), HQ)
    world.client.delete_route(RouteTableId=key.table_id, DestinationCidrBlock=HQ)
    view = world.view()
    assert view.missing_routes == {key}
    assert key not in view.routes
    assert not view.carried_elsewhere


@pytest.mark.parametrize(
    ("wider", "carried"), [("192.168.0.0/16", True), ("0.0.0.0/1", False), ("172.16.0.0/12", False)]
)
def test_a_missing_route_may_be_one_whose_packets_somebody_elses_route_takes(
    world: World, wider: str, carried: bool
) -> None:
    key = RouteKey(world.table(A), HQ)
    world.client.delete_route(RouteTableId=key.table_id, DestinationCidrBlock=HQ)
    world.client.create_route(
        RouteTableId=key.table_id, DestinationCidrBlock=wider, GatewayId=world.wanted.internet_gateway
    )
    assert world.view().carried_elsewhere == ({key} if carried else set())


def test_a_stopped_gateway_is_seen_with_its_blackholes(world: World) -> None:
    world.stop("gw-a")
    view = world.view()
    assert view.instances["gw-a"].state == "stopped"
    assert all(route.blackhole == (route.gateway == "gw-a") for route in view.routes.values())


def test_a_terminated_gateway_is_absent_and_keeps_its_interface(world: World) -> None:
    before = world.eni("gw-a")
    world.client.terminate_instances(InstanceIds=[world.view().instances["gw-a"].instance_id])
    instance = world.view().instances["gw-a"]
    assert (instance.state, instance.instance_id, instance.eni_id) == ("absent", None, before)


def test_impaired_status_checks_are_seen(world: World, settings: Any) -> None:
    settings(impaired={world.view().instances["gw-b"].instance_id: "system"})
    assert world.view().instances["gw-b"].system_status == "impaired"
    assert world.view().instances["gw-a"].system_status == "ok"


def test_marks_are_read_wherever_they_stand(world: World) -> None:
    name, table_a = world.deployment.name, world.table(A)
    later = tags.format_time(datetime.now(UTC).timestamp() + 3600)
    world.tag(table_a, vpnha_pin=f"gateway=gw-b expires={later} by=jane", vpnha_pause=f"until={later}")
    world.tag(world.eni("gw-b"), vpnha_pause=f"until={later}")
    world.client.create_tags(
        Resources=[world.vpc],
        Tags=[
            {"Key": f"vpnha:pause:{name}", "Value": f"until={later} by=jane"},
            {"Key": f"vpnha:drill:{name}", "Value": f"id=x until={later}"},
            {"Key": "vpnha:pause:someone-else", "Value": f"until={later}"},
        ],
    )
    view = world.view()
    until = tags.parse_time(later)
    assert view.table_pins[table_a].gateway == "gw-b"
    assert view.table_pins[table_a].expires_wall == until
    assert view.paused_tables == {table_a: until}
    assert view.paused_gateways == {"gw-b": until}
    assert view.paused_deployment_until_wall == until
    assert view.drill == "x"
    assert not view.unreadable_marks


def test_a_mark_that_cannot_be_read_counts_and_is_told(world: World) -> None:
    table_a = world.table(A)
    world.tag(table_a, vpnha_pin="please", vpnha_pause="yes")
    view = world.view()
    assert view.table_pins[table_a].expires_wall == tags.NO_EXPIRY
    assert view.paused_tables[table_a] == tags.NO_EXPIRY
    assert len(view.unreadable_marks) == 2
    assert all(sentence.startswith(table_a) for sentence in view.unreadable_marks)


def test_the_repairs_of_a_gateway_stand_on_its_interface(world: World) -> None:
    eni_id = world.view().instances["gw-b"].eni_id
    assert eni_id is not None and world.view().repairs == {}
    world.tag(eni_id, vpnha_repair="rung=reboot steps=2026-01-01T00:00:00Z")
    assert world.view().repairs == {"gw-b": RepairMark((tags.parse_time("2026-01-01T00:00:00Z"),), "reboot")}
    assert not world.view().unreadable_marks
    world.tag(eni_id, vpnha_repair="yesterday")
    assert not world.view().repairs["gw-b"].readable
    (sentence,) = world.view().unreadable_marks
    assert sentence.startswith(eni_id) and "gw-b is not repaired" in sentence


def test_the_same_name_in_another_vpc_pauses_nothing(world: World) -> None:
    other = world.client.create_vpc(CidrBlock="10.250.0.0/16")["Vpc"]["VpcId"]
    world.client.create_tags(
        Resources=[other],
        Tags=[{"Key": f"vpnha:pause:{world.deployment.name}", "Value": "until=2099-01-01T00:00:00Z"}],
    )
    assert world.view().paused_deployment_until_wall is None


def test_a_drill_that_is_over_is_none(world: World) -> None:
    tag = {"Key": f"vpnha:drill:{world.deployment.name}", "Value": "id=x until=2020-01-01T00:00:00Z"}
    world.client.create_tags(Resources=[world.vpc], Tags=[tag])
    assert world.view().drill is None


def eni(eni_id: str, address: str, **more: Any) -> dict[str, Any]:
    tag = [{"Key": tags.GATEWAY, "Value": "gw-a"}]
    return {
        "NetworkInterfaceId": eni_id, "PrivateIpAddress": address, "VpcId": "vpc-1", "SourceDestCheck": False,
        "TagSet": tag, **more,
    }  # fmt: skip


def test_of_two_interfaces_the_described_one_is_the_gateways_and_both_are_its_own(bare: World) -> None:
    address = bare.deployment.gateway("gw-a").address
    old = eni("eni-1", "10.9.9.9", Attachment={"InstanceId": "i-1"})
    new = eni("eni-2", address)
    route = {"DestinationCidrBlock": HQ, "NetworkInterfaceId": "eni-1", "State": "active"}
    shown = table("s-a", vpnha_zone=A) | {"Routes": [route]}
    view = view_of(Snapshot(tables=[shown], interfaces=[old, new]), bare.deployment, NOW)
    assert view.instances["gw-a"].eni_id == "eni-2"
    assert view.routes[RouteKey("rtb-1", HQ)].gateway == "gw-a"


def test_an_announced_retirement_is_seen(bare: World) -> None:
    due = datetime(2027, 1, 1, tzinfo=UTC)
    events = [
        {
            "Code": "instance-retirement",
            "Description": "[Completed] gone",
            "NotBefore": datetime(2026, 1, 1, tzinfo=UTC),
        },
        {"Code": "instance-retirement", "Description": "hardware", "NotBefore": due},
        {"Code": "system-reboot", "Description": "", "NotBefore": datetime(2026, 6, 1, tzinfo=UTC)},
    ]
    instance = {"InstanceId": "i-1", "State": {"Name": "running"}, "Tags": [{"Key": tags.GATEWAY, "Value": "gw-a"}]}
    view = view_of(
        Snapshot(instances=[instance], statuses=[{"InstanceId": "i-1", "Events": events}]), bare.deployment, NOW
    )
    assert view.instances["gw-a"].retirement_wall == due.timestamp()
    assert view.instances["gw-b"].state == "absent"


def test_destinations_of_every_kind_are_looked_after(bare: World) -> None:
    wide = ("2001:db8::/32", "pl-0a1b2c3d")
    site = replace(bare.deployment.sites[0], prefixes=wide)
    deployment = replace(bare.deployment, sites=(site,))
    shown = table("s-a", vpnha_zone=A) | {
        "Routes": [
            {"DestinationIpv6CidrBlock": wide[0], "NetworkInterfaceId": "eni-1"},
            {"DestinationPrefixListId": wide[1], "NetworkInterfaceId": "eni-1"},
        ]
    }
    view = view_of(Snapshot(tables=[shown], interfaces=[eni("eni-1", "10.0.0.1")]), deployment, NOW)
    assert {key.destination for key in view.routes} == set(wide)
    assert not view.missing_routes
