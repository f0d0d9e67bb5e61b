# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching charon: alive or not, its security associations, and helping it where it gives up.

Each VICI session has one thread of its own, and no call lasts longer than its deadline, so a hung charon holds up
nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.vpnha.aws.plugins.module_utils.charon import Charon, CharonError, CharonRefusal, events
from ansible_collections.vpnha.aws.plugins.module_utils.vici_health import SaTracker, TunnelSas

from .config import AgentConfig
from .revive import Initiation, Restart
from .service import BoundedLog, run

UNIT = "strongswan.service"
PULSE_SECONDS = 0.1
POLL_SECONDS = 1.0
AGAIN_SECONDS = 0.3  # after a poll that left an SA out
UNIT_SECONDS = 2.0


class CharonWatch:
    """What is known of charon, kept up to date by ``pulse``, ``poll`` and ``mind_unit``."""

    def __init__(self, config: AgentConfig, log: BoundedLog, carrying: Callable[[], bool]) -> None:
        self.state = "dead"  # until it has answered
        self._config, self._log, self._carrying = config, log, carrying
        self._tracker = SaTracker([tunnel.name for tunnel in config.tunnels])
        self._initiation = Initiation(tunnel.name for tunnel in config.tunnels if tunnel.initiate)
        self._restart = Restart()
        self._pulse, self._commands = Charon(config.vici_socket), Charon(config.vici_socket)
        self._threads = [ThreadPoolExecutor(1, name) for name in ("vici-pulse", "vici-commands")]
        self._stop = threading.Event()
        self._wake = asyncio.Event()

    @property
    def tunnels(self) -> dict[str, TunnelSas]:
        """What charon said last of each tunnel."""
        return self._tracker.tunnels()

    def start(self) -> None:
        """Listen to charon's events."""
        threading.Thread(
            target=self._listen, args=(asyncio.get_running_loop(),), name="vici-events", daemon=True
        ).start()

    def stop(self) -> None:
        """End the threads; calls under way end by their deadline."""
        self._stop.set()
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)

    async def pulse(self) -> None:
        """Ask for life once."""
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(self._threads[0], self._pulse.state)
        if state == self.state:
            return
        level = logging.INFO if state == "alive" else logging.WARNING
        self._log.say(f"charon-{state}", f"charon was {self.state} and is now {state}", level)
        self.state = state
        if state != "alive":
            self._tracker.forget()
        self._wake.set()

    async def poll(self) -> None:
        """Wait for an event or the next turn, ask for the SAs, and mend what is to be mended."""
        unsure = any(tunnel.ike == "unknown" for tunnel in self.tunnels.values())
        wait = AGAIN_SECONDS if unsure and self.state == "alive" else POLL_SECONDS
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait)
        self._wake.clear()
        if self.state != "alive":
            return
        loop, thread = asyncio.get_running_loop(), self._threads[1]
        try:
            sas = await loop.run_in_executor(thread, self._commands.list_sas)
            tunnels = self._tracker.observe(sas, loop.time())
            await loop.run_in_executor(
                thread, self._mend, self._tracker.prunable, self._initiation.due(tunnels, loop.time())
            )
        except CharonError as exc:
            self._log.say("vici", str(exc))

    async def mind_unit(self) -> None:
        """Restart strongSwan where its unit has failed, or hangs for long while nothing is carried."""
        await asyncio.sleep(UNIT_SECONDS)
        unit = ""
        if self.state == "dead":
            shown = await run("systemctl", "show", "--property=ActiveState", "--value", UNIT)
            unit = shown.output.strip()
        if self._restart.due(self.state, unit, self._carrying(), asyncio.get_running_loop().time()):
            self._log.say("restart", f"restarting {UNIT}: charon is {self.state}, the unit {unit or 'active'}")
            await run("systemctl", "reset-failed", UNIT)  # it may have failed too often for systemd
            ended = await run("systemctl", "restart", UNIT, seconds=30.0)
            if ended.code != 0:
                self._log.say("restart-failed", f"{UNIT} could not be restarted: {ended.error}", logging.ERROR)

    def _mend(self, prunable: Iterable[str], initiate: Iterable[str]) -> None:
        """In the commands' thread."""
        for unique_id in prunable:
            self._log.say("prune", f"deleting IKE SA #{unique_id}, a duplicate", logging.INFO)
            with contextlib.suppress(CharonRefusal):  # it has gone by itself
                self._commands.terminate(unique_id)
        for name in initiate:
            self._log.say(f"initiate-{name}", f"initiating tunnel {name}, which is not up", logging.INFO)
            try:
                self._commands.initiate(name)
            except CharonRefusal as exc:
                self._log.say(f"refused-{name}", f"charon does not initiate {name}: {exc}")

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the events' thread."""
        while not self._stop.is_set():
            try:
                for event in events(self._config.vici_socket, POLL_SECONDS):
                    if self._stop.is_set():
                        return
                    if event is not None:
                        loop.call_soon_threadsafe(self._heard, *event)
            except CharonError:
                pass  # the pulse tells
            except RuntimeError:
                return  # the loop has ended
            except Exception as exc:
                self._log.say("vici-events", f"listening to charon failed: {exc!r}", logging.ERROR)
            self._stop.wait(0.5)

    def _heard(self, event: str, name: str, up: bool) -> None:
        if event == "ike-updown" and not up:
            self._tracker.went_down(name)
        self._wake.set()
