# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A monitor that reaches EC2 through a gateway which it looks after: told, shown, and never a reason not to work."""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from ec2_proxy import Ec2Proxy
from gateway_agents import ip
from monitor_world import World, deployment

from ansible_collections.vpnha.aws.plugins.module_utils.announced import Announcing
from ansible_collections.vpnha.aws.plugins.module_utils.api_way import BEHIND, PAST, UNKNOWN, WITHIN, Way
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.model import ManagedGateway, ManagedProbe, Monitor, Note
from vpnha_monitor.config import MonitorConfig
from vpnha_monitor.reader import Reading
from vpnha_monitor.way import OwnWay, services

PUBLIC = "52.94.1.1"


# --- What is told --------------------------------------------------------------------------------------------------


class Told:
    """A monitor's own way, and what it has told of it."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        monitor: Any = SimpleNamespace(note=self.notes.append, config=SimpleNamespace(deployment=deployment()))
        self.way = OwnWay(monitor, lambda _reading: None)

    def took(self, *kinds: str) -> list[tuple[str, str, bool]]:
        """What is told of ways of these kinds, seen one after the other; an empty one is a look that fails."""
        before = len(self.notes)
        for kind in kinds:
            view = Way(kind, f"It is {kind}.", "ec2.example.com", (PUBLIC,)) if kind else None
            self.way.took(Reading(0.0, 0.1, view, None if view else Ec2Error("looking", "timeout", "no answer")))
        return [(note.code, note.text, note.resolved) for note in self.notes[before:]]


def test_it_is_told_once_and_once_more_when_it_is_over() -> None:
    told = Told()
    assert told.took(PAST, WITHIN, UNKNOWN, "") == []
    assert told.took(BEHIND, BEHIND) == [("api-behind-vpn", "It is behind.", False)]
    assert told.notes[0].subject == "ec2.example.com"
    # what cannot be told is no end of it, and nor is an EC2 that does not answer: that may be the very harm
    assert told.took("", UNKNOWN, BEHIND) == []
    assert told.took(WITHIN, PAST) == [("api-behind-vpn", "It is within.", True)]
    assert told.took(BEHIND) == [("api-behind-vpn", "It is behind.", False)]


def test_the_status_has_what_was_seen_last() -> None:
    told = Told()
    assert told.way.status() is None
    told.took(BEHIND, "")
    found = told.way.status()
    assert found is not None and (found["kind"], found["text"]) == (BEHIND, "It is behind.")


def test_a_warning_is_logged_when_it_is_new(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    caplog.set_level(logging.WARNING)
    for number, names in enumerate(((), ("SNS",), ("SNS", "DynamoDB"), (), ("SNS",))):
        way = Way(PAST, "It is past.", warnings={name: f"{name} at {number} is behind." for name in names})
        told.way.took(Reading(0.0, 0.1, way))
        assert (told.way.status() or {})["warnings"] == way.warnings
    assert caplog.messages == ["SNS at 1 is behind.", "DynamoDB at 2 is behind.", "SNS at 4 is behind."]
    assert told.notes == []


# --- What is looked at ---------------------------------------------------------------------------------------------


def needed(**changes: Any) -> list[tuple[str, str]]:
    """The services that a configuration needs, and where."""
    config = MonitorConfig("mon-a", deployment(), (), Path("/none"), "127.0.0.1", 9784)
    found = services(replace(config, **changes), lambda service, region: f"https://{service}.{region}.example.com")
    return [(one.name, one.url()) for one in found]


def test_each_service_is_looked_at_where_it_is_used() -> None:
    assert needed() == []
    zone = deployment().zones[0].name
    two = replace(deployment(), monitors=(*deployment().monitors, Monitor("mon-b", zone, "10.20.0.20")))
    assert needed(deployment=two) == [("DynamoDB", "https://dynamodb.eu-central-1.example.com")]
    cloudwatch = [("CloudWatch", "https://cloudwatch.eu-central-1.example.com")]
    assert needed(cloudwatch=True) == cloudwatch
    managed = ManagedGateway("vgw", "vgw-1", "last_resort", probes=(ManagedProbe("hq", "192.168.10.10"),))
    assert needed(deployment=replace(deployment(), managed_gateways=(managed,))) == cloudwatch
    topic = Announcing("arn:aws:sns:us-east-1:123456789012:vpn")
    assert needed(announcing=topic) == [("SNS", "https://sns.us-east-1.example.com")]  # in the topic's region
    assert needed(deployment=two, cloudwatch=True, announcing=topic, endpoint_url="http://192.0.2.1:4566") == []


class Ec2:
    """An EC2 that knows nobody."""

    meta = SimpleNamespace(endpoint_url="https://ec2.example.com")

    def describe_network_interfaces(self, **_arguments: object) -> dict[str, Any]:
        return {"NetworkInterfaces": []}


def test_a_resolver_that_hangs_or_an_error_of_any_kind_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop only takes what has been seen; a service that cannot even be named hides nothing of EC2's way."""
    hanging, readings = threading.Event(), list[Reading[Way]]()

    def resolve(*_arguments: object, **_options: object) -> list[Any]:
        hanging.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 443))]

    def unusable(*_arguments: object, **_options: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://sns.example.com")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("vpnha_monitor.way.ec2.make_client", unusable)
    config = MonitorConfig("mon-a", deployment(), (), Path("/none"), "127.0.0.1", 9784, cloudwatch=True)
    monitor: Any = SimpleNamespace(
        config=config, client=SimpleNamespace(get=Ec2), renewal=SimpleNamespace(prepare=None), note=lambda _note: None
    )
    own = OwnWay(monitor, readings.append)
    began = time.monotonic()
    own.start()
    own.suit()
    assert own.status() is None and time.monotonic() - began < 5
    hanging.set()
    while not readings:
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    own.stop()
    own.took(readings[0])
    found = own.status()
    assert found is not None and (found["kind"], found["addresses"]) == (UNKNOWN, (PUBLIC,))
    assert found["warnings"]["CloudWatch"].startswith("CloudWatch cannot be reached from here: Could not connect")


# --- The real daemon and the command -------------------------------------------------------------------------------


@pytest.fixture
def public(world: World) -> Iterator[str]:
    """The URL of an EC2 outside the VPC, and a monitor with an interface in EC2 whose default route is a gateway."""
    ip("address", "add", f"{PUBLIC}/32", "dev", "lo")
    proxy = Ec2Proxy(4568, 4566, PUBLIC)
    try:
        subnets = world.ec2.describe_subnets(Filters=[{"Name": "cidr-block", "Values": ["10.20.1.0/24"]}])["Subnets"]
        eni = world.ec2.create_network_interface(SubnetId=subnets[0]["SubnetId"], PrivateIpAddress="10.20.1.20")
        named = {"Name": "mon-a", "vpnha:deployment": "test", "vpnha:role": "monitor"}
        tags = [{"Key": key, "Value": value} for key, value in named.items()]
        world.ec2.create_tags(Resources=[eni["NetworkInterface"]["NetworkInterfaceId"]], Tags=tags)
        table = world.ec2.create_route_table(VpcId=subnets[0]["VpcId"])["RouteTable"]["RouteTableId"]
        world.ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[0]["SubnetId"])
        world.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=world.enis["gw-a"]
        )
        world.tables["the monitor's"] = table
        yield f"http://{PUBLIC}:4568"
    finally:
        proxy.close()


