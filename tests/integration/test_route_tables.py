# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An owner who has arranged route tables otherwise: the VPC's main one, one that two zones share, an edge table.

The zone that a table is tagged with says whose gateway its subnets use, not the zone that they are in. Judged by
packets and by EC2's own record of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import (
    SHIPPED,
    Lab,
    Labs,
    Watch,
    app_routes,
    assert_deploy_changes_nothing,
    aws,
    drill,
    eni_of,
    instance,
    power_off,
    reaches,
    settle,
    steady,
    until,
)

pytestmark = pytest.mark.integration

A, B = "eu-central-1a", "eu-central-1b"
SUBNETS = {"app-a": "10.20.16.0/24", "app-b": "10.20.17.0/24"}
TARGETS = ("192.168.10.10", "192.168.20.10")
DESTINATIONS = ("192.168.10.0/24", "192.168.20.0/24")
OTHER = {"gw-a": "gw-b", "gw-b": "gw-a"}
CARRIED = {"gw-b": "app-a", "gw-a": "app-b"}  # whose packets each gateway has while all is well


@dataclass(frozen=True)
class Arranged:
    """Both hosts' packets cross: app-a's subnet follows the main table, zone b's; app-b's has the shared one, zone a's.

    No subnet uses ``left`` any more, which was zone b's; the internet gateway has it now.
    """

    lab: Lab
    main: str
    shared: str
    left: str

    def targets(self, table: str) -> set[str]:
        """The gateways that a table's routes to the sites lead to."""
        names = {eni_of(self.lab, gateway): gateway for gateway in OTHER}
        return {names[eni] for (one, _destination), eni in app_routes(self.lab).items() if one == table}

    def turns(self, watch: Watch) -> dict[str, set[tuple[str, ...]]]:
        """By table the gateways that its routes led to, one after the other."""
        names = {eni_of(self.lab, gateway): gateway for gateway in OTHER}
        found: dict[str, set[tuple[str, ...]]] = {}
        for (table, _destination), targets in watch.seen().items():
            found.setdefault(table, set()).add(tuple(names.get(target, target) for target in targets))
        return found


