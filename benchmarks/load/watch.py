# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a daemon's process costs, from one moment to another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.process import Packets, children_seconds, cpu_seconds, memory, packets_of


@dataclass
class Watch:
    """Begins when it is made."""

    pid: int
    interfaces: Sequence[str]
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._cpu, self._children = cpu_seconds(self.pid), children_seconds(self.pid)
        self._packets = self._counts()

    def end(self) -> tuple[dict[str, Any], dict[str, Packets], float]:
        """Shares of a core and memory since then, the packets of each interface, and the seconds."""
        lasted = time.monotonic() - self._began
        cpu, children = cpu_seconds(self.pid) - self._cpu, children_seconds(self.pid) - self._children
        used = memory(self.pid)
        now = self._counts()
        said = {
            "share_of_a_core": round(cpu / lasted, 4),
            "share_of_children": round(children / lasted, 4),
            "resident_mb": round(used["VmRSS"], 1),
            "most_resident_mb": round(used["VmHWM"], 1),
        }
        return said, {name: now[name].since(self._packets[name]) for name in self.interfaces}, lasted

    def _counts(self) -> dict[str, Packets]:
        return {name: packets_of(self.pid, name) for name in self.interfaces}
