# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways that die, seem to, or come back. The row numbers are those of the fault matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import decision
from ansible_collections.vpnha.aws.plugins.module_utils.model import Instance, Swap, SwapResult, Verdict

from .scenario import Play, deployment, play


def test_all_is_well_and_nothing_is_said_or_done() -> None:
    world = play().run(1).rest(120)
    assert world.swaps == []
    assert world.notes == []
    assert world.at_home()


def test_row_17_a_gateway_that_nobody_hears_is_left_after_one_window() -> None:
    world = play()
    world.gateways["gw-a"].power_off()
    took = world.run_until_moved(3)
    assert took <= world.plan.timing.window + 0.11
    assert world.moved() == {("zone-a", "hq", "gw-b"), ("zone-a", "plant", "gw-b")}
    assert {swap.reason for _at, swap in world.swaps} == {"gateway-silent"}
    assert not any(swap.voluntary for _at, swap in world.swaps)
    assert world.run(20).told("gateway-silent", "gw-a") == world.told("gateway-silent"), "told once"


def test_the_swap_is_ordered_from_the_cached_view_without_waiting_for_a_read() -> None:
    world = play()
    world.frozen = True  # row 59: EC2 cannot be read, but routes can be replaced
    world.run(40)
    world.gateways["gw-a"].power_off()
    assert world.run_until_moved(3) < 0.7
    assert world.told("ec2-unreadable")


def test_row_10_a_stopped_instance_is_down_by_ec2s_word_even_if_icmp_was_never_answered() -> None:
    world = Play(settled=False)
    gateway = world.gateways["gw-a"]
    gateway.icmp.works = False
    world.run(5)
    gateway.heartbeat.works = gateway.peers_hear = False
    world.run(3)
    assert world.swaps == []
    assert world.told("gateway-no-second-sign", "gw-a")
    world.change_instance("gw-a", state="stopping")
    world.run(0.2)
    assert {swap.reason for _at, swap in world.swaps} == {"gateway-stopped"}


def test_ec2_says_stopped_but_the_gateway_answers_so_the_read_is_stale() -> None:
    world = play()
    world.change_instance("gw-a", state="stopped")
    assert world.run(10).swaps == []


def test_a_host_that_announces_its_shutdown_is_left_at_once() -> None:
    world = play()
    world.gateways["gw-a"].stopping = "host"
    assert world.run_until_moved(1) <= 0.1
    assert {swap.reason for _at, swap in world.swaps} == {"gateway-stopping"}


def test_an_announced_shutdown_is_of_the_past_once_the_host_answers_again_without_its_agent() -> None:
    """Simulation's seed 3207: a host that came back with a dead agent counted as shutting down for ever."""
    world = play()
    gateway = world.gateways["gw-a"]
    gateway.stopping = "host"
    world.run(0.3)
    gateway.heartbeat.works = gateway.peers_hear = gateway.icmp.works = False
    world.run(10)
    gateway.icmp.works = True
    world.run(19)
    assert world.state.verdicts.gateways["gw-a"].code == "gateway-stopping", "a host may answer while it shuts down"
    world.run(5)
    assert world.state.verdicts.gateways["gw-a"].verdict is Verdict.UP
    gateway.icmp.works = False
    world.run(0.3)
    assert world.state.verdicts.gateways["gw-a"].code == "gateway-suspect", "nor is it so again"
    world.run(1)
    assert world.state.verdicts.gateways["gw-a"].code == "gateway-silent"


def test_an_announced_shutdown_is_of_the_past_once_another_gateway_hears_the_host_again() -> None:
    """Simulation's seed 16534: a monitor cut off from a host that had rebooted took its goodbye for the truth."""
    world = play()
    gateway = world.gateways["gw-a"]
    gateway.stopping = "host"
    world.run(0.3)
    gateway.heartbeat.works = gateway.icmp.works = gateway.peers_hear = False
    world.run(10)
    gateway.peers_hear = True
    world.run(19)
    assert world.state.verdicts.gateways["gw-a"].code == "gateway-stopping", "it may be heard while it shuts down"
    world.run(2)
    assert world.state.verdicts.gateways["gw-a"].code == "monitor-cut-off-from-gateway"
    gateway.peers_hear = False
    world.run(2)
    assert world.state.verdicts.gateways["gw-a"].verdict is Verdict.DOWN


