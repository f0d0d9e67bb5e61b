# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels and sites that fail, each by its own rules. The row numbers are those of the fault matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.model import Verdict

from .scenario import Play, deployment, play

ONLY_HQ_OF_A = {("zone-a", "hq", "gw-b")}


def reasons(world: Play) -> set[str]:
    return {swap.reason for _at, swap in world.swaps}


def test_row_3_esp_dropped_while_ike_passes_moves_that_sites_prefixes_only() -> None:
    world = play(routing="static")
    world.tunnel("hq-gw-a").cut()
    assert world.run_until_moved(3) < 0.7
    assert world.run(20).moved() == ONLY_HQ_OF_A
    assert reasons(world) == {"tunnel-nothing-returns"}
    assert not world.swaps[0][1].voluntary


def test_row_3_with_bgp_the_gateways_own_handover_gets_its_grace_first() -> None:
    world = play()
    world.tunnel("hq-gw-a").cut()
    took = world.run_until_moved(5)
    assert 0.5 + 1.5 - 0.1 < took < 0.5 + 1.5 + 0.2
    assert world.moved() == ONLY_HQ_OF_A


def test_a_tunnel_that_is_gone_but_handed_over_is_left_after_30_s_without_haste() -> None:
    world = play()
    world.tunnel("hq-gw-a").cut()
    world.gateways["gw-a"].paths["hq"] = "neighbour"
    took = world.run_until_moved(60)
    assert 29 < took < 32
    assert world.moved() == ONLY_HQ_OF_A
    assert reasons(world) == {"via-neighbour"}
    assert all(swap.voluntary for _at, swap in world.swaps)


def test_a_handover_shorter_than_30_s_moves_nothing() -> None:
    world = play()
    for _ in range(3):
        world.tunnel("hq-gw-a").cut()
        world.gateways["gw-a"].paths["hq"] = "neighbour"
        world.run(25)
        world.tunnel("hq-gw-a").mend()
        del world.gateways["gw-a"].paths["hq"]
        world.run(5)
    assert world.swaps == []


def test_a_neighbour_that_has_no_tunnel_either_is_no_way() -> None:
    world = play()
    for gateway in ("gw-a", "gw-b"):
        world.tunnel(f"hq-{gateway}").cut()
        world.gateways[gateway].paths["hq"] = "neighbour"  # each points at the other
    world.run(60)
    assert world.swaps == []
    assert world.told("site-down", "hq")


@pytest.mark.parametrize("way", ["neighbour", "none"])
def test_the_last_word_of_a_dead_agent_says_nothing_of_a_way_without_a_tunnel(way: str) -> None:
    """What it said before goes on neither as a way that works nor as one that does not."""
    plan = deployment()
    world = Play(replace(plan, tunnels=tuple(one for one in plan.tunnels if one.name != "hq-gw-b")))
    world.gateways["gw-b"].paths["hq"] = "neighbour"
    world.run(5)
    assert world.state.verdicts.paths["gw-b", "hq"].verdict is Verdict.VIA_NEIGHBOUR
    world.gateways["gw-b"].paths["hq"] = way
    world.run(0.1)
    world.gateways["gw-b"].heartbeat.works = world.gateways["gw-b"].peers_hear = False  # it answers pings
    world.run(5)
    assert world.state.verdicts.gateways["gw-b"].verdict is Verdict.UP
    assert world.state.verdicts.paths["gw-b", "hq"].verdict is Verdict.UNKNOWN
    assert world.swaps == []


@pytest.mark.parametrize("ike", ["connecting", "unanswered"])
def test_row_4_ike_dropped_while_esp_passes_is_only_told(ike: str) -> None:
    world = play()
    world.tunnel("hq-gw-a").ike = ike
    world.run(30)
    assert world.swaps == []
    assert len(world.told("ike-down-esp-passes", "hq-gw-a")) == 1


def test_row_5_esp_lost_in_one_direction_only_is_seen_by_the_probe() -> None:
    world = play(routing="static")
    one = world.tunnel("hq-gw-a")
    one.probe.works = one.target.works = False  # no event, SAs fine
    assert world.run_until_moved(2) < 0.7


