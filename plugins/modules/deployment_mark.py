#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_mark
short_description: Set or clear a pin, a pause, the mark of a running drill or a freeze
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Marks are tags in EC2, so that every monitor, module and playbook sees the same, also after a restart.
  - A pin (C(vpnha:pin)) holds the routes of a route table where they are.
  - A pause (C(vpnha:pause)) stops the monitors' actions for the deployment, one gateway or one route table; they go on
    observing.
  - A drill (C(vpnha:drill:NAME) on the VPC) says that a failure is being caused on purpose.
  - A freeze (C(vpnha:freeze:NAME) on the VPC) lets no drill begin. The monitors do not heed it.
  - All marks end by themselves.
options:
  mark:
    description: Which mark.
    type: str
    choices: [pin, pause, drill, freeze]
    required: true
  state:
    description: Whether the mark shall be there.
    type: str
    choices: [present, absent]
    default: present
  scope:
    description:
      - What is marked; several are allowed.
      - For O(mark=pin), route table ids; without any, all route tables of the deployment.
      - For O(mark=pause), gateway names and route table ids; without any, the whole deployment.
      - Not allowed for O(mark=drill) and O(mark=freeze), which are always the deployment's.
    type: list
    elements: str
    default: []
  gateway:
    description: For O(mark=pin), the gateway that the routes were put on. Needed when O(state=present).
    type: str
  minutes:
    description: After how many minutes the mark ends by itself.
    type: int
    default: 60
  by:
    description: Who sets it.
    type: str
    default: ansible
  drill_id:
    description:
      - For O(mark=drill), the id of the drill. Needed when O(state=present).
      - With O(state=absent), the mark of another drill is left alone; without an id, whosever it is goes.
    type: str
  reason:
    description: For O(mark=freeze), why, in at most 100 characters. What a mark cannot hold, as a space, becomes C(-).
    type: str
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.diff
  - vpnha.aws.deployment
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.route_swap
    description: Pins and swaps in one go.
"""

EXAMPLES = r"""
- name: Pause the monitors' actions for two hours of maintenance
  vpnha.aws.deployment_mark:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    mark: pause
    minutes: 120
    by: jane

- name: End the pause
  vpnha.aws.deployment_mark:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    mark: pause
    state: absent

- name: Let no drill begin for two weeks
  vpnha.aws.deployment_mark:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    mark: freeze
    minutes: 20160
    reason: year-end

- name: Leave gw-a alone for a while
  vpnha.aws.deployment_mark:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    mark: pause
    scope: [gw-a]
"""

RETURN = r"""
resources:
  description: Ids of what carries the mark, or carried it.
  returned: success
  type: list
  elements: str
  sample: [vpc-0a1b2c3d]
value:
  description: Value of the tag; null when O(state=absent).
  returned: success
  type: str
  sample: until=2026-01-01T00:00:00Z by=jane
"""

import time

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, marks
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "dict", "required": True},
            "mark": {"type": "str", "choices": ["pin", "pause", "drill", "freeze"], "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "scope": {"type": "list", "elements": "str", "default": []},
            "gateway": {"type": "str"},
            "minutes": {"type": "int", "default": 60},
            "by": {"type": "str", "default": "ansible"},
            "drill_id": {"type": "str"},
            "reason": {"type": "str"},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        wanted = marks.Mark(
            kind=given["mark"],
            present=given["state"] == "present",
            scope=tuple(given["scope"]),
            gateway=given["gateway"] or "",
            seconds=given["minutes"] * 60,
            by=given["by"],
            drill_id=given["drill_id"] or "",
            reason=given["reason"] or "",
        )
        client = ec2.of_module(module, patient=True)
        result = marks.apply(client, from_dict(given["deployment"]), wanted, check=module.check_mode, wall=time.time())
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=result.changed, resources=result.resources, value=result.value, diff=result.diff)


if __name__ == "__main__":
    main()
