# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: from nothing to a measured failover on this machine, by the same playbooks as on AWS.

``python -m lab.demo`` starts the lab, runs ``vpnha.aws.deploy``, then ``vpnha.aws.failover_drill`` with the EC2 API
delayed, prints what was measured, and stops the lab, also when something failed or was interrupted.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.names import REPOSITORY, Names

API_DELAY_MS = 150  # what the figures of the design are promised at
SCENARIOS = ("planned", "tunnel_block", "ipsec_kill", "gateway_power_off")  # all of them: `make figures`
OUTPUT = REPOSITORY / "artifacts" / "demo"
WIDTH = 120  # of the table where no terminal says how wide it is, as in CI
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


class StepFailed(Exception):
    """A step of the demo ended with an error; its own output has said why."""


def run(title: str, argv: Sequence[str], env: Mapping[str, str]) -> float:
    """Runs one step with its output shown; returns the seconds it took. Raises StepFailed."""
    console.rule(f"[bold]{title}")
    console.print(f"$ {' '.join(argv)}", style="dim", soft_wrap=True)
    start = time.monotonic()
    code = subprocess.run(argv, env=dict(env), check=False).returncode
    seconds = time.monotonic() - start
    if code:
        raise StepFailed(f"{title}: failed after {seconds:.0f} s (exit code {code}); the reason stands above.")
    console.print(f"{title}: done in {seconds:.0f} s", style="green")
    return seconds


def circumstances() -> dict[str, Any]:
    """What the lab's figures depend on, for reports."""
    return {
        "api_delay_ms": API_DELAY_MS,
        "data_plane": "kernel-libipsec (user-space ESP)",
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }


def lab_environment(names: Names) -> dict[str, str]:
    """The environment in which a playbook finds the lab: what ``python -m lab env`` prints, over our own."""
    env = {**os.environ, **names.environment()}
    printed = subprocess.run(
        [sys.executable, "-m", "lab", "env"], env=env, check=True, capture_output=True, text=True
    ).stdout
    for line in printed.splitlines():
        key, equals, value = line.removeprefix("export ").partition("=")
        if equals:
            env[key] = value.strip("'\"")
    return env


def playbook(name: str, **variables: object) -> list[str]:
    """The command that runs a playbook of the collection against the lab."""
    inventory = str(REPOSITORY / "lab" / "inventory" / "hosts.yml")
    extra = ["--extra-vars", json.dumps(variables)] if variables else []
    return ["ansible-playbook", f"vpnha.aws.{name}", "--inventory", inventory, *extra]


def show(report: Path) -> bool:
    """Prints the measured table; true if every scenario passed."""
    scenarios = json.loads(report.read_text())["scenarios"]
    table = Table(title=f"Outage seen by an application host, EC2 API delayed by {API_DELAY_MS} ms")
    table.add_column("scenario")
    for column in ("outage ms", "limit ms", "detect ms", "swap ms", "lost", "sent", "lost at failback"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for one in scenarios:
        numbers = (one[k] for k in ("outage_ms", "limit_ms", "detect_ms", "swap_ms"))
        counts = (one[k] for k in ("packets_lost", "packets_sent", "failback_lost"))
        table.add_row(
            one["name"],
            *("-" if n is None else f"{n:.0f}" for n in (*numbers, *counts)),
            "[green]passed" if one["passed"] else "[red]failed",
        )
    console.print(table)
    console.print(f"report: {report}\n        {report.with_suffix('.html')}", soft_wrap=True)
    return all(one["passed"] for one in scenarios)


def stop_on_signal(_number: int, _frame: FrameType | None) -> None:
    """Turns SIGTERM into the exception that Ctrl-C raises, so that the lab is stopped in both cases."""
    raise KeyboardInterrupt


def main() -> int:
    """Runs the demo; the exit code says whether every scenario stayed below its limit."""
    signal.signal(signal.SIGTERM, stop_on_signal)
    names = Names.from_env()
    lab = [sys.executable, "-m", "lab"]
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    report = OUTPUT / "report.json"
    try:
        run("Lab up", [*lab, "up"], os.environ)
        env = lab_environment(names)
        deploy_seconds = run("Deploy", playbook("deploy"), env)
        run("EC2 API delayed", [*lab, "fault", "add", "api-latency", str(API_DELAY_MS)], env)
        drill = playbook(
            "failover_drill",
            vpnha_drill_scenarios=list(SCENARIOS),
            vpnha_drill_output=str(OUTPUT),
            vpnha_drill_deploy_seconds=round(deploy_seconds, 1),
            vpnha_drill_steady_seconds=1,
            vpnha_drill_hold_seconds=1,
        )
        run("Drill", drill, env)
        return 0 if show(report) else 1
    except StepFailed as failure:
        console.print(str(failure), style="red")
        if report.exists():
            show(report)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted", style="red")
        return 130
    finally:
        console.rule("[bold]Lab down")
        subprocess.run([*lab, "down"], check=False)


if __name__ == "__main__":
    sys.exit(main())
