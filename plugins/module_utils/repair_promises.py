# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises that every repair is held to at run time, whatever the decision thought.

Written from the promises, as ``invariants`` is for swaps: each check reads verdicts, evidence, tags and memory by
itself.
"""

from __future__ import annotations

from .errors import InvariantViolation
from .lease import SECONDS as LEASE_SECONDS
from .model import Ec2View, Evidence, Repair, Verdict
from .state import State

_RESTART = ("reboot", "stop", "power-cut", "start")
_WORDS = {"reboot": ("reboot",), "restart": _RESTART, "replace": (*_RESTART, "terminate", "launch")}  # policy -> rungs
_ENDING = ("reboot", "stop", "power-cut", "terminate")
_DAY = 86400.0


def check(state: State, evidence: Evidence, repair: Repair, now: float, swapping: bool) -> None:
    """Hold one repair to the promises of DESIGN, section 5. ``swapping``: this step orders swaps.

    ``state`` has this step's verdicts, and not yet this step's repair.

    :raises InvariantViolation: with the promise's number.
    """
    view = evidence.ec2
    if view is None or repair.gateway not in view.instances:
        raise InvariantViolation(15, f"{repair.gateway} is no gateway that EC2 shows.")
    _check_permission(state, evidence, view, repair)
    _check_calm(state, evidence, now)
    _check_lease(state, evidence, repair, now)
    _check_worth(state, evidence, view, repair)
    _check_budget(state, evidence, view, repair, now)
    _check_patience(state, evidence, view, repair, now)
    if repair.rung in ("terminate", "launch"):
        _check_replacement(state, view, repair)
    if swapping or state.routes.flights:
        raise InvariantViolation(7, f"Routes are being moved: the repair of {repair.gateway} has to wait.")


def _check_permission(state: State, evidence: Evidence, view: Ec2View, repair: Repair) -> None:
    instance, policy = view.instances[repair.gateway], state.deployment.repair
    if (instance.instance_id or "", instance.eni_id) != (repair.instance_id, repair.eni_id):
        raise InvariantViolation(15, f"{repair.instance_id} is not the instance that {repair.gateway} has now.")
    if repair.rung not in _WORDS.get(policy, ()):
        raise InvariantViolation(14, f"vpnha_repair is {policy}: it allows no {repair.rung}.")
    until = max(view.paused_deployment_until_wall or 0.0, view.paused_gateways.get(repair.gateway, 0.0))
    if until > evidence.aws_wall or view.drill is not None:
        raise InvariantViolation(14, f"{repair.gateway} may not be repaired: actions are paused, or a drill runs.")


def _check_calm(state: State, evidence: Evidence, now: float) -> None:
    timing, verdicts = state.deployment.timing, state.verdicts
    if verdicts.isolated or evidence.loop_lag > timing.loop_lag or now - state.trusted_from < timing.window:
        raise InvariantViolation(3, "The monitor hears nobody, or was late, and would repair all the same.")
    if now - state.started < timing.window:
        raise InvariantViolation(10, "The monitor has not observed for a full window since its start.")
    if verdicts.sites_down:
        raise InvariantViolation(4, f"{min(verdicts.sites_down)} is down through every gateway: that is its own fault.")


def _check_lease(state: State, evidence: Evidence, repair: Repair, now: float) -> None:
    """With several monitors the one that has the lease repairs."""
    age = evidence.store.lease_age
    if len(state.deployment.monitors) < 2:
        return
    if age is None or now - age < state.trusted_from or age > LEASE_SECONDS - 1.0:
        raise InvariantViolation(16, f"{repair.gateway} must not be repaired without the lease.")


def _check_worth(state: State, evidence: Evidence, view: Ec2View, repair: Repair) -> None:
    """The gateway is broken, and no route hangs on it that could lead to another."""
    name = repair.gateway
    judgement = state.verdicts.gateways.get(name)
    if judgement is None or judgement.verdict is not Verdict.DOWN:
        raise InvariantViolation(5, f"{name} is not down: it might be the last one that works.")
    for key, route in view.routes.items():
        belief = state.routes.beliefs.get(key)
        here = {route.gateway, state.routes.gateway_of_target.get(route.target), belief.gateway if belief else None}
        site = state.deployment.site_of(key.destination)
        if name not in here or site is None or key.table_id in view.refused_tables:
            continue
        for other in state.deployment.targets:
            path = state.verdicts.paths.get((other.name, site.name))
            if path is not None and path.code in ("managed-unprobed", "managed-unheard"):
                continue  # nothing may be known of it for ever
            if other.name != name and path is not None and path.verdict is not Verdict.DOWN:
                raise InvariantViolation(5, f"{key} leads to {name}, and {other.name} might carry it.")


def _check_budget(state: State, evidence: Evidence, view: Ec2View, repair: Repair, now: float) -> None:
    timing, wall = state.deployment.timing, evidence.aws_wall
    if state.repairs.flight is not None:
        raise InvariantViolation(6, f"A repair of {state.repairs.flight.repair.gateway} is in flight.")
    if evidence.clock_skew:
        raise InvariantViolation(6, "This host's clock is wrong: it must not refill the budget.")
    for name in view.instances:
        mark, mine = view.repairs.get(name), state.repairs.steps.get(name, ())
        if mark is not None and not mark.readable and name == repair.gateway:
            raise InvariantViolation(6, f"What the tag of {name} says of its budget cannot be read.")
        told = {at for at in (mark.steps_wall if mark else ()) if at > wall - _DAY}
        walls = told | {step.wall for step in mine if step.at > now - _DAY}
        # a step of ours by the monotonic clock: its wall time is rounded up, and its tag may not have been written
        recent = any(step.at > now - timing.repair_interval for step in mine)
        recent = recent or any(at > wall - timing.repair_interval for at in told)
        judgement = state.verdicts.gateways.get(name)
        works = judgement is not None and judgement.verdict in (Verdict.UP, Verdict.GREY)
        # what answers a moment after such a call may be about to be ended by it
        called = state.repairs.called.get(name, float("-inf"))
        last = state.repairs.taken.get(name, mine[-1].rung if mine else "")
        works = works and not (last in _ENDING and called > now - 60.0)
        if name != repair.gateway:
            if repair.mark is not None and recent and not works:
                raise InvariantViolation(6, f"The repair of {name} has not had its time yet.")
        elif repair.mark is None and not recent:
            raise InvariantViolation(6, f"There is no step that the {repair.rung} of {name} could be part of.")
        elif repair.mark is not None and recent:
            raise InvariantViolation(6, f"The last step for {name} was less than {timing.repair_interval:g} s ago.")
        elif repair.mark is not None and len(walls) >= timing.repairs_per_day:
            raise InvariantViolation(6, f"{name} has had its {len(walls)} steps within a day.")


def _check_patience(state: State, evidence: Evidence, view: Ec2View, repair: Repair, now: float) -> None:
    """Down for long without a break, by two sources that do not hang on each other."""
    name, least = repair.gateway, state.deployment.timing.repair_after
    since = state.repairs.down_since.get(name)
    if since is None or now - since < least:
        raise InvariantViolation(7, f"{name} has not been down for {least:g} s without a break.")
    seen, instance = evidence.gateways[name], view.instances[name]
    ages = [seen.heartbeat.last_answer_age, seen.icmp.last_answer_age]
    lost_by_others = []
    for other, its in evidence.gateways.items():
        if other == name or its.report is None or its.report_age is None:
            continue
        heard = its.report.peers.get(name)
        if heard is not None and its.report_age <= state.deployment.timing.window:
            lost_by_others.append(heard + its.report_age)
    if any(age is not None and age < least for age in (*ages, *lost_by_others)):
        raise InvariantViolation(7, f"{name} was heard within the last {least:g} s.")
    by_ec2 = (
        instance.state in ("stopping", "stopped", "shutting-down", "terminated")
        or (instance.state == "absent" and instance.eni_free)
        or "impaired" in (instance.system_status, instance.instance_status)
    )
    if not by_ec2 and not lost_by_others:
        raise InvariantViolation(7, f"Only the monitor finds {name} down.")


def _check_replacement(state: State, view: Ec2View, repair: Repair) -> None:
    """The rest was tried before, the interface outlives the instance, and there are never two instances."""
    name, instance = repair.gateway, view.instances[repair.gateway]
    told, mine = view.repairs.get(name), state.repairs.steps.get(name, ())
    walls = [*(told.steps_wall if told is not None else ()), *(step.wall for step in mine)]
    if repair.rung == "terminate":
        tried = told.rung if told is not None else ""
        if repair.mark is None or tried not in ("stop", "power-cut", "start", "terminate"):
            raise InvariantViolation(6, f"{name} is to be replaced although stop and start were not tried.")
        if instance.eni_dies:
            raise InvariantViolation(9, f"The interface of {name} would not outlive its instance.")
        return
    if instance.state != "absent" or not instance.eni_free:
        raise InvariantViolation(9, f"{name} still has an instance ({instance.state}): another would be a second one.")
    begun = max(repair.mark.steps_wall) if repair.mark is not None else max(walls, default=0.0)
    if repair.token != f"{repair.eni_id}-{begun:.0f}" or not repair.template:
        raise InvariantViolation(9, f"EC2 could not know a second launch for {name} by its token {repair.token!r}.")
