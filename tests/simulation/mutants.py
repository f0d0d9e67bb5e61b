# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.simulation.mutants``: planted bugs, each of which the simulation must find, or a unit test.

The engine's own checks are switched off meanwhile. Exit code 1 if a bug survives.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import (
    decision,
    invariants,
    judge,
    judge_gateway,
    judge_paths,
    model,
    moves,
    places,
    repair,
    repair_promises,
    told,
)
from ansible_collections.vpnha.aws.plugins.module_utils.model import Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.state import Interface
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import Judgement

from . import schedule
from .ec2_model import WALL
from .pool import workers
from .text_mutants import TEXT_MUTANTS, TextMutant
from .text_mutants import hunt as hunt_in_copy

REPORT = Path("artifacts/sim/mutants.json")
PATIENCE = 60  # schedules within which a planted bug must be found

# Promises of the design that no planted bug stands for, and where they are kept.
ELSEWHERE = {
    16: "several monitors: tests/simulation/several_mutants.py",
}


@dataclass(frozen=True)
class Mutant:
    """A planted bug, and the faults under which it shows."""

    name: str
    invariants: tuple[int, ...]  # of the design, that it breaks; 0: routes must leave what is dead
    where: Any  # a module or class of the engine
    what: str
    instead: Any
    faults: tuple[str, ...]
    also_found_as: tuple[int, ...] = ()  # what it breaks as well, by the time it is noticed
    rare: int = 1  # so many times the usual patience
    seen: int = 1  # the seed that has shown it: tried first, as most stays as it was

    def seeds(self, patience: int) -> Iterator[int]:
        """Of the schedules within which it must be found, the likeliest first."""
        yield self.seen
        yield from (seed for seed in range(1, patience * self.rare + 1) if seed != self.seen)


@dataclass(frozen=True)
class Fate:
    """What became of a mutant."""

    mutant: str
    invariants: tuple[int, ...]
    killed: bool
    seed: int | None  # of the schedule that showed it
    found: str  # what was seen there


def _agent_is_gateway(name: str, *_rest: object) -> Judgement:
    return Judgement(Verdict.DOWN, "gateway-silent", f"The agent of {name} is silent.")


def _everyone(self: Any, group: Any, leave: Any, _verdict: Verdict, **_kind: bool) -> list[str]:
    names = [gateway.name for gateway in self._state.deployment.gateways if gateway.name != group.gateway]
    return [name for name in names if leave.only_to in (None, name)]


def _with_the_last_resort(self: Any, group: Any, leave: Any, verdict: Verdict, *, last_resort: bool = False) -> Any:
    if last_resort:
        return []
    return [name for kind in (False, True) for name in _candidates(self, group, leave, verdict, last_resort=kind)]


def _someone(self: Any, group: Any, leave: Any) -> list[str]:
    return _emergency(self, group, leave) or _everyone(self, group, leave, Verdict.UP)


def _no_backoff(last: Any, swap: Any, error: str, now: float, seed: int) -> Any:
    return replace(_next_retry(last, swap, error, now, seed), next_at=now)


def _without_its_pause(routes: Any, doubt: Any, now: float) -> Any:
    return _found_done(replace(routes, retries={}), doubt, now)


def _every_read(belief: Any, shown: Any, _version: Any, _began: Any, _now: Any) -> Any:
    return belief if shown == belief.target else None


def _without_pauses(view: Any, key: Any, gateway: Any, wall: float) -> bool:
    view = replace(view, paused_deployment_until_wall=None, paused_gateways={}, paused_tables={})
    return _movable(view, key, gateway, wall)


def _without_pins(view: Any, key: Any, gateway: Any, wall: float) -> bool:
    return _movable(replace(view, table_pins={}), key, gateway, wall)


def _all_is_ours(routes: Any, plan: Any, view: Any) -> Any:
    def ours(route: Any) -> Any:
        return route if route.gateway else replace(route, gateway=plan.home(route.zone).name)

    return _grouped(routes, plan, replace(view, routes={key: ours(route) for key, route in view.routes.items()}))


