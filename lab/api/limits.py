# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be changed about the endpoint while it runs, over ``PATCH /_lab/settings``; and EC2's token buckets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Settings:
    """What is off as long as nobody switches it on, and how often what is on happens."""

    route_propagation: tuple[float, float] = (0.0, 0.0)  # seconds, minimum and maximum, drawn for each change
    throttle: bool = False  # EC2's token buckets
    stale_reads: float = 0.0  # seconds after a change of routes in which reads may show the routes before it
    impaired: dict[str, str] = field(default_factory=dict)  # instance id -> "system" or "instance": its status check
    blackholes: list[str] = field(default_factory=list)  # ENIs: routes to them read blackhole, and are
    retiring: dict[str, float] = field(default_factory=dict)  # instance id -> when EC2 retires it, since the epoch
    metrics_period: float = 10.0  # seconds between two data of managed VPN in CloudWatch
    metrics_delay: float = 0.0  # seconds after which they can be read, as AWS's are late
    credential_seconds: int = 21600  # life of the credentials that the metadata service hands out

    def update(self, changes: Mapping[str, Any]) -> None:
        """Take over the given settings. Raises ValueError with one sentence, and then has changed nothing."""
        new = {key: _CHECKS[key](key, value) if key in _CHECKS else _unknown(key) for key, value in changes.items()}
        for key, value in new.items():
            setattr(self, key, value)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON."""
        return asdict(self)


def _unknown(key: str) -> Any:
    raise ValueError(f"The lab has no setting {key!r}: it has {', '.join(sorted(_CHECKS))}.")


def _seconds(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3600:
        raise ValueError(f"{key} is {value!r}: give seconds from 0 to 3600.")
    return float(value)


def _period(key: str, value: Any) -> float:
    if _seconds(key, value) < 0.2:
        raise ValueError(f"{key} is {value!r}: give seconds from 0.2 to 3600.")
    return float(value)


def _life(key: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 43200:
        raise ValueError(f"{key} is {value!r}: give whole seconds from 1 to 43200.")
    return int(value)


def _range(key: str, value: Any) -> tuple[float, float]:
    low, high = value if isinstance(value, list | tuple) and len(value) == 2 else (value, value)
    pair = (_seconds(key, low), _seconds(key, high))
    if pair[0] > pair[1]:
        raise ValueError(f"{key} is {value!r}: give the minimum first.")
    return pair


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}: give true or false.")
    return value


def _checks(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not set(value.values()) <= {"system", "instance"}:
        raise ValueError(f"{key} is {value!r}: give a mapping of instance ids to 'system' or 'instance'.")
    return dict(value)


def _interfaces(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} is {value!r}: give a list of ids of network interfaces.")
    return list(value)


def _dates(key: str, value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not all(type(each) in (int, float) for each in value.values()):
        raise ValueError(f"{key} is {value!r}: give a mapping of instance ids to seconds since the epoch.")
    return {instance: float(each) for instance, each in value.items()}


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "route_propagation": _range,
    "throttle": _switch,
    "stale_reads": _seconds,
    "impaired": _checks,
    "blackholes": _interfaces,
    "retiring": _dates,
    "metrics_period": _period,
    "metrics_delay": _seconds,
    "credential_seconds": _life,
}


def bucket(action: str, filtered: bool) -> tuple[float, float]:
    """Size and refill per second of an action's token bucket, as EC2 documents them."""
    if action in ("StartInstances", "RunInstances"):
        return 5.0, 2.0
    if action == "TerminateInstances":
        return 100.0, 5.0
    if action == "DescribeInstances" and not filtered:
        return 50.0, 10.0
    return (100.0, 20.0) if action.startswith(("Describe", "Get")) else (50.0, 5.0)


class Buckets:
    """One token bucket per action, as EC2 has them per account and region."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._level: dict[tuple[str, bool], tuple[float, float]] = {}  # -> tokens, when

    def take(self, action: str, filtered: bool) -> bool:
        """Take a token for a call; False when the bucket is empty."""
        size, refill = bucket(action, filtered)
        key = (action, filtered and action == "DescribeInstances")
        with self._lock:
            now = self._clock()
            tokens, then = self._level.get(key, (size, now))
            tokens = min(size, tokens + (now - then) * refill)
            self._level[key] = (tokens - 1 if tokens >= 1 else tokens, now)
            return tokens >= 1