@pytest.mark.parametrize(("charon", "code"), [("dead", "charon-dead"), ("hung", "charon-hung")])
def test_rows_1_and_2_charon_dead_or_hung_is_named_once_nothing_comes_back(charon: str, code: str) -> None:
    world = play(routing="static")
    world.gateways["gw-a"].charon = charon
    assert world.run(10).swaps == [], "packets still pass"
    assert world.told("charon-silent-esp-passes", "hq-gw-a")
    for name in ("hq-gw-a", "plant-gw-a"):
        world.tunnel(name).cut()
    assert world.run_until_moved(2) < 0.7
    assert reasons(world) == {code}


@pytest.mark.parametrize(
    ("ike", "child", "code"), [("missing", "missing", "ike-sa-missing"), ("established", "missing", "child-sa-missing")]
)
def test_a_missing_sa_is_named_but_only_the_probe_moves_routes(ike: str, child: str, code: str) -> None:
    world = play(routing="static")
    one = world.tunnel("hq-gw-a")
    one.ike, one.child = ike, child
    assert world.run(5).swaps == [], "noblock hides a busy SA: probes still pass"
    one.cut()
    world.run_until_moved(2)
    assert reasons(world) == {code}


def test_row_51_bgp_down_on_a_tunnel_that_carries_makes_its_prefix_unreachable_through_it() -> None:
    world = play()
    world.tunnel("hq-gw-a").bgp = "down"
    took = world.run_until_moved(5)
    assert 1.4 < took < 1.8
    assert world.moved() == ONLY_HQ_OF_A
    assert reasons(world) == {"bgp-down"}


def test_row_23_a_site_that_is_down_moves_nothing_and_is_told_once_also_when_it_comes_back_in_pieces() -> None:
    world = play()
    world.tunnel("hq-gw-a").cut()
    world.run(0.1)
    world.tunnel("hq-gw-b").cut()
    world.run(60)
    world.tunnel("hq-gw-b").mend()  # BGP takes seconds to come back, and not everywhere at once
    world.run(6)
    world.tunnel("hq-gw-a").mend()
    world.run(60)
    assert world.swaps == []
    assert [note.code for _at, note in world.notes if not note.resolved] == ["site-down"]


@pytest.mark.parametrize("letters", ["ab", "abc"])
def test_a_gateway_that_breaks_while_a_site_is_down_does_not_end_the_sites_outage(letters: str) -> None:
    world = play(letters)
    for letter in letters:
        world.tunnel(f"hq-gw-{letter}").cut()
    world.run(20)
    broken = f"gw-{letters[-1]}"
    world.change_instance(broken, source_dest_check=True)
    world.run(20)
    assert world.told("site-down", "hq", resolved=True) == []
    assert [note.subject for note in world.told("site-down")] == ["hq"]
    world.swaps.clear()  # the other site's routes have left the broken gateway
    world.change_instance(broken, source_dest_check=False)
    world.tunnel(f"hq-{broken}").mend()
    world.run(6)
    for letter in letters[:-1]:
        world.tunnel(f"hq-gw-{letter}").mend()
    world.run(20)
    assert world.moved() == set()
    assert world.told("site-down", "hq", resolved=True)


def come_back_in_pieces(world: Play) -> None:
    """hq, whose tunnels are cut, is down for a while, and then back through gw-b some seconds before gw-a."""
    world.run(20)
    world.tunnel("hq-gw-b").mend()
    world.run(6)
    world.tunnel("hq-gw-a").mend()
    world.run(20)


def test_two_witnesses_are_enough_if_the_third_gateway_was_down_before() -> None:
    world = play("abc")
    world.gateways["gw-c"].power_off()
    world.run(10)
    world.swaps.clear()
    world.tunnel("hq-gw-a").cut()
    world.tunnel("hq-gw-b").cut()
    come_back_in_pieces(world)
    assert world.swaps == []
    assert world.told("site-down", "hq", resolved=True)