def _only_if_all_can_tell(self: Any, _before: str) -> str:
    works = [self._gateways[name].verdict in (Verdict.UP, Verdict.GREY) for name in self._own]
    return _down_everywhere(self, "") if all(works) else ""


def _only_if_all_know(self: Any) -> list[str]:
    known = all(best.judgement.verdict is Verdict.DOWN for best in self._own.values())
    return _witnesses(self) if known else []


def _without_tags(state: Any, view: Any, gateway: str, wall: float, now: float) -> Any:
    return _history(state, replace(view, repairs={}), gateway, wall, now)


def _in_haste(state: Any, evidence: Any, now: float, swapping: bool) -> Any:
    timing = replace(state.deployment.timing, repair_after=1.0)
    return _plan(replace(state, deployment=replace(state.deployment, timing=timing)), evidence, now, swapping)


def _although_one_is_there(state: Any, instance: Any, past: Any) -> Any:
    return _launch(state, replace(instance, state="absent", eni_free=True), past)


def _by_the_wall_clock(state: Any, evidence: Any, _now: float) -> Any:
    return _step(state, evidence, evidence.wall - WALL)


_candidates: Callable[..., list[str]] = moves._Planner._candidates
_emergency: Callable[..., Any] = moves._Planner._emergency
_next_retry: Callable[..., Any] = places._next_retry
_found_done: Callable[..., Any] = places._found_done
_movable: Callable[..., bool] = moves.movable
_grouped: Callable[..., Any] = places._grouped
_down_everywhere: Callable[..., str] = judge_paths._SiteView.down_everywhere
_witnesses: Callable[..., list[str]] = judge_paths._SiteView._witnesses
_step: Callable[..., Any] = decision.step
_history: Callable[..., Any] = repair.history
_plan: Callable[..., Any] = repair.plan
_launch: Callable[..., Any] = repair._launch
_tokens = count()

