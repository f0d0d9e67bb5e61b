# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.outage``: for how long an application host is cut off, by what is broken and who watches.

Starts a fresh lab, deploys, and delays EC2's API. Then each way in turn watches while gw-a breaks; an application host
of its zone sends a site 100 packets a second all the while, and the longest run of them without an answer is the
outage, as in a drill. A way that has not brought the packets back when its patience ends does not recover by itself:
what is broken is repaired then, and the run says so instead of a figure.

The report is written after each run, and a run of this program that was stopped goes on where it ended, unless the
commit, a contender or the machine is another one. A run that the lab has spoilt is told as aborted and is in no figure;
it is made up for in a fresh lab.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import peers
from benchmarks.kept import Kept
from benchmarks.own_lab import own_lab
from lab.errors import LabError
from lab.matrix.lookout import POLL_SECONDS, NotSeen, until
from lab.names import REPOSITORY
from lab.steps import API_DELAY_MS, circumstances, commit, console, lab_program

from .scenarios import SCENARIOS, Scenario
from .stage import SPOILT, PacedProbes, Stage
from .summary import aborted, rows
from .ways import WAYS, Way

OUTPUT = REPOSITORY / "artifacts" / "bench"
REPORT = OUTPUT / "outage.json"
LOGS = OUTPUT / "outage"
STEADY_SECONDS = 2.0  # in which every packet is answered: it is over
OFTEN_SECONDS = 10.0  # for which it is looked often; each look reads all packets, of which there are ever more
SELDOM_SECONDS = 0.5  # between two looks after that
SHOWN_SECONDS = 4.0  # after which what was broken has shown
ABORTED_MOST = 3  # one after the other, and of one way in one scenario: then it is not by chance


def kept(path: Path) -> Kept:
    """What was measured so far, if it is of this commit, these contenders, and this machine."""
    about = {
        "commit": commit(), "environment": circumstances(), "versions": peers.versions() | peers.libraries(),
        "ways": {way.name: way.says for way in WAYS}, "scenarios": {one.name: one.says for one in SCENARIOS},
    }  # fmt: skip
    return Kept(path, about, "runs")


def one_run(way: Way, scenario: Scenario, probes: PacedProbes) -> dict[str, Any]:
    """Break it once, see for how long packets are lost, and repair it. Raises LabError if that cannot be done."""
    with way.standing():
        probes.start()
        try:
            before = f"no packet is lost for {STEADY_SECONDS:.0f} s"
            until(lambda: probes.steady_seconds(0.0) >= STEADY_SECONDS, 60.0, before)
            broken = time.time()
            with scenario.caused(way.lookout):
                recovered = _recovered(probes, broken, way.patience)
                ended = time.time()
            streams, pace = probes.measured(broken, ended), probes.pace()
        finally:
            probes.stop()
    return {
        "way": way.name,
        "scenario": scenario.name,
        "broken": broken,
        "recovered": recovered,
        "patience_s": way.patience,
        "outage_ms": max(stream["longest_ms"] for stream in streams),
        "sent": sum(stream["sent"] for stream in streams),
        "lost": sum(stream["lost"] for stream in streams),
        "pace": pace,
    }


def _recovered(probes: PacedProbes, broken: float, patience: float) -> bool:
    """Wait until every packet is answered again; false when patience ends before."""

    def over() -> bool:
        return time.time() >= broken + SHOWN_SECONDS and probes.steady_seconds(broken) >= STEADY_SECONDS

    for seconds, poll in ((min(patience, OFTEN_SECONDS), POLL_SECONDS), (patience - OFTEN_SECONDS, SELDOM_SECONDS)):
        with suppress(NotSeen):
            until(over, seconds, "every packet is answered", poll)
            return True
    return False


def table(report: dict[str, Any]) -> Table:
    """For a terminal."""
    title = f"Outage of an application host, ms, EC2 API delayed by {API_DELAY_MS} ms"
    shown = Table(title=title, caption="median (least to most, runs)")
    for column in ("way", *report["scenarios"]):
        shown.add_column(column)
    for row in rows(report):
        shown.add_row(row.way, *(spread.text for spread in row.scenarios.values()))
    return shown


