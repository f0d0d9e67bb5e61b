# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision: what the evidence of this moment, and the memory of those before, make the monitor do.

``step`` is pure: no clock, no I/O, no randomness. Call it at least every ``heartbeat_interval`` while something is
amiss; each call gives the actions of that moment:

- ``Swap``: order it once; the most urgent come first. Its ``SwapResult`` comes back in the ``Evidence`` of a later
  step; until then, or until it is overdue, the route is left alone. One of a route in ``State.routes.overtaken`` that
  has not been begun is to be taken back, with the error ``WITHDRAWN``: an emergency waits for it.
- ``Repair``: the same for a gateway's instance; its ``RepairResult`` comes back likewise.
- ``ReadEc2``: read routes and instances now, out of turn.
- ``Note``: tell it. A note with ``resolved`` takes an earlier one with the same code and subject back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import invariants, lease, repair, repair_promises, told
from .changed import changed
from .errors import InvariantViolation
from .holds import held, remember, rested
from .judge import judge
from .model import Action, Deployment, Evidence, Note, ReadEc2, Repair, RouteKey, Swap, Verdict
from .moves import Move, wanted
from .owners import OWNER_SILENCE
from .places import take_in
from .state import Flight, Health, State
from .urgency import ordered
from .verdicts import Judgement, Pair, Verdicts

BLACKHOLE = Judgement(Verdict.DOWN, "route-blackhole", "EC2 says that routes to it are blackholes.")
UNSEEN = Health()
FLIGHT_SECONDS = 30.0  # for a swap's result, seconds...
FLIGHT_SECONDS_EACH = 0.25  # ...and for each that is ordered before it: EC2 takes five a second
WALL_JUMP = 1.0  # seconds by which the clocks may part within a step; more means that the machine was paused
READ_AGAIN = 2.0  # seconds between two reads for the same reason
# Where there are several monitors, EC2 is read this often while one of the others may be late with a swap.
READ_OF_SEVERAL = 0.8  # seconds; EC2 counts reads: six calls each
READ_IN_DOUBT = 0.3  # ...and when a read shows what this monitor has not done
LATE_WRITES = "another monitor's late writes"
LATE = 30.0  # seconds after something has happened, be it that another monitor fell silent or came back


def start(
    deployment: Deployment,
    now: float,
    seed: int = 0,
    monitor: str = "",
    *,
    moved: Mapping[RouteKey, tuple[float, ...]] | None = None,
) -> State:
    """The state of a monitor that has just started.

    ``moved`` is when routes were moved voluntarily in the last hour, which counts whoever did it.
    """
    state = State(deployment=deployment, started=now, seed=seed, monitor=monitor, trusted_from=now)
    return changed(state, routes=changed(state.routes, moves=moved)) if moved else state


def step(state: State, evidence: Evidence, now: float) -> tuple[State, tuple[Action, ...]]:
    """The state after this moment, and what is to be done."""
    pingable = state.pingable
    if len(pingable) < len(evidence.gateways):
        answering = {name for name, seen in evidence.gateways.items() if seen.icmp.last_answer_age is not None}
        pingable = pingable | answering
    verdicts = judge(state.deployment, evidence, pingable, state.verdicts.sites_down)
    state = changed(
        state,
        verdicts=verdicts,
        pingable=pingable,
        routes=take_in(state.routes, state.deployment, evidence, now, state.seed),
        repairs=repair.take_in(state.repairs, evidence.repair_results, now),
    )
    notes = told.result_notes(evidence.results) + repair.result_notes(evidence.repair_results)
    state, jumped = _wall_jumped(state, evidence, now)
    if verdicts.isolated or verdicts.sick or jumped:
        state = _distrust(state, now)
        state, more = told.tell(state, told.blind_matters(state), now)
        return state, (*notes, *more)
    drill = evidence.ec2 is not None and evidence.ec2.drill is not None
    state = _at_rest(_remember(state, verdicts, now, drill=drill), now)
    state = repair.watch(state, evidence, now)
    state = _others(state, evidence, now)
    moves, stuck, overtaken = ([], [], frozenset()) if observing(state, now) else wanted(state, evidence, now)
    if overtaken != state.routes.overtaken:
        state = changed(state, routes=changed(state.routes, overtaken=overtaken))
    swaps, dropped = _hold_to_promises(state, evidence, moves, now)
    kept = {swap.key for swap in swaps}
    news = [move for move in moves if move.swaps[0].key in kept and _first(state, move)]
    if len(swaps) > 1 and evidence.ec2 is not None:
        swaps = ordered(swaps, evidence.ec2, evidence.traffic)
    state, repairs, unfit = _repairs(state, evidence, now, bool(moves))
    dropped += unfit
    state, reads = _reads(state, evidence, now)
    state, more = told.tell(state, told.matters(state, evidence, stuck, now), now)
    if swaps:
        state = changed(state, routes=changed(state.routes, flights=_in_flight(state, swaps, now)))
    notes += [*more, *(told.move_note(move, evidence) for move in news), *dropped]
    return state, (*swaps, *repairs, *reads, *notes)


