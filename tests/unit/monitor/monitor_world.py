# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds a real monitor process: moto as EC2 with its gateways and routes, and the agents of these."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import yaml
from ec2_proxy import Ec2Proxy
from gateway_agents import KEY, Agent, ip
from moto.backends import get_backend
from moto.server import ThreadedMotoServer

from ansible_collections.vpnha.aws.plugins.module_utils import lease_table
from ansible_collections.vpnha.aws.plugins.module_utils.description import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Gateway,
    ManagedGateway,
    ManagedProbe,
    Monitor,
    Site,
    Timing,
    Tunnel,
    Zone,
)
from vpnha_monitor import journal

logging.getLogger("werkzeug").setLevel(logging.ERROR)
REGION, ACCOUNT = "eu-central-1", "123456789012"
PREFIX = "192.168.10.0/24"


def deployment(**timing: float) -> Deployment:
    """Two zones with a gateway each, one site, static routing."""
    zones = ("eu-central-1a", "eu-central-1b")
    gateways = tuple(
        Gateway(f"gw-{zone[-1]}", zone, f"10.20.{number}.10", (zone,)) for number, zone in enumerate(zones)
    )
    tunnels = tuple(
        Tunnel(
            f"hq-{gateway.name}",
            "hq",
            gateway.name,
            f"198.51.100.{number + 11}",
            f"peer-{number}",
            gateway.name,
            f"169.254.10.{4 * number + 1}",
            f"169.254.10.{4 * number + 2}",
            f"169.254.10.{4 * number}/30",
            None,
        )
        for number, gateway in enumerate(gateways)
    )
    return Deployment(
        name="test",
        region=REGION,
        vpc_cidrs=("10.20.0.0/16",),
        asn=64512,
        zones=tuple(
            Zone(zone, f"10.20.{number}.0/24", (f"10.20.{16 + number}.0/24",)) for number, zone in enumerate(zones)
        ),
        gateways=gateways,
        sites=(Site("hq", (PREFIX,), ("192.168.10.10",), "static"),),
        tunnels=tunnels,
        monitors=(Monitor("mon-a", zones[1], "10.20.1.20"),),
        timing=replace(Timing(ec2_interval=1.0, hold_down=2.0), **timing),
    )


