# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries swaps and repairs out, in threads, over connections that are open before they are needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import pace, routes
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    DEADLINE,
    WITHDRAWN,
    Repair,
    RepairResult,
    RouteKey,
    Swap,
    SwapResult,
)

from . import repairing
from .waiting import OVERTAKEN, Progress, Queue, Waiting

_ROUNDS = 8  # batches of swaps side by side, each with a thread that waits for its calls
_GATHER_SECONDS = 1.0  # where swaps wait, those of so long go together: each batch is read back twice
_INSTANT = 0.001  # s, and tokens: less is nothing
_ROUND_SECONDS = 20.0  # nothing of a batch is begun later
_REPAIR_SECONDS = 20.0  # nothing of a repair is begun later: it is waited for, and its tag is new, for longer than that
_STALE = 0.5  # s in the queue after which a swap is looked at again before it is begun
VOLUNTARY_SPARE = 15.0  # tokens that voluntary swaps and repairs leave to emergencies
WARM = 8  # connections kept open for swaps


class _Paid:
    """The limit as one batch sees it: the first calls are paid for, and none is begun once the monitor stops."""

    def __init__(
        self, bucket: pace.TokenBucket, stopped: threading.Event, clock: Callable[[], float], paid: int = 0,
        spare: float = 0.0,
    ) -> None:  # fmt: skip
        self._bucket, self._stopped, self._clock, self._paid, self._spare = bucket, stopped, clock, paid, spare
        self._lock = threading.Lock()

    def acquire(self, deadline: float | None = None, *, count: int = 1) -> bool:
        return not self._stopped.is_set() and self._tokens(deadline, count) and not self._stopped.is_set()

    def throttled(self) -> None:
        self._bucket.throttled()

    def _tokens(self, deadline: float | None, count: int) -> bool:
        if deadline is not None and self._clock() > deadline:
            return False  # a call that is paid for can be late too, where all threads were busy
        with self._lock:
            paid = min(count, self._paid)
            self._paid -= paid
        return paid == count or self._bucket.acquire(deadline, self._spare, count - paid)


