# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.outage``: for how long an application host is cut off, by what is broken and who guards.

Starts the lab and deploys. Then each guard in turn stands while a gateway dies, or its tunnels; an application host in
the gateway's zone sends a site 100 packets a second all the while, and the longest run without an answer is the outage.
Who has not brought the packets back when his patience ends never does: somebody has to come, and the figure is a floor.

The report is written after each run; what was stopped goes on where it ended, unless the code has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks import peers
from lab import faults, siteboot
from lab.errors import LabError
from lab.matrix.lookout import Lookout, NotSeen, shown, until
from lab.matrix.watch import Probes
from lab.names import Names
from lab.steps import (
    API_DELAY_MS,
    StepFailed,
    circumstances,
    commit,
    console,
    lab_environment,
    playbook,
    run,
    stop_on_signal,
    take_down,
)

from .breaks import BREAKS, MARK, Break
from .guards import GUARDS, Guard

REPORT = Path("artifacts/bench/outage.json")
HOST = "app-a"
STEADY = 2.0  # seconds in which every packet is answered: it is over
SEEN = 4.0  # seconds after which every break has shown
WELL = 180.0  # seconds for all to be as before
VARIABLES = {"vpnha_timing": {"hold_down": 2.0, "voluntary_moves_per_hour": 1000}}  # as in the drills' figures


def one_run(guard: Guard, break_: Break, names: Names) -> dict[str, Any]:
    """Break it once, and see for how long packets are lost. Raises NotSeen if all is not well before and after."""
    lookout = guard.lookout
    lookout_well(lookout)
    with guard.standing():
        probes = Probes(names, (HOST,), (guard.target,))
        probes.start()
        try:
            until(lambda: probes.steady_seconds(0.0) >= STEADY, 30.0, "no packet is lost before it is broken")
            broken = time.time()
            mend = break_.now(lookout)
            try:
                over = _over(probes, broken, guard.patience)
                ended = time.time()
            finally:
                mend()
            streams = probes.measured(broken, ended)
        finally:
            probes.stop()
    lookout_well(lookout)
    return {
        "guard": guard.name,
        "break": break_.name,
        "outage_ms": max(stream["longest_ms"] for stream in streams),
        "over": over,
        "sent": sum(stream["sent"] for stream in streams),
        "lost": max(stream["lost"] for stream in streams),
    }


def _over(probes: Probes, broken: float, patience: float) -> bool:
    """Wait until packets come back, or patience ends."""
    try:
        until(lambda: time.time() >= broken + SEEN and probes.steady_seconds(broken) >= STEADY, patience, "it is over")
    except NotSeen:
        return False
    return True


def lookout_well(lookout: Lookout) -> None:
    """Wait until the monitor has nothing to object to. Raises NotSeen."""
    until(lambda: not lookout.objections(), WELL, f"all is well: {shown(lookout.objections())}", poll=0.5)


class Report:
    """What was measured so far, written after each run."""

    def __init__(self, path: Path) -> None:
        """What stands there already is gone on with, if it is of this code."""
        self._path = path
        fresh: dict[str, Any] = {
            "commit": commit(), "environment": circumstances(), "versions": peers.versions(),
            "guards": {guard.name: guard.says for guard in GUARDS}, "breaks": {one.name: one.says for one in BREAKS},
            "runs": [],
        }  # fmt: skip
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        same = all(kept.get(key) == fresh[key] for key in ("commit", "versions", "guards", "breaks"))
        self.content = kept if same else fresh

    def done(self, guard: str, break_: str) -> int:
        """How many runs there are."""
        return sum((one["guard"], one["break"]) == (guard, break_) for one in self.content["runs"])

    def add(self, one: Mapping[str, Any]) -> None:
        """Keep a run."""
        self.content["runs"].append(one)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self._path)


def rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each break and guard that was seen, in the report's order."""
    found = []
    for break_ in report["breaks"]:
        for guard in report["guards"]:
            runs = [one for one in report["runs"] if (one["guard"], one["break"]) == (guard, break_)]
            if not runs:
                continue
            times = [one["outage_ms"] for one in runs]
            over = sum(one["over"] for one in runs)
            floor = "" if over == len(runs) else "more than "
            found.append({
                "break": break_, "guard": guard, "runs": len(runs), "over": over, "median_ms": median(times),
                "least_ms": min(times), "most_ms": max(times), "floor": floor,
            })  # fmt: skip
    return found


def table(report: Mapping[str, Any]) -> Table:
    """For a terminal."""
    shown_ = Table(title=f"Outage of an application host, ms, EC2 API delayed by {API_DELAY_MS} ms")
    for column in ("broken", "guard", "median", "least", "most", "runs", "ended by itself"):
        shown_.add_column(column, justify="left" if column in ("broken", "guard") else "right")
    for row in rows(report):
        shown_.add_row(
            row["break"], row["guard"], f"{row['floor']}{row['median_ms']:.0f}", f"{row['least_ms']:.0f}",
            f"{row['floor']}{row['most_ms']:.0f}", str(row["runs"]), str(row["over"]),
        )  # fmt: skip
    return shown_


def measure(report: Report, runs: int, only: str, directory: Path) -> None:
    """Let guards and breaks take turns, until each has been seen so often. Raises StepFailed, LabError and NotSeen."""
    names = Names.from_env()
    lab = [sys.executable, "-m", "lab"]
    run("Lab up", [*lab, "up"], os.environ)
    env = lab_environment(names)
    os.environ.update(env)
    run("Deploy", playbook("deploy", **VARIABLES), env)
    for fault in faults.in_force(names):
        if fault.id.startswith(MARK):
            faults.clear(names, fault.id)
    subprocess.run([*lab, "fault", "clear", f"{MARK}delay"], env=env, check=False, capture_output=True)
    delay = ["fault", "add", "api-latency", str(API_DELAY_MS), "--id", f"{MARK}delay"]
    run("EC2 API delayed", [*lab, *delay], env)
    sites = siteboot.deployment_variables(names)["vpnha_sites"]
    lookout = Lookout(names, {prefix: site["name"] for site in sites for prefix in site["prefixes"]})
    guards = [guard(lookout, sites[0]["probe_targets"][0], directory) for guard in GUARDS if only in guard.name]
    for number in range(1, runs + 1):
        for break_ in BREAKS:
            for guard in guards:
                if report.done(guard.name, break_.name) < number:
                    one = one_run(guard, break_, names)
                    report.add(one)
                    end = "" if one["over"] else ", and nobody came"
                    console.print(f"{number} of {runs}: {break_.name}, {guard.name}: {one['outage_ms']:.0f} ms{end}")


def main() -> int:
    """Measure, and show the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="of each guard and break (default: %(default)s)")
    parser.add_argument("--only", default="", help="guards whose name has this in it")
    parser.add_argument("--keep", action="store_true", help="leave the lab up in the end")
    chosen = parser.parse_args()
    if not any(chosen.only in guard.name for guard in GUARDS):
        names = ", ".join(guard.name for guard in GUARDS)
        raise SystemExit(f"No guard's name has {chosen.only!r} in it: they are {names}.")
    signal.signal(signal.SIGTERM, stop_on_signal)
    try:
        peers.fetch()
        report = Report(REPORT)
        with tempfile.TemporaryDirectory(prefix="vpnha-outage-") as directory:
            measure(report, chosen.runs, chosen.only, Path(directory))
        console.print(table(report.content))
        console.print(f"report: {REPORT}")
    except (peers.PeerMissing, StepFailed, LabError, NotSeen) as failure:
        console.print(str(failure), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; what was measured so far stays", style="red")
        return 130
    finally:
        if not chosen.keep:
            take_down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