class World:
    """All around the monitor, and the monitor's process."""

    def __init__(self, directory: Path, **timing: float) -> None:
        self.directory = directory
        self.deployment = deployment(**timing)
        self.server = ThreadedMotoServer("127.0.0.1", 4566, verbose=False)
        self.server.start()
        self.ec2 = _client("ec2")
        self.proxy = Ec2Proxy(4567, 4566)
        urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:4566/moto-api/reset", method="POST")).close()
        self.enis: dict[str, str] = {}
        self.tables: dict[str, str] = {}
        self._build()
        self.agents = {gateway.name: Agent(gateway, self.deployment) for gateway in self.deployment.gateways}
        self.config = directory / "monitor.yml"
        self.journal = directory / "journal.sqlite"
        self.log = directory / "monitor.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.second: subprocess.Popen[bytes] | None = None  # of two monitors
        self.configure()
        self.zone_a, self.zone_b = (zone.name for zone in self.deployment.zones)

    def close(self) -> None:
        for process in (self.process, self.second):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for agent in self.agents.values():
            agent.stop()
        self.proxy.close()
        self.server.stop()

    # --- EC2 ----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        ec2 = self.ec2
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        for gateway in self.deployment.gateways:
            zone = next(zone for zone in self.deployment.zones if zone.name == gateway.zone)
            subnet = self._subnet(vpc, zone.gateway_subnet, zone.name)
            tags = _tags(deployment="test", gateway=gateway.name, role="gateway")
            eni = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=gateway.address)
            self.enis[gateway.name] = eni["NetworkInterface"]["NetworkInterfaceId"]
            ec2.create_tags(Resources=[self.enis[gateway.name]], Tags=tags)
            ec2.modify_network_interface_attribute(
                NetworkInterfaceId=self.enis[gateway.name], SourceDestCheck={"Value": False}
            )
            ec2.run_instances(
                ImageId="ami-12c6146b",
                MinCount=1,
                MaxCount=1,
                NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": self.enis[gateway.name]}],
                TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            )
            table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
            self.tables[zone.name] = table
            ec2.associate_route_table(RouteTableId=table, SubnetId=self._subnet(vpc, zone.app_subnets[0], zone.name))
            ec2.create_tags(Resources=[table], Tags=_tags(deployment="test", table="app", zone=zone.name))
            ec2.create_route(
                RouteTableId=table, DestinationCidrBlock=PREFIX, NetworkInterfaceId=self.enis[gateway.name]
            )

    def _subnet(self, vpc: str, cidr: str, zone: str) -> str:
        return str(self.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"])

    def add_tables(self, zone: str, gateway: str, count: int) -> None:
        """More route tables of a zone, each with a route to that gateway."""
        vpc = self.ec2.describe_route_tables(RouteTableIds=[self.tables[zone]])["RouteTables"][0]["VpcId"]
        for number in range(count):
            table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
            self.tables[f"{zone} {number}"] = table
            self.ec2.create_tags(Resources=[table], Tags=_tags(deployment="test", table="app", zone=zone))
            self.ec2.create_route(
                RouteTableId=table, DestinationCidrBlock=PREFIX, NetworkInterfaceId=self.enis[gateway]
            )

    def targets(self) -> Counter[str]:
        """How many routes lead to each gateway."""
        return Counter(self.target(zone) for zone in self.tables)

    def target(self, zone: str) -> str:
        """The gateway that a zone's route leads to, by what moto has in this process: a call costs far more."""
        table = get_backend("ec2")[ACCOUNT][REGION].route_tables[self.tables[zone]]
        route = next(route for route in list(table.routes) if route.destination_cidr_block == PREFIX)
        while (target := route.interface or route.gateway) is None:
            time.sleep(0)  # its thread is at this route, and takes the old target away first
        return next(name for name, known in self.enis.items() if known == target.id)

    def point(self, zone: str, gateway: str) -> None:
        """Somebody swaps a zone's route."""
        self.ec2.replace_route(
            RouteTableId=self.tables[zone], DestinationCidrBlock=PREFIX, NetworkInterfaceId=self.enis[gateway]
        )

    def stop_instance(self, gateway: str) -> None:
        """Somebody stops a gateway's instance, and its agent ends with it."""
        self.agents[gateway].die()
        self.ec2.stop_instances(InstanceIds=[self._instance(gateway)["InstanceId"]])

    def state(self, gateway: str) -> str:
        """What EC2 says of a gateway's instance."""
        return str(self._instance(gateway)["State"]["Name"])

    def repair_tag(self, gateway: str) -> str:
        """What the gateway's interface says of its repairs."""
        found = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[self.enis[gateway]])["NetworkInterfaces"]
        return {tag["Key"]: tag["Value"] for tag in found[0]["TagSet"]}.get("vpnha:repair", "")

    def _instance(self, gateway: str) -> Any:
        filters = [{"Name": "tag:vpnha:gateway", "Values": [gateway]}]
        return self.ec2.describe_instances(Filters=filters)["Reservations"][0]["Instances"][0]

    # --- the monitor --------------------------------------------------------------------------------------

    def configure(self, **changes: Any) -> None:
        """Write its configuration."""
        value: dict[str, Any] = {
            "monitor": "mon-a",
            "deployment": to_dict(self.deployment),
            "keys": [KEY],
            "endpoint_url": "http://127.0.0.1:4567",
            "journal": str(self.journal),
            "listen": "127.0.0.1:9784",
        }
        self.config.write_text(yaml.safe_dump(value | changes), encoding="utf-8")

    def start(self, wait: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        """Start it, and wait until it knows the routes and hears everybody."""
        self.process = self._run(self.config, environment)
        if wait:
            self.until(
                lambda: (
                    (status := self.status()) is not None
                    and status["routes"]
                    and all(gateway["verdict"] == "up" for gateway in status["gateways"])
                )
            )
        return self.process

    def start_second(self) -> subprocess.Popen[bytes]:
        """Another monitor, on port 9785 and with a journal of its own; `several` must have been called."""
        config = self.directory / "mon-b.yml"
        value = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        value |= {"monitor": "mon-b", "listen": "127.0.0.1:9785", "journal": str(self.directory / "mon-b.sqlite")}
        config.write_text(yaml.safe_dump(value), encoding="utf-8")
        self.second = self._run(config, {})
        return self.second

    def _run(self, config: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "vpnha_monitor", "--config", str(config)]
        with self.log.open("ab") as out:
            return subprocess.Popen(command, env=_environment() | environment, stdout=out, stderr=out)

    def several(self) -> None:
        """From now on there are two monitors, one in each zone, and their lease store."""
        zones = [zone.name for zone in self.deployment.zones]
        monitors = (Monitor("mon-a", zones[0], "10.20.0.20"), Monitor("mon-b", zones[1], "10.20.1.20"))
        self.deployment = replace(self.deployment, monitors=monitors)
        self.configure()
        lease_table.make(_client("dynamodb"), self.deployment.name, check=False)

    def take_managed_gateway(self) -> None:
        """From now on there is a last resort, vgw, without a VPN connection; `site` says whether its probe answers."""
        vpc = self.ec2.describe_route_tables(RouteTableIds=[self.tables[self.zone_a]])["RouteTables"][0]["VpcId"]
        vgw = self.ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
        self.ec2.attach_vpn_gateway(VpcId=vpc, VpnGatewayId=vgw)
        self.enis["vgw"] = vgw
        [site] = self.deployment.sites
        managed = ManagedGateway("vgw", vgw, "last_resort", probes=(ManagedProbe(site.name, site.probe_targets[0]),))
        self.deployment = replace(self.deployment, managed_gateways=(managed,))
        self.configure()

    def site(self, answers: bool) -> None:
        """From now on the site's probe target answers, or not."""
        [target] = self.deployment.sites[0].probe_targets
        ip("address", "add" if answers else "del", f"{target}/32", "dev", "lo")

    def traffic(self, zone: str, gateway: str) -> None:
        """From now on a zone's packets go through that gateway."""
        for agent in self.agents.values():
            agent.carries[zone] = gateway

    def kill(self) -> None:
        """End the monitor without warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def vpnha(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command ``vpnha``."""
        command = [sys.executable, "-m", "vpnha_monitor.cli", *arguments]
        if arguments[0] != "check-config":
            command += ["--config", str(self.config)]
        return subprocess.run(
            command, env=_environment(), input=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    def status(self, port: int = 9784) -> dict[str, Any] | None:
        """/status; None while it does not answer."""
        found = self.get("/status", port)
        return json.loads(found[1]) if found is not None and found[0] == 200 else None

    def get(self, path: str, port: int = 9784) -> tuple[int, str] | None:
        """A page's code and text; None while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, ValueError):
            return None

    def events(self, *codes: str, second: bool = False) -> list[journal.Event]:
        """What the journal has, of these codes."""
        path = self.directory / "mon-b.sqlite" if second else self.journal
        found = journal.read(path) if path.exists() else []
        return [event for event in found if not codes or event.code in codes]

    def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait for a condition; the monitor's log is in the failure."""
        limit = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > limit or (self.process is not None and self.process.poll() is not None):
                raise AssertionError(f"the monitor did not get there; its log:\n{self.log.read_text()[-6000:]}")
            time.sleep(0.02)


def _tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": f"vpnha:{name}", "Value": value} for name, value in values.items()]


def _client(service: Any) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region_name=REGION, endpoint_url="http://127.0.0.1:4566", **keys)


def _environment() -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return os.environ | keys | {"PYTHONPATH": os.pathsep.join(sys.path)}
