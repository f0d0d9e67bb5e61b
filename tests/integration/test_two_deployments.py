# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two deployments in one VPC and one account, side by side in the same gateway subnets: neither touches the other.

The tests are one story, in the order in which they stand. Judged by packets and by EC2's own record of its calls.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    calls,
    drill,
    eni_of,
    instance,
    power_off,
    reaches,
    record,
    settle,
    steady,
    until,
)

pytestmark = pytest.mark.integration

_FILES = ROOT / "lab" / "deployments"
FIRST = Variant(up=("--deployment", str(_FILES / "two-deployments.yml")), play=("-e", f"@{_FILES / 'one-of-two.yml'}"))
READS = ("Describe", "Get")
KINDS = ("Subnets", "RouteTables", "NetworkInterfaces", "SecurityGroups", "Addresses")


@dataclass(frozen=True)
class Deployed:
    """One of both: a lab in which its playbooks are run, and what is its own."""

    lab: Lab
    name: str
    gateways: tuple[str, str]
    monitor: str
    apps: tuple[str, str]
    target: str

    @property
    def tables(self) -> set[str]:
        """The ids of its application route tables."""
        found = aws(self.lab).describe_route_tables(
            Filters=[
                {"Name": "tag:vpnha:deployment", "Values": [self.name]},
                {"Name": "tag:vpnha:table", "Values": ["app"]},
            ]
        )
        return {table["RouteTableId"] for table in found["RouteTables"]}

    def routes(self) -> dict[tuple[str, str], str]:
        """Where its routes lead: the gateway's name."""
        enis = {eni_of(self.lab, gateway): gateway for gateway in self.gateways}
        tables = self.tables
        return {key: enis.get(eni, eni) for key, eni in app_routes(self.lab).items() if key[0] in tables}

    def status(self) -> dict[str, Any]:
        """What its monitor says."""
        return dict(json.loads(self.lab.shell(self.monitor, "vpnha", "status", "--json")))

    def flows(self) -> bool:
        """Whether both its application hosts reach its site."""
        return all(reaches(self.lab, app, self.target) for app in self.apps)

    def changed(self, since: float) -> list[dict[str, Any]]:
        """EC2's record of what its hosts have had done since then."""
        own = {instance(self.lab, host)["InstanceId"] for host in (*self.gateways, self.monitor)}
        done = [call for call in record(self.lab, since) if not call["error"] and call["caller"] in own]
        return [call for call in done if not call["action"].startswith(READS)]


@pytest.fixture(scope="module")
def one(labs: Labs) -> Iterator[Deployed]:
    """The deployment that has made the VPC."""
    lab = labs.deployed(FIRST)
    yield Deployed(lab, "lab", ("gw-a", "gw-b"), "mon-a", ("app-a", "app-b"), "192.168.10.10")
    labs.down()  # of use to nobody else


@pytest.fixture(scope="module")
def two(one: Deployed) -> Deployed:
    """The one that came later, while the first one's packets flowed."""
    settle(one.lab, one.monitor)
    lab = Lab(one.lab.env, ("-e", f"@{_FILES / 'two-of-two.yml'}"))
    began, before = time.time(), one.routes()
    with steady(one.lab, [one.target], one.apps) as lost:
        assert lab.play("deploy").code == 0
        assert one.flows()
    assert set(lost.values()) == {0}
    touched = {call["resources"][0] for call in calls(lab, began, "CreateRoute", "ReplaceRoute", "DeleteRoute")}
    assert touched and not touched & one.tables and one.routes() == before and not one.changed(began)
    found = Deployed(lab, "other", ("gw-c", "gw-d"), "mon-c", ("app-c", "app-d"), "192.168.20.10")
    settle(lab, found.monitor)
    return found


def test_each_has_its_gateways_routes_and_site(one: Deployed, two: Deployed) -> None:
    assert one.flows() and two.flows()
    for which, other in ((one, two), (two, one)):
        assert set(which.routes().values()) == set(which.gateways)
        status = which.status()
        assert {each["name"] for each in status["gateways"]} == set(which.gateways)
        assert {each["table"] for each in status["routes"]} == which.tables
        assert not which.tables & other.tables
        assert not reaches(which.lab, which.apps[0], other.target), "its tables have no route to the other's site"


