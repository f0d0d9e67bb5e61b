# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 as the contenders see it: the lab's endpoint without hosts, delayed by a proxy, and an instance's metadata."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Gateway, Site, Zone
from lab.api import imds
from lab.net.cards import IMDS
from tests.unit.endpoint_process import endpoint

REGION = "eu-central-1"
A, B = f"{REGION}a", f"{REGION}b"
CARD = "bench0"  # the interface whose metadata aws-vpc-move-ip asks for; one that the machine itself does not have
GATEWAYS = ("gw-a", "gw-b")
PROXY = 4580


@dataclass
class Stand:
    """A deployment whose tables all are of one zone, and where its routes lead."""

    url: str  # delayed: what contenders talk to
    direct: str
    deployment: Deployment
    vpc: str
    tables: list[str]
    enis: dict[str, str]  # by gateway
    instances: dict[str, str]
    client: Any = field(repr=False)  # direct
    metadata_of: str = "gw-a"  # the gateway that the metadata service speaks for
    throttle: bool = False  # EC2's token buckets

    @property
    def destinations(self) -> tuple[str, ...]:
        """What each table has a route to."""
        return self.deployment.sites[0].prefixes

    def leads_to(self) -> set[str]:
        """The ENIs that the routes to the site lead to now."""
        found = self.client.get_paginator("describe_route_tables").paginate(RouteTableIds=self.tables)
        return {
            route["NetworkInterfaceId"]
            for page in found
            for table in page["RouteTables"]
            for route in table["Routes"]
            if route.get("DestinationCidrBlock") in self.destinations
        }

    def move(self, gateway: str) -> None:
        """Point all routes there, past EC2's buckets."""
        if self.throttle:
            throttled(self.direct, False)
        try:
            for table in self.tables:
                for destination in self.destinations:
                    self.client.replace_route(
                        RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=self.enis[gateway]
                    )
        finally:
            if self.throttle:
                throttled(self.direct, True)

    def swapped(self, since: float) -> list[float]:
        """When EC2 has accepted each swap since then, seconds since the epoch, in that order."""
        asked = calls(self.direct, since)
        return [call["wall"] for call in asked if call["action"] == "ReplaceRoute" and not call["error"]]

    def refused(self, since: float) -> int:
        """How many calls EC2 has refused for their number since then."""
        return sum(call["error"] == "RequestLimitExceeded" for call in calls(self.direct, since))


@contextmanager
def stand(tables: int, destinations: int, delay_ms: float, throttle: bool, directory: Path) -> Iterator[Stand]:
    """All of it, in this process's own network namespace; its tables' routes lead to gw-a."""
    with endpoint(directory, real_buckets=True) as direct, proxy(direct, directory) as url:
        made = build(tables, destinations, direct, url)
        _METADATA.stand = made
        made.throttle = throttle
        throttled(direct, throttle)
        delay(url, delay_ms)
        yield made


def throttled(direct: str, on: bool) -> None:
    """Have EC2 count calls in its token buckets from now on, or not."""
    _ask(f"{direct}/_lab/settings", "PATCH", {"throttle": on})


def warm(url: str) -> None:
    """Have the proxy's first call behind us, which takes it seconds."""
    _client(url).describe_vpcs()


def delay(url: str, milliseconds: float) -> None:
    """Have each call through the proxy take so much longer from now on."""
    if milliseconds:
        _ask(f"{url}/_microburst/rules", "POST", [{"service": "*", "latency": milliseconds}])


def calls(direct: str, since: float) -> list[dict[str, Any]]:
    """EC2's record of what it was asked since then, seconds since the epoch."""
    return list(_ask(f"{direct}/_lab/calls?since={since!r}"))


