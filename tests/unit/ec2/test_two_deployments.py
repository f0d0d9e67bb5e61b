# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two deployments in one VPC and account: whatever is done to the one, all of the other stays as it is.

Their gateways, monitors and sites have the same names, and the name of the one begins with that of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import (
    alarms,
    endpoints_build,
    gateway_bundle,
    launch_templates,
    lease_table,
    lock,
    marks,
    network_removal,
    tags,
)
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish, run
from ansible_collections.vpnha.aws.plugins.module_utils.network import Interface
from ansible_collections.vpnha.aws.plugins.module_utils.pace import TokenBucket
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice

from .conftest import HQ, NOW, REGION, A, B, World
from .test_prefix_lists import MORE, bind, by_list, routes_of

KEYS = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab"}
MONITORS = ("mon-a", "mon-b")


@pytest.fixture(scope="module")
def others(url: str) -> Mapping[str, Any]:
    """Clients of the other services that a deployment uses."""
    services = ("cloudwatch", "dynamodb", "secretsmanager")
    return {name: boto3.client(name, endpoint_url=url, region_name=REGION, **KEYS) for name in services}  # type: ignore[call-overload]


@dataclass
class Side:
    """One of the two deployments, with all that a deploy makes for it."""

    world: World
    others: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.world.deployment.name

    def deploy(self) -> list[str]:
        """What deploy makes, part by part; what it has changed."""
        client, others, name = self.world.client, self.others, self.name
        outcome = self.world.build()
        bind(self.world)
        templates = [
            launch_templates.Wanted(
                name, gateway, "ami-vpnha0golden", "t3.small", outcome.interfaces[gateway]["id"], f"{name}-gateway",
                "", REGION, "",
            )
            for gateway in ("gw-a", "gw-b")
        ]  # fmt: skip
        watched = alarms.Wanted(name, MONITORS, REGION, recovery=False)
        bucket = TokenBucket(clock=lambda: 0.0, sleep=lambda _seconds: None)
        return [
            *(str(change) for change in outcome.changes),
            *launch_templates.see_to(client, name, templates, check=False)[1],
            *gateway_bundle.store(others["secretsmanager"], name, "gw-a", name.encode(), check=False),
            *(["lease"] if lease_table.make(others["dynamodb"], name, check=False).changed else []),
            *(["alarms"] if alarms.see_to(others["cloudwatch"], client, watched, check=False, bucket=bucket).differed
              else []),
        ]  # fmt: skip

    def use(self) -> None:
        """Marks and items that come with time: a pause, a lock, the monitors' lease."""
        world = self.world
        marks.pause(world.client, world.view(), self.name, "", tags.Pause(NOW + 600, "jane"))
        lock.take(world.client, world.deployment, lock.Wish("drill", "d-1", "jane"), check=False, now=NOW)
        for item, holder in (("lease", "mon-a"), ("word/mon-b", "mon-b")):
            row = {"deployment": {"S": self.name}, "item": {"S": item}, "holder": {"S": holder}, "number": {"S": "7"}}
            self.others["dynamodb"].put_item(TableName=f"{self.name}-monitors", Item=row)

    def tear_down(self) -> None:
        """What the role network removes by the engine, in its order."""
        client, others = self.world.client, self.others
        alarms.remove(others["cloudwatch"], self.name, check=False)
        instances = client.describe_instances(Filters=made(self.name))["Reservations"]
        client.terminate_instances(InstanceIds=[one["Instances"][0]["InstanceId"] for one in instances])
        gateway_bundle.remove(others["secretsmanager"], self.name, check=False)
        launch_templates.remove(client, self.name, check=False)
        network_removal.remove(client, self.name, check=False)
        lease_table.remove(others["dynamodb"], self.name, check=False)

    def routes(self) -> dict[str, dict[str, str]]:
        """By zone, and by destination."""
        return {zone: routes_of(self.world, self.world.table(zone)) for zone in (A, B)}

    def all(self) -> dict[str, Any]:
        """All that EC2 and the other services have of it, word by word; what there is none of is left out."""
        client, others, name = self.world.client, self.others, self.name
        ours = [{"Name": "tag:vpnha:deployment", "Values": [name]}]
        found: dict[str, Any] = {
            "tables": client.describe_route_tables(Filters=ours)["RouteTables"],
            "interfaces": client.describe_network_interfaces(Filters=ours)["NetworkInterfaces"],
            "addresses": client.describe_addresses(Filters=ours)["Addresses"],
            "instances": [
                one["Instances"][0]
                for one in client.describe_instances(Filters=ours)["Reservations"]
                if one["Instances"][0]["State"]["Name"] != "terminated"
            ],
            "groups": client.describe_security_groups(Filters=ours)["SecurityGroups"],
            "lock": client.describe_security_groups(Filters=[{"Name": "group-name", "Values": [tags.lock_of(name)]}])[
                "SecurityGroups"
            ],
            "endpoints": [
                {**one, "State": ""}  # it becomes available some time
                for one in client.describe_vpc_endpoints(Filters=ours)["VpcEndpoints"]
                if one["State"] not in ("deleting", "deleted")
            ],
            "templates": client.describe_launch_templates(Filters=ours)["LaunchTemplates"],
            "alarms": [
                {key: value for key, value in one.items() if not key.startswith("State")}  # CloudWatch evaluates them
                for one in others["cloudwatch"].describe_alarms(AlarmNamePrefix=f"vpnha/{name}/")["MetricAlarms"]
            ],
        }
        found["versions"] = [
            client.describe_launch_template_versions(LaunchTemplateName=one["LaunchTemplateName"])[
                "LaunchTemplateVersions"
            ]
            for one in found["templates"]
        ]
        lists = client.describe_managed_prefix_lists()["PrefixLists"]
        found["lists"] = [
            one
            for one in lists
            if tags.to_dict(one.get("Tags")).get(tags.DEPLOYMENT) == name and not one["State"].startswith("delete-")
        ]
        found["entries"] = [
            client.get_managed_prefix_list_entries(PrefixListId=one["PrefixListId"])["Entries"]
            for one in found["lists"]
        ]
        [vpc] = client.describe_vpcs(VpcIds=[self.world.vpc])["Vpcs"]
        found["marks"] = [tag for tag in vpc.get("Tags", []) if tag["Key"].endswith(f":{name}")]
        if f"{name}-monitors" in others["dynamodb"].list_tables()["TableNames"]:
            found["store"] = others["dynamodb"].describe_table(TableName=f"{name}-monitors")["Table"]
            found["lease"] = others["dynamodb"].scan(TableName=f"{name}-monitors")["Items"]
        secrets = others["secretsmanager"].list_secrets()["SecretList"]
        found["secrets"] = [
            (one["Name"], others["secretsmanager"].get_secret_value(SecretId=one["Name"])["SecretBinary"])
            for one in secrets
            if one["Name"].startswith(f"vpnha/{name}/")
        ]
        return {kind: what for kind, what in found.items() if what}


