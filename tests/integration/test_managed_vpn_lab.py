# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed VPN in the lab: real packets through its tunnels, and what EC2 and CloudWatch say of it meanwhile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab import lifecycle
from lab.names import Names
from tests.integration.conftest import ECHOES, ROOT, Lab, Labs, Variant, answered, aws, lab_env, reaches

pytestmark = pytest.mark.integration

_FILE = ROOT / "lab" / "deployments" / "managed-vpn.yml"
MANAGED = Variant(up=("--deployment", str(_FILE)), play=("-e", f"@{_FILE}"))
SITE, SERVER = "192.168.10.0/24", "192.168.10.10"
_LONG = 120.0  # seconds; AWS's end gives a silent customer gateway up after about half a minute


def eventually(look: Callable[[], Any]) -> Any:
    """The first result that is something."""
    end = time.monotonic() + _LONG
    while not (found := look()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(1)
    return found


class Managed:
    """The connection to hq, and zone a's routes to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.ec2 = lab, aws(lab)
        tags = [{"Name": "tag:Name", "Values": ["vpnha-lab-managed"]}, {"Name": "tag:site", "Values": ["hq"]}]
        found = self.ec2.describe_vpn_connections(Filters=tags)["VpnConnections"][0]
        self.id, self.gateway = str(found["VpnConnectionId"]), str(found["VpnGatewayId"])
        self.outside = [str(each["OutsideIpAddress"]) for each in found["Options"]["TunnelOptions"]]
        hosts = [{"Name": "tag:Name", "Values": ["app-a"]}, {"Name": "instance-state-name", "Values": ["running"]}]
        host = self.ec2.describe_instances(Filters=hosts)["Reservations"][0]["Instances"][0]
        self.vpc = str(host["VpcId"])
        subnet = [{"Name": "association.subnet-id", "Values": [host["SubnetId"]]}]
        self.table = str(self.ec2.describe_route_tables(Filters=subnet)["RouteTables"][0]["RouteTableId"])

    def states(self) -> list[str]:
        """What EC2 says of the two tunnels."""
        shown = self.ec2.describe_vpn_connections(VpnConnectionIds=[self.id])["VpnConnections"][0]
        status = {each["OutsideIpAddress"]: str(each["Status"]) for each in shown["VgwTelemetry"]}
        return [status[outside] for outside in self.outside]

    def route(self) -> dict[str, Any]:
        """Zone a's route to the site."""
        table = self.ec2.describe_route_tables(RouteTableIds=[self.table])["RouteTables"][0]
        return next(dict(each) for each in table["Routes"] if each.get("DestinationCidrBlock") == SITE)

    def passed(self) -> tuple[int, int]:
        """Packets that went from the VPC into the tunnels, and out of them to the VPC."""
        found = [0, 0]
        for number in (1, 2):
            for way, counter in enumerate(("rx_packets", "tx_packets")):
                where = f"{self.lab.env['VPNHA_LAB_NAME']}-{self.id}-{number}"
                argv = ["ip", "netns", "exec", where, "cat", f"/sys/class/net/vgw0/statistics/{counter}"]
                found[way] += int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
        return found[0], found[1]

    def metric(self, name: str, statistic: str, **dimension: str) -> float | None:
        """The statistic of a metric over the last half minute."""
        now = datetime.now(UTC)
        found = aws(self.lab, "cloudwatch").get_metric_statistics(
            Namespace="AWS/VPN",
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimension.items()],
            StartTime=now - timedelta(seconds=30),
            EndTime=now + timedelta(seconds=1),
            Period=60,
            Statistics=[statistic],
        )["Datapoints"]
        return float(found[-1][statistic]) if found else None


@pytest.fixture(scope="module")
def managed(labs: Labs) -> Iterator[Managed]:
    """A deployment in which nobody but the test moves routes; zone a's leads to the virtual private gateway."""
    lab = labs.deployed(MANAGED)
    lab.shell("mon-a", "systemctl", "stop", "vpnha-monitor")
    found = Managed(lab)
    eventually(lambda: found.states() == ["UP", "UP"])
    found.ec2.replace_route(RouteTableId=found.table, DestinationCidrBlock=SITE, GatewayId=found.gateway)
    yield found
    lab.command("fault", "clear", "--all")


def test_packets_reach_the_site_through_the_tunnels_while_the_gateways_work(managed: Managed) -> None:
    assert (managed.route()["GatewayId"], managed.route()["State"]) == (managed.gateway, "active")
    before = managed.passed()
    assert reaches(managed.lab, "app-a", SERVER)
    out, back = (now - then for now, then in zip(managed.passed(), before, strict=True))
    assert out == ECHOES
    assert back == 0  # the site prefers the deployment's own gateways


