# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""More routes than EC2 takes calls for at once, with its token buckets: what matters goes first, and none is refused.

Judged by packets and by EC2's own record of its calls. A hundred more route tables, which no subnet uses, belong to a
zone that sends nothing; one of them has an owner who wants it first.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.conftest import (
    Lab,
    Labs,
    Watch,
    app_routes,
    aws,
    calls,
    eni_of,
    instance,
    power_off,
    reaches,
    record,
    settle,
    steady,
    until,
)
from tests.integration.test_zones import DESTINATIONS, HOSTS, TARGETS, THREE, A, C, power_on, zones_of_tables

pytestmark = pytest.mark.integration

GONE, MONITOR = "gw-a1", "mon-c"  # the home of zones a and c
MANY = 100
AT_ONCE = 32  # swaps that are under way side by side: which of those EC2 does first is chance


@dataclass(frozen=True)
class Crowded:
    """The lab with all these tables, and EC2 counting its calls."""

    lab: Lab
    declared: str  # the table whose owner wants it first
    busy: str  # that of the zone that sends most
    tables: frozenset[str]  # all whose routes leave with the gateway

    def swaps(self, since: float) -> list[dict[str, Any]]:
        """EC2's record of the routes that were moved since then, in its order."""
        return [call for call in calls(self.lab, since, "ReplaceRoute") if call["before"] != call["after"]]

    def refused(self, since: float) -> int:
        """How many swaps EC2 has refused since then because there were too many."""
        asked = record(self.lab, since)
        return sum(call["action"] == "ReplaceRoute" and call["error"] == "RequestLimitExceeded" for call in asked)

    def counts(self) -> bool:
        """Whether EC2 has refused a call that came when there were too many: then it counts them."""
        ec2, route = aws(self.lab), {"RouteTableId": self.declared, "DestinationCidrBlock": sorted(DESTINATIONS)[0]}
        began, eni = time.time(), app_routes(self.lab)[self.declared, sorted(DESTINATIONS)[0]]
        for _call in range(60):  # EC2 takes 50 at once; each leaves the route where it is
            with suppress(ClientError):
                ec2.replace_route(**route, NetworkInterfaceId=eni)
        return self.refused(began) > 0

    def at(self, gateway: str) -> int:
        """How many of the routes lead there."""
        eni = eni_of(self.lab, gateway)
        return sum(target == eni for (table, _to), target in app_routes(self.lab).items() if table in self.tables)

    def status(self) -> dict[str, Any]:
        """What the monitor says."""
        return dict(json.loads(self.lab.shell(MONITOR, "vpnha", "status", "--json")))


@pytest.fixture
def crowded(labs: Labs) -> Iterator[Crowded]:
    """All is well and at home."""
    lab = labs.deployed(THREE)
    settle(lab, MONITOR)
    ec2, zones = aws(lab), zones_of_tables(lab)
    vpc, eni = instance(lab, GONE)["VpcId"], eni_of(lab, GONE)
    tags = {"vpnha:deployment": "lab", "vpnha:table": "app", "vpnha:zone": C}
    given = [{"ResourceType": "route-table", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
    made: list[str] = []
    try:
        for _number in range(MANY):
            made.append(ec2.create_route_table(VpcId=vpc, TagSpecifications=given)["RouteTable"]["RouteTableId"])
            for to in DESTINATIONS:
                ec2.create_route(RouteTableId=made[-1], DestinationCidrBlock=to, NetworkInterfaceId=eni)
        ec2.create_tags(Resources=[made[-1]], Tags=[{"Key": "vpnha:priority", "Value": "1"}])
        (busy,) = (table for table, zone in zones.items() if zone == A)
        found = Crowded(
            lab, made[-1], busy, frozenset([*made, *(one for one, zone in zones.items() if zone in {A, C})])
        )
        until(lambda: len(found.status()["routes"]) == len(app_routes(lab)), 60, "the monitor knows every route")
        settle(lab, MONITOR)
        assert lab.command("fault", "add", "setting", "throttle", "true", "--id", "buckets").returncode == 0
        yield found
    finally:
        lab.command("fault", "clear", "buckets")
        for table in made:
            ec2.delete_route_table(RouteTableId=table)
        if instance(lab, GONE)["State"]["Name"] != "running":
            power_on(lab, GONE)
        settle(lab, MONITOR)


def test_what_is_declared_and_what_sends_most_goes_first_and_nothing_is_refused(crowded: Crowded) -> None:
    lab, watch = crowded.lab, Watch(crowded.lab)
    due = len(crowded.tables) * len(DESTINATIONS)
    planned = json.loads(lab.shell(MONITOR, "vpnha", "plan", "--json"))["gateways"]
    (its,) = (row for row in planned if row["name"] == GONE)
    assert (its["calls"], its["tables"], its["carries_now"]) == (due, len(crowded.tables), due)
    assert [(one["priority"], one["calls"]) for one in its["priorities"]] == [(1, len(DESTINATIONS)), (5, due)]
    with steady(lab, TARGETS, [HOSTS[A]]) as lost:
        time.sleep(5.0)  # the gateways count whose packets they are
        began = time.time()
        power_off(lab, GONE)
        until(lambda: crowded.status()["swaps"]["waiting"], 60, "the monitor says that swaps wait")
        until(lambda: all(reaches(lab, HOSTS[A], target) for target in TARGETS), 120, "zone a's packets flow")
        until(lambda: not crowded.at(GONE), 180, "every route has left")
    swaps = crowded.swaps(began)
    turns = [call["resources"][0] for call in swaps]
    assert len(swaps) == due and set(Counter(turns).values()) == {len(DESTINATIONS)}, "each route is moved once"
    for first in (crowded.declared, crowded.busy):
        assert max(turn for turn, table in enumerate(turns) if table == first) < AT_ONCE < due / 4
    assert crowded.refused(began) == 0
    # The host that sends has waited for its own routes, and not for all of them.
    took = swaps[-1]["wall"] - began
    assert all(0 < its * 0.02 < took / 2 for its in lost.values()), (lost, took)

    power_on(lab, GONE)
    with steady(lab, TARGETS, [HOSTS[A]]) as lost:
        until(lambda: app_routes(lab) == watch.home, 300, f"{GONE} has its routes back")
    assert set(lost.values()) == {0}
    assert len(crowded.swaps(began)) == 2 * due and crowded.refused(began) == 0
    assert crowded.counts(), "else that it has refused none says nothing"


def test_a_monitor_that_is_killed_half_way_goes_on_and_keeps_to_the_limit(crowded: Crowded) -> None:
    lab, began = crowded.lab, time.time()
    due = len(crowded.tables) * len(DESTINATIONS)
    power_off(lab, GONE)
    until(lambda: len(crowded.swaps(began)) >= due / 3, 120, "a third of the routes have left")
    lab.shell(MONITOR, "systemctl", "kill", "--signal", "KILL", "vpnha-monitor.service")
    assert len(crowded.swaps(began)) < due, "it was killed too late"
    until(lambda: not crowded.at(GONE), 240, "every route has left")
    moved = Counter((call["resources"][0], call["destination"]) for call in crowded.swaps(began))
    assert len(moved) == due and set(moved.values()) == {1}, "each route is moved once, by the one or the other"
    assert crowded.refused(began) == 0
