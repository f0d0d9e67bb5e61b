# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in few words: a row for each size, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.pace import CHANGES
from benchmarks.figures import Figure, first


@dataclass(frozen=True)
class Spread:
    """The swaps of one way at one size: seconds until the last route was accepted; none if one was given up."""

    median: float | None
    least: float | None
    most: float | None
    runs: int
    failed: int
    given_up: float | None  # seconds after which one was

    @property
    def text(self) -> str:
        """For a table."""
        if self.given_up is not None:
            return f"not within {self.given_up:.0f}"
        said = Figure(self.median, self.least, self.most, self.runs).text()
        return said + (f", {self.failed} failed" if self.failed else "")


@dataclass(frozen=True)
class Size:
    """One size, the least that EC2 itself makes of it, and what each way took."""

    tables: int
    destinations: int
    throttle: bool
    bound: float  # seconds
    ways: dict[str, Spread]
    first: tuple[str, ...]  # the way that was done first, of those that never failed, and those as good as that


def spread(swaps: Sequence[Mapping[str, Any]]) -> Spread:
    """Of some swaps."""
    counted = [one for one in swaps if not one["error"]]
    failed, given_up = len(swaps) - len(counted), [one for one in counted if one.get("given_up")]
    done = [one["seconds"] for one in counted if not one.get("given_up")]
    limit = max((one.get("limit", one["ended"]) for one in given_up), default=0.0)
    if limit > max(done, default=0.0):  # else whoever was given up has not had as much time as another one took
        return Spread(None, None, None, len(counted), failed, limit)
    middle = median(done) if done else None
    return Spread(middle, min(done, default=None), max(done, default=None), len(done), failed, None)


def bound(calls: int, delay: float, throttle: bool) -> float:
    """The least that so many calls take, all side by side as far as EC2's bucket lets them."""
    return (max(0.0, (calls - CHANGES.size) / CHANGES.refill) if throttle else 0.0) + delay


def cells(report: Mapping[str, Any]) -> list[Size]:
    """A report's sizes in order, without EC2's buckets first."""
    sizes = {(one["throttle"], one["tables"], one["destinations"]) for one in report["swaps"]}
    found = []
    for throttle, tables, destinations in sorted(sizes):
        at = {"tables": tables, "destinations": destinations, "throttle": throttle}.items()
        here = [one for one in report["swaps"] if at <= one.items()]
        ways = {way: spread([one for one in here if one["way"] == way]) for way in report["ways"]}
        least = bound(tables * destinations, report["api_delay_ms"] / 1000, throttle)
        winner = first({way: one for way, one in ways.items() if not one.failed})
        found.append(Size(tables, destinations, throttle, least, ways, winner))
    return found


def bars(report: Mapping[str, Any], file: Path) -> None:
    """A picture: the median of each way at each size, seconds on a logarithmic scale, and the bound as a line."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "vpnha"
    from matplotlib import pyplot

    sizes = list(reversed(cells(report)))
    names = list(report["ways"])
    colors = ("#0b2f6b", "#1f6feb", "#9aa7b4", "#c2a37b", "#c2410c")
    plot, axes = pyplot.subplots(figsize=(9, 1.2 + 0.85 * len(sizes)))
    height = 0.8 / len(names)
    labelled: set[str] = set()
    for row, size in enumerate(sizes):
        for number, (name, color) in enumerate(zip(names, colors, strict=True)):
            at = row + 0.4 - height * (number + 0.5)
            middle = size.ways[name].median
            if middle is not None:
                axes.barh(at, middle, height * 0.9, color=color, label=None if name in labelled else name)
                labelled.add(name)
        axes.plot([size.bound] * 2, [row - 0.42, row + 0.42], color="black", linestyle=":")
    axes.set_xscale("log")
    axes.set_yticks(
        range(len(sizes)),
        [f"{one.tables} x {one.destinations}{', buckets' if one.throttle else ''}" for one in sizes],
    )
    axes.set_xlabel("seconds until the last route is swapped (dotted: what EC2 itself takes)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.07 - 0.35 / len(sizes)), ncols=2, fontsize=8)
    plot.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(plot)
