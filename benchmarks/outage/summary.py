# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in few words: a row for each way, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import Figure, first


@dataclass(frozen=True)
class Spread:
    """One way in one scenario. The milliseconds are of the runs that recovered by themselves; None where none did."""

    runs: int
    recovered: int
    median: float | None
    least: float | None
    most: float | None
    within: float  # seconds for which the others were waited for

    @property
    def text(self) -> str:
        """For a table."""
        if not self.runs:
            return "-"
        times = Figure(self.median, self.least, self.most, self.recovered).text(0) if self.recovered else ""
        if self.recovered == self.runs:
            return times
        never = f"did not recover within {self.within:.0f} s ({self.runs - self.recovered})"
        return f"{times}; {never}" if times else never


@dataclass(frozen=True)
class Row:
    """One way."""

    way: str
    says: str
    scenarios: dict[str, Spread]
    first: tuple[str, ...]  # the scenarios in which it was the first to carry packets again, or as good as that


def spread(runs: Sequence[Mapping[str, Any]]) -> Spread:
    """Of some runs."""
    times = [one["outage_ms"] for one in runs if one["recovered"]]
    return Spread(
        runs=len(runs),
        recovered=len(times),
        median=median(times) if times else None,
        least=min(times, default=None),
        most=max(times, default=None),
        within=max((one["patience_s"] for one in runs), default=0.0),
    )


def rows(report: Mapping[str, Any]) -> list[Row]:
    """A report's ways, in its order. First in a scenario is only who recovered by itself in each run of it."""
    each = {
        way: {
            name: spread([one for one in report["runs"] if (one["way"], one["scenario"]) == (way, name)])
            for name in report["scenarios"]
        }
        for way in report["ways"]
    }
    winners = {
        name: first({way: of[name] for way, of in each.items() if of[name].recovered == of[name].runs})
        for name in report["scenarios"]
    }
    return [
        Row(way, says, each[way], tuple(name for name, names in winners.items() if way in names))
        for way, says in report["ways"].items()
    ]


def aborted(report: Mapping[str, Any]) -> list[str]:
    """The runs that the lab has spoilt, for people: a sentence for each way and scenario, with the last reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in report.get("aborted", ()):
        found.setdefault((one["way"], one["scenario"]), []).append(one["reason"])
    return [
        f"{way}, {scenario}: {len(reasons)} aborted, and in no figure; the last one's reason: {reasons[-1]}"
        for (way, scenario), reasons in found.items()
    ]


def dots(report: Mapping[str, Any], file: Path) -> None:
    """A picture: every run as a dot, milliseconds on a logarithmic scale; an arrow where it did not recover."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "vpnha"
    from matplotlib import pyplot

    names = [(scenario, way) for scenario in report["scenarios"] for way in report["ways"]]
    plot, axes = pyplot.subplots(figsize=(9, 0.9 + 0.34 * len(names)))
    for height, (scenario, way) in enumerate(reversed(names)):
        of = [one for one in report["runs"] if (one["way"], one["scenario"]) == (way, scenario)]
        for shape, recovered in (("o", True), (">", False)):
            times = [max(one["outage_ms"], 1.0) for one in of if one["recovered"] == recovered]
            color = "#1f6feb" if recovered else "#c2410c"
            axes.plot(times, [height] * len(times), shape, color=color, alpha=0.5, markersize=6)
    axes.set_yticks(range(len(names)), [f"{scenario}: {way}" for scenario, way in reversed(names)])
    axes.set_xscale("log")
    axes.set_xlabel("outage of an application host, ms (orange arrows: it lasted until it was repaired)")
    axes.grid(axis="x", alpha=0.3)
    plot.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(plot)
