# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways, tunnels, sites and the ways between them, as the faults of the moment leave them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from random import Random

from ansible_collections.vpnha.aws.plugins.module_utils.judge_gateway import GOES_ON, GOODBYE_LASTS
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    AgentReport,
    Deployment,
    GatewayEvidence,
    ManagedEvidence,
    ManagedProbeEvidence,
    Tunnel,
    TunnelReport,
)

from .ec2_model import WALL, WORD_LASTS, Ec2Model
from .faults import Fault
from .streams import EVERY, RTT, Stream

Pair = tuple[str, str]
SHUTDOWN = 3.0  # seconds from the announcement of a shutdown to silence
EVERYWHERE = ("blackout of everything",)
WITNESS_LAG = 4.0  # seconds after which EC2 says that a managed gateway's connections are down
OFF = ("power off", "host hangs", "host hangs hard", "host dead for good")
_Lasting = tuple[str, dict[str, TunnelReport], dict[str, str], str]  # charon, tunnels, paths, stopping
_NEVER: tuple[float, _Lasting] = (math.inf, ("", {}, {}, ""))
STOPS = ("announced stop", "stop instance", "stopped by somebody", "terminated by somebody")


class Truth:
    """Stretches of time in which something was really so."""

    def __init__(self) -> None:
        self._stretches: dict[object, list[list[float]]] = {}
        self._open: dict[object, float] = {}

    def note(self, what: object, now: float, holds: bool) -> None:
        """From now on it is so, or not."""
        if holds and what not in self._open:
            self._open[what] = now
        elif not holds and what in self._open:
            self._stretches.setdefault(what, []).append([self._open.pop(what), now])

    def since(self, what: object) -> float | None:
        """Since when it has been so without a break; None if it is not."""
        return self._open.get(what)

    def stretches(self, what: object, now: float) -> Iterable[tuple[float, float]]:
        """All (begin, end), the one that lasts up to now included."""
        yield from ((begin, end) for begin, end in self._stretches.get(what, ()))
        if what in self._open:
            yield self._open[what], now

    def within(self, what: object, begin: float, now: float, least: float) -> bool:
        """Whether it was so for at least so long, in a stretch that reaches into the time since ``begin``.

        A break in which no probe need have been sent is none: nobody can know of it.
        """
        since = ended = -math.inf
        for start, end in self.stretches(what, now):
            if start - ended >= EVERY:
                since = start
            ended = end
            if end >= begin and end - since >= least:
                return True
        return False


