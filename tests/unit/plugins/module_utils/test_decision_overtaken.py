# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Voluntary swaps that have not been begun when their routes come to need an emergency swap."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.model import WITHDRAWN, RouteKey, SwapResult

from .scenario import TICK, Play, play

HQ_A = RouteKey("rtb-a", "192.168.10.0/24")
PLANT_A = RouteKey("rtb-a", "192.168.20.0/24")


def failing_back() -> Play:
    """The routes of zone-a have been ordered back from gw-b to gw-a, and wait for EC2's limit."""
    world = play("abc")
    for key in (HQ_A, PLANT_A):
        world.point(key, "eni-b")
    world.answer = lambda swap: None
    world.run(0.5)
    assert {(swap.key, swap.gateway, swap.voluntary) for _at, swap in world.swaps} == {
        (HQ_A, "gw-a", True), (PLANT_A, "gw-a", True),
    }  # fmt: skip
    return world


def withdrawn(world: Play) -> list[SwapResult]:
    """What the actuator says of those that wait and that are to be taken back."""
    flights = world.state.routes.flights
    return [SwapResult(flights[key].swap, False, WITHDRAWN) for key in sorted(world.state.routes.overtaken)]


@pytest.mark.parametrize("broken", [{"gw-b"}, {"gw-a", "gw-b"}])
def test_13_a_voluntary_swap_that_waits_does_not_hold_an_emergency_back(broken: set[str]) -> None:
    world = failing_back()
    for name in broken:
        world.gateways[name].power_off()
    world.swaps.clear()
    took = 0.0
    while not world.state.routes.overtaken:
        assert took < 1.2 and HQ_A not in {swap.key for _at, swap in world.swaps}, "one flight for each route"
        world.run(TICK)
        took += TICK
    assert world.state.routes.overtaken == {HQ_A, PLANT_A}
    world.results = withdrawn(world)
    world.answer = world._obey
    world.run(TICK)
    mine = [swap for _at, swap in world.swaps if swap.key in (HQ_A, PLANT_A)]
    assert len(mine) == 2 and not any(swap.voluntary for swap in mine)
    assert {swap.gateway for swap in mine} == ({"gw-a"} if broken == {"gw-b"} else {"gw-c"})
    world.run(TICK)
    assert not world.state.routes.overtaken and not world.state.routes.retries
    assert HQ_A not in world.state.routes.moves, "what was never sent does not count for the hour's limit"


def test_a_voluntary_swap_is_left_alone_while_nothing_else_makes_its_route_leave() -> None:
    world = failing_back()
    world.run(5)
    assert not world.state.routes.overtaken
    world.gateways["gw-a"].power_off()  # where it would lead to: it is looked at again before it is begun
    world.run(5)
    assert not world.state.routes.overtaken


def test_13_an_emergency_does_not_wait_for_the_pause_of_a_voluntary_swap_that_was_refused() -> None:
    world = failing_back()
    for denied in (HQ_A, PLANT_A):
        world.results.append(SwapResult(world.state.routes.flights[denied].swap, False, "UnauthorizedOperation"))
    world.run(TICK)
    refused_at = world.now
    assert world.state.routes.retries[HQ_A].next_at >= refused_at + 29.0
    world.answer = world._obey
    world.swaps.clear()
    world.gateways["gw-b"].power_off()
    world.run(1.5)
    mine = [(at, swap) for at, swap in world.swaps if swap.key in (HQ_A, PLANT_A)]
    assert len(mine) == 2 and not any(swap.voluntary for _at, swap in mine)
    assert all(at - refused_at >= 0.9 for at, _swap in mine), "promise 11: the shortest pause is kept"
    assert world.told("failover")


def test_11_an_emergency_has_rounds_of_its_own() -> None:
    world = failing_back()
    for voluntary, most in ((True, 2.0), (True, 4.0), (True, 8.0), (True, 16.0), (False, 2.0), (False, 4.0)):
        swap = replace(world.swaps[0][1], voluntary=voluntary)
        world.results = [SwapResult(swap, False, "RequestLimitExceeded")]
        world.run(TICK)
        retry = world.state.routes.retries[swap.key]
        assert most / 2 <= retry.next_at - world.now <= most
        assert retry.swap.voluntary == voluntary


def test_11_a_swap_that_was_withdrawn_keeps_the_rounds_of_those_that_were_sent() -> None:
    """Nothing is forgotten by it, and an emergency that was withdrawn has its pause."""
    world = failing_back()
    refused, taken_back = (world.state.routes.flights[key].swap for key in (HQ_A, PLANT_A))
    world.results = [SwapResult(refused, False, "InternalError"), SwapResult(taken_back, False, WITHDRAWN)]
    world.run(TICK)
    assert world.state.routes.retries.keys() == {HQ_A}
    world.run(3)
    again = world.state.routes.flights[HQ_A].swap
    world.results = [SwapResult(again, False, WITHDRAWN)]
    before = world.state.routes.retries[HQ_A]
    world.run(TICK)
    assert before.round == 1 and world.state.routes.retries[HQ_A] == before
    urgent = replace(again, voluntary=False)
    world.results = [SwapResult(urgent, False, WITHDRAWN)]
    world.run(TICK)
    assert world.state.routes.retries[HQ_A].next_at > world.now
