# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks``: every benchmark, one after the other, and one page of what they have measured.

Each is a program that writes its own report below ``artifacts/bench``; ``--page`` only makes the page anew.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from lab import reports
from lab.steps import console

from . import ahead
from .alone import alone
from .deploying import summary as deploying
from .growth import summary as growth
from .kept import read
from .load import summary as load
from .outage.summary import aborted, dots, rows
from .sas import summary as sas
from .swapping.summary import bars, cells

OUTPUT = Path("artifacts/bench")


@dataclass(frozen=True)
class Part:
    """One benchmark."""

    name: str
    module: str
    file: str
    failing: tuple[int, ...] = ()  # exit codes with which it has measured all the same
    repeats: bool = False  # it takes --runs
    enough: int | None = None  # more runs than this only if it alone is asked for


PARTS = (  # the cheap ones first, and last what takes longest: who stops before the end has most of it
    Part("decision", "benchmarks.decision", "decision.json"),
    Part("load", "benchmarks.load", "load.json", (2, 4), repeats=True),
    Part("sas", "benchmarks.sas", "sas.json", repeats=True),
    Part("growth", "benchmarks.growth", "growth.json", repeats=True),
    Part("outage", "benchmarks.outage", "outage.json", repeats=True),
    Part("deploying", "benchmarks.deploying", "deploying.json", repeats=True, enough=3),
    Part("swapping", "benchmarks.swapping", "swapping.json", repeats=True),
)
INTERRUPTED = 130
ROWS: dict[str, Callable[[Mapping[str, Any]], Sequence[Any]]] = {
    "load": load.rows,
    "sas": sas.rows,
    "growth": growth.rows,
    "deploying": deploying.rows,
    "swapping": cells,
    "outage": rows,
}
PICTURES: dict[str, Callable[[Mapping[str, Any], Path], None]] = {
    "load": load.curves,
    "sas": sas.curves,
    "growth": growth.curves,
    "deploying": deploying.bars,
    "swapping": bars,
    "outage": dots,
}


def gathered(directory: Path) -> dict[str, Any]:
    """All that was measured, each part with the commit that it was measured at.

    ``commits`` and ``cores`` have more than one if the parts differ in it.
    """
    parts = {part.name: directory / part.file for part in PARTS}
    found = {name: report for name, file in parts.items() if (report := read(file)) is not None}
    for name, shown in ROWS.items():
        if name in found:
            found[name]["rows"] = [asdict(row) for row in shown(found[name])]
    measured = sorted({one["commit"] for one in found.values()})
    cores = {one.get("cores") or one.get("environment", {}).get("cores") for one in found.values()} - {None}
    return {"commits": measured, "cores": sorted(cores), **found}


def page(report: Mapping[str, Any]) -> str:
    """The report as HTML."""
    shown: dict[str, Any] = {name: of(report[name]) if name in report else [] for name, of in ROWS.items()}
    spoilt = aborted(report.get("outage", {}))
    return reports.render(Path(__file__).with_name("page.html.j2"), report=report, aborted=spoilt, **shown)


def carried_out(part: Part, repeat: int | None, held: Sequence[int] = ()) -> int:
    """A part's exit code, and INTERRUPTED if it was to stop, however it has ended: its end may have begun before.

    Ctrl-C and SIGTERM are for the part, which may have a lab to take down. It gets SIGTERM too when this process is
    gone, and the descriptors that are ``held``.
    """
    argv = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", part.module]
    argv += ["--runs", str(repeat)] if part.repeats and repeat is not None else []
    started: list[subprocess.Popen[bytes]] = []
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        if number == signal.SIGTERM:  # a terminal sends Ctrl-C to both
            for each in started:
                each.send_signal(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        started.append(subprocess.Popen(argv, pass_fds=held))
        if signal.SIGTERM in stopped:  # before there was anybody to send it to
            started[0].send_signal(signal.SIGTERM)
        code = started[0].wait()
        return INTERRUPTED if stopped else code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv: Sequence[str]) -> int:
    """Run what was asked for, or all; exit code 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these benchmarks")
    parser.add_argument("--page", action="store_true", help="only make the page anew")
    parser.add_argument(
        "--in",
        dest="directory",
        type=Path,
        metavar="DIRECTORY",
        help=f"with --page: of the reports there, not in {OUTPUT}",
    )
    parser.add_argument("--runs", type=int, help="of whatever is repeated, and of a deploy 3 at most beside others")
    chosen = parser.parse_args(argv)
    names = [part.name for part in PARTS]
    if unknown := [name for name in chosen.names if name not in names]:
        parser.error(f"There is no benchmark {unknown[0]}: they are {', '.join(names)}.")
    if chosen.directory is not None and not chosen.page:
        parser.error("--in is for --page: benchmarks write into " + str(OUTPUT) + ".")
    if chosen.page:
        directory = chosen.directory or OUTPUT
        if chosen.directory is not None and not any((directory / part.file).is_file() for part in PARTS):
            parser.error(f"There is no benchmark's report in {directory}: they are {', '.join(p.file for p in PARTS)}.")
        written(directory)
        return 0
    wanted = [part for part in PARTS if part.name in (chosen.names or names)]
    with alone(OUTPUT) as lock:
        try:
            ahead.get([part.name for part in wanted])
        except KeyboardInterrupt:
            console.print("stopped before anything was measured", style="red")
            return INTERRUPTED
        code = measured(wanted, chosen.runs, lock, everything=not chosen.names)
        written(OUTPUT)
    return code


def measured(parts: Sequence[Part], repeat: int | None, lock: int, *, everything: bool) -> int:
    """Carry out one after the other, until one is interrupted; exit code 1 if one of them failed."""
    code = 0
    for part in parts:
        console.rule(f"[bold]{part.name}")
        most = part.enough if everything else None
        ended = carried_out(part, repeat if most is None or repeat is None else min(repeat, most), (lock,))
        code = code or int(ended != 0)
        if ended in (INTERRUPTED, -signal.SIGINT, -signal.SIGTERM):
            console.print(f"{part.name}: stopped; the next run goes on here.", style="red")
            break
        if ended and ended not in part.failing:
            console.print(f"{part.name}: failed (exit code {ended}); the reason stands above.", style="red")
    return code


def written(directory: Path) -> None:
    """Write the report of what is in a directory, its page and its pictures."""
    report = gathered(directory)
    reports.write(directory / "report.json", report)
    (directory / "report.html").write_text(page(report), encoding="utf-8")
    for name, draw in PICTURES.items():
        if name in report:
            try:
                draw(report[name], directory / f"{name}.svg")
            except ValueError as error:  # a logarithmic scale needs at least one figure
                console.print(f"{name}: no picture yet: {error}", markup=False)
    console.print(f"report: {directory / 'report.json'}\n        {directory / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
