# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked up in turns, and is told only while it is of late."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Generic, TypeVar

TURNS = 3  # a turn may be late, or fail once

T = TypeVar("T")


class LookedUp(Generic[T]):
    """What the last lookup found; nothing once that is TURNS turns ago: one that hangs must not pass for good news."""

    def __init__(self, turn: float) -> None:
        self._seconds = TURNS * turn
        self._found: Mapping[str, T] = {}
        self._at = 0.0

    def take(self, found: Mapping[str, T]) -> None:
        """What was found just now, by the loop's clock."""
        self._found, self._at = found, asyncio.get_running_loop().time()

    def known(self, now: float) -> Mapping[str, T]:
        """What still counts."""
        return self._found if now - self._at <= self._seconds else {}
