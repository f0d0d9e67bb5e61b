# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alarms that watch the monitors, as a deploy sees to them at its end and a teardown removes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Person, book

TOPIC = "arn:aws:sns:eu-central-1:123456789012:vpnha"


def test_made_once_kept_and_removed(
    person: Person, description: dict[str, Any], account: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ec2, cloudwatch = account(), account("cloudwatch")
    alarming = tmp_path_factory.mktemp("book") / "book.yml"
    alarming.write_text(book("network/check", "monitor/alarms"))
    description |= {"vpnha_deployment": "watched", "vpnha_notify_sns_topic": TOPIC}
    (monitor,) = (each["name"] for each in description["vpnha_monitors"])

    def alarms() -> dict[str, list[str]]:
        found = cloudwatch.describe_alarms(AlarmNamePrefix="vpnha/watched/")["MetricAlarms"]
        return {each["AlarmName"].rpartition("/")[2]: each["AlarmActions"] for each in found}

    assert person.play(str(alarming), description, "--check").changed == 1  # also before there is an instance
    tags = {"vpnha:deployment": "watched", "vpnha:made": "watched", "vpnha:role": "monitor", "Name": monitor}
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24")["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    ec2.run_instances(
        ImageId="ami-vpnha0base",
        NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interface}],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )
    told = person.play(str(alarming), description, "--check")
    assert (told.code, told.changed, alarms()) == (0, 1, {})
    told = person.play(str(alarming), description)
    assert (told.code, told.changed) == (0, 1)
    assert alarms() == {"silent": [TOPIC], "recover": ["arn:aws:automate:eu-central-1:ec2:recover", TOPIC]}
    told = person.play(str(alarming), description)
    assert (told.code, told.changed) == (0, 0)
    told = person.play(str(alarming), description, "-e", "vpnha_monitor_cloudwatch=false")
    assert (told.code, told.changed, list(alarms())) == (0, 1, ["recover"])
    told = person.play("teardown", description, "-e", "vpnha_confirm=watched")
    assert (told.code, alarms()) == (0, {})
