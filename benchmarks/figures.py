# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several runs of one thing in few words, and how they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol


@dataclass(frozen=True)
class Figure:
    """A median with its spread; all of it None where nothing was measured."""

    median: float | None
    least: float | None
    most: float | None
    runs: int

    def text(self, digits: int = 2) -> str:
        """For a table."""
        if self.median is None:
            return "-"
        if self.runs == 1:
            return f"{self.median:.{digits}f} (1)"
        return f"{self.median:.{digits}f} ({self.least:.{digits}f} to {self.most:.{digits}f}, {self.runs})"


def figure(values: Sequence[float]) -> Figure:
    """Of some runs."""
    if not values:
        return Figure(None, None, None, 0)
    return Figure(median(values), min(values), max(values), len(values))


class Spread(Protocol):
    """What `Figure` has; all of it None where nothing was measured."""

    @property
    def median(self) -> float | None:
        """Of the runs."""

    @property
    def most(self) -> float | None:
        """Of the runs."""


def first(figures: Mapping[str, Spread]) -> tuple[str, ...]:
    """The name with the least median, and those whose medians its own runs reach: by chance they could be first."""
    known = {name: (one.median, one.most) for name, one in figures.items() if one.median is not None}
    if not known:
        return ()
    _median, reached = min(known.values(), key=lambda one: one[0])
    return tuple(name for name, (middle, _most) in known.items() if reached is None or middle <= reached)


@contextmanager
def drawing(file: Path, columns: int, rows: int = 1, height: float = 3.4) -> Iterator[Any]:
    """Rows of axes, or the axes if there is one row; written as SVG in the end. The same figures make the same file."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "vpnha"
    from matplotlib import pyplot

    plot, axes = pyplot.subplots(rows, columns, figsize=(4.2 * columns, height * rows), squeeze=False)
    try:
        yield axes if rows > 1 else axes[0]
        plot.tight_layout()
        plot.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    finally:
        pyplot.close(plot)