def associations(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Of a table: subnet and id of the association."""
    for one in table["Associations"]:
        if one.get("SubnetId"):
            yield one["SubnetId"], one["RouteTableAssociationId"]


@pytest.fixture(scope="module")
def arranged(labs: Labs) -> Iterator[Arranged]:
    """The shipped deployment, after its owner was at the route tables and has deployed again."""
    lab = labs.deployed(SHIPPED)
    ec2 = aws(lab)
    subnets = {one["CidrBlock"]: one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]}
    of_a, of_b = (subnets[SUBNETS[host]] for host in ("app-a", "app-b"))
    (ours,) = {instance(lab, gateway)["VpcId"] for gateway in OTHER}
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [ours]}])["RouteTables"]
    (main,) = (table for table in tables if any(one.get("Main") for one in table["Associations"]))
    used = {subnet: (table, own) for table in tables for subnet, own in associations(table)}
    found = Arranged(lab, main["RouteTableId"], used[of_a][0]["RouteTableId"], used[of_b][0]["RouteTableId"])

    def tag(which: str, /, **tags: str) -> None:
        pairs = [{"Key": f"vpnha:{key}", "Value": value} for key, value in tags.items()]
        ec2.create_tags(Resources=[which], Tags=pairs)

    tag(found.main, deployment="lab", table="app", zone=B)
    tag(found.shared, zone=A)
    assert lab.play("deploy").code == 0  # makes the main table's routes, which no subnet needs yet
    assert found.targets(found.main) == {"gw-b"}
    with steady(lab, TARGETS) as lost:
        ec2.disassociate_route_table(AssociationId=used[of_a][1])
        ec2.replace_route_table_association(AssociationId=used[of_b][1], RouteTableId=found.shared)
        # of a subnet without hosts: with it the table is one that zones a and b share
        vacant = ec2.create_subnet(VpcId=ours, CidrBlock="10.20.48.0/24", AvailabilityZone=A)["Subnet"]["SubnetId"]
        ec2.associate_route_table(RouteTableId=found.shared, SubnetId=vacant)
        until(lambda: all(reaches(lab, host, target) for host in SUBNETS for target in TARGETS), 30, "packets flow")
    assert set(lost.values()) == {0}
    ec2.delete_tags(Resources=[found.left], Tags=[{"Key": "vpnha:deployment"}, {"Key": "vpnha:table"}])
    for destination in DESTINATIONS:  # an edge table may have none
        ec2.delete_route(RouteTableId=found.left, DestinationCidrBlock=destination)
    (internet,) = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [ours]}])[
        "InternetGateways"
    ]
    ec2.associate_route_table(RouteTableId=found.left, GatewayId=internet["InternetGatewayId"])
    settle(lab, "mon-a")
    yield found
    labs.down()  # of use to nobody else


def test_a_tables_zone_says_whose_gateway_carries(arranged: Arranged) -> None:
    lab = arranged.lab
    assert arranged.targets(arranged.main) == {"gw-b"} and arranged.targets(arranged.shared) == {"gw-a"}
    assert all(reaches(lab, host, target) for host in SUBNETS for target in TARGETS)


def test_a_deploy_leaves_it_as_it_is(arranged: Arranged) -> None:
    assert_deploy_changes_nothing(arranged.lab)


@pytest.mark.parametrize(("gone", "its"), [("gw-b", "main"), ("gw-a", "shared")])
def test_the_table_goes_and_comes_with_its_zones_gateway(arranged: Arranged, gone: str, its: str) -> None:
    lab, watch = arranged.lab, Watch(arranged.lab)
    moved, other = getattr(arranged, its), arranged.shared if its == "main" else arranged.main
    host = CARRIED[gone]  # the other one's answers come back by the gateway that is gone, until the sites notice
    with steady(lab, TARGETS) as lost:
        power_off(lab, gone)
        until(lambda: arranged.targets(moved) == {OTHER[gone]}, 60, f"the routes of {its} are at {OTHER[gone]}")
        until(lambda: all(reaches(lab, each, target) for each in SUBNETS for target in TARGETS), 60, "packets flow")
    assert all(lost[host, target] for target in TARGETS)

    until(lambda: instance(lab, gone)["State"]["Name"] == "stopped", 60, f"{gone} is stopped")
    with steady(lab, TARGETS) as lost:
        aws(lab).start_instances(InstanceIds=[instance(lab, gone)["InstanceId"]])
        until(lambda: arranged.targets(moved) == {gone}, 180, f"{gone} has its routes back")
        assert all(reaches(lab, host, target) for target in TARGETS)
    assert set(lost.values()) == {0}
    assert arranged.turns(watch) == {moved: {(gone, OTHER[gone], gone)}, other: {(OTHER[gone],)}}
    settle(lab, "mon-a")


def test_a_drill_breaks_the_gateway_that_carries_the_hosts_packets(arranged: Arranged, tmp_path: Path) -> None:
    watch = Watch(arranged.lab)
    one = drill(arranged.lab, tmp_path, "gateway_power_off", vpnha_drill_zone=B)["gateway_power_off"]
    assert one["gateway"] == "gw-b"  # zone b's, which carries app-a's packets: its subnet follows zone b's table
    assert one["packets_lost"] > 0 and one["failback_lost"] == 0
    assert arranged.turns(watch) == {arranged.main: {("gw-b", "gw-a", "gw-b")}, arranged.shared: {("gw-a",)}}


def test_an_edge_table_is_refused_by_name_and_no_route_is_made_in_it(arranged: Arranged) -> None:
    lab, ec2, edge = arranged.lab, aws(arranged.lab), arranged.left
    before = ec2.describe_route_tables(RouteTableIds=[edge])["RouteTables"][0]["Routes"]
    ours = [{"Key": "vpnha:deployment", "Value": "lab"}, {"Key": "vpnha:table", "Value": "app"}]
    ec2.create_tags(Resources=[edge], Tags=ours)
    try:
        why = f"{edge} is the edge table of igw-"
        until(lambda: why in lab.shell("mon-a", "vpnha", "status"), 60, "the monitor names the edge table")
        refused = lab.play("deploy")
        moved = lab.play("failover", vpnha_zones_to_move=[A], vpnha_to="gw-b", vpnha_pin_minutes=10)
        for played in (refused, moved):
            assert why in " ".join(played.output.split()) and "Traceback" not in played.output
        assert refused.code != 0 and moved.code == 0  # which moves the others, and warns of this one
        assert arranged.targets(arranged.shared) == {"gw-b"}
        assert ec2.describe_route_tables(RouteTableIds=[edge])["RouteTables"][0]["Routes"] == before
    finally:
        ec2.delete_tags(Resources=[edge], Tags=ours)
    assert lab.play("failback").code == 0
    assert arranged.targets(arranged.shared) == {"gw-a"}
