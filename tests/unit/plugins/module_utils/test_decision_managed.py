# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed gateway as the last resort or as a home: when routes go there, and when they come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import invariants
from ansible_collections.vpnha.aws.plugins.module_utils.errors import InvariantViolation
from ansible_collections.vpnha.aws.plugins.module_utils.model import Pin, RouteKey, Swap, SwapResult, Verdict

from .scenario import VGW, WALL, Play, deployment, with_managed

HQ_A = RouteKey("rtb-a", "192.168.10.0/24")
HQ_B = RouteKey("rtb-b", "192.168.10.0/24")
ALL_THERE = {"zone-a hq": "vgw", "zone-a plant": "vgw", "zone-b hq": "vgw", "zone-b plant": "vgw"}


def resort(letters: str = "ab", routing: str = "static", **timing: float) -> Play:
    """All is well, and vgw is the last resort."""
    return Play(with_managed(deployment(letters, routing, **timing)))


def home(routing: str = "static") -> Play:
    """All is well, and vgw is the home of zone-a."""
    return Play(with_managed(deployment(routing=routing), "zone-a"))


def cut(world: Play, site: str) -> None:
    for letter in "ab":
        world.tunnel(f"{site}-gw-{letter}").cut()


def mend(world: Play, site: str) -> None:
    for letter in "ab":
        world.tunnel(f"{site}-gw-{letter}").mend()


def verdict(world: Play, site: str = "hq", gateway: str = "vgw") -> tuple[Verdict, str]:
    path = world.state.verdicts.paths[gateway, site]
    return path.verdict, path.code


# --- the last resort -----------------------------------------------------------------------------------------------


def test_with_all_well_nothing_goes_to_the_last_resort_and_nobody_is_told_anything() -> None:
    world = resort().run(20).rest(300)
    assert world.at_home()
    assert (world.swaps, world.notes) == ([], [])
    assert verdict(world) == (Verdict.UP, "managed-up")


def test_one_gateway_that_dies_is_covered_by_the_other_one() -> None:
    world = resort()
    world.gateways["gw-a"].power_off()
    assert world.run_until_moved(2) < 0.7
    assert {swap.gateway for _at, swap in world.run(60).swaps} == {"gw-b"}


def test_when_every_gateway_dies_the_last_resort_takes_all_their_routes() -> None:
    world = resort()
    for gateway in world.gateways.values():
        gateway.power_off()
    assert world.run_until_moved(2) < 0.9
    assert world.run(2).carrying() == ALL_THERE
    assert all(swap.target == VGW and not swap.voluntary for _at, swap in world.swaps)
    assert not world.told("monitor-isolated"), "the monitor hears the sites, so it is not cut off itself"


def test_without_a_managed_gateway_a_monitor_that_hears_no_gateway_does_nothing() -> None:
    world = Play(deployment(routing="static"))
    for gateway in world.gateways.values():
        gateway.power_off()
    world.run(20)
    assert world.swaps == []
    assert world.told("monitor-isolated")


def test_a_monitor_that_hears_nobody_at_all_does_nothing_and_calls_nobody_dead() -> None:
    world = resort()
    for gateway in world.gateways.values():
        gateway.power_off()
    for probe in world.managed.values():
        probe.works = False
    world.run(30)
    assert world.swaps == []
    assert world.told("monitor-isolated")
    assert not world.told("gateway-silent")


def test_when_every_tunnel_to_a_site_dies_that_sites_routes_go_to_the_last_resort() -> None:
    world = resort()
    cut(world, "hq")
    assert world.run_until_moved(2) < 0.9
    world.run(20)
    assert world.moved() == {("zone-a", "hq", "vgw"), ("zone-b", "hq", "vgw")}
    assert not world.told("site-down")
    assert [note.subject for note in world.told("failover")] == ["gw-a", "gw-b"]


