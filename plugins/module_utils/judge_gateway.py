# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's verdict. ``down`` needs two signs: a silent agent on a working gateway is no dead gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .model import Evidence, GatewayEvidence, Instance, LossStats, Timing, Verdict
from .verdicts import Judgement, Remark, fresh, good, grey, one_way_loss, silent

NOT_RUNNING = ("stopping", "stopped", "shutting-down", "terminated")
VETO_SHARE = 0.9  # of the window, all but a heartbeat: who heard a gateway this recently vetoes its being down
APART_SHARE = 0.4  # of the window: if the monitor lost it this much earlier, its own way there is at fault...
WITNESS_WINDOWS = 2.0  # ...and the witness, then the only one who could know, must have lost it for this many windows
WITNESS_LOSS = 0.25  # of the window: a witness that has lost more may have heard nobody itself
GOES_ON = 0.2  # of the window: so much later than the gateways' last answers a managed gateway's must be
CHANCE_WINDOWS = 2.0  # a gateway that is losing packets anyway may be silent by chance for less than so many windows
MONITOR_VETO_AGE = 2.0  # seconds that another monitor's published "healthy" counts
GOODBYE_LASTS = 30.0  # seconds; a host that shuts down answers no ping later than that
MESH_DELAY = 20.0  # seconds that a session gets to come back, as after FRR's restart
FILTER_DELAY = 5.0  # seconds that an agent gets to load its filter again before people are told
RETIREMENT_LEAD = 24 * 3600.0  # seconds before an announced retirement that routes leave


def judge_gateway(name: str, evidence: Evidence, timing: Timing, pingable: bool = False) -> Judgement:
    """The verdict on one gateway; ``pingable``: it has answered ICMP before, so that its silence means something."""
    seen = evidence.gateways.get(name)
    instance = _instance(name, evidence)
    if seen is None:
        return Judgement(Verdict.UNKNOWN, "gateway-unheard", f"Nothing is known of {name}.")
    if _shuts_down(seen) and not _heard_since(name, seen, evidence, timing):
        return Judgement(Verdict.DOWN, "gateway-stopping", f"{name} has announced that its host is shutting down.")
    if fresh(seen.heartbeat, timing.window):
        return _answering(name, seen, instance, timing)
    if not silent(seen.heartbeat, timing.window):
        if not seen.heartbeat.window_full:
            text = f"{name} has not been observed for a full window yet."
            return Judgement(Verdict.UNKNOWN, "monitor-observing", text)
        return Judgement(Verdict.SUSPECT, "gateway-suspect", f"{name} has missed answers{_since(seen.heartbeat)}.")
    return _silent(name, seen, evidence, timing, pingable)


def _shuts_down(seen: GatewayEvidence) -> bool:
    """Whether its agent has said so, and the host has not answered so long after that it must have come back."""
    if seen.report is None or seen.report.stopping != "host":
        return False
    answered, said = seen.icmp.last_answer_age, seen.report_age
    return answered is None or said is None or said - answered <= GOODBYE_LASTS


def _heard_since(name: str, seen: GatewayEvidence, evidence: Evidence, timing: Timing) -> bool:
    """Whether another one hears it so long after its goodbye that it must have come back, though not for us."""
    return seen.report_age is not None and seen.report_age > GOODBYE_LASTS and bool(heard_by(name, evidence, timing))


def _answering(name: str, seen: GatewayEvidence, instance: Instance | None, timing: Timing) -> Judgement:
    if instance is not None and instance.source_dest_check:
        return Judgement(
            Verdict.DOWN,
            "source-dest-check-on",
            f"{name}'s interface {instance.eni_id} has the source/destination check on and forwards nothing.",
        )
    report = seen.recent_report(timing.window)
    if report is not None and report.dataplane == "forwarding-off":
        text = f"{name}'s kernel does not forward packets: IP forwarding is off."
        return Judgement(Verdict.DOWN, "forwarding-off", text)
    # an overloaded agent that loses heartbeats is not a gateway that loses packets: ICMP must agree where it works
    if grey(seen.heartbeat, timing.grey_loss) and (
        seen.icmp.last_answer_age is None or grey(seen.icmp, timing.grey_loss)
    ):
        share = round(100 * one_way_loss(seen.heartbeat))
        return Judgement(Verdict.GREY, "gateway-grey", f"{name} loses {share} % of its packets each way.")
    return good("gateway-up", "{} answers.", name)


