# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.growth``: time and calls of EC2 by the number of route tables, gateways and sites.

One of the three changes at a time. The report is written after each run, and a benchmark that was stopped goes on where
it ended, unless the commit or a library's version is another one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from benchmarks import enclosed, peers
from benchmarks.kept import Kept
from benchmarks.swapping.ways import WayFailed
from lab.steps import commit, console

from .summary import AXES, rows
from .works import DELAY_MS, WORKS, NotDone, Size, Work, measured, scene

REPORT = Path("artifacts/bench/growth.json")
BASE = Size(tables=100, gateways=10, sites=2)
PATIENCE = 60.0  # seconds: what takes longer is done thrice at most
STEPS = {"tables": (10, 1000), "gateways": (2, 100), "sites": (8, 20)}  # beside the base


def sizes() -> list[Size]:
    """The base, and whatever one axis makes of it."""
    return [BASE, *(replace(BASE, **{axis: number}) for axis in AXES for number in STEPS[axis])]


def kept(path: Path) -> Kept:
    """What was measured so far, if it is of this commit and these libraries."""
    about = {
        "commit": commit(), "cores": os.cpu_count(), "api_delay_ms": DELAY_MS, "base": asdict(BASE),
        "versions": peers.libraries(), "works": {work.name: work.says for work in WORKS},
    }  # fmt: skip
    return Kept(path, about, "runs")


def left(done: Sequence[Mapping[str, Any]], runs: int) -> int:
    """How many runs are due after these."""
    slow = any(one["seconds"] > PATIENCE for one in done)
    return max(0, (min(runs, 3) if slow else runs) - len(done))


def grow(size: Size, works: list[Work], runs: int, report: Kept) -> None:
    """Measure what is due at one size."""

    def due() -> list[Work]:
        return [work for work in works if left(report.having(work=work.name, **asdict(size)), runs)]

    if not due():
        return
    with tempfile.TemporaryDirectory() as directory, scene(size, Path(directory)) as at:
        while turn := due():
            for work in turn:
                one = measured(work, at)
                report.add(one)
                console.print(
                    f"{size.tables} tables, {size.gateways} gateways, {size.sites} sites: {work.name}: "
                    f"{1000 * one['seconds']:.3g} ms, {sum(one['calls'].values())} calls"
                )


def table(report: Kept) -> Table:
    """For a terminal."""
    shown = Table(title="Growth, milliseconds", caption="median (least to most, runs)")
    for column in ("work", *AXES, "time", "CPU", "calls of EC2"):
        shown.add_column(column)
    for row in rows(report.content):
        size = (str(row.size[axis]) for axis in AXES)
        shown.add_row(row.work, *size, row.milliseconds.text(), row.cpu_ms.text(), row.calls_text)
    return shown


def main() -> int:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("--runs", type=int, default=3, help="of each work at each size (default: %(default)s)")
    parser.add_argument("--works", nargs="+", choices=[work.name for work in WORKS], default=[w.name for w in WORKS])
    parser.add_argument("--tables", type=int, default=1000, help="no size with more (default: %(default)s)")
    parser.add_argument(enclosed.INSIDE, action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not chosen.inside:
        return enclosed.run("benchmarks.growth", sys.argv[1:])
    enclosed.furnish()
    report = kept(REPORT)
    works = [work for work in WORKS if work.name in chosen.works]
    try:
        for size in sizes():
            if size.tables <= chosen.tables:
                grow(size, works, chosen.runs, report)
    except (NotDone, VpnhaError, WayFailed) as failed:
        raise SystemExit(f"{failed} What was measured before is kept: a machine that is too busy does this.") from None
    console.print(table(report))
    console.print(f"report: {REPORT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
