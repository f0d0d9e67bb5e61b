# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a lossy tunnel the last choice, both ways, and the first again when it has healed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.judge_paths import LARGE_LOSS
from ansible_collections.vpnha.aws.plugins.module_utils.model import LossStats, Timing, Tunnel, TunnelReport
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import grey

from . import frr
from .config import AgentConfig
from .service import BoundedLog

GREY_SECONDS = 10.0  # lossy so long without a break: one window alone can be bad luck
GREY_HEAL_SECONDS = 30.0  # free of loss this long before a tunnel that lost packets is the first choice again
DEAD_HEAL_SECONDS = 3.0  # the same for a static tunnel that was dead
DEAD_SECONDS = 2.0  # no answer for so long is an outage, which BFD sees to, and no matter of losing a share
CONFIRM_SECONDS = 3.0  # what is away is made sure of, since FRR may have been restarted or reloaded meanwhile
RETRY_SECONDS = 3.0


class AwayRule:
    """Whether one tunnel should be the last choice. Pure: fed with reports and times.

    Only evidence heals. Once anything has been answered through a tunnel, answers alone make it the first choice again,
    whatever has been forgotten meanwhile: for DEAD_HEAL_SECONDS where it was dead, and free of loss for
    GREY_HEAL_SECONDS where it lost packets. Who takes over from an earlier agent, which had such evidence, waits for
    one grey window free of loss. Where nothing has ever been answered, neither by the peer nor by the site, there is no
    evidence to wait for: the CHILD SA's word counts, and of a tunnel with BGP the session's, which has BFD.
    """

    def __init__(self, timing: Timing, static: bool) -> None:
        self.away = False
        self.why = ""
        self._timing, self._static = timing, static
        self._answered = False  # ever, if only to an earlier agent: probes forget it when they begin afresh
        self._dead_at: float | None = None  # when it was last without answers for DEAD_SECONDS
        self._lossy_since: float | None = None
        self._good_since: float | None = None
        self._heal = 0.0

    @property
    def shown(self) -> bool:
        """Whether it is the last choice by answers that were missed, which an agent to come can wait for."""
        return self.away and self._answered

    def take_over(self) -> None:
        """An earlier agent has made it the last choice."""
        if not self.away:
            self.away, self.why = True, "an earlier agent left it"
        self._answered = self._answered or self._static  # a static tunnel is taken over only if it was

    def update(self, report: TunnelReport, now: float) -> bool:
        """Take a tunnel's report; True when ``away`` has changed."""
        before, seen = self.away, _seen(report)
        self._answered = self._answered or seen.last_answer_age is not None
        if not self._lossy(seen, report.large_loss, now):
            self._lossy_since = None
        elif self._lossy_since is None:
            self._lossy_since = now
        if self._static and seen.silent and (self._answered or report.child == "missing"):  # BFD does not watch it
            self._leave("it carries nothing", DEAD_HEAL_SECONDS)
        elif self._lossy_since is not None and (self.away or now - self._lossy_since >= GREY_SECONDS):
            self._leave("it loses packets", GREY_HEAL_SECONDS)
        elif not self._good(seen, report):
            self._good_since = None
        elif self.away:
            self._good_since = now if self._good_since is None else self._good_since
            if now - self._good_since >= self._heal:
                self.away, self.why, self._heal = False, "", 0.0
        return self.away != before

    def _leave(self, why: str, heal: float) -> None:
        self.away, self.why, self._good_since = True, why, None
        self._heal = max(self._heal, heal)

    def _good(self, seen: LossStats, report: TunnelReport) -> bool:
        """Whether there is evidence that it carries; of one that may have lost packets, that it loses none."""
        if not self._answered:
            word = report.child == "installed" if self._static else report.bgp == "established"
            return seen.silent and word
        full = seen.slow_full or self._heal == DEAD_HEAL_SECONDS
        return full and _answers(seen)

    def _lossy(self, seen: LossStats, large_loss: float, now: float) -> bool:
        age = seen.last_answer_age
        if age is None or age >= DEAD_SECONDS:
            self._dead_at = now
            return False
        if self._dead_at is not None and now - self._dead_at < self._timing.grey_window:
            return False  # the window still counts the outage
        return (seen.slow_full and large_loss >= LARGE_LOSS) or grey(seen, self._timing.grey_loss)


def _seen(report: TunnelReport) -> LossStats:
    """What shows whether it carries, and what it loses: the better of the peer's answers and the site's.

    A peer may answer its inside address badly, or never, and carry all the same. The monitor reads it likewise.
    """
    probe, target = report.probe, report.target
    if target.last_answer_age is None:
        return probe
    if probe.last_answer_age is None:
        return target
    return min(probe, target, key=lambda seen: (seen.silent, not _answers(seen), seen.slow_loss))