def own_network() -> None:
    """Prepare the network that this process is alone in, and serve an instance's metadata there."""
    for command in (
        f"link add {CARD} type veth peer name {CARD}-peer",
        f"link set {CARD} up",
        f"address add {IMDS}/32 dev lo",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    _METADATA.serve()


@contextmanager
def proxy(direct: str, directory: Path) -> Iterator[str]:
    """The address of a proxy in front of the endpoint, which can delay it."""
    log = (directory / "proxy.log").open("wb")
    argv = [sys.executable, "-m", "microburst", "--no-resign", "--upstream", direct, "--host", "127.0.0.1"]
    with log, subprocess.Popen([*argv, "--port", str(PROXY)], stdout=log, stderr=log) as process:
        url = f"http://127.0.0.1:{PROXY}"
        try:
            limit = time.monotonic() + 60
            while True:
                try:
                    _ask(f"{url}/_microburst/health")
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > limit:
                        raise SystemExit(f"The proxy that delays EC2 does not start: {log.name} says why.") from None
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def build(tables: int, destinations: int, direct: str, url: str) -> Stand:
    """The deployment in EC2; ``url`` is where contenders find EC2, ``direct`` where we do."""
    prefixes = tuple(f"192.168.10.{number}/32" for number in range(1, destinations + 1))
    site = Site("hq", prefixes, (prefixes[0].partition("/")[0],), "bgp")
    zones = (Zone(A, "10.20.0.0/24", ("10.20.2.0/24",)), Zone(B, "10.20.1.0/24", ("10.20.3.0/24",)))
    gateways = (Gateway("gw-a", A, "10.20.0.10", (A,)), Gateway("gw-b", B, "10.20.1.10", (B,)))
    deployment = Deployment("bench", REGION, ("10.20.0.0/16",), 64512, zones, gateways, (site,), (), ())
    client = _client(direct)
    warm(url)
    vpc = client.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    enis, instances = {}, {}
    for gateway, zone in zip(gateways, zones, strict=True):
        subnet = client.create_subnet(VpcId=vpc, CidrBlock=zone.gateway_subnet, AvailabilityZone=zone.name)["Subnet"]
        eni = client.create_network_interface(
            SubnetId=subnet["SubnetId"], PrivateIpAddress=gateway.address,
            TagSpecifications=_tags("network-interface", deployment="bench", gateway=gateway.name),
        )["NetworkInterface"]["NetworkInterfaceId"]  # fmt: skip
        client.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
        enis[gateway.name] = eni
        instances[gateway.name] = client.run_instances(
            ImageId="ami-vpnha0golden", MinCount=1, MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni}],
            TagSpecifications=_tags("instance", deployment="bench", gateway=gateway.name, role="gateway"),
        )["Instances"][0]["InstanceId"]  # fmt: skip
    ids = []
    for _number in range(tables):
        made = client.create_route_table(
            VpcId=vpc, TagSpecifications=_tags("route-table", deployment="bench", table="app", zone=A)
        )
        ids.append(made["RouteTable"]["RouteTableId"])
        for prefix in prefixes:
            client.create_route(RouteTableId=ids[-1], DestinationCidrBlock=prefix, NetworkInterfaceId=enis["gw-a"])
    return Stand(url, direct, deployment, vpc, ids, enis, instances, client)


def _client(url: str) -> Any:
    return boto3.client(
        "ec2", region_name=REGION, endpoint_url=url, aws_access_key_id="lab", aws_secret_access_key="lab",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=300),
    )  # fmt: skip


class _Metadata:
    """The instance metadata service; it speaks for one gateway of the stand that there is now."""

    stand: Stand | None = None

    def serve(self) -> None:
        """Begin, in a thread."""
        shown = subprocess.run(["ip", "-json", "link", "show", CARD], check=True, capture_output=True, text=True).stdout
        self._mac = json.loads(shown)[0]["address"]
        imds.serve(self._tree)

    def _tree(self) -> Mapping[str, Any]:
        if self.stand is None:
            return {}
        me = self.stand.metadata_of
        macs = {self._mac: {"interface-id": self.stand.enis[me]}}
        found = {"instance-id": self.stand.instances[me], "network": {"interfaces": {"macs": macs}}}
        return {"latest": {"meta-data": found}}


_METADATA = _Metadata()


def _tags(kind: str, **values: str) -> Sequence[dict[str, Any]]:
    tags = [{"Key": f"vpnha:{name}", "Value": value} for name, value in values.items()]
    return [{"ResourceType": kind, "Tags": tags}]


def _ask(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)