KINDS = {
    "tables", "interfaces", "addresses", "instances", "groups", "lock", "endpoints", "templates", "versions", "alarms",
    "lists", "entries", "marks", "store", "lease", "secrets",
}  # fmt: skip


def made(deployment: str) -> list[dict[str, Any]]:
    return [{"Name": "tag:vpnha:made", "Values": [deployment]}]


def beside(world: World) -> World:
    """Another deployment in the same VPC, in subnets of its own, with the same names of all but itself."""
    name, net = f"{world.deployment.name}-x", world.deployment.vpc_cidrs[0].removesuffix(".0.0/16")
    zones = {f"{net}.2.0/24": A, f"{net}.3.0/24": B, f"{net}.18.0/24": A, f"{net}.19.0/24": B}
    subnets = {cidr: world.new_subnet(cidr, zone) for cidr, zone in zones.items()}
    ids = list(subnets.values())
    group = world.client.create_security_group(GroupName=name, Description=name, VpcId=world.vpc)["GroupId"]
    interfaces = tuple(
        replace(one, subnet_id=ids[n], address=f"{net}.{n + 2}.10", security_groups=(group,))
        for n, one in enumerate(world.wanted.interfaces)
    )
    wanted = replace(
        world.wanted,
        deployment=name,
        interfaces=interfaces,
        zones=tuple(replace(one, subnets=(ids[n + 2],)) for n, one in enumerate(world.wanted.zones)),
        public_subnets=tuple(ids[:2]),
    )
    deployment = replace(
        world.deployment,
        name=name,
        zones=tuple(
            replace(one, gateway_subnet=f"{net}.{n + 2}.0/24", app_subnets=(f"{net}.{n + 18}.0/24",))
            for n, one in enumerate(world.deployment.zones)
        ),
        gateways=tuple(
            replace(one, address=f"{net}.{n + 2}.10") for n, one in enumerate(world.deployment.gateways)
        ),
    )  # fmt: skip
    return World(world.client, deployment, wanted, world.vpc, subnets)


