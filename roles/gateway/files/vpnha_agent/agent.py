# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: joins probes, charon, routes and counters into the report that heartbeats carry.

All work is in short turns of one event loop; what may wait (VICI, systemd, nft's and FRR's changes) is in threads and
processes, and no program is started where all is well. No error ends the agent: it is logged and counted, and the turn
is taken again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from ansible_collections.vpnha.aws.plugins.module_utils import handover, tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import HeartbeatAnswerer, HeartbeatAsker, KeyRing
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport, TunnelReport
from ansible_collections.vpnha.aws.plugins.module_utils.vici_health import TunnelSas

from . import frr
from .charon_watch import PULSE_SECONDS, CharonWatch
from .config import AgentConfig
from .dataplane import COUNTER_SECONDS, FORWARDING_OFF, DataPlane
from .heartbeats import AnswerProtocol, AskProtocol
from .looked_up import LookedUp
from .netlink import RouteChanges, RouteTable
from .paths import site_paths
from .pings import PeersPings
from .probing import PEER_SECONDS, TunnelProbe
from .service import LOG, BoundedLog, notify, run
from .steering import DEAD_SECONDS, Steering
from .vty import Vty, VtyError

ASK_SECONDS = 0.1
FRR_SECONDS = 1.0
STEER_SECONDS = 0.1
PATH_SECONDS = 1.0  # routes are looked up so often even if nothing was heard to change
SETTLE_SECONDS = 0.02  # changes of routes come in showers
WATCHDOG_SECONDS = 1.0
DRAIN_SECONDS = 1.5  # between telling that the host stops and being gone
FAILED_SECONDS = 0.5  # before a turn that failed is taken again
STATE_TRIES = 3
FAREWELL_SECONDS = 0.3  # for heartbeats to learn that only the agent restarts
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

Turn = Callable[[], Awaitable[None]]