def test_one_witness_alone_may_have_lost_its_own_tunnel_and_is_left_as_soon_as_there_is_another() -> None:
    world = play(routing="static")
    world.gateways["gw-a"].power_off()
    world.run(10)
    world.tunnel("hq-gw-b").cut()
    world.run(20)
    assert world.told("site-down") == []
    assert world.told("tunnel-nothing-returns", "hq-gw-b")
    world.swaps.clear()
    world.gateways["gw-a"].power_on()
    assert world.run_until_moved(3) < 1.0
    assert world.moved() == {("zone-a", "hq", "gw-a"), ("zone-b", "hq", "gw-a")}


def agent_dies(world: Play) -> None:
    world.gateways["gw-c"].heartbeat.works = False  # the host still answers ICMP


def cut_off_from_the_monitor(world: Play) -> None:
    world.gateways["gw-c"].heartbeat.works = world.gateways["gw-c"].icmp.works = False


def never_heard(world: Play) -> None:
    gateway = world.gateways["gw-c"]
    gateway.power_off()
    for probe in (gateway.heartbeat, gateway.icmp):
        probe.answered_at = None
    gateway.heard, gateway.report, gateway.peer_heard_at = False, None, None


def not_set_up_yet(world: Play) -> None:
    world.gateways["gw-c"].tunnels.clear()  # its agent knows of none


UNKNOWN = [agent_dies, cut_off_from_the_monitor, never_heard, not_set_up_yet]


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_a_gateway_of_which_nothing_is_known_does_not_speak_against_a_sites_outage(
    unknown: Callable[[Play], None],
) -> None:
    world = play("abc")
    unknown(world)
    world.run(10)
    assert world.state.verdicts.paths["gw-c", "hq"].verdict is Verdict.UNKNOWN
    world.swaps.clear()
    world.tunnel("hq-gw-a").cut()
    world.run(0.1)
    world.tunnel("hq-gw-b").cut()
    come_back_in_pieces(world)
    assert world.swaps == []
    assert len(world.told("site-down")) == 1
    assert world.told("site-down", "hq", resolved=True)


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_a_gateway_of_which_nothing_is_known_is_no_witness_either(unknown: Callable[[Play], None]) -> None:
    world = play("abc", routing="static")
    world.gateways["gw-a"].power_off()
    unknown(world)
    world.run(10)
    world.tunnel("hq-gw-b").cut()
    world.run(20)
    assert world.told("site-down") == []
    assert world.told("tunnel-nothing-returns", "hq-gw-b")
    world.swaps.clear()
    world.gateways["gw-a"].power_on()
    assert world.run_until_moved(3) < 1.0, "it may have been the tunnel alone"


def test_a_gateway_that_is_heard_again_and_reaches_the_site_ends_its_outage() -> None:
    world = play("abc", routing="static")
    agent_dies(world)
    world.run(10)
    world.tunnel("hq-gw-a").cut()
    world.tunnel("hq-gw-b").cut()
    world.run(20)
    assert world.told("site-down", "hq")
    world.gateways["gw-c"].heartbeat.works = True
    assert 9 < world.run_until_moved(15) < 11, "a and b get their time to come back"
    assert world.moved() == {("zone-a", "hq", "gw-c"), ("zone-b", "hq", "gw-c")}
    assert world.told("site-down", "hq", resolved=True)


def test_a_gateway_that_is_suspect_for_a_moment_may_reach_the_site_and_is_waited_for() -> None:
    world = play("abc", routing="static")
    lossy = world.gateways["gw-c"]
    lossy.heartbeat.loss = lossy.icmp.loss = 0.64
    world.run(12)
    lossy.heartbeat.works = lossy.icmp.works = False  # by chance: for longer than a window, and than reports count
    world.tunnel("hq-gw-a").cut()
    world.tunnel("hq-gw-b").cut()
    for _ in range(9):
        assert world.run(0.1).state.verdicts.sites_down == {}
    lossy.heartbeat.works = lossy.icmp.works = True
    assert world.run_until_moved(1) < 0.2
    assert world.moved() == {("zone-a", "hq", "gw-c"), ("zone-b", "hq", "gw-c")}


