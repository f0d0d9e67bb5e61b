# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.load``: CPU time, memory and packets of the real monitor and the real agent.

Both are watched for some windows at each number of gateways, when all is well. Counted is what the kernel charges the
daemon's process, all its threads and the programs that it starts. Everybody else, EC2 too, is in network namespaces of
the benchmark's own.

The report is written after each window, and a benchmark that was stopped goes on where it ended, unless the commit is
another one.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import enclosed, gateway
from benchmarks.gateway import NotUp
from benchmarks.kept import Kept
from lab.errors import LabError
from lab.net.netns import KernelError
from lab.steps import commit, console

from . import agent, monitor
from .summary import DAEMONS, rows

REPORT = Path("artifacts/bench/load.json")
SIZES = (2, 20, 100)


def kept(path: Path, seconds: float) -> Kept:
    """What was measured so far, if it is of this commit."""
    about = {"commit": commit(), "cores": os.cpu_count(), "python": platform.python_version(), "seconds": seconds}
    return Kept(path, about, "windows")


def windows(daemon: str, gateways: int, number: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Measure one daemon at one number of gateways, enclosed."""
    enclosed.furnish()
    if daemon == "agent":
        yield from agent.measure(gateways, number, seconds, gateway.root())
        return
    with tempfile.TemporaryDirectory() as directory:
        yield from monitor.measure(gateways, number, seconds, Path(directory))


def table(report: Kept) -> Table:
    """For a terminal."""
    shown = Table(title="What the daemons cost", caption="median (least to most, windows)")
    for column in ("daemon", "gateways", "share of a core", "of it children", "MB", "sent/s", "received/s"):
        shown.add_column(column)
    for row in rows(report.content):
        figures = (
            row.share.text(3),
            row.children.text(3),
            row.resident_mb.text(1),
            row.sent.text(0),
            row.received.text(0),
        )
        shown.add_row(row.daemon, str(row.gateways), *figures)
    return shown


def main() -> int:
    """Measure, and show the table; exit code 1 if it is more than was promised, 2 if the machine was too busy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="windows at each size (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each window (default: %(default)s)")
    parser.add_argument("--gateways", type=int, nargs="+", default=list(SIZES), help="from 2 to 100")
    parser.add_argument("--daemons", nargs="+", choices=DAEMONS, default=list(DAEMONS))
    parser.add_argument(enclosed.INSIDE, action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not all(2 <= number <= 100 for number in chosen.gateways):
        raise SystemExit("--gateways are from 2 to 100: each has a subnet of 10.20.0.0/16 with its number in it.")
    report = kept(REPORT, chosen.seconds)
    try:
        if chosen.inside:  # one daemon at one size
            [daemon], [size] = chosen.daemons, chosen.gateways
            left = chosen.runs - len(report.having(daemon=daemon, gateways=size))
            for one in windows(daemon, size, left, chosen.seconds):
                report.add(one)
                console.print(
                    f"{daemon}, {size} gateways: {one['share_of_a_core']:.3f} of a core, {one['resident_mb']:.0f} MB, "
                    f"{one['sent_per_second']:.0f} packets/s sent, {one['received_per_second']:.0f} received"
                )
            return 0
        for daemon in chosen.daemons:
            for size in chosen.gateways:
                if len(report.having(daemon=daemon, gateways=size)) >= chosen.runs:
                    continue
                if daemon == "agent":
                    gateway.ensure_image()
                asked = ["--daemons", daemon, "--gateways", str(size)]
                asked += ["--runs", str(chosen.runs), "--seconds", str(chosen.seconds)]
                if code := enclosed.run("benchmarks.load", asked):
                    return code
                report = kept(REPORT, chosen.seconds)
    except (LabError, KernelError, NotUp) as error:
        console.print(str(error), style="red", markup=False)
        return 3
    console.print(table(report))
    console.print(f"report: {REPORT}")
    found = rows(report.content)
    for row in found:
        if row.busy:
            console.print(
                f"{row.daemon}, {row.gateways} gateways: too few heartbeats were answered for the figures to count: "
                "this machine is too busy; measure again when it is quiet."
            )
    return 2 if any(row.busy for row in found) else int(any(row.too_much for row in found))


if __name__ == "__main__":
    sys.exit(main())