def past_the_gateways(world: World) -> None:
    """Somebody gives the monitor's subnet a way of its own."""
    vpc = world.ec2.describe_route_tables(RouteTableIds=[world.tables["the monitor's"]])["RouteTables"][0]["VpcId"]
    igw = world.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    world.ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    world.ec2.replace_route(RouteTableId=world.tables["the monitor's"], DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)


def test_the_monitor_works_tells_it_and_says_when_it_is_over(world: World, public: str) -> None:
    world.configure(endpoint_url=public)
    process = world.start()
    world.until(lambda: world.events("api-behind-vpn"))
    [event] = world.events("api-behind-vpn")
    assert f"EC2's API at {PUBLIC} is called through gw-a" in event.text
    found = world.status()
    assert found is not None and found["healthy"] is True
    assert (found["api_way"]["kind"], found["api_way"]["target"]) == (BEHIND, world.enis["gw-a"])
    assert event.text in world.vpnha("status").stdout.replace("\n", " ")
    assert 'vpnha_api_way{kind="behind"} 1.0' in (world.get("/metrics") or (0, ""))[1]
    past_the_gateways(world)
    world.until(lambda: len(world.events("api-behind-vpn")) == 2)  # while it is bad it looks more often
    assert world.events("api-behind-vpn")[1].resolved
    found = world.status()
    assert found is not None and found["api_way"]["kind"] == PAST
    metrics = (world.get("/metrics") or (0, ""))[1]
    assert 'vpnha_api_way{kind="behind"} 0.0' in metrics and 'vpnha_api_way{kind="past"} 1.0' in metrics
    table, eni = world.tables["the monitor's"], world.enis["gw-a"]
    world.ec2.replace_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=eni)
    process.send_signal(signal.SIGHUP)
    world.until(lambda: len(world.events("api-behind-vpn")) == 3)


