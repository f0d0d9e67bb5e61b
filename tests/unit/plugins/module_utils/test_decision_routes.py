# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What EC2 does to swaps, and what people do to routes. The row numbers are those of the fault matrix."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import decision
from ansible_collections.vpnha.aws.plugins.module_utils.judge_gateway import RETIREMENT_LEAD
from ansible_collections.vpnha.aws.plugins.module_utils.model import Left, Pin, RouteKey, Swap, SwapResult

from .scenario import TICK, WALL, Play, deployment, play

HQ_A = RouteKey("rtb-a", "192.168.10.0/24")
PLANT_A = RouteKey("rtb-a", "192.168.20.0/24")


def tries(world: Play, key: RouteKey) -> list[float]:
    return [at for at, swap in world.swaps if swap.key == key]


# --- EC2 ------------------------------------------------------------------------------------------------------


def test_a_swap_in_flight_is_not_ordered_again_until_its_result_comes() -> None:
    world = play()
    world.answer = lambda swap: None
    world.gateways["gw-a"].power_off()
    world.run(20)
    assert len(tries(world, HQ_A)) == 1


def test_a_swap_whose_result_never_comes_is_tried_again_after_a_timeout() -> None:
    world = play()
    world.answer = lambda swap: None
    world.gateways["gw-a"].power_off()
    world.run(1).rest(60)
    assert 2 <= len(tries(world, HQ_A)) <= 3
    assert any("outcome of" in read.reason for _at, read in world.reads)


@pytest.mark.parametrize("error", ["RequestLimitExceeded", "InternalError"])
def test_row_18_and_19_refused_swaps_are_tried_again_1_to_30_s_apart_without_end(error: str) -> None:
    world = play()
    world.answer = lambda swap: SwapResult(swap, accepted=False, error=error)
    world.gateways["gw-a"].power_off()
    world.run(300)
    times = tries(world, HQ_A)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= 1.0
    assert max(gaps) <= 30.0 + 2 * TICK
    assert 8 <= len(times) <= 20
    assert len([note for _at, note in world.notes if note.code in ("swap-throttled", "swap-failed")]) == 1
    world.answer = world._obey
    world.run(31)
    assert world.carrying()["zone-a hq"] == "gw-b"
    assert len(world.told("failover")) == 2, "told once per site, not once per round"


def test_different_routes_are_not_tried_again_in_step() -> None:
    world = play()
    world.answer = lambda swap: SwapResult(swap, accepted=False, error="RequestLimitExceeded")
    world.gateways["gw-a"].power_off()
    world.run(10)
    assert tries(world, HQ_A)[1:] != tries(world, PLANT_A)[1:]


def test_row_37_a_swap_that_iam_denies_has_its_own_alarm_and_makes_no_storm() -> None:
    world = play()
    world.answer = lambda swap: SwapResult(swap, accepted=False, error="UnauthorizedOperation")
    world.gateways["gw-a"].power_off()
    world.run(1).rest(300)
    assert len(tries(world, HQ_A)) <= 11
    assert len(world.told("swap-forbidden")) == 1


def test_row_20_a_call_that_timed_out_but_was_applied_is_not_made_again() -> None:
    world = play()

    def applied(swap: Swap) -> SwapResult:
        world._obey(swap)
        return SwapResult(swap, accepted=None, error="timeout")

    world.answer = applied
    world.gateways["gw-a"].power_off()
    world.run(1)
    assert any("outcome of" in read.reason for _at, read in world.reads)
    world.change_view()
    world.run(20)
    assert len(tries(world, HQ_A)) == 1


def test_row_19_a_call_that_timed_out_and_was_not_applied_is_made_again() -> None:
    world = play()
    world.answer = lambda swap: SwapResult(swap, accepted=None, error="timeout")
    world.gateways["gw-a"].power_off()
    world.run(1)
    world.answer = world._obey
    world.change_view()
    world.run(5)
    assert len(tries(world, HQ_A)) == 2
    assert world.carrying()["zone-a hq"] == "gw-b"


