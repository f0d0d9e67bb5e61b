# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has a name of the deployment and is somebody else's, as the role ``network`` meets it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import Person

TRUST = '{"Version": "2012-10-17", "Statement": []}'


def test_what_is_somebody_elses(
    person: Person, account: Callable[..., Any], books: Path, description: dict[str, Any]
) -> None:
    ec2, iam = account(), account("iam")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="named-gateway", Description="x", VpcId=vpc)["GroupId"]
    mine = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=mine)
    iam.create_role(RoleName="named-monitor", AssumeRolePolicyDocument=TRUST)
    tag = [{"Key": "vpnha:made", "Value": "another"}]
    iam.create_role(RoleName="named-gateway", AssumeRolePolicyDocument=TRUST, Tags=tag)
    description |= {"vpnha_deployment": "named", "vpnha_vpc": {"id": vpc, "cidr": "10.20.0.0/16"}}

    person.play(str(books / "network.yml"), description).refused_with(
        f"The security group named-gateway ({group}) in {vpc} does not carry the tag vpnha:made=named: somebody else",
        "The IAM role named-gateway does not carry the tag vpnha:made=named: somebody else has made it.",
        "The IAM role named-monitor does not carry the tag vpnha:made=named: somebody else has made it.",
    )
    assert person.play(str(books / "remove.yml"), description).code == 0
    [there] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert len(there["IpPermissions"]) == 1 and not there.get("Tags")
    assert iam.get_role(RoleName="named-gateway")["Role"]["Tags"] == tag
    assert not iam.get_role(RoleName="named-monitor")["Role"].get("Tags")


def test_the_same_deployment_in_another_region(
    person: Person, account: Callable[..., Any], books: Path, description: dict[str, Any]
) -> None:
    iam = account("iam")
    elsewhere = [{"Key": "vpnha:made", "Value": "global"}, {"Key": "vpnha:region", "Value": "us-east-1"}]
    here = [{"Key": "vpnha:made", "Value": "global"}, {"Key": "vpnha:region", "Value": "eu-central-1"}]
    iam.create_role(RoleName="global-gateway", AssumeRolePolicyDocument=TRUST, Tags=elsewhere)
    iam.create_role(RoleName="global-monitor", AssumeRolePolicyDocument=TRUST, Tags=here)
    description |= {"vpnha_deployment": "global"}

    person.play(str(books / "network.yml"), description).refused_with(
        "The IAM role global-gateway is that of the deployment global in us-east-1, and IAM has one role of a name for"
    )
    assert person.play(str(books / "remove.yml"), description).code == 0
    assert [one["RoleName"] for one in iam.list_roles()["Roles"] if one["RoleName"][:6] == "global"] == [
        "global-gateway"
    ]
