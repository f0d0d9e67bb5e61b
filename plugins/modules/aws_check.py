#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_check
short_description: See that AWS answers, and that a region has the zones that are meant
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Asks EC2 for the Availability Zones of the region, and changes nothing.
  - Fails with one sentence when credentials are missing or not accepted, when the endpoint cannot be reached, or when
    the region has no such zone.
  - The role network runs it before any other task that talks to AWS.
options:
  zones:
    description: Names of zones that the region must have.
    type: list
    elements: str
    default: []
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
"""

RETURN = r"""
zones:
  description: The zones that the region has for this account, sorted.
  returned: success
  type: list
  elements: str
  sample: [eu-central-1a, eu-central-1b, eu-central-1c]
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"zones": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
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
    module.exit_json(changed=False, zones=has)


if __name__ == "__main__":
    main()