def test_row_53_a_dead_agent_on_a_working_gateway_moves_nothing_and_is_told_if_it_stays_away() -> None:
    world = play()
    gateway = world.gateways["gw-a"]
    gateway.heartbeat.works = gateway.peers_hear = False
    world.run(20)
    assert world.notes == []
    world.run(20)
    assert world.swaps == []
    assert len(world.told("agent-silent", "gw-a")) == 1
    assert world.state.verdicts.paths["gw-a", "hq"].verdict is Verdict.UNKNOWN
    gateway.heartbeat.works = gateway.peers_hear = True
    assert world.run(20).told("agent-silent", "gw-a", resolved=True)


def test_row_53_an_agent_that_dies_first_does_not_hide_the_gateways_death() -> None:
    world = play()
    world.gateways["gw-a"].heartbeat.works = world.gateways["gw-a"].peers_hear = False
    world.run(10)
    world.gateways["gw-a"].power_off()
    assert world.run_until_moved(2) < 0.7


def test_row_53_pings_that_are_lost_by_chance_do_not_make_a_gateway_without_an_agent_dead() -> None:
    """No heartbeats, and at 40 % loss ten pings in a row are lost every quarter of an hour."""
    world = play()
    gateway = world.gateways["gw-a"]
    gateway.heartbeat.works = gateway.peers_hear = False
    world.run(5)
    gateway.icmp.loss = 0.4
    world.run(12)
    for _ in range(3):
        gateway.icmp.works = False
        world.run(0.7)
        gateway.icmp.works = True
        world.run(3)
    assert world.swaps == []
    gateway.power_off()
    assert 0.9 < world.run_until_moved(3) < 1.3


def test_row_14_a_monitor_cut_off_from_one_gateway_that_the_other_hears_moves_nothing() -> None:
    world = play()
    world.gateways["gw-a"].heartbeat.works = world.gateways["gw-a"].icmp.works = False
    world.run(1).rest(120)
    assert world.swaps == []
    assert len(world.told("monitor-cut-off-from-gateway", "gw-a")) == 1


def test_what_a_witness_heard_stays_true_when_the_witness_goes() -> None:
    """gw-a hears gw-b, which the monitor does not; then gw-b's agent dies and gw-a's host shuts down, all at once."""
    world = play()
    world.gateways["gw-b"].heartbeat.works = world.gateways["gw-b"].icmp.works = False
    world.run(3)
    world.gateways["gw-b"].peers_hear = False
    world.gateways["gw-a"].stopping = "host"
    world.run(0.3)
    world.gateways["gw-b"].icmp.works = True  # its host was well all the time
    world.run(10)
    assert world.told("monitor-cut-off-from-gateway", "gw-b") and world.told("gateway-stopping", "gw-a")
    assert world.told("gateway-silent", "gw-b") == []
    assert not any(gateway != "gw-b" for _zone, _site, gateway in world.moved())


def test_row_7_windows_that_are_empty_by_chance_do_not_start_the_delay_of_a_lossy_gateway_anew() -> None:
    world = play()
    gateway = world.gateways["gw-a"]
    gateway.heartbeat.loss = gateway.icmp.loss = 0.64  # 40 % each way
    for _ in range(3):
        world.run(7)
        gateway.heartbeat.works = gateway.icmp.works = False
        world.run(0.7)
        gateway.heartbeat.works = gateway.icmp.works = True
    assert world.swaps == []
    assert world.run_until_moved(10) < 8.0
    assert {swap.reason for _at, swap in world.swaps} == {"gateway-grey"}
    assert world.told("monitor-cut-off-from-gateway") == []


