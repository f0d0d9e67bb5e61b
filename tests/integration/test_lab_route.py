# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's calls move real packets between real hosts: routes, filters, addresses, power. Judged by who answers."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from tests.integration.conftest import Lab

pytestmark = pytest.mark.integration

SITE = "192.168.99.0/24"
ADDRESS = "192.168.99.10"  # on both gateways: who answers shows where the packets went
NEVER = 3600  # seconds of propagation
WHO = r"""#!/bin/sh
cat > /usr/local/bin/who-answers <<'END'
import socket
server = socket.create_server(("", 7000))
while True:
    connection, _ = server.accept()
    connection.sendall(socket.gethostname().encode())
    connection.close()
END
cat > /etc/systemd/system/who-answers.service <<'END'
[Service]
ExecStartPre=ip address replace 192.168.99.10/32 dev lo
ExecStart=python3 /usr/local/bin/who-answers
[Install]
WantedBy=multi-user.target
END
systemctl enable --now who-answers
"""
ASK = """
import socket, sys
try:
    print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).recv(100).decode())
except OSError:
    print("nobody")
"""
METADATA = """
import urllib.request as web
base = "http://169.254.169.254/latest/"
def ask(path, method="GET", **headers):
    request = web.Request(base + path, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        return web.urlopen(request, timeout=5).read().decode()
    except web.HTTPError as error:
        return str(error.code)
print(ask("meta-data/instance-id"))
token = ask("api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
print(ask("meta-data/instance-id", X_aws_ec2_metadata_token=token))
"""