def test_row_19_it_is_made_again_even_while_ec2_cannot_be_read() -> None:
    world = play()
    world.answer = lambda swap: SwapResult(swap, accepted=None, error="timeout")
    world.gateways["gw-a"].power_off()
    world.frozen = True
    world.run(12)
    assert len(tries(world, HQ_A)) >= 2


def test_row_21_a_stale_read_after_a_swap_does_not_swap_again_nor_back() -> None:
    world = play()
    old = world.view
    world.gateways["gw-a"].power_off()
    world.run(1)
    new = world.view
    for view in (old, new, old, old, new):  # the two in a row come at once: one replica's word
        world.change_view(routes=view.routes)
        world.run(1)
    world.run(30)
    assert len(tries(world, HQ_A)) == 1


def test_a_swap_undone_behind_our_back_is_seen_once_two_reads_apart_agree() -> None:
    world = play()
    old = world.view
    world.gateways["gw-a"].power_off()
    world.run(5)
    world.swaps.clear()
    world.change_view(routes=old.routes)
    world.run(1)
    assert world.swaps == [], "one read may be stale"
    world.run(6)
    assert tries(world, HQ_A)
    assert world.run(6).carrying()["zone-a hq"] == "gw-b"


def test_row_22_some_swaps_fail_and_only_those_are_tried_again() -> None:
    world = play()
    world.answer = lambda swap: (
        SwapResult(swap, accepted=False, error="InternalError") if swap.key == HQ_A else world._obey(swap)
    )
    world.gateways["gw-a"].power_off()
    world.run(4)
    world.answer = world._obey
    world.run(10)
    assert len(tries(world, PLANT_A)) == 1
    assert set(world.carrying().values()) == {"gw-b"}


def test_row_41_a_blackhole_is_left_at_once_if_its_gateway_is_not_known_to_work() -> None:
    world = play()
    world.gateways["gw-a"].heartbeat.works = world.gateways["gw-a"].peers_hear = False  # agent dead: unknown
    world.run(5)
    assert world.swaps == []
    world.point(HQ_A, "eni-a", blackhole=True)
    world.run(0.2)
    assert [swap.reason for _at, swap in world.swaps] == ["route-blackhole"]


def test_row_41_a_blackhole_of_a_working_gateway_needs_a_second_read() -> None:
    world = play()
    world.point(HQ_A, "eni-a", blackhole=True)
    world.run(3)
    assert world.swaps == []
    world.run(5)
    assert [swap.reason for _at, swap in world.swaps] == ["route-blackhole"]
    world.run(1).rest(50)
    assert len(world.swaps) == 1, "it goes home after the hold-down only"
    world.rest(10)
    assert world.at_home()


def test_row_42_routes_follow_a_gateway_to_its_new_interface_and_the_old_one_is_never_used() -> None:
    world = play()
    world.change_instance("gw-a", eni_id="eni-a2")
    routes = {
        key: replace(route, gateway=None, blackhole=True) if route.eni_id == "eni-a" else route
        for key, route in world.view.routes.items()
    }
    world.change_view(routes=routes)
    world.run(1)
    assert {(swap.gateway, swap.target, swap.reason) for _at, swap in world.swaps} == {
        ("gw-a", "eni-a2", "gateway-new-interface")
    }
    assert world.at_home()
    world.gateways["gw-b"].power_off()
    world.run(2)
    assert {swap.target for _at, swap in world.swaps} == {"eni-a2"}


@pytest.mark.parametrize("other", [True, False])
def test_row_42_routes_leave_an_old_interface_also_where_the_gateway_has_only_its_neighbour(other: bool) -> None:
    world = play()
    world.gateways["gw-a"].paths.update(hq="neighbour", plant="neighbour")
    world.run(1)
    if not other:
        world.change_view(paused_gateways={"gw-b": WALL + 1e6})
    world.swaps.clear()
    world.change_instance("gw-a", eni_id="eni-a2")
    world.run(3)
    gone = {key for key, route in world.view.routes.items() if route.eni_id == "eni-a"}
    assert gone == set(), "nothing stays at an interface that is gone"
    assert {swap.gateway for _at, swap in world.swaps} == ({"gw-b"} if other else {"gw-a"})