def test_a_monitor_that_has_just_started_waits_for_the_gateway_that_answers_last() -> None:
    world = Play(deployment("abc", routing="static"), settled=False)
    for name in ("hq-gw-a", "hq-gw-b"):
        one = world.tunnel(name)
        one.cut()
        one.probe.watched_since = one.target.watched_since = world.now - 60.0  # their agents know for long
    world.gateways["gw-c"].heartbeat.works = False
    assert world.run(0.3).state.verdicts.sites_down == {}
    world.gateways["gw-c"].heartbeat.works = True
    assert world.run_until_moved(3) < 1.0
    assert world.moved() == {("zone-a", "hq", "gw-c"), ("zone-b", "hq", "gw-c")}


def test_a_tunnel_that_an_agent_has_just_begun_to_probe_is_waited_for() -> None:
    world = play("abc", routing="static")
    agent_dies(world)
    one = world.tunnel("hq-gw-c")
    world.tunnel("hq-gw-a").cut()
    world.run(10)
    world.swaps.clear()
    world.gateways["gw-c"].heartbeat.works = True
    for probe in (one.probe, one.target):
        probe.works, probe.answered_at, probe.watched_since = False, None, world.now
    world.run(0.1)
    world.tunnel("hq-gw-b").cut()
    for probe in (world.tunnel("hq-gw-b").probe, world.tunnel("hq-gw-b").target):
        probe.answered_at = world.now - 1.0
    world.run(0.3)
    assert world.state.verdicts.sites_down == {}
    one.mend()
    assert world.run_until_moved(3) < 0.2


def test_after_a_sites_outage_routes_leave_a_tunnel_that_stays_down() -> None:
    world = play()
    world.tunnel("hq-gw-a").cut()
    world.tunnel("hq-gw-b").cut()
    world.run(60)
    world.tunnel("hq-gw-b").mend()
    assert 9 < world.run_until_moved(15) < 12


def test_row_24_one_of_two_sites_down_is_told_and_the_other_left_in_peace() -> None:
    world = play()
    world.tunnel("hq-gw-a").cut()
    world.tunnel("hq-gw-b").cut()
    world.run(60)
    assert world.swaps == []
    assert [note.subject for note in world.told("site-down")] == ["hq"]


def test_row_24_the_other_sites_failover_works_while_one_site_is_down() -> None:
    world = play(routing="static")
    for name in ("hq-gw-a", "hq-gw-b"):
        world.tunnel(name).cut()
    world.run(10)
    world.tunnel("plant-gw-a").cut()
    world.run(3)
    assert world.moved() == {("zone-a", "plant", "gw-b")}


def test_row_25_all_tunnels_of_all_gateways_down_leaves_the_routes_alone() -> None:
    world = play()
    for gateway in world.gateways.values():
        gateway.charon = "dead"
        for tunnel in gateway.tunnels.values():
            tunnel.cut()
    assert world.run(60).swaps == []
    assert {note.subject for note in world.told("site-down")} == {"hq", "plant"}


def servers_off(world: Play) -> Play:
    """Every tunnel to hq carries packets, and no target there answers."""
    world.targets_off()
    world.run(20)
    assert (world.swaps, world.state.verdicts.sites_down) == ([], {})
    assert len(world.told("site-silent", "hq")) == 1
    return world


def test_a_gateway_that_dies_while_the_sites_servers_are_off_is_still_left() -> None:
    world = servers_off(play())
    world.gateways["gw-a"].power_off()
    world.run(2)
    assert world.moved() == {("zone-a", "hq", "gw-b"), ("zone-a", "plant", "gw-b")}


def test_a_tunnel_that_fails_while_the_sites_servers_are_off_is_left_as_soon_as_ever() -> None:
    world = servers_off(play(routing="static"))
    world.tunnel("hq-gw-a").cut()
    assert world.run_until_moved(3) < 0.7
    assert world.run(60).moved() == ONLY_HQ_OF_A
    assert reasons(world) == {"tunnel-nothing-returns"}


def test_a_session_that_fails_while_the_sites_servers_are_off_is_left_after_its_grace() -> None:
    world = servers_off(play())
    world.tunnel("hq-gw-a").bgp = "down"
    assert world.run_until_moved(5) < 2.0
    assert world.run(60).moved() == ONLY_HQ_OF_A


