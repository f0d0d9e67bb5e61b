# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon: one loop that observes, judges, decides and hands out work, and never waits for any of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from ansible_collections.vpnha.aws.plugins.module_utils import repair, routes
from ansible_collections.vpnha.aws.plugins.module_utils.errors import InvariantViolation
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Action,
    Ec2View,
    Note,
    ReadEc2,
    Repair,
    RepairResult,
    Swap,
    SwapResult,
)
from ansible_collections.vpnha.aws.plugins.module_utils.told import result_notes, seen_of

from . import config, log, repairing, status
from .actuator import Actuator
from .agreement import Agreement
from .carrying import Carrying
from .clients import Client
from .clock import Lateness, boottime, monotonic
from .credentials import Renewal
from .house import House
from .journal import Journal, Trouble
from .managed import Witnesses
from .metrics import Counters, StatusCollector
from .mind import Mind
from .notify.outbox import Outbox
from .notify.room import Notifications, Settings
from .observe import Observer
from .pulse import Pulse
from .reader import Reader, Reading
from .record import Recorder, moves_before
from .reloading import Reloading
from .sd_notify import Notifier
from .way import OwnWay
from .web import Server

TICK = 0.025  # s; with a heartbeat every 50 ms, silence is seen at most this late
_STOP_SECONDS = 20.0  # for calls in flight when told to stop: two tries of each, and two reads
_ANSWER_SECONDS = 1.0  # for the loop to answer an HTTP request


class StartError(Exception):
    """The monitor cannot start; the text is one sentence."""


def run(loaded: config.MonitorConfig, path: Path) -> int:
    """Run a monitor until a signal ends it; the exit code. Raises StartError."""
    sys.setswitchinterval(0.001)  # reading a large answer of EC2 in a thread must not keep the loop waiting
    lines = log.Log()
    lines.start()
    try:
        return asyncio.run(Monitor(loaded, path, lines).run())
    finally:
        lines.stop()


