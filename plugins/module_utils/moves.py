# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which routes should leave their gateway, why, and where they should go."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from .holds import held
from .judge_gateway import NOT_RUNNING, retiring
from .model import Deployment, Ec2View, Evidence, Gateway, ManagedGateway, RouteKey, Swap, Verdict
from .owners import acts, contested, owns, unseen
from .places import BELIEF_SECONDS, HOUR, RETRY_LEAST, free
from .state import Group, State
from .verdicts import Judgement

NEW_INTERFACE = "gateway-new-interface"
RECOVERY_GRACE = 10.0  # seconds that a site which was down everywhere gets to come back through every gateway


@dataclass(frozen=True)
class Leave:
    """Why a group of routes should go elsewhere."""

    code: str  # of a diagnosis
    text: str
    voluntary: bool
    only_to: str | None = None  # the one gateway that the reason points to


@dataclass(frozen=True)
class Move:
    """Swaps of one group of routes for one reason."""

    group: Group
    leave: Leave
    target: str
    swaps: tuple[Swap, ...]


@dataclass(frozen=True)
class Stuck:
    """Routes that should leave and cannot."""

    group: Group
    leave: Leave
    code: str  # of a diagnosis: why not
    keys: tuple[RouteKey, ...]


def wanted(state: State, evidence: Evidence, now: float) -> tuple[list[Move], list[Stuck], frozenset[RouteKey]]:
    """What should be swapped now. Whatever may not move (paused, pinned, in flight, tried too lately) is left out.

    The routes at the end are those that only a voluntary swap in flight keeps from leaving at once.
    """
    if evidence.ec2 is None:
        return [], [], frozenset()
    planner = _Planner(state, evidence, evidence.ec2, now)
    for group in state.routes.groups:  # in the order of zone, site, gateway
        planner.plan(group)
    return planner.moves, planner.stuck, frozenset(planner.overtaken)


