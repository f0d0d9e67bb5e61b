# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promised figures, measured: each scenario many times, and again with routes that take effect late.

``python -m lab.figures --repeat 20`` starts the lab, deploys, and runs ``vpnha.aws.failover_drill`` for each row of
``ROWS`` with the EC2 API delayed. Every drill's own report stays beside the summary, which is written anew after each:
who stops it half-way keeps what was measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.table import Table

from lab.names import REPOSITORY, Names
from lab.steps import (
    API_DELAY_MS,
    circumstances,
    commit,
    console,
    lab_environment,
    lab_program,
    playbook,
    run,
)

OUTPUT = REPOSITORY / "artifacts" / "figures"
NO_LIMIT_MS = 60_000  # a drill stops at nothing here: what is too long stands in the summary
# As in the shipped deployment, and without the limit of moves home in an hour: here they are wanted.
TIMING = {"hold_down": 2.0, "voluntary_moves_per_hour": 1000}
PHASES = ("detect_ms", "swap_ms", "propagation_ms", "return_path_ms")


@dataclass(frozen=True)
class Row:
    """A scenario at a route propagation (seconds), and what is promised of it (milliseconds, propagation left out)."""

    scenario: str
    propagation: int
    median_ms: float
    worst_ms: float
    share: float = 1.0  # of the asked repetitions

    @property
    def name(self) -> str:
        """For files and people."""
        return f"{self.scenario}-{self.propagation}s"

    @property
    def late_ms(self) -> float:
        """What the propagation may add: only a route that has to move waits for it."""
        return 1000.0 * self.propagation if self.scenario.startswith("gateway_") else 0.0


ROWS = (
    Row("gateway_power_off", 0, 800, 1200),
    Row("tunnel_block", 0, 700, 1200),
    Row("ipsec_kill", 0, 700, 1200),
    Row("planned", 0, 0, 0),
    Row("gateway_stop", 0, 0, 1200, 0.5),
    Row("gateway_power_off", 1, 800, 1200, 0.5),
    Row("tunnel_block", 1, 700, 1200, 0.25),
    Row("ipsec_kill", 1, 700, 1200, 0.25),
    Row("planned", 1, 0, 0, 0.25),
    Row("gateway_power_off", 3, 800, 1200, 0.25),
)


def measured(row: Row, output: Path) -> dict[str, Any] | None:
    """A row's figures out of its drill's report; None if it was not drilled."""
    file = output / row.name / "report.json"
    if not file.exists():
        return None
    report = json.loads(file.read_text(encoding="utf-8"))
    all_runs = [one for scenario in report["scenarios"] for one in scenario["runs"]]
    runs = [one for one in all_runs if one["outage_ms"] is not None]
    if not runs:
        return None
    outages = [one["outage_ms"] for one in runs]
    failback = [one["failback_lost"] for one in runs]
    # of each run, also where no outage was measured; None where nothing counted, which is no 0
    in_clear = [one["plaintext_packets"] for one in all_runs]
    within = median(outages) <= row.median_ms + row.late_ms and max(outages) <= row.worst_ms + row.late_ms
    return {
        "scenario": row.scenario,
        "route_propagation_s": row.propagation,
        "runs": len(runs),
        "outages_ms": outages,
        "median_ms": round(median(outages), 1),
        "worst_ms": max(outages),
        "promised_median_ms": row.median_ms + row.late_ms,
        "promised_worst_ms": row.worst_ms + row.late_ms,
        "kept": within and not any(failback) and set(in_clear) == {0} and not report["aborted"],
        **{phase: _typical(one[phase] for one in runs) for phase in PHASES},
        "packets_sent": sum(one["packets_sent"] for one in runs),
        "packets_lost": sum(one["packets_lost"] for one in runs),
        "failback_lost": sum(failback),
        "plaintext_packets": None if None in in_clear else sum(in_clear),
        "aborted": report["aborted"],
        "commit": (file.parent / "commit").read_text(encoding="ascii").strip(),
    }


def broken(found: dict[str, Any]) -> list[str]:
    """The rows whose promise is not kept, or of which nothing was measured."""
    kept = {(one["scenario"], one["route_propagation_s"]) for one in found["figures"] if one["kept"]}
    return [row.name for row in ROWS if (row.scenario, row.propagation) not in kept]


def summary(output: Path) -> dict[str, Any]:
    """All rows that were drilled, and where."""
    return {
        "figures": [figures for row in ROWS if (figures := measured(row, output)) is not None],
        "environment": circumstances(),
    }