def test_a_site_that_dies_through_the_managed_gateway_too_is_the_sites_fault() -> None:
    world = resort()
    cut(world, "hq")
    world.managed["hq"].works = False
    world.run(30)
    assert world.swaps == []
    assert len(world.told("site-down", "hq")) == 1
    told = {note.code for _at, note in world.notes}
    assert told == {"site-down"}, "one notification"


def test_what_comes_back_first_after_such_an_outage_gets_no_routes_of_the_others() -> None:
    for seconds in (1.0, 2.0, 4.0, 20.0):
        world = resort()
        cut(world, "hq")
        world.managed["hq"].works = False
        world.run(seconds)
        world.tunnel("hq-gw-b").mend()
        world.run(5)
        mend(world, "hq")
        world.managed["hq"].works = True
        world.run(30)
        assert world.swaps == [], f"after {seconds} s"


def test_a_site_that_was_gone_for_longer_than_that_gets_its_time_to_come_back() -> None:
    world = resort(routing="bgp")
    cut(world, "hq")
    world.managed["hq"].works = False
    world.run(1.4)
    world.managed["hq"].works = True
    for letter in "ab":
        world.tunnel(f"hq-gw-{letter}").probe.works = world.tunnel(f"hq-gw-{letter}").target.works = True
    world.run(6)
    assert world.swaps == [], "its BGP sessions take that long"
    mend(world, "hq")
    world.run(30)
    assert world.swaps == []


def test_a_gateway_that_is_down_is_replaced_as_a_witness_by_the_managed_one_that_fell_silent() -> None:
    """Simulation's seed 901549: vgw heard the site again a moment before gw-a's tunnel did, and got its routes."""
    for seconds in (2.0, 3.0, 6.0):
        world = resort()
        world.gateways["gw-b"].power_off()
        assert world.run_until_moved(2) < 0.9
        world.run(2)
        world.swaps.clear()
        cut(world, "hq")
        world.managed["hq"].works = False
        world.run(seconds)
        world.managed["hq"].works = True
        world.run(5)
        mend(world, "hq")
        world.run(20)
        assert world.swaps == [], f"after {seconds} s"


@pytest.mark.parametrize(("letters", "unknown"), [("abc", "gw-c"), ("ab", "gw-b")])
def test_a_gateway_with_a_dead_agent_says_nothing_of_a_site_that_died_through_the_managed_one_too(
    letters: str, unknown: str
) -> None:
    world = resort(letters)
    world.gateways[unknown].heartbeat.works = False
    world.run(5)
    for letter in letters:
        world.tunnel(f"hq-gw-{letter}").cut()
    world.managed["hq"].works = False
    world.run(20)
    assert world.told("site-down", "hq")
    world.managed["hq"].works = True
    world.run(5)
    assert world.swaps == [], "the tunnels get their time to come back"
    for letter in letters:
        world.tunnel(f"hq-gw-{letter}").mend()
    world.run(20)
    assert world.swaps == []


def test_a_managed_gateway_that_never_answered_is_no_witness() -> None:
    world = Play(with_managed(deployment(routing="static")), settled=False)
    world.managed["hq"].works = False
    world.run(10)
    world.gateways["gw-b"].power_off()
    world.run(5)
    cut(world, "hq")
    world.run(5)
    assert verdict(world)[1] == "managed-unheard"
    assert world.told("no-healthy-gateway") and not world.told("site-down")


def test_what_leaves_an_old_interface_does_not_go_there_while_the_site_itself_may_be_dying() -> None:
    """Simulation's seed 98628: probes through it are rarer, so that its last answer is from before."""
    world = resort()
    cut(world, "hq")
    world.managed["hq"].works = False
    world.run(0.3)
    world.change_instance("gw-a", eni_id="eni-a2")
    world.run(0.1)
    assert world.told("no-healthy-gateway") == [] and "hq" not in {site for _zone, site, _to in world.moved()}
    world.run(20)
    assert "vgw" not in {gateway for _zone, _site, gateway in world.moved()}


