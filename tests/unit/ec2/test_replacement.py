# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A replacement in EC2: the templates, what a monitor's role may do and no more, and the whole of it by a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import jinja2
import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, launch_templates, replacement, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error, VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.launch_templates import Wanted
from ansible_collections.vpnha.aws.plugins.module_utils.routes import read_view

from .conftest import REGION, World

POLICIES = Path(__file__).parents[3] / "roles" / "network" / "templates"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]})


def service(world: World, name: str, credentials: dict[str, str] | None = None) -> Any:
    """A client of another service of the same endpoint."""
    keys = credentials or {"AccessKeyId": "lab", "SecretAccessKey": "lab"}
    make: Any = boto3.client
    return make(
        name,
        endpoint_url=world.client.meta.endpoint_url,
        region_name=REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys.get("SessionToken"),
    )


def wanted(world: World, gateway: str = "gw-a", **changes: Any) -> Wanted:
    name = world.deployment.name
    eni = world.eni(gateway)
    one = Wanted(
        name, gateway, "ami-vpnha0golden", "t3.small", eni, f"{name}-gateway", "", REGION, "http://192.0.2.10:4566"
    )
    return replace(one, **changes)


@pytest.fixture
def role(bare: World) -> World:
    """The deployment, and the role and instance profile of its gateways."""
    iam, name = service(bare, "iam"), f"{bare.deployment.name}-gateway"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    bare.build()
    return bare


def see_to(world: World, *each: Wanted, check: bool = False) -> tuple[dict[str, str], list[str]]:
    return launch_templates.see_to(world.client, world.deployment.name, each, check)


