#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_vpn_alarms
short_description: See to the CloudWatch alarms of AWS-managed VPN connections
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Makes, mends and removes the alarms of all chosen VPN connections in one call.
  - Each connection gets an alarm for each of its tunnels that is down, one for all of them down, one for silence (data
    out and none in), and a composite alarm of the last two.
  - Only the composite alarm notifies, unless O(notify_tunnels=true). Maintenance of a single tunnel then wakes nobody.
  - Alarms of connections that are gone or no longer chosen are removed. An alarm is only changed or removed if its name
    begins with the deployment's name and C(-vpn-) and its tag C(vpnha:made) has that name.
  - Whether an alarm's actions are enabled is left as it is.
options:
  deployment:
    description: Name of the deployment. The names of its alarms begin with it, and C(vpnha:made) has it as its value.
    type: str
    required: true
  state:
    description: V(absent) removes all alarms that were made for the deployment, and the topic O(topic).
    type: str
    choices: [present, absent]
    default: present
  connection_ids:
    description: Only these VPN connections; all if empty.
    type: list
    elements: str
    default: []
  filters:
    description:
      - Only VPN connections that match these filters of C(DescribeVpnConnections), each a value or a list of values.
      - Refused if nothing matches, since all alarms would go.
    type: dict
    default: {}
  topic_arn:
    description: ARN of an SNS topic that exists, to be notified. It is never removed.
    type: str
    default: ""
  topic:
    description:
      - Name of an SNS topic that is made, unless there is O(topic_arn).
      - O(state=absent) removes it if it was made for the deployment, also where O(topic_arn) names another one.
      - With neither, nobody is notified.
    type: str
    default: ""
  subscriptions:
    description: Who is subscribed to the topic. Other subscriptions of the topic stay.
    type: list
    elements: dict
    default: []
    suboptions:
      protocol:
        description: Protocol in SNS's words, as V(email), V(sms), V(https) or V(sqs).
        type: str
        required: true
      endpoint:
        description:
          - The address, number, URL or ARN.
          - SNS hides the password of a URL as in C(https://user:password@example.com). So it is not shown here either,
            and a password that has changed is not noticed. Remove the subscription to have it made anew.
        type: str
        required: true
  notify_tunnels:
    description: Also notify when a single tunnel goes down.
    type: bool
    default: false
  period:
    description: Seconds of one data point, 60 or a multiple of it.
    type: int
    default: 300
  periods:
    description: How many periods in a row without a tunnel that is up make an alarm.
    type: int
    default: 1
  silent_periods:
    description: How many periods in a row with data out and none in make an alarm.
    type: int
    default: 3
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.diff
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.managed_vpn_info
"""

EXAMPLES = r"""
- name: Alarms for all AWS-managed VPN connections of the region, told by e-mail
  vpnha.aws.managed_vpn_alarms:
    region: eu-central-1
    deployment: prod
    topic: prod-managed-vpn
    subscriptions:
      - protocol: email
        endpoint: network@example.com

- name: Remove them
  vpnha.aws.managed_vpn_alarms:
    region: eu-central-1
    deployment: prod
    topic: prod-managed-vpn
    state: absent
"""

RETURN = r"""
alarms:
  description: Every alarm of the deployment, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the alarm.
      type: str
      returned: always
      sample: prod-vpn-0a1b2c3d-connection
    kind:
      description: V(metric) or V(composite).
      type: str
      returned: always
    action:
      description: What was done, or would be done in check mode. V(make), V(change), V(remove) or V(none).
      type: str
      returned: always
connections:
  description: Ids of the VPN connections that have alarms.
  returned: success
  type: list
  elements: str
  sample: [vpn-0a1b2c3d]
topic_arn:
  description: ARN of the topic; empty if there is none, or none yet.
  returned: success
  type: str
  sample: arn:aws:sns:eu-central-1:123456789012:prod-managed-vpn
unconfirmed:
  description: Endpoints that get nothing until somebody confirms the subscription there.
  returned: success
  type: list
  elements: str
  sample: [network@example.com]
summary:
  description: The same for people, one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["vpn-0a1b2c3d has 5 alarms.", "5 alarms were made, 0 changed and 0 removed."]
"""

from collections import Counter

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.transformation import ansible_dict_to_boto3_filter_list
from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.alarm_topic import Subscription, Wanted
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.managed_alarms import Rules
from ansible_collections.vpnha.aws.plugins.module_utils.managed_alarms_build import Clients, Outcome, Wish, see_to


def wish_of(given: dict[str, object]) -> Wish:
    """What the module's options ask for."""
    subscriptions = tuple(Subscription(each["protocol"], each["endpoint"]) for each in given["subscriptions"])
    return Wish(
        deployment=given["deployment"],
        present=given["state"] == "present",
        connection_ids=tuple(given["connection_ids"]),
        filters=tuple(ansible_dict_to_boto3_filter_list(given["filters"])),
        topic=Wanted(given["topic"], given["topic_arn"], subscriptions),
        rules=Rules(
            notify_tunnels=given["notify_tunnels"],
            period=given["period"],
            periods=given["periods"],
            silent_periods=given["silent_periods"],
        ),
    )


def result(done: Outcome, check: bool) -> dict[str, object]:
    """What was or would be done, for people and for playbooks."""
    changes = done.plan.changes
    count = Counter(change.action for change in changes)
    has = Counter(alarm.watched for alarm in (*done.plan.put, *done.plan.kept))
    verb = "would be" if check else "were"
    summary = [f"{connection} has {has[connection]} alarms." for connection in done.connections]
    summary.append(f"{count['make']} alarms {verb} made, {count['change']} changed and {count['remove']} removed.")
    if done.topic.made or done.topic.removed:
        summary.append(f"The topic {verb.replace('were', 'was')} {'made' if done.topic.made else 'removed'}.")
    if done.topic.subscribed:
        summary.append(f"Subscribed to it {verb}: {', '.join(done.topic.subscribed)}.")
    after = {each.name: " (changed)" if each.action == "change" else "" for each in changes if each.action != "remove"}
    return {
        "changed": done.changed,
        "alarms": [{"name": each.name, "kind": each.kind, "action": each.action} for each in changes],
        "connections": list(done.connections),
        "topic_arn": done.topic.arn,
        "unconfirmed": list(done.topic.unconfirmed),
        "summary": summary,
        "diff": {
            "before": "".join(f"{each.name}\n" for each in changes if each.action != "make"),
            "after": "".join(f"{name}{said}\n" for name, said in after.items()),
        },
    }


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "connection_ids": {"type": "list", "elements": "str", "default": []},
            "filters": {"type": "dict", "default": {}},
            "topic_arn": {"type": "str", "default": ""},
            "topic": {"type": "str", "default": ""},
            "subscriptions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "protocol": {"type": "str", "required": True},
                    "endpoint": {"type": "str", "required": True},
                },
            },
            "notify_tunnels": {"type": "bool", "default": False},
            "period": {"type": "int", "default": 300},
            "periods": {"type": "int", "default": 1},
            "silent_periods": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    wish = wish_of(module.params)
    module.no_log_values.update(each.password for each in wish.topic.subscriptions if each.password)
    try:
        clients = Clients(*(ec2.of_module(module, patient=True, service=name) for name in ("ec2", "cloudwatch", "sns")))
        done = see_to(clients, wish, check=module.check_mode)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    for endpoint in done.topic.unconfirmed:
        module.warn(f"{endpoint} gets nothing until somebody confirms the subscription there.")
    module.exit_json(**result(done, module.check_mode))


if __name__ == "__main__":
    main()