def test_an_answer_from_before_the_trouble_proves_nothing() -> None:
    world = resort()
    world.managed["hq"].works = False  # its last answer was 0.1 s before the tunnels', so it is not missed yet
    world.run(0.1)
    cut(world, "hq")
    world.run(0.7)
    assert verdict(world)[0] is Verdict.UP
    assert world.swaps == []
    world.managed["hq"].works = True
    assert world.run_until_moved(1) < 0.3


def test_a_last_resort_not_known_healthy_is_not_taken() -> None:
    world = resort()
    world.managed["hq"].works = False
    world.run(10)
    assert verdict(world) == (Verdict.DOWN, "managed-silent")
    assert world.told("managed-silent", "vgw/hq")
    for gateway in world.gateways.values():
        gateway.power_off()
    world.run(10)
    assert {site for _zone, site, _to in world.moved()} == {"plant"}
    assert world.told("no-healthy-gateway", "zone-a/hq")


def test_routes_leave_the_last_resort_once_home_has_been_healthy_for_its_hold_down() -> None:
    world = resort()
    cut(world, "hq")
    world.run(3)
    mend(world, "hq")
    world.swaps.clear()
    took = world.run_until_moved(90)
    assert 58 < took < 63
    assert world.run(3).at_home()
    assert {(swap.voluntary, swap.reason) for _at, swap in world.swaps} == {(True, "failback")}


def test_routes_leave_it_for_any_gateway_that_is_healthy_again() -> None:
    world = resort()
    cut(world, "hq")
    world.run(3)
    world.tunnel("hq-gw-b").mend()
    world.swaps.clear()
    assert 58 < world.run_until_moved(90) < 63
    world.run(3)
    assert world.carrying()["zone-a hq"] == "gw-b"
    assert {swap.reason for _at, swap in world.swaps} == {"failback", "leave-last-resort"}


def test_a_last_resort_that_dies_itself_is_left_at_once_for_what_is_up() -> None:
    world = resort()
    cut(world, "hq")
    world.run(12)
    world.tunnel("hq-gw-b").mend()
    world.run(12)
    world.swaps.clear()
    world.witness = "down"
    world.managed["hq"].works = False
    assert 2.5 < world.run_until_moved(10) < 4
    assert {swap.reason for _at, swap in world.swaps} == {"managed-down"}
    assert {swap.gateway for _at, swap in world.swaps} == {"gw-b"}


def test_a_grey_gateway_is_no_reason_for_the_last_resort() -> None:
    world = resort()
    for name in ("hq-gw-a", "hq-gw-b"):
        world.tunnel(name).probe.loss = world.tunnel(name).target.loss = 0.4
    world.run(90)
    assert world.swaps == []
    assert verdict(world, gateway="gw-a")[0] is Verdict.GREY


def test_from_a_dead_gateway_the_last_resort_is_better_than_a_grey_one() -> None:
    world = resort()
    world.tunnel("hq-gw-b").probe.loss = world.tunnel("hq-gw-b").target.loss = 0.4
    world.run(20)
    world.gateways["gw-a"].power_off()
    world.run(3)
    assert world.carrying()["zone-a plant"] == "gw-b"
    assert world.carrying()["zone-a hq"] in ("vgw", "gw-b")
    assert world.carrying()["zone-b hq"] == "gw-b"


def test_a_site_that_the_managed_gateway_does_not_lead_to_is_never_moved_there() -> None:
    world = Play(with_managed(deployment(routing="static"), probed=("hq",)))
    for gateway in world.gateways.values():
        gateway.power_off()
    world.run(10)
    assert {site for _zone, site, _to in world.moved()} == {"hq"}
    assert verdict(world, "plant") == (Verdict.UNKNOWN, "managed-unprobed")


def test_a_pin_and_a_pause_hold_routes_as_ever() -> None:
    world = resort()
    world.change_view(table_pins={"rtb-a": Pin("gw-a", WALL + 1e6)}, paused_tables={"rtb-b": WALL + 1e6})
    for gateway in world.gateways.values():
        gateway.power_off()
    world.run(20)
    assert world.swaps == []


