# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on tunnels and on each gateway's way to each site.

What a probe sent through the tunnel says outweighs what IKE says of it: a security association can look
fine and carry nothing, and packets can pass while IKE is down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .judge_managed import ManagedWay
from .model import AgentReport, Deployment, GatewayEvidence, LossStats, Site, Timing, Tunnel, TunnelReport, Verdict
from .verdicts import Judgement, Pair, Remark, fresh, good, grey, one_way_loss, silent

LARGE_LOSS = 0.5  # share of full-size probes lost, while small ones pass, that means an MTU fault
LOSSY = 0.25  # share of a tunnel's own probes lost over a window, from which on its targets' silence may be chance
_CARRIES = (Verdict.UP, Verdict.GREY)
_FOR_A_MOMENT = ("gateway-suspect", "monitor-observing")  # what a gateway is called until more is known of it


@dataclass(slots=True)
class Judged:
    """A tunnel and its verdict."""

    tunnel: Tunnel
    judgement: Judgement
    report: TunnelReport | None  # a recent one
    age: float  # of that report, seconds

    @property
    def carries(self) -> bool:
        """Packets pass, if not all of them."""
        return self.judgement.verdict in _CARRIES

    @property
    def lossy(self) -> bool:
        """Its own probes are lost so often that its targets' silence may be chance."""
        return self.report is not None and self.report.probe.lost > LOSSY * self.report.probe.sent

    def target(self, reading: Callable[[LossStats, float, float], bool], window: float) -> bool:
        """What the probes to the site's targets say, read in this way."""
        return self.report is not None and reading(self.report.target, window, self.age)


def judge_tunnels(
    deployment: Deployment, gateways: Mapping[str, Judgement], seen: Mapping[str, GatewayEvidence]
) -> list[Judged]:
    """The verdicts on all tunnels, in the deployment's order."""
    timing = deployment.timing
    sites = {site.name: site for site in deployment.sites}
    reports = {name: each.recent_report(timing.window) for name, each in seen.items()}
    found = []
    for tunnel in deployment.tunnels:
        agent = reports.get(tunnel.gateway)
        age = (seen[tunnel.gateway].report_age or 0.0) if agent is not None else 0.0
        report = agent.tunnels.get(tunnel.name) if agent is not None else None
        judgement = judge_tunnel(
            tunnel, sites[tunnel.site], gateways[tunnel.gateway], timing, agent=agent, report=report, age=age
        )
        found.append(Judged(tunnel, judgement, report, age))
    return found


def judge_tunnel(
    tunnel: Tunnel,
    site: Site,
    gateway: Judgement,
    timing: Timing,
    *,
    agent: AgentReport | None,
    report: TunnelReport | None,
    age: float,
) -> Judgement:
    """The verdict on one tunnel, by the recent report of its gateway's ``agent`` and what that says of the tunnel."""
    if gateway.verdict is Verdict.DOWN:
        return Judgement(Verdict.DOWN, gateway.code, gateway.text, gateway_wide=True)
    if agent is None or report is None:
        return Judgement(Verdict.UNKNOWN, "tunnel-unknown", f"There is no recent report on {tunnel.name}.")
    # the site answers over this tunnel only, so its answers prove the tunnel as well as the peer's own do
    by_probe = fresh(report.probe, timing.tunnel_window, age)
    by_target = not by_probe and fresh(report.target, timing.tunnel_window, age)
    if not by_probe and not by_target:
        unanswered = not report.target.sent or silent(report.target, timing.tunnel_window, age)
        if unanswered and silent(report.probe, timing.tunnel_window, age):
            code, why = _reason(report, agent)
            text = f"No probe through {tunnel.name} is answered: {why}."
            return Judgement(Verdict.DOWN, code, text, patience=timing.bgp_grace if site.routing == "bgp" else 0.0)
        if report.probe.last_answer_age is None and report.target.last_answer_age is None:
            return Judgement(Verdict.UNKNOWN, "tunnel-unknown", f"{tunnel.name} has not been probed for a window yet.")
        return Judgement(Verdict.SUSPECT, "tunnel-suspect", f"Probes through {tunnel.name} are missing.")
    if site.routing == "bgp" and report.bgp == "down":
        text = f"{tunnel.name} carries packets, but its BGP session is down."
        return Judgement(Verdict.DOWN, "bgp-down", text, patience=timing.bgp_grace)
    inside = report.target if by_target else report.probe
    if grey(inside, timing.grey_loss) and (not report.target.sent or grey(report.target, timing.grey_loss)):
        share = round(100 * one_way_loss(inside))
        return Judgement(Verdict.GREY, "tunnel-grey", f"{tunnel.name} loses {share} % of its packets each way.")
    if report.large_loss >= LARGE_LOSS:
        share = round(100 * report.large_loss)
        return Judgement(Verdict.GREY, "tunnel-mtu", f"{tunnel.name} loses {share} % of large packets only.")
    return good("tunnel-up", "{} carries packets.", tunnel.name)


