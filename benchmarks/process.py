# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of a process: CPU time, memory, and the packets that passed its network's interfaces."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, all its threads, and of those of its children that have ended."""
    return sum(_times(pid))


def children_seconds(pid: int) -> float:
    """CPU time of the children of a process that have ended."""
    return sum(_times(pid)[2:])


def _times(pid: int) -> list[float]:
    """Its own time in user mode and in the kernel, and the same of its children; see proc(5)."""
    fields = (_PROC / str(pid) / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return [int(each) / os.sysconf("SC_CLK_TCK") for each in fields[11:15]]


def exact_seconds(pid: int) -> float:
    """CPU time so far of the threads that a process has now, to the nanosecond, where a clock's tick is 10 ms."""
    seconds = 0
    for thread in (_PROC / str(pid) / "task").iterdir():
        seconds += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    return seconds / 1e9


def memory(pid: int) -> dict[str, float]:
    """Resident memory of a process now and at most, in megabytes of 10^6 bytes."""
    status = (_PROC / str(pid) / "status").read_text(encoding="ascii")
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {name: int(lines[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM")}


@dataclass(frozen=True)
class Packets:
    """What an interface has received and sent."""

    received: int = 0
    sent: int = 0

    def since(self, before: Packets) -> Packets:
        """What came after that."""
        return Packets(self.received - before.received, self.sent - before.sent)


def packets(text: str) -> dict[str, Packets]:
    """By interface, in the text of ``/proc/PID/net/dev``."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _colon, numbers = line.partition(":")
        counts = numbers.split()
        found[name.strip()] = Packets(int(counts[1]), int(counts[9]))
    return found


def packets_of(pid: int, interface: str) -> Packets:
    """Those of an interface in the network that a process is in."""
    return packets((_PROC / str(pid) / "net" / "dev").read_text(encoding="ascii"))[interface]