def test_another_zone_does_not_touch_them(managed: Managed) -> None:
    before = managed.passed()
    assert reaches(managed.lab, "app-b", SERVER)
    assert managed.passed() == before


def test_cloudwatch_sees_the_tunnels_and_what_passed(managed: Managed) -> None:
    assert reaches(managed.lab, "app-a", SERVER)
    assert eventually(lambda: managed.metric("TunnelDataOut", "Sum", VpnId=managed.id))
    assert managed.metric("TunnelState", "Minimum", VpnId=managed.id) == 1


def test_a_tunnel_that_breaks_is_down_and_the_other_carries(managed: Managed) -> None:
    cloudwatch, name = aws(managed.lab, "cloudwatch"), f"{managed.id}-redundancy"
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="AWS/VPN", MetricName="TunnelState", Statistic="Minimum", Threshold=1, Period=60,
        ComparisonOperator="LessThanThreshold", EvaluationPeriods=1,
        Dimensions=[{"Name": "VpnId", "Value": managed.id}],
    )  # fmt: skip

    def alarm() -> str:
        return str(cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])

    eventually(lambda: alarm() == "OK")
    assert managed.lab.command("fault", "add", "vpn-block", "hq", "1", "--id", "one").returncode == 0
    eventually(lambda: managed.states() == ["DOWN", "UP"])
    assert eventually(lambda: reaches(managed.lab, "app-a", SERVER))
    assert managed.metric("TunnelState", "Minimum", TunnelIpAddress=managed.outside[1]) == 1
    eventually(lambda: managed.metric("TunnelState", "Minimum", TunnelIpAddress=managed.outside[0]) == 0)
    eventually(lambda: alarm() == "ALARM")
    managed.lab.command("fault", "clear", "one")
    eventually(lambda: managed.states() == ["UP", "UP"])


def test_a_replaced_endpoint_goes_down_and_comes_back(managed: Managed) -> None:
    def changed() -> Any:
        shown = managed.ec2.describe_vpn_connections(VpnConnectionIds=[managed.id])["VpnConnections"][0]
        return {each["OutsideIpAddress"]: each["LastStatusChange"] for each in shown["VgwTelemetry"]}

    before = changed()
    managed.ec2.replace_vpn_tunnel(VpnConnectionId=managed.id, VpnTunnelOutsideIpAddress=managed.outside[0])
    eventually(lambda: managed.states() == ["DOWN", "UP"])
    eventually(lambda: managed.states() == ["UP", "UP"])
    after = changed()
    assert after[managed.outside[0]] > before[managed.outside[0]]
    assert after[managed.outside[1]] == before[managed.outside[1]]


def test_a_detached_gateway_is_a_blackhole(managed: Managed) -> None:
    managed.ec2.detach_vpn_gateway(VpnGatewayId=managed.gateway, VpcId=managed.vpc)
    assert managed.route()["State"] == "blackhole"
    before = managed.passed()
    assert answered(managed.lab, "app-a", SERVER) == 0
    assert managed.passed() == before
    managed.ec2.attach_vpn_gateway(VpnGatewayId=managed.gateway, VpcId=managed.vpc)
    assert managed.route()["State"] == "active"
    assert eventually(lambda: reaches(managed.lab, "app-a", SERVER))


def test_the_answers_come_back_through_the_tunnels_when_the_gateways_are_dead(managed: Managed) -> None:
    gateways = [{"Name": "tag:Name", "Values": ["gw-a", "gw-b"]}]
    found = managed.ec2.describe_instances(Filters=gateways)["Reservations"]
    ids = [instance["InstanceId"] for each in found for instance in each["Instances"]]
    managed.ec2.stop_instances(InstanceIds=ids, Force=True, SkipOsShutdown=True)
    assert eventually(lambda: reaches(managed.lab, "app-a", SERVER))
    before = managed.passed()
    assert reaches(managed.lab, "app-a", SERVER)
    assert managed.passed()[1] > before[1]


def test_a_tunnel_to_a_deleted_connection_goes_and_down_leaves_nothing(managed: Managed, labs: Labs) -> None:
    managed.ec2.delete_vpn_connection(VpnConnectionId=managed.id)
    where = f"{managed.lab.env['VPNHA_LAB_NAME']}-{managed.id}"
    eventually(lambda: where not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout)
    eventually(lambda: "cgw-hq-m" not in managed.lab.command("status").stdout)
    assert "vgw-plant-1" in managed.lab.command("status").stdout
    labs.down()
    env = lab_env()
    directory = Path(env.get("VPNHA_LAB_DIR") or ROOT / ".lab").absolute()
    names = Names(env["VPNHA_LAB_NAME"], directory, int(env["VPNHA_LAB_PORT"]))
    assert lifecycle.leftovers(names) == []