def test_row_7_a_lossy_gateway_that_dies_is_left_after_two_windows() -> None:
    world = play()
    gateway = world.gateways["gw-a"]
    gateway.heartbeat.loss = gateway.icmp.loss = 0.64
    world.run(12)
    gateway.power_off()
    assert 0.9 < world.run_until_moved(3) < 1.3


def test_row_14_the_veto_ends_when_the_witness_loses_the_gateway_too() -> None:
    world = play()
    world.gateways["gw-a"].heartbeat.works = world.gateways["gw-a"].icmp.works = False
    world.run(10)
    world.gateways["gw-a"].power_off()
    assert 0.9 < world.run_until_moved(2) < 1.2


def test_row_14_a_short_blackout_of_a_gateway_that_the_monitor_cannot_hear_moves_nothing() -> None:
    world = play()
    gateway = world.gateways["gw-a"]
    gateway.heartbeat.works = gateway.icmp.works = False  # the monitor's own way there
    world.run(0.15)
    gateway.peers_hear = False
    world.run(0.35)
    gateway.peers_hear = True
    world.run(10)
    assert world.swaps == []


def test_row_14_the_veto_outlasts_a_blackout_of_the_witness() -> None:
    world = play()
    world.gateways["gw-a"].heartbeat.works = world.gateways["gw-a"].icmp.works = False
    for _ in range(5):
        world.run(2)
        world.gateways["gw-a"].peers_hear = False
        world.run(0.8)
        world.gateways["gw-a"].peers_hear = True
    assert world.swaps == []


def test_row_55_another_monitor_that_finds_the_gateway_healthy_vetoes_the_failover() -> None:
    world = play()
    world.gateways["gw-a"].power_off()
    world.vetoes = {"gw-a": 1.5}
    world.run(10)
    assert world.swaps == []
    world.vetoes = {"gw-a": 2.5}
    world.run(1)
    assert world.moved()


@pytest.mark.parametrize("seconds", [2.0, 30.0], ids=["row 9, a blackout of 2 s", "row 15, cut off from everybody"])
def test_a_monitor_that_hears_nobody_does_nothing_not_even_when_one_comes_back_before_the_other(seconds: float) -> None:
    world = play()
    for gateway in world.gateways.values():
        gateway.heartbeat.works = gateway.icmp.works = False
        for tunnel in gateway.tunnels.values():
            tunnel.cut()
    world.run(seconds)
    for name in ("gw-b", "gw-a"):
        for tunnel in world.gateways[name].tunnels.values():
            tunnel.mend()
        world.gateways[name].power_on()
        world.run(0.25)
    world.run(60)
    assert world.swaps == []
    assert bool(world.told("monitor-isolated")) == (seconds > 1)


def test_after_isolation_a_gateway_that_stays_dead_is_left_after_one_more_window() -> None:
    world = play()
    for gateway in world.gateways.values():
        gateway.power_off()
    world.run(30)
    world.gateways["gw-b"].power_on()
    assert 0.4 < world.run_until_moved(3) < 0.7


def test_row_8_a_blackout_of_400_ms_is_nothing() -> None:
    world = play()
    for _ in range(10):
        world.gateways["gw-a"].power_off()
        world.run(0.4)
        world.gateways["gw-a"].power_on()
        world.run(3)
    assert world.swaps == []
    assert world.notes == []


def test_row_6_ten_percent_loss_each_way_is_nothing() -> None:
    world = play()
    for gateway in world.gateways.values():
        gateway.heartbeat.loss = gateway.icmp.loss = 0.19  # of the probes: lost if either way loses them
    assert world.run(1).rest(120).swaps == []
    assert world.notes == []


def test_row_7_a_gateway_that_loses_much_is_grey_and_left_without_haste() -> None:
    world = play()
    world.gateways["gw-a"].heartbeat.loss = world.gateways["gw-a"].icmp.loss = 0.64
    took = world.run_until_moved(60)
    assert 29 < took < 32
    assert world.state.verdicts.gateways["gw-a"].verdict is Verdict.GREY
    assert all(swap.voluntary for _at, swap in world.swaps)
    assert world.told("gateway-grey", "gw-a")