class World:
    """Everything outside the monitor."""

    def __init__(self, plan: Deployment, random: Random, seed: int) -> None:
        self.plan, self.random = plan, random
        self.bgp_mode = plan.sites[0].routing == "bgp"
        self.ec2 = Ec2Model(plan, random)
        self.now = 0.0
        self.skew = 0.0  # of the monitor's wall clock, seconds
        self.faults: list[Fault] = []  # active ones
        self._walls: list[Fault] = []  # gateways that forward nothing, since EC2 checks source and destination
        self._struck: set[tuple[str, tuple[str, ...]]] = set()  # their kinds and places
        self.truth = Truth()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.gateways = [gateway.name for gateway in plan.gateways]
        self.sites = [site.name for site in plan.sites]
        self.pairs: list[Pair] = [(gateway, site) for gateway in self.gateways for site in self.sites]
        number = iter(range(1, 10_000))

        def stream() -> Stream:
            return Stream(seed * 10_000 + next(number), 0.0)

        self.hearts = {gateway: stream() for gateway in self.gateways}
        self.pings = {gateway: stream() for gateway in self.gateways}
        self.peers = {(i, j): stream() for i in self.gateways for j in self.gateways if i != j}
        self.probes = {pair: stream() for pair in self.pairs}
        self.targets = {pair: stream() for pair in self.pairs}
        self.session = dict.fromkeys(self.pairs, True)  # BGP
        self._turns = dict.fromkeys(self.pairs, 0)
        self._ready = dict.fromkeys(self.pairs, 0.0)  # when the tunnel is up after a boot
        self.unpowered: set[str] = set()  # stopped or rebooted by the monitor
        self._was_on = dict.fromkeys(self.gateways, True)
        self._was_agent = dict.fromkeys(self.gateways, True)
        self.managed = {(one.name, site): stream() for one in plan.managed_gateways for site in self.sites}
        self._tunnels = {
            gateway: [tunnel for tunnel in plan.tunnels if tunnel.gateway == gateway] for gateway in self.gateways
        }
        self._others = {gateway: [other for other in self.gateways if other != gateway] for gateway in self.gateways}
        self._reports: dict[str, tuple[float, AgentReport]] = {}
        self._calm_tunnels: dict[Pair, TunnelReport] = {}
        # gateway -> since when its agent says the same but for its peers, until something happens, and what it says
        self._lasting: dict[str, tuple[float, _Lasting]] = {}

    # --- time ---------------------------------------------------------------------------------------------

    def at(self, t: float, do: Callable[[], None]) -> None:
        """Do something at a time."""
        self._count += 1
        heapq.heappush(self._timers, (t, self._count, do))

    @property
    def wall(self) -> float:
        """What the monitor's wall clock shows."""
        return self.aws_wall + self.skew

    @property
    def aws_wall(self) -> float:
        """What AWS's clock shows."""
        return WALL + self.now

    def next_timer(self) -> float:
        """When the next thing is due."""
        return self._timers[0][0] if self._timers else float("inf")

    def due_by(self, t: float) -> int:
        """How many things are due up to then."""
        return sum(timer[0] <= t for timer in self._timers)

    def advance(self, t: float) -> None:
        """Let time pass up to ``t``, doing what is due on the way."""
        while self._timers and self._timers[0][0] <= t:
            self.now, _number, do = heapq.heappop(self._timers)
            do()
        self.now = t

    # --- what the faults leave ------------------------------------------------------------------------------

    def has(self, kinds: Iterable[str], where: tuple[str, ...] = ()) -> bool:
        """Whether a fault of one of the kinds strikes here now."""
        struck = self._struck
        if struck:  # asked for so often that it matters
            for kind in kinds:
                if (kind, where) in struck:
                    return True
        return False

    def announced(self, gateway: str) -> bool:
        """Its agent has said that the host goes down."""
        return self.has(STOPS, (gateway,))

    def said_goodbye(self, gateway: str) -> bool:
        """The last that the monitor has of its agent, and not for long, is that the host goes down."""
        at, report = self._reports.get(gateway, (-math.inf, None))
        return report is not None and report.stopping == "host" and self.now - at <= GOODBYE_LASTS

    def walled(self, begin: float) -> bool:
        """EC2's word was then that a gateway forwards nothing, so that nobody asked how its tunnels were."""
        return any(fault.start <= begin and fault.end + WORD_LASTS >= begin for fault in self._walls)

    def on(self, gateway: str) -> bool:
        """It has power and has booted."""
        if self.has(OFF, (gateway,)) or gateway in self.unpowered or self.has(("every gateway off",)):
            return False
        if not self.has(STOPS, (gateway,)):
            return True
        return not any(
            fault.kind in STOPS and fault.where == (gateway,) and self.now >= fault.start + SHUTDOWN
            for fault in self.faults
        )

    def agent(self, gateway: str) -> bool:
        """Its agent runs."""
        return self.on(gateway) and not self.has(("agent dead", "agent restart"), (gateway,))

    def link(self, gateway: str) -> bool:
        """Packets pass between monitor and gateway."""
        return not (
            self.has(("monitor isolated", *EVERYWHERE))
            or self.has(("monitor cut from gateway", "gateway cut off", "gateway blackout"), (gateway,))
        )

    def between(self, one: str, other: str) -> bool:
        """Packets pass between two gateways."""
        cut = ("gateway cut off", "gateway blackout")
        return not (self.has(EVERYWHERE) or self.has(cut, (one,)) or self.has(cut, (other,)))

    def tunnel(self, pair: Pair) -> bool:
        """The tunnel carries packets."""
        gateway, site = pair
        return (
            self.on(gateway)
            and self.now >= self._ready[pair]
            and not self.has(("charon dead", "gateway blackout"), (gateway,))
            and not self.has(("tunnel cut", "tunnel blackout"), pair)
            and not self.has(("site down", "every tunnel cut"), (site,))
            and not self.has(EVERYWHERE)
        )

    def managed_way(self, site: str) -> bool:
        """The managed gateway carries packets."""
        return not (self.has(("managed gateway cut", *EVERYWHERE)) or self.has(("site down",), (site,)))

    def loss(self, gateway: str) -> float:
        """Share of round trips with the gateway that are lost."""
        if self.has(("gateway loses 40 %",), (gateway,)):
            return 0.4  # one way
        return 0.19 if self.has(("gateway loses 10 %",), (gateway,)) else 0.0  # 10 % each way

    def way(self, pair: Pair) -> str:
        """How the gateway's packets for the site leave."""
        gateway, site = pair
        if not self.bgp_mode:
            probe = self.probes[pair]
            return "tunnel" if probe.calm(self.now, 0.5) or not probe.stats(self.now, 0.5, 10.0).silent else "none"
        if self.session[pair]:
            return "tunnel"
        others = [o for o in self.gateways if o != gateway and self.session[o, site] and self.on(o)]
        return "neighbour" if any(self.between(gateway, other) for other in others) else "none"

    # --- change -------------------------------------------------------------------------------------------

    def begin(self, fault: Fault) -> None:
        """A fault strikes."""
        self.faults.append(fault)
        if fault.kind == "source/dest check":
            self._walls.append(fault)
        self._struck.add((fault.kind, fault.where))
        if fault.kind in STOPS:
            self.at(fault.start + SHUTDOWN, self.settle)
        self.settle()

    def end(self, fault: Fault) -> None:
        """A fault is mended."""
        self.faults.remove(fault)
        self._struck = {(other.kind, other.where) for other in self.faults}
        self.settle()

    def settle(self) -> None:
        """Let every stream, session and truth follow from the faults of the moment."""
        now = self.now
        for gateway in self.gateways:
            self._settle_hosts(gateway)
            loss = self.loss(gateway)
            late = 0.3 if self.has(("gateway overloaded",), (gateway,)) else RTT
            linked = self.link(gateway)
            self.hearts[gateway].change(now, loss if linked and self.agent(gateway) else 1.0, late)
            self.pings[gateway].change(now, loss if linked and self.on(gateway) else 1.0)
            for other in self.gateways:
                if other != gateway:
                    heard = self.between(gateway, other) and self.agent(other) and self.agent(gateway)
                    self.peers[gateway, other].change(now, max(loss, self.loss(other)) if heard else 1.0)
        for pair in self.pairs:
            gateway, site = pair
            loss = max(self.loss(gateway), 0.4 if self.has(("tunnel loses 40 %",), pair) else 0.0)
            carries = self.tunnel(pair)
            self.probes[pair].change(now, loss if carries else 1.0)
            behind = not self.has(("site not behind peer",), pair) and not self.has(("site's servers down",), (site,))
            self.targets[pair].change(now, loss if carries and behind else 1.0)
            self._settle_session(pair)
        for (_gateway, site), probes in self.managed.items():
            answers = self.managed_way(site) and not self.has(("site's servers down",), (site,))
            probes.change(now, 0.0 if answers and not self.has(("monitor isolated",)) else 1.0)
        self.settle_truth()

    def _settle_hosts(self, gateway: str) -> None:
        on, agent = self.on(gateway), self.agent(gateway)
        if on and not self._was_on[gateway]:
            for site in self.sites:
                ready = self.now + self.random.uniform(0.5, 6.0)
                self._ready[gateway, site] = ready
                self.at(ready, self.settle)
        if not on:
            for site in self.sites:
                self.session[gateway, site] = False
        if agent and not self._was_agent[gateway]:
            for site in self.sites:
                self.probes[gateway, site].restart(self.now)
                self.targets[gateway, site].restart(self.now)
            for other in self.gateways:
                if other != gateway:
                    self.peers[gateway, other].restart(self.now)
        self._was_on[gateway], self._was_agent[gateway] = on, agent

    def _settle_session(self, pair: Pair) -> None:
        """BFD takes half a second to see a dead tunnel, BGP some seconds to come back."""
        wanted = self.tunnel(pair) and not self.has(("bgp down",), pair)
        self._turns[pair] += 1
        turn = self._turns[pair]
        if wanted == self.session[pair]:
            return
        delay = self.random.uniform(0.5, 6.0) if wanted else 0.55

        def turned() -> None:
            if self._turns[pair] == turn:
                self.session[pair] = wanted
                self._turns[pair] += 1
                self.settle_truth()

        self.at(self.now + delay, turned)

    def settle_truth(self) -> None:
        """Note what is really so now, for whoever judges the decision later."""
        now = self.now
        self._lasting.clear()
        for pair in self.pairs:
            gateway, site = pair
            dead = not (self.tunnel(pair) and (self.session[pair] or not self.bgp_mode))
            witnesses = [
                other
                for other in self.gateways
                if other != gateway and self.agent(other) and self.link(other) and self.between(gateway, other)
            ]
            unheard = not self.link(gateway) and not (witnesses and self.agent(gateway))
            bad_host = not self.on(gateway) or self.announced(gateway) or unheard
            self.truth.note(("dead", pair), now, dead or not self.on(gateway))
            self.truth.note(("bad", pair), now, dead or bad_host or self.has(("site not behind peer",), pair))
            self.truth.note(("unfit", pair), now, dead or bad_host)
            self.truth.note(("bad host", gateway), now, bad_host)
            self.truth.note(("deaf", gateway), now, self._somebody_lost(gateway))
        for gateway, site in self.managed:
            dead = not self.managed_way(site)
            self.truth.note(("dead", (gateway, site)), now, dead)
            self.truth.note(("bad", (gateway, site)), now, dead or self.has(("site's servers down",), (site,)))
            self.truth.note(("unfit", (gateway, site)), now, dead)
        self.truth.note("managed gateway cut", now, self.has(("managed gateway cut",)))
        heard_from = [gateway for gateway in self.gateways if self.agent(gateway) and self.link(gateway)]
        staying = [gateway for gateway in heard_from if not self.announced(gateway)]
        # where two have lost a site, one that is not heard is not asked; where one has, it may be its tunnel alone
        seen = len(heard_from) == len(self.gateways) or len(staying) >= 2
        for site in self.sites:
            down = all(not self.tunnel((gateway, site)) for gateway in self.gateways)
            down = down and not (self.managed and self.managed_way(site))
            self.truth.note(("site down", site), now, seen and down)
            lost = all(self.truth.since(("dead", (gateway, site))) is not None for gateway in self.led_to)
            self.truth.note(("no way", site), now, lost)
            self.truth.note(("site dark", site), now, len(heard_from) >= 2 and down)
        heard = any(self.link(g) and self.on(g) for g in self.gateways)
        self.truth.note("gateways unheard", now, not heard)
        heard = heard or any(stream.condition[0] < 1.0 for stream in self.managed.values())
        self.truth.note("isolated", now, not heard)

    def _somebody_lost(self, gateway: str) -> bool:
        """Another gateway, which the monitor hears, does not hear this one."""
        return any(
            self.agent(other) and self.link(other) and not (self.agent(gateway) and self.between(gateway, other))
            for other in self.gateways
            if other != gateway
        )

    def cut_off(self) -> list[tuple[float, float]]:
        """When the monitor was cut off for so long that it must have noticed, in the form of `Truth.stretches`.

        Of a managed gateway it takes longer, the longer all the others have been silent by then.
        """
        timing, found = self.plan.timing, []
        unheard = list(self.truth.stretches("gateways unheard", self.now))
        for begin, end in self.truth.stretches("isolated", self.now):
            window = timing.window
            if self.managed:
                since = max((at for at, _until in unheard if at <= begin), default=begin)
                window = max(window, min(timing.managed_window, end - since - GOES_ON * window))
            if end - begin > window + 0.1:
                found.append((begin, end))
        return found

    # --- what the monitor sees ------------------------------------------------------------------------------

    def restart_monitor(self) -> None:
        """Its counts begin anew."""
        for stream in (*self.hearts.values(), *self.pings.values(), *self.managed.values()):
            stream.restart(self.now)

    def forget_reports(self) -> None:
        """A new monitor has no reports."""
        self._reports.clear()

    def seen(self, gateway: str, heard: bool) -> GatewayEvidence:
        """What the monitor knows of a gateway; ``heard``: in this monitor's life before this moment."""
        timing = self.plan.timing
        heartbeat = self.hearts[gateway].stats(self.now, timing.window, timing.grey_window)
        newest = self._reports.get(gateway)
        if heartbeat.last_answer_age is not None:
            at = self.now - heartbeat.last_answer_age
            if newest is None or at > newest[0] + 1e-6:
                newest = self._reports[gateway] = at, self._report(gateway, at)
            heard = True
        return GatewayEvidence(
            heartbeat,
            self.pings[gateway].stats(self.now, timing.window, timing.grey_window),
            newest[1] if newest else None,
            self.now - newest[0] if newest else None,
            heard,
        )

    @property
    def led_to(self) -> list[str]:
        """All that routes may lead to."""
        return [target.name for target in self.plan.targets]

    def seen_managed(self) -> dict[str, ManagedEvidence]:
        """What the monitor knows of the managed gateways."""
        timing = self.plan.timing
        since = self.truth.since("managed gateway cut")
        word = "down" if since is not None and self.now - since >= WITNESS_LAG else "up"
        found: dict[str, dict[str, ManagedProbeEvidence]] = {}
        for (gateway, site), probes in self.managed.items():
            stats = probes.stats(self.now, timing.managed_window, timing.grey_window)
            found.setdefault(gateway, {})[site] = ManagedProbeEvidence(stats, RTT)
        return {
            gateway: ManagedEvidence(probes, word, 1.0, "As the world has it.") for gateway, probes in found.items()
        }

    def _report(self, gateway: str, at: float) -> AgentReport:
        peers = {other: self.peers[gateway, other].last_answer_age(at) for other in self._others[gateway]}
        since, lasting = self._lasting.get(gateway, _NEVER)
        if at < since:
            own = self._tunnels[gateway]
            lasting = (
                "dead" if self.has(("charon dead",), (gateway,)) else "alive",
                {tunnel.name: self._tunnel_report(tunnel, at) for tunnel in own},
                {site: self.way((gateway, site)) for site in self.sites},
                "host" if self.announced(gateway) else "",
            )
            if all(self._calm_tunnels.get((gateway, one.site)) is lasting[1][one.name] for one in own):
                self._lasting[gateway] = at, lasting
        charon, tunnels, paths, stopping = lasting
        return AgentReport("boot", "agent", charon, tunnels, paths, peers, stopping)

    def _tunnel_report(self, tunnel: Tunnel, at: float) -> TunnelReport:
        """A tunnel's figures; while nothing is amiss, those of an earlier moment, which differ by a probe's age."""
        pair = (tunnel.gateway, tunnel.site)
        probe, target, slow = self.probes[pair], self.targets[pair], self.plan.timing.grey_window
        ike = "connecting" if self.has(("ike down",), pair) else "established"
        bgp = "static" if not self.bgp_mode else "established" if self.session[pair] else "down"
        large_loss = 1.0 if self.has(("tunnel mtu",), pair) else 0.0
        calm = probe.calm(at, slow) and target.calm(at, slow)
        made = self._calm_tunnels.get(pair) if calm else None
        if made is not None and (made.ike, made.bgp, made.large_loss) == (ike, bgp, large_loss):
            return made
        window = self.plan.timing.tunnel_window
        probed, reached = probe.stats(at, window, slow), target.stats(at, window, slow)
        made = TunnelReport(tunnel.name, ike, "installed", probed, reached, large_loss, bgp)
        if calm:
            self._calm_tunnels[pair] = made
        return made