def test_row_42_a_route_that_a_read_shows_elsewhere_does_not_follow_a_new_interface() -> None:
    """Simulation's seed 80344: what was swapped a minute ago was believed to be at the old interface still."""
    world = play()
    world.gateways["gw-a"].power_off()
    world.run(1)
    world.gateways["gw-a"].power_on()
    world.run(2).rest(80)
    assert world.at_home()
    world.swaps.clear()
    world.change_instance("gw-a", eni_id="eni-a2")
    world.point(HQ_A, "eni-b")
    world.run(3)
    assert {(swap.key, swap.reason) for _at, swap in world.swaps} == {(PLANT_A, "gateway-new-interface")}


def test_11_a_swap_that_failed_keeps_its_pause_although_an_older_one_turns_out_to_be_done() -> None:
    world = play()
    world.answer = lambda swap: SwapResult(swap, accepted=None, error="timeout")
    world.gateways["gw-a"].power_off()
    world.frozen = True  # nobody learns what became of the first, nor that gw-b has another interface
    world.run(1)
    world.answer = lambda swap: SwapResult(swap, accepted=False, error="InvalidNetworkInterfaceID.NotFound")
    while not world.state.routes.retries or "NotFound" not in world.state.routes.retries[HQ_A].error:
        world.run(TICK)
    refused_at = world.now
    assert HQ_A in world.state.routes.doubts
    world.swaps.clear()
    world.frozen = False
    routes = {key: replace(route, eni_id="eni-b", target="eni-b") for key, route in world.view.routes.items()}
    world.change_view(routes={key: replace(route, gateway=None) for key, route in routes.items()})
    world.change_instance("gw-b", eni_id="eni-b2")
    world.answer = world._obey
    world.run(2)
    [again] = tries(world, HQ_A)
    assert 0.9 <= again - refused_at <= 1.5, "promise 11's pause, and no more: it leads to another interface now"
    assert world.view.routes[HQ_A].target == "eni-b2"


def test_11_an_emergency_to_another_gateway_does_not_wait_for_the_pause_of_what_failed() -> None:
    world = play("abc")
    world.answer = lambda swap: SwapResult(swap, accepted=False, error="InternalError")
    world.gateways["gw-a"].power_off()
    world.run(16)
    first = world.swaps[-1][1].gateway
    waits_until = world.state.routes.retries[HQ_A].next_at
    assert waits_until > world.now + 2.0
    world.answer = world._obey
    world.gateways[first].power_off()
    world.swaps.clear()
    world.run(2)
    [at] = tries(world, HQ_A)
    assert at < waits_until
    assert world.carrying()["zone-a hq"] not in (first, "gw-a")
    assert {note.evidence["to"] for note in world.told("failover")} > {first}, "another move is told anew"


def test_a_read_counts_more_than_a_swap_of_long_ago_however_long_ec2_could_not_be_read() -> None:
    world = play()
    old = world.view
    world.gateways["gw-a"].power_off()
    world.run(5)
    world.frozen = True
    world.gateways["gw-a"].power_on()
    world.run(5)
    assert world.carrying()["zone-a hq"] == "gw-b"
    world.change_view(paused_deployment_until_wall=WALL + 1e6)  # nothing of ours moves it meanwhile
    world.rest(58)
    world.frozen = False
    world.change_view(routes=old.routes)
    world.run(TICK)
    group = next(group for group, keys in world.state.routes.groups.items() if HQ_A in keys)
    assert group.gateway == "gw-a", "one read is enough: a stale one is not a minute old"


