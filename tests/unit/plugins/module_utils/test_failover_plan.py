# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failover costs on paper, what makes it cheaper, and whose turn comes first. What happens: test_pacing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import failover_plan, routes
from ansible_collections.vpnha.aws.plugins.module_utils.ec2_view import Snapshot, view_of
from ansible_collections.vpnha.aws.plugins.module_utils.failover_plan import detection, need
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Ec2View,
    Instance,
    Route,
    RouteKey,
    Swap,
    SwapResult,
    Timing,
)
from ansible_collections.vpnha.aws.plugins.module_utils.urgency import ordered

from .scenario import VGW, WALL, deployment, play, with_managed

PREFIXES = {"hq": ("192.168.10.0/24", "192.168.11.0/24", "192.168.12.0/24"), "plant": ("192.168.20.0/24", "pl-1")}


def described() -> Deployment:
    """Sites with three and two destinations."""
    plain = deployment()
    return replace(plain, sites=tuple(replace(site, prefixes=PREFIXES[site.name]) for site in plain.sites))


def seen(tables: dict[str, str], **more: Any) -> Ec2View:
    """A view with these tables, each with all destinations to the home gateway of its zone."""
    found = {}
    for table, zone in tables.items():
        for destination in (*PREFIXES["hq"], *PREFIXES["plant"]):
            key, letter = RouteKey(table, destination), zone[-1]
            found[key] = Route(key, zone, f"eni-{letter}", f"gw-{letter}", f"eni-{letter}")
    instances = {name: Instance(name, f"i-{name}", f"eni-{name[-1]}", "running") for name in ("gw-a", "gw-b")}
    return Ec2View(found, instances, table_zones=tables, **more)


def planned(view: Ec2View, gateway: str = "gw-a", latency: float = 0.15) -> dict[str, Any]:
    return next(one for one in failover_plan.plan(view, described(), latency)["gateways"] if one["name"] == gateway)


@pytest.mark.parametrize(
    ("calls", "limit", "answers"),
    [
        (1, 0.0, 0.15),
        (32, 0.0, 0.15),
        (33, 0.0, 0.3),  # 32 are under way at the same time
        (45, 0.0, 0.3),
        (46, 1 / 4.8, 0.15),
        (500, 455 / 4.8, 0.15),
    ],
)
def test_what_so_many_calls_take(calls: int, limit: float, answers: float) -> None:
    needed = need(calls, 0.6, 0.15)
    assert (needed.limit, needed.answers) == (pytest.approx(limit), pytest.approx(answers))
    assert needed.total == pytest.approx(0.6 + limit + answers + 0.3)


@pytest.mark.parametrize(("calls", "more"), [(0, 0.0), (1, 1 / 4.8), (45, 45 / 4.8), (500, 45 / 4.8)])
def test_without_a_token_at_the_start_it_takes_longer(calls: int, more: float) -> None:
    needed = need(calls, 0.6, 0.15)
    assert needed.after_another - needed.total == pytest.approx(more)


def test_a_gateway_without_routes_costs_no_call() -> None:
    one = planned(seen({"rtb-1": "zone-b"}))
    assert (one["calls"], one["limit_seconds"], one["read_back_seconds"], one["shorter"]) == (0, 0.0, 0.0, [])
    assert one["text"] == "gw-a: no route leads there."


def test_detection_is_what_the_description_says() -> None:
    assert detection(Timing()) == pytest.approx(0.5 + 0.1 + 0.025)
    assert detection(Timing(window=2.0, heartbeat_interval=0.2)) == pytest.approx(2.425)
    managed = with_managed(deployment()).managed_gateways[0]
    assert detection(Timing(), managed) == pytest.approx(60.275)


def test_the_sentence_says_what_the_time_is_for() -> None:
    one = planned(seen({f"rtb-{n:03d}": "zone-a" for n in range(100)}))
    assert one["text"] == (
        "gw-a: 500 calls in 100 route tables, at worst 95.9 s: 0.62 s until it is found dead, 94.8 s for EC2's limit "
        "(45 calls at once, then 4.8 a second), 0.15 s for the last answer, 0.30 s for two reads."
    )


