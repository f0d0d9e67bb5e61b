# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deploy costs: what the callback writes down of a real playbook, and what is made of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.deploying import __main__ as deploying
from benchmarks.deploying import summary

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  connection: local
  tasks:
    - name: Once
      ansible.builtin.ping:
    - name: Three times
      ansible.builtin.ping:
      loop: [1, 2, 3]
    - name: Not at all
      ansible.builtin.ping:
      when: false
    - name: In vain
      ansible.builtin.command: "false"
      ignore_errors: true
      notify: Handled
      changed_when: true
    - name: Twice
      ansible.builtin.command: "true"
      register: asked
      until: asked.attempts > 1
      retries: 2
      delay: 0
      notify: Handled
  handlers:
    - name: Handled
      ansible.builtin.ping:
"""


def test_every_task_is_written_down_with_the_modules_that_ran(tmp_path: Path) -> None:
    book, times = tmp_path / "book.yml", tmp_path / "times.json"
    book.write_text(PLAYBOOK)
    enabled = {"ANSIBLE_CALLBACK_PLUGINS": str(deploying.CALLBACK), "ANSIBLE_CALLBACKS_ENABLED": "task_times"}
    done = subprocess.run(
        ["ansible-playbook", str(book)],
        env={**os.environ, **enabled, deploying.FILE: str(times), "ANSIBLE_LOCALHOST_WARNING": "false"},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = json.loads(times.read_text())
    ping, command = "ansible.builtin.ping", "ansible.builtin.command"
    assert [(task["name"], task["action"], task["runs"]) for task in tasks] == [
        ("Once", ping, 1),
        ("Three times", ping, 3),
        ("Not at all", ping, 0),
        ("In vain", command, 1),
        ("Twice", command, 2),
        ("Handled", ping, 1),
    ]
    assert all(task["seconds"] > 0 for task in tasks)


@pytest.mark.parametrize(
    ("action", "asks"),
    [
        ("amazon.aws.ec2_vpc_net", True),
        ("vpnha.aws.gateway_network", True),
        ("vpnha.aws.deployment_check", False),
        ("ansible.builtin.template", False),
        ("ansible.builtin.async_status", True),  # of a deploy: its security groups
    ],
)
def test_who_is_given_credentials_asks_aws(action: str, asks: bool) -> None:
    assert deploying.asks_aws(action, deploying.of_aws()) is asks


def task(name: str, action: str, seconds: float, runs: int) -> dict[str, Any]:
    return {"name": name, "action": action, "seconds": seconds, "runs": runs}


def one(scale: float) -> dict[str, Any]:
    tasks = [
        task("VPC", "amazon.aws.ec2_vpc_net", 1.5 * scale, 2),
        task("skipped", "amazon.aws.ec2_vpc_net", 0.5 * scale, 0),
        task("packages", "ansible.builtin.apt", 6.0 * scale, 3),
    ]
    return {**deploying.shares(tasks, 10.0 * scale), "calls": {"DescribeVpcs": 3, "CreateVpc": 1}}


def test_the_time_is_shared_out_whole() -> None:
    found = one(1.0)
    assert (found["aws_seconds"], found["other_seconds"], found["start_seconds"]) == (2.0, 6.0, 2.0)
    assert (found["tasks"], found["aws_tasks"], found["aws_modules"]) == (3, 1, 2)
    assert [(each["name"], each["aws"]) for each in found["longest"]] == [
        ("packages", False), ("VPC", True), ("skipped", True),
    ]  # fmt: skip


def test_rows_and_the_picture(tmp_path: Path) -> None:
    report = {"runs": [{"first": one(1.0), "second": one(0.5)}, {"first": one(2.0), "second": one(0.5)}]}
    first, second = summary.rows(report)
    assert (first.seconds.median, first.aws.median, first.other.median) == (15.0, 3.0, 12.0)
    assert (second.share.median, second.modules.median, second.calls.median) == (0.2, 2, 4)
    assert first.calls_text == "3 DescribeVpcs, 1 CreateVpc"
    summary.bars(report, tmp_path / "bars.svg")
    assert (tmp_path / "bars.svg").read_text().startswith("<?xml")
    assert summary.rows({"runs": []}) == []