def picture(figures: Sequence[dict[str, Any]], file: Path) -> None:
    """Every run as a dot, a row for each scenario, with what is promised of its median beside it."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "vpnha"
    from matplotlib import pyplot

    plot, axes = pyplot.subplots(figsize=(9, 0.9 + 0.42 * len(figures)))
    for height, one in enumerate(reversed(figures)):
        axes.plot(one["outages_ms"], [height] * one["runs"], "o", color="#1f6feb", alpha=0.35, markersize=6)
        axes.plot([one["median_ms"]], [height], "|", color="#0b2f6b", markersize=18, markeredgewidth=2)
        axes.plot([one["promised_median_ms"]], [height], "|", color="#c2410c", markersize=18, markeredgewidth=2)
    labels = [f"{one['scenario']}, {one['route_propagation_s']} s ({one['runs']})" for one in reversed(figures)]
    axes.set_yticks(range(len(figures)), labels)
    axes.set_xlabel("longest outage seen by an application host, ms (blue: median; orange: promised median)")
    axes.set_xlim(left=-50)
    axes.grid(axis="x", alpha=0.3)
    plot.tight_layout()
    plot.savefig(file, metadata={"Date": None})
    pyplot.close(plot)


def show(figures: Sequence[dict[str, Any]], output: Path) -> None:
    """The table, and where the files lie."""
    table = Table(title=f"Outage seen by an application host, ms; EC2 API delayed by {API_DELAY_MS} ms")
    for column in ("scenario", "propagation", "runs", "median", "worst", "promised", "at failback", "in clear", "kept"):
        table.add_column(column, justify="left" if column == "scenario" else "right", no_wrap=True)
    for one in figures:
        table.add_row(
            one["scenario"],
            f"{one['route_propagation_s']} s",
            str(one["runs"]),
            f"{one['median_ms']:.0f}",
            f"{one['worst_ms']:.0f}",
            f"{one['promised_median_ms']:.0f}/{one['promised_worst_ms']:.0f}",
            f"{one['failback_lost']} lost",
            "not counted" if one["plaintext_packets"] is None else str(one["plaintext_packets"]),
            "[green]yes" if one["kept"] else "[red]no",
        )
    console.print(table)
    console.print(f"figures: {output / 'report.json'}\n         {output / 'figures.svg'}", soft_wrap=True)


def write(output: Path) -> dict[str, Any]:
    """Write the summary and its picture; returns the summary."""
    found = summary(output)
    (output / "report.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if found["figures"]:
        picture(found["figures"], output / "figures.svg")
    return found


def main(
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Runs of each scenario; some rows take a share.")] = 20,
    again: Annotated[bool, typer.Option(help="Drill rows again that have been drilled.")] = False,
) -> None:
    """Measure the promised figures in the lab; rows that an earlier call has drilled are left as they are."""
    names = Names.from_env()
    lab = [sys.executable, "-m", "lab"]
    if again:
        shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with lab_program(stays="what was measured so far stays"):
        run("Lab up", [*lab, "up"], os.environ)
        env = lab_environment(names)
        run("Deploy", playbook("deploy", vpnha_timing=TIMING), env)
        run("EC2 API delayed", [*lab, "fault", "add", "api-latency", str(API_DELAY_MS)], env)
        for row in ROWS:
            if not (OUTPUT / row.name / "report.json").exists():
                _drill(row, max(1, round(repeat * row.share)), lab, env)
                write(OUTPUT)
        found = write(OUTPUT)
        show(found["figures"], OUTPUT)
        if amiss := broken(found):
            console.print(f"not kept, or not measured: {', '.join(amiss)}; --again drills all rows anew", style="red")
        raise typer.Exit(1 if amiss else 0)


def _drill(row: Row, repeat: int, lab: Sequence[str], env: dict[str, str]) -> None:
    (OUTPUT / row.name).mkdir(exist_ok=True)
    (OUTPUT / row.name / "commit").write_text(commit() + "\n", encoding="ascii")
    late = "propagation"
    if row.propagation:
        setting = [*lab, "fault", "add", "setting", "route_propagation", str(row.propagation), "--id", late]
        run(f"Routes take effect after {row.propagation} s", setting, env)
    variables = {
        "vpnha_timing": TIMING,
        "vpnha_drill_scenarios": [row.scenario],
        "vpnha_drill_repeat": repeat,
        "vpnha_drill_limits": {row.scenario: NO_LIMIT_MS},
        "vpnha_drill_failback_limit_ms": NO_LIMIT_MS,
        "vpnha_drill_output": str(OUTPUT / row.name),
    }
    try:
        run(f"{row.name}, {repeat} runs", playbook("failover_drill", **variables), env)
    finally:
        if row.propagation:
            subprocess.run([*lab, "fault", "clear", late], env=env, check=False)


def _typical(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 1) if known else None


if __name__ == "__main__":
    typer.run(main)
