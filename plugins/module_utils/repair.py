# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which gateway is repaired, when and how: one that has been down for long, once its routes have left it.

A ladder of steps: reboot, then stop and start, then replace; one that stands still is started, one that is gone is
replaced. A step begins with a tag on the gateway's interface, which is written before EC2 is called. What is left of a
step (the start after a stop, a cut of the power where a stop hangs, the launch after a terminate) follows from that
tag and from the state of instance and interface: so a monitor that crashed goes on where it was, and no restart
refills the budget. A launch has a token made of the interface and of the step's time, so that calling again makes no
second instance. Reads may be stale: what this monitor has begun itself counts too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from . import lease, tags
from .changed import changed
from .judge_gateway import hearings, peer_ages, stands_still
from .model import Ec2View, Evidence, Instance, Note, Repair, RepairMark, RepairResult, RouteKey, Timing, Verdict
from .moves import gateway_paused, paused
from .owners import LEAST, lease_left
from .places import BELIEF_SECONDS
from .state import RepairFlight, Repairs, RepairStep, State
from .verdicts import silent

_T = TypeVar("_T")

REBOOT, STOP, POWER_CUT, START = "reboot", "stop", "power-cut", "start"
TERMINATE, LAUNCH = "terminate", "launch"
REPLACE = "replace"  # the policy
DAY = 86400.0
HANG_SECONDS = 120.0  # an instance that is stopping for longer has its power cut
CALL_AGAIN = 60.0  # seconds between two calls for one gateway
RESULT_SECONDS = 60.0  # for a repair's result
LEARNT_SECONDS = 10.0  # after which a repair of the lease's last holder is certainly shown by its tag
EFFECT_SECONDS = 60.0  # until a call that ends an instance has done so: what answers before may be about to be ended
_WORKS = (Verdict.UP, Verdict.GREY)
_GONE = ("absent", "shutting-down", "terminated")
_ENDING = (REBOOT, STOP, POWER_CUT, TERMINATE)
_SWITCHED = (STOP, POWER_CUT, START)  # rungs after which an instance should run again


@dataclass(frozen=True)
class History:
    """The steps of a gateway's repair within a day, by the tag and by this monitor's memory."""

    walls: frozenset[float]  # when they began, in wall time
    rung: str  # of the last one
    recent: bool  # the last one has not had its time yet
    shown: str = ""  # the rung by the tag alone: that one was certainly begun
    written: bool = True  # the last one's tag, for certain

    @property
    def begun(self) -> float:
        """When the last one began; 0 if there is none."""
        return max(self.walls, default=0.0)

    @property
    def used(self) -> int:
        """How many there are."""
        return len(self.walls)


@dataclass(frozen=True)
class Plan:
    """What is to be done now, and why nothing is done for the other gateways that are down."""

    repair: Repair | None = None
    waiting: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)


NOTHING = Plan()

# --- What is remembered ---------------------------------------------------------------------------------------------


def watch(state: State, evidence: Evidence, now: float) -> State:
    """The state after this moment's verdicts: who is down, and since when without a break."""
    if state.deployment.repair == "none":
        return state
    repairs, gateways = state.repairs, state.verdicts.gateways
    down = [name for name, judgement in gateways.items() if judgement.verdict is Verdict.DOWN]
    stopping = []
    if evidence.ec2 is not None:
        stopping = [name for name, instance in evidence.ec2.instances.items() if instance.state == "stopping"]
    working = [name for name, judgement in gateways.items() if judgement.verdict in _WORKS]
    down_since, stopping_since = _since(repairs.down_since, down, now), _since(repairs.stopping_since, stopping, now)
    failed, steps = _without(repairs.failed, working), _kept(repairs.steps, evidence, now)
    leased = repairs.leased_since
    if lease.needed(state.deployment):
        leased = (now if leased is None else leased) if lease_left(state, evidence, now) > 0.0 else None
    before = repairs.down_since, repairs.stopping_since, repairs.failed, repairs.steps, repairs.leased_since
    if (down_since, stopping_since, failed, steps, leased) == before:
        return state
    after = changed(
        repairs, down_since=down_since, stopping_since=stopping_since, failed=failed, steps=steps, leased_since=leased
    )
    return changed(state, repairs=after)