def watched(world: World, *services: str) -> World:
    """With a monitor in each zone that reaches these services by endpoints, and a site by its prefix list."""
    monitors = tuple(
        Interface(name, "monitor", one.subnet_id, f"{one.address[:-2]}20", one.security_groups, False)
        for name, one in zip(MONITORS, world.wanted.interfaces, strict=True)
    )
    by_list(world, HQ, MORE)
    world.wanted = replace(
        world.wanted, interfaces=(*world.wanted.interfaces, *monitors), endpoints=(*services, "dynamodb")
    )
    return world


@pytest.fixture
def sides(bare: World, others: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Side, Side]:
    """Both, deployed and in use."""
    monkeypatch.setattr(endpoints_build, "_PAUSE", 0.0)
    bare.client.modify_vpc_attribute(VpcId=bare.vpc, EnableDnsHostnames={"Value": True})
    second = beside(bare)
    both = Side(watched(bare, "monitoring"), others), Side(watched(second, "ec2"), others)
    for side in both:
        group = side.world.wanted.interfaces[0].security_groups[0]
        side.world.tag(group, vpnha_deployment=side.name, vpnha_made=side.name)
        assert side.deploy()
        side.world.launch("gw-a", "gw-b")
        side.use()
    return both


def test_what_is_done_to_the_one_leaves_the_other_as_it_is(sides: tuple[Side, Side]) -> None:
    one, other = sides
    home, before = one.routes(), other.all()
    assert before.keys() == KINDS

    wish = Wish(Choice(gateway="gw-b", leaving="gw-a"), pin_minutes=60, by="jane")
    report = run(one.world.client, one.world.deployment, wish, check=False, wall=NOW)
    assert not report.failure and {row["before"] for row in report.routes} == {"gw-a"}
    assert one.routes() == {A: dict.fromkeys(home[A], one.world.eni("gw-b")), B: home[B]}
    assert other.all() == before

    swapped = one.all()
    assert (one.deploy(), other.deploy()) == ([], [])
    assert (one.all(), other.all()) == (swapped, before)

    one.tear_down()
    assert other.all() == before
    assert one.all().keys() == {"groups"}  # which the role removes
    assert other.deploy() == []
    assert not other.world.view().missing_routes


def test_the_endpoint_by_which_the_others_monitors_reach_ec2_is_not_taken_from_them(
    bare: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints_build, "_PAUSE", 0.0)
    bare.client.modify_vpc_attribute(VpcId=bare.vpc, EnableDnsHostnames={"Value": True})
    second = beside(bare)
    first, second = watched(bare, "ec2"), watched(second, "ec2")
    endpoint = first.build().endpoints["ec2"]
    outcome = second.build()
    assert outcome.endpoints["ec2"] == endpoint  # EC2 lets no other with private DNS be beside it
    with pytest.raises(VpnhaError) as refused:
        network_removal.remove(first.client, first.deployment.name, check=True)
    said, cards = str(refused.value), [outcome.interfaces[name]["id"] for name in MONITORS]
    assert f"{first.deployment.name}'s endpoint {endpoint}, and could move no route without it: " in said
    for card, name in zip(cards, MONITORS, strict=True):
        assert f"({name} of the deployment {second.deployment.name})" in said and card in said
    assert said.endswith("Nothing was removed.")
    for card in cards:
        address = first.client.allocate_address(Domain="vpc")["AllocationId"]
        first.client.associate_address(AllocationId=address, NetworkInterfaceId=card)
    assert network_removal.remove(first.client, first.deployment.name, check=False).changes
    assert [change.subject for change in second.build().changes if "ec2" in change.subject] == ["endpoint for ec2"]