def _reason(report: TunnelReport, agent: AgentReport) -> tuple[str, str]:
    if agent.charon == "dead":
        return "charon-dead", "charon does not run"
    if agent.charon == "hung":
        return "charon-hung", "charon does not answer"
    if report.ike in ("missing", "connecting"):
        return "ike-sa-missing", f"its IKE SA is {report.ike}"
    if report.child == "missing":
        return "child-sa-missing", "its CHILD SA is missing"
    return "tunnel-nothing-returns", "its security associations are up, but nothing comes back"


def tunnel_remarks(judged: Judged, seen: GatewayEvidence | None) -> list[Remark]:
    """What should be told of a tunnel that carries packets, besides its verdict."""
    tunnel, report = judged.tunnel, judged.report
    if report is None or seen is None or seen.report is None:
        return []
    if seen.report.charon != "alive":
        text = f"{tunnel.name} carries packets, but charon on {tunnel.gateway} is {seen.report.charon}."
        return [Remark("charon-silent-esp-passes", tunnel.name, text, delay=2.0)]
    if report.ike in ("missing", "connecting"):
        text = f"{tunnel.name} carries packets, but its IKE SA is {report.ike}."
        return [Remark("ike-down-esp-passes", tunnel.name, text, delay=2.0)]
    if report.ike == "unanswered":
        text = f"{tunnel.name} carries packets, but its peer does not answer IKE."
        return [Remark("ike-down-esp-passes", tunnel.name, text)]
    return []


class Paths(NamedTuple):
    """Every gateway's way to every site, and the sites that no tunnel leads to."""

    verdicts: dict[Pair, Judgement]
    down: dict[str, str]  # the sites that are down through every gateway, with what shows it
    silent: dict[str, str]  # the sites whose targets answer nobody, though tunnels carry, with what shows it
    dark: frozenset[str]  # those to which every tunnel is down, while a managed gateway may still lead there
    quiet: frozenset[str]  # of these, those that have not answered through one for a moment either


def judge_paths(
    deployment: Deployment,
    gateways: Mapping[str, Judgement],
    tunnels: Iterable[Judged],
    managed: Mapping[str, Sequence[ManagedWay]],
    seen: Mapping[str, GatewayEvidence],
    *,
    were_down: Mapping[str, str],
) -> Paths:
    """The verdict on every (gateway, site), and the sites that no tunnel leads to.

    ``managed`` are the managed gateways' ways by site, ``were_down`` the sites that were down a moment ago.
    """
    best: dict[str, dict[str, Judged]] = {site.name: {} for site in deployment.sites}
    for one in tunnels:
        name, own = one.tunnel.gateway, best[one.tunnel.site]
        if name not in own or one.judgement.rank < own[name].judgement.rank:
            own[name] = one
    paths: dict[Pair, Judgement] = {
        (way.gateway, site): way.judgement for site, ways in managed.items() for way in ways
    }
    down: dict[str, str] = {}
    mute: dict[str, str] = {}
    dark: set[str] = set()
    quiet: set[str] = set()
    for site in deployment.sites:
        view = _SiteView(site, gateways, best[site.name], managed[site.name], seen, timing=deployment.timing)
        for name in gateways:
            paths[name, site.name] = view.judge(name)
        text = view.down_everywhere(were_down.get(site.name, ""))
        if text:
            down[site.name] = text
        if view.mute:
            mute[site.name] = view.mute
        if view.dark:
            dark.add(site.name)
        if view.quiet:
            quiet.add(site.name)
    return Paths(paths, down, mute, frozenset(dark), frozenset(quiet))


