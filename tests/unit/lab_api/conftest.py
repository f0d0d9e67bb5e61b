# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One endpoint for all tests of the API, each of which works in a VPC of its own."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.unit.endpoint_process import endpoint

REGION = "eu-central-1"

Client = Callable[..., Any]


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint's address."""
    with endpoint(tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture(scope="session")
def client(url: str) -> Client:
    """Makes a client for a service, as the controller unless other credentials are given."""

    def make(service: str, credentials: dict[str, Any] | None = None) -> Any:
        keys = credentials or {"AccessKeyId": "lab", "SecretAccessKey": "lab"}
        make_client: Any = boto3.client  # its overloads know literal service names only
        return make_client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=Config(retries={"total_max_attempts": 1}),
        )

    return make


@pytest.fixture(scope="session")
def ec2(client: Client) -> Any:
    """The controller's EC2 client."""
    return client("ec2")


@pytest.fixture
def settings(url: str) -> Iterator[Callable[..., dict[str, Any]]]:
    """Changes the endpoint's settings; they are off again after the test."""

    def change(**changes: Any) -> dict[str, Any]:
        body = json.dumps(changes).encode()
        request = urllib.request.Request(f"{url}/_lab/settings", body, method="PATCH")
        with urllib.request.urlopen(request) as answer:
            return dict(json.load(answer))

    yield change
    change(
        route_propagation=0,
        throttle=False,
        stale_reads=0,
        impaired={},
        blackholes=[],
        retiring={},
        credential_seconds=3600,
    )


@pytest.fixture
def calls(url: str) -> Callable[[], list[dict[str, Any]]]:
    """Tells what the endpoint has been asked since the test began."""
    began = time.time()

    def ask() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{url}/_lab/calls?since={began!r}") as answer:
            return list(json.load(answer))

    return ask


class Vpc:
    """A VPC with a subnet in each of two zones and a route table."""

    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2
        self.id = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(VpcId=self.id, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for cidr, zone in (("10.20.0.0/28", f"{REGION}a"), ("10.20.1.0/24", f"{REGION}b"))
        ]
        self.table = ec2.create_route_table(VpcId=self.id)["RouteTable"]["RouteTableId"]

    def eni(self, address: str | None = None, subnet: int = 1) -> str:
        """The id of a new ENI."""
        given = {"PrivateIpAddress": address} if address else {}
        made = self.ec2.create_network_interface(SubnetId=self.subnets[subnet], **given)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def address(self, eni: str) -> str:
        """An ENI's private address."""
        return str(self.interface(eni)["PrivateIpAddress"])

    def interface(self, eni: str) -> dict[str, Any]:
        """What EC2 says of an ENI."""
        return dict(self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"][0])

    def run(self, **given: Any) -> str:
        """The id of a new instance."""
        given.setdefault("ImageId", "ami-vpnha0base")
        made = self.ec2.run_instances(MinCount=1, MaxCount=1, InstanceType="t3.small", **given)
        return str(made["Instances"][0]["InstanceId"])

    def run_with(self, eni: str) -> str:
        """The id of a new instance that has an ENI made before."""
        return self.run(NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni}])

    def instance(self, instance_id: str) -> dict[str, Any]:
        """What EC2 says of an instance."""
        return dict(self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0])

    def wait(self, instance_id: str, state: str) -> None:
        """Wait until an instance is in that state."""
        name = f"instance_{state}"
        self.ec2.get_waiter(name).wait(InstanceIds=[instance_id], WaiterConfig={"Delay": 0, "MaxAttempts": 2000})

    def routes(self) -> dict[str, dict[str, Any]]:
        """The routes of its table by destination (CIDR or prefix list), without ``local``."""
        routes = self.ec2.describe_route_tables(RouteTableIds=[self.table])["RouteTables"][0]["Routes"]
        kept = (route for route in routes if route.get("GatewayId") != "local")
        return {route.get("DestinationCidrBlock") or route["DestinationPrefixListId"]: route for route in kept}


@pytest.fixture
def vpc(ec2: Any) -> Vpc:
    """A VPC for one test."""
    return Vpc(ec2)


@pytest.fixture
def refused() -> Callable[..., str]:
    """Calls, expects an error of EC2, and returns its code."""

    def call(function: Callable[..., Any], **arguments: Any) -> str:
        from botocore.exceptions import ClientError

        with pytest.raises(ClientError) as caught:
            function(**arguments)
        return str(caught.value.response["Error"]["Code"])

    return call
