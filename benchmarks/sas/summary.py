# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in few words: a row for each way and number of SAs, and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, drawing, figure, first


@dataclass(frozen=True)
class Row:
    """One way at one number of tunnels, for one question each."""

    way: str
    tunnels: int
    milliseconds: Figure
    cpu_ms: Figure  # of who asks
    charon_ms: Figure  # CPU time of charon
    failed: int
    first: bool  # the least time of all ways that never failed at this number of tunnels, or as good as that


def rows(report: Mapping[str, Any]) -> list[Row]:
    """A report's rows, the fewest tunnels first, ways in their order."""
    ways, found = list(report["ways"]), []
    for tunnels in sorted({one["tunnels"] for one in report["runs"]}):
        here = {way: [one for one in report["runs"] if (one["way"], one["tunnels"]) == (way, tunnels)] for way in ways}
        times = {way: figure([one["milliseconds"] for one in of if not one["error"]]) for way, of in here.items()}
        winners = first({way: time for way, time in times.items() if time.runs == len(here[way])})
        for way, of in here.items():
            done = [one for one in of if not one["error"]]
            cpu, charon = (figure([one[key] for one in done]) for key in ("cpu_ms", "charon_ms"))
            found.append(Row(way, tunnels, times[way], cpu, charon, len(of) - len(done), way in winners))
    return found


def curves(report: Mapping[str, Any], file: Path) -> None:
    """A picture: the medians of time and of CPU time of a question, by the number of tunnels."""
    found = rows(report)
    with drawing(file, 2) as axes:
        for way in report["ways"]:
            own = [row for row in found if row.way == way and row.milliseconds.median is not None]
            at = [row.tunnels for row in own]
            axes[0].plot(at, [row.milliseconds.median for row in own], marker="o", label=way)
            axes[1].plot(at, [(row.cpu_ms.median or 0) + (row.charon_ms.median or 0) for row in own], marker="o")
        for each, title in zip(axes, ("time of a question, ms", "CPU time of it, charon's too, ms"), strict=True):
            each.set_xscale("log")
            each.set_yscale("log")
            each.set_xlabel("tunnels")
            each.set_title(title, fontsize=10)
            each.grid(alpha=0.3)
        axes[0].figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, fontsize=8)  # no line is behind it
