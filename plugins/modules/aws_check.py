#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_check
short_description: See that AWS answers, has the zones and leaves a deployment its names, and what there is of a VPC
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Asks EC2 for the Availability Zones of the region, for a VPC with its subnets and internet gateway, and for what
    there is already of O(deployment)'s security groups, IAM roles and launch templates. It changes nothing.
  - Fails with one sentence when credentials are missing or not accepted, when the endpoint cannot be reached, or when
    the region has no such zone.
  - Fails with a sentence for each security group and IAM role that has a name of the deployment and is not its own, and
    for a key pair that is missing.
  - The role network runs it before any other task that talks to AWS.
options:
  zones:
    description: Names of zones that the region must have.
    type: list
    elements: str
    default: []
  vpc_filters:
    description:
      - By which a VPC is found, as EC2's DescribeVpcs takes them; each value is a string or a list of strings.
      - Its subnets and internet gateway are only looked for if exactly one VPC is found.
    type: dict
  deployment:
    description: Name of the deployment that O(security_groups), O(iam_roles) and O(hosts) are for. Its launch templates
      are looked for.
    type: str
  security_groups:
    description:
      - Names of security groups that will be made in the VPC that is found.
      - One that is there without the tag C(vpnha:made) of O(deployment) is refused.
    type: list
    elements: str
    default: []
  iam_roles:
    description:
      - Names of IAM roles, and of the instance profiles with them, that will be made.
      - One that is there without the tag C(vpnha:made) of O(deployment) is refused, and so is one whose tag
        C(vpnha:region) names another region, and an instance profile that has another role or none.
    type: list
    elements: str
    default: []
  hosts:
    description:
      - Names of the hosts that O(deployment) is to have. Those that have no instance yet will be launched with
        O(key_name).
      - Warns if they would have no key pair, since it may be that nobody can log in. Fails if their key pair is not
        there and will not be made either.
    type: list
    elements: str
    default: []
  key_name:
    description: Name of a key pair to look for.
    type: str
  import_key:
    description: Whether O(key_name) will be imported where it is not there.
    type: bool
    default: false
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.info
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.deployment_check
"""

EXAMPLES = r"""
- name: See that AWS answers and has both zones
  vpnha.aws.aws_check:
    region: eu-central-1
    zones: [eu-central-1a, eu-central-1b]
    vpc_filters:
      tag:Name: production

- name: See that it has the names of a deployment for it
  vpnha.aws.aws_check:
    region: eu-central-1
    vpc_filters:
      tag:Name: production
    deployment: lab
    security_groups: [lab-gateway, lab-monitor]
    iam_roles: [lab-gateway, lab-monitor]
"""

RETURN = r"""
zones:
  description: The zones that the region has for this account, sorted.
  returned: success
  type: list
  elements: str
  sample: [eu-central-1a, eu-central-1b, eu-central-1c]
vpcs:
  description: The VPCs that are found, as EC2 describes them, with keys in snake case.
  returned: success
  type: list
  elements: dict
  sample: [{"vpc_id": "vpc-0123456789abcdef0", "cidr_block": "10.0.0.0/16"}]
subnets:
  description: The subnets of the VPC that is found, likewise.
  returned: success
  type: list
  elements: dict
  sample: [{"subnet_id": "subnet-0123456789abcdef0", "cidr_block": "10.0.0.0/24", "availability_zone": "eu-central-1a"}]
internet_gateways:
  description: The internet gateways of the VPC that is found, likewise.
  returned: success
  type: list
  elements: dict
  sample: [{"internet_gateway_id": "igw-0123456789abcdef0"}]
security_groups:
  description: The security groups of O(security_groups) that there are in the VPC that is found, likewise.
  returned: success
  type: list
  elements: dict
  sample: [{"group_id": "sg-0123456789abcdef0", "group_name": "lab-gateway", "ip_permissions": []}]
iam_roles:
  description: The roles of O(iam_roles) that there are.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the role.
      type: str
      returned: always
    settings:
      description: Its C(description), who may take it (C(trust)), its C(tags), and if it has its C(instance_profile).
      type: dict
      returned: always
    policies:
      description: Documents of its own policies by name.
      type: dict
      returned: always
launch_templates:
  description: The names of the launch templates that were made for O(deployment).
  returned: success
  type: list
  elements: str
  sample: [lab-gw-a]
key_pairs:
  description: The names of the key pairs that are found, which is O(key_name) or none.
  returned: success
  type: list
  elements: str
  sample: [vpn-admin]
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.transformation import ansible_dict_to_boto3_filter_list
from ansible_collections.vpnha.aws.plugins.module_utils import claims, ec2, launch_templates, tags
from ansible_collections.vpnha.aws.plugins.module_utils.ec2_view import read_instances
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error


