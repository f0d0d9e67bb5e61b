# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill moves routes where the monitors would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import drill_plan
from ansible_collections.vpnha.aws.plugins.module_utils.drill_takers import takers
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment

from .scenario import deployment, with_managed
from .test_decision_gateways import went_to, zones_of_a_lost_gateway


def standing(plan: Deployment, **more: int) -> dict[str, Any]:
    """All at home: in each zone a table with a route to each site, and in some so many more tables."""
    tables = []
    for zone in plan.zones:
        home = plan.home(zone.name)
        routes = [{"site": site.name, "gateway": home.name if home else None} for site in plan.sites]
        tables += [{"zone": zone.name, "routes": routes}] * (1 + more.get(zone.name[-1], 0))
    return {"route_tables": tables}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"near": ("zone-c",)},
        {"near": ("zone-c", "zone-b")},
        {"near": ("zone-c",), "spread": "capacity"},
        {"c": 4.0},
        {"c": 2.0},
        {"near": ("zone-c",), "c": 2.0, "spread": "capacity"},
        {"near": ("zone-b",), "c": 100.0},
        {"near": ("zone-b",), "c": 100.0, "spread": "capacity"},
    ],
)
def test_they_go_where_the_monitors_move_those_of_a_gateway_that_dies(given: dict[str, Any]) -> None:
    world = zones_of_a_lost_gateway(**given)
    expected = {zone: {taker} for zone, taker in takers(world.plan, "gw-a", standing(world.plan)).items()}
    assert went_to(world) == expected
    assert takers(world.plan, "gw-a", {}) == takers(world.plan, "gw-a", standing(world.plan))


def test_what_each_gateway_carries_counts() -> None:
    plan = deployment("abc")
    assert takers(plan, "gw-a", standing(plan)) == {"zone-a": "gw-b"}
    assert takers(plan, "gw-a", standing(plan, b=1)) == {"zone-a": "gw-c"}


def test_a_managed_gateway_takes_over_as_any_other_and_a_last_resort_never() -> None:
    plan = deployment("ab")
    alone = replace(plan, gateways=plan.gateways[:1], zones=plan.zones[:1])
    assert takers(with_managed(replace(plan, gateways=plan.gateways[:1]), "zone-b"), "gw-a", {}) == {"zone-a": "vgw"}
    half = with_managed(replace(plan, gateways=plan.gateways[:1]), "zone-b", probed=["hq"])
    assert takers(half, "gw-a", {}) == {}
    assert takers(with_managed(alone), "gw-a", {}) == {}


def test_the_plan_says_where_each_zone_goes() -> None:
    plan = deployment("abc")
    a, b, c = plan.gateways
    plan = replace(
        plan, zones=tuple(replace(zone, near=("zone-c",)) if zone.name == "zone-a" else zone for zone in plan.zones)
    )
    wish = drill_plan.Wish(["planned"], app_hosts=["vm"], gateway="gw-a")
    found = drill_plan.make(plan, wish)
    assert found["moves"] == [{"gateway": "gw-c", "zones": ["zone-a"]}]
    assert found["runs"][0]["does"] == "move the routes of gw-a to gw-c"
    both = replace(plan, gateways=(replace(a, home_zones=("zone-a", "zone-b")), replace(b, home_zones=()), c))
    assert drill_plan.make(both, wish)["runs"][0]["does"] == (
        "move the routes of gw-a to gw-c (zone-a) and gw-b (zone-b)"
    )