MUTANTS = (
    Mutant("no one leaves a dead gateway", (0,), decision, "wanted", lambda *_: ([], [], frozenset()), ("power off",)),
    Mutant(
        "any gateway is good enough", (1,), moves._Planner, "_candidates", _everyone,
        ("power off", "tunnel cut"), (2,),
    ),
    Mutant(
        "the last resort is a gateway like any other", (1,), moves._Planner, "_candidates", _with_the_last_resort,
        ("every tunnel cut", "power off", "tunnel cut"),
    ),
    Mutant(
        "an answer from before the trouble will do", (4,), moves._Planner, "_answered_since", lambda *_: True,
        ("every tunnel cut", "site down", "site down"),
    ),
    Mutant(
        "an old interface is believed again", (1,), places, "_interface", lambda _known, shown, _now: Interface(shown),
        ("new interface", "reads stale"), rare=8, seen=62,
    ),
    Mutant(
        "a dead gateway is better than none", (2,), moves._Planner, "_emergency", _someone,
        ("power off", "tunnel cut", "charon dead"),
    ),
    Mutant(
        "acts when it hears nobody", (3,), judge, "hears_nobody", lambda *_: False,
        ("monitor isolated", "blackout of everything", "power off", "gateway cut off"),
    ),
    Mutant(
        "trusts what it saw before isolation", (3,), decision, "_distrust", lambda state, _now: state,
        ("blackout of everything", "monitor isolated"), (12, 13),
    ),
    Mutant("a site's return is an emergency", (4,), moves, "RECOVERY_GRACE", 0.0, ("site down",)),
    Mutant(
        "a gateway that breaks ends a site's outage", (4,), judge_paths._SiteView, "down_everywhere",
        _only_if_all_can_tell, ("site down", "site down", "source/dest check"), rare=10, seen=198,
    ),
    Mutant(
        "an unknown gateway speaks against a site's outage", (4,), judge_paths._SiteView, "_witnesses",
        _only_if_all_know, ("site down", "site down", "agent dead"), rare=5, seen=112,
    ),
    Mutant(
        "routes on it do not matter", (5,), repair, "held_back", lambda *_: [],
        ("host hangs", "person fails over with a pin", "person fails over with a pin", "pause of table"),
    ),
    Mutant(
        "steps are not counted", (6,), repair, "history", lambda *_: repair.History(frozenset(), "", False),
        ("host hangs hard",),
    ),
    Mutant("all are repaired at once", (6,), repair, "under_way", lambda *_: iter(()), ("host hangs hard",), seen=11),
    Mutant(
        "a restart refills the budget", (6,), repair, "history", _without_tags,
        ("host hangs hard", "monitor restarted", "monitor restarted"),
    ),
    Mutant(
        "an instance is thrown away first of all", (6,), repair, "exhausted", lambda *_: True,
        ("host dead for good", "host hangs"),
    ),
    Mutant(
        "a moment of silence is enough for a repair", (7,), repair, "plan", _in_haste,
        ("host hangs", "power off", "tunnel cut"),
    ),
    Mutant(
        "the monitor's word is enough for a repair", (7,), repair, "second_source", lambda *_: "nobody",
        ("host hangs", "monitor cut from gateway", "monitor cut from gateway", "agent dead", "agent dead"), rare=10,
    ),
    Mutant(
        "every read is believed", (8,), places, "_weigh", _every_read, ("power off", "reads stale", "tunnel cut"),
    ),
    Mutant(
        "what was done counts more than any first read", (15,), places, "_overruled", lambda *_: False,
        ("reads fail", "new interface", "person points route elsewhere", "power off"), (8, 13), rare=2, seen=50,
    ),
    Mutant(
        "orders a swap again while it is in flight", (9,), places, "free", lambda *_: True, ("power off",),
    ),
    Mutant(
        "another instance is launched while one has the interface", (9,), repair, "_launch", _although_one_is_there,
        ("terminated by somebody", "interface stays busy"), seen=35,
    ),
    Mutant(
        "each launch is a new one to EC2", (9,), repair, "launch_token", lambda *_: f"token {next(_tokens)}",
        ("terminated by somebody", "no capacity"), seen=17,
    ),
    Mutant(
        "acts before it has observed", (10,), decision, "observing", lambda *_: False,
        ("stop instance", "monitor restarted", "monitor restarted"), (3,),
    ),
    Mutant(
        "tries again without a pause", (11,), places, "_next_retry", _no_backoff,
        ("power off", "writes throttled", "writes fail"),
    ),
    Mutant(
        "a swap found to be done ends the pause of one that failed since", (11,), places, "_found_done",
        _without_its_pause, ("reads fail", "gateway cut off", "new interface", "announced stop"), rare=10, seen=144,
    ),
    Mutant("no hold-down", (12,), moves, "held", lambda *_: True, ("power off", "tunnel cut")),
    Mutant(
        "a gateway that others hear is down", (13,), judge_gateway, "heard_by", lambda *_: "",
        ("monitor cut from gateway",),
    ),
    Mutant(
        "a silent agent is a dead gateway", (13,), judge_gateway, "_silent", _agent_is_gateway, ("agent dead",),
    ),
    Mutant(
        "pauses do not count", (14,), moves, "movable", _without_pauses,
        ("pause of table", "pause of deployment", "power off", "power off", "tunnel cut"),
    ),
    Mutant(
        "a pause ends by this host's clock", (14,), model.Evidence, "aws_wall", property(lambda self: self.wall),
        ("wall clock set", "wall clock set", "pause of table", "pause of table", "power off"), rare=2, seen=48,
    ),
    Mutant(
        "pins do not count", (15,), moves, "movable", _without_pins,
        ("person fails over with a pin", "power off", "power off"),
    ),
    Mutant(
        "a person's route is taken back", (15,), places, "_grouped", _all_is_ours,
        ("person points route elsewhere", "power off"),
    ),
    Mutant(
        "the wall clock decides", (17,), decision, "step", _by_the_wall_clock,
        ("wall clock set", "wall clock set", "power off", "tunnel cut"), (3, 9, 10, 12, 13),
    ),
    Mutant("what is done is not told", (19,), decision, "_first", lambda *_: False, ("power off",)),
)  # fmt: skip


