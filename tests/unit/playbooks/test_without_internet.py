# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AWS side of a deployment without the internet, by the role's own tasks: made, unchanged, removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import Person

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGyNUGsMc9Ma9zU5lxwuY8/rbiY4JF4gsxTqsbZ7tdF/ somebody"


def test_a_deployment_without_internet_gateway_and_elastic_ips(
    person: Person, account: Callable[..., Any], books: Path, description: dict[str, Any]
) -> None:
    ec2 = account()
    description["vpnha_monitors"].append({"name": "mon-b", "zone": "eu-central-1a", "address": "10.20.0.20"})
    description |= {
        "vpnha_deployment": "offline",
        "vpnha_key_name": "offline-admin",
        "vpnha_public_key": KEY,
        "vpnha_elastic_ips": [],
        "vpnha_endpoints": ["ec2", "monitoring", "dynamodb"],
    }
    made = [{"Name": "tag:vpnha:made", "Values": ["offline"]}]

    def there() -> dict[str, dict[str, Any]]:
        found = ec2.describe_vpc_endpoints(Filters=made)["VpcEndpoints"]
        return {one["ServiceName"].rpartition(".")[2]: one for one in found if one["State"] != "deleting"}

    network = str(books / "network.yml")
    assert person.play(network, description).code == 0
    [vpc] = ec2.describe_vpcs(Filters=made)["Vpcs"]
    in_vpc = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc["VpcId"]]}]
    assert ec2.describe_internet_gateways(Filters=attached)["InternetGateways"] == []
    assert ec2.describe_addresses(Filters=made)["Addresses"] == []
    assert set(there()) == {"ec2", "monitoring", "dynamodb"}
    assert len(there()["ec2"]["SubnetIds"]) == 2  # one in each zone with a monitor
    main = ec2.describe_route_tables(Filters=[*in_vpc, {"Name": "association.main", "Values": ["true"]}])["RouteTables"]
    assert there()["dynamodb"]["RouteTableIds"] == [main[0]["RouteTableId"]]
    role = account("iam").get_role(RoleName="offline-monitor")["Role"]
    assert {"Key": "vpnha:region", "Value": "eu-central-1"} in role["Tags"]
    [key] = ec2.describe_key_pairs(Filters=made)["KeyPairs"]
    assert key["KeyName"] == "offline-admin"
    again = person.play(network, description)
    assert (again.code, again.changed) == (0, 0)

    assert person.play(str(books / "remove.yml"), description).code == 0
    assert ec2.describe_key_pairs(Filters=made)["KeyPairs"] == []
    assert there() == {} and ec2.describe_vpcs(Filters=made)["Vpcs"] == []


def test_who_cannot_have_an_elastic_ip(person: Person, description: dict[str, Any]) -> None:
    person.play("deploy", {**description, "vpnha_elastic_ips": ["gateway"], "vpnha_endpoints": ["s3"]}).refused_with(
        "vpnha_endpoints[0]: 's3' is no service that has an endpoint here; known are ec2, sts, "
        "monitoring, sns, secretsmanager, ssm, dynamodb.",
        "vpnha_elastic_ips[0]: 'gateway' is unknown; write gateways or monitors, or [] for nobody.",
    )
