# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises that every swap is held to at run time, whatever the decision thought.

Written from the promises, not from the decision: each check reads verdicts, evidence and memory by itself, so that a
mistake there is caught here. A swap that breaks one is dropped and told, never carried out.
"""

from __future__ import annotations

from .errors import InvariantViolation
from .lease import SECONDS as LEASE_SECONDS
from .model import Ec2View, Evidence, Swap, Verdict
from .state import State
from .verdicts import Judgement

_VETOED = ("gateway-silent", "gateway-stopped", "gateway-impaired")  # silence, which another monitor may disprove

_WORD_SECONDS = 2.0  # for which another monitor's word counts


def check(state: State, evidence: Evidence, swap: Swap, now: float) -> None:
    """Hold one swap to the promises of DESIGN, section 5.

    ``state`` has this step's verdicts, and not yet this step's swaps.

    :raises InvariantViolation: with the promise's number.
    """
    view = evidence.ec2
    if view is None or swap.key not in view.routes:
        raise InvariantViolation(15, f"{swap.key} is no route that EC2 shows in the deployment's tables.")
    _check_calm(state, evidence, now)
    source = _check_ownership(state, evidence, view, swap)
    _check_permission(state, evidence, swap, view.routes[swap.key].zone, now)
    _check_veto(state, evidence, swap, source)
    _check_target(state, evidence, view, swap, source, now=now)
    if swap.voluntary:
        _check_voluntary(state, swap, now)
    else:
        _check_emergency(state, swap, source, now)
    _check_bounds(state, swap, now)


def _check_calm(state: State, evidence: Evidence, now: float) -> None:
    timing = state.deployment.timing
    if state.verdicts.isolated or evidence.loop_lag > timing.loop_lag:
        raise InvariantViolation(3, "The monitor hears nobody, or was late, and would act all the same.")
    if now - state.trusted_from < timing.window:
        raise InvariantViolation(3, "The monitor has not observed for a full window since it last was blind.")
    if now - state.started < timing.window:
        raise InvariantViolation(10, "The monitor has not observed for a full window since its start.")


def _check_ownership(state: State, evidence: Evidence, view: Ec2View, swap: Swap) -> str:
    """The gateway that the route leads to now."""
    key = swap.key
    if state.deployment.site_of(key.destination) is None or key.table_id in view.refused_tables:
        raise InvariantViolation(15, f"{key} is not the deployment's to touch.")
    route, belief = view.routes[key], state.routes.beliefs.get(key)
    source = belief.gateway if belief else route.gateway or state.routes.gateway_of_target.get(route.target)
    if source is None:
        raise InvariantViolation(15, f"{key} points at {route.target}, a person's choice.")
    pin = view.table_pins.get(key.table_id)
    if pin is not None and evidence.aws_wall < pin.expires_wall:
        raise InvariantViolation(15, f"{key} is pinned to {pin.gateway}.")
    until = [
        view.paused_deployment_until_wall or 0.0,
        view.paused_tables.get(key.table_id, 0.0),
        view.paused_gateways.get(source, 0.0),
        view.paused_gateways.get(swap.gateway, 0.0),
    ]
    if max(until) > evidence.aws_wall:
        raise InvariantViolation(14, f"{key} may not be moved to {swap.gateway}: actions are paused.")
    return source


def _check_permission(state: State, evidence: Evidence, swap: Swap, zone: str, now: float) -> None:
    """Only a route set's owner swaps without a lease."""
    monitors, store = state.deployment.monitors, evidence.store
    homes = [gateway.zone for gateway in state.deployment.targets if zone in gateway.home_zones]
    elsewhere = [monitor.name for monitor in monitors if homes and monitor.zone != homes[0]]
    if len(monitors) > 1 and state.monitor not in elsewhere[:1]:
        sent = now - store.lease_age if store.lease_age is not None else float("-inf")
        if sent < state.trusted_from or now - sent > LEASE_SECONDS - 1.0:
            raise InvariantViolation(16, f"{swap.key} is not {state.monitor or 'this monitor'}'s, which has no lease.")
        if not swap.by_lease:
            raise InvariantViolation(16, f"{swap.key} would be swapped even after the lease has run out.")
    deaf = store.age is None or store.age > _WORD_SECONDS
    if len(monitors) > 1 and deaf and swap.key in state.routes.doubts:
        raise InvariantViolation(
            16, f"{swap.key} was swapped before, and neither EC2 nor the store has been read since."
        )


def _check_veto(state: State, evidence: Evidence, swap: Swap, source: str) -> None:
    """Nobody leaves for its silence what another monitor finds healthy."""
    veto, path = evidence.vetoes.get(source), _path(state, swap, source)
    if not swap.voluntary and path.code in _VETOED and veto is not None and veto <= _WORD_SECONDS:
        raise InvariantViolation(16, f"Another monitor has called {source} healthy {veto:.1f} s ago.")


def _check_target(state: State, evidence: Evidence, view: Ec2View, swap: Swap, source: str, *, now: float) -> None:
    instance, managed = view.instances.get(swap.gateway), view.managed.get(swap.gateway)
    has = view.target(swap.gateway)
    if has is None or state.routes.target_of(swap.gateway) != swap.target:
        raise InvariantViolation(1, f"{swap.target} is not what leads to {swap.gateway} now.")
    if instance is not None and instance.source_dest_check:
        raise InvariantViolation(1, f"{swap.gateway} has the source/destination check on.")
    if managed is not None:
        _check_managed(state, evidence, view, swap, source, now=now)
    path, old = _path(state, swap, swap.gateway), _path(state, swap, source)
    if path.verdict is Verdict.UP:
        return
    site = _site(state, swap)
    for gateway in state.deployment.targets:
        name = gateway.name
        if name in (source, swap.gateway) or not _deliverable(view, name):
            continue
        if name in view.managed and not _heard_since(state, evidence, swap, name, source, now=now):
            continue
        if _path(state, swap, name).verdict is Verdict.UP and source != swap.gateway:
            raise InvariantViolation(1, f"{swap.gateway} is {path.verdict.value} for {site}, while {name} is up.")
    better = path.verdict is Verdict.GREY and (old.verdict is Verdict.DOWN or _dead_target(view, swap))
    renewed = source == swap.gateway and path.verdict in (Verdict.GREY, Verdict.VIA_NEIGHBOUR)
    if not better and not renewed:
        raise InvariantViolation(2, f"{swap.gateway} is {path.verdict.value} for {site}: there is no healthy target.")