def test_row_42_a_route_that_somebody_led_to_the_new_interface_is_there() -> None:
    world = play()
    world.gateways["gw-a"].power_off()
    world.run(3)
    assert world.state.routes.beliefs[HQ_A].target == "eni-b"
    world.swaps.clear()
    instance = replace(world.view.instances["gw-b"], eni_id="eni-b2")
    routes = {
        key: replace(route, eni_id="eni-b2", target="eni-b2", gateway="gw-b")
        for key, route in world.view.routes.items()
    }
    world.change_view(routes=routes, instances={**world.view.instances, "gw-b": instance})
    world.run(5)
    assert world.swaps == [], "no stale read shows an interface that nobody had seen"


def test_11_zones_that_leave_together_go_on_trying_the_same_gateway() -> None:
    """A tie that falls otherwise in another round is no reason to try sooner, nor to tell of another move."""
    plan = deployment("abc")
    gateways = [replace(one, zone="zone-b" if one.name != "gw-a" else "zone-a", home_zones=()) for one in plan.gateways]
    gateways[0] = replace(gateways[0], home_zones=("zone-a", "zone-b"))
    world = Play(replace(plan, zones=plan.zones[:2], gateways=tuple(gateways), spread="capacity"))
    world.answer = lambda swap: SwapResult(swap, accepted=False, error="RequestLimitExceeded")
    world.swaps.clear()
    world.gateways["gw-a"].power_off()
    world.run(30)
    for key in {swap.key for _at, swap in world.swaps}:
        assert len(tries(world, key)) <= 6, key
    assert {zone for zone, _site, _to in world.moved()} == {"zone-a", "zone-b"}
    assert len(world.told("failover")) == 4, "one for each zone and site"


def test_row_28_whatever_is_left_undone_is_derived_again_after_a_crash() -> None:
    world = play()
    world.answer = lambda swap: world._obey(swap) if swap.key == HQ_A else None  # killed after the first route
    world.gateways["gw-a"].power_off()
    world.run(1)
    world.change_instance("gw-a", state="stopped")
    world.state = decision.start(world.plan, world.now)
    world.answer = world._obey
    world.swaps.clear()
    world.run(2)
    assert [swap.key for _at, swap in world.swaps] == [PLANT_A]


# --- prefix lists ---------------------------------------------------------------------------------------------


def by_list() -> Play:
    """The site hq has a prefix list, in zone a beside a route to its prefix, in zone b alone."""
    plan = deployment()
    hq = replace(plan.site("hq"), by_prefix_list=True, prefix_list="pl-1")
    world = Play(replace(plan, sites=(hq, plan.site("plant"))))
    routes = dict(world.view.routes)
    for letter in "ab":
        key = RouteKey(f"rtb-{letter}", "pl-1")
        beside = routes[RouteKey(f"rtb-{letter}", "192.168.10.0/24")]
        routes[key] = replace(beside, key=key)
    del routes[RouteKey("rtb-b", "192.168.10.0/24")]
    world.change_view(routes=routes)
    return world.run(2)


def test_a_route_to_a_prefix_list_leaves_with_one_swap_and_what_stands_beside_it_too() -> None:
    world = by_list()
    world.gateways["gw-b"].power_off()
    world.run(2)
    gone = {swap.key for _at, swap in world.swaps if swap.gateway == "gw-a"}
    assert gone == {RouteKey("rtb-b", "pl-1"), RouteKey("rtb-b", "192.168.20.0/24")}
    world = by_list()
    world.gateways["gw-a"].power_off()
    world.run(2)
    gone = {swap.key for _at, swap in world.swaps if swap.gateway == "gw-b"}
    assert gone == {RouteKey("rtb-a", "pl-1"), HQ_A, PLANT_A}


def test_a_missing_route_to_a_prefix_list_is_told_with_its_sites_name() -> None:
    world = by_list()
    key = RouteKey("rtb-b", "pl-1")
    routes = {other: route for other, route in world.view.routes.items() if other != key}
    world.change_view(routes=routes, missing_routes=frozenset({key}))
    world.run(5)
    (note,) = world.told("route-missing", str(key))
    assert note.text == "The route rtb-b pl-1 (hq) is not there; no monitor makes one."