def test_deploying_either_again_changes_nothing_and_costs_no_packet(one: Deployed, two: Deployed) -> None:
    with steady(one.lab, [one.target], one.apps) as lost, steady(two.lab, [two.target], two.apps) as others:
        assert_deploy_changes_nothing(one.lab)
        assert_deploy_changes_nothing(two.lab)
        assert one.flows() and two.flows()
    assert {*lost.values(), *others.values()} == {0}


@pytest.mark.parametrize("turn", [0, 1])
def test_a_lost_gateway_moves_its_own_deployments_routes_and_no_other(one: Deployed, two: Deployed, turn: int) -> None:
    struck, spared = ((one, two), (two, one))[turn]
    gone, left = struck.gateways
    began, watch, home = time.time(), Watch(one.lab), struck.routes()
    with (
        steady(struck.lab, [struck.target], [struck.apps[0]]) as lost,
        steady(spared.lab, [spared.target], spared.apps) as others,
    ):
        power_off(struck.lab, gone)
        until(lambda: set(struck.routes().values()) == {left}, 60, f"the routes of {gone} are at {left}")
        until(struck.flows, 60, "packets flow")
        until(lambda: instance(struck.lab, gone)["State"]["Name"] == "stopped", 60, f"{gone} is stopped")
        struck_ids = [instance(struck.lab, gone)["InstanceId"]]
        aws(struck.lab).start_instances(InstanceIds=struck_ids)
        until(lambda: struck.routes() == home, 240, f"{gone} has its routes back")
        settle(struck.lab, struck.monitor)
        assert spared.flows()
    assert all(lost.values()) and set(others.values()) == {0}
    moved = {table for (table, _to), ways in watch.seen().items() if len(ways) > 1}
    assert moved == {table for (table, _to), gateway in home.items() if gateway == gone}
    assert struck.changed(began) and not spared.changed(began)


def test_a_drill_of_one_leaves_the_other_alone(one: Deployed, two: Deployed, tmp_path: Path) -> None:
    began = time.time()
    with steady(one.lab, [one.target], one.apps) as lost:
        drilled = drill(two.lab, tmp_path, "gateway_power_off")
        assert one.flows()
    assert drilled["gateway_power_off"]["gateway"] in two.gateways
    assert set(lost.values()) == {0} and not one.changed(began)


def test_a_monitor_may_not_move_the_others_routes(one: Deployed, two: Deployed) -> None:
    (table, to), *_rest = one.routes()
    script = (
        "import boto3, botocore.exceptions as e\n"
        "ec2 = boto3.client('ec2', 'eu-central-1', endpoint_url='http://192.0.2.10:4566')\n"
        f"try: ec2.replace_route(RouteTableId='{table}', DestinationCidrBlock='{to}', "
        f"NetworkInterfaceId='{eni_of(one.lab, 'gw-b')}')\n"
        "except e.ClientError as error: print(error.response['Error']['Code'])\n"
    )
    before = one.routes()
    said = two.lab.shell(two.monitor, "/opt/vpnha/venv/bin/python", "-c", script)
    assert said.strip() == "UnauthorizedOperation" and one.routes() == before


def left_of(which: Deployed) -> dict[str, list[Any]]:
    """What EC2 has that carries the deployment's tag."""
    own = [{"Name": "tag:vpnha:deployment", "Values": [which.name]}]
    asked = {kind: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower() for kind in KINDS}
    return {kind: getattr(aws(which.lab), f"describe_{name}")(Filters=own)[kind] for kind, name in asked.items()}


def test_the_first_cannot_go_before_the_second_and_the_second_takes_only_its_own(one: Deployed, two: Deployed) -> None:
    before, began = one.routes(), time.time()
    refused = one.lab.play("teardown", vpnha_confirm=one.name)
    assert refused.code != 0 and "Traceback" not in refused.output
    assert "would be cut off" in " ".join(refused.output.split()) and one.routes() == before
    with steady(one.lab, [one.target], one.apps) as lost:
        assert two.lab.play("teardown", vpnha_confirm=two.name).code == 0
        assert one.flows()
    assert set(lost.values()) == {0} and one.routes() == before and not one.changed(began)
    assert left_of(two) == {kind: [] for kind in KINDS}
    assert left_of(one)["Subnets"], "which tells that they would be found"
    assert_deploy_changes_nothing(one.lab)
