# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of a deployment that somebody else has given already, as Ansible runs the module that looks for them."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from tests.unit.module_process import CREDENTIALS, run_module

from .conftest import REGION, World

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


@pytest.fixture(scope="module")
def iam(url: str) -> Any:
    """A client of IAM with the controller's credentials."""
    keys = {name.lower(): value for name, value in CREDENTIALS.items()}
    return boto3.client("iam", region_name=REGION, endpoint_url=url, **keys)


def ask(world: World, url: str, **options: Any) -> dict[str, Any]:
    name = world.deployment.name
    options |= {"region": REGION, "endpoint_url": url, "deployment": name, "vpc_filters": {"vpc-id": world.vpc}}
    return run_module("aws_check", **options).result


def group(world: World, role: str, vpc: str | None = None, **tags: str) -> str:
    name = f"{world.deployment.name}-{role}"
    made = world.client.create_security_group(GroupName=name, Description="x", VpcId=vpc or world.vpc)
    if tags:
        world.tag(made["GroupId"], **tags)
    return str(made["GroupId"])


def role(iam: Any, name: str, *profiles: str, **tags: str) -> None:
    pairs = [{"Key": key.replace("_", ":"), "Value": value} for key, value in tags.items()]
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Tags=pairs)
    for profile in profiles:
        iam.create_instance_profile(InstanceProfileName=profile)
        iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=name)


def test_security_groups_of_somebody_else_are_refused(bare: World, url: str) -> None:
    name = bare.deployment.name
    wanted = [f"{name}-gateway", f"{name}-monitor", f"{name}-app"]
    assert not ask(bare, url, security_groups=wanted).get("failed")
    group(bare, "monitor", vpnha_made=name)
    other = bare.client.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    group(bare, "app", other)
    assert not ask(bare, url, security_groups=wanted).get("failed")
    taken = group(bare, "gateway", vpnha_made="another")
    refused = ask(bare, url, security_groups=wanted)
    assert refused["failed"]
    assert refused["msg"] == (
        f"The security group {name}-gateway ({taken}) in {bare.vpc} does not carry the tag vpnha:made={name}: somebody "
        "else has made it. Remove it, or choose another name for the deployment (vpnha_deployment)."
    )


def test_roles_and_profiles_of_somebody_else_are_refused(bare: World, url: str, iam: Any) -> None:
    name = bare.deployment.name
    gateway, monitor = f"{name}-gateway", f"{name}-monitor"
    assert not ask(bare, url, iam_roles=[gateway, monitor]).get("failed")
    role(iam, gateway, gateway, vpnha_made=name)
    assert not ask(bare, url, iam_roles=[gateway, monitor]).get("failed")
    role(iam, monitor, Owner="somebody")
    refused = ask(bare, url, iam_roles=[gateway, monitor])
    assert refused["msg"].startswith(f"The IAM role {monitor} does not carry the tag vpnha:made={name}: ")
    iam.delete_role(RoleName=monitor)
    role(iam, f"{name}-other", monitor)
    refused = ask(bare, url, iam_roles=[gateway, monitor])
    assert refused["msg"].startswith(f"The instance profile {monitor} has the role {name}-other, and not the role ")
    iam.remove_role_from_instance_profile(InstanceProfileName=monitor, RoleName=f"{name}-other")
    refused = ask(bare, url, iam_roles=[gateway, monitor])
    assert refused["msg"].startswith(f"The instance profile {monitor} has no role, and not the role {monitor}. Remove")


def test_what_the_deployment_has_already_is_returned(bare: World, url: str, iam: Any) -> None:
    name = bare.deployment.name
    mine, bare_role = f"{name}-gateway", f"{name}-monitor"
    assert ask(bare, url, security_groups=[mine], iam_roles=[mine])["iam_roles"] == []
    made = group(bare, "gateway", vpnha_made=name)
    role(iam, mine, mine, vpnha_made=name)
    role(iam, bare_role, vpnha_made=name)
    statement = {"Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_role_policy(RoleName=mine, PolicyName="mine", PolicyDocument=json.dumps(document))
    seen = ask(bare, url, security_groups=[mine], iam_roles=[mine, bare_role])
    assert [(one["group_id"], one["group_name"]) for one in seen["security_groups"]] == [(made, mine)]
    first, second = seen["iam_roles"]
    trust, tags = json.loads(TRUST), {"vpnha:made": name}
    assert first["settings"] == {"description": "", "trust": trust, "tags": tags, "instance_profile": True}
    assert (first["policies"], second["policies"]) == ({"mine": document}, {})
    assert not second["settings"]["instance_profile"]
    assert seen["launch_templates"] == []


def test_a_role_of_the_same_deployment_in_another_region_is_refused(bare: World, url: str, iam: Any) -> None:
    name = bare.deployment.name
    gateway, monitor = f"{name}-gateway", f"{name}-monitor"
    role(iam, gateway, gateway, vpnha_made=name, vpnha_region=REGION)
    role(iam, monitor, monitor, vpnha_made=name, vpnha_region="us-east-1")
    assert not ask(bare, url, iam_roles=[gateway]).get("failed")
    assert ask(bare, url, iam_roles=[gateway, monitor])["msg"] == (
        f"The IAM role {monitor} is that of the deployment {name} in us-east-1, and IAM has one role of a name for all "
        "regions. Choose another name for the deployment here (vpnha_deployment)."
    )


def test_all_that_is_in_the_way_is_told_at_once(bare: World, url: str, iam: Any) -> None:
    name = f"{bare.deployment.name}-gateway"
    group(bare, "gateway")
    role(iam, name)
    refused = ask(bare, url, security_groups=[name], iam_roles=[name])
    assert refused["msg"].startswith("2 things stand in the way:\n- The security group ")
    assert f"\n- The IAM role {name} " in refused["msg"]


def test_it_has_to_be_said_whose_names_they_are(bare: World, url: str) -> None:
    refused = run_module("aws_check", region=REGION, endpoint_url=url, iam_roles=["x-gateway"]).result
    assert refused["failed"] and refused["msg"].startswith("deployment: ")