# --- people ----------------------------------------------------------------------------------------------------


def test_row_39_a_route_that_a_person_deleted_is_told_and_not_made_again() -> None:
    world = play()
    routes = {key: route for key, route in world.view.routes.items() if key != HQ_A}
    world.change_view(routes=routes, missing_routes=frozenset({HQ_A}))
    world.run(5)
    world.gateways["gw-a"].power_off()
    world.run(5)
    assert tries(world, HQ_A) == []
    assert len(tries(world, PLANT_A)) == 1
    assert len(world.told("route-missing", str(HQ_A))) == 1


def test_row_40_a_route_that_a_person_pointed_elsewhere_is_told_and_left_alone_until_it_is_given_back() -> None:
    world = play()
    world.point(HQ_A, "eni-foreign")
    world.run(5)
    world.gateways["gw-a"].power_off()
    world.run(5)
    assert tries(world, HQ_A) == []
    assert len(world.told("route-foreign", str(HQ_A))) == 1
    world.point(HQ_A, "eni-a")
    world.run(5)
    assert len(tries(world, HQ_A)) == 1
    assert world.told("route-foreign", str(HQ_A), resolved=True)


def test_a_route_that_a_person_takes_soon_after_our_swap_is_theirs_at_the_first_read() -> None:
    world = play(routing="static")
    world.tunnel("hq-gw-a").cut()
    world.run(5)
    world.tunnel("hq-gw-a").mend()
    world.run(5)
    world.swaps.clear()
    world.point(HQ_A, "eni-foreign")
    world.run(0.5)
    assert world.told("route-foreign", str(HQ_A))
    world.tunnel("hq-gw-b").cut()
    world.run(3)
    assert world.moved() == {("zone-b", "hq", "gw-a")}


def test_row_61_a_persons_failover_stays_although_the_home_gateway_is_healthy_until_the_pin_ends() -> None:
    world = play()
    expires = world.evidence().wall + 600
    world.change_view(table_pins={"rtb-a": Pin("gw-b", expires, "ops")})
    for key in (HQ_A, PLANT_A):
        world.point(key, "eni-b")
    world.run(5).rest(500)
    assert world.swaps == []
    assert world.told("pinned", "rtb-a")
    world.rest(200)
    assert world.at_home(), "the pin has expired"


def test_row_61_without_a_pin_a_route_moved_to_another_gateway_of_ours_goes_home() -> None:
    world = play()
    world.point(HQ_A, "eni-b")
    world.run(5)
    assert [swap.reason for _at, swap in world.swaps] == ["failback"]


def test_a_pin_holds_its_routes_even_when_their_gateway_dies_and_that_is_told() -> None:
    world = play()
    world.change_view(table_pins={"rtb-a": Pin("gw-a", world.evidence().wall + 600)})
    world.gateways["gw-a"].power_off()
    world.run(10)
    assert world.swaps == []
    assert len(world.told("pinned-to-broken")) == 2


@pytest.mark.parametrize("scope", ["deployment", "gateway", "target", "table"])
def test_a_pause_stops_actions_but_not_observation(scope: str) -> None:
    world = play()
    until = world.evidence().wall + 300
    if scope == "deployment":
        world.change_view(paused_deployment_until_wall=until)
    elif scope == "table":
        world.change_view(paused_tables={"rtb-a": until})
    else:
        world.change_view(paused_gateways={"gw-a" if scope == "gateway" else "gw-b": until})
    world.gateways["gw-a"].power_off()
    world.run(10)
    assert world.swaps == []
    assert world.told("gateway-silent", "gw-a")
    assert world.told("paused")
    world.rest(300)
    assert set(world.carrying().values()) == {"gw-b"}, "the pause has expired"