def observing(state: State, now: float) -> bool:
    """Whether the monitor only observes: after its start, isolation or lateness, for one full window."""
    timing = state.deployment.timing
    return now - max(state.started, state.trusted_from) < max(timing.window, timing.tunnel_window)


def reconfigured(state: State, deployment: Deployment) -> State:
    """The state with a new description; what is known of what stays is kept."""
    names = {gateway.name for gateway in deployment.targets}
    sites = {site.name for site in deployment.sites}
    healths = {pair: health for pair, health in state.healths.items() if pair[0] in names and pair[1] in sites}
    routes, repairs = changed(state.routes, version=-1), state.repairs
    if deployment.repair != state.deployment.repair:
        repairs = repair.rested(repairs)  # nobody has watched for them
    return changed(state, deployment=deployment, healths=healths, routes=routes, repairs=repairs)


def reload_problems(state: State, deployment: Deployment) -> list[str]:
    """Why a new description cannot replace the one in force: one sentence each."""
    names = {gateway.name for gateway in deployment.targets}
    problems = [
        f"{name} still carries {count} routes: move them to another gateway (playbook failover) before removing it."
        for name, count in sorted(state.routes.carried.items())
        if count and name not in names
    ]
    if deployment.name != state.deployment.name:
        problems.append(f"The deployment's name changes from {state.deployment.name}: restart the monitor for that.")
    return problems


def _wall_jumped(state: State, evidence: Evidence, now: float) -> tuple[State, bool]:
    """Whether the clocks parted: someone set the wall clock, or the whole machine stood still.

    Either way it costs one window of observation, and nothing else hangs on the wall clock.
    """
    if not evidence.wall:
        return state, False  # not given
    offset = evidence.wall - now
    parted = abs(offset - state.wall_offset) if state.wall_offset is not None else float("inf")
    if parted < WALL_JUMP / 10:
        return state, False
    return changed(state, wall_offset=offset), state.wall_offset is not None and parted > WALL_JUMP


def _distrust(state: State, now: float) -> State:
    """Throw away what was seen: all timers start afresh."""
    healths = {pair: rested(health) for pair, health in state.healths.items()}
    return changed(state, trusted_from=now, healths=healths, repairs=repair.rested(state.repairs))


def _remember(state: State, verdicts: Verdicts, now: float, *, drill: bool) -> State:
    timing = state.deployment.timing
    # a route that EC2 calls a blackhole tells against its gateway as much as any probe
    dead = {(group.gateway, group.site) for group in state.routes.groups if group.fault == "blackhole"}
    before, same = state.healths, True
    after: dict[Pair, Health] = {}
    for pair, path in verdicts.paths.items():
        health = before.get(pair, UNSEEN)
        after[pair] = remember(health, BLACKHOLE if pair in dead else path, now, timing, drill=drill)
        same = same and after[pair] is before.get(pair)
    healths = before if same else after
    down_at = state.sites_down_at
    if verdicts.sites_down or verdicts.sites_quiet:
        down_at = {**down_at, **dict.fromkeys((*verdicts.sites_down, *verdicts.sites_quiet), now)}
    silent_at = state.sites_silent_at
    if verdicts.sites_silent:
        silent_at = {**silent_at, **dict.fromkeys(verdicts.sites_silent, now)}
    dark_at = state.sites_dark_at
    if verdicts.sites_dark:
        dark_at = {**dark_at, **dict.fromkeys(verdicts.sites_dark, now)}
    kept = healths is state.healths and silent_at is state.sites_silent_at
    if kept and down_at is state.sites_down_at and dark_at is state.sites_dark_at:
        return state
    return changed(state, healths=healths, sites_down_at=down_at, sites_silent_at=silent_at, sites_dark_at=dark_at)


def _at_rest(state: State, now: float) -> State:
    """Without the memory of where routes were put that lead elsewhere now, to what this monitor finds well for long.

    Whoever has moved them, that quarrel is over: when that gateway fails, they are not contested.
    """
    routes, timing = state.routes, state.deployment.timing
    elsewhere = [
        key
        for group, keys in (routes.groups.items() if routes.placed else ())
        if held(state.healths.get((group.gateway or "", group.site)), now, timing)
        for key in keys
        if routes.placed.get(key, group.gateway) != group.gateway
    ]
    if not elsewhere:
        return state
    placed = {key: gateway for key, gateway in routes.placed.items() if key not in elsewhere}
    return changed(state, routes=changed(routes, placed=placed))


