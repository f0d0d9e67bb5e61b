#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_bundle
short_description: What configures a replaced gateway, kept in AWS Secrets Manager
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Keeps the archive that M(vpnha.aws.host_bundle) made of a gateway's files in Secrets Manager, in as many secrets of
    60 KB as it takes, named C(vpnha/DEPLOYMENT/GATEWAY/NUMBER). An instance that replaces the gateway's fetches it.
  - Secrets that hold the same already are not written again.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  state:
    description: V(absent) deletes the bundles of all gateways of the deployment but those in O(keep), for good.
    type: str
    choices: [present, absent]
    default: present
  gateway:
    description: Name of the gateway. Needed when O(state=present).
    type: str
  archive:
    description: The archive, in Base64. Needed when O(state=present).
    type: str
  keep:
    description: With O(state=absent), names of the gateways whose bundles stay, one at least; without it none stays.
    type: list
    elements: str
attributes:
  diff_mode:
    description: The content is secret.
    support: none
extends_documentation_fragment:
  - vpnha.aws.attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Keep what configures this gateway
  vpnha.aws.gateway_bundle:
    region: eu-central-1
    deployment: prod
    gateway: gw-a
    archive: "{{ packed.archive }}"
  delegate_to: localhost

- name: Delete those of gateways that are gone
  vpnha.aws.gateway_bundle:
    region: eu-central-1
    deployment: prod
    state: absent
    keep: [gw-a, gw-b]
"""

RETURN = r"""
changed_secrets:
  description: Names of the secrets that were written or deleted.
  returned: always
  type: list
  elements: str
  sample: [vpnha/prod/gw-a/1]
"""

import base64
import binascii

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, gateway_bundle
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError


def run(module: AnsibleAWSModule) -> list[str]:
    """Do what is asked; VpnhaError when it cannot be done."""
    client = ec2.correct_clock(module.client("secretsmanager", config=ec2.settings(patient=True)))
    deployment, keep = module.params["deployment"], module.params["keep"]
    if module.params["state"] == "absent":
        if keep == []:
            raise VpnhaError("keep: there is no gateway in it; leave it out to delete the bundles of all.")
        return gateway_bundle.remove(client, deployment, module.check_mode, keep or ())
    if keep is not None:
        raise VpnhaError("keep is for state: absent; leave it out.")
    try:
        archive = base64.b64decode(module.params["archive"], validate=True)
    except binascii.Error:
        raise VpnhaError("The archive is no Base64; give what vpnha.aws.host_bundle returned.") from None
    return gateway_bundle.store(client, deployment, module.params["gateway"], archive, module.check_mode)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "gateway": {"type": "str"},
            "archive": {"type": "str", "no_log": True},
            "keep": {"type": "list", "elements": "str"},
        },
        required_if=[("state", "present", ["gateway", "archive"])],
        supports_check_mode=True,
    )
    try:
        changed = run(module)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), changed_secrets=changed)


if __name__ == "__main__":
    main()