def rested(repairs: Repairs) -> Repairs:
    """With all clocks to be started afresh; steps are not forgotten."""
    if not repairs.down_since and not repairs.stopping_since:
        return repairs
    return changed(repairs, down_since={}, stopping_since={}, waiting={}, lost={})


def take_in(repairs: Repairs, results: Iterable[RepairResult], now: float) -> Repairs:
    """The memory after results, and after waiting for one in vain."""
    for result in results:
        repairs = _take_result(repairs, result)
    flight = repairs.flight
    if flight is not None and now >= flight.deadline:
        repairs = _take_result(repairs, RepairResult(flight.repair, None, None, "timeout", "no result came"))
    return repairs


def ordered(repairs: Repairs, repair: Repair, now: float) -> Repairs:
    """The memory once a repair is handed to the actuator."""
    name = repair.gateway
    if repair.mark is not None:
        step = RepairStep(now, max(repair.mark.steps_wall), repair.rung)
        steps = {**repairs.steps, name: (*repairs.steps.get(name, ()), step)}
        repairs = changed(repairs, steps=steps, taken=_without(repairs.taken, [name]))
    flight = RepairFlight(repair, now + RESULT_SECONDS)
    return changed(repairs, called={**repairs.called, name: now}, flight=flight)


def _take_result(repairs: Repairs, result: RepairResult) -> Repairs:
    repair, name = result.repair, result.repair.gateway
    if repairs.flight is not None and repairs.flight.repair == repair:
        repairs = changed(repairs, flight=None)
    if repair.mark is not None and result.marked is False:  # the step was not begun
        kept = tuple(step for step in repairs.steps.get(name, ()) if step.wall != max(repair.mark.steps_wall))
        repairs = changed(repairs, steps={**repairs.steps, name: kept})
    elif repair.mark is not None and result.marked:
        its = repairs.steps.get(name, ())
        wall = max(repair.mark.steps_wall)
        told = tuple(replace(step, written=True) if step.wall == wall else step for step in its)
        repairs = changed(repairs, steps={**repairs.steps, name: told})
    if result.accepted:
        taken = {**repairs.taken, name: repair.rung}
        return changed(repairs, taken=taken, failed=_without(repairs.failed, [name]))
    what = "its tag could not be written" if result.marked is False else f"EC2 did not take the {repair.rung}"
    text = f"The repair of {name} failed: {what} ({result.error or 'unknown'})."
    return changed(repairs, failed={**repairs.failed, name: text})


def _kept(
    steps: Mapping[str, tuple[RepairStep, ...]], evidence: Evidence, now: float
) -> Mapping[str, tuple[RepairStep, ...]]:
    """Steps of the last day. A tag that is gone although the read is late enough was removed by a person.

    One of which it is not known whether it was written, and that no late read shows, was not.
    """
    if not steps:
        return steps
    view, began = evidence.ec2, now - (evidence.ec2_age or 0.0)

    def shown(name: str, its: tuple[RepairStep, ...]) -> tuple[RepairStep, ...]:
        if view is None or any(began - step.at < BELIEF_SECONDS for step in its):
            return its
        tag = view.repairs.get(name)
        return () if tag is None else tuple(step for step in its if step.written or step.wall in tag.steps_wall)

    kept = {name: tuple(step for step in shown(name, its) if now - step.at < DAY) for name, its in steps.items()}
    return {name: its for name, its in kept.items() if its}


def _since(before: Mapping[str, float], names: Iterable[str], now: float) -> Mapping[str, float]:
    after = {name: before.get(name, now) for name in names}
    return before if after == before else after


def _without(mapping: Mapping[str, _T], names: Iterable[str]) -> Mapping[str, _T]:
    gone = {name for name in names if name in mapping}
    return {name: value for name, value in mapping.items() if name not in gone} if gone else mapping


# --- What is known --------------------------------------------------------------------------------------------------