class Actuator:
    """``client`` makes or returns the one EC2 client; it is asked in threads, and its failure is a swap's failure.

    ``deliver`` gets the results of each batch of swaps, ``repaired`` that of a repair, in the actuator's threads.
    ``still`` says of a swap that has waited for EC2's limit why it is not to be begun any more; empty if it is.
    ``limits`` are for the clients too. They begin without tokens: a monitor that has crashed may have used them up.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        deliver: Callable[[Sequence[SwapResult]], None],
        repaired: Callable[[RepairResult], None],
        still: Callable[[Swap], str] = lambda swap: "",
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
        threads: Callable[[int, str], Executor] = ThreadPoolExecutor,
    ) -> None:
        self._client = client
        self._deliver = deliver
        self._repaired = repaired
        self._still = still
        self._clock = clock
        self._stopped = threading.Event()
        self._sleep = sleep or self._wait
        self._news = threading.Event()  # something more urgent may have come
        self._rest = sleep or self._until_news
        self.limits = pace.Limits(clock, self._sleep, fresh=False)
        self._queue = Queue()
        self._calls = threads(pace.SIDE_BY_SIDE, "ec2-call")
        self._rounds = threads(_ROUNDS, "swap-round")
        self._repairs = threads(1, "repair")  # beside the swaps, never before them
        self._pacer = threads(1, "swap-pacer")
        self._open: set[Future[None]] = set()

    def swap(self, swaps: Sequence[Swap], deadline: float | None = None) -> None:
        """Begin swaps; returns at once. No call is begun after the deadline, a monotonic time.

        What EC2 does not take at once waits, emergencies first, then by priority, then in the order given.
        """
        if swaps:
            self._queue.put(swaps, self._clock(), deadline)
            self._news.set()
            self._keep(self._pacer.submit(self._hand_out))

    def withdraw(self, keys: Collection[RouteKey]) -> None:
        """Take back the voluntary swaps of these routes that wait; what has been begun is left to its end."""
        if keys and (taken := self._queue.take_voluntary(keys)):
            self._drop(taken, WITHDRAWN, OVERTAKEN)

    def progress(self) -> Progress:
        """How far the swaps are."""
        ordered, waiting, ended, began = self._queue.counts()
        bucket = self.limits.changes
        left = bucket.wait_for(waiting) if waiting else 0.0
        now = bucket.pace
        return Progress(ordered, waiting, ended, began, left, now, now < bucket.rate, bucket.refusals)

    def repair(
        self, one: Repair, claim: Callable[[], bool] | None = None, still: Callable[[], str] = lambda: ""
    ) -> None:
        """Begin a repair; returns at once. ``claim`` and ``still`` must allow it right before: see `repairing`."""
        until = self._clock() + _REPAIR_SECONDS

        def in_time() -> str:
            if self._stopped.is_set():
                return "The monitor stops."
            if self._clock() > until:
                return f"It was ordered more than {_REPAIR_SECONDS:g} s ago."
            return still()

        self._keep(self._repairs.submit(self._repair, one, claim, in_time))

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
        self._news.set()
        until = time.monotonic() + timeout
        for future in list(self._open):
            try:
                future.result(max(0.0, until - time.monotonic()))
            except TimeoutError:
                return False
        self._pacer.shutdown(wait=False, cancel_futures=True)
        self._rounds.shutdown(wait=False, cancel_futures=True)
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._repairs.shutdown(wait=False, cancel_futures=True)
        return True

    def _keep(self, future: Future[None]) -> None:
        self._open.add(future)
        future.add_done_callback(self._open.discard)

    def _repair(self, one: Repair, claim: Callable[[], bool] | None, still: Callable[[], str]) -> None:
        began = self._clock()
        bucket = _Paid(self.limits.changes, self._stopped, self._clock, spare=VOLUNTARY_SPARE)
        try:
            result = repairing.carry_out(self._client(), one, bucket, still, claim=claim, clock=self._clock)
        except Exception as error:  # as for swaps: it has an end
            code = getattr(error, "code", type(error).__name__)
            result = RepairResult(one, None, None, str(code), str(error))
        self._repaired(replace(result, milliseconds=(self._clock() - began) * 1000))

    def _touch(self, table_id: str) -> None:
        try:
            self._client().describe_route_tables(RouteTableIds=[table_id])
        except Exception:  # the reader meets the same trouble, and tells
            return

    def _wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _until_news(self, seconds: float) -> None:
        self._news.wait(seconds)
        self._news.clear()  # what is in the queue is looked at after this

    def _hand_out(self) -> None:
        """Give the waiting swaps to batches, as fast as EC2's limit lets them. One thread does this for all."""
        while (first := self._queue.next()) is not None and not self._stopped.is_set():
            now = self._clock()
            spare = VOLUNTARY_SPARE if first.swap.voluntary else 0.0
            bucket = self.limits.changes
            if late := self._queue.take_late(now + bucket.wait_for(1.0 + spare)):
                self._drop(late, DEADLINE, "Time was up before its turn came.")
                continue
            together = max(1, int(bucket.pace * _GATHER_SECONDS))
            wait = bucket.wait_for(self._queue.alike(together) + spare)
            if wait > _INSTANT:
                self._rest(min(wait, 1.0))
                continue
            batch = self._wanted(self._queue.take(max(1, int(bucket.level - spare + _INSTANT))), now)
            if batch:
                bucket.acquire(count=len(batch))
                self._keep(self._rounds.submit(self._round, batch))

    def _wanted(self, batch: Sequence[Waiting], now: float) -> list[Waiting]:
        """What is still to be begun; the others have their end."""
        wanted = []
        for one in batch:
            why = self._still(one.swap) if now - one.since > _STALE else ""
            if why:
                self._drop([one], WITHDRAWN, why)
            else:
                wanted.append(one)
        return wanted

    def _drop(self, those: Sequence[Waiting], code: str, why: str) -> None:
        now = self._clock()
        self._queue.ended(len(those))
        self._deliver([SwapResult(one.swap, False, code, why, (now - one.since) * 1000) for one in those])

    def _round(self, batch: Sequence[Waiting]) -> None:
        began = self._clock()
        # all of these threads may have been busy since its tokens were taken
        late = [one for one in batch if one.deadline is not None and one.deadline < began]
        if late:
            self._drop(late, DEADLINE, "Time was up before its turn came.")
        in_time = [one for one in batch if one.deadline is None or one.deadline >= began]
        batch = self._wanted(in_time, began)
        if not batch:
            return
        deadlines = [one.deadline for one in batch if one.deadline is not None]
        until = min([began + _ROUND_SECONDS, *deadlines])
        swaps = [one.swap for one in batch]
        tokens = _Paid(self.limits.changes, self._stopped, self._clock, paid=len(batch))
        try:
            results = routes.swap_all(
                self._client(), swaps, bucket=tokens, pool=self._calls, deadline=until, clock=self._clock,
                sleep=self._sleep,
            )  # fmt: skip
        except Exception as error:  # each swap has an end, else the engine would wait for it for ever
            spent = (self._clock() - began) * 1000
            code = getattr(error, "code", type(error).__name__)
            results = [SwapResult(swap, None, str(code), str(error), spent) for swap in swaps]
        waited = {id(one.swap): (began - one.since) * 1000 for one in batch}
        self._queue.ended(len(batch))
        self._deliver([replace(one, milliseconds=one.milliseconds + waited[id(one.swap)]) for one in results])
