#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_templates
short_description: Launch templates that a deployment's gateways are replaced from
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Sees to one launch template for each gateway, named C(DEPLOYMENT-GATEWAY), with all that the gateway's instance is,
    its network interface among it. Who launches from it can choose nothing.
  - The user data names the bundle that M(vpnha.aws.gateway_bundle) keeps, and holds no secret.
  - A template of a gateway that is no longer given is deleted. Only what carries C(vpnha:made) is.
  - M(amazon.aws.ec2_launch_template) would make another version at each run, as EC2 adds words to what it was told.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  state:
    description: V(absent) deletes all templates that were made for the deployment.
    type: str
    choices: [present, absent]
    default: present
  endpoint:
    description: Another endpoint than AWS's own, as the gateways shall use it to fetch their bundles.
    type: str
    default: ""
  interfaces:
    description:
      - Ids of network interfaces by gateway; those of other hosts may be among them. Needed when O(state=present).
    type: dict
  instance_types:
    description:
      - Types of the instances by gateway. These are the gateways that get a template. Needed when O(state=present).
    type: dict
  image:
    description:
      - The AMI. Needed when O(state=present).
      - The role C(gateway) must have run its installation on it, since nobody else will.
    type: str
  instance_profile:
    description: Name of the instance profile. Needed when O(state=present).
    type: str
  key_name:
    description: Name of the EC2 key pair; none if empty.
    type: str
    default: ""
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.diff
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: See to the launch template of gateway gw-a
  vpnha.aws.gateway_templates:
    region: eu-central-1
    deployment: prod
    image: ami-0123456789abcdef0
    instance_profile: prod-gateway
    instance_types: {gw-a: t3.small}
    interfaces: {gw-a: eni-0123456789abcdef0}
"""

RETURN = r"""
templates:
  description: Ids of the launch templates by gateway.
  returned: always
  type: dict
  sample: {gw-a: lt-0123456789abcdef0}
changed_templates:
  description: Names of the templates that were made, changed or deleted.
  returned: always
  type: list
  elements: str
  sample: [prod-gw-a]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, launch_templates
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

NEEDED = ["interfaces", "instance_types", "image", "instance_profile"]


def run(module: AnsibleAWSModule) -> tuple[dict[str, str], list[str]]:
    """Do what is asked; VpnhaError when it cannot be done."""
    client, given = ec2.of_module(module, patient=True), module.params
    deployment = given["deployment"]
    if given["state"] == "absent":
        return {}, launch_templates.remove(client, deployment, module.check_mode)
    if missing := sorted(set(given["instance_types"]) - set(given["interfaces"])):
        raise VpnhaError(f"There is no network interface for {', '.join(missing)}; give its id in interfaces.")
    wanted = [
        launch_templates.Wanted(
            deployment, gateway, given["image"], kind, given["interfaces"][gateway], given["instance_profile"],
            given["key_name"], module.region, given["endpoint"],
        )
        for gateway, kind in given["instance_types"].items()
    ]  # fmt: skip
    return launch_templates.see_to(client, deployment, wanted, module.check_mode)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "endpoint": {"type": "str", "default": ""},
            "interfaces": {"type": "dict"},
            "instance_types": {"type": "dict"},
            "image": {"type": "str"},
            "instance_profile": {"type": "str"},
            "key_name": {"type": "str", "default": "", "no_log": False},
        },
        required_if=[("state", "present", NEEDED)],
        supports_check_mode=True,
    )
    try:
        ids, changed = run(module)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    diff = {"before": "", "after": "".join(f"{name}\n" for name in changed)}
    module.exit_json(changed=bool(changed), templates=ids, changed_templates=changed, diff=diff)


if __name__ == "__main__":
    main()