def test_row_7_nothing_is_left_for_another_gateway_that_loses_as_much() -> None:
    world = play()
    for gateway in world.gateways.values():
        gateway.heartbeat.loss = gateway.icmp.loss = 0.64
    assert world.run(1).rest(120).swaps == []


def test_row_54_an_overloaded_agent_that_loses_heartbeats_is_no_gateway_that_loses_packets() -> None:
    world = play()
    world.gateways["gw-a"].heartbeat.loss = 0.64
    assert world.run(1).rest(120).swaps == []


def test_a_dead_gateway_is_left_even_for_a_grey_one_if_there_is_no_better() -> None:
    world = play()
    world.gateways["gw-b"].heartbeat.loss = world.gateways["gw-b"].icmp.loss = 0.64
    world.run(5)
    world.gateways["gw-a"].power_off()
    assert world.run_until_moved(2) < 0.7


def test_no_healthy_target_and_the_routes_are_left_alone() -> None:
    world = play()
    world.gateways["gw-b"].heartbeat.works = world.gateways["gw-b"].peers_hear = False  # its agent is dead
    world.run(5)
    world.gateways["gw-a"].power_off()
    world.run(30)
    assert world.swaps == []
    assert world.told("no-healthy-gateway", "zone-a/hq")
    world.gateways["gw-b"].power_on()
    assert world.run_until_moved(2) < 1


def test_row_12_an_impaired_status_check_of_a_working_gateway_is_only_told() -> None:
    world = play()
    world.change_instance("gw-a", system_status="impaired")
    assert world.run(60).swaps == []
    assert len(world.told("status-check-impaired", "gw-a")) == 1


def test_a_gateway_whose_kernel_does_not_forward_is_left_at_once() -> None:
    world = play()
    world.gateways["gw-a"].dataplane = "forwarding-off"
    assert world.run_until_moved(2) < 0.2
    assert {(zone, gateway) for zone, _site, gateway in world.moved()} == {("zone-a", "gw-b")}
    assert {swap.reason for _at, swap in world.swaps} == {"forwarding-off"}
    world.gateways["gw-a"].dataplane = ""
    world.run(5)
    world.gateways["gw-a"].power_off()  # what it said last is no news any more
    world.run(2)
    assert world.state.verdicts.gateways["gw-a"].code == "gateway-silent"


def test_a_filter_that_is_gone_is_told_if_the_agent_does_not_load_it_at_once() -> None:
    world = play()
    world.gateways["gw-a"].dataplane = "filter-missing"
    world.run(4)
    assert not world.told("filter-missing")
    world.run(4)
    assert len(world.told("filter-missing", "gw-a")) == 1
    world.gateways["gw-a"].dataplane = ""
    world.run(30)
    assert len(world.told("filter-missing", "gw-a", resolved=True)) == 1
    assert world.swaps == []


def test_a_gateway_that_forwards_one_version_only_is_told_and_can_still_be_taken() -> None:
    world = play()
    world.gateways["gw-b"].dataplane = "ipv6-forwarding-off"
    world.run(5)
    assert [note.text for note in world.told("forwarding-partly-off")] == [
        "gw-b's kernel forwards no IPv6 packets; the others it does, so its routes stay."
    ]
    assert world.swaps == []
    world.gateways["gw-a"].power_off()
    assert world.run_until_moved(3) < 1.0


def test_a_gateway_that_answers_pings_only_is_not_said_to_lack_a_session() -> None:
    """As one that is just being installed."""
    world = play()
    world.gateways["gw-b"].heartbeat.works = world.gateways["gw-b"].peers_hear = False
    world.gateways["gw-a"].mesh_down = ("gw-b",)
    world.run(60)
    assert world.state.verdicts.gateways["gw-b"].verdict is Verdict.UP
    assert not world.told("mesh-down")