def monitor(world: World, templates: dict[str, str]) -> Any:
    """EC2 with the rights that the network role gives a monitor for a replacement."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    document = environment.from_string((POLICIES / "monitor_replace_policy.json.j2").read_text()).render(
        vpnha_aws_partition="aws",
        vpnha_region=REGION,
        vpnha_deployment=world.deployment.name,
        __vpnha_network_templates={"templates": templates},
    )
    iam, name = service(world, "iam"), f"{world.deployment.name}-monitor"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName=name, PolicyName="vpnha-replace", PolicyDocument=document)
    arn = iam.get_role(RoleName=name)["Role"]["Arn"]
    return service(world, "ec2", service(world, "sts").assume_role(RoleArn=arn, RoleSessionName="mon-a")["Credentials"])


def instance(world: World, instance_id: str) -> dict[str, Any]:
    return dict(world.client.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0])


# --- Templates ----------------------------------------------------------------------------------------------


def test_a_template_is_made_once_and_changed_where_it_differs(role: World) -> None:
    one = wanted(role)
    name = f"{role.deployment.name}-gw-a"
    assert see_to(role, one, check=True) == ({}, [name])
    ids, changed = see_to(role, one)
    assert changed == [name] and ids["gw-a"].startswith("lt-")
    assert see_to(role, one) == (ids, [])
    assert see_to(role, replace(one, instance_type="c7i.large"))[1] == [name]
    assert see_to(role, replace(one, instance_type="c7i.large")) == (ids, [])
    versions = role.client.describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Default"])
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["InstanceType"] == "c7i.large"


def test_a_template_of_a_gateway_that_is_no_longer_described_goes_and_nobody_elses(role: World) -> None:
    data = {"ImageId": "ami-vpnha0base"}
    role.client.create_launch_template(LaunchTemplateName=f"{role.deployment.name}-mine", LaunchTemplateData=data)
    see_to(role, wanted(role), wanted(role, "gw-b"))
    assert see_to(role, wanted(role, "gw-b"))[1] == [f"{role.deployment.name}-gw-a"]
    assert launch_templates.remove(role.client, role.deployment.name, False) == [f"{role.deployment.name}-gw-b"]
    left = role.client.describe_launch_templates()["LaunchTemplates"]
    names = [one["LaunchTemplateName"] for one in left]
    assert [name for name in names if name.startswith(role.deployment.name)] == [f"{role.deployment.name}-mine"]


def test_words_that_ec2_adds_are_no_difference() -> None:
    data = {
        "MetadataOptions": {"HttpTokens": "required"},
        "TagSpecifications": [{"Tags": [{"Key": "a", "Value": "1"}]}],
    }
    shown = json.loads(json.dumps(data))
    shown["MetadataOptions"]["State"] = "applied"
    assert launch_templates.same(data, shown)
    assert not launch_templates.same(data, {**shown, "KeyName": "mine"})
    shown["TagSpecifications"][0]["Tags"].append({"Key": "b", "Value": "2"})
    assert not launch_templates.same(data, shown)


# --- By the monitor -----------------------------------------------------------------------------------------


def test_what_is_launched_is_all_in_the_template_and_once_for_a_token(role: World) -> None:
    ids, _changed = see_to(role, wanted(role))
    mine, name = monitor(role, ids), f"{role.deployment.name}-gw-a"
    made = replacement.launch(mine, "gw-a", name, "token-1")
    assert replacement.launch(mine, "gw-a", name, "token-1") == made
    shown = instance(role, made)
    tag = tags.to_dict(shown["Tags"])
    assert {tag[key] for key in (tags.GATEWAY, "Name")} == {"gw-a"}
    assert (tag[tags.DEPLOYMENT], tag[tags.ROLE], tag[tags.MADE]) == (
        role.deployment.name,
        "gateway",
        role.deployment.name,
    )
    assert [eni["NetworkInterfaceId"] for eni in shown["NetworkInterfaces"]] == [role.eni("gw-a")]
    assert shown["IamInstanceProfile"]["Arn"].endswith(f"/{role.deployment.name}-gateway")
    assert (shown["ImageId"], shown["InstanceType"]) == ("ami-vpnha0golden", "t3.small")
    with pytest.raises(Ec2Error) as caught:
        replacement.launch(mine, "gw-a", name, "token-2")
    assert caught.value.code == "InvalidNetworkInterface.InUse", "never two with one interface"


@pytest.mark.parametrize(
    "change",
    [
        {"InstanceType": "p5.48xlarge"},
        {"IamInstanceProfile": {"Name": "administrator"}},
        {"UserData": "#!/bin/sh"},
        {"LaunchTemplate": {}},
    ],
)
def test_a_monitor_launches_nothing_but_what_the_templates_say(
    role: World, change: dict[str, Any], refused: Callable[..., str]
) -> None:
    ids, _changed = see_to(role, wanted(role))
    mine = monitor(role, ids)
    request = {"LaunchTemplate": {"LaunchTemplateName": f"{role.deployment.name}-gw-a"}, "MinCount": 1, "MaxCount": 1}
    changed = {key: value for key, value in {**request, **change}.items() if value}
    if "LaunchTemplate" not in changed:
        changed["ImageId"] = "ami-vpnha0golden"
    assert refused(mine.run_instances, **changed) == "UnauthorizedOperation"


def test_a_monitor_launches_from_no_other_template_and_passes_no_other_role(
    role: World, refused: Callable[..., str]
) -> None:
    ids, _changed = see_to(role, wanted(role))
    mine = monitor(role, ids)
    see_to(role, wanted(role), wanted(role, "gw-b"))
    other = {"LaunchTemplateName": f"{role.deployment.name}-gw-b"}
    assert refused(mine.run_instances, LaunchTemplate=other, MinCount=1, MaxCount=1) == "UnauthorizedOperation"
    iam = service(role, "iam")
    admin = f"{role.deployment.name}-admin"
    iam.create_role(RoleName=admin, AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName=admin)
    iam.add_role_to_instance_profile(InstanceProfileName=admin, RoleName=admin)
    see_to(role, wanted(role, profile=admin))
    own = {"LaunchTemplateName": f"{role.deployment.name}-gw-a"}
    assert refused(mine.run_instances, LaunchTemplate=own, MinCount=1, MaxCount=1) == "UnauthorizedOperation"


def test_a_monitor_terminates_gateways_of_its_deployment_only(role: World, refused: Callable[..., str]) -> None:
    ids, _changed = see_to(role, wanted(role))
    mine = monitor(role, ids)
    made = replacement.launch(mine, "gw-a", f"{role.deployment.name}-gw-a", f"token-{role.deployment.name}")
    subnet = next(iter(role.subnets.values()))
    ran = role.client.run_instances(ImageId="ami-vpnha0base", SubnetId=subnet, MinCount=1, MaxCount=1)
    other = ran["Instances"][0]["InstanceId"]
    assert refused(mine.terminate_instances, InstanceIds=[other]) == "UnauthorizedOperation"
    replacement.terminate(mine, "gw-a", made)


# --- By a person --------------------------------------------------------------------------------------------


def replaced(world: World) -> Any:
    return replacement.replace(world.client, deployment=world.deployment.name, gateway="gw-a", wait_seconds=30)


def test_a_person_replaces_one_that_runs_and_one_that_is_gone(role: World) -> None:
    with pytest.raises(VpnhaError, match="no launch template"):
        replaced(role)
    see_to(role, wanted(role))
    first = replaced(role)
    assert (first.before, first.after) == ("absent", "running")
    second = replaced(role)
    assert second.before == "running" and second.instance_id != first.instance_id
    assert instance(role, first.instance_id)["State"]["Name"] == "terminated"
    view = read_view(role.client, role.deployment)
    assert (view.instances["gw-a"].instance_id, view.instances["gw-a"].eni_free) == (second.instance_id, False)


def test_the_view_tells_whether_an_interface_is_free(role: World) -> None:
    assert read_view(role.client, role.deployment).instances["gw-a"].eni_free
    see_to(role, wanted(role))
    replaced(role)
    shown = read_view(role.client, role.deployment).instances["gw-a"]
    assert (shown.eni_free, shown.eni_dies) == (False, False)


@pytest.fixture
def refused() -> Callable[..., str]:
    """Calls, expects an error of EC2, and returns its code."""

    def call(function: Callable[..., Any], **arguments: Any) -> str:
        with pytest.raises(Ec2Error) as caught, ec2.telling("trying"):
            function(**arguments)
        return caught.value.code

    return call
