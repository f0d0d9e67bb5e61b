# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several monitors acts on which routes, so that two never fight.

Routes of a zone have an owner: the monitor in another zone than the zone's home gateway, so that a lost zone does not
take both. The owner acts without asking anybody. Everyone else acts with the lease, and only for an owner that has not
said for a while that it can act itself. This is narrower than promise 16, to which ``invariants`` holds each swap.
"""

from __future__ import annotations

from . import lease
from .judge_gateway import MONITOR_VETO_AGE
from .model import Deployment, Evidence, RouteKey, Verdict
from .state import State

LEAST = 1.0  # seconds that a lease must still have
OWNER_SILENCE = 3.0  # seconds without an owner's word after which the lease's holder acts for it
SETTLED = 5.0  # seconds of undisturbed observation after which a monitor says that it can act...
HANDED_OVER = 7.0  # ...and after which whoever has acted for it has heard that
_WORKS = (Verdict.UP, Verdict.GREY)


def owner_of(deployment: Deployment, zone: str) -> str:
    """The monitor that owns a zone's routes: the first one in another zone than its home gateway; empty if none is."""
    home = deployment.home(zone)
    if home is None:
        return ""
    return next((monitor.name for monitor in deployment.monitors if monitor.zone != home.zone), "")


def lease_left(state: State, evidence: Evidence, now: float) -> float:
    """Seconds that this monitor's lease still has; one from before it was blind or late counts for nothing."""
    age = evidence.store.lease_age
    if age is None or now - age < state.trusted_from:
        return 0.0
    return lease.SECONDS - age


def owns(state: State, zone: str) -> bool:
    """Whether this monitor may swap a zone's routes without a lease: it owns them, or is the only one."""
    return not lease.needed(state.deployment) or owner_of(state.deployment, zone) == state.monitor != ""


def acts(state: State, evidence: Evidence, zone: str, now: float) -> bool:
    """Whether this monitor is the one to swap a zone's routes now."""
    if not lease.needed(state.deployment):
        return True
    trusted = max(state.started, state.trusted_from)
    if evidence.ec2_age is None or now - evidence.ec2_age < trusted:
        return False  # what another has done meanwhile is not known
    store = evidence.store
    if not owns(state, zone):
        word = store.words.get(owner_of(state.deployment, zone))
        leased = lease_left(state, evidence, now) >= LEAST
        # who is blind itself knows no better than an owner that is
        return leased and sees(state, evidence) and (word is None or word > OWNER_SILENCE)
    if now - trusted >= HANDED_OVER and sees(state, evidence):
        return True
    word = store.words.get(store.holder)  # never this monitor's own
    acted_for = read_lately(evidence) and word is not None and word <= OWNER_SILENCE
    return not acted_for


def sees(state: State, evidence: Evidence) -> bool:
    """Whether this monitor has read EC2 lately enough to act for others."""
    interval = state.deployment.timing.ec2_interval
    return evidence.ec2_age is not None and evidence.ec2_age <= 3 * interval + 5.0


def contested(state: State, evidence: Evidence, key: RouteKey, gateway: str | None) -> bool:
    """Whether somebody else has moved a route since this monitor did, and the store cannot tell who and why."""
    placed = state.routes.placed.get(key)
    return placed is not None and placed != gateway and not read_lately(evidence)


def unseen(state: State, evidence: Evidence, key: RouteKey) -> bool:
    """Whether a swap of a route may have been carried out, and nothing has shown since what became of it.

    A single monitor tries that again, which does no harm. Of several, another may have taken it back meanwhile: EC2 or
    the store must be seen first, or two that see different halves of a cut network would take turns.
    """
    return lease.needed(state.deployment) and key in state.routes.doubts and not read_lately(evidence)


def read_lately(evidence: Evidence) -> bool:
    """Whether the others' vetoes are known."""
    age = evidence.store.age
    return age is not None and age <= MONITOR_VETO_AGE


def in_haste(state: State) -> bool:
    """Whether a gateway has fallen silent, so that the others' words decide."""
    codes = ("gateway-suspect", "gateway-silent", "monitor-cut-off-from-gateway")
    return any(judgement.code in codes for judgement in state.verdicts.gateways.values())


def word(state: State, evidence: Evidence, number: str, now: float) -> lease.Word:
    """What this monitor has to say to the others now."""
    if state.verdicts.isolated or state.verdicts.sick:
        return lease.Word(number, able=False)
    zone = next((monitor.zone for monitor in state.deployment.monitors if monitor.name == state.monitor), "")
    healthy = frozenset(
        gateway.name
        for gateway in state.deployment.gateways
        if gateway.zone == zone and gateway.name in state.verdicts.gateways
        and state.verdicts.gateways[gateway.name].verdict in _WORKS
    )  # fmt: skip
    able = sees(state, evidence) and now - max(state.started, state.trusted_from) >= SETTLED
    return lease.Word(number, able, healthy)
