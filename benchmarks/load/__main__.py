# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.load``: CPU time, memory and packets of the real monitor and the real agent.

Both are watched for some windows at each number of gateways, when all is well. Counted is what the kernel charges the
daemon's process, all its threads and the programs that it starts. Everybody else, EC2 too, is in network namespaces of
the benchmark's own.

The report is written after each daemon and size, if all was well from its first window to its last, and a benchmark
that was stopped goes on with the next, unless the commit is another one. Windows in which the machine was too busy are
marked and made up for, up to twice as many windows as were asked for.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import product
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
from .summary import DAEMONS, counts, rows

REPORT = Path("artifacts/bench/load.json")
SIZES = (2, 20, 100)
# Exit codes. None is 1, with which Python ends for an exception.
TOO_BUSY, FAILED, TOO_MUCH = 2, 3, 4


def kept(path: Path, seconds: float, of: str = "") -> Kept:
    """What was measured so far, if it is of this commit, or of that."""
    about = {"commit": of or commit(), "cores": os.cpu_count(), "python": platform.python_version(), "seconds": seconds}
    return Kept(path, about, "windows")


def done(report: Kept, daemon: str, gateways: int) -> int:
    """How many windows there are that count."""
    return sum(counts(one) for one in report.having(daemon=daemon, gateways=gateways))


def windows(daemon: str, gateways: int, more: Callable[[], bool], seconds: float) -> Iterator[dict[str, Any]]:
    """Measure one daemon at one number of gateways, enclosed. Raises NotUp."""
    enclosed.furnish()
    if daemon == "agent":
        yield from agent.measure(gateways, more, seconds, gateway.root())
        return
    with tempfile.TemporaryDirectory() as directory:
        yield from monitor.measure(gateways, more, seconds, Path(directory))


def watched(daemon: str, gateways: int, left: int, seconds: float) -> list[dict[str, Any]]:
    """So many windows that count, if twice as many have them. Raises NotUp if it was not well to the end."""
    found: list[dict[str, Any]] = []

    def more() -> bool:
        return sum(map(counts, found)) < left and len(found) < 2 * left

    for one in windows(daemon, gateways, more, seconds):
        found.append(one)
        console.print(
            f"{daemon}, {gateways} gateways: {one['share_of_a_core']:.3f} of a core, {one['resident_mb']:.0f} MB, "
            f"{one['sent_per_second']:.0f} packets/s sent, {one['received_per_second']:.0f} received"
            + ("" if counts(one) else "; the machine was too busy: this does not count")
        )
    return found


def one_size(daemon: str, size: int, runs: int, seconds: float, of: str) -> int:
    """Have one daemon measured at one size, if that is due; an exit code."""
    if done(kept(REPORT, seconds, of), daemon, size) >= runs:
        return 0
    asked = ["--daemons", daemon, "--gateways", str(size), "--runs", str(runs), "--seconds", str(seconds)]
    asked += ["--commit", of]
    try:
        if daemon == "agent":
            gateway.ensure_image()
        return enclosed.run("benchmarks.load", asked)
    except (LabError, KernelError, NotUp) as error:
        console.print(str(error), style="red", markup=False)
        return FAILED


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
    """Measure, and show the table.

    Exit code 4 if it is more than was promised, 2 if the machine was too busy, 3 if something was not measured.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="windows at each size (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each window (default: %(default)s)")
    parser.add_argument("--gateways", type=int, nargs="+", default=list(SIZES), help="from 2 to 100")
    parser.add_argument("--daemons", nargs="+", choices=DAEMONS, default=list(DAEMONS))
    parser.add_argument(enclosed.INSIDE, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--commit", default="", help=argparse.SUPPRESS)  # of all sizes, whatever is edited meanwhile
    chosen = parser.parse_args()
    if not all(2 <= number <= 100 for number in chosen.gateways):
        raise SystemExit("--gateways are from 2 to 100: each has a subnet of 10.20.0.0/16 with its number in it.")
    if chosen.inside:  # one daemon at one size
        [daemon], [size] = chosen.daemons, chosen.gateways
        report = kept(REPORT, chosen.seconds, chosen.commit)
        if chosen.commit not in ("", commit()):
            console.print(f"The code is not that of {chosen.commit} any more: this size is not measured.", style="red")
            return FAILED
        try:
            for one in watched(daemon, size, chosen.runs - done(report, daemon, size), chosen.seconds):
                report.add(one)
        except (LabError, KernelError, NotUp) as error:
            console.print(str(error), style="red", markup=False)
            return FAILED
        return 0
    failed, of = [], commit()
    for daemon, size in product(chosen.daemons, chosen.gateways):
        code = one_size(daemon, size, chosen.runs, chosen.seconds, of)
        if code == enclosed.INTERRUPTED:
            return code
        if code:
            failed.append(f"{daemon}, {size} gateways")
    report = kept(REPORT, chosen.seconds, of)
    console.print(table(report))
    console.print(f"report: {REPORT}")
    if failed:
        console.print(f"Not measured, for the reasons above: {'; '.join(failed)}.", style="red")
        return FAILED
    short = [each for each in product(chosen.daemons, chosen.gateways) if done(report, *each) < chosen.runs]
    for daemon, size in short:
        console.print(
            f"{daemon}, {size} gateways: too few heartbeats were answered in some windows, and they do not count: "
            "this machine is too busy; measure again when it is quiet."
        )
    return TOO_BUSY if short else TOO_MUCH if any(row.too_much for row in rows(report.content)) else 0


if __name__ == "__main__":
    sys.exit(main())