def _silent(name: str, seen: GatewayEvidence, evidence: Evidence, timing: Timing, pingable: bool) -> Judgement:
    """The agent has been silent over a full window; what do the other signs say?"""
    instance = _instance(name, evidence)
    if _by_chance(seen.heartbeat, timing) and not stands_still(instance):
        text = f"{name} has missed answers{_since(seen.heartbeat)}, as one may that loses packets anyway."
        return Judgement(Verdict.SUSPECT, "gateway-suspect", text)
    witness = heard_by(name, evidence, timing)
    if witness:
        return Judgement(
            Verdict.UNKNOWN,
            "monitor-cut-off-from-gateway",
            f"{name} does not answer the monitor, but {witness} hears it.",
        )
    if stands_still(instance):
        said = instance.state if instance is not None else ""
        return Judgement(
            Verdict.DOWN, "gateway-stopped", f"{name} is silent{_since(seen.heartbeat)} and EC2 says {said}."
        )
    if not silent(seen.icmp, timing.window) or _by_chance(seen.icmp, timing):
        if fresh(seen.icmp, timing.window):
            return Judgement(Verdict.UP, "gateway-up", f"{name} answers ICMP, though not its agent.")
        return Judgement(Verdict.SUSPECT, "gateway-suspect", f"{name}'s agent is silent, ICMP not yet for a window.")
    if not seen.heard_since_start:
        return _never_heard(name, instance, evidence, timing)
    if not pingable and seen.icmp.last_answer_age is None:
        return Judgement(
            Verdict.UNKNOWN, "gateway-no-second-sign", f"{name}'s agent is silent and {name} never answered ICMP."
        )
    return Judgement(
        Verdict.DOWN,
        "gateway-silent",
        f"{name} answers neither heartbeats{_since(seen.heartbeat)} nor ICMP{_since(seen.icmp)}, "
        "and no other gateway hears it.",
    )


def _by_chance(stats: LossStats, timing: Timing) -> bool:
    """Whether random loss, seen before the silence, explains it: at 40 % each way one window in a hundred is empty."""
    age = stats.last_answer_age
    return age is not None and age < CHANCE_WINDOWS * timing.window and grey(stats, timing.grey_loss)


def _never_heard(name: str, instance: Instance | None, evidence: Evidence, timing: Timing) -> Judgement:
    """Silence since the monitor's start proves nothing by itself: it may be the monitor's own fault."""
    if instance is not None and "impaired" in (instance.system_status, instance.instance_status):
        return Judgement(
            Verdict.DOWN, "gateway-impaired", f"{name} was never heard and EC2's status checks of it fail."
        )
    for other, age in peer_ages(name, evidence, timing):
        if age >= WITNESS_WINDOWS * timing.window:
            return Judgement(
                Verdict.DOWN, "gateway-silent", f"{name} was never heard here, and {other} lost it {age:.1f} s ago."
            )
    return Judgement(
        Verdict.UNKNOWN, "gateway-unheard", f"{name} was never heard since the monitor's start, and nobody says why."
    )


def peer_ages(name: str, evidence: Evidence, timing: Timing) -> Iterator[tuple[str, float]]:
    """Who of the other working gateways has heard this one, and how long ago, in seconds.

    One that was itself cut off until just now heard nobody: it counts once most of its own answers are there again, by
    when it has heard whoever is to be heard.
    """
    for other, age in hearings(name, evidence):
        seen = evidence.gateways[other]
        report, told, beats = seen.report, seen.report_age, seen.heartbeat
        if report is None or report.stopping == "host" or told is None or told > timing.window:
            continue
        if beats.lost <= WITNESS_LOSS * beats.sent:
            yield other, age


def hearings(name: str, evidence: Evidence) -> Iterator[tuple[str, float]]:
    """The same of all other gateways: what was heard stays true of its moment, whatever has become of who heard it."""
    for other, seen in evidence.gateways.items():
        if other != name and seen.report is not None and seen.report_age is not None:
            heard = seen.report.peers.get(name)
            if heard is not None:
                yield other, heard + seen.report_age


def heard_by(name: str, evidence: Evidence, timing: Timing) -> str:
    """Who heard the gateway so recently that it cannot be down; empty if nobody did."""
    if evidence.vetoes.get(name, MONITOR_VETO_AGE + 1) <= MONITOR_VETO_AGE:
        return "another monitor"
    seen = evidence.gateways.get(name)
    lost = seen.heartbeat.last_answer_age if seen is not None else None
    for other, age in hearings(name, evidence):
        apart = lost is None or lost - age > APART_SHARE * timing.window
        if age < (WITNESS_WINDOWS if apart else VETO_SHARE) * timing.window:
            return other
    return ""


