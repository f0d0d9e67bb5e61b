# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How late the monitor is: what a sick observer saw is no evidence."""

from __future__ import annotations

import time


def monotonic() -> float:
    """The clock that decides: seconds, the one asyncio's loop uses as well."""
    return time.monotonic()


def boottime() -> float:
    """The same, but it goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lateness:
    """The worst delay since it was last taken, by two clocks.

    A loop that wakes late shows on the monotonic clock. A machine that was suspended may not: there its boot-time
    clock has moved on against the monotonic one.
    """

    def __init__(self, mono: float, boot: float) -> None:
        self._offset = boot - mono
        self._worst = 0.0

    def woke(self, due: float, mono: float, boot: float) -> float:
        """The loop woke for ``due``; returns how late that was, seconds."""
        suspended = boot - mono - self._offset
        self._offset = boot - mono
        late = max(0.0, mono - due, suspended)
        self._worst = max(self._worst, late)
        return late

    def take(self) -> float:
        """The worst delay since the last call."""
        worst, self._worst = self._worst, 0.0
        return worst
