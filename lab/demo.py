# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: from nothing to a measured failover on this machine, by the same playbooks as on AWS.

``python -m lab.demo`` starts the lab, runs ``vpnha.aws.deploy``, then ``vpnha.aws.failover_drill`` with the EC2 API
delayed, lets all tunnels of all gateways fail so that an AWS-managed VPN has to take over, prints what was measured and
who was told, and stops the lab, also when something failed or was interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from lab import demo_fallback
from lab.names import REPOSITORY, Names
from lab.steps import API_DELAY_MS, StepFailed, console, lab_environment, lab_program, playbook, run

SCENARIOS = ("planned", "tunnel_block", "ipsec_kill", "gateway_power_off")  # all of them: `make figures`
OUTPUT = REPOSITORY / "artifacts" / "demo"


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


def show_fallback(found: Mapping[str, Any]) -> bool:
    """Prints what became of the last part; true if all was as it should be."""
    if not found["passed"]:
        console.print(f"managed fallback: {found['problem']}", style="red")
        return False
    console.print(
        f"all tunnels of all gateways blocked: {found['routes']} routes led to the AWS-managed VPN, "
        f"outage {found['outage_ms']:.0f} ms"
    )
    for target, title in found["told"].items():
        console.print(f"told by {target}: {title}", markup=False)
    return True


def main() -> int:
    """Runs the demo; the exit code says whether every scenario stayed below its limit, and the last part went well."""
    names = Names.from_env()
    lab = [sys.executable, "-m", "lab"]
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    report = OUTPUT / "report.json"
    with lab_program():
        run("Lab up", [*lab, "up", "--deployment", str(demo_fallback.DEPLOYMENT)], os.environ)
        env = lab_environment(names)
        fallback = demo_fallback.Fallback(names)
        given = [*(f"@{path}" for path in demo_fallback.FILES), json.dumps(fallback.variables())]
        described = [word for each in given for word in ("--extra-vars", each)]
        deploy_seconds = run("Deploy", [*playbook("deploy"), *described], env)
        fallback.listen()
        run("EC2 API delayed", [*lab, "fault", "add", "api-latency", str(API_DELAY_MS)], env)
        drill = playbook(
            "failover_drill",
            vpnha_drill_scenarios=list(SCENARIOS),
            vpnha_drill_output=str(OUTPUT),
            vpnha_drill_deploy_seconds=round(deploy_seconds, 1),
            vpnha_drill_steady_seconds=1,
            vpnha_drill_hold_seconds=1,
        )
        try:
            run("Drill", [*drill, *described], env)
        except StepFailed:
            if report.exists():
                show(report)
            raise
        console.rule("[bold]Managed fallback")
        found = fallback.carried_out()
        report.write_text(json.dumps({**json.loads(report.read_text()), "managed_fallback": found}, indent=2) + "\n")
        passed = show(report)
        return 0 if show_fallback(found) and passed else 1


if __name__ == "__main__":
    sys.exit(main())
