# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A monitor that reaches EC2 through a gateway which it looks after: told, shown, and never a reason not to work."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ec2_proxy import Ec2Proxy
from gateway_agents import ip
from monitor_world import World, deployment

from ansible_collections.vpnha.aws.plugins.module_utils.api_way import BEHIND, PAST, UNKNOWN, WITHIN, Way
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note
from vpnha_monitor.reader import Reading
from vpnha_monitor.way import OwnWay

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
    process.send_signal(signal.SIGHUP)
    world.until(lambda: len(world.events("api-behind-vpn")) == 2)
    assert world.events("api-behind-vpn")[1].resolved
    found = world.status()
    assert found is not None and found["api_way"]["kind"] == PAST
    metrics = (world.get("/metrics") or (0, ""))[1]
    assert 'vpnha_api_way{kind="behind"} 0.0' in metrics and 'vpnha_api_way{kind="past"} 1.0' in metrics


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
