# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in few words: a row for each deploy, and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, drawing, figure

DEPLOYS = {"first": "The first deploy", "second": "A second one, which changes nothing"}


@dataclass(frozen=True)
class Row:
    """One deploy; times in seconds."""

    title: str
    seconds: Figure
    aws: Figure  # in tasks that ask AWS
    other: Figure  # in all others, and before the first task
    share: Figure  # of the time that is asking AWS, 0..1
    tasks: Figure  # that ask AWS
    modules: Figure  # that ran for them
    calls: Figure  # of EC2, by the controller
    calls_text: str  # the last run's, by action
    longest: tuple[dict[str, Any], ...]  # tasks of the last run


def rows(report: Mapping[str, Any]) -> list[Row]:
    """A report's rows."""
    found = []
    for name, title in DEPLOYS.items():
        of = [run[name] for run in report["runs"]]
        if not of:
            continue
        last = of[-1]
        found.append(
            Row(
                title,
                figure([one["seconds"] for one in of]),
                figure([one["aws_seconds"] for one in of]),
                figure([one["other_seconds"] + one["start_seconds"] for one in of]),
                figure([one["aws_seconds"] / one["seconds"] for one in of]),
                figure([one["aws_tasks"] for one in of]),
                figure([one["aws_modules"] for one in of]),
                figure([sum(one["calls"].values()) for one in of]),
                ", ".join(f"{count} {action}" for action, count in last["calls"].items()),
                tuple(last["longest"]),
            )
        )
    return found


def bars(report: Mapping[str, Any], file: Path) -> None:
    """A picture: where the time goes, by medians."""
    found = rows(report)
    parts = (
        ("asking AWS", [row.aws.median or 0 for row in found]),
        ("the rest", [row.other.median or 0 for row in found]),
    )
    with drawing(file, 2, height=2.2) as axes:
        at, left = range(len(found)), [0.0] * len(found)
        for name, values in parts:
            axes[0].barh(at, values, left=left, label=name)
            left = [before + value for before, value in zip(left, values, strict=True)]
        axes[0].set_xlabel("seconds")
        axes[0].legend(fontsize=7)
        axes[1].barh(at, [row.calls.median or 0 for row in found])
        axes[1].set_xlabel("calls of EC2")
        for each in axes:
            each.set_yticks(at, list(DEPLOYS)[: len(found)])
            each.invert_yaxis()
            each.grid(alpha=0.3, axis="x")