def test_what_makes_it_shorter() -> None:
    tables = {f"rtb-a{n}": "zone-a" for n in range(40)} | {"rtb-b": "zone-b"}
    shorter = {one["by"]: (one["calls"], one["seconds"]) for one in planned(seen(tables))["shorter"]}
    lists = need(80, detection(Timing()), 0.15).total  # two sites in each of forty tables
    assert shorter == {
        "prefix lists": (80, round(lists, 2)),
        "shared tables": (5, pytest.approx(1.07, abs=0.01)),
    }
    assert planned(seen({"rtb-a": "zone-a"}))["shorter"] == []  # five calls are answered as soon as two


def test_both_together_where_neither_is_enough() -> None:
    prefixes = tuple(f"10.{n}.0.0/16" for n in range(100))
    plan = replace(described(), sites=(replace(described().sites[0], prefixes=prefixes), described().sites[1]))
    routes_of = {
        RouteKey(f"rtb-{table:02d}", prefix): Route(
            RouteKey(f"rtb-{table:02d}", prefix), "zone-a", "eni-a", "gw-a", "eni-a"
        )
        for table in range(60)
        for prefix in prefixes
    }
    view = replace(seen({}), routes=routes_of)
    shorter = failover_plan.plan(view, plan)["gateways"][0]["shorter"]
    assert [(one["by"], one["calls"]) for one in shorter] == [("prefix lists", 60), ("shared tables", 100), ("both", 1)]


def dual_stack(lists: bool) -> tuple[Ec2View, Deployment]:
    """Sixty tables, and sites with prefixes of both families: by their prefix lists, or each prefix a route."""
    plan = replace(
        deployment(),
        sites=tuple(
            replace(
                site,
                prefixes=tuple(each for n in range(3) for each in (f"10.{number}.{n}.0/24", f"fd0{number}:{n}::/48")),
                by_prefix_list=lists,
                prefix_list=f"pl-{number}4" if lists else "",
                prefix_list_ipv6=f"pl-{number}6" if lists else "",
            )
            for number, site in enumerate(deployment().sites)
        ),
    )
    keys = [RouteKey(f"rtb-{n:02d}", each) for n in range(60) for site in plan.sites for each in site.destinations]
    return replace(seen({}), routes={key: Route(key, "zone-a", "eni-a", "gw-a", "eni-a") for key in keys}), plan


def test_a_site_of_both_families_needs_two_prefix_lists() -> None:
    shorter = failover_plan.plan(*dual_stack(lists=False))["gateways"][0]["shorter"]
    assert [(one["by"], one["calls"]) for one in shorter] == [("prefix lists", 240), ("shared tables", 12)]
    assert shorter[0]["text"].startswith("one prefix list for each site and address family: 240 calls, ")


def test_prefix_lists_that_are_there_are_not_recommended() -> None:
    first = failover_plan.plan(*dual_stack(lists=True))["gateways"][0]
    assert first["calls"] == 240
    assert [(one["by"], one["calls"]) for one in first["shorter"]] == [("shared tables", 4)]


def test_what_it_carries_now_counts_if_that_is_more() -> None:
    view = seen({"rtb-a": "zone-a", "rtb-b": "zone-b"})
    moved = {key: replace(route, gateway="gw-b", target="eni-b", eni_id="eni-b") for key, route in view.routes.items()}
    away = replace(view, routes=moved)
    assert (planned(away, "gw-b")["calls"], planned(away, "gw-b")["carries_now"]) == (10, 10)
    assert (planned(away, "gw-a")["calls"], planned(away, "gw-a")["carries_now"]) == (5, 0)
    assert failover_plan.plan(view, described())["everything"]["calls"] == 10