def hears_nobody(evidence: Evidence, timing: Timing) -> bool:
    """No gateway answers this monitor, in any way, and EC2 does not say that all of them stand still.

    Where answers through a managed gateway have gone on since, it is not the monitor that is cut off.
    """
    stopped, silences = 0, []
    for name, seen in evidence.gateways.items():
        if _answered_within(seen.heartbeat, timing.window) or _answered_within(seen.icmp, timing.window):
            return False
        stopped += stands_still(_instance(name, evidence))
        ages = [seen.heartbeat.last_answer_age, seen.icmp.last_answer_age]
        silences += [age for age in ages if age is not None]
    within = min([timing.managed_window, *(age - GOES_ON * timing.window for age in silences)])
    for managed in evidence.managed.values():
        if any(_answered_within(probe.loss, within) for probe in managed.probes.values()):
            return False
    return stopped < len(evidence.gateways)


def stands_still(instance: Instance | None) -> bool:
    """Whether EC2 says that nothing runs there. An instance that is not shown may only have lost its tags."""
    if instance is None:
        return False
    return instance.state in NOT_RUNNING or (instance.state == "absent" and instance.eni_free)


def gateway_remarks(name: str, judgement: Judgement, evidence: Evidence, timing: Timing) -> list[Remark]:
    """What should be told of a gateway besides its verdict."""
    found: list[Remark] = []
    seen, instance = evidence.gateways.get(name), _instance(name, evidence)
    works = judgement.verdict is Verdict.UP or judgement.verdict is Verdict.GREY
    if works and seen is not None and silent(seen.heartbeat, timing.window):
        text = f"{name}'s agent has been silent{_since(seen.heartbeat)}, but {name} answers ICMP."
        found.append(Remark("agent-silent", name, text, timing.agent_silence_warning))
    report = seen.recent_report(timing.window) if seen is not None else None
    if report is not None:
        found += _dataplane_remarks(name, report.dataplane)
    if instance is None:
        return found
    if works and (instance.system_status == "impaired" or instance.instance_status == "impaired"):
        states = f"system {instance.system_status}, instance {instance.instance_status}"
        text = f"EC2's status checks of {name} fail ({states}), but it works."
        found.append(Remark("status-check-impaired", name, text))
    if instance.eni_id is None:
        found.append(Remark("gateway-absent", name, f"{name} has no network interface in EC2."))
    if instance.retirement_wall is not None and retiring(name, evidence):
        text = f"EC2 will retire {name}'s {instance.instance_id} within a day."
        found.append(Remark("gateway-retiring", name, text))
    return found


def _dataplane_remarks(name: str, word: str) -> Iterator[Remark]:
    if word == "filter-missing":
        text = f"{name} has no packet filter: packets of a site may leave unencrypted, and strangers come in."
        yield Remark("filter-missing", name, text, FILTER_DELAY)
    if word in ("ipv4-forwarding-off", "ipv6-forwarding-off"):
        version = "IPv4" if word.startswith("ipv4") else "IPv6"
        text = f"{name}'s kernel forwards no {version} packets; the others it does, so its routes stay."
        yield Remark("forwarding-partly-off", name, text)


def mesh_remarks(gateways: Mapping[str, Judgement], evidence: Evidence, timing: Timing) -> list[Remark]:
    """The pairs of gateways that work, and do not speak BGP with each other: neither can hand a dead tunnel's over."""
    reports = {
        name: seen.recent_report(timing.window)
        for name, seen in evidence.gateways.items()
        if name in gateways and gateways[name].verdict is Verdict.UP
    }
    pairs = {
        (min(name, other), max(name, other))
        for name, report in reports.items()
        for other in (report.mesh_down if report is not None else ())
        if reports.get(other) is not None
    }
    return [
        Remark(
            "mesh-down",
            f"{one}/{two}",
            f"{one} and {two} both work, and have no BGP session with each other.",
            MESH_DELAY,
        )
        for one, two in sorted(pairs)
    ]


def retiring(name: str, evidence: Evidence) -> bool:
    """Whether EC2 will retire the gateway's instance soon."""
    instance = evidence.ec2.instances.get(name) if evidence.ec2 is not None else None
    if instance is None or instance.retirement_wall is None:
        return False
    return instance.retirement_wall - evidence.aws_wall <= RETIREMENT_LEAD


def _answered_within(stats: LossStats, seconds: float) -> bool:
    return stats.last_answer_age is not None and stats.last_answer_age < seconds


def _since(stats: LossStats) -> str:
    return "" if stats.last_answer_age is None else f" for {stats.last_answer_age:.1f} s"


def _instance(name: str, evidence: Evidence) -> Instance | None:
    return evidence.ec2.instances.get(name) if evidence.ec2 is not None else None
