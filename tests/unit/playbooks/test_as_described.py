# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups, roles and policies: what is as described costs no module, and what somebody has changed is put back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import Person

TASKS = ("See to the security groups", "See to the roles that the hosts have", "See to what monitors may do")


def ran(output: str, task: str) -> bool:
    """Whether the task's module has run, for one item at least."""
    said = output.partition(f": {task}]")[2].partition("\nTASK [")[0]
    return any(line.startswith(("ok: ", "changed: ")) for line in said.splitlines())


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_what_somebody_has_changed_is_put_back(
    person: Person, account: Callable[..., Any], books: Path, description: dict[str, Any]
) -> None:
    ec2, iam = account(), account("iam")
    description["vpnha_deployment"] = "drifting"
    made = [{"Name": "tag:vpnha:made", "Values": ["drifting"]}]
    network = str(books / "network.yml")

    def groups() -> dict[str, Any]:
        found = ec2.describe_security_groups(Filters=made)["SecurityGroups"]
        return {
            one["GroupName"]: (
                one["GroupId"],
                {
                    (rule["IpProtocol"], rule.get("FromPort"), each["CidrIp"], each.get("Description"))
                    for rule in one["IpPermissions"]
                    for each in rule["IpRanges"]
                },
                sorted((tag["Key"], tag["Value"]) for tag in one["Tags"]),
            )
            for one in found
        }

    def policy() -> Any:
        return iam.get_role_policy(RoleName="drifting-monitor", PolicyName="vpnha-monitor")["PolicyDocument"]

    def trust() -> Any:
        return iam.get_role(RoleName="drifting-gateway")["Role"]["AssumeRolePolicyDocument"]

    assert person.play(network, description).code == 0
    before = groups(), policy(), trust()
    assert set(before[0]) == {"drifting-gateway", "drifting-monitor", "drifting-app"}
    again = person.play(network, description)
    assert (again.code, again.changed) == (0, 0)
    assert not any(ran(again.output, task) for task in TASKS)

    ids = {name: one[0] for name, one in groups().items()}
    stranger = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=ids["drifting-gateway"], IpPermissions=[stranger])
    [app] = ec2.describe_security_groups(GroupIds=[ids["drifting-app"]])["SecurityGroups"]
    ec2.revoke_security_group_ingress(GroupId=ids["drifting-app"], IpPermissions=app["IpPermissions"][:1])
    nothing = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    theirs = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    iam.put_role_policy(RoleName="drifting-monitor", PolicyName="vpnha-monitor", PolicyDocument=document(nothing))
    iam.update_assume_role_policy(RoleName="drifting-gateway", PolicyDocument=document(theirs))
    assert (groups(), policy(), trust()) != before
    mended = person.play(network, description)
    assert mended.code == 0, mended.output
    assert all(ran(mended.output, task) for task in TASKS)
    assert (groups(), policy(), trust()) == before
    after = person.play(network, description)
    assert (after.code, after.changed) == (0, 0)
    assert person.play(str(books / "remove.yml"), description).code == 0


def test_what_replaces_gateways_is_seen_to_once_and_what_is_gone_leaves_nothing(
    person: Person, account: Callable[..., Any], books: Path, description: dict[str, Any]
) -> None:
    secrets, ec2 = account("secretsmanager"), account()
    description |= {"vpnha_deployment": "replacing", "vpnha_repair": "replace"}
    network, ours = str(books / "network.yml"), [{"Key": "vpnha:made", "Value": "replacing"}]
    secrets.create_secret(Name="vpnha/replacing/gw-a/1", SecretString="of a gateway", Tags=ours)
    secrets.create_secret(Name="vpnha/replacing/gw-z/1", SecretString="of one that is gone", Tags=ours)
    secrets.create_secret(Name="vpnha/replacing/mine", SecretString="a person's")
    ec2.create_launch_template(
        LaunchTemplateName="replacing-gw-z", LaunchTemplateData={"InstanceType": "t3.small"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": ours}],
    )  # fmt: skip

    def held() -> set[str]:
        return {one["Name"] for one in secrets.list_secrets()["SecretList"] if "/replacing/" in one["Name"]}

    def templates() -> set[str]:
        made = [{"Name": "tag:vpnha:made", "Values": ["replacing"]}]
        return {one["LaunchTemplateName"] for one in ec2.describe_launch_templates(Filters=made)["LaunchTemplates"]}

    assert person.play(network, description).code == 0
    assert held() == {"vpnha/replacing/gw-a/1", "vpnha/replacing/mine"}
    assert templates() == {"replacing-gw-a", "replacing-gw-b"}
    again = person.play(network, description)
    assert (again.code, again.changed) == (0, 0)
    assert not ran(again.output, "See to what monitors may do and gateways may read for a replacement")
    without = person.play(network, {**description, "vpnha_repair": "none"})
    assert without.code == 0 and held() == {"vpnha/replacing/mine"} and templates() == set()
    assert person.play(str(books / "remove.yml"), description).code == 0
