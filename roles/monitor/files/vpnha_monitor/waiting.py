# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swaps that wait for EC2's limit: which of them is next, which are no longer wanted, and how far they are."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ansible_collections.vpnha.aws.plugins.module_utils.model import RouteKey, Swap

OVERTAKEN = "The gateway that its route leads to has failed meanwhile, which is an emergency."


@dataclass(frozen=True)
class Waiting:
    """One swap in the queue."""

    swap: Swap
    since: float
    deadline: float | None  # it is not to be begun later


@dataclass(frozen=True)
class Progress:
    """How far the swaps are that have been ordered since nothing was under way."""

    ordered: int = 0
    waiting: int = 0
    ended: int = 0
    began: float = 0.0
    seconds_left: float = 0.0  # until the last may begin, at the pace of the moment
    pace: float = 0.0  # calls a second
    slowed: bool = False  # EC2 has refused calls lately
    refusals: int = 0  # calls that EC2 has refused for its limit, since the start

    @property
    def under_way(self) -> int:
        """Those that have no end yet, the waiting ones among them."""
        return self.ordered - self.ended

    @property
    def sentence(self) -> str:
        """The same for people, while some wait."""
        slowed = ", slowed down because EC2 has refused some" if self.slowed else ""
        return (
            f"{self.ended} of {self.ordered} swaps have ended and {self.waiting} wait for EC2's limit "
            f"({self.pace:.1f} a second{slowed}): the last begins in about {self.seconds_left:.0f} s."
        )


class Queue:
    """Emergencies first, then by priority, then as they came. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[tuple[bool, int, int], Waiting]] = []
        self._number = 0
        self._ordered = self._ended = 0
        self._began = 0.0

    def put(self, swaps: Sequence[Swap], now: float, deadline: float | None) -> None:
        """Swaps to wait for their turn."""
        with self._lock:
            if self._ended == self._ordered:
                self._ordered = self._ended = 0
                self._began = now
            self._ordered += len(swaps)
            for swap in swaps:
                self._number += 1
                rank = (swap.voluntary, swap.priority, self._number)
                heapq.heappush(self._heap, (rank, Waiting(swap, now, deadline)))

    def next(self) -> Waiting | None:
        """The one whose turn it is, without taking it."""
        with self._lock:
            return self._heap[0][1] if self._heap else None

    def alike(self, most: int) -> int:
        """How many have their turn before the first one that is less urgent by its kind, ``most`` at most."""
        with self._lock:
            first = sum(not rank[0] for rank, _waiting in self._heap)
            return min(most, first or len(self._heap))

    def take(self, count: int) -> list[Waiting]:
        """The next ones, in the order of their turn; all of one kind, emergencies or not."""
        with self._lock:
            taken: list[Waiting] = []
            while self._heap and len(taken) < count:
                if taken and self._heap[0][0][0] is not taken[0].swap.voluntary:
                    break
                taken.append(heapq.heappop(self._heap)[1])
            return taken

    def take_late(self, now: float) -> list[Waiting]:
        """Those whose deadline is over."""
        return self._take_out(lambda one: one.deadline is not None and one.deadline < now)

    def take_voluntary(self, keys: Collection[RouteKey]) -> list[Waiting]:
        """The voluntary swaps of these routes."""
        return self._take_out(lambda one: one.swap.voluntary and one.swap.key in keys)

    def _take_out(self, which: Callable[[Waiting], bool]) -> list[Waiting]:
        with self._lock:
            taken = [one for _rank, one in self._heap if which(one)]
            if taken:
                self._heap = [entry for entry in self._heap if not which(entry[1])]
                heapq.heapify(self._heap)
            return taken

    def ended(self, count: int) -> None:
        """So many have an end, whichever."""
        with self._lock:
            self._ended += count

    def counts(self) -> tuple[int, int, int, float]:
        """Ordered, waiting, ended, and since when."""
        with self._lock:
            return self._ordered, len(self._heap), self._ended, self._began