def test_a_route_to_another_virtual_private_gateway_is_a_persons() -> None:
    world = resort()
    world.point(HQ_A, None, target="vgw-other")
    cut(world, "hq")
    world.run(20)
    assert world.moved() == {("zone-b", "hq", "vgw")}
    assert world.told("route-foreign", str(HQ_A))


def test_a_read_that_does_not_show_the_vgw_yet_takes_no_swap_back() -> None:
    world = resort()
    world.answer = lambda swap: SwapResult(swap, accepted=True, milliseconds=150.0)  # reads go on showing the gateways
    cut(world, "hq")
    world.run(3)
    assert len(world.swaps) == 2
    assert {key for key, belief in world.state.routes.beliefs.items() if belief.target == VGW} == {HQ_A, HQ_B}


def test_a_managed_gateway_is_never_repaired() -> None:
    world = Play(with_managed(deployment(routing="static", repair="restart"), "zone-a"))
    for probe in world.managed.values():
        probe.works = False
    world.witness = "down"
    world.run(10).rest(1200)
    assert world.repairs == []
    assert verdict(world) == (Verdict.DOWN, "managed-down")
    assert world.carrying()["zone-a hq"] != "vgw"


def test_a_dead_gateway_is_repaired_while_nothing_is_known_of_the_managed_one() -> None:
    world = Play(with_managed(deployment("a", routing="static", repair="restart"), probed=("plant",)))
    world.change_instance("gw-a", system_status="impaired")
    world.gateways["gw-a"].power_off()
    world.run(10).rest(200)
    assert {repair.gateway for _at, repair in world.repairs} == {"gw-a"}
    assert world.carrying() == {"zone-a hq": "gw-a", "zone-a plant": "vgw"}


# --- as a home -----------------------------------------------------------------------------------------------------


def test_a_home_that_is_silent_and_called_down_is_left_after_its_window() -> None:
    world = home()
    world.managed["hq"].works = False
    world.witness = "down"
    took = world.run_until_moved(10)
    assert 2.9 < took < 3.3
    assert {(zone, site) for zone, site, _to in world.run(20).moved()} == {("zone-a", "hq")}
    assert {swap.reason for _at, swap in world.swaps} == {"managed-down"}


@pytest.mark.parametrize(("witness", "age"), [("", 1.0), ("up", 1.0), ("down", 250.0), ("down", None)])
def test_silence_alone_must_last_for_the_patience(witness: str, age: float | None) -> None:
    world = home()
    world.managed["hq"].works = False
    world.witness, world.witness_age = witness, age
    assert 62.5 < world.run_until_moved(90) < 63.5
    assert {swap.reason for _at, swap in world.swaps} == {"managed-silent"}


def test_the_witness_alone_moves_nothing() -> None:
    world = home()
    world.witness = "down"
    world.run(10).rest(120)
    assert world.swaps == []
    assert verdict(world) == (Verdict.UP, "managed-up")


def test_routes_come_back_to_a_managed_home_after_its_hold_down() -> None:
    world = home()
    world.managed["hq"].works = False
    world.witness = "down"
    world.run(10)
    world.managed["hq"].works = True
    world.swaps.clear()
    assert 58 < world.run_until_moved(90) < 63
    assert world.run(3).at_home()


def test_other_zones_fail_over_to_it_as_to_any_gateway() -> None:
    world = home()
    world.gateways["gw-b"].power_off()
    world.run(5)
    assert world.carrying()["zone-b hq"] in ("gw-a", "vgw")
    cut(world, "plant")
    world.run(5)
    assert world.carrying()["zone-b plant"] == "vgw"


def test_a_home_that_loses_many_packets_is_left_without_haste() -> None:
    world = home()
    world.managed["hq"].loss = 0.6
    world.run(10)
    assert verdict(world) == (Verdict.GREY, "managed-grey")
    assert 15 < world.run_until_moved(60) < 35
    assert {(swap.voluntary, swap.reason) for _at, swap in world.swaps} == {(True, "managed-grey")}