def main() -> None:
    names: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleAWSModule(
        argument_spec={
            "zones": names,
            "vpc_filters": {"type": "dict"},
            "deployment": {"type": "str"},
            "security_groups": names,
            "iam_roles": names,
            "hosts": names,
            "key_name": {"type": "str", "no_log": False},
            "import_key": {"type": "bool", "default": False, "no_log": False},
        },
        supports_check_mode=True,
    )
    if not module.params["deployment"] and any(module.params[key] for key in ("security_groups", "iam_roles", "hosts")):
        module.fail_json(msg="deployment: whose security_groups, iam_roles and hosts these are is needed with them.")
    if module.params["import_key"] and not module.params["key_name"]:
        module.fail_json(msg="vpnha_public_key: vpnha_key_name, the name to import it under, is missing; give it.")
    client = ec2.of_module(module, patient=True)
    try:
        answer = ec2.call("asking EC2 for the region's zones", client.describe_availability_zones)
    except Ec2Error as error:
        module.fail_json(msg=f"AWS cannot be asked for its zones: {error.message.rstrip('.')}. Nothing was changed.")
    has = sorted(zone["ZoneName"] for zone in answer["AvailabilityZones"])
    if lacking := [zone for zone in module.params["zones"] if zone not in has]:
        module.fail_json(
            msg=f"vpnha_zones: {client.meta.region_name} has no zone {' and no zone '.join(lacking)} for this account; "
            f"it has {', '.join(has)}."
        )
    try:
        found = look(client, module.params["vpc_filters"])
    except Ec2Error as error:
        module.fail_json(msg=f"AWS cannot be asked for the VPC: {error.message.rstrip('.')}. Nothing was changed.")
    try:
        iam = ec2.of_module(module, patient=True, service="iam") if module.params["iam_roles"] else None
        groups = _its_groups(module, client, found["vpcs"])
        roles = claims.find_roles(iam, module.params["iam_roles"])
        claimed = claims.groups(groups, module.params["deployment"])
        claimed += claims.roles(roles, module.params["deployment"], client.meta.region_name)
        held = [] if claimed else _held(iam, roles)
        templates = launch_templates.names(client, module.params["deployment"]) if module.params["deployment"] else []
        key_pairs = _key_pairs(client, module.params["key_name"])
        provided = key_pairs or module.params["import_key"]
        missing = [] if provided else _missing(client, module.params["deployment"], module.params["hosts"])
    except Ec2Error as error:
        said = str(error).rstrip(".")
        module.fail_json(msg=f"AWS cannot be asked for what has the deployment's names: {said}. Nothing was changed.")
    if missing and not module.params["key_name"]:
        module.warn(
            f"{', '.join(missing)} will be launched without a key pair, since vpnha_key_name is empty. Unless the "
            "image has users of its own, or Ansible comes in another way, as by SSM, nobody can log in; and a key pair "
            "that is given later does not reach hosts that are there."
        )
    elif missing:
        claimed.append(
            f"vpnha_key_name: {client.meta.region_name} has no key pair {module.params['key_name']}, and "
            f"{', '.join(missing)} would be launched with it; correct the name, or give vpnha_public_key to import it."
        )
    if claimed:
        lines = "".join(f"\n- {sentence}" for sentence in claimed)
        module.fail_json(msg=claimed[0] if len(claimed) == 1 else f"{len(claimed)} things stand in the way:{lines}")
    module.exit_json(
        changed=False, zones=has, **found, key_pairs=key_pairs, iam_roles=held, launch_templates=templates,
        security_groups=[_snake(group) for group in groups],
    )  # fmt: skip


def _its_groups(module: AnsibleAWSModule, client: Any, vpcs: list[dict[str, Any]]) -> Sequence[claims.Found]:
    """The security groups that have the deployment's names. Raises Ec2Error."""
    wanted = module.params["security_groups"]
    return claims.find_groups(client, vpcs[0]["vpc_id"], wanted) if wanted and len(vpcs) == 1 else []


def _held(iam: Any, roles: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The roles that there are, with their policies. Raises Ec2Error."""
    return [
        {
            "name": name,
            "settings": {
                "description": role.get("Description", ""),
                "trust": role["AssumeRolePolicyDocument"],
                "tags": {key: value for key, value in tags.to_dict(role.get("Tags")).items() if key[:4] != "aws:"},
                "instance_profile": profile is not None,
            },
            "policies": claims.policies(iam, name),
        }
        for name, (role, profile) in roles.items()
        if role is not None
    ]


def _snake(item: Mapping[str, Any]) -> dict[str, Any]:
    return camel_dict_to_snake_dict(dict(item), ignore_list=["Tags"])


def _key_pairs(client: Any, name: str | None) -> list[str]:
    """The name, if a key pair has it. Raises Ec2Error."""
    if not name:
        return []
    ask = partial(client.describe_key_pairs, Filters=[{"Name": "key-name", "Values": [name]}])
    return [pair["KeyName"] for pair in ec2.call("looking for the key pair", ask)["KeyPairs"]]


def _missing(client: Any, deployment: str, hosts: list[str]) -> list[str]:
    """The hosts that have no instance. Raises Ec2Error."""
    if not hosts:
        return []
    there = read_instances(client, tags.filters(deployment))
    there = [one for one in there if one["State"]["Name"] != "shutting-down"]  # another one takes its place
    names = {tags.to_dict(one.get("Tags")).get("Name") for one in there}
    return [host for host in hosts if host not in names]


def look(client: Any, filters: dict[str, Any] | None) -> dict[str, list[dict[str, Any]]]:
    """The VPCs that match, and what is in them if it is one. Raises Ec2Error."""

    def of(operation: str, key: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        listed = ansible_dict_to_boto3_filter_list(wanted)
        items = ec2.pages(
            client,
            operation,
            key,
            f"{operation.replace('describe_', 'looking for ').replace('_', ' ')}",
            Filters=listed,
        )
        return [_snake(item) for item in items]

    vpcs = of("describe_vpcs", "Vpcs", filters) if filters else []
    found: dict[str, list[dict[str, Any]]] = {"vpcs": vpcs, "subnets": [], "internet_gateways": []}
    if len(vpcs) == 1:
        vpc = vpcs[0]["vpc_id"]
        found["subnets"] = of("describe_subnets", "Subnets", {"vpc-id": vpc})
        found["internet_gateways"] = of("describe_internet_gateways", "InternetGateways", {"attachment.vpc-id": vpc})
    return found


if __name__ == "__main__":
    main()
