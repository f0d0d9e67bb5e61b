#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: situation_report
short_description: Write down a deployment's situation for a person, and tell it through SNS
version_added: 0.1.0
description:
  - Puts together what other modules and the monitors answered, and writes it as JSON and as text for people. What was
    not answered is said in it.
  - The playbook C(vpnha.aws.diagnose) uses it; it runs on the controller.
  - With O(topic_arn) the text is also published there.
options:
  output:
    description:
      - Directory for the two files. It is created where it is missing.
    type: path
    required: true
  name:
    description:
      - Name of the two files, without C(.json) and C(.txt).
    type: str
    required: true
  deployment:
    description:
      - Name of the deployment.
    type: str
    required: true
  at:
    description:
      - When it was asked.
    type: str
    required: true
  alarm:
    description:
      - Name of the CloudWatch alarm that led to it, if one did.
    type: str
    default: ""
  connection:
    description:
      - Id of the managed VPN connection that the alarm is about.
    type: str
    default: ""
  managed:
    description:
      - What M(vpnha.aws.managed_vpn_info) answered.
    type: dict
    default: {}
  standing:
    description:
      - What M(vpnha.aws.vpn_ha_info) answered.
    type: dict
    default: {}
  monitors:
    description:
      - What C(vpnha status --json) said, by monitor.
    type: dict
    default: {}
  silent:
    description:
      - Monitors that did not answer.
    type: list
    elements: str
    default: []
  events:
    description:
      - The lines that C(vpnha events) said, by monitor.
    type: dict
    default: {}
  gateways:
    description:
      - What M(vpnha.aws.vpn_health_info) answered, by gateway.
    type: dict
    default: {}
  notes:
    description:
      - What else could not be asked, one sentence each.
    type: list
    elements: str
    default: []
  topic_arn:
    description:
      - ARN of an SNS topic to tell it to. Empty for none.
    type: str
    default: ""
author:
  - the vpnha.aws contributors (@vpnha)
extends_documentation_fragment:
  - vpnha.aws.attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    description: Writes no file, and tells nobody.
    support: full
  diff_mode:
    description: A report is new each time.
    support: none
seealso:
  - module: vpnha.aws.managed_vpn_info
  - module: vpnha.aws.vpn_ha_info
  - module: vpnha.aws.vpn_health_info
"""

EXAMPLES = r"""
- name: Write down how things stand
  vpnha.aws.situation_report:
    output: /var/lib/vpnha/reports
    name: lab-20260101T000000Z
    deployment: lab
    at: "2026-01-01T00:00:00Z"
    standing: "{{ standing }}"
    topic_arn: arn:aws:sns:eu-central-1:111122223333:vpnha
    region: eu-central-1
  delegate_to: localhost
"""

RETURN = r"""
headline:
  description: The situation in one line.
  returned: always
  type: str
  sample: "lab: vpn-0a1b2c3d (hq) is down. Traffic flows to every site."
missing:
  description: What could not be found out, and why, one sentence each.
  returned: always
  type: list
  elements: str
files:
  description: The two files, by C(json) and C(text).
  returned: always
  type: dict
  sample: {json: /var/lib/vpnha/lab-20260101T000000Z.json, text: /var/lib/vpnha/lab-20260101T000000Z.txt}
message_id:
  description: SNS's id of the message; empty if none was published.
  returned: always
  type: str
"""

import json
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, situation
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

ANSWERS = ("managed", "standing", "monitors", "events", "gateways")


def write(files: dict[Path, str]) -> None:
    """Write the files, which not everybody may read; VpnhaError when that cannot be done."""
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o640)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise VpnhaError(
            f"Cannot write the report {path}: {error.strerror}; make room there, or name another place."
        ) from error


def publish(client: Any, topic: str, asked: situation.Asked, where: str) -> str:
    """Tell it to an SNS topic; the message's id. Ec2Error when that cannot be done."""
    with ec2.telling(f"telling the report to the topic {topic}"):
        told = client.publish(TopicArn=topic, Subject=situation.subject(asked), Message=situation.message(asked, where))
    return str(told["MessageId"])


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "output": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "deployment": {"type": "str", "required": True},
            "at": {"type": "str", "required": True},
            "alarm": {"type": "str", "default": ""},
            "connection": {"type": "str", "default": ""},
            **{name: {"type": "dict", "default": {}} for name in ANSWERS},
            "silent": {"type": "list", "elements": "str", "default": []},
            "notes": {"type": "list", "elements": "str", "default": []},
            "topic_arn": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    asked = situation.Asked(
        **{name: given[name] for name in ("deployment", "at", "alarm", "connection", "silent", "notes", *ANSWERS)}
    )
    stem = Path(given["output"]) / given["name"]
    names = {"json": Path(f"{stem}.json"), "text": Path(f"{stem}.txt")}
    result = {
        "headline": situation.headline(asked),
        "missing": situation.missing(asked),
        "files": {name: str(path) for name, path in names.items()},
        "message_id": "",
    }
    if module.check_mode:
        module.exit_json(changed=True, **result)
    try:
        document = json.dumps(situation.document(asked), indent=2) + "\n"
        write({names["json"]: document, names["text"]: situation.text(asked)})
        if given["topic_arn"]:
            client = ec2.of_module(module, patient=True, service="sns")
            result["message_id"] = publish(client, given["topic_arn"], asked, str(names["json"]))
    except VpnhaError as error:
        module.fail_json(msg=str(error), changed=True, **result)
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