def _answers(seen: LossStats) -> bool:
    return seen.last_answer_age is not None and seen.last_answer_age < DEAD_SECONDS


class Steering:
    """Applies the rules of all tunnels to FRR."""

    def __init__(self, config: AgentConfig, log: BoundedLog) -> None:
        self._config, self._log = config, log
        deployment = config.deployment
        self._bgp = {t.name: t for t in config.tunnels if deployment.site(t.site).routing == "bgp"}
        self._static = {t.name: t for t in config.tunnels if t.name not in self._bgp}
        self._rules = {t.name: AwayRule(deployment.timing, t.name in self._static) for t in config.tunnels}
        self._taken_over = False  # what an earlier agent left behind
        self._applied: set[str] | None = None  # None: FRR is to be told in any case
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
            self._log.say(f"handover-{bool(request)}", said, logging.INFO)
        self._request = request
        self._applied, self._next = None, 0.0

    async def update(self, reports: Iterable[TunnelReport], now: float) -> None:
        """Take the tunnels' reports and have FRR follow. FRR's errors are logged, and it is tried again."""
        if not self._taken_over and now >= self._next and not self._draining:
            await self._take_over(now)
        for report in reports:
            rule = self._rules[report.name]
            if rule.update(report, now):
                self._next = now
                verb, why = ("is now the last choice", rule.why) if rule.away else ("is itself again", "it has healed")
                self._log.say(f"away-{report.name}", f"tunnel {report.name} {verb}: {why}", logging.INFO)
        settled = self._applied == self.away and not self.away
        if self._taken_over and now >= self._next and not settled and not self._draining:
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
        for commands in self._static_steps(set(self._static)):
            await frr.vtysh(*commands)

    async def _take_over(self, now: float) -> None:
        """Leave the last choice what an earlier agent has made so by answers that were missed.

        Static routes tell that apart from what was handed over on request. BGP's route maps do not: while everything is
        handed over, or the host was to stop, they say nothing of a tunnel.
        """
        try:
            text = await frr.vtysh("show running-config")
        except frr.FrrError as exc:
            self._log.say("steering", f"FRR cannot be asked which tunnels it prefers: {exc}")
            self._next = now + RETRY_SECONDS
            return
        self._taken_over = True
        running, lines = frr.read_running(text), {line.strip() for line in text.splitlines()}
        left = {
            name
            for name, tunnel in self._static.items()
            if not lines.isdisjoint(frr.static_words(self._routes(tunnel), frr.LAST_CHOICE))
        }
        if not self._request and not running.graceful_shutdown:
            left |= {name for name, tunnel in self._bgp.items() if running.begun(tunnel.peer_inside_address)}
        for name in sorted(left):
            self._rules[name].take_over()
            text = f"tunnel {name} was the last choice and stays so until it is seen to carry"
            self._log.say(f"left-{name}", text, logging.INFO)

    async def _apply(self, now: float) -> None:
        self._next = now + RETRY_SECONDS
        wanted = self.away
        try:
            for commands in self._static_steps(wanted):  # first, since nobody else sees to a static tunnel that is dead
                await frr.vtysh(*commands)
            complete = await self._set_bgp(wanted)
        except frr.FrrError as exc:
            self._log.say("steering", f"FRR cannot be told which tunnels to prefer: {exc}")
            return
        self._applied = wanted
        self._next = now + (CONFIRM_SECONDS if complete else RETRY_SECONDS)

    async def _set_bgp(self, wanted: set[str]) -> bool:
        """Whether FRR has all of them: one that starts may not have read its configuration to the end."""
        if not self._bgp:
            return True
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
        return peers <= running.peers

    def _static_steps(self, wanted: set[str]) -> list[list[str]]:
        """Commands for all static routes, the last choice of all first."""
        routes: dict[int | None, list[str]] = {frr.LAST_CHOICE: [], frr.HANDED_OVER: [], None: []}
        for name, tunnel in self._static.items():
            distance = frr.HANDED_OVER if name in wanted else None
            routes[frr.LAST_CHOICE if self._rules[name].shown else distance] += self._routes(tunnel)
        return [frr.static_commands(of, distance) for distance, of in routes.items() if of]

    def _routes(self, tunnel: Tunnel) -> tuple[str, ...]:
        return tunnel_config.static_routes(self._config.deployment, tunnel, self._config.data_plane)
