# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a lossy tunnel the last choice, both ways, and the first again when it has healed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.judge_paths import LARGE_LOSS
from ansible_collections.vpnha.aws.plugins.module_utils.model import Timing, Tunnel, TunnelReport
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import grey

from . import frr
from .config import AgentConfig
from .service import BoundedLog

GREY_SECONDS = 10.0  # lossy so long without a break: one window alone can be bad luck
GREY_HEAL_SECONDS = 30.0  # free of loss this long before a tunnel that lost packets is the first choice again
DEAD_HEAL_SECONDS = 3.0  # the same for a static tunnel that was dead
DEAD_SECONDS = 2.0  # no answer for so long is an outage, which BFD sees to, and no matter of losing a share
CONFIRM_SECONDS = 10.0  # what is away is made sure of, since FRR may have been restarted or reloaded meanwhile
RETRY_SECONDS = 3.0


class AwayRule:
    """Whether one tunnel should be the last choice. Pure: fed with reports and times."""

    def __init__(self, timing: Timing, static: bool) -> None:
        self.away = False
        self.why = ""
        self._timing, self._static = timing, static
        self._dead_at: float | None = None  # when it was last without answers for DEAD_SECONDS
        self._lossy_since: float | None = None
        self._good_since: float | None = None
        self._heal = 0.0

    def update(self, report: TunnelReport, now: float) -> bool:
        """Take a tunnel's report; True when ``away`` has changed."""
        before = self.away
        if not self._lossy(report, now):
            self._lossy_since = None
        elif self._lossy_since is None:
            self._lossy_since = now
        if self._static and self._dead(report):
            self._leave("it carries nothing", DEAD_HEAL_SECONDS)
        elif self._lossy_since is not None and (self.away or now - self._lossy_since >= GREY_SECONDS):
            self._leave("it loses packets", GREY_HEAL_SECONDS)
        elif self.away:
            self._good_since = now if self._good_since is None else self._good_since
            if now - self._good_since >= self._heal:
                self.away, self.why, self._heal = False, "", 0.0
        return self.away != before

    def _leave(self, why: str, heal: float) -> None:
        self.away, self.why, self._good_since = True, why, None
        self._heal = max(self._heal, heal)

    def _dead(self, report: TunnelReport) -> bool:
        """BFD does not watch a static tunnel. A peer that never answers its inside address may just not do so."""
        seen = report.target if report.probe.last_answer_age is None else report.probe
        return seen.silent and (seen.last_answer_age is not None or report.child == "missing")

    def _lossy(self, report: TunnelReport, now: float) -> bool:
        age = report.probe.last_answer_age
        if age is None or age >= DEAD_SECONDS:
            self._dead_at = now
            return False
        if self._dead_at is not None and now - self._dead_at < self._timing.grey_window:
            return False  # the window still counts the outage
        large = report.probe.slow_full and report.large_loss >= LARGE_LOSS
        return large or grey(report.probe, self._timing.grey_loss)


class Steering:
    """Applies the rules of all tunnels to FRR."""

    def __init__(self, config: AgentConfig, log: BoundedLog) -> None:
        self._config, self._log = config, log
        deployment = config.deployment
        self._bgp = {t.name: t for t in config.tunnels if deployment.site(t.site).routing == "bgp"}
        self._static = {t.name: t for t in config.tunnels if t.name not in self._bgp}
        self._rules = {t.name: AwayRule(deployment.timing, t.name in self._static) for t in config.tunnels}
        self._applied: set[str] | None = None  # None: what an earlier agent left behind is not known yet
        self._next = 0.0
        self._draining = False
        self._request = ""

    @property
    def away(self) -> set[str]:
        """The tunnels that should be the last choice."""
        return {name for name, rule in self._rules.items() if rule.away or self._request}

    def hand_over(self, request: str) -> None:
        """Make all tunnels the last choice while there is a request; another one has FRR told again at once."""
        if request == self._request:
            return
        if bool(request) != bool(self._request):
            said = "all traffic is handed over to the neighbours" if request else "the tunnels take their traffic back"
            self._log.say(f"handover-{bool(request)}", f"on request {said}", logging.INFO)
        self._request = request
        self._applied, self._next = None, 0.0

    async def update(self, reports: Iterable[TunnelReport], now: float) -> None:
        """Take the tunnels' reports and have FRR follow. FRR's errors are logged, and it is tried again."""
        for report in reports:
            rule = self._rules[report.name]
            if rule.update(report, now):
                self._next = now
                verb, why = ("is now the last choice", rule.why) if rule.away else ("is itself again", "it has healed")
                self._log.say(f"away-{report.name}", f"tunnel {report.name} {verb}: {why}", logging.INFO)
        settled = self._applied == self.away and not self.away
        if now >= self._next and not settled and not self._draining:
            await self._apply(now)

    async def drain(self) -> None:
        """The gateway is going down: everything may go another way. Raises FrrError."""
        self._draining = True
        asn = self._config.deployment.asn
        # First what needs no answer to a question: on a host that shuts down everything is slow.
        await frr.vtysh(*frr.drain_commands(asn, True), daemon="bgpd")
        running = frr.read_running(await frr.vtysh("show running-config", daemon="bgpd"))
        commands = frr.away_commands(asn, running, [tunnel.peer_inside_address for tunnel in self._bgp.values()])
        await frr.vtysh(*commands, daemon="bgpd")
        await self._set_static(self._static.values(), True)

    async def _apply(self, now: float) -> None:
        self._next = now + RETRY_SECONDS
        wanted = self.away
        try:
            for away in (True, False):  # first, since nobody else sees to a static tunnel that is dead
                tunnels = [tunnel for name, tunnel in self._static.items() if (name in wanted) is away]
                await self._set_static(tunnels, away)
            await self._set_bgp(wanted)
        except frr.FrrError as exc:
            self._log.say("steering", f"FRR cannot be told which tunnels to prefer: {exc}")
            return
        self._applied = wanted
        self._next = now + CONFIRM_SECONDS

    async def _set_bgp(self, wanted: set[str]) -> None:
        if not self._bgp:
            return
        asn = self._config.deployment.asn
        running = frr.read_running(await frr.vtysh("show running-config", daemon="bgpd"))
        steps: list[Sequence[str]] = []
        away = [tunnel.peer_inside_address for name, tunnel in self._bgp.items() if name in wanted]
        new = [peer for peer in away if not running.away(peer)]
        if new:
            steps.append(frr.away_commands(asn, running, new))
        peers = {tunnel.peer_inside_address for tunnel in self._bgp.values()}
        steps.append(frr.back_commands(asn, running, sorted(peers - set(away))))
        if running.graceful_shutdown:
            steps.append(frr.drain_commands(asn, False))
        for commands in steps:
            if commands:
                await frr.vtysh(*commands, daemon="bgpd")

    async def _set_static(self, tunnels: Iterable[Tunnel], away: bool) -> None:
        config = self._config
        routes = [
            route
            for tunnel in tunnels
            for route in tunnel_config.static_routes(config.deployment, tunnel, config.data_plane)
        ]
        commands = frr.static_commands(routes, away)
        if commands:
            await frr.vtysh(*commands)