def test_priorities_tell_when_the_first_are_done() -> None:
    tables = {f"rtb-{n:02d}": "zone-a" for n in range(20)}
    one = planned(seen(tables, table_priorities={"rtb-07": 1, "rtb-08": 9}))
    assert [(each["priority"], each["calls"]) for each in one["priorities"]] == [(1, 5), (5, 95), (9, 100)]
    assert one["priorities"][0]["seconds"] < 1.1 and one["priorities"][2]["seconds"] == one["seconds"]
    assert planned(seen(tables))["priorities"] == []


def test_a_managed_gateway_has_a_row() -> None:
    plan = with_managed(described(), "zone-a")
    view = seen({"rtb-a": "zone-a"}, managed={"vgw": VGW})
    rows = {one["name"]: one for one in failover_plan.plan(view, plan)["gateways"]}
    assert (rows["gw-a"]["calls"], rows["vgw"]["calls"], rows["vgw"]["detect_seconds"]) == (5, 5, 60.275)
    assert rows["gw-a"]["carries_now"] == 5  # it stands in for the home gateway


# --- whose turn it is -------------------------------------------------------------------------------------------


def swap(table: str, *, voluntary: bool = False, priority: int = 5) -> Swap:
    return Swap(RouteKey(table, "192.168.10.0/24"), "gw-b", "eni-b", "x", voluntary, priority=priority)


def test_emergencies_then_priority_then_traffic() -> None:
    view = seen({"rtb-a": "zone-a", "rtb-b": "zone-b", "rtb-c": "zone-b"})
    quiet, busy, last = swap("rtb-a"), swap("rtb-b"), swap("rtb-c", priority=6)
    early, home = swap("rtb-a", priority=1), swap("rtb-b", voluntary=True, priority=1)
    assert ordered([home, last, quiet, busy, early], view, {"zone-b": 100.0, "zone-a": 1.0}) == [
        early, busy, quiet, last, home,
    ]  # fmt: skip
    assert ordered([quiet, busy], view) == [quiet, busy]


def test_the_monitor_and_a_person_order_by_priority() -> None:
    world = play("abc")
    tables = {key.table_id: route.zone for key, route in world.view.routes.items()}
    world.change_view(table_priorities={"rtb-b": 9, "rtb-c": 1}, table_zones=tables)
    choice = routes.Choice(gateway="gw-a")
    asked = routes.plan(world.view, world.plan, choice, WALL)
    assert [each.key.table_id for each in asked] == ["rtb-c", "rtb-c", "rtb-b", "rtb-b"]
    for name in ("gw-b", "gw-c"):
        world.gateways[name].power_off()
    world.run(2)
    assert [each.key.table_id for _at, each in world.swaps] == ["rtb-c", "rtb-c", "rtb-b", "rtb-b"]
    assert {each.priority for _at, each in world.swaps} == {1, 9}


@pytest.mark.parametrize(("value", "priority"), [("1", 1), (" 9 ", 9), ("0", None), ("10", None), ("high", None)])
def test_a_priority_that_cannot_be_read_is_told_and_counts_as_none(value: str, priority: int | None) -> None:
    tags = {"vpnha:zone": "zone-a", "vpnha:priority": value}
    table = {"RouteTableId": "rtb-1", "VpcId": "vpc-1", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
    view = view_of(Snapshot(tables=[table]), deployment(), WALL)
    assert view.priority("rtb-1") == (priority or 5)
    told = f'rtb-1: vpnha:priority should be a digit from 1, the first, to 9, not "{value}"; it counts as 5.'
    assert view.unreadable_marks == (() if priority else (told,))


@pytest.mark.parametrize("code", ["deadline", "withdrawn"])
def test_a_swap_whose_turn_did_not_come_is_ordered_again_soon_and_is_no_failure(code: str) -> None:
    world = play()
    world.answer = lambda swap: SwapResult(swap, False, code, "not begun")
    world.gateways["gw-a"].power_off()
    world.run(20)
    at = [when for when, swap in world.swaps if swap.key.destination == "192.168.10.0/24"]
    waits = [later - earlier for earlier, later in pairwise(at)]
    assert len(at) >= 9 and all(1.0 <= wait <= 2.2 for wait in waits)  # never longer, and never at once
    assert not world.told("swap-failed")
