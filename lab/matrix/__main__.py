# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab.matrix``: starts the lab, deploys, and goes through the rows of the fault matrix.

Each row's result is written as it ends: who stops it half-way goes on where it was by calling it again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from lab import reports, siteboot
from lab.matrix import results, rows_api, rows_gateways, rows_monitor, rows_people, rows_tunnels
from lab.matrix.conductor import VARIABLES, Conductor, more_tables
from lab.matrix.faults import FAULTS, NOT_SHOWN
from lab.matrix.lookout import Lookout
from lab.matrix.model import ROWS
from lab.matrix.page import page
from lab.names import REPOSITORY, Names
from lab.steps import API_DELAY_MS, console, lab_environment, lab_program, playbook, run

OUTPUT = REPOSITORY / "artifacts" / "faults"
LAST = (13, 60, 61, 44, 42, 36)  # the slowest
ROOMS = (rows_api, rows_gateways, rows_monitor, rows_people, rows_tunnels)  # to have their rows registered
DELAY = "api-delay"  # in force for all rows
IN_FORCE = "matrix.row"  # a file that is there during a row; goes with the lab
LAB = [sys.executable, "-m", "lab"]


def chosen(only: str) -> list[int]:
    """The rows to run, in their order: all, or those of a list such as ``3,8,40``. Raises BadParameter."""
    order = sorted(ROWS, key=lambda number: (LAST.index(number) + 1 if number in LAST else 0, number))
    if not only:
        return order
    wanted = set()
    for word in only.split(","):
        if not word.strip().isdecimal() or int(word) not in FAULTS:
            raise typer.BadParameter(f"there is no row {word.strip()!r}: give numbers from 1 to {max(FAULTS)}.")
        if int(word) in NOT_SHOWN:
            raise typer.BadParameter(f"row {int(word)} is not shown: {NOT_SHOWN[int(word)]}")
        wanted.add(int(word))
    return [number for number in order if number in wanted]


def write(output: Path) -> dict[str, Any]:
    """Write the report and its page; returns the report."""
    found = results.report(output)
    reports.write(output / "report.json", found)
    (output / "report.html").write_text(page(found), encoding="utf-8")
    return found


def show(found: dict[str, Any], numbers: Sequence[int], output: Path) -> None:
    """The table of these rows, what was not as expected, and where the files lie."""
    table = Table(title=f"Fault matrix, EC2 API delayed by {API_DELAY_MS} ms")
    for column in ("#", "fault", "runs", "changes", "repairs", "outage ms", "verdict"):
        table.add_column(column, justify="left" if column in ("fault", "repairs", "verdict") else "right")
    colours = {results.AS_EXPECTED: "green", results.LEFT_OUT: "dim"}
    for row in found["rows"]:
        if row["number"] in numbers or row["number"] in NOT_SHOWN:
            seen = row["observed"]
            figures = ["", "", "", ""]
            if seen:
                figures = [
                    f"{seen['passed']}/{seen['runs']}",
                    "-".join(map(str, dict.fromkeys((seen["swaps"][0], seen["swaps"][-1])))),
                    ", ".join(seen["repairs"]),
                    str(seen["outage_worst_ms"]),
                ]
            colour = colours.get(row["verdict"], "red")
            table.add_row(str(row["number"]), row["fault"], *figures, f"[{colour}]{row['verdict']}")
    console.print(table)
    for row in found["rows"]:
        for problem in row["problems"] if row["number"] in numbers else ():
            console.print(f"row {row['number']}, run {problem}", style="red", markup=False, soft_wrap=True)
    console.print(f"report: {output / 'report.json'}\n        {output / 'report.html'}", soft_wrap=True)


def main(
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Runs of each row.")] = 1,
    only: Annotated[str, typer.Option(help="Only these rows, such as 3,8,40.")] = "",
    again: Annotated[bool, typer.Option(help="Run rows again that have been run.")] = False,
    keep: Annotated[bool, typer.Option(help="Leave the lab up in the end.")] = False,
) -> None:
    """Cause every fault of the matrix in the lab; rows that an earlier call has run with the same code are left out."""
    numbers = chosen(only)
    if again and not only:
        shutil.rmtree(OUTPUT, ignore_errors=True)
    elif again:
        results.forget(OUTPUT, numbers)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    left = results.due(OUTPUT, numbers, repeat)
    with lab_program(keep=keep or not left, stays="what was run so far stays"):
        try:
            if left:
                _go_through(left, Names.from_env())
        finally:
            found = write(OUTPUT)
        show(found, numbers, OUTPUT)
        raise typer.Exit(0 if results.kept(found, numbers) else 1)


def lab_up(names: Names) -> None:
    """Start the lab, or go on in the one that is there, but not where a row was killed: nobody knows what it left."""
    if (names.run / IN_FORCE).exists():
        run("Lab down, as a row was killed in it", [*LAB, "down"], os.environ)
    run("Lab up", [*LAB, "up"], os.environ)


def _go_through(left: Sequence[tuple[int, int]], names: Names) -> None:
    lab_up(names)
    env = lab_environment(names)
    os.environ.update(env)

    deployed = names.run / "matrix.deployed"  # goes with the lab

    def deploy() -> None:
        run("Deploy", playbook("deploy", **VARIABLES), env)
        deployed.write_text(json.dumps(VARIABLES), encoding="utf-8")

    if not deployed.exists() or json.loads(deployed.read_text(encoding="utf-8")) != VARIABLES:
        deploy()
    sites = siteboot.deployment_variables(names)["vpnha_sites"]
    lookout = Lookout(names, {prefix: site["name"] for site in sites for prefix in site["prefixes"]})
    more_tables(lookout)
    subprocess.run([*LAB, "fault", "clear", DELAY], env=env, check=False, capture_output=True)
    run("EC2 API delayed", [*LAB, "fault", "add", "api-latency", str(API_DELAY_MS), "--id", DELAY], env)
    lookout.await_well(120.0)
    conductor = Conductor(names, lookout, env, deploy)
    targets = [site["probe_targets"][0] for site in sites]
    in_force = names.run / IN_FORCE
    console.rule("[bold]Rows")
    for at, (number, repetition) in enumerate(left, 1):
        began = time.monotonic()
        console.print(f"[{at} of {len(left)}] row {number}, run {repetition}: {FAULTS[number].fault}", markup=False)
        in_force.write_text(f"{number}\n", encoding="utf-8")
        try:
            seen = conductor.run(ROWS[number], repetition, targets)
        finally:
            in_force.unlink()
        reports.write(results.file_of(OUTPUT, number, repetition), seen)
        write(OUTPUT)
        good = seen["verdict"] == results.AS_EXPECTED
        console.print(f"  {seen['verdict']} after {time.monotonic() - began:.0f} s", style="green" if good else "red")
        for problem in seen["problems"]:
            console.print(f"  {problem}", style="red", markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
