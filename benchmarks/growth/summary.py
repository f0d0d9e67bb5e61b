# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in few words: a row for each work and size, and its curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import Figure, drawing, figure

AXES = ("tables", "gateways", "sites")


@dataclass(frozen=True)
class Row:
    """One work at one size."""

    work: str
    size: dict[str, int]  # by axis
    milliseconds: Figure
    cpu_ms: Figure
    calls: dict[str, float]  # of EC2 by action: the median of the runs

    @property
    def all_calls(self) -> float:
        """Of EC2."""
        return sum(self.calls.values())

    @property
    def calls_text(self) -> str:
        """For a table."""
        return ", ".join(f"{number:g} {action}" for action, number in sorted(self.calls.items())) or "none"


def rows(report: Mapping[str, Any]) -> list[Row]:
    """A report's rows, works in their order."""
    found = []
    for work in report["works"]:
        of = [one for one in report["runs"] if one["work"] == work]
        for size in sorted({tuple(one[axis] for axis in AXES) for one in of}):
            at = dict(zip(AXES, size, strict=True))
            here = [one for one in of if at.items() <= one.items()]
            actions = {action for one in here for action in one["calls"]}
            calls = {action: median(one["calls"].get(action, 0) for one in here) for action in actions}
            cpu = figure([one["cpu_ms"] for one in here if one["cpu_ms"] is not None])
            found.append(Row(work, at, figure([1000 * one["seconds"] for one in here]), cpu, calls))
    return found


def along(found: list[Row], work: str, axis: str, base: Mapping[str, int]) -> list[Row]:
    """The rows of a curve: of one work, where only what is on the axis is other than usual."""
    own = [row for row in found if row.work == work]
    return sorted(
        (row for row in own if all(row.size[each] == base[each] for each in AXES if each != axis)),
        key=lambda row: row.size[axis],
    )


def curves(report: Mapping[str, Any], file: Path) -> None:
    """A picture: the medians of each work along each axis, and how often EC2 is called."""
    found, base = rows(report), report["base"]
    with drawing(file, len(AXES), len(report["works"]), height=2.6) as grid:
        for line, work in zip(grid, report["works"], strict=True):
            for axes, axis in zip(line, AXES, strict=True):
                own = along(found, work, axis, base)
                at = [row.size[axis] for row in own]
                axes.plot(at, [row.milliseconds.median for row in own], marker="o", color="#1f6feb")
                for row in own:
                    if row.calls:
                        text = f"{row.all_calls:g} calls"
                        where = (row.size[axis], row.milliseconds.median)
                        axes.annotate(text, where, (0, 6), textcoords="offset points", fontsize=7, ha="center")
                axes.margins(x=0.15)
                axes.set_xscale("log")
                axes.minorticks_off()
                axes.set_xticks(at, [str(each) for each in at], fontsize=8)
                axes.set_ylim(0, 1.25 * max((row.milliseconds.median or 0.0 for row in own), default=1.0))
                axes.set_title(f"{work}, ms", fontsize=10)
                axes.set_xlabel(axis, fontsize=8)
                axes.grid(alpha=0.3)
