#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_lock
short_description: Let one drill or deploy work on a deployment at a time
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - The lock is an empty security group of the name C(vpnha:lock:NAME) in the VPC, whose tag C(vpnha:lock) has an owner
    and an end. EC2 makes no second group of a name in a VPC, so of two that begin at the same moment one is refused.
  - A lock whose end has come is taken over, and RV(told) says from whom.
  - Where nothing of the deployment is in EC2 there is nothing to lock, and RV(resource) is null.
options:
  state:
    description:
      - V(taken) takes the lock, or fails where somebody else has it.
      - V(kept) fails unless the lock is still the owner's, and prolongs it.
      - V(released) lets go of the lock if it is the owner's.
    type: str
    choices: [taken, kept, released]
    default: taken
  what:
    description: What it is taken for.
    type: str
    choices: [drill, deploy]
    required: true
  owner:
    description:
      - Who takes it, in at most 100 characters. By default the user and the controller's name, so that the same person
        can run a deploy again that has failed.
    type: str
  again:
    description: Whether an owner that has the lock already has it again with O(state=taken), until the new end.
    type: bool
    default: false
  by:
    description: Who that is, for those who meet the lock. By default the user and the controller's name.
    type: str
  minutes:
    description: After how many minutes the lock ends by itself.
    type: int
    default: 60
  force:
    description:
      - With O(state=taken), take the lock from whoever has it; with O(state=released), release it whosever it is.
    type: bool
    default: false
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.deployment
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  diff_mode:
    description: Shows what would be changed.
    support: none
seealso:
  - module: vpnha.aws.deployment_mark
    description: Pins, pauses and the mark of a running drill, which the monitors heed.
"""

EXAMPLES = r"""
- name: Let no drill begin for half an hour
  vpnha.aws.deployment_lock:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    what: deploy
    minutes: 30

- name: Let drills begin again
  vpnha.aws.deployment_lock:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    what: deploy
    state: released
"""

RETURN = r"""
resource:
  description: Id of the security group that is the lock; null where there is none.
  returned: success
  type: str
  sample: sg-0a1b2c3d
value:
  description: Value of its tag; null where there is none.
  returned: success
  type: str
  sample: what=drill owner=20260101T020000Z until=2026-01-01T04:00:00Z by=jane@controller run=1f0c2b3a
by:
  description: Who this ran for.
  returned: success
  type: str
  sample: jane@controller
taken_from:
  description: The owner of the lock that was taken over, or by force; empty if there was none.
  returned: success
  type: str
  sample: 20260101T020000Z
told:
  description: A sentence about that; empty if there is nothing to tell.
  returned: success
  type: str
  sample: ""
"""

import getpass
import os
import socket

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, lock
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError


def who() -> str:
    """The user and the host that the module runs for."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"[:100]


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["taken", "kept", "released"], "default": "taken"},
            "what": {"type": "str", "choices": ["drill", "deploy"], "required": True},
            "owner": {"type": "str"},
            "again": {"type": "bool", "default": False},
            "by": {"type": "str"},
            "minutes": {"type": "int", "default": 60},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    does = {"taken": lock.take, "kept": lock.keep, "released": lock.release}[given["state"]]
    me = given["by"] or who()
    try:
        seconds = given["minutes"] * 60
        wish = lock.Wish(given["what"], given["owner"] or me, me, seconds, given["again"], given["force"])
        client = ec2.of_module(module, patient=True)
        done = does(client, from_dict(given["deployment"]), wish, check=module.check_mode)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    if done.told:
        module.warn(done.told)
    module.exit_json(
        changed=done.changed,
        resource=done.resource,
        value=done.value,
        by=me,
        told=done.told,
        taken_from=done.taken_from,
    )


if __name__ == "__main__":
    main()
