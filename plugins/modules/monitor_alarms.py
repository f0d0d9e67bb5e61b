#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: monitor_alarms
short_description: CloudWatch alarms that watch a deployment's monitors
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Sees to all alarms of all monitors of a deployment in one call, and deletes those that are not wanted any more.
  - C(vpnha/DEPLOYMENT/monitor/MONITOR/silent) goes off when a monitor has not said for three minutes that it can act.
    Each monitor says so once a minute by the metric C(monitor_able) of the namespace C(vpnha); no word is bad news.
  - C(vpnha/DEPLOYMENT/monitor/MONITOR/recover) has EC2 move the monitor's instance to other hardware when its system
    status check has failed for two minutes. EC2's simplified automatic recovery is switched on where it is off.
  - The alarms carry the tags C(vpnha:deployment) and C(vpnha:made). One of these names without the tag C(vpnha:made) of
    the deployment is neither changed nor deleted.
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  state:
    description: Whether there shall be alarms.
    type: str
    choices: [present, absent]
    default: present
  monitors:
    description: Names of the monitors. An alarm of another one is deleted.
    type: list
    elements: str
    default: []
  silence:
    description: Whether there shall be an alarm when a monitor does not say that it can act.
    type: bool
    default: true
  recovery:
    description: Whether EC2 shall move a monitor's instance off hardware that fails.
    type: bool
    default: true
  topic:
    description: ARN of an SNS topic that is told when an alarm goes off, and when it is over. Without it nobody is.
    type: str
    default: ""
  partition:
    description: The AWS partition.
    type: str
    default: aws
extends_documentation_fragment:
  - vpnha.aws.attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: amazon.aws.cloudwatch_metric_alarm
"""

EXAMPLES = r"""
- name: Watch the monitors
  vpnha.aws.monitor_alarms:
    deployment: lab
    monitors: [mon-a, mon-b]
    topic: arn:aws:sns:eu-central-1:123456789012:vpnha
    region: eu-central-1

- name: Watch them no more
  vpnha.aws.monitor_alarms:
    deployment: lab
    state: absent
    region: eu-central-1
"""

RETURN = r"""
alarms:
  description: Names of the alarms that there are now.
  returned: success
  type: list
  elements: str
  sample: [vpnha/lab/monitor/mon-a/silent, vpnha/lab/monitor/mon-a/recover]
made:
  description: Those that were made.
  returned: success
  type: list
  elements: str
  sample: [vpnha/lab/monitor/mon-a/silent, vpnha/lab/monitor/mon-a/recover]
altered:
  description: Those that were not as they should be.
  returned: success
  type: list
  elements: str
  sample: []
removed:
  description: Those that were deleted.
  returned: success
  type: list
  elements: str
  sample: []
recovery_switched_on:
  description: Monitors whose instance had EC2's simplified automatic recovery switched off.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import alarms, ec2
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError


def run(module: AnsibleAWSModule) -> alarms.Outcome:
    """Do what is asked; VpnhaError when it cannot be done."""
    given = module.params
    cloudwatch = ec2.of_module(module, patient=True, service="cloudwatch")
    if given["state"] == "absent":
        return alarms.remove(cloudwatch, given["deployment"], check=module.check_mode)
    wanted = alarms.Wanted(
        deployment=given["deployment"],
        monitors=given["monitors"],
        region=module.region,
        partition=given["partition"],
        topic=given["topic"],
        silence=given["silence"],
        recovery=given["recovery"],
    )
    return alarms.see_to(cloudwatch, ec2.of_module(module, patient=True), wanted, check=module.check_mode)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "monitors": {"type": "list", "elements": "str", "default": []},
            "silence": {"type": "bool", "default": True},
            "recovery": {"type": "bool", "default": True},
            "topic": {"type": "str", "default": ""},
            "partition": {"type": "str", "default": "aws"},
        },
        supports_check_mode=True,
    )
    try:
        outcome = run(module)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=outcome.differed,
        alarms=outcome.alarms,
        made=outcome.made,
        altered=outcome.changed,
        removed=outcome.removed,
        recovery_switched_on=outcome.recovery_switched_on,
    )


if __name__ == "__main__":
    main()