class Agent:
    """One run of the agent."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._log = BoundedLog()
        timing, keys = config.deployment.timing, KeyRing(config.keys)
        self._boot_id, self._agent_id = _BOOT_ID.read_text(encoding="ascii").strip(), os.urandom(8).hex()
        self._stopping = ""
        self._handed_over = False
        self._answerer = HeartbeatAnswerer(keys, config.gateway)
        self._askers = {
            other.address: HeartbeatAsker(
                keys, config.gateway, other.name, lambda: LossWindow(timing.window, timing.grey_window), reports=False
            )
            for other in config.others
        }
        self._ask: AskProtocol | None = None
        self._probes = {
            tunnel.name: TunnelProbe(
                tunnel,
                config.deployment.site(tunnel.site).probe_targets,
                config.device(tunnel),
                timing,
                large_bytes=config.large_bytes,
            )
            for tunnel in config.tunnels
        }
        self._charon = CharonWatch(config, self._log, self._carrying)
        self._steering = Steering(config, self._log)
        self._pings = PeersPings(config, self._log)
        self._routes = RouteTable()
        self._changed = asyncio.Event()  # routes may have
        self._bgp = LookedUp[str](FRR_SECONDS)  # of each peer's inside address, and of other gateways' in the mesh
        self._mesh = tunnel_config.mesh_addresses(config.deployment)
        del self._mesh[config.gateway]
        self._paths = LookedUp[str](PATH_SECONDS)
        self._bgpd = Vty("bgpd")
        self._dataplane = DataPlane(config, self._log)
        self._report: AgentReport | None = None
        self._ticks = 0
        self._ticked_at = 0.0
        self._refused: dict[str, int] = {}

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. OSError when the UDP port cannot be had."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            await self._open(stack)
            await self._charon.pulse()
            self._ticked_at = loop.time()
            tasks = [asyncio.create_task(self._every(*turn)) for turn in self._turns()]
            stack.push_async_callback(_end, tasks)
            notify("READY=1")
            LOG.info("agent of gateway %s answers on UDP port %d", self._config.gateway, self._config.port)
            await stop.wait()
            await self._leave()

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        listen = self._config.listen
        transport, _protocol = await loop.create_datagram_endpoint(
            lambda: AnswerProtocol(self._answerer), (listen, self._config.port)
        )
        stack.callback(transport.close)
        transport, self._ask = await loop.create_datagram_endpoint(
            lambda: AskProtocol(self._askers, self._config.port), (listen, 0)
        )
        stack.callback(transport.close)
        changes = RouteChanges()
        stack.callback(changes.close)
        loop.add_reader(changes.fileno(), self._routes_changed, changes)
        stack.callback(loop.remove_reader, changes.fileno())
        stack.callback(self._bgpd.close)
        stack.callback(self._dataplane.close)
        self._charon.start()
        stack.callback(self._charon.stop)
        for probe in self._probes.values():
            stack.callback(probe.close)

    def _turns(self) -> list[tuple[float, Turn]]:
        """What is done again and again: (seconds from one beginning to the next, what)."""
        return [
            (PEER_SECONDS, self._tick),
            (ASK_SECONDS, self._ask_others),
            (PULSE_SECONDS, self._charon.pulse),
            (0.0, self._charon.poll),  # these wait by themselves
            (0.0, self._charon.mind_unit),
            (0.0, self._look_up_paths),
            (FRR_SECONDS, self._read_frr),
            (STEER_SECONDS, self._steer),
            (COUNTER_SECONDS, self._dataplane.look),
            (WATCHDOG_SECONDS, self._watchdog),
        ]

    async def _every(self, interval: float, turn: Turn) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            pause = 0.0
            try:
                await turn()
            except Exception as exc:
                self._log.say(
                    f"turn {turn.__name__}", f"{turn.__name__} failed and is tried again: {exc!r}", logging.ERROR
                )
                LOG.debug("in full", exc_info=True)
                pause = FAILED_SECONDS
            now = loop.time()
            due = max(due + interval, now + pause)  # turns that were missed are not made up for
            await asyncio.sleep(due - now)

    async def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        late = now - self._ticked_at - PEER_SECONDS
        self._ticked_at = now
        if late > self._config.deployment.timing.loop_lag:
            self._log.say("late", f"the agent was held up for {late:.2f} s and begins to observe afresh")
            for probe in self._probes.values():
                probe.restart()
            for asker in self._askers.values():
                asker.restart()
        for probe in self._probes.values():
            probe.send(now, self._ticks)
        self._ticks += 1
        self._publish(now)

    def _publish(self, now: float) -> None:
        sas, bgp = self._charon.tunnels, self._bgp.known(now)  # once: they are put together anew each time
        self._report = AgentReport(
            boot_id=self._boot_id,
            agent_id=self._agent_id,
            charon=self._charon.state,
            tunnels={name: self._tunnel_report(probe, sas[name], bgp, now) for name, probe in self._probes.items()},
            paths=self._paths.known(now),
            peers={asker.gateway: asker.answer_age(now) for asker in self._askers.values()},
            stopping=self._stopping,
            counters=self._dataplane.counters(now),
            handed_over=self._handed_over,
            dataplane=self._dataplane.wrong(now),
            mesh_down=tuple(name for name, address in self._mesh.items() if bgp.get(address) == "down"),
        )
        self._answerer.publish(self._report, now)

    def _tunnel_report(
        self, probe: TunnelProbe, sas: TunnelSas, sessions: Mapping[str, str], now: float
    ) -> TunnelReport:
        tunnel = probe.tunnel
        static = self._config.deployment.site(tunnel.site).routing == "static"
        bgp = sessions.get(tunnel.peer_inside_address, "unknown")
        return TunnelReport(
            name=tunnel.name,
            ike="unanswered" if sas.unanswered else sas.ike,
            child=sas.child,
            probe=probe.peer.stats(now),
            target=probe.target_stats(now),
            large_loss=probe.peer.large_loss(now),
            bgp="static" if static else bgp,
            rtt_ms=None if probe.peer.rtt is None else probe.peer.rtt * 1000,
        )

    def _carrying(self) -> bool:
        """Whether any tunnel has carried lately, by its peer's answers or the site's. One observed afresh may have."""
        now = asyncio.get_running_loop().time()
        peers = [probe.peer.stats(now) for probe in self._probes.values()]
        seen = [*peers, *(probe.target_stats(now) for probe in self._probes.values())]
        answered = any(one.last_answer_age is not None and one.last_answer_age < DEAD_SECONDS for one in seen)
        return answered or any(not one.window_full for one in peers)

    async def _ask_others(self) -> None:
        if self._ask is not None:
            self._ask.ask(asyncio.get_running_loop().time())

    async def _read_frr(self) -> None:
        peers = [
            probe.tunnel.peer_inside_address for probe in self._probes.values() if probe.tunnel.peer_asn is not None
        ] + list(self._mesh.values())
        if not peers:
            return
        try:
            self._bgp.take(frr.bgp_states(await self._bgpd.show("show bgp summary json"), peers))
        except (VtyError, frr.FrrError) as exc:
            gone = isinstance(exc, VtyError) and exc.gone
            self._bgp.take(dict.fromkeys(peers, "down" if gone else "unknown"))
            self._log.say("frr", f"BGP's state cannot be read: {exc}")

    async def _steer(self) -> None:
        if self._report is not None:
            request, now = handover.requested(), asyncio.get_running_loop().time()
            self._handed_over = bool(request)  # told before it is seen
            if self._dataplane.wrong(now) == FORWARDING_OFF:
                # the monitor turns the VPC's packets away, and this the sites': a minute or two, again and again
                request = str((handover.now() // 60 + 2) * 60)
            self._steering.hand_over(request)
            await self._pings.refuse(request)
            await self._steering.update(self._report.tunnels.values(), now)

    def _routes_changed(self, changes: RouteChanges) -> None:
        changes.drain()
        self._changed.set()

    async def _look_up_paths(self) -> None:
        self._paths.take(site_paths(self._config, self._routes.lookup))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), PATH_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)
        self._changed.clear()

    async def _watchdog(self) -> None:
        notify("WATCHDOG=1")
        refused = self._ignored()
        for reason, count in refused.items():
            if count != self._refused.get(reason, 0):
                self._log.say(f"refused {reason}", f"{count} heartbeats were refused so far as {reason}")
        self._refused = refused

    def _ignored(self) -> dict[str, int]:
        """Ignored packets so far by reason: requests, and answers of other agents, of which late ones are none."""
        total = Counter(self._answerer.refused)
        for asker in self._askers.values():
            total.update({reason: count for reason, count in asker.refused.items() if reason != "stale"})
        if self._ask is not None and self._ask.unknown:
            total["unknown"] += self._ask.unknown
        return dict(total)

    async def _leave(self) -> None:
        """Say why the agent goes, and give everybody the time to act on it."""
        loop = asyncio.get_running_loop()
        notify("STOPPING=1")
        self._stopping = "host" if await _host_stops() else "agent"
        LOG.info("stopping, because the %s does", self._stopping)
        self._publish(loop.time())
        until = loop.time() + (DRAIN_SECONDS if self._stopping == "host" else FAREWELL_SECONDS)
        if self._stopping == "host":
            try:
                await asyncio.wait_for(self._steering.drain(), DRAIN_SECONDS)
            except (frr.FrrError, TimeoutError) as exc:
                LOG.warning("BGP's neighbours could not be told: %s", str(exc) or "FRR took too long")
        await asyncio.sleep(max(until - loop.time(), 0.0))


async def _host_stops() -> bool:
    """Whether it is the host that goes down. systemd may be too busy to say so at once."""
    for _try in range(STATE_TRIES):
        ended = await run("systemctl", "is-system-running", seconds=1.0)
        state = ended.output.strip()
        if state not in ("", "offline", "unknown"):
            return state == "stopping"
        LOG.warning("systemd does not say whether the host stops: %s", ended.error or state or "no answer")
        await asyncio.sleep(0.1)
    return False


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
