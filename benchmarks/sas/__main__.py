# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.sas``: time and CPU of asking strongSwan how its tunnels are, for each way to ask.

charon is a real one, of the lab's image of a gateway, with 1, 10 and 100 tunnels to another one, all up; see
`benchmarks.gateway`. Ways ask in turn. An answer counts if it has all tunnels in it.

The report is written after each run, and a benchmark that was stopped goes on where it ended, unless the commit or the
image's strongSwan is another one.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from benchmarks import enclosed, gateway, peers
from benchmarks.gateway import Ends, NotUp, Wire
from benchmarks.kept import Kept, hopeless, said_hopeless, wanting
from benchmarks.process import exact_seconds
from lab import setns
from lab.errors import LabError
from lab.steps import commit, console

from .summary import rows
from .ways import WAYS, Way, WayFailed

REPORT = Path("artifacts/bench/sas.json")
SIZES = (1, 10, 100)


def kept(path: Path, versions: dict[str, str]) -> Kept:
    """What was measured so far, if it is of this commit and this strongSwan."""
    about = {
        "commit": commit(), "cores": os.cpu_count(), "versions": versions, "ways": {way.name: way.says for way in WAYS},
    }  # fmt: skip
    return Kept(path, about, "runs")


def wires(number: int) -> list[Wire]:
    """So many tunnels."""
    return [Wire(f"tunnel-{n:03d}", f"169.254.{n}.1", f"169.254.{n}.2") for n in range(number)]


def asked(way: Way, ends: Ends, wanted: int) -> dict[str, Any]:
    """One run of a way: what a question costs."""
    error = ""
    spent, charon, began = _spent(), exact_seconds(ends.charon[gateway.GATEWAY]), time.monotonic()
    try:
        found = {way.up() for _question in range(way.at_once)}
        if found != {wanted}:
            error = f"{way.name} says that {min(found)} of {wanted} tunnels are up."
    except (WayFailed, VpnhaError, OSError, ValueError, LookupError) as failed:  # JSON's errors are ValueErrors
        error = str(failed) or type(failed).__name__
    lasted, spent = time.monotonic() - began, _spent() - spent
    charon = exact_seconds(ends.charon[gateway.GATEWAY]) - charon
    each = [round(1000 * seconds / way.at_once, 3) for seconds in (lasted, spent, charon)]
    return {
        "way": way.name, "tunnels": wanted, "milliseconds": each[0], "cpu_ms": each[1], "charon_ms": each[2],
        "error": error,
    }  # fmt: skip


def _spent() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def compare(number: int, ways: Sequence[type[Way]], runs: int, report: Kept, root: Path) -> None:
    """Let the ways ask in turn, each so often."""

    def due() -> list[type[Way]]:
        return [way for way in ways if wanting(report.having(way=way.name, tunnels=number), runs)]

    if not due():
        return
    with gateway.charons(root, wires(number)) as ends:
        standing = {way: way(ends, wires(number)) for way in ways}
        for way in due():
            asked(standing[way], ends, number)  # nothing is warm yet
        while turn := due():
            for way in turn:
                one = asked(standing[way], ends, number)
                report.add(one)
                said = (
                    one["error"] or f"{one['milliseconds']:.2f} ms, CPU {one['cpu_ms']:.2f} + {one['charon_ms']:.2f} ms"
                )
                console.print(f"{number} tunnels: {way.name}: {said}")
        for each in standing.values():
            each.close()


def table(report: Kept) -> Table:
    """For a terminal."""
    shown = Table(title="One question to strongSwan, milliseconds", caption="median (least to most, runs)")
    for column in ("tunnels", "way", "time", "CPU", "charon's CPU", "failed"):
        shown.add_column(column)
    for row in rows(report.content):
        figures = (one.text() for one in (row.milliseconds, row.cpu_ms, row.charon_ms))
        shown.add_row(str(row.tunnels), row.way, *figures, str(row.failed or ""))
    return shown


def main() -> int:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sas", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="of each way (default: %(default)s)")
    parser.add_argument("--tunnels", type=int, nargs="+", default=list(SIZES), help="at most 250")
    parser.add_argument("--ways", default="", help="only those whose name has this in it")
    parser.add_argument(enclosed.INSIDE, action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    ways = [way for way in WAYS if chosen.ways in way.name]
    if not ways:
        raise SystemExit(f"No way's name has {chosen.ways!r} in it: they are {', '.join(way.name for way in WAYS)}.")
    if not all(1 <= number <= 250 for number in chosen.tunnels):
        raise SystemExit("--tunnels are from 1 to 250: each has an address of 169.254.0.0/16 with its number in it.")
    try:
        if not chosen.inside:
            gateway.ensure_image()
            return enclosed.run("benchmarks.sas", sys.argv[1:])
        enclosed.furnish()
        root = gateway.root()
        gateway.networks()
        setns.enter(gateway.GATEWAY)  # whoever asks is on the gateway
        report = kept(REPORT, gateway.versions(root) | peers.libraries())
        for number in chosen.tunnels:
            compare(number, ways, chosen.runs, report, root)
    except (LabError, NotUp, VpnhaError) as error:
        raise SystemExit(str(error)) from None
    console.print(table(report))
    console.print(f"report: {REPORT}")
    return said_hopeless(
        f"{way.name} with {number} tunnels"
        for number in chosen.tunnels
        for way in ways
        if hopeless(report.having(way=way.name, tunnels=number))
    )


if __name__ == "__main__":
    sys.exit(main())