def test_the_command_says_it_as_one_sentence(world: World, public: str) -> None:
    world.configure(endpoint_url=public)
    said = world.vpnha("check-config", str(world.config))
    [sentence] = said.stderr.splitlines()
    assert (said.returncode, said.stdout) == (1, "")
    assert sentence.startswith(f"EC2's API at {PUBLIC} is called through gw-a, by the route 0.0.0.0/0 of rtb-")
    alone = world.vpnha("check-config", "--no-way", str(world.config))
    assert (alone.returncode, alone.stdout) == (0, f"{world.config} is good.\n")
    past_the_gateways(world)
    said = world.vpnha("check-config", str(world.config), "--json")
    assert said.returncode == 0
    answer = json.loads(said.stdout)
    assert (answer["problems"], answer["unproven"]) == ([], "")
    assert f"EC2's API at {PUBLIC} is called by the route 0.0.0.0/0" in answer["way"]


def test_the_ways_to_other_services_are_looked_at_as_well(
    world: World, public: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:4567")
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", public)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", "http://127.0.0.2:9")
    topic = "arn:aws:sns:eu-central-1:123456789012:vpn"
    world.configure(endpoint_url="", cloudwatch=True, notify={"sns_topic": topic})
    said = world.vpnha("check-config", str(world.config))
    assert said.returncode == 0 and "EC2's API at 127.0.0.1 is on this host." in said.stdout  # they do not count
    behind, unreached = said.stderr.splitlines()
    assert behind.startswith(f"Warning: CloudWatch at {PUBLIC} is called through gw-a, by the route 0.0.0.0/0 of rtb-")
    assert unreached.startswith("Warning: SNS (127.0.0.2:9) cannot be reached from here: [Errno 111] ")
    both = [behind.removeprefix("Warning: "), unreached.removeprefix("Warning: ")]
    assert json.loads(world.vpnha("check-config", str(world.config), "--json").stdout)["warnings"] == both
    world.start()
    world.until(lambda: (world.status() or {"api_way": None})["api_way"])
    found = world.status()
    assert found is not None and found["healthy"] is True and list(found["api_way"]["warnings"].values()) == both
    shown = world.vpnha("status").stdout.replace("\n", " ")
    assert all(text in shown for text in both)
    assert world.events("api-behind-vpn") == []


def test_a_way_that_is_not_known_is_neither_good_nor_bad(world: World) -> None:
    """No interface in EC2 is this monitor's, so that nobody knows by which table its calls leave."""
    said = world.vpnha("check-config", str(world.config))
    assert (said.returncode, said.stdout) == (3, f"{world.config} is good.\n")
    [sentence] = said.stderr.splitlines()
    assert sentence.startswith("EC2's API answers, but it could not be proven that no managed route leads there: No ")
    assert "has the tags of mon-a" in sentence
    said = world.vpnha("check-config", str(world.config), "--json")
    answer = json.loads(said.stdout)
    assert (said.returncode, answer["problems"], answer["unproven"]) == (3, [], sentence)
    assert world.vpnha("check-config", "--no-way", str(world.config)).returncode == 0


def test_an_ec2_that_does_not_answer_is_said_by_the_command_and_no_matter_to_the_start(world: World) -> None:
    world.proxy.errors["DescribeNetworkInterfaces"] = "UnauthorizedOperation"
    said = world.vpnha("check-config", str(world.config))
    [sentence] = said.stderr.splitlines()
    assert said.returncode == 1
    assert sentence.startswith("EC2's API does not answer this host as it should: reading where the monitor is: ")
    assert "the credentials lack a permission" in sentence
    world.start(wait=False)
    world.until(lambda: (world.status() or {}).get("ec2", {}).get("error"))
    found = world.status()
    assert found is not None and found["api_way"] is None and world.events("api-behind-vpn") == []
    del world.proxy.errors["DescribeNetworkInterfaces"]
    world.until(lambda: (world.status() or {"api_way": None})["api_way"])
