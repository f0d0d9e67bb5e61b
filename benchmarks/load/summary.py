# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, in few words: a row for each daemon and number of gateways, and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, drawing, figure

DAEMONS = ("monitor", "agent")
ENOUGH = 0.95  # of the heartbeats must be answered, else the daemon had less to do than it should
HALF_A_CORE, MEGABYTES = 0.5, 200.0  # what is promised of the monitor


@dataclass(frozen=True)
class Row:
    """One daemon at one number of gateways; figures are of the windows that count."""

    daemon: str
    gateways: int
    share: Figure  # of a core
    children: Figure  # of it, programs that the daemon has started
    resident_mb: Figure
    most_resident_mb: float | None
    sent: Figure  # packets a second
    received: Figure
    busy: int  # windows that do not count, because the machine was too busy

    @property
    def too_much(self) -> bool:
        """Whether it is more than was promised."""
        if self.daemon != "monitor":
            return False
        return (self.share.median or 0.0) > HALF_A_CORE or (self.most_resident_mb or 0.0) > MEGABYTES


def counts(window: Mapping[str, Any]) -> bool:
    """Whether enough heartbeats were answered in it."""
    return bool(window["heartbeats_per_second"] >= ENOUGH * window["heartbeats_per_second_due"])


def rows(report: Mapping[str, Any]) -> list[Row]:
    """A report's rows, the monitor's first, the fewest gateways first."""
    found = []
    for daemon in DAEMONS:
        for gateways in sorted({one["gateways"] for one in report["windows"] if one["daemon"] == daemon}):
            every = [one for one in report["windows"] if (one["daemon"], one["gateways"]) == (daemon, gateways)]
            of = [one for one in every if counts(one)]
            keys = ("share_of_a_core", "share_of_children", "resident_mb")
            share, children, resident = (figure([one[key] for one in of]) for key in keys)
            sent, received = (figure([one[key] for one in of]) for key in ("sent_per_second", "received_per_second"))
            most = max((one["most_resident_mb"] for one in of), default=None)
            busy = len(every) - len(of)
            found.append(Row(daemon, gateways, share, children, resident, most, sent, received, busy))
    return found


def curves(report: Mapping[str, Any], file: Path) -> None:
    """A picture: the medians of each daemon by the number of gateways."""
    found = rows(report)
    with drawing(file, 3) as axes:
        for daemon in DAEMONS:
            own = [row for row in found if row.daemon == daemon and row.share.runs]
            at = [row.gateways for row in own]
            packets = [(row.sent.median or 0.0) + (row.received.median or 0.0) for row in own]
            drawn = ([row.share.median for row in own], [row.resident_mb.median for row in own], packets)
            for each, values in zip(axes, drawn, strict=True):
                each.plot(at, values, marker="o", label=daemon)
        for each, title in zip(axes, ("share of a core", "MB resident", "packets a second, both ways"), strict=True):
            each.set_xlabel("gateways")
            each.set_title(title, fontsize=10)
            each.margins(y=0.1)
            each.set_ylim(bottom=0)
            each.grid(alpha=0.3)
        axes[0].legend(fontsize=8)
