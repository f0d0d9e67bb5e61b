# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether traffic flows, as the status says it: no more than is known, and nothing is left out."""

from __future__ import annotations

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.model import RouteKey
from tests.unit.plugins.module_utils.scenario import Play, play
from vpnha_monitor import flowing

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
    assert said(world).startswith("Traffic does not flow to hq from zone-a")
