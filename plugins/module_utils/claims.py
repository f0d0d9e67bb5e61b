# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the names that a deployment gives to security groups and IAM roles are its own.

Both are found by name alone by the modules that make them, which take away whatever is not described: what somebody
else has made under such a name has to be refused before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from . import ec2, tags
from .errors import Ec2Error
from .network_adoption import is_made

REGION = "vpnha:region"  # of a role: IAM has one of a name for all regions
_GONE = "NoSuchEntity"


def groups(client: Any, deployment: str, vpc_id: str, names: Sequence[str]) -> list[str]:
    """A sentence for each security group of the VPC with one of the names that is not the deployment's. Ec2Error."""
    found = ec2.pages(
        client,
        "describe_security_groups",
        "SecurityGroups",
        "looking for the security groups",
        Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "group-name", "Values": list(names)}],
    )
    return [
        _others(f"security group {group['GroupName']} ({group['GroupId']}) in {vpc_id}", deployment)
        for group in found
        if not is_made(group.get("Tags"), deployment)
    ]


def roles(client: Any, deployment: str, region: str, names: Sequence[str]) -> list[str]:
    """A sentence for each IAM role and instance profile of the names that is not the deployment's. Raises Ec2Error.

    A role of the deployment that has no region is of an older version, and gets this one.
    """
    sentences: list[str] = []
    for name in names:
        role = _get(f"looking for the IAM role {name}", partial(client.get_role, RoleName=name))
        tagged = role["Role"].get("Tags") if role is not None else None
        if role is not None and not is_made(tagged, deployment):
            sentences.append(_others(f"IAM role {name}", deployment))
        elif (its := tags.to_dict(tagged).get(REGION, region)) != region:
            sentences.append(
                f"The IAM role {name} is that of the deployment {deployment} in {its}, and IAM has one role of a name "
                "for all regions. Choose another name for the deployment here (vpnha_deployment)."
            )
        ask = partial(client.get_instance_profile, InstanceProfileName=name)
        profile = _get(f"looking for the instance profile {name}", ask)
        has = [one["RoleName"] for one in profile["InstanceProfile"]["Roles"]] if profile else [name]
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
