# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a managed gateway's way to a site: what the monitor's own probes through it say.

EC2 and CloudWatch are the second witness only. CloudWatch is minutes late, and both speak of tunnels, not of packets:
their word never makes a way ``up``, and without the probes' silence it never makes one ``down``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .model import (
    WITNESSED_DOWN,
    WITNESSED_UP,
    Deployment,
    ManagedEvidence,
    ManagedGateway,
    Site,
    Timing,
    Verdict,
)
from .verdicts import Judgement, fresh, good, grey, one_way_loss, silent

WITNESS_READS = 4.0  # intervals between two reads after which the witness's last word counts for nothing


@dataclass(frozen=True)
class ManagedWay:
    """A managed gateway's way to a site."""

    gateway: str
    judgement: Judgement
    reaches: bool  # one of the site's own probe targets has answered through it just now
    lately: bool  # something has, not much longer ago than a tunnel is silent until it counts as down

    @property
    def carries(self) -> bool:
        """Whether packets come back."""
        return self.judgement.verdict in (Verdict.UP, Verdict.GREY)

    @property
    def may_carry(self) -> bool:
        """Whether they come back, or it is not known yet that they no longer do."""
        return self.carries or self.judgement.verdict is Verdict.SUSPECT

    @property
    def fell_silent(self) -> bool:
        """Whether it has stopped to answer, for as long as a tunnel that counts as down, and not by its own fault."""
        return not self.lately and self.judgement.code in ("managed-suspect", "managed-silent")


def managed_ways(deployment: Deployment, evidence: Mapping[str, ManagedEvidence]) -> dict[str, list[ManagedWay]]:
    """The ways of all managed gateways by site."""
    return {
        site.name: [
            ManagedWay(
                gateway.name,
                judge_managed(gateway, site, evidence.get(gateway.name), deployment.timing),
                _reaches(gateway, site, evidence.get(gateway.name), deployment.timing),
                _lately(site, evidence.get(gateway.name), deployment.timing),
            )
            for gateway in deployment.managed_gateways
        ]
        for site in deployment.sites
    }


def judge_managed(gateway: ManagedGateway, site: Site, seen: ManagedEvidence | None, timing: Timing) -> Judgement:
    """The verdict on a managed gateway's way to one site."""
    name, window = gateway.name, timing.managed_window
    probe = seen.probes.get(site.name) if seen is not None else None
    if seen is None or probe is None:
        text = f"{name} has no probe for {site.name}, so that nothing is known of its way there."
        return Judgement(Verdict.UNKNOWN, "managed-unprobed", text)
    if fresh(probe.loss, window):
        if grey(probe.loss, timing.grey_loss):
            share = round(100 * one_way_loss(probe.loss))
            text = f"{name} loses {share} % of the packets for {site.name} each way."
            return Judgement(Verdict.GREY, "managed-grey", text)
        return good("managed-up", "{} answers through {}.", site.name, name)
    if not silent(probe.loss, window):
        if not probe.loss.window_full:
            text = f"{name} has not been probed for a full window yet."
            return Judgement(Verdict.UNKNOWN, "monitor-observing", text)
        return Judgement(Verdict.SUSPECT, "managed-suspect", f"Probes of {site.name} through {name} are missing.")
    witness = _witness(seen, timing)
    age = probe.loss.last_answer_age
    text = f"No probe of {site.name} through {name} is answered"
    if witness == WITNESSED_DOWN:
        return Judgement(Verdict.DOWN, "managed-down", f"{text}, and its connections are down: {seen.witness_text}")
    if age is None:
        text = f"{text}, and none ever was since the monitor's start."
        return Judgement(Verdict.UNKNOWN, "managed-unheard", text)
    said = "although AWS calls its connections up" if witness == WITNESSED_UP else "and AWS says nothing certain of it"
    return Judgement(Verdict.DOWN, "managed-silent", f"{text}, {said}.", patience=timing.managed_patience)


def _reaches(gateway: ManagedGateway, site: Site, seen: ManagedEvidence | None, timing: Timing) -> bool:
    """As in `ManagedWay`: only if the same host is silent through a tunnel, that says something of the tunnel."""
    probe = seen.probes.get(site.name) if seen is not None else None
    same = any(one.site == site.name and one.address in site.probe_targets for one in gateway.probes)
    if probe is None or probe.loss.last_answer_age is None or not same:
        return False
    return probe.loss.last_answer_age <= timing.tunnel_window / 2 + timing.managed_interval


def _lately(site: Site, seen: ManagedEvidence | None, timing: Timing) -> bool:
    """As in `ManagedWay`: three probes in a row may be lost."""
    probe = seen.probes.get(site.name) if seen is not None else None
    if probe is None or probe.loss.last_answer_age is None:
        return False
    return probe.loss.last_answer_age <= timing.tunnel_window + 2 * timing.managed_interval


def _witness(seen: ManagedEvidence, timing: Timing) -> str:
    """The second witness's word, if it is recent."""
    if seen.witness_age is None or seen.witness_age > WITNESS_READS * timing.managed_read:
        return ""
    return seen.witness
