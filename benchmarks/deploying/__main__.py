# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.deploying``: what the first deploy costs, and a second one that changes nothing.

Each run is a fresh lab with EC2's API delayed, ``vpnha.aws.deploy``, and the same once more. Written down are the time
of each task, how many modules ran for it, and EC2's own record of the controller's calls.

The report is written after each run, and a benchmark that was stopped goes on where it ended, unless the commit or the
machine is another one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from benchmarks import peers
from benchmarks.kept import Kept
from benchmarks.own_lab import own_lab
from lab.names import REPOSITORY, Names
from lab.steps import API_DELAY_MS, circumstances, commit, console, lab_environment, lab_program, playbook, run

from .callback.task_times import FILE
from .summary import DEPLOYS, rows

REPORT = REPOSITORY / "artifacts" / "bench" / "deploying.json"
CALLBACK = Path(__file__).with_name("callback")
LONGEST = 8  # tasks of each deploy that the report names


def of_aws() -> frozenset[str]:
    """The collection's modules that ask AWS: those that are given the credentials of the group."""
    runtime = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    return frozenset(f"vpnha.aws.{name}" for name in runtime["action_groups"]["aws"] if isinstance(name, str))


def asks_aws(action: str, ours: frozenset[str]) -> bool:
    """Whether a task of this action is to ask AWS, or to wait for one that does: a deploy waits for no others."""
    return action in ours or action.startswith("amazon.aws.") or action == "ansible.builtin.async_status"


def shares(tasks: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Where the time of a deploy has gone, and how many modules ran."""
    ours = of_aws()
    asking = [task for task in tasks if asks_aws(task["action"], ours)]
    aws, all_tasks = (sum(task["seconds"] for task in some) for some in (asking, tasks))
    longest = sorted(tasks, key=lambda task: -float(task["seconds"]))[:LONGEST]
    return {
        "seconds": round(seconds, 2),
        "aws_seconds": round(aws, 2),
        "other_seconds": round(all_tasks - aws, 2),
        "start_seconds": round(seconds - all_tasks, 2),  # of Ansible itself, before the first task
        "tasks": len(tasks),
        "aws_tasks": sum(task["runs"] > 0 for task in asking),
        "aws_modules": sum(task["runs"] for task in asking),
        "longest": [{**task, "aws": asks_aws(task["action"], ours)} for task in longest],
    }


def calls(url: str, since: float) -> dict[str, int]:
    """EC2's calls by the controller from then on, by action, the most frequent first."""
    with urllib.request.urlopen(f"{url}/_lab/calls?since={since!r}", timeout=30) as answer:
        found = Counter(call["action"] for call in json.load(answer) if call["caller"] == "lab")
    return dict(found.most_common())


def deployed(title: str, env: Mapping[str, str]) -> dict[str, Any]:
    """One deploy, and what it has cost. Raises StepFailed."""
    with tempfile.TemporaryDirectory() as directory:
        times = Path(directory) / "times.json"
        enabled = {
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACK), "ANSIBLE_CALLBACKS_ENABLED": "task_times", FILE: str(times),
        }  # fmt: skip
        since = time.time()
        seconds = run(title, playbook("deploy"), {**env, **enabled})
        tasks = json.loads(times.read_text(encoding="utf-8"))
    return {**shares(tasks, seconds), "calls": calls(env["AWS_ENDPOINT_URL"], since)}


def one_run(names: Names) -> dict[str, Any]:
    """Both deploys in a fresh lab. Raises StepFailed."""
    lab = [sys.executable, "-m", "lab"]
    run("Lab down, if it was left up", [*lab, "down"], os.environ)
    run("Lab up", [*lab, "up"], os.environ)
    env = lab_environment(names)
    run("EC2 API delayed", [*lab, "fault", "add", "api-latency", str(API_DELAY_MS)], env)
    return {name: deployed(title, env) for name, title in DEPLOYS.items()}


def table(report: Mapping[str, Any]) -> Table:
    """For a terminal."""
    shown = Table(
        title=f"A deploy, seconds, EC2 API delayed by {API_DELAY_MS} ms", caption="median (least to most, runs)"
    )
    for column in ("deploy", "in all", "asking AWS", "the hosts, and the rest", "modules for AWS", "calls of EC2"):
        shown.add_column(column)
    for row in rows(report):
        figures = (row.seconds.text(1), row.aws.text(1), row.other.text(1), row.modules.text(0), row.calls.text(0))
        shown.add_row(row.title, *figures)
    return shown


def main() -> None:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deploying", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("--runs", type=int, default=3, help="each in a fresh lab (default: %(default)s)")
    chosen = parser.parse_args()
    report = Kept(REPORT, {"commit": commit(), "environment": circumstances(), "versions": peers.libraries()}, "runs")
    if len(report.content["runs"]) < chosen.runs:
        with lab_program(stays="what was measured so far stays, and the next run goes on with it"):
            names = own_lab()
            while len(report.content["runs"]) < chosen.runs:
                report.add(one_run(names))
    console.print(table(report.content))
    console.print(f"report: {REPORT}", soft_wrap=True)


if __name__ == "__main__":
    main()
