#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: instance_power
short_description: Switch a gateway's instance off and on, also as a power cut, or replace it
version_added: 0.1.0
description:
  - Stops, starts or replaces the EC2 instance of a gateway, which is found by the deployment's tags.
  - With O(state=power_cut) the instance is stopped by force and without a shutdown of its operating system
    (C(Force) and C(SkipOsShutdown) of EC2's C(StopInstances)), so that it falls silent like a failing machine.
    M(amazon.aws.ec2_instance) cannot do that.
options:
  gateway:
    description:
      - Name of the gateway.
    type: str
    required: true
  state:
    description:
      - V(running) starts the instance, if need be after waiting until it has stopped; see O(wait_timeout).
      - V(stopped) shuts it down in order.
      - V(power_cut) stops it without a shutdown.
      - V(replaced) terminates it, unless it is gone already, and launches another one with the same network interface
        from the gateway's launch template. That is done at each run.
    type: str
    choices: [running, stopped, power_cut, replaced]
    required: true
  wait_timeout:
    description:
      - How many seconds to wait until EC2 says that the instance is running or stopped; with V(0), do not wait. A
        replacement is always waited for.
      - An instance that is still stopping cannot be started. So with O(state=running) and V(0) it fails while it is.
    type: float
    default: 300.0
author:
  - the vpnha.aws contributors (@vpnha)
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.diff
  - vpnha.aws.deployment
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Cut the power of gateway gw-a
  vpnha.aws.instance_power:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    gateway: gw-a
    state: power_cut
    wait_timeout: 0

- name: Start it again
  vpnha.aws.instance_power:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    gateway: gw-a
    state: running
"""

RETURN = r"""
instance_id:
  description: The gateway's instance; the new one where it was replaced.
  returned: always
  type: str
  sample: i-0123456789abcdef0
before:
  description: State of the instance before, in EC2's words.
  returned: always
  type: str
  sample: running
after:
  description: State of the instance after.
  returned: always
  type: str
  sample: stopping
called_wall:
  description: When EC2 was called (seconds since the epoch); null where no call was needed.
  returned: always
  type: float
  sample: 1767225600.25
answered_wall:
  description: When EC2 had answered.
  returned: always
  type: float
  sample: 1767225600.41
"""

from dataclasses import asdict

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, power, replacement
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

REPLACED = "replaced"


def run(module: AnsibleAWSModule) -> power.Power:
    """Do what is asked; VpnhaError when it cannot be done."""
    client = ec2.of_module(module, patient=True)
    where = {"deployment": from_dict(module.params["deployment"]).name, "gateway": module.params["gateway"]}
    wanted = module.params["state"]
    if wanted == REPLACED:
        if module.check_mode:
            instance, before, _eni = replacement.find(client, **where)
            return power.Power(instance or "", before, "replaced")
        return replacement.replace(client, **where, wait_seconds=module.params["wait_timeout"])
    if module.check_mode:
        instance, before = power.find(client, **where)
        after = ("running" if wanted == power.RUNNING else "stopped") if power.planned(before, wanted) else before
        return power.Power(instance, before, after)
    return power.switch(client, **where, wanted=wanted, wait_seconds=module.params["wait_timeout"])


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "dict", "required": True},
            "gateway": {"type": "str", "required": True},
            "state": {"type": "str", "choices": [power.RUNNING, power.STOPPED, power.CUT, REPLACED], "required": True},
            "wait_timeout": {"type": "float", "default": 300.0},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    changed = result.before != result.after if module.check_mode else result.changed
    diff = {"before": {"state": result.before}, "after": {"state": result.after}}
    module.exit_json(changed=changed, diff=diff, **asdict(result))


if __name__ == "__main__":
    main()
