# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones of a dead gateway are spread as the documentation says, and each route moves once, and once home."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import moves
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment

from . import many_zones
from .faults import Fault

DEATHS = range(1, 51)


def test_the_promises_hold_with_many_zones() -> None:
    outcomes = [many_zones.play(seed) for seed in range(1, 61)]
    assert [f"seed {one.seed}: {one.violation}" for one in outcomes if one.violation] == []
    assert sum(one.swaps for one in outcomes) > 300


def test_each_route_of_a_gateway_that_dies_moves_once_and_once_home() -> None:
    coverage: Counter[str] = Counter()
    for seed in DEATHS:
        outcome, routes = many_zones.one_dies(seed)
        coverage.update(outcome.coverage)
        assert (outcome.violation, outcome.swaps) == ("", 2 * routes), f"seed {seed}"
    assert coverage["spread"] == len(DEATHS)
    assert coverage["spread, several zones"] > 10


def test_a_route_that_a_person_has_deleted_weighs_nothing() -> None:
    coverage: Counter[str] = Counter()
    for seed in DEATHS:
        outcome, _routes = many_zones.one_dies(seed, a_route_is_deleted)
        coverage.update(outcome.coverage)
        assert outcome.violation == "", f"seed {seed}"
    assert coverage["spread"] == len(DEATHS)


def a_route_is_deleted(plan: Deployment) -> list[Fault]:
    """Of the zone that comes last; it is not made again."""
    where = f"rtb-{plan.zones[-1].name}", plan.sites[0].prefixes[0]
    return [Fault("person deletes route", where, 30.0, 40.0)]


RANK = moves.rank
WRONG = {
    "whichever comes first": lambda plan, zone, one, routes: (0.0, 0.0, one.name),
    "whatever the load": lambda plan, zone, one, routes: RANK(plan, zone, one, 0),
    "whatever the distance and capacity": lambda plan, zone, one, routes: (routes, 0.0, one.name),
}


@pytest.mark.parametrize("rank", WRONG.values(), ids=WRONG)
def test_zones_that_go_elsewhere_are_noticed(rank: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "rank", rank)
    assert any("its zones went" in many_zones.one_dies(seed)[0].violation for seed in DEATHS)


def test_a_zone_that_is_torn_apart_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves._Planner, "_preferred", lambda _planner, _zone: None)
    assert any("torn apart" in many_zones.one_dies(seed)[0].violation for seed in range(1, 400))