def history(state: State, view: Ec2View, gateway: str, wall: float, now: float) -> History:
    """The steps of a gateway's repair. One that seems to lie in the future is a wrong clock's: it counts as well."""
    interval = state.deployment.timing.repair_interval
    mark, mine = view.repairs.get(gateway, RepairMark()), state.repairs.steps.get(gateway, ())
    told = [at for at in mark.steps_wall if wall - at < DAY]
    begun = [step for step in mine if now - step.at < DAY]
    last_told, last_begun = max(told, default=None), begun[-1] if begun else None
    rung = mark.rung if told else ""
    if last_begun is not None and (last_told is None or last_begun.wall >= last_told):
        rung = last_begun.rung
    recent = any(wall - at < interval for at in told) or any(now - step.at < interval for step in begun)
    shown = mark.rung if told else ""
    written = last_begun is None or last_begun.written or (last_told is not None and last_told >= last_begun.wall)
    return History(frozenset([*told, *(step.wall for step in begun)]), rung, recent, shown, written)


def under_way(state: State, view: Ec2View, wall: float, now: float) -> Iterator[tuple[str, History]]:
    """Gateways whose last step has not had its time yet, and that do not work again.

    One that works may have come back by itself just before the call of the step that is about to end it.
    """
    for gateway in state.deployment.gateways:
        judgement = state.verdicts.gateways.get(gateway.name)
        works = judgement is not None and judgement.verdict in _WORKS
        if works and gateway.name not in view.repairs and gateway.name not in state.repairs.steps:
            continue  # as nearly always
        past = history(state, view, gateway.name, wall, now)
        if works and not _may_end(state, gateway.name, past, wall, now):
            continue
        if past.recent:
            yield gateway.name, past


def _may_end(state: State, name: str, past: History, wall: float, now: float) -> bool:
    """Whether the last call for a gateway may not have ended its instance yet, which it is there for."""
    rung = state.repairs.taken.get(name, past.rung)
    called = state.repairs.called.get(name, float("-inf"))
    return rung in _ENDING and (wall - past.begun < EFFECT_SECONDS or now - called < EFFECT_SECONDS)


def second_source(name: str, evidence: Evidence, timing: Timing) -> str:
    """Who agrees that a gateway which does not answer the monitor is down, in words; empty if nobody does.

    Nobody does either if anybody has heard it within the time that it must be down.
    """
    seen = evidence.gateways.get(name)
    if seen is None or not silent(seen.heartbeat, timing.window):
        return ""
    heard = [seen.heartbeat.last_answer_age, seen.icmp.last_answer_age]
    heard += [age for _other, age in hearings(name, evidence)]
    if any(age is not None and age < timing.repair_after for age in heard):
        return ""
    peers = dict(peer_ages(name, evidence, timing))
    instance = evidence.ec2.instances.get(name) if evidence.ec2 is not None else None
    if instance is not None and stands_still(instance):
        return f"EC2 says {instance.state}"
    if instance is not None and "impaired" in (instance.system_status, instance.instance_status):
        return "EC2's status checks fail"
    other = min(peers, default="")
    return f"{other} has not heard it for {peers[other]:.0f} s" if other else ""


def held_back(state: State, view: Ec2View, gateway: str) -> list[RouteKey]:
    """Routes that lead to a gateway, by any word there is, and that another gateway might carry."""
    able = {
        site.name
        for site in state.deployment.sites
        for (other, of), path in state.verdicts.paths.items()
        if of == site.name and other != gateway and path.verdict not in _unable(state, other)
    }
    found = []
    for key, route in view.routes.items():
        belief = state.routes.beliefs.get(key)
        owners = (route.gateway, state.routes.gateway_of_target.get(route.target), belief.gateway if belief else "")
        if gateway in owners:
            site = state.deployment.site_of(key.destination)
            if site is not None and site.name in able and key.table_id not in view.refused_tables:
                found.append(key)
    return found


def _unable(state: State, other: str) -> tuple[Verdict, ...]:
    """Verdicts with which another gateway cannot carry. Of a managed gateway nothing may be known for ever."""
    return (Verdict.DOWN,) if state.deployment.managed(other) is None else (Verdict.DOWN, Verdict.UNKNOWN)


# --- What is done ---------------------------------------------------------------------------------------------------


