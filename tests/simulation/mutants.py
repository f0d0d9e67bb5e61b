# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bugs planted in the engine, each of which the simulation must find, with the engine's own checks switched off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import (
    decision,
    judge,
    judge_gateway,
    moves,
    places,
)
from ansible_collections.vpnha.aws.plugins.module_utils.model import Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.state import Interface
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import Judgement


@dataclass(frozen=True)
class Mutant:
    """A planted bug, and the faults under which it shows."""

    name: str
    promises: tuple[int, ...]  # those that it breaks
    where: Any  # a module or class of the engine
    what: str
    instead: Any
    faults: tuple[str, ...]
    also: tuple[tuple[Any, str, Any], ...] = ()  # further places, for what is guarded twice


def _agent_is_gateway(name: str, *_rest: object) -> Judgement:
    return Judgement(Verdict.DOWN, "gateway-silent", f"The agent of {name} is silent.")


def _everyone(self: Any, group: Any, leave: Any, verdict: Verdict) -> list[str]:
    names = [gateway.name for gateway in self._state.deployment.gateways if gateway.name != group.gateway]
    return [name for name in names if leave.only_to in (None, name)]


def _no_backoff(last: Any, key: Any, error: str, now: float, seed: int) -> Any:
    return replace(_next_retry(last, key, error, now, seed), next_at=now)


_next_retry: Callable[..., Any] = places._next_retry
_ALL_DARK = ("blackout of everything", "monitor isolated")

MUTANTS = (
    Mutant("no one leaves a dead gateway", (0,), decision, "wanted", lambda *_: ([], []), ("power off",)),
    Mutant(
        "a gateway that others hear is down", (13,), judge_gateway, "heard_by", lambda *_: "",
        ("monitor cut from gateway",),
    ),
    Mutant(
        "a silent agent is a dead gateway", (13,), judge_gateway, "_silent", _agent_is_gateway, ("agent dead",),
    ),
    Mutant("no hold-down", (12,), moves, "held", lambda *_: True, ("power off", "tunnel cut")),
    Mutant(
        "acts when it hears nobody", (3,), judge, "hears_nobody", lambda *_: False,
        ("monitor isolated", "blackout of everything", "power off", "gateway cut off"),
    ),
    Mutant(
        "trusts what it saw before isolation", (3, 12, 13), decision, "_distrust", lambda state, _now: state, _ALL_DARK,
    ),
    Mutant(
        "acts before it has observed", (3, 10), decision, "observing", lambda *_: False,
        ("stop instance", "monitor restarted", "monitor restarted"),
    ),
    Mutant("a site's return is an emergency", (4,), moves, "RECOVERY_GRACE", 0.0, ("site down",)),
    Mutant(
        "pins and pauses do not count", (14, 15), moves, "movable", lambda *_: True,
        ("person fails over with a pin", "pause of table", "pause of gateway", "power off", "power off"),
    ),
    Mutant(
        "orders a swap again while it is in flight", (9,), places, "free", lambda *_: True, ("power off",),
    ),
    Mutant(
        "tries again without a pause", (11,), places, "_next_retry", _no_backoff,
        ("power off", "writes throttled", "writes fail"),
    ),
    Mutant("any gateway is good enough", (1, 2), moves._Planner, "_candidates", _everyone, ("power off", "tunnel cut")),
    Mutant(
        "an old interface is believed again", (1,), places, "_interface", lambda _known, shown, _now: Interface(shown),
        ("new interface", "reads stale"),
    ),
)  # fmt: skip


def patches(mutant: Mutant) -> list[tuple[Any, str, Any]]:
    """(where, what, instead) for every place where the engine looks the name up: some import it by itself."""
    found: list[tuple[Any, str, Any]] = []
    for where, what, instead in ((mutant.where, mutant.what, mutant.instead), *mutant.also):
        original = getattr(where, what)
        found.append((where, what, instead))
        if isinstance(where, ModuleType):
            others = (module for module in (decision, judge, judge_gateway, moves, places) if module is not where)
            found += [(module, what, instead) for module in others if getattr(module, what, None) is original]
    return found