def test_two_gateways_without_a_session_are_told_once_and_only_while_both_work() -> None:
    world = play("abc")
    world.gateways["gw-b"].mesh_down = ("gw-a", "gw-z")
    world.run(15)
    assert not world.told("mesh-down")  # FRR may have been restarted
    world.gateways["gw-a"].mesh_down = ("gw-b",)
    world.run(15)
    assert [note.subject for note in world.told("mesh-down")] == ["gw-a/gw-b"]
    world.gateways["gw-a"].power_off()
    world.run(30)
    assert [note.subject for note in world.told("mesh-down", resolved=True)] == ["gw-a/gw-b"]


def test_row_43_a_source_destination_check_that_is_on_is_named_and_the_gateway_left() -> None:
    world = play()
    world.change_instance("gw-a", source_dest_check=True)
    assert world.run_until_moved(1) <= 0.1
    assert {swap.reason for _at, swap in world.swaps} == {"source-dest-check-on"}


def test_row_58_an_instance_that_ec2_will_retire_is_drained_beforehand() -> None:
    world = play()
    world.change_instance("gw-a", retirement_wall=world.evidence().wall + 3600)
    world.run(120)
    assert world.moved() == {("zone-a", "hq", "gw-b"), ("zone-a", "plant", "gw-b")}
    assert all(swap.voluntary for _at, swap in world.swaps)
    assert world.told("gateway-retiring", "gw-a")


@pytest.mark.parametrize("word", ["ec2", "agent"])
def test_row_56_a_gateway_dead_since_before_the_start_is_left_on_somebodys_word(word: str) -> None:
    world = Play(settled=False)
    gateway = world.gateways["gw-a"]
    gateway.power_off()
    gateway.icmp.answered_at = None
    if word == "ec2":
        gateway.peer_heard_at = None
        world.change_instance("gw-a", state="stopped")
    else:
        gateway.peer_heard_at = world.now - 300
    assert 0.4 < world.run_until_moved(3) < 0.7


def test_row_56_a_gateway_never_heard_is_not_down_by_silence_alone() -> None:
    world = Play(settled=False)
    gateway = world.gateways["gw-a"]
    gateway.power_off()
    gateway.icmp.answered_at = gateway.peer_heard_at = None
    world.run(60)
    assert world.swaps == []
    assert world.told("gateway-unheard", "gw-a")


def test_nothing_is_done_before_ec2_was_read() -> None:
    world = Play(settled=False)
    full, world.frozen = world.view, True
    world.view = None  # type: ignore[assignment]
    world.run(5)
    world.gateways["gw-a"].power_off()
    world.run(5)
    assert world.swaps == []
    world.view, world.version = full, 2
    assert world.run_until_moved(1) < 0.2


@pytest.mark.parametrize("lag", [1.0, 5.0, 15.0])
def test_row_27_and_46_a_monitor_that_was_late_throws_away_what_it_saw(lag: float) -> None:
    world = play()
    for gateway in world.gateways.values():
        for probe in (gateway.heartbeat, gateway.icmp):
            probe.works = False
    world.gateways["gw-b"].power_on()
    world.gateways["gw-a"].peers_hear = False
    for _ in range(6):
        world.run(0.4)
        world.lag = lag
    assert world.swaps == []
    assert world.told("monitor-sick")
    assert world.run_until_moved(3) < 0.7


def test_row_27_a_gateway_that_died_while_the_monitor_slept_is_left_although_all_history_is_gone() -> None:
    world = play()
    gateway = world.gateways["gw-a"]
    gateway.power_off()
    world.now += 15.0
    world.lag = 15.0
    gateway.heartbeat.answered_at = gateway.icmp.answered_at = None  # the daemon begins its counts anew
    gateway.heartbeat.watched_since = gateway.icmp.watched_since = world.now
    assert 0.4 < world.run_until_moved(3) < 0.7


def test_row_26_a_jump_of_the_wall_clock_delays_a_failover_by_one_window_at_most() -> None:
    world = play()
    world.run(10)
    world.wall_skew = 3600.0
    assert world.run(30).swaps == []
    world.gateways["gw-a"].power_off()
    world.wall_skew = -3600.0
    assert world.run_until_moved(3) < 1.2