def _check_managed(state: State, evidence: Evidence, view: Ec2View, swap: Swap, source: str, *, now: float) -> None:
    """A managed gateway's answers must be newer than the trouble, and a last resort is for when nothing else is up."""
    site = _site(state, swap)
    if any(one.last_resort and one.name == swap.gateway for one in state.deployment.managed_gateways):
        if swap.voluntary:
            raise InvariantViolation(1, f"{swap.gateway} is a last resort: routes go there only from what is down.")
        for gateway in state.deployment.gateways:
            up = _path(state, swap, gateway.name).verdict is Verdict.UP and _deliverable(view, gateway.name)
            if up and gateway.name != source:
                raise InvariantViolation(1, f"{swap.gateway} is a last resort, while {gateway.name} is up for {site}.")
    if not _heard_since(state, evidence, swap, swap.gateway, source, now=now):
        raise InvariantViolation(4, f"{site} has not answered through {swap.gateway} since {source} is down.")


def _heard_since(state: State, evidence: Evidence, swap: Swap, managed: str, source: str, *, now: float) -> bool:
    """Whether the site has answered through a managed gateway lately, and since the trouble that the swap is for."""
    site = _site(state, swap)
    seen, health = evidence.managed.get(managed), state.healths.get((source, site))
    probe = seen.probes.get(site) if seen is not None else None
    age = probe.loss.last_answer_age if probe is not None else None
    if age is None or age > state.deployment.timing.managed_window:
        return False
    return swap.voluntary or health is None or health.bad_since is None or now - age >= health.bad_since


def _check_voluntary(state: State, swap: Swap, now: float) -> None:
    timing = state.deployment.timing
    health = state.healths.get((swap.gateway, _site(state, swap)))
    if health is None or health.well_since is None:
        raise InvariantViolation(12, f"{swap.gateway} has not been healthy for its hold-down.")
    flapped = health.flapped_at is not None and now - health.flapped_at < timing.flap_memory
    needed = max(timing.hold_down, health.hold) if flapped else timing.hold_down
    if now - health.well_since < needed:
        raise InvariantViolation(12, f"{swap.gateway} has been healthy for less than its hold-down of {needed:g} s.")
    recent = [at for at in state.routes.moves.get(swap.key, ()) if now - at < 3600.0]
    if len(recent) >= timing.voluntary_moves_per_hour:
        raise InvariantViolation(12, f"{swap.key} has made its {len(recent)} voluntary moves of this hour.")


def _check_emergency(state: State, swap: Swap, source: str, now: float) -> None:
    """An emergency needs a gateway that is down, or a route that EC2 itself calls dead or misdirected."""
    if swap.reason in ("gateway-new-interface", "route-blackhole"):
        return
    old, site = _path(state, swap, source), _site(state, swap)
    if old.verdict is not Verdict.DOWN:
        raise InvariantViolation(13, f"{source} is {old.verdict.value} for {site}: no reason to leave it at once.")
    if site in state.verdicts.sites_down and not old.gateway_wide:
        raise InvariantViolation(4, f"{site} is down through every gateway: that is its own fault.")
    if site in state.verdicts.sites_silent and old.code == "managed-silent":
        raise InvariantViolation(4, f"{site} answers through no gateway: that tells nothing of {source}.")
    health = state.healths.get((source, site))
    if health is None or health.bad_since is None or now - health.bad_since < old.patience:
        raise InvariantViolation(13, f"{source} has not been down for {site} for the {old.patience:g} s it is given.")


def _check_bounds(state: State, swap: Swap, now: float) -> None:
    if swap.key in state.routes.flights:
        raise InvariantViolation(9, f"A swap of {swap.key} is still in flight.")
    retry = state.routes.retries.get(swap.key)
    if retry is not None and now < retry.due(swap.voluntary, swap.target):
        raise InvariantViolation(11, f"{swap.key} failed lately and is not to be tried again yet.")


def _path(state: State, swap: Swap, gateway: str) -> Judgement:
    path = state.verdicts.paths.get((gateway, _site(state, swap)))
    return path or Judgement(Verdict.UNKNOWN, "gateway-unheard", f"Nothing is known of {gateway}.")


def _site(state: State, swap: Swap) -> str:
    site = state.deployment.site_of(swap.key.destination)
    return site.name if site is not None else ""


def _deliverable(view: Ec2View, gateway: str) -> bool:
    if gateway in view.managed:
        return gateway not in view.paused_gateways
    instance = view.instances.get(gateway)
    return (
        instance is not None
        and instance.eni_id is not None
        and instance.state == "running"
        and not instance.source_dest_check
        and gateway not in view.paused_gateways
        and (view.vpc_id is None or instance.vpc_id in (None, view.vpc_id))
    )


def _dead_target(view: Ec2View, swap: Swap) -> bool:
    return swap.reason in ("route-blackhole", "gateway-new-interface") or view.routes[swap.key].blackhole
