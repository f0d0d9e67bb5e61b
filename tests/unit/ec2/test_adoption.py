# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces and instances that were there before: found by tags, given what is needed, and never taken for our own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import network_adoption, network_removal, tags

from .conftest import HQ, PLANT, World
from .test_network import A, app_subnet, routes_of


class Owner:
    """Who has made two gateways by hand, and a route table for each zone."""

    def __init__(self, world: World) -> None:
        self.world, self.client = world, world.client
        self.group = self.client.create_security_group(GroupName="mine", Description="mine", VpcId=world.vpc)["GroupId"]
        self.cards: dict[str, str] = {}
        self.instances: dict[str, str] = {}
        for wanted, zone in zip(world.wanted.interfaces, world.wanted.zones, strict=True):
            card = self.card(wanted.subnet_id, wanted.address)
            launched = self.client.run_instances(
                ImageId="ami-vpnha0base", MinCount=1, MaxCount=1,
                NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": card}],
            )  # fmt: skip
            self.cards[wanted.name] = card
            self.instances[wanted.name] = launched["Instances"][0]["InstanceId"]
            table = world.new_table(
                *zone.subnets, vpnha_deployment=world.wanted.deployment, vpnha_table="app", vpnha_zone=zone.zone
            )
            for prefix in (HQ, PLANT):
                self.client.create_route(RouteTableId=table, DestinationCidrBlock=prefix, NetworkInterfaceId=card)
            address = self.client.allocate_address(Domain="vpc")
            self.client.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=card)

    def card(self, subnet: str, address: str = "") -> str:
        wanted = {"PrivateIpAddress": address} if address else {}
        made = self.client.create_network_interface(SubnetId=subnet, Groups=[self.group], **wanted)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def tag(self) -> None:
        for name, card in self.cards.items():
            for resource in (card, self.instances[name]):
                self.world.tag(resource, vpnha_deployment=self.world.wanted.deployment, Name=name)

    def described(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The interface and the instance."""
        cards = self.client.describe_network_interfaces(NetworkInterfaceIds=[self.cards[name]])["NetworkInterfaces"]
        held = self.client.describe_instances(InstanceIds=[self.instances[name]])["Reservations"][0]["Instances"]
        return cards[0], held[0]


@pytest.fixture
def owner(bare: World) -> Owner:
    return Owner(bare)


def test_what_is_tagged_is_taken_over_with_all_that_it_has(owner: Owner) -> None:
    owner.tag()
    before = owner.described("gw-a")[0]
    outcome = owner.world.build()
    card, instance = owner.described("gw-a")
    assert outcome.interfaces["gw-a"]["id"] == owner.cards["gw-a"]
    assert outcome.interfaces["gw-a"]["public_ip"] == before["Association"]["PublicIp"]
    assert {group["GroupId"] for group in card["Groups"]} == {
        owner.group,
        *owner.world.wanted.interfaces[0].security_groups,
    }
    assert card["SourceDestCheck"] is False
    for found in (tags.to_dict(card["TagSet"]), tags.to_dict(instance["Tags"])):
        assert found[tags.GATEWAY] == "gw-a" and found[tags.ROLE] == "gateway" and tags.MADE not in found
    assert owner.world.view().instances["gw-a"].instance_id == owner.instances["gw-a"]
    assert owner.world.build().changes == []


def test_no_route_moves_and_none_is_made_twice(owner: Owner) -> None:
    owner.tag()
    before = {gateway: routes_of(owner.world, owner.world.table(A)) for gateway in owner.cards}
    owner.world.build()
    assert {gateway: routes_of(owner.world, owner.world.table(A)) for gateway in owner.cards} == before


def test_a_teardown_leaves_it_as_it_was(owner: Owner) -> None:
    group = owner.world.wanted.interfaces[0].security_groups[0]
    owner.world.tag(group, vpnha_deployment=owner.world.wanted.deployment, vpnha_made=owner.world.wanted.deployment)
    owner.tag()
    owner.world.build()
    table = owner.world.table(A)
    network_removal.remove(owner.client, owner.world.wanted.deployment, False)
    card, instance = owner.described("gw-a")
    assert [each["GroupId"] for each in card["Groups"]] == [owner.group]
    assert tags.to_dict(card["TagSet"]) == tags.to_dict(instance["Tags"]) == {"Name": "gw-a"}
    assert "PublicIp" in card["Association"]
    assert routes_of(owner.world, table) == {HQ: owner.cards["gw-a"], PLANT: owner.cards["gw-a"]}
    assert network_removal.remove(owner.client, owner.world.wanted.deployment, False).changes == []


def test_without_tags_it_is_said_how_to_set_them(owner: Owner) -> None:
    name = owner.world.wanted.deployment
    assert [problem for problem in owner.world.problems() if "gw-a" in problem] == [
        f"{owner.world.wanted.interfaces[0].address} in {owner.world.wanted.interfaces[0].subnet_id} is taken by "
        f"{owner.cards['gw-a']}, which is not gw-a's; give gw-a another address, or remove that interface, or tag it "
        f"vpnha:deployment={name} and Name=gw-a to have it taken over."
    ]


def test_an_address_of_another_deployment_is_not_ours_to_take(owner: Owner) -> None:
    owner.world.tag(owner.cards["gw-a"], vpnha_deployment="other")
    assert any("which belongs to the deployment other" in problem for problem in owner.world.problems())


def test_two_interfaces_of_one_name_are_refused(owner: Owner) -> None:
    owner.tag()
    other = owner.card(owner.world.wanted.interfaces[0].subnet_id)
    owner.world.tag(other, vpnha_deployment=owner.world.wanted.deployment, Name="gw-a")
    [problem] = owner.world.problems()
    both = " and ".join(sorted([owner.cards["gw-a"], other]))
    assert problem.startswith(f"The interfaces {both} are all tagged as gw-a: leave the tags")


def test_the_instance_has_to_be_tagged_as_well(owner: Owner) -> None:
    owner.tag()
    owner.client.delete_tags(Resources=[owner.instances["gw-b"]], Tags=[{"Key": tags.DEPLOYMENT}])
    [problem] = owner.world.problems()
    assert problem.startswith(f"gw-b's interface {owner.cards['gw-b']} is that of {owner.instances['gw-b']}, which is")


def test_the_interface_has_to_be_tagged_as_well(owner: Owner) -> None:
    owner.tag()
    owner.client.delete_tags(Resources=[owner.cards["gw-b"]], Tags=[{"Key": tags.DEPLOYMENT}])
    found = owner.world.problems()
    assert any(each.startswith(f"{owner.instances['gw-b']} is tagged as gw-b, but no interface is") for each in found)


def test_an_instance_with_another_interface_is_refused(owner: Owner) -> None:
    owner.tag()
    owner.client.delete_tags(Resources=[owner.cards["gw-b"]], Tags=[{"Key": tags.DEPLOYMENT}])
    free = owner.card(owner.world.wanted.interfaces[1].subnet_id)
    owner.world.tag(free, vpnha_deployment=owner.world.wanted.deployment, Name="gw-b")
    assert any(f"but gw-b's interface {free} is not attached to it" in problem for problem in owner.world.problems())


@pytest.mark.parametrize("adopt", [False, True])
def test_a_table_of_another_deployment_is_never_adopted(bare: World, adopt: bool) -> None:
    subnet = app_subnet(bare, A)
    table = bare.new_table(subnet, vpnha_deployment="other")
    bare.wanted = replace(bare.wanted, adopt=adopt)
    assert bare.problems() == [
        f"{subnet} uses {table}, which the deployment other looks after; give the subnet another table, or take the "
        "tag vpnha:deployment off that one."
    ]


def test_a_public_address_that_goes_with_the_next_stop_is_refused() -> None:
    tag = [{"Key": "Name", "Value": "gw-a"}, {"Key": tags.DEPLOYMENT, "Value": "lab"}]
    eni = {
        "NetworkInterfaceId": "eni-1",
        "TagSet": tag,
        "Association": {"PublicIp": "203.0.113.9", "IpOwnerId": "amazon"},
    }
    [problem] = network_adoption.problems("lab", ["gw-a"], [eni], [])
    assert problem.startswith("gw-a's public address 203.0.113.9 is no Elastic IP")
    eni["Association"] = {"PublicIp": "203.0.113.9", "IpOwnerId": "123456789012"}
    assert network_adoption.problems("lab", ["gw-a"], [eni], []) == []


def test_two_instances_of_one_name_are_refused_unless_one_ends() -> None:
    tag = [{"Key": "Name", "Value": "gw-a"}, {"Key": tags.DEPLOYMENT, "Value": "lab"}]
    eni = {"NetworkInterfaceId": "eni-1", "TagSet": tag, "Attachment": {"InstanceId": "i-2"}}
    first, second = ({"InstanceId": f"i-{n}", "Tags": tag, "State": {"Name": "running"}} for n in (1, 2))
    [problem] = network_adoption.problems("lab", ["gw-a"], [eni], [first, second])
    assert problem.startswith("The instances i-1 and i-2 are all tagged as gw-a")
    first["State"] = {"Name": "shutting-down"}  # it is being replaced
    assert network_adoption.problems("lab", ["gw-a"], [eni], [first, second]) == []


def test_a_wider_route_of_somebody_elses_goes_on_to_carry_its_packets(world: World) -> None:
    table, igw = world.table(A), str(world.wanted.internet_gateway)
    wide = {"RouteTableId": table, "DestinationCidrBlock": "192.168.0.0/16"}
    world.client.create_route(**wide, GatewayId=igw)
    world.client.delete_route(RouteTableId=table, DestinationCidrBlock=PLANT)
    outcome = world.build()
    assert outcome.changes == [] and PLANT not in routes_of(world, table)
    [left] = outcome.left
    assert left.startswith(
        f"{table} gets no route to {PLANT}: packets to {PLANT} go to {igw} by the route to 192.168.0.0/16."
    )
    world.client.replace_route(**wide, NetworkInterfaceId=world.eni("gw-b"))  # one of ours
    [change] = world.build().changes
    assert change.after.startswith(f"{PLANT} -> gw-b")
