# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Voluntary swaps that wait for EC2's limit while their routes come to need an emergency swap."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from test_pacing import QUIET, Bench, crowded, swaps

from ansible_collections.vpnha.aws.plugins.module_utils.model import RouteKey
from lab.api.limits import Buckets
from tests.unit.plugins.module_utils.scenario import Play
from vpnha_monitor.daemon import Monitor
from vpnha_monitor.mind import Mind


def failing_back(tables: int) -> Play:
    """Zone-a's routes, five to a table, lead to gw-b and have just been ordered back to gw-a, which is well."""
    world = crowded(tables, 5)
    world.answer = lambda swap: None
    for key, route in world.view.routes.items():
        if route.zone == "zone-a":
            away = replace(route, eni_id="eni-b", target="eni-b", gateway="gw-b")
            world.view = replace(world.view, routes={**world.view.routes, key: away})
    world.change_view()
    while not world.swaps:
        world.run(0.05)
    assert len(world.swaps) == 5 * tables and all(swap.voluntary for _at, swap in world.swaps)
    return world


def test_those_that_wait_leave_the_queue_at_once_and_cost_nothing() -> None:
    bench = Bench()
    bench.actuator.swap([*swaps(20, voluntary=True), *swaps(1, first=20, voluntary=True)])
    bench.time.sleep(2.0)
    before, begun = len(bench.results), {key for _at, key in bench.ec2.begun}
    keys = {swap.key for swap in swaps(20)}
    bench.actuator.withdraw(keys)
    gone = bench.results[before:]
    assert {one.swap.key for one in gone} == keys - begun and len(gone) > 50
    assert {(one.accepted, one.error) for one in gone} == {(False, "withdrawn")}
    bench.until(105, 5.0)
    assert {key for _at, key in bench.ec2.begun} == begun | {swap.key for swap in swaps(1, first=20)}
    how = bench.actuator.progress()
    assert (how.ordered, how.ended, how.waiting) == (105, 105, 0)


def test_an_emergency_that_waits_stays_in_the_queue() -> None:
    bench = Bench()
    urgent = swaps(12)
    bench.actuator.swap(urgent)
    bench.time.sleep(1.0)
    bench.actuator.withdraw({swap.key for swap in urgent})
    bench.until(60)
    assert all(one.accepted for one in bench.results)


@pytest.mark.parametrize("broken", ["gw-a", "gw-b"])
def test_a_voluntary_swap_is_not_begun_when_its_source_or_its_target_is_down(broken: str) -> None:
    world = failing_back(2)
    mind = Mind(world.plan, "mon-a", 0.0)
    swap = world.swaps[-1][1]

    def why() -> str:
        mind.state, mind.evidence = world.state, world.evidence()
        return mind.still(swap, world.now)

    assert why() == ""
    world.gateways[broken].power_off()
    world.run(1.2)
    assert why().startswith("There is no reason any more" if broken == "gw-a" else "The gateway that its route leads")


def test_each_step_takes_back_what_must_leave_at_once() -> None:
    taken: list[Any] = []
    keys = frozenset({RouteKey("rtb-1", "192.168.10.0/24")})
    routes = SimpleNamespace(overtaken=keys, groups={})
    nothing = SimpleNamespace(
        see=lambda now: SimpleNamespace(store=None, vetoes={}), decided=lambda now: None, take=lambda: 0.0,
        saw=lambda *_given: None, judge=lambda *_given: [], traffic=lambda now: {}, withdraw=taken.append,
        evidence=lambda *_given: {}, managed=SimpleNamespace(evidence=lambda now: {}),
    )  # fmt: skip
    mind = SimpleNamespace(
        summary=dict, step=lambda *_given, **_more: (), state=SimpleNamespace(routes=routes),
        evidence=SimpleNamespace(gateways={}),
    )  # fmt: skip
    monitor = SimpleNamespace(
        mind=mind, agreement=nothing, witnesses=nothing, observer=nothing, lateness=nothing, carrying=nothing,
        actuator=nothing,
    )  # fmt: skip
    Monitor._step(cast(Monitor, monitor), 1.0)
    assert taken == [keys]


def test_13_routes_on_their_way_back_leave_at_once_when_their_gateway_dies() -> None:
    """In the order of their priority, with all the tokens that are kept for emergencies: seconds, not half a minute."""
    world = failing_back(40)
    last = {key for key in world.view.routes if key.table_id in ("rtb-037", "rtb-038", "rtb-039")}
    world.change_view(table_priorities={key.table_id: 1 for key in last})  # for what is ordered from now on
    bench = Bench()
    bench.time.now = world.now + QUIET
    bench.ec2.buckets = Buckets(clock=bench.time)
    bench.ec2.targets = {key: route.target for key, route in world.view.routes.items()}
    ordered, ticks = 0, 0
    while not last <= bench.ended.keys() and ticks < 1000:
        bench.actuator.swap([swap for _at, swap in world.swaps[ordered:]])
        bench.actuator.withdraw(world.state.routes.overtaken)  # as the daemon does after each step
        ordered = len(world.swaps)
        if ticks == 40:
            assert not last & bench.ended.keys()
            world.gateways["gw-b"].power_off()
        bench.time.sleep(0.05)
        world.results += bench.results
        bench.results.clear()
        world.run(0.05)
        ticks += 1
    assert (ticks - 40) * 0.05 < 1.2 + 2.0
    assert not bench.ec2.refused
