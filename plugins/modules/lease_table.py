#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lease_table
short_description: Make or remove the lease store of several monitors
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Where a deployment has several monitors, they agree by a DynamoDB table with the deployment's name and C(-monitors).
  - It is paid by request, and tagged with C(vpnha:deployment) and C(vpnha:made).
  - A table of that name without the tag C(vpnha:made) of the deployment is refused, and never removed.
  - A single monitor needs none. The role network makes it where it is needed.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  state:
    description: Whether the table shall be there.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - vpnha.aws.attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.gateway_network
"""

EXAMPLES = r"""
- name: Make the table by which the monitors agree
  vpnha.aws.lease_table:
    deployment: lab
    region: eu-central-1

- name: Remove it
  vpnha.aws.lease_table:
    deployment: lab
    region: eu-central-1
    state: absent
"""

RETURN = r"""
name:
  description: The table's name.
  returned: success
  type: str
  sample: lab-monitors
arn:
  description: The table's ARN; empty where there is none.
  returned: success
  type: str
  sample: arn:aws:dynamodb:eu-central-1:123456789012:table/lab-monitors
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, lease_table
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    work = lease_table.make if module.params["state"] == "present" else lease_table.remove
    try:
        client = ec2.of_module(module, patient=True, service="dynamodb")
        outcome = work(client, module.params["deployment"], check=module.check_mode)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=outcome.changed, name=outcome.name, arn=outcome.arn)


if __name__ == "__main__":
    main()
