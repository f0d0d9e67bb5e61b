# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment in the lab's endpoint (without kernel and hosts), a new one for each test, made by the engine itself."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, network, network_build, network_problems
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Ec2View,
    Gateway,
    Site,
    Zone,
)
from ansible_collections.vpnha.aws.plugins.module_utils.routes import read_view
from tests.unit.endpoint_process import endpoint

REGION = "eu-central-1"
A, B = "eu-central-1a", "eu-central-1b"
HQ, PLANT = "192.168.10.0/24", "192.168.20.0/24"
NOW = 1_800_000_000.0
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint's address. One for each file: it gets slower with each VPC that it holds."""
    with endpoint(tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Any:
    """An EC2 client of the engine, with the controller's credentials. One for all: making it takes half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "lab")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "not-needed-here")
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setattr(ec2, "settings", _settings(ec2.settings))
        return ec2.make_client(region=REGION, endpoint_url=url)


def _settings(real: Callable[..., Any]) -> Callable[..., Any]:
    # A loaded machine may take longer than a monitor would wait; what the timeouts do has tests of its own.
    from botocore.config import Config

    return lambda **given: real(**given).merge(Config(connect_timeout=30, read_timeout=30))


@pytest.fixture
def settings(url: str) -> Iterator[Callable[..., None]]:
    """Changes the endpoint's settings; they are off again after the test."""

    def change(**changes: Any) -> None:
        body = json.dumps(changes).encode()
        urllib.request.urlopen(urllib.request.Request(f"{url}/_lab/settings", body, method="PATCH")).close()

    yield change
    change(throttle=False, stale_reads=0, impaired={})


@dataclass
class World:
    """A deployment of two zones in a VPC of its own."""

    client: Any
    deployment: Deployment
    wanted: network.Network
    vpc: str
    subnets: dict[str, str]  # by CIDR
    outcome: network_build.Outcome | None = None

    def read(self) -> network.Found:
        return network.read(self.client, self.wanted)

    def build(self, *, check: bool = False) -> network_build.Outcome:
        """What gateway_network does."""
        found = self.read()
        assert network_problems.problems(self.wanted, found) == []
        return network_build.build(self.client, self.wanted, found, check, NOW)

    def problems(self) -> list[str]:
        return network_problems.problems(self.wanted, self.read())

    def view(self) -> Ec2View:
        return read_view(self.client, self.deployment)

    def eni(self, gateway: str) -> str:
        eni = self.view().instances[gateway].eni_id
        assert eni is not None
        return eni

    def table(self, zone: str) -> str:
        [table] = [table for table, its in self.view().table_zones.items() if its == zone]
        return table

    def launch(self, *gateways: str) -> None:
        for name in gateways:
            tag = {**network.wanted_tags(self.wanted, name, "gateway")}
            self.client.run_instances(
                ImageId="ami-vpnha0golden",
                MinCount=1,
                MaxCount=1,
                NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": self.eni(name)}],
                TagSpecifications=[
                    {"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tag.items()]}
                ],
            )
        for name in gateways:
            _until(lambda name=name: self.view().instances[name].state == "running")

    def stop(self, gateway: str) -> None:
        self.client.stop_instances(InstanceIds=[self.view().instances[gateway].instance_id], Force=True)
        _until(lambda: self.view().instances[gateway].state == "stopped")

    def new_table(self, *subnets: str, **tags: str) -> str:
        table = self.client.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        for subnet in subnets:
            self.client.associate_route_table(RouteTableId=table, SubnetId=subnet)
        if tags:
            self.tag(table, **tags)
        return str(table)

    def new_subnet(self, cidr: str, zone: str) -> str:
        made = self.client.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone)
        return str(made["Subnet"]["SubnetId"])

    def tag(self, resource: str, **tags: str) -> None:
        """Tags as vpnha_zone="…"; the underscore stands for the colon."""
        pairs = [{"Key": key.replace("_", ":"), "Value": value} for key, value in tags.items()]
        self.client.create_tags(Resources=[resource], Tags=pairs)


def _until(done: Callable[[], bool]) -> None:
    import time

    for _ in range(200):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("the endpoint did not get there")


@pytest.fixture
def bare(client: Any) -> World:
    """A VPC with subnets and an internet gateway, and nothing of the deployment yet."""
    number = next(NUMBERS)
    name, net = f"d{number}", f"10.{number % 256}"  # VPCs may overlap
    vpc = client.create_vpc(CidrBlock=f"{net}.0.0/16")["Vpc"]["VpcId"]
    zones = {f"{net}.0.0/24": A, f"{net}.1.0/24": B, f"{net}.16.0/24": A, f"{net}.17.0/24": B}
    subnets = {
        cidr: client.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in zones.items()
    }
    igw = client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    client.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    group = client.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    ids = list(subnets.values())
    wanted = network.Network(
        deployment=name,
        vpc_id=vpc,
        interfaces=tuple(
            network.Interface(f"gw-{letter}", "gateway", ids[n], f"{net}.{n}.10", (group,), True)
            for n, letter in enumerate("ab")
        ),
        zones=(network.ZoneTables(A, (ids[2],), "gw-a"), network.ZoneTables(B, (ids[3],), "gw-b")),
        destinations=(HQ, PLANT),
        public_subnets=(ids[0], ids[1]),
        internet_gateway=igw,
    )
    deployment = Deployment(
        name=name,
        region=REGION,
        vpc_cidrs=(f"{net}.0.0/16",),
        asn=64512,
        zones=(Zone(A, f"{net}.0.0/24", (f"{net}.16.0/24",)), Zone(B, f"{net}.1.0/24", (f"{net}.17.0/24",))),
        gateways=(Gateway("gw-a", A, f"{net}.0.10", (A,)), Gateway("gw-b", B, f"{net}.1.10", (B,))),
        sites=(
            Site("hq", (HQ,), ("192.168.10.10",), "bgp"),
            Site("plant", (PLANT,), ("192.168.20.10",), "bgp"),
        ),
        tunnels=(),
        monitors=(),
    )
    return World(client, deployment, wanted, vpc, subnets)


@pytest.fixture
def world(bare: World) -> World:
    """The same with interfaces, route tables, and both gateways running."""
    bare.outcome = bare.build()
    bare.launch("gw-a", "gw-b")
    return bare


@pytest.fixture
def without_elastic_ips(bare: World) -> World:
    """A deployment that asks for no Elastic IP."""
    bare.wanted = replace(
        bare.wanted, interfaces=tuple(replace(each, elastic_ip=False) for each in bare.wanted.interfaces)
    )
    return bare
