# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway that stays down is brought back by the monitor, by the policy, and carries traffic again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.conftest import Lab, app_routes, aws, reaches

pytestmark = pytest.mark.integration

TIMING = {"hold_down": 2.0, "repair_after": 20.0, "repair_interval": 120.0}


def of_gateway(name: str) -> list[dict[str, Any]]:
    return [{"Name": "tag:vpnha:gateway", "Values": [name]}]


def instance(lab: Lab, gateway: str) -> dict[str, Any]:
    """A gateway's instance, as EC2 describes it."""
    found = aws(lab).describe_instances(Filters=of_gateway(gateway))["Reservations"]
    return dict(found[0]["Instances"][0])


def repair_tag(lab: Lab, gateway: str) -> str:
    """What the gateway's interface says of its repairs; empty if nothing."""
    (eni,) = aws(lab).describe_network_interfaces(Filters=of_gateway(gateway))["NetworkInterfaces"]
    return {tag["Key"]: tag["Value"] for tag in eni["TagSet"]}.get("vpnha:repair", "")


def give_back(lab: Lab, gateway: str) -> None:
    """A person lets the monitor have all its steps again."""
    client = aws(lab)
    (eni,) = client.describe_network_interfaces(Filters=of_gateway(gateway))["NetworkInterfaces"]
    client.delete_tags(Resources=[eni["NetworkInterfaceId"]], Tags=[{"Key": "vpnha:repair"}])


def events(lab: Lab, since: float, code: str) -> list[dict[str, Any]]:
    """What the monitor's journal has."""
    found = json.loads(lab.shell("mon-a", "vpnha", "events", "--json", "--since", str(since)))
    return [event for event in found if event["code"] == code]


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds:g} s: {what}"
        time.sleep(1.0)


@pytest.fixture(scope="module")
def allowed(deployed: Lab) -> Iterator[Lab]:
    """The deployment with the policy `restart` and short waiting times, and afterwards without."""
    assert deployed.play("deploy", vpnha_repair="restart", vpnha_timing=TIMING).code == 0
    yield deployed
    assert deployed.play("deploy").code == 0


@pytest.fixture
def repairing(allowed: Lab) -> Iterator[Lab]:
    """The same, and the budget of gw-a is given back afterwards; a monitor that starts anew remembers nothing else."""
    yield allowed
    give_back(allowed, "gw-a")
    allowed.shell("mon-a", "systemctl", "restart", "vpnha-monitor")
    asked = ("shell", "mon-a", "vpnha", "status")
    until(lambda: "every route is at home" in allowed.command(*asked).stdout, 60, "the monitor knows how things stand")


def test_a_gateway_stopped_by_somebody_comes_back_and_carries_traffic_again(repairing: Lab) -> None:
    lab, began = repairing, time.time()
    home = app_routes(lab)
    stopped = instance(lab, "gw-a")
    aws(lab).stop_instances(InstanceIds=[stopped["InstanceId"]])
    until(lambda: len(set(app_routes(lab).values())) == 1, 60, "every route leads to the other gateway")
    assert instance(lab, "gw-a")["State"]["Name"] != "running", "routes leave long before a repair begins"
    until(lambda: app_routes(lab) == home, 300, "gw-a runs again and has its routes back")
    back = instance(lab, "gw-a")
    assert (back["InstanceId"], back["State"]["Name"]) == (stopped["InstanceId"], "running")
    assert reaches(lab, "app-a", "192.168.10.10") and reaches(lab, "app-a", "192.168.20.10")
    assert repair_tag(lab, "gw-a").startswith("rung=start steps="), "one step, told before the call"
    assert repair_tag(lab, "gw-b") == ""
    issued = events(lab, began, "repair-issued")
    assert [(event["subject"], event["evidence"]["rung"]) for event in issued] == [("gw-a", "start")]
    assert "Repair of gw-a: none under way, 1 of 3 steps of this day used" in lab.shell("mon-a", "vpnha", "status")


def test_a_gateway_that_answers_nobody_is_rebooted(repairing: Lab) -> None:
    lab, began = repairing, time.time()
    home = app_routes(lab)
    drop = "add table inet dead; add chain inet dead i { type filter hook input priority -300; policy drop; }"
    lab.shell("gw-a", "nft", drop)  # until the next boot
    until(lambda: len(set(app_routes(lab).values())) == 1, 60, "every route leads to the other gateway")
    until(lambda: app_routes(lab) == home, 300, "gw-a answers again and has its routes back")
    assert reaches(lab, "app-a", "192.168.10.10") and reaches(lab, "app-a", "192.168.20.10")
    assert repair_tag(lab, "gw-a").startswith("rung=reboot steps=")
    issued = events(lab, began, "repair-issued")
    assert [(event["subject"], event["evidence"]["rung"]) for event in issued] == [("gw-a", "reboot")]