@pytest.mark.parametrize("ahead", [7200.0, -7200.0])
def test_pins_pauses_and_retirements_go_by_the_clock_of_aws(ahead: float) -> None:
    world = play()
    world.wall_skew, world.clock_skew = ahead, -ahead
    world.run(5)
    now = WALL + world.now
    world.change_view(table_pins={"rtb-a": Pin("gw-a", now + 600)}, paused_tables={"rtb-b": now - 600})
    for name in ("gw-a", "gw-b"):
        world.change_instance(name, retirement_wall=now + RETIREMENT_LEAD + 600)
    world.run(90)
    assert not world.told("gateway-retiring")
    world.gateways["gw-a"].power_off()
    world.run(10)
    assert world.swaps == [] and len(world.told("pinned-to-broken")) == 2
    world.gateways["gw-a"].power_on()
    world.run(5).rest(60)
    world.gateways["gw-b"].power_off()
    world.run(3)
    assert world.moved() == {("zone-b", "hq", "gw-a"), ("zone-b", "plant", "gw-a")}, "its pause is over"


def test_row_60_a_deploy_while_failed_over_has_nothing_to_undo_and_a_refused_table_is_left_alone() -> None:
    world = play()
    world.change_view(refused_tables={"rtb-a": "it is shared by zone-a and zone-b and has no tag vpnha:zone."})
    world.run(1)
    world.gateways["gw-a"].power_off()
    world.run(5)
    assert world.swaps == []
    assert world.told("table-refused", "rtb-a")


def test_a_route_for_what_is_not_described_is_told_once_it_stays() -> None:
    world = play()
    of_old = Left("rtb-a", "192.168.99.0/24", "eni-a", "gw-a", ())
    part = Left("rtb-b", "192.168.10.128/25", "eni-b", "gw-b", (HQ_A.destination,))
    outside = Left("rtb-a", "0.0.0.0/0", "eni-a", "gw-a", ())  # it translates addresses too, as somebody wants it
    world.change_view(left=(of_old, part, outside))
    world.rest(890)
    assert not world.told("route-not-described"), "a deploy may be at work"
    world.rest(20)
    assert len(world.told("route-not-described")) == 2
    [one] = world.told("route-not-described", "192.168.99.0/24 to gw-a")
    assert one.text == "192.168.99.0/24 leads to gw-a in rtb-a, and is not described, so that no monitor moves it."
    [other] = world.told("route-not-described", "192.168.10.128/25 to gw-b")
    assert other.text.endswith(f"though it takes packets of {HQ_A.destination} (hq).")
    world.change_view(left=(part,))
    world.run(10)
    assert world.told("route-not-described", "192.168.99.0/24 to gw-a", resolved=True)
    assert not world.told("route-not-described", "192.168.10.128/25 to gw-b", resolved=True)
    assert world.swaps == []


def test_a_site_that_a_new_description_lacks_does_not_hinder_the_decision() -> None:
    """What EC2 showed was read for the old one."""
    world = play()
    world.change_view(left=(Left("rtb-a", "192.168.20.128/25", "eni-a", "gw-a", (PLANT_A.destination,)),))
    world.run(1)
    tunnels = tuple(one for one in world.plan.tunnels if one.site == "hq")
    smaller = replace(world.plan, sites=world.plan.sites[:1], tunnels=tunnels)
    world.state = decision.reconfigured(world.state, smaller)
    world.frozen = True
    world.gateways["gw-a"].power_off()
    world.run(2)
    assert HQ_A in {swap.key for _at, swap in world.swaps}


def test_row_33_a_gateway_that_carries_routes_cannot_be_removed() -> None:
    world = play("abc")
    smaller = deployment("ab")
    problems = decision.reload_problems(world.state, smaller)
    assert len(problems) == 1 and "gw-c still carries 2 routes" in problems[0]


def test_a_new_description_keeps_what_is_known() -> None:
    world = play(hold_down=30.0)
    world.plan = deployment(hold_down=2.0)
    world.state = decision.reconfigured(world.state, world.plan)
    world.run(1)
    assert world.swaps == []
    world.gateways["gw-a"].power_off()
    assert world.run_until_moved(2) < 0.7
