# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person had before the deployment, as the role ``network`` leaves it: a stopped gateway, a key pair."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import Person
from .test_without_internet import KEY


def tagged(kind: str, **tags: str) -> list[dict[str, Any]]:
    """As calls that make something take tags; the underscore stands for the colon."""
    pairs = [{"Key": key.replace("_", ":"), "Value": value} for key, value in tags.items()]
    return [{"ResourceType": kind, "Tags": pairs}]


def test_a_stopped_gateway_is_started_and_stays_a_persons(
    person: Person, account: Callable[..., Any], books: Path, description: dict[str, Any]
) -> None:
    ec2 = account()
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    zones = {zone["gateway_subnet"]: zone["name"] for zone in description["vpnha_zones"]}
    zones |= {zone["app_subnets"][0]: zone["name"] for zone in description["vpnha_zones"]}
    subnets = {
        cidr: ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in zones.items()
    }

    def launch(subnet: str, address: str, **tags: str) -> str:
        eni = ec2.create_network_interface(
            SubnetId=subnets[subnet], PrivateIpAddress=address, TagSpecifications=tagged("network-interface", **tags)
        )["NetworkInterface"]["NetworkInterfaceId"]
        instance = ec2.run_instances(
            ImageId="ami-vpnha0golden", InstanceType="c6i.large", MinCount=1, MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni}],
            TagSpecifications=tagged("instance", **tags, Owner="somebody"),
        )["Instances"][0]["InstanceId"]  # fmt: skip
        until(instance, "running")
        return str(instance)

    def seen(instance: str) -> dict[str, Any]:
        found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found

    def until(instance: str, state: str) -> None:
        for _try in range(200):
            if seen(instance)["State"]["Name"] == state:
                return
            time.sleep(0.05)
        raise AssertionError(f"{instance} did not become {state}")

    theirs = launch("10.20.0.0/24", "10.20.0.10", vpnha_deployment="before", Name="gw-a")
    ec2.stop_instances(InstanceIds=[theirs], Force=True)
    until(theirs, "stopped")
    nameless = launch("10.20.16.0/24", "10.20.16.99", vpnha_deployment="before")
    ec2.import_key_pair(
        KeyName="theirs", PublicKeyMaterial=KEY.encode(), TagSpecifications=tagged("key-pair", Owner="somebody")
    )
    description |= {
        "vpnha_key_name": "theirs",
        "vpnha_public_key": KEY,
        "vpnha_deployment": "before",
        "vpnha_vpc": {"id": vpc, "cidr": "10.20.0.0/16"},
    }

    network = str(books / "network.yml")
    assert person.play(network, {**description, "vpnha_repair": "replace"}, "--check").code == 0
    assert person.play(network, description).code == 0
    after = seen(theirs)
    tags = {tag["Key"]: tag["Value"] for tag in after["Tags"]}
    assert tags == {
        "vpnha:deployment": "before", "Name": "gw-a", "Owner": "somebody", "vpnha:role": "gateway",
        "vpnha:gateway": "gw-a",
    }  # fmt: skip
    assert (after["State"]["Name"], after["InstanceType"]) == ("running", "c6i.large")
    assert "IamInstanceProfile" not in after
    # those that the role has launched, whatever becomes of them
    made = [{"Name": "tag:vpnha:made", "Values": ["before"]}]
    ours = [one["Instances"][0] for one in ec2.describe_instances(Filters=made)["Reservations"]]
    assert len(ours) == 3
    ec2.stop_instances(InstanceIds=[ours[0]["InstanceId"]])
    again = person.play(network, description)
    assert (again.code, again.changed) == (0, 1)
    assert seen(ours[0]["InstanceId"])["State"]["Name"] == "running"
    assert person.play(str(books / "remove.yml"), description).code == 0
    assert seen(theirs)["State"]["Name"] == seen(nameless)["State"]["Name"] == "running"
    [key] = ec2.describe_key_pairs(KeyNames=["theirs"])["KeyPairs"]
    assert key["Tags"] == [{"Key": "Owner", "Value": "somebody"}]
