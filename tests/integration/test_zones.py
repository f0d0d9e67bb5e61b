# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three zones, two gateways in one of them, a spare without home zones: where the routes of a lost gateway go.

Judged by packets and by EC2's own record of its calls. What is expected is reasoned here and not asked of the engine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.conftest import (
    ROOT,
    Lab,
    Labs,
    Variant,
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

_FILE = ROOT / "lab" / "deployments" / "zones.yml"
THREE = Variant(up=("--deployment", str(_FILE)), play=("-e", f"@{_FILE}"))
A, B, C = ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
HOSTS = {A: "app-a", B: "app-b", C: "app-c"}
TARGETS = ("192.168.10.10", "192.168.20.10")
DESTINATIONS = {"192.168.10.0/24", "192.168.20.0/24"}
GATEWAYS = ("gw-a1", "gw-a2", "gw-b")
HOME = {A: "gw-a1", B: "gw-b", C: "gw-a1"}  # gw-a2 is nobody's

# By the gateway that is lost: where each of its zones goes. A route table has two routes, one to each site.
AWAY = {
    "gw-a1": {
        # gw-a2 is in the zone itself, which comes before what is near: gw-b.
        A: "gw-a2",
        # No gateway is in the zone, and to it b is nearer than a. By load it would be gw-a2: with zone a's two routes
        # and one more that has 3 for its capacity of 2, and gw-b 3 for 1.
        C: "gw-b",
    },
    "gw-b": {
        # Both others are in zone a, equally far. With its four routes and one more gw-a1 has 5 for its capacity of 12,
        # which is less than the 1 for 2 of gw-a2, though that one carries nothing.
        B: "gw-a1",
    },
}

Ways = dict[str, set[tuple[str, ...]]]


@pytest.fixture(scope="module")
def deployed(labs: Labs) -> Lab:
    """The deployment of three zones, built by the playbook that users run."""
    return labs.deployed(THREE)


@pytest.fixture
def calm(deployed: Lab) -> Iterator[Lab]:
    """All gateways run, the monitor finds everything well, and every route is at home; so it is again afterwards."""
    settle(deployed, "mon-c")
    yield deployed
    for gateway in GATEWAYS:
        if instance(deployed, gateway)["State"]["Name"] != "running":
            power_on(deployed, gateway)
    settle(deployed, "mon-c")


def power_on(lab: Lab, gateway: str) -> None:
    until(lambda: instance(lab, gateway)["State"]["Name"] == "stopped", 60, f"{gateway} is stopped")
    aws(lab).start_instances(InstanceIds=[instance(lab, gateway)["InstanceId"]])


def zones_of_tables(lab: Lab) -> dict[str, str]:
    """The zone whose application hosts use a route table, by EC2's word on their subnets."""
    ec2 = aws(lab)
    zones = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in ec2.describe_subnets()["Subnets"]}
    tables = ec2.describe_route_tables(Filters=[{"Name": "tag:vpnha:table", "Values": ["app"]}])["RouteTables"]
    return {table["RouteTableId"]: zones[one["SubnetId"]] for table in tables for one in table["Associations"]}


def ways(lab: Lab, seen: Mapping[tuple[str, str], list[str]]) -> Ways:
    """By zone the gateways that its routes led to, one after the other; more than one way if not all went the same."""
    names = {eni_of(lab, gateway): gateway for gateway in GATEWAYS}
    zones, found = zones_of_tables(lab), Ways()
    for (table, _destination), targets in seen.items():
        found.setdefault(zones[table], set()).add(tuple(names.get(target, target) for target in targets))
    return found


def flows(lab: Lab) -> bool:
    return all(reaches(lab, host, target) for host in HOSTS.values() for target in TARGETS)


def lost_by_zone(lost: Mapping[tuple[str, str], int]) -> dict[str, list[int]]:
    """What each zone's host has lost on its way to each site."""
    return {zone: [lost[host, target] for target in TARGETS] for zone, host in HOSTS.items()}


NONE = [0] * len(TARGETS)


def test_every_zone_reaches_every_site_through_its_home_gateway(calm: Lab) -> None:
    zones = zones_of_tables(calm)
    assert {(zones[table], to) for table, to in app_routes(calm)} == {
        (zone, to) for zone in ZONES for to in DESTINATIONS
    }
    assert ways(calm, Watch(calm).seen()) == {zone: {(HOME[zone],)} for zone in ZONES}
    assert flows(calm)


def test_a_second_deploy_changes_nothing(calm: Lab) -> None:
    assert_deploy_changes_nothing(calm)


@pytest.mark.parametrize("gone", AWAY)
def test_a_lost_gateways_zones_go_where_distance_and_capacity_say_and_come_home(calm: Lab, gone: str) -> None:
    away, watch, zones = AWAY[gone], Watch(calm), zones_of_tables(calm)
    enis = {gateway: eni_of(calm, gateway) for gateway in GATEWAYS}
    there = {key: enis[{**HOME, **away}[zones[key[0]]]] for key in watch.home}
    with steady(calm, TARGETS, HOSTS.values()) as lost:
        power_off(calm, gone)
        until(lambda: app_routes(calm) == there, 60, f"the routes of {gone} are at {away}")
        until(lambda: flows(calm), 60, "packets of every zone flow")
    assert ways(calm, watch.seen()) == {
        zone: {(gone, away[zone])} if zone in away else {(HOME[zone],)} for zone in ZONES
    }
    for zone, its in lost_by_zone(lost).items():
        assert all(its) if zone in away else its == NONE, (zone, its)

    power_on(calm, gone)
    with steady(calm, TARGETS, HOSTS.values()) as lost:
        until(lambda: app_routes(calm) == watch.home, 180, f"{gone} has its routes back")
        time.sleep(5.0)  # nothing is moved a second time
        assert flows(calm)
    assert ways(calm, watch.seen()) == {
        zone: {(gone, away[zone], gone)} if zone in away else {(HOME[zone],)} for zone in ZONES
    }
    assert lost_by_zone(lost) == dict.fromkeys(ZONES, NONE)


def test_a_planned_move_takes_each_zone_where_a_failure_would_and_brings_it_home(calm: Lab, tmp_path: Path) -> None:
    watch, away = Watch(calm), AWAY[HOME[C]]
    one = drill(calm, tmp_path, "planned", vpnha_drill_zone=C)["planned"]
    assert one["packets_lost"] == 0 and one["failback_lost"] == 0
    assert app_routes(calm) == watch.home
    assert ways(calm, watch.seen()) == {
        zone: {(HOME[zone], away[zone], HOME[zone])} if zone in away else {(HOME[zone],)} for zone in ZONES
    }
