#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: drill_report
short_description: Write the report of a failover drill
version_added: 0.1.0
description:
  - Turns what application hosts measured (M(vpnha.aws.traffic_probe)) and what the monitors' journals say into the
    report of a drill, and writes it as C(report.json), C(report.html) (one self-contained page with a timeline of each
    scenario) and C(junit.xml).
  - The role P(vpnha.aws.drill#role) uses it; it runs on the controller.
  - It succeeds when the report is written, also when the drill has not passed. RV(passed) says whether it has.
options:
  output:
    description:
      - Directory for the three files. It is created where it is missing.
    type: path
    required: true
  deployment:
    description:
      - Name of the deployment.
    type: str
    required: true
  drill:
    description:
      - The drill's id.
    type: str
    required: true
  runs:
    description:
      - What was measured, one entry for each time that a scenario was carried out.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the scenario., type: str, required: true}
      gateway: {description: The gateway that was broken., type: str, default: ""}
      limit_ms: {description: The longest outage that is allowed., type: float, required: true}
      failback_limit_ms:
        description: The longest outage that is allowed from the restoration to the end.
        type: float
        default: 0.0
      started: {description: When measuring began (seconds since the epoch)., type: float, required: true}
      injected: {description: When the failure was caused., type: float, required: true}
      restored: {description: When it began to be taken back., type: float, required: true}
      ended: {description: When measuring ended., type: float, required: true}
      failed: {description: Why the scenario could not be carried out; empty if it could., type: str, default: ""}
      plaintext_packets: {description: Packets of a site that left a gateway unencrypted., type: int}
      hosts:
        description:
          - For each application host its name as C(host), and C(streams) as M(vpnha.aws.traffic_probe) returns
            them, with the windows C(fault) (injection to restoration) and C(healing) (restoration to the end).
          - C(since) and C(until) say when the window C(fault) begins and ends by the host's own clock; without them,
            O(runs[].injected) and O(runs[].restored) do.
        type: list
        elements: dict
        default: []
      events:
        description:
          - The monitors' journal of that time, as C(vpnha events --json) prints it, each with its C(monitor).
        type: list
        elements: dict
        default: []
      marks:
        description:
          - What the drill did, each with C(wall) (seconds since the epoch) and C(text).
        type: list
        elements: dict
        default: []
  environment:
    description:
      - What the figures were measured on, as names and values.
    type: dict
    default: {}
  deploy_seconds:
    description:
      - How long the deployment took, if that is known.
    type: float
  aborted:
    description:
      - Why the drill ended before its last scenario; empty if it did not.
    type: str
    default: ""
author:
  - the vpnha.aws contributors (@vpnha)
requirements:
  - jinja2 (ansible-core has it)
attributes:
  check_mode:
    description: Says whether a file would be changed, and writes none.
    support: full
  diff_mode:
    description: A report is new each time.
    support: none
"""

EXAMPLES = r"""
- name: Write the report
  vpnha.aws.drill_report:
    output: /var/lib/drills/2026-01-01
    deployment: lab
    drill: 20260101T020000Z
    runs: "{{ measured_runs }}"
    environment:
      region: eu-central-1
  delegate_to: localhost
"""

RETURN = r"""
passed:
  description: Whether every scenario was carried out and stayed below its limits.
  returned: always
  type: bool
  sample: true
verdict:
  description: The report in one sentence.
  returned: always
  type: str
  sample: "Every scenario passed; longest outages: gateway_power_off 640 ms."
outages:
  description: The median outage in milliseconds by scenario; null where nothing was measured.
  returned: always
  type: dict
  sample: {gateway_power_off: 640.0}
report:
  description: The report, as C(report.json) has it.
  returned: always
  type: dict
files:
  description: Where the report was written, by C(json), C(html) and C(junit).
  returned: always
  type: dict
  sample: {html: /var/lib/drills/2026-01-01/report.html}
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vpnha.aws.plugins.module_utils import drill_page, drill_report

RUN_OPTIONS = {
    "name": {"type": "str", "required": True},
    "gateway": {"type": "str", "default": ""},
    "limit_ms": {"type": "float", "required": True},
    "failback_limit_ms": {"type": "float", "default": 0.0},
    "started": {"type": "float", "required": True},
    "injected": {"type": "float", "required": True},
    "restored": {"type": "float", "required": True},
    "ended": {"type": "float", "required": True},
    "failed": {"type": "str", "default": ""},
    "plaintext_packets": {"type": "int"},
    "hosts": {"type": "list", "elements": "dict", "default": []},
    "events": {"type": "list", "elements": "dict", "default": []},
    "marks": {"type": "list", "elements": "dict", "default": []},
}


def write(files: dict[Path, str], check_mode: bool) -> bool:
    """Write what differs; true if anything did. OSError when that cannot be done."""
    changed = False
    for path, text in files.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        changed = True
        if not check_mode:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return changed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "output": {"type": "path", "required": True},
            "deployment": {"type": "str", "required": True},
            "drill": {"type": "str", "required": True},
            "runs": {"type": "list", "elements": "dict", "required": True, "options": RUN_OPTIONS},
            "environment": {"type": "dict", "default": {}},
            "deploy_seconds": {"type": "float"},
            "aborted": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        runs = [drill_report.run_from(run) for run in given["runs"]]
        report = drill_report.build(
            deployment=given["deployment"],
            drill=given["drill"],
            runs=runs,
            environment=given["environment"],
            deploy_seconds=given["deploy_seconds"],
            aborted=given["aborted"],
        )
    except KeyError as error:
        module.fail_json(msg=f"An entry of runs lacks {error}; give hosts and events as their modules return them.")
    verdict = drill_report.verdict(report)
    output = Path(given["output"])
    names = {"json": output / "report.json", "html": output / "report.html", "junit": output / "junit.xml"}
    texts = (json.dumps(report, indent=2) + "\n", drill_page.page(report, verdict), drill_report.junit(report))
    try:
        changed = write(dict(zip(names.values(), texts, strict=True)), module.check_mode)
    except OSError as error:
        module.fail_json(
            msg=f"Cannot write the report to {output}: {error.strerror}; make room there, or name another."
        )
    module.exit_json(
        changed=changed,
        passed=report["passed"],
        verdict=verdict,
        outages={scenario["name"]: scenario["outage_ms"] for scenario in report["scenarios"]},
        report=report,
        files={name: str(path) for name, path in names.items()},
    )


if __name__ == "__main__":
    main()
