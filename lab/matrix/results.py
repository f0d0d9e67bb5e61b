# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of the matrix: one file for each row and repetition, written as it ends, and the report made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from lab.matrix.faults import FAULTS, NOT_SHOWN
from lab.matrix.model import ROWS
from lab.steps import circumstances, commit

AS_EXPECTED, NOT_AS_EXPECTED, NOT_STARTED = "as expected", "not as expected", "could not start"
NOT_RUN, LEFT_OUT = "not run", "not shown"


def file_of(output: Path, number: int, repetition: int) -> Path:
    """Where a row's repetition is kept."""
    return output / "runs" / f"{number:02d}-{repetition}.json"


def read(output: Path, number: int) -> list[dict[str, Any]]:
    """A row's repetitions, in order."""
    files = sorted((output / "runs").glob(f"{number:02d}-*.json"), key=lambda file: int(file.stem.partition("-")[2]))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def due(output: Path, numbers: Iterable[int], repeat: int) -> list[tuple[int, int]]:
    """Which rows and repetitions are left to do: first every row once.

    What could not start is tried again; what other code has shown is no result of this one.
    """
    left, now = [], commit()
    for repetition in range(1, repeat + 1):
        for number in numbers:
            file = file_of(output, number, repetition)
            seen = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
            if seen is None or seen["verdict"] == NOT_STARTED or seen["commit"] != now:
                left.append((number, repetition))
    return left


def forget(output: Path, numbers: Iterable[int]) -> None:
    """Throw away what is kept of some rows."""
    for number in numbers:
        for file in (output / "runs").glob(f"{number:02d}-*.json"):
            file.unlink()


def report(output: Path) -> dict[str, Any]:
    """Every row of the matrix with what is kept of it."""
    rows = [_row(number, read(output, number)) for number in FAULTS]
    runs = [run for row in rows for run in row["runs"]]
    counts = {word: sum(row["verdict"] == word for row in rows) for word in _WORDS}
    return {
        "rows": rows,
        "counts": counts,
        "started": min((run["started"] for run in runs), default=None),
        "ended": max((run["ended"] for run in runs), default=None),
        "seconds": round(sum(run["ended"] - run["started"] for run in runs)),
        "environment": {**circumstances(), "commits": sorted({run["commit"] for run in runs})},
    }


_WORDS = (AS_EXPECTED, NOT_AS_EXPECTED, NOT_STARTED, NOT_RUN, LEFT_OUT)


def _row(number: int, runs: list[dict[str, Any]]) -> dict[str, Any]:
    words, row = FAULTS[number], ROWS.get(number)
    verdicts = {run["verdict"] for run in runs}
    verdict = next((word for word in (NOT_AS_EXPECTED, NOT_STARTED, AS_EXPECTED) if word in verdicts), NOT_RUN)
    if row is None:
        verdict = LEFT_OUT
    seen = [run for run in runs if run["verdict"] != NOT_STARTED]
    return {
        "number": number,
        "fault": words.fault,
        "expected": words.expected,
        "how": row.how if row is not None else "",
        "verdict": verdict,
        "reason": NOT_SHOWN.get(number, ""),
        "problems": [f"{run['repetition']}: {problem}" for run in runs for problem in run["problems"]],
        "observed": observed(seen),
        "runs": runs,
    }


def observed(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A row's repetitions in a line's worth of figures; empty if there is none."""
    if not runs:
        return {}
    outages = [run["outage_ms"] for run in runs]
    last = runs[-1]
    return {
        "runs": len(runs),
        "passed": sum(run["verdict"] == AS_EXPECTED for run in runs),
        "swaps": sorted({len(run["changes"]) for run in runs}),
        "repairs": [repair["action"] for repair in last["repairs"] if not repair["error"]],
        "outage_median_ms": round(median(outages)),
        "outage_worst_ms": round(max(outages)),
        "lost_healing": max(run["lost_healing"] for run in runs),
        "tries": sorted({run["tries"] for run in runs}),
        "calls": last["calls"],
        "refused": last["refused"],
        "flaps": last["flaps"],
        "plaintext": last["plaintext"],
        "told": list(dict.fromkeys(event["code"] for event in last["events"] if not event["resolved"])),
        "facts": last["facts"],
        "marks": [
            {"ms": round((mark["wall"] - last["injected"]) * 1e3), "text": mark["text"]} for mark in last["marks"]
        ],
        "seconds": round(last["ended"] - last["started"]),
    }


def kept(found: Mapping[str, Any], numbers: Iterable[int]) -> bool:
    """Whether each of these rows was run, and was as expected."""
    wanted = set(numbers)
    return all(row["verdict"] == AS_EXPECTED for row in found["rows"] if row["number"] in wanted)
