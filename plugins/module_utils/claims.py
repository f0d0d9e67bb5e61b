# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the names that a deployment gives to security groups and IAM roles are its own.

Both are found by name alone by the modules that make them, which take away whatever is not described: what somebody
else has made under such a name has to be refused before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from . import ec2, tags
from .errors import Ec2Error
from .network_adoption import is_made

Found = Mapping[str, Any]

REGION = "vpnha:region"  # of a role: IAM has one of a name for all regions
_GONE = "NoSuchEntity"


def find_groups(client: Any, vpc_id: str, names: Sequence[str]) -> Sequence[Found]:
    """The security groups of the VPC with one of the names, as EC2 describes them. Raises Ec2Error."""
    return ec2.pages(
        client,
        "describe_security_groups",
        "SecurityGroups",
        "looking for the security groups",
        Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "group-name", "Values": list(names)}],
    )


def groups(found: Iterable[Found], deployment: str) -> list[str]:
    """A sentence for each security group that is not the deployment's."""
    return [
        _others(f"security group {group['GroupName']} ({group['GroupId']}) in {group['VpcId']}", deployment)
        for group in found
        if not is_made(group.get("Tags"), deployment)
    ]


def find_roles(client: Any, names: Sequence[str]) -> dict[str, tuple[Found | None, Found | None]]:
    """The IAM role and the instance profile of each name, as IAM describes them, if there are. Raises Ec2Error."""
    found = {}
    for name in names:
        role = _get(f"looking for the IAM role {name}", partial(client.get_role, RoleName=name))
        ask = partial(client.get_instance_profile, InstanceProfileName=name)
        profile = _get(f"looking for the instance profile {name}", ask)
        found[name] = role["Role"] if role else None, profile["InstanceProfile"] if profile else None
    return found


def policies(client: Any, role: str) -> dict[str, Any]:
    """The documents of a role's own policies by name. Raises Ec2Error."""
    names = ec2.call(f"looking for the policies of {role}", partial(client.list_role_policies, RoleName=role))
    found = {}
    for name in names["PolicyNames"]:
        ask = partial(client.get_role_policy, RoleName=role, PolicyName=name)
        found[name] = ec2.call(f"reading the policy {name} of {role}", ask)["PolicyDocument"]
    return found


def roles(found: Mapping[str, tuple[Found | None, Found | None]], deployment: str, region: str) -> list[str]:
    """A sentence for each IAM role and instance profile that is not the deployment's.

    A role of the deployment that has no region is of an older version, and gets this one.
    """
    sentences: list[str] = []
    for name, (role, profile) in found.items():
        tagged = role.get("Tags") if role is not None else None
        if role is not None and not is_made(tagged, deployment):
            sentences.append(_others(f"IAM role {name}", deployment))
        elif (its := tags.to_dict(tagged).get(REGION, region)) != region:
            sentences.append(
                f"The IAM role {name} is that of the deployment {deployment} in {its}, and IAM has one role of a name "
                "for all regions. Choose another name for the deployment here (vpnha_deployment)."
            )
        has = [one["RoleName"] for one in profile["Roles"]] if profile is not None else [name]
        if has != [name]:  # made with the role, and without tags
            sentences.append(
                f"The instance profile {name} has {f'the role {has[0]}' if has else 'no role'}, and not the role "
                f"{name}. Remove it, or choose another name for the deployment (vpnha_deployment)."
            )
    return sentences


def _others(what: str, deployment: str) -> str:
    return (
        f"The {what} does not carry the tag {tags.MADE}={deployment}: somebody else has made it. Remove it, or choose "
        "another name for the deployment (vpnha_deployment)."
    )


def _get(doing: str, ask: Any) -> Any:
    """What IAM answers; None where there is no such thing."""
    try:
        return ec2.call(doing, ask)
    except Ec2Error as error:
        if error.code == _GONE:
            return None
        raise
