# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a person's swaps are, for whoever waits for them.

The threads that swap only note what they did. It is shown by another thread, so that a terminal which stands still
holds no swap up.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from .pace import TokenBucket


class Progress:
    """Filled while it is swapped; may be read at any time and from any thread."""

    def __init__(self) -> None:
        self.swaps = 0  # of them all
        self._begun: set[frozenset[Any]] = set()
        self._moved: set[frozenset[Any]] = set()
        self._bucket: TokenBucket | None = None

    def watch(self, client: Any, swaps: int, bucket: TokenBucket) -> Any:
        """A client that notes the swaps made with it, so many in all, whose tokens come from the bucket."""
        self.swaps, self._bucket = swaps, bucket
        return _Watched(client, self._begun, self._moved)

    @property
    def moved(self) -> int:
        """Routes that EC2 has said yes to."""
        return len(self._moved)

    @property
    def seconds_left(self) -> float:
        """About how long until the last swap begins, at the pace of the moment."""
        if self._bucket is None:
            return 0.0
        # below zero, tokens belong to swaps that wait: those have not begun and are counted as such
        return max(0.0, self.swaps - len(self._begun) - max(0.0, self._bucket.level)) / self._bucket.pace

    @property
    def sentence(self) -> str:
        """The same for people; empty before anything is swapped."""
        if not self.swaps:
            return ""
        left = self.seconds_left
        when = f"; the last swap begins in about {left:.0f} s" if left else ""
        return f"{self.moved} of {self.swaps} routes moved{when}."


def telling(how: Progress, seconds: float, tell: Callable[[str], Any]) -> contextlib.AbstractContextManager[None]:
    """Tells it every so many seconds; a terminal that stands still holds no swap up."""

    def once() -> None:
        if sentence := how.sentence:
            tell(sentence)

    return repeating(seconds, once)


@contextlib.contextmanager
def repeating(seconds: float, act: Callable[[], Any]) -> Iterator[None]:
    """Acts every so many seconds from a thread of its own, until it cannot."""
    over = threading.Event()

    def keep() -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            while not over.wait(seconds):
                act()

    thread = threading.Thread(target=keep, daemon=True, name="vpnha-progress")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)  # what comes of the swaps is said after its last word


class _Watched:
    """Notes each route at its first call, and once EC2 has said yes; otherwise the client that it is made of."""

    def __init__(self, client: Any, begun: set[frozenset[Any]], moved: set[frozenset[Any]]) -> None:
        self._client, self._begun, self._moved = client, begun, moved

    def replace_route(self, **arguments: Any) -> Any:
        route = frozenset(arguments.items())
        self._begun.add(route)
        answer = self._client.replace_route(**arguments)
        self._moved.add(route)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
