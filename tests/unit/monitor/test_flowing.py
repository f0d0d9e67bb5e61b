# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether traffic flows, as the status says it: no more than is known, and nothing is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.model import RouteKey, Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import Judgement
from tests.unit.plugins.module_utils.scenario import Play, play
from vpnha_monitor import flowing
from vpnha_monitor.metrics import gauges
from vpnha_monitor.status import Daemon, build

HQ_A = RouteKey("rtb-a", "192.168.10.0/24")
ALL_WELL = "Traffic flows to hq and plant from every zone, and every route is at home."


@pytest.fixture
def world() -> Play:
    return play()


def said(world: Play) -> str:
    return flowing.sentence(world.plan, world.state.verdicts, world.evidence())


def row(world: Play, zone: str, site: str) -> tuple[list[str], bool | None]:
    """Through what, and whether."""
    found = flowing.rows(world.plan, world.state.verdicts, world.view)
    [one] = [one for one in found if (one["zone"], one["site"]) == (zone, site)]
    return one["gateways"], one["flows"]


def test_all_is_well(world: Play) -> None:
    assert said(world) == ALL_WELL
    assert row(world, "zone-a", "hq") == (["gw-a"], True)


def test_what_a_route_to_somebody_elses_target_does_is_not_known(world: Play) -> None:
    world.point(HQ_A, None, target="tgw-0123456789abcdef0")
    assert row(world, "zone-a", "hq") == (["tgw-0123456789abcdef0"], None)
    assert said(world) == ("It is not known whether traffic flows to hq from zone-a; 1 of 4 routes are away from home.")


@pytest.mark.parametrize("target", ["tgw-0123456789abcdef0", "eni-9"])
def test_a_blackhole_is_no_way_wherever_it_leads(world: Play, target: str) -> None:
    world.point(HQ_A, None, target=target, blackhole=True)
    assert row(world, "zone-a", "hq") == (["no gateway"], False)


def test_a_missing_route_is_no_way(world: Play) -> None:
    routes = {key: route for key, route in world.view.routes.items() if key != HQ_A}
    zones = {"rtb-a": "zone-a", "rtb-b": "zone-b"}
    world.change_view(routes=routes, missing_routes=frozenset({HQ_A}), table_zones=zones)
    assert row(world, "zone-a", "hq") == (["no gateway"], False)
    assert said(world) == "Traffic does not flow to hq from zone-a; 1 route is missing."
    world.change_view(carried_elsewhere=frozenset({HQ_A}))
    assert row(world, "zone-a", "hq") == (["no gateway"], None)
    assert said(world) == "It is not known whether traffic flows to hq from zone-a; 1 route is missing."


@pytest.mark.parametrize(("code", "flows"), [("managed-silent", None), ("managed-down", False)])
def test_a_managed_gateway_is_as_silent_as_the_sites_targets(world: Play, code: str, flows: bool | None) -> None:
    verdicts = world.state.verdicts
    down = Judgement(Verdict.DOWN, code, "Nothing comes back.")
    verdicts = replace(verdicts, sites_silent={"hq": "No target."}, paths={**verdicts.paths, ("gw-a", "hq"): down})
    found = flowing.rows(world.plan, verdicts, world.view)
    assert [one["flows"] for one in found if (one["zone"], one["site"]) == ("zone-a", "hq")] == [flows]


def test_a_zone_whose_only_table_is_not_looked_after_is_not_said_to_be_well(world: Play) -> None:
    routes = {key: route for key, route in world.view.routes.items() if key.table_id != "rtb-a"}
    why = "rtb-a is shared by subnets of zone-a and zone-b; tag it vpnha:zone."
    world.change_view(routes=routes, refused_tables={"rtb-a": why})
    assert said(world) == (
        "Traffic flows to hq and plant from zone-b, and every route is at home; 1 route table is not looked after."
    )
    world.change_view(routes={}, refused_tables={"rtb-a": why, "rtb-b": why})
    assert said(world) == "The deployment has no route to a site; 2 route tables are not looked after."


def test_a_table_that_is_not_looked_after_beside_others_is_said(world: Play) -> None:
    world.change_view(
        refused_tables={"rtb-x": "rtb-x has no associated subnet to tell its zone by; tag it vpnha:zone."}
    )
    assert said(world) == f"{ALL_WELL.rstrip('.')}; 1 route table is not looked after."
    status = build(world.plan, world.state, world.evidence(), Daemon("mon-a", 0.0), world.now)
    gauge = next(one for one in gauges(status) if one.name == "vpnha_route_tables_refused")
    assert gauge.samples[0].value == 1.0


def test_only_the_ways_that_have_routes_are_named(world: Play) -> None:
    world.change_view(routes={key: route for key, route in world.view.routes.items() if key != HQ_A})
    assert said(world).startswith("Traffic flows to plant from zone-a, hq from zone-b and plant from zone-b, and every")
    world.change_view(
        routes={key: route for key, route in world.view.routes.items() if key.destination == HQ_A.destination}
    )
    assert said(world).startswith("Traffic flows to hq from zone-b, and every route is at home")