class _Planner:
    """Plans one step's moves, group by group, so that each sees the load that those before it make."""

    def __init__(self, state: State, evidence: Evidence, view: Ec2View, now: float) -> None:
        self._state, self._evidence, self._view, self._now = state, evidence, view, now
        self._load = dict(state.routes.carried)
        self._choices: dict[str, str] = {}  # zone -> this step's choice, so that its sites stay together
        self._lately: dict[str, str] | None = None  # the same of the steps before
        self._fellows: Counter[tuple[object, ...]] | None = None  # routes of groups that leave alike
        self.moves: list[Move] = []
        self.stuck: list[Stuck] = []
        self.overtaken: list[RouteKey] = []

    def plan(self, group: Group) -> None:
        """Plan the group's move, if it is this monitor's, and there is reason for one and a place to go to."""
        reasons = _reasons(self._state, self._evidence, group, self._now)
        if not reasons or not acts(self._state, self._evidence, group.zone, self._now):
            return
        for leave in reasons:
            targets = self._voluntary(group, leave) if leave.voluntary else self._emergency(group, leave)
            if leave.voluntary and not targets:
                continue
            wall = self._evidence.aws_wall
            routes = self._state.routes.groups[group]
            keys = tuple(key for key in routes if movable(self._view, key, group.gateway, wall))
            keys = self._uncontested(group, leave, keys)
            if keys and targets:
                self._move(group, leave, targets[0], keys)
            elif keys:
                self.stuck.append(Stuck(group, leave, "no-healthy-gateway", keys))
            return

    def _uncontested(self, group: Group, leave: Leave, keys: tuple[RouteKey, ...]) -> tuple[RouteKey, ...]:
        """What nobody else has moved: two monitors that cannot hear each other must not take turns."""
        lost = tuple(key for key in keys if contested(self._state, self._evidence, key, group.gateway))
        if not lost:
            return keys
        self.stuck.append(Stuck(group, leave, "route-contested", lost))
        return tuple(key for key in keys if key not in lost)

    def _move(self, group: Group, leave: Leave, target: str, keys: tuple[RouteKey, ...]) -> None:
        if leave.voluntary:
            limited = tuple(key for key in keys if not in_budget(self._state, key, self._now))
            if limited:
                self.stuck.append(Stuck(group, leave, "moves-limited", limited))
            keys = tuple(key for key in keys if key not in limited)
        else:
            flights = self._state.routes.flights
            self.overtaken += [key for key in keys if key in flights and flights[key].swap.voluntary]
        target_id = self._state.routes.target_of(target) or ""
        leased = not owns(self._state, group.zone)
        swaps = tuple(
            Swap(key, target, target_id, leave.code, leave.voluntary, leased, self._view.priority(key.table_id))
            for key in keys
            if free(self._state.routes, key, self._now, leave.voluntary, target_id)
            and not unseen(self._state, self._evidence, key)
        )
        if swaps:
            self.moves.append(Move(group, leave, target, swaps))
            self._load[target] = self._load.get(target, 0) + len(swaps)
            self._choices.setdefault(group.zone, target)

    def _candidates(self, group: Group, leave: Leave, verdict: Verdict, *, last_resort: bool = False) -> list[str]:
        """Gateways with that verdict for the site which EC2 can deliver to; the order is the deployment's.

        A last resort is never among them, or, with ``last_resort``, nothing else is.
        """
        found, wall = [], self._evidence.aws_wall
        for gateway in self._state.deployment.targets:
            name, managed = gateway.name, self._state.deployment.managed(gateway.name)
            if last_resort is not (managed is not None and managed.last_resort):
                continue
            if managed is not None and not leave.voluntary and not self._answered_since(name, group):
                continue
            if name != leave.only_to and (leave.only_to is not None or name == group.gateway):
                continue
            path = self._state.verdicts.paths.get((name, group.site))
            known = self._state.routes.target_of(name) is not None
            if path is not None and path.verdict is verdict and known and usable(self._view, name, wall):
                found.append(name)
        return found

    def _dark(self, group: Group) -> bool:
        """Whether every tunnel to the site was down a moment ago.

        The first one that comes back is no better than the others: as with a site that was down, all get their time.
        """
        path = self._state.verdicts.paths.get((group.gateway or "", group.site))
        at = self._state.sites_dark_at.get(group.site)
        return at is not None and self._now - at < RECOVERY_GRACE and not (path is not None and path.gateway_wide)

    def _answered_since(self, managed: str, group: Group) -> bool:
        """Whether a probe through a managed gateway has been answered that left after the group's way was found bad.

        It is probed less often than tunnels are: its last answer may be from before the site itself died. So may what
        is missing on the group's way just now be the site's, until that is up again or down.
        """
        pair = group.gateway or "", group.site
        health, path = self._state.healths.get(pair), self._state.verdicts.paths.get(pair)
        if path is not None and path.verdict is Verdict.SUSPECT:
            return False
        seen = self._evidence.managed.get(managed)
        probe = seen.probes.get(group.site) if seen is not None else None
        if health is None or health.bad_since is None or probe is None:
            return probe is not None
        age = probe.loss.last_answer_age
        return age is not None and age + (probe.rtt or 0.0) <= self._now - health.bad_since

    def _emergency(self, group: Group, leave: Leave) -> list[str]:
        """Gateways that are up, else the last resort; failing both, grey ones: losing some packets beats losing all."""
        for verdict in (Verdict.UP, Verdict.GREY):
            found = self._candidates(group, leave, verdict) or self._candidates(group, leave, verdict, last_resort=True)
            if found:
                if self._dark(group):
                    found = [name for name in found if self._state.deployment.managed(name) is not None]
                return self._ordered(group, found)
        if leave.code == NEW_INTERFACE:  # through a neighbour is better than to an interface that is gone
            return self._candidates(group, replace(leave, only_to=group.gateway), Verdict.VIA_NEIGHBOUR)
        return []

    def _voluntary(self, group: Group, leave: Leave) -> list[str]:
        """Gateways that have been up for their hold-down and will stay."""
        timing, healths = self._state.deployment.timing, self._state.healths
        found = [
            name
            for name in self._candidates(group, leave, Verdict.UP)
            if held(healths.get((name, group.site)), self._now, timing) and not retiring(name, self._evidence)
        ]
        return self._ordered(group, found)

    def _preferred(self, zone: str) -> str | None:
        """Where the zone's routes were sent last, by this step or within a minute: one that is tried again joins."""
        if self._lately is None:
            routes, views = self._state.routes, self._view.routes
            sent = [(one.at, key, one.gateway) for key, one in routes.beliefs.items()]
            failed = [retry for retry in routes.retries.values() if not retry.swap.voluntary]
            sent += [(retry.soon_at - RETRY_LEAST, retry.swap.key, retry.swap.gateway) for retry in failed]
            sent = [one for one in sent if self._now - one[0] < BELIEF_SECONDS]
            sent += [(self._now, key, flight.swap.gateway) for key, flight in routes.flights.items()]
            sent.sort(key=lambda one: one[0])
            self._lately = {views[key].zone: gateway for _at, key, gateway in sent if key in views}
        return self._choices.get(zone) or self._lately.get(zone)

    def _fate(self, group: Group) -> tuple[object, ...]:
        path = self._state.verdicts.paths.get((group.gateway or "", group.site))
        return group.zone, group.gateway, group.fault, path.verdict if path is not None else None

    def _leaving(self, group: Group) -> int:
        """Routes that leave with the group and follow it: those of its zone to all sites for which it is alike."""
        if self._fellows is None:
            self._fellows = Counter()
            for other, keys in self._state.routes.groups.items():
                self._fellows[self._fate(other)] += len(keys)
        return self._fellows[self._fate(group)]

    def _ordered(self, group: Group, names: list[str]) -> list[str]:
        """The home gateway first, then the zone's other choice, then the nearest or the least loaded, the name.

        A zone stays together and each of its routes moves once: what is spread over the others are a gateway's zones.
        """
        deployment = self._state.deployment
        home = deployment.home(group.zone)
        gateways = {gateway.name: gateway for gateway in deployment.targets}
        size, preferred = (self._leaving(group), self._preferred(group.zone)) if len(names) > 1 else (0, None)

        def order(name: str) -> tuple[bool, bool, float, float, str]:
            at_home = home is not None and home.name == name
            return (
                not at_home,
                name != preferred,
                *rank(deployment, group.zone, gateways[name], self._load.get(name, 0) + size),
            )

        return sorted(names, key=order)