def patches(mutant: Mutant) -> list[tuple[Any, str, Any]]:
    """(where, what, instead) for every place where the engine looks the name up: some import it by itself."""
    original = getattr(mutant.where, mutant.what)
    found: list[tuple[Any, str, Any]] = [(mutant.where, mutant.what, mutant.instead)]
    if isinstance(mutant.where, ModuleType):
        engine = (decision, judge, judge_gateway, moves, places, repair, told)
        others = (one for one in engine if one is not mutant.where)
        found += [(module, mutant.what, mutant.instead) for module in others if _has(module, mutant.what, original)]
    return found


def _has(module: ModuleType, what: str, original: object) -> bool:
    return getattr(module, what, None) is original


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The engine with the bug in it, and without its own checks: the simulation must find it without their help."""
    checks = [(module, "check", lambda *_: None) for module in (invariants, repair_promises)]
    changes = [*patches(mutant), *checks]
    before = [getattr(where, what) for where, what, _instead in changes]
    for where, what, instead in changes:
        setattr(where, what, instead)
    try:
        yield
    finally:
        for (where, what, _instead), original in zip(changes, before, strict=True):
            setattr(where, what, original)


def hunt(mutant: Mutant) -> Fate:
    """Look for the bug, in schedules of the faults under which it shows."""
    expected = (*mutant.invariants, *mutant.also_found_as)
    with planted(mutant):
        for seed in mutant.seeds(PATIENCE):
            outcome = schedule.run(seed, mutant.faults)
            if outcome.violation:
                killed = outcome.promise in expected
                return Fate(mutant.name, mutant.invariants, killed, seed, outcome.violation)
    return Fate(mutant.name, mutant.invariants, False, None, f"nothing in {PATIENCE * mutant.rare} schedules")


def hunt_number(number: int) -> Fate:
    """The same by its place in the list: a planted bug cannot be sent to another process."""
    return hunt(MUTANTS[number])


def hunt_text(mutant: TextMutant) -> Fate:
    """Look for a bug in the text of what is not played here, with the unit test that must find it."""
    killed, found = hunt_in_copy(mutant)
    return Fate(mutant.name, mutant.invariants, killed, None, found)


def hunt_all(jobs: int) -> list[Fate]:
    """What becomes of every mutant."""
    if jobs <= 1:
        return [*map(hunt, MUTANTS), *map(hunt_text, TEXT_MUTANTS)]
    with workers(jobs) as pool:
        return [*pool.map(hunt_number, range(len(MUTANTS))), *pool.map(hunt_text, TEXT_MUTANTS)]


def main(jobs: int = os.cpu_count() or 1) -> int:
    """Print the table and write it as JSON."""
    fates = hunt_all(jobs)
    print(f"{'invariant':10} {'mutant':44} {'':9} {'seed':>4}  found as")
    for fate in fates:
        numbers = ", ".join(map(str, fate.invariants))
        state = "killed" if fate.killed else "SURVIVED"
        print(f"{numbers:10} {fate.mutant:44} {state:9} {fate.seed or '-':>4}  {fate.found}")
    for number, place in sorted(ELSEWHERE.items()):
        print(f"{number:<10} no mutant: {place}")
    survived = [fate.mutant for fate in fates if not fate.killed]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    document = {"mutants": [vars(fate) for fate in fates], "survived": survived, "elsewhere": ELSEWHERE}
    REPORT.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{len(fates) - len(survived)} of {len(fates)} planted bugs found; report: {REPORT}")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