def test_failback_waits_for_the_hold_down_and_is_voluntary() -> None:
    world = play()
    world.gateways["gw-a"].power_off()
    world.run(20)
    world.gateways["gw-a"].power_on()
    world.swaps.clear()
    took = world.run_until_moved(120)
    assert took == pytest.approx(world.plan.timing.hold_down, abs=0.2)
    assert {(swap.reason, swap.voluntary) for _at, swap in world.swaps} == {("failback", True)}
    assert world.run(1).at_home()


def test_row_44_a_gateway_that_flaps_every_45_s_makes_few_swaps_and_loses_its_routes() -> None:
    world = play(hold_down=2.0)
    for _ in range(40):
        world.gateways["gw-a"].power_off()
        world.run(1).rest(44)
        world.gateways["gw-a"].power_on()
        world.run(1).rest(44)
    per_route = len(world.swaps) / 2
    assert per_route <= 13
    before = len(world.swaps)
    for _ in range(4):
        world.gateways["gw-a"].power_off()
        world.run(1).rest(44)
        world.gateways["gw-a"].power_on()
        world.run(1).rest(44)
    assert len(world.swaps) == before, "it stays on the steady one"
    assert world.told("flapping", "gw-a/hq")


def test_what_a_drill_breaks_is_no_flap() -> None:
    world = play(hold_down=2.0)
    for drill, least, most in ((None, 1.9, 2.2), ("d1", 1.9, 2.2), ("d1", 1.9, 2.2), (None, 3.9, 4.2)):
        world.change_view(drill=drill)
        world.gateways["gw-a"].power_off()
        world.run(2)
        world.gateways["gw-a"].power_on()
        assert least < world.run_until_moved(10) < most
        world.run(2)


@pytest.mark.parametrize(("asked", "least", "most"), [(True, 1.9, 2.2), (False, 3.9, 4.3)])
def test_handing_over_on_request_is_no_flap(asked: bool, least: float, most: float) -> None:
    """A deploy has a gateway hand over, closes its tunnels, and has it take over again; then it fails by itself."""
    world = play(hold_down=2.0)
    gateway = world.gateways["gw-a"]
    gateway.handed_over = asked
    gateway.paths.update(hq="neighbour", plant="neighbour")
    world.run(1)
    for tunnel in gateway.tunnels.values():
        tunnel.cut()
    world.run(5)
    for tunnel in gateway.tunnels.values():
        tunnel.mend()
    gateway.handed_over = False
    world.run(0.3)  # the request ends before its neighbours' work does
    gateway.paths.clear()
    world.run(5)
    assert world.swaps == []
    gateway.power_off()
    world.run(2)
    gateway.power_on()
    assert least < world.run_until_moved(10) < most


def test_a_quiet_hour_resets_the_hold_down() -> None:
    world = play(hold_down=2.0, flap_memory=200.0)
    for _ in range(6):
        world.gateways["gw-a"].power_off()
        world.run(2)
        world.gateways["gw-a"].power_on()
        world.run(1).rest(69)
    world.rest(201)
    world.gateways["gw-a"].power_off()
    world.run(2)
    world.gateways["gw-a"].power_on()
    assert world.run_until_moved(10) < 2.2


def test_at_most_so_many_voluntary_moves_of_a_route_in_an_hour() -> None:
    world = play(hold_down=1.0, hold_down_max=1.0, voluntary_moves_per_hour=3)
    for _ in range(8):
        world.gateways["gw-a"].power_off()
        world.run(2)
        world.gateways["gw-a"].power_on()
        world.run(5)
    voluntary = [swap for _at, swap in world.swaps if swap.voluntary]
    assert len(voluntary) == 2 * 3
    assert world.told("moves-limited")
    assert not world.at_home()
    world.rest(3600)
    assert world.at_home()


