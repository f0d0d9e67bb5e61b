# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked of EC2 and what came of it: the endpoint's own record, whatever its callers say of themselves.

Calls that a proxy refuses or that are not signed properly do not get so far.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

KEPT = 50_000
_CODE = re.compile(r"<Code>([^<]*)</Code>")


@dataclass(frozen=True)
class Call:
    """One call of an EC2 action."""

    wall: float  # when it was answered, seconds since the epoch
    action: str
    caller: str  # "lab" for the controller, else the id of the instance whose role it has
    error: str  # EC2's code; empty: done
    resources: tuple[str, ...]  # ids of what the call names, the route table first
    destination: str = ""  # of a route
    before: str | None = None  # ENI or virtual private gateway that the route led to
    after: str | None = None  # that it was to lead to


class Calls:
    """The newest calls, in the order of their answers. For several threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: deque[Call] = deque(maxlen=KEPT)

    def add(self, action: str, arn: str, answer: tuple[int, Any, Any], **more: Any) -> None:
        """Keep a call of the caller with that ARN, and what it was answered (status, headers, body)."""
        call = Call(self._clock(), action, arn.rpartition("/")[2], error_code(answer), **more)
        with self._lock:
            self._kept.append(call)

    def since(self, wall: float) -> list[dict[str, Any]]:
        """Those answered from then on, as JSON."""
        with self._lock:
            return [asdict(call) for call in self._kept if call.wall >= wall]


def error_code(answer: tuple[int, Any, Any]) -> str:
    """EC2's error code in an answer; empty if it is none."""
    status, _headers, body = answer
    if status < 300:
        return ""
    found = _CODE.search(body if isinstance(body, str) else str(body))
    return found[1] if found else str(status)