def rank(deployment: Deployment, zone: str, one: Gateway | ManagedGateway, routes: int) -> tuple[float, float, str]:
    """Sorts the gateways that could take routes of a zone, the best first. ``routes`` it would then have in all."""
    distance, load = float(deployment.distance(zone, one.zone)), routes / one.capacity
    first, second = (load, distance) if deployment.spread == "capacity" else (distance, load)
    return first, second, one.name


def _reasons(state: State, evidence: Evidence, group: Group, now: float) -> list[Leave]:
    """Why a group should leave its gateway, the most urgent first."""
    gateway = group.gateway or ""
    pair = gateway, group.site
    found: list[Leave] = []
    path, health = state.verdicts.paths.get(pair), state.healths.get(pair)
    if path is None or health is None:
        return found
    if group.fault:
        carries = path.verdict in (Verdict.UP, Verdict.GREY)
        working = carries or path.verdict is Verdict.VIA_NEIGHBOUR
        if group.fault == "old interface":
            text, only_to = f"{gateway} has another network interface now.", gateway if carries else None
            found.append(Leave(NEW_INTERFACE, text, voluntary=False, only_to=only_to))
        if group.fault == "blackhole" or (group.fault == "blackhole?" and not working):
            text = f"EC2 says that routes to {gateway} are blackholes."
            found.append(Leave("route-blackhole", text, voluntary=False))
    if path.verdict is Verdict.DOWN and health.bad_since is not None and now - health.bad_since >= path.patience:
        if path.gateway_wide or not sites_fault(state, group.site, path, now):
            found.append(Leave(path.code, path.text, voluntary=False))
        return found
    home = state.deployment.home(group.zone)
    if home is not None and home.name != gateway:
        text = f"{home.name} has been healthy for its hold-down."
        found.append(Leave("failback", text, voluntary=True, only_to=home.name))
    managed = state.deployment.managed(gateway)
    if managed is not None and managed.last_resort:
        found.append(Leave("leave-last-resort", f"{gateway} is for when no other gateway is up.", voluntary=True))
    if path.verdict is Verdict.GREY or path.verdict is Verdict.VIA_NEIGHBOUR:
        if health.off_since is not None and now - health.off_since >= state.deployment.timing.voluntary_delay:
            found.append(Leave(path.code, path.text, voluntary=True))
    elif retiring(gateway, evidence):
        found.append(Leave("gateway-retiring", f"EC2 will retire {gateway}'s instance.", voluntary=True))
    return found


def sites_fault(state: State, site: str, path: Judgement, now: float) -> bool:
    """Whether a way may be down by the site's own fault, now or a moment ago.

    A managed gateway is judged by the site's targets alone, unless AWS says more: their silence may be theirs.
    """
    times = [state.sites_down_at.get(site)]
    if path.code == "managed-silent":
        times.append(state.sites_silent_at.get(site))
    return any(at is not None and now - at < RECOVERY_GRACE for at in times)


def movable(view: Ec2View, key: RouteKey, gateway: str | None, wall: float) -> bool:
    """Whether no pin and no pause keeps the route where it is."""
    if paused(view, wall) or view.paused_tables.get(key.table_id, 0.0) > wall:
        return False
    if gateway is not None and gateway_paused(view, gateway, wall):
        return False
    pin = view.table_pins.get(key.table_id)
    return pin is None or pin.expires_wall <= wall


def paused(view: Ec2View, wall: float) -> bool:
    """Whether the whole deployment is paused."""
    return view.paused_deployment_until_wall is not None and view.paused_deployment_until_wall > wall


def gateway_paused(view: Ec2View, gateway: str, wall: float) -> bool:
    """Whether actions on a gateway are paused."""
    return view.paused_gateways.get(gateway, 0.0) > wall


def in_budget(state: State, key: RouteKey, now: float) -> bool:
    """Whether a route may make another voluntary move this hour."""
    recent = sum(1 for at in state.routes.moves.get(key, ()) if now - at < HOUR)
    return recent < state.deployment.timing.voluntary_moves_per_hour


def usable(view: Ec2View, gateway: str, wall: float) -> bool:
    """Whether EC2 lets a route point at the gateway and deliver packets to it.

    A managed gateway is probed through EC2's own route to it, so that its verdict says that as well.
    """
    if gateway in view.managed:
        return not gateway_paused(view, gateway, wall)
    instance = view.instances.get(gateway)
    if instance is None or instance.eni_id is None or gateway_paused(view, gateway, wall):
        return False
    if view.vpc_id is not None and instance.vpc_id is not None and view.vpc_id != instance.vpc_id:
        return False
    return instance.state not in NOT_RUNNING and not instance.source_dest_check