class World:
    """A VPC with two gateways in one subnet and an application host in another, whose table leads to the first."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.ec2: Any = boto3.client(
            "ec2",
            endpoint_url=lab.env["AWS_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id=lab.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=lab.env["AWS_SECRET_ACCESS_KEY"],
        )
        self.vpc = self.ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
        self.group = self.ec2.create_security_group(GroupName="all", Description="all", VpcId=self.vpc)["GroupId"]
        everybody = [{"CidrIp": "0.0.0.0/0"}]
        self.permission = {"IpProtocol": "tcp", "FromPort": 7000, "ToPort": 7000, "IpRanges": everybody}
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[self.permission])
        self.internet = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=self.internet, VpcId=self.vpc)
        self.public, self.public_table = self.subnet("10.30.0.0/24")
        self.private, self.table = self.subnet("10.30.1.0/24")
        self.ec2.create_route(RouteTableId=self.public_table, DestinationCidrBlock="0.0.0.0/0", GatewayId=self.internet)
        self.enis = {
            name: self.eni(subnet, address)
            for name, subnet, address in (
                ("first", self.public, "10.30.0.10"),
                ("second", self.public, "10.30.0.11"),
                ("app", self.private, "10.30.1.50"),
            )
        }
        for name in ("first", "second"):
            self.check(name, on=False)
        self.ec2.create_route(RouteTableId=self.table, DestinationCidrBlock=SITE, NetworkInterfaceId=self.enis["first"])
        self.ids = {name: self.run(name, eni) for name, eni in self.enis.items()}
        for name in self.ids:
            self.booted(name)

    def subnet(self, cidr: str) -> tuple[str, str]:
        subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone="eu-central-1a")
        table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet["Subnet"]["SubnetId"])
        return subnet["Subnet"]["SubnetId"], table

    def eni(self, subnet: str, address: str) -> str:
        made = self.ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address, Groups=[self.group])
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def run(self, name: str, eni: str) -> str:
        made = self.ec2.run_instances(
            ImageId="ami-vpnha0base",
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.small",
            UserData="" if name == "app" else WHO,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni}],
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": f"route-{name}"}]}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def booted(self, name: str) -> None:
        """Wait until the status checks of its instance pass."""
        waiter = self.ec2.get_waiter("instance_status_ok")
        waiter.wait(InstanceIds=[self.ids[name]], WaiterConfig={"Delay": 1, "MaxAttempts": 180})

    def check(self, name: str, *, on: bool) -> None:
        """Switch the source/destination check of an interface."""
        self.ec2.modify_network_interface_attribute(NetworkInterfaceId=self.enis[name], SourceDestCheck={"Value": on})

    def swap(self, name: str) -> None:
        """Let the application host's way to the site lead to that gateway."""
        eni = self.enis[name]
        self.ec2.replace_route(RouteTableId=self.table, DestinationCidrBlock=SITE, NetworkInterfaceId=eni)

    def who(self, address: str = ADDRESS, *, asker: str = "app", port: int = 7000) -> str:
        """Which gateway answers there, by its name; ``nobody`` if none does."""
        said = self.lab.shell(f"route-{asker}", "python3", "-c", ASK, address, str(port)).strip()
        return {"ip-10-30-0-10": "first", "ip-10-30-0-11": "second"}.get(said, said)

    def state(self, name: str) -> str:
        """The state of its instance."""
        found = self.ec2.describe_instances(InstanceIds=[self.ids[name]])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    def route_state(self) -> str:
        """What EC2 says of the way to the site."""
        tables = self.ec2.describe_route_tables(RouteTableIds=[self.table])["RouteTables"]
        return str(next(each for each in tables[0]["Routes"] if each["DestinationCidrBlock"] == SITE)["State"])

    def settings(self, **changes: Any) -> None:
        """Change the endpoint's settings."""
        port = int(self.lab.env["VPNHA_LAB_PORT"]) + 1
        url = f"http://127.0.0.1:{port}/_lab/settings"
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(changes).encode(), method="PATCH")).close()

    def remove(self) -> None:
        """Terminate and delete everything."""
        self.settings(route_propagation=0)
        self.ec2.terminate_instances(InstanceIds=list(self.ids.values()))
        waiter = self.ec2.get_waiter("instance_terminated")
        waiter.wait(InstanceIds=list(self.ids.values()), WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        for eni in self.enis.values():
            self.ec2.delete_network_interface(NetworkInterfaceId=eni)


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    """The hosts of this module's tests; each test leaves the way to the site leading to the first gateway."""
    made = World(lab)
    yield made
    made.remove()


def until(expected: str, ask: Callable[[], str]) -> None:
    """Wait, however slow the machine is, until the answer is the expected one."""
    end = time.monotonic() + 120
    while (said := ask()) != expected:
        assert time.monotonic() < end, f"still {said!r}, not {expected!r}"


def test_one_replace_route_changes_where_packets_go(world: World) -> None:
    assert world.who() == "first"
    world.swap("second")
    assert world.who() == "second"
    world.swap("first")
    assert world.who() == "first"


def test_the_way_follows_the_table_of_the_askers_subnet(world: World) -> None:
    other, table = world.subnet("10.30.2.0/24")
    assert other
    eni = world.enis["second"]
    world.ec2.create_route(RouteTableId=table, DestinationCidrBlock=SITE, NetworkInterfaceId=eni)
    old = world.ec2.describe_route_tables(RouteTableIds=[world.table])["RouteTables"][0]["Associations"][0]
    new = world.ec2.replace_route_table_association(AssociationId=old["RouteTableAssociationId"], RouteTableId=table)
    assert world.who() == "second"
    world.ec2.replace_route_table_association(AssociationId=new["NewAssociationId"], RouteTableId=world.table)
    assert world.who() == "first"


def test_the_source_destination_check_drops_what_is_not_the_interfaces_own(world: World) -> None:
    world.check("first", on=True)
    assert world.who() == "nobody"
    assert world.who("10.30.0.10") == "first"
    world.check("first", on=False)
    assert world.who() == "first"


def test_a_security_group_admits_what_it_says(world: World) -> None:
    assert world.who(port=22) == "nobody"
    world.ec2.revoke_security_group_ingress(GroupId=world.group, IpPermissions=[world.permission])
    assert world.who() == "nobody"
    world.ec2.authorize_security_group_ingress(GroupId=world.group, IpPermissions=[world.permission])
    assert world.who() == "first"


def test_a_change_of_routes_takes_the_set_time(world: World) -> None:
    world.settings(route_propagation=1)
    world.swap("second")
    until("second", world.who)
    world.settings(route_propagation=NEVER)
    eni = world.enis["first"]
    table = world.ec2.create_route_table(VpcId=world.vpc)["RouteTable"]["RouteTableId"]
    world.ec2.create_route(RouteTableId=table, DestinationCidrBlock="192.168.98.0/24", NetworkInterfaceId=eni)
    old = world.ec2.describe_route_tables(RouteTableIds=[world.table])["RouteTables"][0]["Associations"][0]
    new = world.ec2.replace_route_table_association(AssociationId=old["RouteTableAssociationId"], RouteTableId=table)
    assert world.who("192.168.98.10") == "nobody"  # the route is there, its effect is not
    assert world.who() == "nobody"
    world.ec2.replace_route_table_association(AssociationId=new["NewAssociationId"], RouteTableId=world.table)
    world.settings(route_propagation=0)
    world.swap("first")
    until("first", world.who)


def test_an_elastic_ip_is_the_way_to_the_internet_and_back(world: World) -> None:
    endpoint = "192.0.2.10"
    assert world.who(endpoint, asker="first", port=4566) == "nobody"
    address = world.ec2.allocate_address(Domain="vpc")
    held = world.ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=world.enis["first"])
    code = f"import socket; socket.create_connection(('{endpoint}', 4566), 5)"
    world.lab.shell("route-first", "python3", "-c", code)
    assert world.who(address["PublicIp"], asker="second") == "nobody"  # it has no way out itself
    assert world.lab.command("shell", "cgw-hq-a", "python3", "-c", ASK, address["PublicIp"], "7000").stdout.strip() == (
        "ip-10-30-0-10"
    )
    world.ec2.disassociate_address(AssociationId=held["AssociationId"])
    world.ec2.release_address(AllocationId=address["AllocationId"])


def test_the_metadata_service_knows_who_asks(world: World) -> None:
    without, instance = world.lab.shell("route-app", "python3", "-c", METADATA).split()
    assert (without, instance) == ("401", world.ids["app"])


def test_power_that_is_cut_is_gone_at_once_and_comes_back_with_the_same_address(world: World) -> None:
    world.swap("second")
    world.ec2.stop_instances(InstanceIds=[world.ids["second"]], Force=True, SkipOsShutdown=True)
    assert world.who() == "nobody"
    assert world.route_state() == "blackhole"
    until("stopped", lambda: world.state("second"))
    assert world.who("10.30.0.11", port=22) == "nobody"
    world.ec2.start_instances(InstanceIds=[world.ids["second"]])
    world.booted("second")
    assert world.route_state() == "active"
    assert "10.30.0.11/24" in world.lab.shell("route-second", "ip", "-brief", "address", "show", "dev", "eth0")
    until("second", world.who)
    world.swap("first")