def compare(report: Kept, ways: Sequence[type[Way]], repeat: int, fresh: Callable[[], Stage]) -> None:
    """Let ways and scenarios take turns, until there are so many runs of each; a run that is aborted is made up for.

    ``fresh`` makes a lab. Raises LabError where runs are aborted again and again.
    """
    stage: Stage | None = None
    in_a_row, times = 0, Counter[tuple[str, str]]()

    def done(way: type[Way], scenario: Scenario) -> int:
        return len(report.having(way=way.name, scenario=scenario.name))

    pairs = [(scenario, way) for scenario in SCENARIOS for way in ways]
    while due := [
        (scenario, way) for scenario, way in pairs
        if done(way, scenario) < repeat and times[way.name, scenario.name] < ABORTED_MOST
    ]:  # fmt: skip
        fewest = min(done(way, scenario) for scenario, way in due)
        for scenario, way in due:
            if done(way, scenario) > fewest:  # it was ahead when the last benchmark was stopped
                continue
            title = f"{fewest + 1} of {repeat}: {scenario.name}, {way.name}"
            try:
                if stage is None:
                    stage = fresh()
                    report.note("labs", stage.versions)
                stage.ready()
                one = one_run(way(stage.lookout, stage.target, LOGS), scenario, stage.probes)
            except SPOILT as error:
                reason = str(error) or type(error).__name__
                report.note("aborted", {"way": way.name, "scenario": scenario.name, "reason": reason})
                console.print(f"{title}: aborted: {reason}", style="red", markup=False)
                stage, in_a_row = None, in_a_row + 1
                times[way.name, scenario.name] += 1
                if in_a_row == ABORTED_MOST:
                    raise LabError(
                        f"{in_a_row} runs one after the other were aborted: the lab itself is ill."
                    ) from None
                continue
            report.add(one)
            in_a_row = times[way.name, scenario.name] = 0
            said = f"{one['outage_ms']:.0f} ms" if one["recovered"] else f"not within {one['patience_s']:.0f} s"
            console.print(f"{title}: {said}")
    if never := [f"{way} in {scenario}" for (way, scenario), number in times.items() if number >= ABORTED_MOST]:
        raise LabError(f"Aborted {ABORTED_MOST} times, and not measured to the end: {', '.join(never)}.")


def main() -> None:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.outage", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument("--runs", type=int, default=10, help="of each way and scenario (default: %(default)s)")
    parser.add_argument("--ways", default="", help="only those whose name has this in it")
    parser.add_argument("--keep", action="store_true", help="leave the lab up in the end, called bench")
    chosen = parser.parse_args()
    ways = [way for way in WAYS if chosen.ways in way.name]
    if not ways:
        raise SystemExit(f"No way's name has {chosen.ways!r} in it: they are {', '.join(way.name for way in WAYS)}.")
    try:
        peers.fetch()
    except peers.PeerMissing as error:
        raise SystemExit(str(error)) from None
    report = kept(REPORT)
    LOGS.mkdir(parents=True, exist_ok=True)
    wanted = [(way.name, one.name) for way in ways for one in SCENARIOS]
    if any(len(report.having(way=way, scenario=scenario)) < chosen.runs for way, scenario in wanted):
        stays = "what was measured so far stays, and the next run goes on with it"
        try:
            with lab_program(keep=chosen.keep, stays=stays):
                names = own_lab()
                compare(report, ways, chosen.runs, lambda: Stage(names))
        finally:
            show(report)
    else:
        show(report)


def show(report: Kept) -> None:
    """What there is so far."""
    console.print(table(report.content))
    for said in aborted(report.content):
        console.print(said, markup=False)
    console.print(f"report: {REPORT}", soft_wrap=True)


if __name__ == "__main__":
    main()