class _SiteView:
    """One site, seen through all gateways at once: what fails through one may work through another."""

    def __init__(
        self,
        site: Site,
        gateways: Mapping[str, Judgement],
        own: Mapping[str, Judged],
        managed: Sequence[ManagedWay],
        seen: Mapping[str, GatewayEvidence],
        *,
        timing: Timing,
    ) -> None:
        self._site, self._gateways, self._own, self._seen, self._timing = site, gateways, own, seen, timing
        self._managed = managed
        self._carrying = [name for name, best in own.items() if best.carries]
        self._reaching = [name for name in self._carrying if own[name].target(fresh, timing.tunnel_window)]
        self._reaching += [way.gateway for way in managed if way.reaches]

    @property
    def mute(self) -> str:
        """What shows that none of the site's targets answers through any tunnel that carries; empty if it is not so.

        Whether packets get to the site nobody knows then: targets may be off, or all that lies behind the peers. It
        excuses no tunnel that is down, as the others carry what can be carried.
        """
        window = self._timing.tunnel_window
        if self._reaching or not self._carrying:
            return ""
        if not all(self._own[name].target(silent, window) for name in self._carrying):
            return ""
        return f"The tunnels to {self._site.name} carry packets, but none of its probe targets answers."

    @property
    def dark(self) -> bool:
        """Whether every tunnel is down, while a managed gateway may carry packets."""
        return any(way.may_carry for way in self._managed) and bool(self._witnesses())

    @property
    def quiet(self) -> bool:
        """Whether it is dark, and nothing has come back through a managed gateway for a moment either."""
        return self.dark and not any(way.lately for way in self._managed)

    def judge(self, name: str) -> Judgement:
        """The verdict on one gateway's way to the site."""
        gateway, own, timing = self._gateways[name], self._own.get(name), self._timing
        if gateway.verdict not in _CARRIES:
            return Judgement(gateway.verdict, gateway.code, gateway.text, gateway_wide=True)
        if own is not None and own.judgement.verdict in (Verdict.SUSPECT, Verdict.UNKNOWN):
            return own.judgement
        seen = self._seen.get(name)
        report = seen.recent_report(timing.window) if seen is not None else None
        if own is None and report is None and set(self._carrying) - {name}:
            text = f"There is no recent report on {name}'s way to {self._site.name}."
            return Judgement(Verdict.UNKNOWN, "tunnel-unknown", text)
        way = report.paths.get(self._site.name, "") if report is not None else ""
        if way == "neighbour" and set(self._carrying) - {name}:
            why = own.judgement.text if own is not None else "It has no tunnel there."
            text = f"{name} hands packets for {self._site.name} to another gateway. {why}"
            asked = report is not None and report.handed_over
            return Judgement(Verdict.VIA_NEIGHBOUR, "via-neighbour", text, on_purpose=asked)
        if own is None:
            text = f"{name} has no tunnel to {self._site.name}."
            return Judgement(Verdict.DOWN, "no-path", text, patience=timing.bgp_grace)
        if own.judgement.verdict not in _CARRIES:
            return own.judgement
        if way in ("none", "neighbour"):
            text = f"{name} has no route to {self._site.name}, although {own.tunnel.name} carries packets."
            return Judgement(Verdict.DOWN, "no-path", text, patience=timing.bgp_grace)
        if own.target(silent, timing.tunnel_window) and not own.lossy:
            others = [other for other in self._reaching if other != name]
            if others:
                text = f"{self._site.name} answers through {', '.join(others)}, but not through {name}."
                return Judgement(Verdict.DOWN, "site-not-behind-peer", text, patience=timing.tunnel_window)
        if gateway.verdict is Verdict.GREY:
            return Judgement(Verdict.GREY, gateway.code, gateway.text, gateway_wide=True)
        if own.judgement.verdict is Verdict.GREY:
            return own.judgement
        return good("path-up", "{} is reached through {}.", self._site.name, name)

    def down_everywhere(self, before: str) -> str:
        """What shows that the site is down through every gateway; empty if it is not.

        A gateway that is down itself, or unknown, says nothing of the site, and one witness alone may have lost its own
        tunnel: it takes two, if two have tunnels there. A managed gateway through which something of the site answers,
        or may still answer, speaks against it. ``before`` is what has shown it so far: it holds until a tunnel or a
        managed gateway carries packets again, whatever becomes of the witnesses.
        """
        if self._carrying:
            return ""
        alive = any(way.carries for way in self._managed)
        witnesses = self._witnesses()
        if witnesses and not self.dark:
            return f"No tunnel to {self._site.name} carries packets, through {' or '.join(witnesses)}."
        return "" if alive else before

    def _witnesses(self) -> list[str]:
        """The gateways that show that every tunnel to the site is down; none if not enough of them do.

        Each of them works, and its agent says that its own tunnel is down. A managed gateway that has fallen silent is
        one as well, beside one with a tunnel of its own.
        """
        witnesses = [
            name
            for name, best in self._own.items()
            if best.judgement.verdict is Verdict.DOWN and self._gateways[name].verdict in _CARRIES
        ]
        witnesses += [way.gateway for way in self._managed if way.fell_silent] if witnesses else []
        enough = 0 < min(2, len(self._own)) <= len(witnesses)
        return witnesses if enough and not any(map(self._may_carry, self._own)) else []

    def _may_carry(self, name: str) -> bool:
        """Whether a gateway's tunnel carries packets, or a moment will tell whether it does.

        One whose agent is dead, or that was never heard, may tell nothing for hours: nobody waits for its word.
        """
        best = self._own[name]
        if best.judgement.verdict is Verdict.UNKNOWN:
            return best.report is not None or self._gateways[name].code in _FOR_A_MOMENT
        return best.judgement.verdict is not Verdict.DOWN