def test_12_moves_of_the_last_life_count() -> None:
    world = play(voluntary_moves_per_hour=3)
    world.gateways["gw-a"].power_off()
    assert world.run_until_moved(2)
    world.run(5)
    world.gateways["gw-a"].power_on()
    moved = dict.fromkeys(
        [key for keys in world.state.routes.groups.values() for key in keys],
        (world.now - 3000.0, world.now - 2000.0, world.now - 1000.0),
    )
    world.state = decision.start(world.plan, world.now, moved=moved)
    world.rest(590)
    assert world.told("moves-limited") and not world.at_home()
    world.rest(60)
    assert world.at_home()


def test_12_a_monitor_that_crashes_at_every_turn_is_bounded_by_its_waits_alone() -> None:
    """Where its journal is lost each time (docs/limits.md). It begins to wait anew: two moves take 90 s."""
    world = play(voluntary_moves_per_hour=3)
    began, rounds = world.now, 2
    for _ in range(rounds):
        world.gateways["gw-a"].heartbeat.loss = world.gateways["gw-a"].icmp.loss = 0.64
        world.state = decision.start(world.plan, world.now)
        assert world.run_until_moved(200) >= world.plan.timing.hold_down, "the other one has to be well for so long"
        world.run(1)
        world.gateways["gw-a"].heartbeat.loss = world.gateways["gw-a"].icmp.loss = 0.0
        world.state = decision.start(world.plan, world.now)
        assert world.run_until_moved(200) >= world.plan.timing.hold_down
        world.run(1)
        assert world.at_home()
    assert all(swap.voluntary for _at, swap in world.swaps)
    of_a_route = [at for at, swap in world.swaps if swap.key == world.swaps[0][1].key]
    assert len(of_a_route) == 2 * rounds > world.plan.timing.voluntary_moves_per_hour
    assert world.now - began >= rounds * (world.plan.timing.hold_down + world.plan.timing.voluntary_delay)


def test_the_zones_of_a_lost_gateway_are_spread_over_the_others() -> None:
    plan = deployment("abc")
    a, b, c = plan.gateways
    zones = (*plan.zones, replace(plan.zones[0], name="zone-d"))
    a = replace(a, home_zones=("zone-a", "zone-d"))
    world = Play(replace(plan, zones=zones, gateways=(a, b, c)), settled=False)
    routes = dict(world.view.routes)
    for key, route in world.view.routes.items():
        if route.zone == "zone-a":
            twin = replace(key, table_id="rtb-d")
            routes[twin] = replace(route, key=twin, zone="zone-d")
    world.change_view(routes=routes)
    world.run(5)
    world.gateways["gw-a"].power_off()
    world.run(2)
    assert world.moved() == {
        ("zone-a", "hq", "gw-b"), ("zone-a", "plant", "gw-b"),
        ("zone-d", "hq", "gw-c"), ("zone-d", "plant", "gw-c"),
    }  # fmt: skip


def zones_of_a_lost_gateway(spread: str = "distance", near: tuple[str, ...] = (), **capacities: float) -> Play:
    """gw-a, home of zone-a, zone-d and zone-e, has died; gw-b and gw-c carry their own zone's two routes each."""
    plan = deployment("abc")
    a, b, c = (replace(one, capacity=capacities.get(one.name[-1], 1.0)) for one in plan.gateways)
    more = ("zone-a", "zone-d", "zone-e")
    zones = tuple(replace(plan.zones[0], name=name, near=near) for name in more) + plan.zones[1:]
    a = replace(a, home_zones=more)
    world = Play(replace(plan, zones=zones, gateways=(a, b, c), spread=spread), settled=False)
    world.run(5)
    world.gateways["gw-a"].power_off()
    world.run(2)
    return world