def _hold_to_promises(
    state: State, evidence: Evidence, moves: Iterable[Move], now: float
) -> tuple[list[Swap], list[Note]]:
    """The swaps that break no promise; what would is dropped and told."""
    swaps: list[Swap] = []
    notes: list[Note] = []
    for move in moves:
        for swap in move.swaps:
            try:
                invariants.check(state, evidence, swap, now)
            except InvariantViolation as violation:
                facts = {"invariant": violation.number, "reason": swap.reason, "to": swap.gateway}
                notes.append(Note("invariant-violated", str(swap.key), str(violation), facts))
            else:
                swaps.append(swap)
    return swaps, notes


def _repairs(state: State, evidence: Evidence, now: float, swapping: bool) -> tuple[State, list[Repair], list[Note]]:
    """The repair of this moment, if there is one: after the swaps, which it never delays."""
    plan = repair.NOTHING if observing(state, now) else repair.plan(state, evidence, now, swapping)
    if (plan.waiting, plan.lost) != (state.repairs.waiting, state.repairs.lost):
        state = changed(state, repairs=changed(state.repairs, waiting=plan.waiting, lost=plan.lost))
    if plan.repair is None:
        return state, [], []
    try:
        repair_promises.check(state, evidence, plan.repair, now, swapping)
    except InvariantViolation as violation:
        facts = {"invariant": violation.number, "rung": plan.repair.rung}
        return state, [], [Note("invariant-violated", plan.repair.gateway, str(violation), facts)]
    return changed(state, repairs=repair.ordered(state.repairs, plan.repair, now)), [plan.repair], []


def _first(state: State, move: Move) -> bool:
    """Whether the move is new, not another round of one that was told."""
    failed = ((swap, state.routes.retries.get(swap.key)) for swap in move.swaps)
    return any(
        retry is None or (retry.swap.target, retry.swap.voluntary) != (swap.target, swap.voluntary)
        for swap, retry in failed
    )


def _in_flight(state: State, swaps: Iterable[Swap], now: float) -> dict[RouteKey, Flight]:
    flights = dict(state.routes.flights)
    for swap in swaps:
        flights[swap.key] = Flight(swap, now + FLIGHT_SECONDS + FLIGHT_SECONDS_EACH * len(flights))
    return flights


def _others(state: State, evidence: Evidence, now: float) -> State:
    """The state with the monitors that have said lately that they can act."""
    others = frozenset([name for name, age in evidence.store.words.items() if age <= OWNER_SILENCE])
    return state if others == state.others else changed(state, others=others, others_changed=now)


def _late_writes(state: State, now: float) -> bool:
    """Whether another monitor may still carry out what it decided some time ago."""
    if not lease.needed(state.deployment):
        return False
    return bool(state.routes.beliefs or state.routes.flights or now - state.others_changed < LATE)


def _reads(state: State, evidence: Evidence, now: float) -> tuple[State, list[ReadEc2]]:
    """Reads out of turn: an unknown outcome, EC2's word on a gateway that has fallen silent, another's late write.

    Of several monitors one that could not see for a moment may not act before it has read what others did meanwhile.
    """
    reasons = [f"outcome of {doubt.swap.key}" for doubt in state.routes.doubts.values()][:1]
    trusted = max(state.started, state.trusted_from)
    if lease.needed(state.deployment) and evidence.ec2_age is not None and now - evidence.ec2_age < trusted:
        reasons.append("what others have done")
    for name, judgement in state.verdicts.gateways.items():
        silent = judgement.verdict in (Verdict.DOWN, Verdict.UNKNOWN)
        if silent and (judgement.code, name) not in state.told and (evidence.ec2_age or 0.0) > READ_AGAIN:
            reasons.append(f"{name} is {judgement.verdict.value}")
    asked = {reason: at for reason, at in state.reads_asked.items() if now - at < READ_AGAIN}
    due = [reason for reason in reasons if reason not in asked]
    if _late_writes(state, now):
        doubtful = any(belief.contrary is not None for belief in state.routes.beliefs.values())
        if now - asked.get(LATE_WRITES, float("-inf")) > (READ_IN_DOUBT if doubtful else READ_OF_SEVERAL):
            due.append(LATE_WRITES)
    if asked == state.reads_asked and not due:
        return state, []
    return changed(state, reads_asked={**asked, **dict.fromkeys(due, now)}), [ReadEc2(reason) for reason in due]
