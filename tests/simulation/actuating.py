# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's swaps and repairs, on the virtual clock and without its threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import pace, routes
from ansible_collections.vpnha.aws.plugins.module_utils.model import Repair, RepairResult, Swap, SwapResult
from vpnha_monitor import repairing

from .ec2_client import Ec2Client
from .ec2_model import Ec2Model

ROUND_SECONDS = 20.0  # as the daemon's
BRIEF = 0.3  # seconds: the pause before a retry is shorter, whatever is drawn for it


class Inline(Executor):
    """Does everything at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Done when it returns."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Actuator:
    """Each call gives its result, and the virtual seconds that it took."""

    def __init__(self, model: Ec2Model, now: Callable[[], float], power: Callable[[str, str], None]) -> None:
        self._now = now
        self._waited = 0.0
        self._client = Ec2Client(model, lambda: now() + self._waited, power)
        self._bucket = pace.TokenBucket(clock=now, sleep=self._wait)
        self._pool = Inline()

    def swap(self, swap: Swap) -> tuple[SwapResult, float]:
        """One swap, tried and read back as the daemon does."""
        self._waited = 0.0
        [result] = routes.swap_all(
            self._client, [swap], bucket=self._bucket, pool=self._pool, deadline=self._now() + ROUND_SECONDS,
            clock=lambda: self._now() + self._waited, sleep=self._pause,
        )  # fmt: skip
        return result, self._waited

    def repair(self, one: Repair, still: Callable[[], str]) -> tuple[RepairResult, float]:
        """One repair: its tag, and its call."""
        self._waited = 0.0
        return repairing.carry_out(self._client, one, self._bucket, still, clock=self._now), self._waited

    def _wait(self, seconds: float) -> None:
        self._waited += seconds

    def _pause(self, seconds: float) -> None:
        # what is drawn for a retry must not make two plays of a schedule differ
        self._waited += seconds if seconds > BRIEF else 0.1