class Monitor:
    """All rooms, joined. Everything but `status_document` is for the loop's thread only."""

    def __init__(self, loaded: config.MonitorConfig, path: Path, lines: log.Log) -> None:
        now = monotonic()
        self.config = loaded
        self.path = path
        self.started_wall = time.time()
        self.registry = CollectorRegistry()
        self.counters = Counters(self.registry)
        self.registry.register(StatusCollector(self.status_document))
        self.journal = Journal(loaded.journal, lambda trouble: self._from_thread(self._journal_trouble, trouble))
        self.recorder = Recorder(self.journal, self.counters)
        self.notifications = Notifications(
            Settings(loaded.monitor, loaded.deployment, loaded.announcing, loaded.endpoint_url),
            Outbox(loaded.journal, self.journal.opened.is_set),
            lambda note: self._from_thread(self.note, note),
        )
        self.observer = Observer(loaded)
        self.mind = Mind(loaded.deployment, loaded.monitor, now, moves_before(loaded.journal, now))
        self.carrying = Carrying()
        self.notifier = Notifier()
        self.lateness = Lateness(now, boottime())
        self.agreement = Agreement(self)
        self.witnesses = Witnesses(self, lambda reading: self._from_thread(self.witnesses.took, reading))
        self.renewal = Renewal()
        self.client = Client(self, "ec2", pool=64)  # of reads and swaps alike
        self.way = OwnWay(self, lambda reading: self._from_thread(self.way.took, reading))
        self.house = House(self, lines)
        self.pulse = Pulse(self, lambda error: self._from_thread(self.pulse.said, error))
        self.ec2_error = ""
        self.config_checksum = loaded.checksum
        self.config_error = ""
        self.config_reading = False
        self._reads = ThreadPoolExecutor(4, thread_name_prefix="ec2-read")
        self.reader = Reader(self._read, loaded.deployment.timing.ec2_interval, self._deliver_reading)
        self.actuator = Actuator(
            self.client.get,
            lambda results: self._from_thread(self._swapped, results),
            lambda result: self._from_thread(self._repaired, result),
            lambda swap: self.mind.still(swap, monotonic()),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._due = monotonic()  # when the next tick is
        self._asking = threading.Lock()

    # --- life ---------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """From start to stop."""
        self._loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        try:
            server = Server(self.config.host, self.config.port, self.status_document, self.registry)
        except OSError as error:
            raise StartError(
                f"Cannot listen on {self.config.host}:{self.config.port} ({error.strerror}); "
                "change listen in the configuration, or end the process that uses that port."
            ) from error
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        self._loop.add_signal_handler(signal.SIGHUP, Reloading(self).ask)
        self.journal.start()
        self.notifications.start()
        self.reader.start()
        self.way.start()
        self.agreement.suit()
        self.witnesses.suit()
        server.start()
        self.pulse.suit()
        self.note(Note("daemon-started", self.config.monitor, f"Monitor {self.config.monitor} has started."))
        gc.collect()
        gc.freeze()  # what lives for ever need not be looked at again and again
        self._loop.call_soon(self._tick, monotonic())
        self.notifier.send("READY=1")
        await stop.wait()
        await self._stop()
        await asyncio.to_thread(server.stop)
        return 0

    async def _stop(self) -> None:
        """Finish the calls in flight, change nothing else, release the lease."""
        self._stopping = True
        self.notifier.send("STOPPING=1")
        self.note(Note("daemon-stopping", self.config.monitor, f"Monitor {self.config.monitor} stops."))
        self.agreement.leave()
        self.reader.stop()
        self.way.stop()
        self.witnesses.stop()
        ended = await asyncio.to_thread(self.actuator.stop, _STOP_SECONDS)
        await asyncio.sleep(0)  # results that came last are in the loop's queue
        if not ended:
            log.line("Some calls to EC2 had not ended when the monitor had to.")
        await asyncio.to_thread(self.agreement.stop)
        self._reads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.notifications.stop)
        await asyncio.to_thread(self.journal.close)
        self.observer.close()

    # --- each tick ----------------------------------------------------------------------------------------

    def _tick(self, due: float) -> None:
        if self._stopping:
            return
        now = monotonic()
        late = self.lateness.woke(due, now, boottime())
        try:
            self._observe(now, late)
            self._step(now)
        except Exception as error:  # one bad cycle must not be the last one
            self.recorder.error("cycle", error)
        try:  # of its own: a monitor whose cycles fail lives, and says so
            self.house.keep(now, late)
        except Exception as error:
            self.recorder.error("house", error)
        assert self._loop is not None
        # A cycle that was itself too long makes the next one late, which is then seen; a long pause is not made up for.
        self._due = following = due + TICK if late < TICK else now + TICK
        self._loop.call_at(following, self._tick, following)

    def _observe(self, now: float, late: float) -> None:
        self.observer.receive(now)
        if late > self.config.deployment.timing.loop_lag:
            self.counters.pauses.inc()
            self.observer.restart()
        self.observer.send(now)

    def _step(self, now: float) -> None:
        before, seen = self.mind.summary(), self.agreement.see(now)
        try:
            managed = self.witnesses.evidence(self.observer.managed.evidence(now), now)
            gateways, late = self.observer.evidence(now), self.lateness.take()
            traffic = self.carrying.traffic(now)
            actions = self.mind.step(gateways, late, now, seen.store, seen.vetoes, managed=managed, traffic=traffic)
        except InvariantViolation as violation:
            self.counters.errors.labels("invariant").inc()
            self.note(Note("invariant-violated", str(violation.number), str(violation)), before)
            return
        if actions:
            self._act(actions, before, now)
        self.actuator.withdraw(self.mind.state.routes.overtaken)
        self.agreement.decided(now)
        self.carrying.saw({name: seen.report for name, seen in self.mind.evidence.gateways.items() if seen.report}, now)
        for note in self.carrying.judge(now, self.mind.state.routes.groups):
            self.note(note)

    def _act(self, actions: Sequence[Action], before: Mapping[str, object], now: float) -> None:
        swaps = [action for action in actions if isinstance(action, Swap)]
        if swaps:  # before anything is recorded
            for batch, deadline in self.agreement.batches(swaps, now):
                self.actuator.swap(batch, deadline)
        for action in actions:
            if isinstance(action, Note):
                self.note(action, before)
            elif isinstance(action, Repair):
                self._repair(action, before)
            elif isinstance(action, ReadEc2):
                self.reader.request()
        for swap in swaps:
            self.note(
                Note(
                    "swap-issued",
                    str(swap.key),
                    f"{swap.key} is being swapped to {swap.gateway}.",
                    {
                        "gateway": swap.gateway,
                        "target": swap.target,
                        "reason": swap.reason,
                        "voluntary": swap.voluntary,
                    },
                ),
                before,
            )

    def _repair(self, one: Repair, before: Mapping[str, object]) -> None:
        def still() -> str:
            return repairing.unwanted(self.mind.state, one) or self.agreement.unleased()

        self.actuator.repair(one, self.agreement.claim(one.gateway), still)
        seen = seen_of(self.mind.evidence, one.gateway)
        facts = {"rung": one.rung, "instance": one.instance_id, "reason": one.reason, "new": one.mark is not None}
        text = f"The instance of {one.gateway} is to be brought back: {one.rung}."
        self.note(Note("repair-issued", one.gateway, text, facts | seen), before)

    def note(self, note: Note, state: Mapping[str, object] | None = None) -> None:
        """Tell."""
        self.recorder.note(note, state)
        self.notifications.put(note, (self.mind.view.drill or "") if self.mind.view else "")

    # --- EC2 ----------------------------------------------------------------------------------------------

    def _read(self) -> Ec2View:
        return routes.read_view(self.client.get(), self.config.deployment, self._reads)

    def _deliver_reading(self, reading: Reading[Ec2View]) -> None:
        self._from_thread(self._took_reading, reading)

    def _took_reading(self, reading: Reading[Ec2View]) -> None:
        if reading.view is None:
            self.counters.reads.labels("failed").inc()
            text = str(reading.error)
            if text != self.ec2_error:
                log.line(text, logging.WARNING, code="ec2-unreadable", error=type(reading.error).__name__)
            self.ec2_error = text
            return
        self.counters.reads.labels("ok").inc()
        self.ec2_error = ""
        first = self.mind.view is None
        self.mind.read(reading.view, reading.began)
        if first:
            self.house.warm()
        self._step_now()

    def _swapped(self, results: Sequence[SwapResult]) -> None:
        now = monotonic()
        view = self.mind.view
        zones = {key: route.zone for key, route in view.routes.items()} if view else {}
        # a managed gateway has no agent that counts packets: whether it carries is not measured
        counted = [one for one in results if one.accepted and self.config.deployment.managed(one.swap.gateway) is None]
        self.carrying.accepted(counted, zones, now)
        for result in results:
            self.recorder.swapped(result)
        if self._stopping:  # no step will come to tell of them
            for note in result_notes(results):
                self.note(note)
        self.mind.results += results
        self._step_now()

    def _repaired(self, result: RepairResult) -> None:
        self.recorder.repaired(result)
        if self._stopping:
            for note in repair.result_notes([result]):
                self.note(note)
        self.mind.repair_results.append(result)
        self.reader.request()
        self._step_now()

    def news(self) -> None:
        """Another monitor has said something new; for threads."""
        self._from_thread(self._step_now)

    def _step_now(self) -> None:
        """A step out of turn, on news. Not where a tick is late: only that one says that what was seen is old."""
        now = monotonic()
        if self._stopping or now - self._due > self.config.deployment.timing.loop_lag:
            return
        try:
            self.observer.receive(now)
            self._step(now)
        except Exception as error:
            self.recorder.error("cycle", error)

    # --- from other threads ---------------------------------------------------------------------------------

    def _from_thread(self, call: Any, *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to be told
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, *arguments)

    def status_document(self) -> dict[str, Any] | None:
        """The status, for other threads; None when the loop does not answer in time.

        However many ask, the loop makes one at a time, and looks at its own work between two.
        """
        if not self._asking.acquire(timeout=_ANSWER_SECONDS):
            return None
        try:
            return self._ask_loop()
        finally:
            self._asking.release()

    def _ask_loop(self) -> dict[str, Any] | None:
        loop = self._loop
        if loop is None or not loop.is_running():
            return None
        asking = asyncio.run_coroutine_threadsafe(self._status(), loop)
        try:
            return asking.result(_ANSWER_SECONDS)
        except Exception:
            asking.cancel()
            return None

    async def _status(self) -> dict[str, Any]:
        return self.status()

    def status(self) -> dict[str, Any]:
        """The status document of this moment."""
        return status.build(
            self.config.deployment, self.mind.state, self.mind.evidence, self.house.daemon(), monotonic()
        )

    def _journal_trouble(self, trouble: Trouble) -> None:
        self.note(Note("journal-failed", str(self.journal.path), trouble.text, resolved=trouble.kind == "recovered"))
