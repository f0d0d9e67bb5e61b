# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries swaps and repairs out, in threads, over connections that are open before they are needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, routes
from ansible_collections.vpnha.aws.plugins.module_utils.model import Repair, RepairResult, Swap, SwapResult

from . import repairing

POOL = 32  # calls side by side
_ROUNDS = 4  # batches of swaps side by side, each with a thread that waits for its calls
_BATCH = 50  # EC2 takes so many calls at once; those of a further batch wait for its token bucket anyway
_ROUND_SECONDS = 20.0  # nothing of a batch is begun later; the engine decides anew on what it then sees
WARM = 8  # connections kept open for swaps


class _Bucket(ec2.TokenBucket):
    """Gives no more tokens once the monitor stops: calls in flight end, and no other begins."""

    def __init__(self, stopped: threading.Event) -> None:
        def sleep(seconds: float) -> None:
            stopped.wait(seconds)

        super().__init__(sleep=sleep)
        self._stopped = stopped

    def acquire(self, deadline: float | None = None) -> bool:
        return not self._stopped.is_set() and super().acquire(deadline) and not self._stopped.is_set()


class Actuator:
    """``client`` makes or returns the one EC2 client; it is asked in threads, and its failure is a swap's failure.

    ``deliver`` gets the results of each batch of swaps, ``repaired`` that of a repair, in the actuator's threads.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        deliver: Callable[[Sequence[SwapResult]], None],
        repaired: Callable[[RepairResult], None],
    ) -> None:
        self._client = client
        self._deliver = deliver
        self._repaired = repaired
        self._stopped = threading.Event()
        self._bucket = _Bucket(self._stopped)
        self._calls = ThreadPoolExecutor(POOL, thread_name_prefix="ec2-call")
        self._rounds = ThreadPoolExecutor(_ROUNDS, thread_name_prefix="swap-round")
        self._repairs = ThreadPoolExecutor(1, thread_name_prefix="repair")  # beside the swaps, never before them
        self._open: set[Future[None]] = set()

    def swap(self, swaps: Sequence[Swap], deadline: float | None = None) -> None:
        """Begin swaps; returns at once. No call is begun after the deadline, a monotonic time."""
        for start in range(0, len(swaps), _BATCH):
            self._keep(self._rounds.submit(self._round, tuple(swaps[start : start + _BATCH]), deadline))

    def repair(self, one: Repair, claim: Callable[[], bool] | None = None) -> None:
        """Begin a repair; returns at once. ``claim`` must allow it right before."""
        self._keep(self._repairs.submit(self._repair, one, claim))

    def warm(self, table_id: str | None) -> None:
        """Open connections for swaps, or show those that are open that they are wanted; returns at once.

        Reads one small thing over each; without a table id there is nothing to swap either.
        """
        if table_id is not None and not self._stopped.is_set():
            for _connection in range(WARM):
                self._calls.submit(self._touch, table_id)

    def stop(self, timeout: float) -> bool:
        """Begin no other call, and wait for those in flight; False when some had not ended in ``timeout`` seconds."""
        self._stopped.set()
        until = time.monotonic() + timeout
        for future in list(self._open):
            try:
                future.result(max(0.0, until - time.monotonic()))
            except TimeoutError:
                return False
        self._rounds.shutdown(wait=False, cancel_futures=True)
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._repairs.shutdown(wait=False, cancel_futures=True)
        return True

    def _keep(self, future: Future[None]) -> None:
        self._open.add(future)
        future.add_done_callback(self._open.discard)

    def _repair(self, one: Repair, claim: Callable[[], bool] | None) -> None:
        began = time.monotonic()
        try:
            result = repairing.carry_out(self._client(), one, self._bucket, self._stopped.is_set, claim=claim)
        except Exception as error:  # as for swaps: it has an end
            code = getattr(error, "code", type(error).__name__)
            result = RepairResult(one, None, None, str(code), str(error))
        self._repaired(replace(result, milliseconds=(time.monotonic() - began) * 1000))

    def _touch(self, table_id: str) -> None:
        try:
            self._client().describe_route_tables(RouteTableIds=[table_id])
        except Exception:  # the reader meets the same trouble, and tells
            return

    def _round(self, swaps: Sequence[Swap], deadline: float | None) -> None:
        began = time.monotonic()
        until = began + _ROUND_SECONDS if deadline is None else min(deadline, began + _ROUND_SECONDS)
        try:
            results = routes.swap_all(self._client(), swaps, bucket=self._bucket, pool=self._calls, deadline=until)
        except Exception as error:  # each swap has an end, else the engine would wait for it for ever
            spent = (time.monotonic() - began) * 1000
            code = getattr(error, "code", type(error).__name__)
            results = [SwapResult(swap, None, str(code), str(error), spent) for swap in swaps]
        self._deliver(results)