def plan(state: State, evidence: Evidence, now: float, swapping: bool) -> Plan:
    """What to do now about gateways that are down. ``swapping``: routes are being moved in this very step."""
    view, timing = evidence.ec2, state.deployment.timing
    if state.deployment.repair == "none" or view is None or not state.repairs.down_since:
        return NOTHING
    due = [name for name, since in state.repairs.down_since.items() if now - since >= timing.repair_after]
    if not due:
        return NOTHING
    waiting: dict[str, str] = {}
    lost: dict[str, str] = {}
    chosen: Repair | None = None
    others = _not_now(state, evidence, view, now, swapping)
    past = {name: history(state, view, name, evidence.aws_wall, now) for name in due}
    begun = dict(under_way(state, view, evidence.aws_wall, now))
    order = sorted(due, key=lambda name: (name not in begun, past[name].used, name))
    for name in order:
        rung, new, why = _next_rung(state, evidence, name, past[name], now)
        if not rung and not new:
            waiting[name] = why
        elif not rung:
            lost[name] = why
        elif others:
            waiting[name] = others
        elif begun and name not in begun:
            waiting[name] = f"{name} waits for the repair of {min(begun)}."
        elif blocked := _blocked(state, evidence, view, name, now):
            waiting[name] = blocked
        elif chosen is not None:
            waiting[name] = f"{name} waits for the repair of {chosen.gateway}."
        else:
            chosen = _repair(state, evidence, view.instances[name], rung, past[name], new=new)
    return Plan(chosen, waiting, lost)


def _not_now(state: State, evidence: Evidence, view: Ec2View, now: float, swapping: bool) -> str:
    """Why nothing at all is repaired now; empty if it may be."""
    timing = state.deployment.timing
    if state.verdicts.sites_down:
        return f"Nothing is repaired while {min(state.verdicts.sites_down)} is down through every gateway."
    if view.drill is not None:
        return f"Nothing is repaired while the drill {view.drill} runs."
    if paused(view, evidence.aws_wall):
        return "Nothing is repaired while the deployment is paused."
    if evidence.clock_skew or not evidence.wall:
        return "Nothing is repaired while this host's clock is wrong: the budget hangs on it."
    if evidence.ec2_age is None or evidence.ec2_age > 3 * timing.ec2_interval + 5.0:
        return "Nothing is repaired while EC2 cannot be read."
    if swapping or state.routes.flights or state.routes.doubts:
        return "Nothing is repaired while routes are being moved."
    if lease.needed(state.deployment) and lease_left(state, evidence, now) < LEAST:
        return "Nothing is repaired by this monitor, which does not have the lease."
    leased = state.repairs.leased_since
    if lease.needed(state.deployment) and (leased is None or now - evidence.ec2_age < leased + LEARNT_SECONDS):
        return "Nothing is repaired until it is known what the lease's last holder has repaired."
    return "Another repair has just been ordered." if state.repairs.flight is not None else ""


def _blocked(state: State, evidence: Evidence, view: Ec2View, name: str, now: float) -> str:
    """Why this gateway is not repaired now; empty if it may be."""
    if gateway_paused(view, name, evidence.aws_wall):
        return f"{name} is not repaired while it is paused."
    if now - state.repairs.called.get(name, float("-inf")) < CALL_AGAIN:
        return f"The last call for {name} was less than {CALL_AGAIN:g} s ago."
    if not second_source(name, evidence, state.deployment.timing):
        return f"{name} is not repaired: only the monitor finds it down."
    held = held_back(state, view, name)
    if held:
        return f"{name} is not repaired while {held[0]} leads to it, which another gateway might carry."
    return ""


def _next_rung(state: State, evidence: Evidence, name: str, past: History, now: float) -> tuple[str, bool, str]:
    """The next call, whether it begins a step, and why there is none.

    Without a call, ``True`` says that there will be none: a person's work.
    """
    view, policy, timing = evidence.ec2, state.deployment.repair, state.deployment.timing
    instance = view.instances.get(name) if view is not None else None
    if view is None or instance is None or instance.eni_id is None:
        return "", True, f"{name} has no interface in EC2; run the deploy playbook to make one."
    where = instance.state
    gone = instance.instance_id is None or where in _GONE
    if gone and policy != REPLACE:
        return "", True, f"{name}'s instance is {where}; run the deploy playbook to make another."
    if not view.repairs.get(name, RepairMark()).readable:
        return "", True, f"The tag of {name} that tells of its repairs cannot be read; mend or remove it."
    if gone:
        return _launch(state, instance, past)
    hangs = where == "stopping" and now - state.repairs.stopping_since.get(name, now) >= HANG_SECONDS
    if past.recent:
        return _going_on(state, instance, past, hangs)
    if past.used >= timing.repairs_per_day:
        return "", True, f"{name} is still down after {past.used} steps of repair within 24 hours."
    if policy == "reboot" and where != "running":
        return "", True, f"{name}'s instance is {where}, and vpnha_repair only allows a reboot."
    rung = {"running": REBOOT, "stopped": START, "stopping": POWER_CUT if hangs else ""}.get(where, "")
    if rung and policy == REPLACE and exhausted(past.shown, where):
        if instance.eni_dies:
            return "", True, f"{name}'s interface would be deleted with its instance, so that is not replaced."
        rung = TERMINATE
    elif rung == REBOOT and policy != "reboot" and past.rung in (REBOOT, STOP, POWER_CUT):
        rung = STOP
    return rung, bool(rung), "" if rung else f"{name}'s instance is {where}."


