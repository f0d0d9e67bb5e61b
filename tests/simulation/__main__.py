# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.simulation --schedules N --seed S``: many schedules, a report, and how to replay what fails."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from .pool import workers
from .progress import Progress, resume
from .schedule import Outcome, run

REPORTS = Path("artifacts/sim")
PROMISES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19)  # of the design that the decision keeps
OTHERS = {
    "two-monitors": "two monitors that agree by a lease store",
    "many-zones": "deployments of up to five zones and six gateways",
}
TELL_SECONDS = 20.0  # between two lines of progress
CHUNK = 5  # schedules that a process is handed at once
SHOWN = 5  # failing seeds that are printed in full


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print what happens in each schedule")
    other = parser.add_mutually_exclusive_group()
    for flag, what in OTHERS.items():
        other.add_argument(f"--{flag}", action="store_const", const=flag, dest="other", help=what)
    parser.add_argument("--report", type=Path, help=f"where to write (default: below {REPORTS})")
    chosen = parser.parse_args(arguments)
    chosen.report = chosen.report or REPORTS / f"{chosen.other or 'report'}.json"
    kept = chosen.report.with_suffix(".progress")
    play = player(chosen.other)
    so_far = resume(kept, chosen.seed, chosen.schedules)
    if so_far.done == chosen.schedules:
        print(f"this very code has played them before; without {kept} it plays them again")
    elif so_far.done:
        print(f"going on after {so_far.done} schedules ({kept})")
    try:
        _play(so_far, chosen, kept, play)
    except KeyboardInterrupt:
        print(f"stopped after {so_far.done} of {chosen.schedules} schedules; the same command goes on from there")
        return 130
    finally:
        so_far.save(kept)
    promises = {number: times for number, times in met(so_far.coverage).items() if times or not chosen.other}
    report = {
        "schedules": chosen.schedules,
        "seed": chosen.seed,
        "violations": len(so_far.failing_seeds),
        "failing_seeds": so_far.failing_seeds,
        "seconds": round(so_far.seconds, 1),
        "processes": chosen.jobs,
        "virtual_hours": round(so_far.virtual_seconds / 3600, 1),
        "steps": so_far.steps,
        "swaps": so_far.swaps,
        "promises": promises,
        "coverage": dict(sorted(so_far.coverage.items())),
        "commit": _commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    print("how often each promise was put to the test:", *(f"{number}: {times}" for number, times in promises.items()))
    chosen.report.parent.mkdir(parents=True, exist_ok=True)
    chosen.report.write_text(json.dumps(report, indent=2) + "\n")
    print(
        f"{chosen.schedules} schedules{_of(chosen.other)}, {len(so_far.failing_seeds)} violations, "
        f"{so_far.swaps} swaps, {so_far.steps} steps in {so_far.seconds:.1f} s; report: {chosen.report}"
    )
    return 1 if so_far.failing_seeds else 0


def player(other: str | None) -> Callable[[int], Outcome]:
    """What plays a schedule. Only that is imported, so that a change of another one's code does not count."""
    if other == "two-monitors":
        from . import several

        return several.run
    if other == "many-zones":
        from . import many_zones

        return many_zones.play
    return run


def _of(other: str | None) -> str:
    return f" of {other.replace('-', ' ')}" if other else ""


def _play(so_far: Progress, chosen: argparse.Namespace, kept: Path, play: Callable[[int], Outcome]) -> None:
    """Play what is left, tell how far it is, and keep that from time to time."""
    before, done_before = so_far.seconds, so_far.done
    began = told = time.monotonic()
    seeds = range(chosen.seed + so_far.done, chosen.seed + chosen.schedules)
    for outcome in outcomes(seeds, chosen.jobs, play):
        so_far.add(outcome)
        if chosen.verbose:
            print(*outcome.trace, sep="\n")
        if outcome.violation:
            print(f"seed {outcome.seed}: {outcome.violation}")
            if len(so_far.failing_seeds) <= SHOWN:
                print(*(f"    {fault}" for fault in outcome.faults), sep="\n")
            flag = f" --{chosen.other}" if chosen.other else ""
            print(f"    replay: python -m tests.simulation{flag} --schedules 1 --seed {outcome.seed} --verbose")
        now = time.monotonic()
        so_far.seconds = before + now - began
        if now - told > TELL_SECONDS:
            told = now
            rate = (so_far.done - done_before) / (now - began)
            left = (chosen.schedules - so_far.done) / rate / 60
            print(
                f"{so_far.done} of {chosen.schedules} schedules{_of(chosen.other)}, "
                f"{len(so_far.failing_seeds)} violations, {rate:.1f} a second, {left:.0f} min to go",
                flush=True,
            )
            so_far.save(kept)


def met(coverage: Counter[str]) -> dict[str, int]:
    """How often the condition of each promise was really met."""
    return {str(number): coverage[f"promise {number}"] for number in PROMISES}


def outcomes(seeds: range, jobs: int, play: Callable[[int], Outcome] = run) -> Iterator[Outcome]:
    """The schedules' outcomes, in the seeds' order."""
    if jobs <= 1 or len(seeds) < 2 * jobs:
        yield from map(play, seeds)
        return
    with workers(jobs) as pool:
        # a few chunks at a time: all the results of a hundred thousand schedules need not wait in memory
        most = CHUNK * jobs * 32
        for start in range(0, len(seeds), most):
            some = seeds[start : start + most]
            yield from pool.map(play, some, chunksize=max(1, min(CHUNK, len(some) // (4 * jobs))))


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