def test_what_was_never_heard_is_not_down() -> None:
    world = Play(with_managed(deployment(routing="static"), "zone-a"), settled=False)
    world.managed["hq"].works = False
    world.run(10)
    assert verdict(world) == (Verdict.UNKNOWN, "managed-unheard")
    world.witness = "down"
    world.run(3)
    assert verdict(world) == (Verdict.DOWN, "managed-down")


# --- what is said of the software gateways -------------------------------------------------------------------------


def test_the_same_host_that_answers_through_it_only_tells_against_a_tunnel() -> None:
    world = resort()
    world.targets_off()
    world.run(5)
    assert verdict(world, gateway="gw-a") == (Verdict.DOWN, "site-not-behind-peer")
    assert world.carrying()["zone-a hq"] == "vgw"


def test_a_host_that_dies_is_no_tunnel_that_fails() -> None:
    world = resort()
    world.targets_off()
    world.managed["hq"].works = False
    world.run(30)
    assert world.swaps == []
    assert world.told("site-silent", "hq")
    assert all(health.flapped_at is None for health in world.state.healths.values() if health.armed)


def test_a_managed_home_that_is_silent_as_all_targets_are_is_not_left() -> None:
    world = home()
    world.targets_off()
    world.managed["hq"].works = False
    world.run(60)
    for name in ("hq-gw-b", "hq-gw-a"):
        world.tunnel(name).target.works = True
        world.run(1)
    world.managed["hq"].works = True
    world.run(60)
    assert world.swaps == []
    assert [note.code for _at, note in world.notes if not note.resolved] == ["site-silent"]


def test_another_host_that_answers_says_nothing_of_a_tunnel() -> None:
    plan = with_managed(deployment(routing="static"))
    probes = tuple(replace(probe, address="192.168.10.99") for probe in plan.managed_gateways[0].probes[:1])
    world = Play(replace(plan, managed_gateways=(replace(plan.managed_gateways[0], probes=probes),)))
    world.targets_off()
    world.run(30)
    assert world.swaps == []
    assert verdict(world, gateway="gw-a")[0] is Verdict.UP


# --- the promises --------------------------------------------------------------------------------------------------

AWAY = Swap(HQ_A, "vgw", VGW, "tunnel-nothing-returns")


def all_tunnels_down() -> Play:
    """The moment at which the swap to the last resort is right."""
    world = resort()
    world.answer = lambda swap: None
    cut(world, "hq")
    world.run(1)
    world.state = replace(world.state, routes=replace(world.state.routes, flights={}))
    return world


def broken(world: Play, swap: Swap = AWAY) -> int:
    with pytest.raises(InvariantViolation) as caught:
        invariants.check(world.state, world.evidence(), swap, world.now)
    return caught.value.number


def test_the_right_swap_breaks_nothing() -> None:
    world = all_tunnels_down()
    invariants.check(world.state, world.evidence(), AWAY, world.now)


@pytest.mark.parametrize(
    ("spoil", "swap", "number"),
    [
        (lambda world: None, replace(AWAY, target="vgw-other"), 1),
        (lambda world: None, replace(AWAY, voluntary=True), 1),
        (lambda world: setattr(world.managed["hq"], "works", False), AWAY, 4),
    ],
)
def test_a_wrong_swap_to_it_breaks_a_promise(spoil: Callable[[Play], object], swap: Swap, number: int) -> None:
    world = all_tunnels_down()
    spoil(world)
    world.now += 0.9  # its last answer is then older than that
    health = world.state.healths["gw-a", "hq"]
    bad = replace(health, bad_since=world.now - 0.5)
    world.state = replace(world.state, healths={**world.state.healths, ("gw-a", "hq"): bad})
    assert broken(world, swap) == number


def test_it_is_no_last_resort_while_another_gateway_is_up() -> None:
    world = all_tunnels_down()
    path = world.state.verdicts.paths["vgw", "hq"]
    paths = {**world.state.verdicts.paths, ("gw-b", "hq"): path}
    world.state = replace(world.state, verdicts=replace(world.state.verdicts, paths=paths))
    assert broken(world) == 1