def _going_on(state: State, instance: Instance, past: History, hangs: bool) -> tuple[str, bool, str]:
    """The next call of a step that has not had its time yet; as `_next_rung`."""
    name, interval = instance.gateway, state.deployment.timing.repair_interval
    if not past.written:
        return "", False, f"It is not known whether the last step for {name}, {past.rung}, was begun."
    if instance.state == "stopped" and past.rung in _SWITCHED and state.repairs.taken.get(name) != START:
        return START, False, ""
    if hangs and past.rung == STOP:
        return POWER_CUT, False, ""
    return "", False, f"The last step for {name}, {past.rung}, has not had its {interval:g} s yet."


def exhausted(rung: str, where: str) -> bool:
    """Whether stop and start were tried in the last step, and have not helped the instance that is now ``where``."""
    return rung in {"running": (STOP, POWER_CUT, TERMINATE), "stopping": (POWER_CUT, TERMINATE)}.get(
        where, (*_SWITCHED, TERMINATE)
    )


def _launch(state: State, instance: Instance, past: History) -> tuple[str, bool, str]:
    """The next call for a gateway whose instance is gone; as `_next_rung`."""
    name, timing = instance.gateway, state.deployment.timing
    going_on = past.recent and past.written and past.rung in (TERMINATE, LAUNCH)
    if past.recent and (not going_on or state.repairs.taken.get(name) == LAUNCH):
        return "", False, f"The last step for {name}, {past.rung}, has not had its {timing.repair_interval:g} s yet."
    if not going_on and past.used >= timing.repairs_per_day:
        return "", True, f"{name} is still down after {past.used} steps of repair within 24 hours."
    if instance.state == "shutting-down" or not instance.eni_free:
        why = f"{name}'s instance is {instance.state}, and its interface {instance.eni_id} is not free for another yet."
        return "", not going_on, why  # a person is told where no step waits for it
    return LAUNCH, not going_on, ""


def _repair(state: State, evidence: Evidence, instance: Instance, rung: str, past: History, *, new: bool) -> Repair:
    """The call. A ``new`` one begins a step, which the tag must tell beforehand."""
    name, eni_id, mark, begun = instance.gateway, instance.eni_id or "", None, past.begun
    if new:
        begun = float(math.ceil(evidence.aws_wall))  # the tag has whole seconds: rather too late
        walls = sorted([*past.walls, begun])
        mark = RepairMark(tuple(walls[-state.deployment.timing.repairs_per_day :]), rung)
    one = Repair(name, rung, state.verdicts.gateways[name].code, instance.instance_id or "", eni_id, mark)
    if rung == LAUNCH:
        template = tags.launch_template(state.deployment.name, name)
        one = replace(one, template=template, token=launch_token(eni_id, begun))
    return one


def launch_token(eni_id: str, begun: float) -> str:
    """By which EC2 knows that a launch for an interface is the one that a step has asked for already."""
    return f"{eni_id}-{begun:.0f}"


def result_notes(results: Iterable[RepairResult]) -> list[Note]:
    """One note for each call that EC2 has taken."""
    return [
        Note(
            "repair-accepted",
            result.repair.gateway,
            f"EC2 has taken the {result.repair.rung} of {result.repair.gateway}.",
            {"rung": result.repair.rung, "ms": round(result.milliseconds, 1)},
        )
        for result in results
        if result.accepted
    ]