def went_to(world: Play) -> dict[str, set[str]]:
    """Zone -> the gateways that its routes went to."""
    found: dict[str, set[str]] = {}
    for zone, _site, target in world.moved():
        found.setdefault(zone, set()).add(target)
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("gw-b", "gw-c", "gw-b")),  # none is nearer: the least loaded, then by name
        ({"near": ("zone-c",)}, ("gw-c", "gw-c", "gw-c")),
        ({"near": ("zone-c", "zone-b")}, ("gw-c", "gw-c", "gw-c")),
        ({"near": ("zone-c",), "spread": "capacity"}, ("gw-c", "gw-b", "gw-c")),
        ({"c": 4.0}, ("gw-c", "gw-c", "gw-c")),  # (6 + 2) / 4 is still less than (2 + 2) / 1
        ({"c": 2.0}, ("gw-c", "gw-c", "gw-b")),
        # the last would make it four for each, so the nearer one gets it: all that the zone brings counts
        ({"near": ("zone-c",), "c": 2.0, "spread": "capacity"}, ("gw-c", "gw-c", "gw-c")),
        ({"near": ("zone-b",), "c": 100.0}, ("gw-b", "gw-b", "gw-b")),
    ],
)
def test_where_the_zones_of_a_lost_gateway_go(given: dict[str, Any], expected: tuple[str, str, str]) -> None:
    world = zones_of_a_lost_gateway(**given)
    assert went_to(world) == {f"zone-{letter}": {target} for letter, target in zip("ade", expected, strict=True)}


def test_a_zone_stays_together_where_a_swap_is_tried_again() -> None:
    world = Play(deployment("abc"))
    obey, refused = world.answer, list[Swap]()

    def answer(swap: Swap) -> SwapResult | None:
        if world.plan.site_of(swap.key.destination).name == "hq" or refused:
            return obey(swap)
        refused.append(swap)
        return SwapResult(swap, accepted=False, error="InternalError")

    world.answer = answer
    world.gateways["gw-a"].power_off()
    world.run(5)
    assert refused
    assert went_to(world) == {"zone-a": {"gw-b"}}


def test_a_zone_stays_together_where_it_leaves_in_good_time() -> None:
    world = Play(deployment("abc"))
    world.run(60)
    world.change_instance("gw-a", retirement_wall=world.evidence().aws_wall + 3600)
    world.run(5)
    assert went_to(world) == {"zone-a": {"gw-b"}}


def test_each_route_moves_once_and_once_again_to_go_home() -> None:
    world = zones_of_a_lost_gateway()
    assert len(world.swaps) == 6
    world.gateways["gw-a"].power_on()
    world.run(5).rest(70)
    assert world.at_home()
    assert len(world.swaps) == 12


def test_two_gateways_of_a_zone_share_what_comes_to_it() -> None:
    plan = deployment("abcd")
    a, b, c, d = plan.gateways
    second = replace(d, zone="zone-c", home_zones=("zone-d",))
    gateways = (replace(a, home_zones=("zone-a", "zone-b")), replace(b, home_zones=()), c, second)
    zones = tuple(replace(zone, near=("zone-c",)) if zone.name < "zone-c" else zone for zone in plan.zones)
    world = Play(replace(plan, zones=zones, gateways=gateways), settled=False)
    world.run(5)
    for name in ("gw-a", "gw-b"):
        world.gateways[name].power_off()
    world.run(2)
    assert went_to(world) == {"zone-a": {"gw-c"}, "zone-b": {"gw-d"}}


def test_a_second_gateway_of_the_same_zone_is_preferred() -> None:
    plan = deployment("abc")
    a, b, c = plan.gateways
    world = Play(replace(plan, gateways=(a, b, replace(c, zone="zone-a", home_zones=("zone-c",)))), settled=False)
    world.run(5)
    world.gateways["gw-a"].power_off()
    world.run(2)
    assert {target for _zone, _site, target in world.moved()} == {"gw-c"}


def test_a_target_that_ec2_cannot_deliver_to_is_not_chosen() -> None:
    world = play("abc")
    world.change_instance("gw-b", source_dest_check=True)
    world.run(2)
    world.swaps.clear()
    world.change_view(instances={**world.view.instances, "gw-c": Instance("gw-c", "i-c", None, "running")})
    world.gateways["gw-a"].power_off()
    world.run(5)
    assert world.swaps == []
    assert world.told("gateway-absent", "gw-c")