def test_a_site_that_goes_down_while_its_servers_are_off_is_told_and_moves_nothing() -> None:
    world = servers_off(play())
    for name in ("hq-gw-a", "hq-gw-b"):
        world.tunnel(name).cut()
    world.run(30)
    assert len(world.told("site-down", "hq")) == len(world.told("site-silent", "hq", resolved=True)) == 1
    for name in ("hq-gw-b", "hq-gw-a"):
        world.tunnel(name).mend()
        world.tunnel(name).target.works = False
        world.run(6)
    world.run(60)
    assert len(world.told("site-down", "hq", resolved=True)) == 1
    assert len(world.told("site-silent", "hq")) == 2
    assert world.swaps == []


def test_a_peer_that_answers_without_the_site_behind_it_is_left_for_one_that_reaches_it() -> None:
    world = play()
    world.tunnel("hq-gw-a").target.works = False
    took = world.run_until_moved(5)
    assert took < 1.3
    assert world.moved() == ONLY_HQ_OF_A
    assert reasons(world) == {"site-not-behind-peer"}


def test_row_7_targets_that_are_silent_where_the_tunnel_loses_many_packets_are_no_emergency() -> None:
    world = play()
    world.tunnel("hq-gw-a").probe.loss = 0.64
    world.tunnel("hq-gw-a").target.works = False
    world.run(5)
    assert world.swaps == []
    world.tunnel("hq-gw-a").probe.loss = 0.0
    assert world.run_until_moved(5) < 1.3
    assert reasons(world) == {"site-not-behind-peer"}


def test_a_peer_that_never_answers_on_its_inside_address_is_judged_by_the_site() -> None:
    world = Play(settled=False)
    for gateway in world.gateways.values():
        for tunnel in gateway.tunnels.values():
            tunnel.probe.works = False
    world.run(20)
    assert world.swaps == []
    assert world.state.verdicts.paths["gw-a", "hq"].verdict is Verdict.UP
    world.tunnel("hq-gw-a").cut()
    world.run(5)
    assert world.moved() == ONLY_HQ_OF_A


def test_row_50_large_packets_that_vanish_are_named_and_left_without_haste() -> None:
    world = play()
    world.tunnel("hq-gw-a").large_loss = 1.0
    took = world.run_until_moved(60)
    assert 29 < took < 32
    assert world.moved() == ONLY_HQ_OF_A
    assert reasons(world) == {"tunnel-mtu"}


def test_row_50_nothing_is_gained_if_the_other_path_is_no_better() -> None:
    world = play()
    for name in ("hq-gw-a", "hq-gw-b"):
        world.tunnel(name).large_loss = 1.0
    assert world.run(60).swaps == []


def test_row_8_tunnels_that_are_silent_for_400_ms_are_nothing() -> None:
    world = play(routing="static")
    for _ in range(10):
        one = world.tunnel("hq-gw-a")
        one.probe.works = one.target.works = False
        world.run(0.4)
        one.mend()
        world.run(2)
    assert world.swaps == []
    assert world.notes == []


def test_row_64_one_sites_tunnel_fails_while_the_other_is_being_failed_back() -> None:
    world = play(routing="static")
    world.tunnel("plant-gw-a").cut()
    world.run(5)
    world.tunnel("plant-gw-a").mend()
    world.run(59)
    assert world.carrying()["zone-a plant"] == "gw-b"
    world.tunnel("hq-gw-a").cut()
    world.run(5)
    assert world.carrying() == {
        "zone-a hq": "gw-b", "zone-a plant": "gw-a", "zone-b hq": "gw-b", "zone-b plant": "gw-b",
    }  # fmt: skip
    world.tunnel("hq-gw-a").mend()
    world.run(1).rest(70)
    assert world.at_home()


def test_a_restarted_agent_without_history_moves_nothing() -> None:
    world = play()
    for tunnel in world.gateways["gw-a"].tunnels.values():
        for probe in (tunnel.probe, tunnel.target):
            probe.works, probe.answered_at, probe.watched_since = False, None, world.now
    world.run(0.4)
    for tunnel in world.gateways["gw-a"].tunnels.values():
        tunnel.mend()
    assert world.run(10).swaps == []
