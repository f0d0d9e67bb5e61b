# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.simulation --schedules N --seed S``: many schedules, a report, and how to replay what fails."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .schedule import Outcome, run

REPORT = Path("artifacts/sim/report.json")
PROMISES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19)  # of the design that the decision keeps
SHOWN = 5  # failing seeds that are printed in full


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print what happens in each schedule")
    parser.add_argument("--report", type=Path, default=REPORT, help="where to write (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    seeds = range(chosen.seed, chosen.seed + chosen.schedules)
    coverage: Counter[str] = Counter()
    failures: list[Outcome] = []
    steps = swaps = 0
    for outcome in outcomes(seeds, chosen.jobs):
        steps, swaps = steps + outcome.steps, swaps + outcome.swaps
        coverage.update(outcome.coverage)
        if chosen.verbose:
            print(*outcome.trace, sep="\n")
        if outcome.violation:
            failures.append(outcome)
            print(f"seed {outcome.seed}: {outcome.violation}")
            if len(failures) <= SHOWN:
                print(*(f"    {fault}" for fault in outcome.faults), sep="\n")
            print(f"    replay: python -m tests.simulation --schedules 1 --seed {outcome.seed} --verbose")
    seconds = time.monotonic() - began
    report = {
        "schedules": chosen.schedules,
        "seed": chosen.seed,
        "violations": len(failures),
        "failing_seeds": [{"seed": one.seed, "violation": one.violation} for one in failures],
        "seconds": round(seconds, 1),
        "steps": steps,
        "swaps": swaps,
        "promises": met(coverage),
        "coverage": dict(sorted(coverage.items())),
        "commit": _commit(),
    }
    print("how often each promise was put to the test:", *(f"{n}: {times}" for n, times in met(coverage).items()))
    chosen.report.parent.mkdir(parents=True, exist_ok=True)
    chosen.report.write_text(json.dumps(report, indent=2) + "\n")
    print(
        f"{chosen.schedules} schedules, {len(failures)} violations, {swaps} swaps, {steps} steps "
        f"in {seconds:.1f} s; report: {chosen.report}"
    )
    return 1 if failures else 0


def met(coverage: Counter[str]) -> dict[str, int]:
    """How often the condition of each promise was really met."""
    return {str(number): coverage[f"promise {number}"] for number in PROMISES}


def outcomes(seeds: range, jobs: int) -> Iterator[Outcome]:
    """The schedules' outcomes, in the seeds' order."""
    if jobs <= 1 or len(seeds) < 2 * jobs:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, seeds, chunksize=max(1, min(50, len(seeds) // (4 * jobs))))


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
