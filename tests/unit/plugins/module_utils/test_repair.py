# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways that stay down are repaired by the policy: late, one at a time, a few times a day."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import decision, repair
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Pin,
    Repair,
    RepairMark,
    RepairResult,
    SwapResult,
    Verdict,
)

from .scenario import WALL, Play, play


def broken(name: str = "gw-a", letters: str = "ab", repair: str = "restart", state: str = "running") -> Play:
    """A world in which a gateway has just fallen silent and its routes have left it."""
    world = play(letters, repair=repair)
    fail(world, name, state)
    return world.run(2)


def fail(world: Play, name: str, state: str = "running") -> None:
    world.gateways[name].power_off()
    if state != "running":
        world.change_instance(name, state=state)


def rungs(world: Play, name: str | None = None) -> list[str]:
    """The calls ordered so far; ``+`` marks those that begin a step."""
    found = [one for _at, one in world.repairs if name in (None, one.gateway)]
    return [one.rung + ("+" if one.mark is not None else "") for one in found]


def restarted(world: Play) -> Play:
    """A fresh monitor, which knows nothing; the gateways that work are heard by it."""
    world.state = decision.start(world.plan, world.now)
    for gateway in world.gateways.values():
        gateway.heard = gateway.heartbeat.works
        for probe in (gateway.heartbeat, gateway.icmp):
            probe.watched_since = world.now
            probe.answered_at = probe.answered_at if probe.works else None
    return world.run(2)


# --- When ---------------------------------------------------------------------------------------------------


def test_row_10_a_gateway_that_somebody_stopped_is_started_after_two_minutes() -> None:
    world = broken(state="stopped")
    assert world.carrying()["zone-a hq"] == "gw-b"
    assert rungs(world.rest(117)) == []
    assert rungs(world.rest(5)) == ["start+"]
    one = world.repairs[0][1]
    assert (one.instance_id, one.eni_id, one.reason) == ("i-a", "eni-a", "gateway-stopped")
    assert one.mark is not None and one.mark.steps_wall == (float(ceil(WALL + world.repairs[0][0])),)
    world.rest(3)
    assert world.told("repair-under-way", "gw-a") and world.told("repair-accepted", "gw-a")
    world.change_instance("gw-a", state="running")
    world.gateways["gw-a"].power_on()
    world.run(5).rest(80)
    assert world.told("repair-under-way", "gw-a", resolved=True)
    assert world.at_home(), "routes went back after the hold-down"
    assert rungs(world) == ["start+"]


def test_nothing_is_repaired_without_a_policy() -> None:
    world = broken(repair="none", state="stopped").rest(2000)
    assert rungs(world) == []
    assert world.state.repairs == decision.start(world.plan, 0).repairs


def test_7_two_minutes_without_a_break_an_answer_in_between_begins_them_anew() -> None:
    world = broken()
    world.rest(100)
    world.gateways["gw-a"].power_on()
    world.run(1)
    world.gateways["gw-a"].power_off()
    assert rungs(world.run(2).rest(100)) == []
    assert rungs(world.rest(25)) == ["reboot+"]


def test_7_what_only_the_monitor_finds_down_is_not_repaired() -> None:
    world = broken()
    for gateway in world.gateways.values():
        gateway.peer_heard_at = None  # the others have never heard it, since they run
    world.rest(600)
    assert rungs(world) == []
    assert "only the monitor" in world.state.repairs.waiting["gw-a"]
    world.change_instance("gw-a", instance_status="impaired")
    assert rungs(world.rest(5)) == ["reboot+"], "row 13: EC2's checks are the second source"


def test_7_a_peer_that_heard_it_a_minute_ago_contradicts() -> None:
    world = broken(state="stopped")
    world.rest(100)
    world.gateways["gw-a"].peer_heard_at = world.now
    assert rungs(world.rest(100)) == []
    assert rungs(world.rest(30)) == ["start+"]


def test_7_a_peer_that_heard_it_contradicts_also_when_it_goes_down_itself() -> None:
    """Simulation's seed 22968: the repair was ordered, and only the promise itself stopped it."""
    world = play(repair="restart")
    first, second = world.gateways["gw-a"], world.gateways["gw-b"]
    first.stopping = "host"
    world.run(0.3)
    first.heartbeat.works = first.icmp.works = False
    world.change_instance("gw-a", state="stopped")
    world.run(3)  # its neighbour hears it a little longer
    first.peers_hear = False
    world.rest(115)
    second.stopping = "host"
    world.run(3)
    assert world.told("invariant-violated") == [] and rungs(world) == []
    assert rungs(world.run(4)) == ["start+"]


@pytest.mark.parametrize(("lost", "counts"), [(11, False), (4, False), (3, True), (0, True)])
def test_7_a_witness_that_was_cut_off_itself_counts_once_its_answers_are_back(lost: int, counts: bool) -> None:
    """Simulation's seed 83907: the first word of a gateway that had heard nobody for a minute had another rebooted."""
    world = broken().rest(130)
    evidence = world.evidence()
    seen = evidence.gateways["gw-b"]
    back = replace(seen, heartbeat=replace(seen.heartbeat, sent=12, lost=lost))
    evidence = replace(evidence, gateways={**evidence.gateways, "gw-b": back})
    found = repair.second_source("gw-a", evidence, world.plan.timing)
    assert found.startswith("gw-b has not heard it for ") if counts else found == ""


def test_7_a_repair_that_is_due_does_not_delay_a_failover() -> None:
    world = broken(letters="abc", state="stopped").rest(117)
    fail(world, "gw-c")
    assert world.run_until_moved(3) <= world.plan.timing.window + 0.11
    assert rungs(world.rest(10)) == ["start+"]


@pytest.mark.parametrize(
    "matter", ["site", "drill", "paused", "gateway paused", "isolated", "sick", "skewed", "unread"]
)
def test_nothing_is_repaired_while_there_is_reason_not_to(matter: str) -> None:
    world = broken(state="stopped").rest(100)
    until = WALL + world.now + 1000
    if matter == "site":
        world = broken("gw-c", letters="abc", state="stopped").rest(100)
        for name in ("hq-gw-a", "hq-gw-b", "hq-gw-c"):
            world.tunnel(name).cut()
    elif matter == "drill":
        world.change_view(drill="drill-1")
    elif matter == "paused":
        world.change_view(paused_deployment_until_wall=until)
    elif matter == "gateway paused":
        world.change_view(paused_gateways={"gw-a": until})
    elif matter == "skewed":
        world.clock_skew = 40.0
    elif matter == "unread":
        world.frozen = True
    for _ in range(100):
        if matter == "isolated":
            world.gateways["gw-b"].heartbeat.works = world.gateways["gw-b"].icmp.works = False
        world.lag = 1.0 if matter == "sick" else 0.0
        world.rest(1)
    assert rungs(world) == []
    if matter == "site":
        for name in ("hq-gw-a", "hq-gw-b"):
            world.tunnel(name).mend()
    world.change_view(drill=None, paused_deployment_until_wall=None, paused_gateways={})
    world.clock_skew, world.frozen = 0.0, False
    world.gateways["gw-b"].power_on()
    world.run(2).rest(125)
    assert rungs(world) == ["start+"]


def test_10_a_monitor_that_has_just_started_waits_the_full_time() -> None:
    world = broken(state="stopped").rest(110)
    restarted(world)
    assert rungs(world.rest(110)) == []
    assert rungs(world.rest(20)) == ["start+"]


# --- Whom ---------------------------------------------------------------------------------------------------


def test_a_repair_that_waits_for_a_quarter_of_an_hour_is_told_and_why() -> None:
    world = broken()
    world.change_view(paused_deployment_until_wall=WALL + 1e6)
    world.rest(900)
    assert world.told("repair-waits") == []
    world.rest(150)
    (told,) = world.told("repair-waits", "gw-a")
    assert "paused" in told.text
    world.change_view(paused_deployment_until_wall=None)
    world.rest(30)
    assert rungs(world) == ["reboot+"] and world.told("repair-waits", "gw-a", resolved=True)


def test_5_a_gateway_is_not_repaired_while_a_pin_holds_routes_at_it() -> None:
    world = play(repair="restart")
    world.change_view(table_pins={"rtb-a": Pin("gw-a", WALL + 1e6)})
    fail(world, "gw-a")
    world.run(2).rest(600)
    assert rungs(world) == []
    assert "rtb-a" in world.state.repairs.waiting["gw-a"]
    world.change_view(table_pins={})
    assert rungs(world.run(2).rest(10)) == ["reboot+"]
    assert world.carrying()["zone-a hq"] == "gw-b"


def test_5_a_gateway_is_not_repaired_while_its_routes_cannot_be_moved() -> None:
    world = play(repair="restart")
    world.answer = lambda swap: SwapResult(swap, accepted=False, error="InternalError")
    fail(world, "gw-a")
    world.run(2).rest(400)
    assert rungs(world) == []
    world.answer = world._obey
    assert rungs(world.rest(60)) == ["reboot+"]


def test_5_routes_that_ec2_still_shows_at_it_count_whatever_was_accepted() -> None:
    world = play(repair="restart")
    world.answer = lambda swap: SwapResult(swap, accepted=True)  # and no read ever shows it
    fail(world, "gw-a")
    assert rungs(world.run(2).rest(300)) == []


def test_5_and_row_25_with_none_to_carry_one_at_a_time_is_repaired_and_routes_stay() -> None:
    world = play(repair="restart")
    for name in ("gw-a", "gw-b"):
        fail(world, name, "stopped")
    world.run(2).rest(500)
    assert rungs(world) == ["start+"]
    first = world.repairs[0][1].gateway
    assert world.swaps == []
    world.rest(240)
    assert len(rungs(world)) == 2 and world.repairs[1][1].gateway != first, "the first has had its ten minutes"
    assert world.repairs[1][0] - world.repairs[0][0] >= 600


def test_6_the_second_gateway_is_repaired_at_once_when_the_first_works_again() -> None:
    world = play("abc", repair="restart")
    for name in ("gw-a", "gw-b"):
        fail(world, name, "stopped")
    world.run(2).rest(130)
    assert [one.gateway for _at, one in world.repairs] == ["gw-a"]
    world.change_instance("gw-a", state="running")
    world.gateways["gw-a"].power_on()
    world.run(2).rest(5)
    assert [one.gateway for _at, one in world.repairs] == ["gw-a", "gw-b"]


def test_6_a_gateway_that_answers_just_before_its_step_ends_it_keeps_the_others_waiting() -> None:
    world = play("abc", repair="restart")
    for name in ("gw-a", "gw-b"):
        fail(world, name)
    world.run(2).rest(118)
    world.run(2)
    assert [one.gateway for _at, one in world.repairs] == ["gw-a"]
    world.gateways["gw-a"].power_on()  # by itself, before EC2 has begun with the reboot
    world.run(2)
    assert world.state.verdicts.gateways["gw-a"].verdict is Verdict.UP
    world.rest(50)
    assert [one.gateway for _at, one in world.repairs] == ["gw-a"]
    world.rest(15)
    assert [one.gateway for _at, one in world.repairs] == ["gw-a", "gw-b"], "it has survived"


def test_6_a_gateway_that_answers_just_before_its_power_is_cut_keeps_the_others_waiting() -> None:
    world = broken(letters="abc").rest(725)
    assert rungs(world) == ["reboot+", "stop+"]
    world.change_instance("gw-a", state="stopping")
    fail(world, "gw-b")
    world.run(2).rest(110)
    world.run(15)
    assert rungs(world, "gw-a")[-1] == "power-cut"
    world.gateways["gw-a"].power_on()
    world.run(5).rest(45)
    assert rungs(world, "gw-b") == []
    world.rest(20)
    assert rungs(world, "gw-b") == ["reboot+"]


def test_6_a_step_goes_on_although_another_gateway_fails_again_soon_after_its_repair() -> None:
    world = broken(letters="abc").rest(125)
    assert rungs(world) == ["reboot+"]
    world.gateways["gw-a"].power_on()
    world.run(2)
    fail(world, "gw-b", "stopping")
    world.run(2).rest(125)
    assert rungs(world, "gw-b") == ["power-cut+"]
    fail(world, "gw-a")
    world.change_instance("gw-b", state="stopped")
    world.run(2).rest(65)
    assert rungs(world, "gw-b") == ["power-cut+", "start"]
    assert rungs(world, "gw-a") == ["reboot+"]


# --- How, and how often -------------------------------------------------------------------------------------


def test_the_ladder_reboots_then_stops_and_starts_and_ends_at_a_person() -> None:
    world = broken().rest(125)
    assert rungs(world) == ["reboot+"]
    assert rungs(world.rest(580)) == ["reboot+"], "a step has ten minutes"
    assert rungs(world.rest(30)) == ["reboot+", "stop+"]
    world.change_instance("gw-a", state="stopping")
    world.rest(30)
    world.change_instance("gw-a", state="stopped")
    assert rungs(world.rest(61)) == ["reboot+", "stop+", "start"], "the start is part of the step"
    world.change_instance("gw-a", state="running")
    world.rest(620)
    assert rungs(world) == ["reboot+", "stop+", "start", "stop+"]
    world.change_instance("gw-a", state="stopped")
    world.rest(90)
    world.change_instance("gw-a", state="running")
    assert world.told("repair-needs-person") == []
    world.rest(3 * 3600)
    assert [rung for rung in rungs(world) if rung.endswith("+")] == ["reboot+", "stop+", "stop+"]
    assert len(world.told("repair-needs-person", "gw-a")) == 1
    times = [at for at, one in world.repairs if one.mark is not None]
    assert all(later - earlier >= 600 for earlier, later in pairwise(times))


def test_6_the_budget_is_there_again_after_a_day() -> None:
    world = broken().rest(2500)
    world.rest(60)
    world.change_instance("gw-a", state="stopped")
    world.rest(3600)
    used = len([rung for rung in rungs(world) if rung.endswith("+")])
    assert used == 3
    began = world.repairs[0][0]
    while world.now - began < 86400 - 660:
        world.now += 600
        world._tick()
    assert len([rung for rung in rungs(world) if rung.endswith("+")]) == 3
    world.rest(1000)
    assert len([rung for rung in rungs(world) if rung.endswith("+")]) == 4


def test_policy_reboot_reboots_and_leaves_the_rest_to_a_person() -> None:
    world = broken(repair="reboot").rest(2000)
    assert set(rungs(world)) == {"reboot+"}
    stopped = broken(repair="reboot", state="stopped").rest(300)
    assert rungs(stopped) == []
    (told,) = stopped.told("repair-needs-person", "gw-a")
    assert "only allows a reboot" in told.text


@pytest.mark.parametrize("state", ["terminated", "shutting-down", "absent"])
def test_row_11_a_gateway_that_is_gone_is_a_persons_work(state: str) -> None:
    world = broken()
    world.change_instance("gw-a", state=state, instance_id=None if state == "absent" else "i-a")
    world.rest(300)
    assert rungs(world) == []
    assert "deploy playbook" in world.told("repair-needs-person", "gw-a")[0].text


def test_row_57_a_stop_that_hangs_is_cut_and_a_lack_of_capacity_is_asked_again() -> None:
    world = broken().rest(125).rest(610)
    assert rungs(world) == ["reboot+", "stop+"]
    world.change_instance("gw-a", state="stopping")
    assert rungs(world.rest(110))[2:] == []
    assert rungs(world.rest(20))[2:] == ["power-cut"]
    world.change_instance("gw-a", state="stopped")
    refused = "InsufficientInstanceCapacity"
    world.obey_repair = lambda one: RepairResult(one, marked=True, accepted=False, error=refused)
    world.rest(200)
    assert rungs(world)[3:] == ["start"] * len(rungs(world)[3:]) and 2 <= len(rungs(world)[3:]) <= 4
    assert "InsufficientInstanceCapacity" in world.told("repair-failed", "gw-a")[0].text


def test_a_stop_of_somebody_elses_that_hangs_is_cut_and_started() -> None:
    world = broken(state="stopping")
    assert rungs(world.rest(117)) == []
    assert rungs(world.rest(10)) == ["power-cut+"]
    world.change_instance("gw-a", state="stopped")
    assert rungs(world.rest(61)) == ["power-cut+", "start"]


# --- What survives ------------------------------------------------------------------------------------------


def test_9_a_monitor_that_crashed_after_the_stop_starts_the_instance_without_a_new_step() -> None:
    world = broken().rest(125).rest(610)
    assert rungs(world) == ["reboot+", "stop+"]
    world.change_instance("gw-a", state="stopped")
    restarted(world)
    assert rungs(world.rest(130)) == ["reboot+", "stop+", "start"]
    assert world.view.repairs["gw-a"].steps_wall == tuple(float(ceil(WALL + at)) for at, _one in world.repairs[:2])


def test_6_a_restart_does_not_refill_the_budget() -> None:
    world = broken().rest(200)
    for _ in range(12):
        restarted(world)
        world.rest(250)
    assert len([rung for rung in rungs(world) if rung.endswith("+")]) == 3


def test_6_a_clock_that_jumps_ahead_does_not_refill_the_budget_either() -> None:
    world = broken().rest(125)
    world.wall_skew = 3 * 86400.0
    assert rungs(world.rest(590)) == ["reboot+"]
    for _ in range(5):
        world.wall_skew += 3 * 86400.0
        world.rest(700)
    assert len([rung for rung in rungs(world) if rung.endswith("+")]) == 3


def test_6_a_step_in_the_future_delays() -> None:
    world = broken(state="stopped")
    world.change_view(repairs={"gw-a": RepairMark((WALL + world.now + 3000.0,), "start")})
    world.rest(2000)
    assert [rung for rung in rungs(world) if rung.endswith("+")] == []


def test_6_a_tag_that_cannot_be_read_stops_repairs_until_a_person_has_removed_it() -> None:
    world = broken(state="stopped")
    world.change_view(repairs={"gw-a": RepairMark((), "", readable=False)})
    world.rest(300)
    assert rungs(world) == []
    assert "cannot be read" in world.told("repair-needs-person", "gw-a")[0].text
    world.change_view(repairs={})
    assert rungs(world.rest(10)) == ["start+"]


def test_a_tag_that_a_person_removed_gives_the_steps_back() -> None:
    world = broken(repair="reboot").rest(3000)
    assert len(rungs(world)) == 3 and world.told("repair-needs-person", "gw-a")
    world.change_view(repairs={})
    assert len(rungs(world.rest(30))) == 4


def test_a_step_whose_tag_was_not_written_does_not_count_and_is_tried_again() -> None:
    world = broken(state="stopped")
    world.obey_repair = lambda one: RepairResult(one, marked=False, accepted=False, error="UnauthorizedOperation")
    world.rest(300)
    assert 2 <= len(rungs(world)) <= 4
    assert set(rungs(world)) == {"start+"}
    assert "tag could not be written (UnauthorizedOperation)" in world.told("repair-failed", "gw-a")[0].text
    assert world.told("repair-under-way") == []
    world.obey_repair = world._take_repair
    assert len(world.view.repairs) == 0
    world.rest(61)
    assert len(world.view.repairs["gw-a"].steps_wall) == 1


def test_9_a_step_whose_tag_was_perhaps_never_written_makes_no_call_without_one() -> None:
    world = play("abc", repair="restart")
    for name in ("gw-a", "gw-b"):
        fail(world, name, "stopped")
    world.obey_repair = lambda one: RepairResult(one, marked=None, accepted=False, error="InternalError")
    world.run(2).rest(120)
    assert [(one.gateway, one.mark is not None) for _at, one in world.repairs] == [("gw-a", True)]
    world.obey_repair = world._take_repair
    world.rest(75)
    assert [(one.gateway, one.mark is not None) for _at, one in world.repairs] == [("gw-a", True)] * 2
    assert world.repairs[1][0] - world.repairs[0][0] > 60, "a late read has shown that it was not written"
    world.rest(120)
    assert {one.gateway for _at, one in world.repairs} == {"gw-a"}, "gw-b waits as for any other repair"


def test_9_a_step_whose_tag_was_written_after_all_goes_on() -> None:
    def unsure(one: Repair) -> RepairResult:
        return replace(world._take_repair(one), marked=None, accepted=False, error="timeout")

    world = broken(state="stopped")
    world.obey_repair = unsure
    world.rest(125)
    world.obey_repair = world._take_repair
    world.rest(65)
    assert rungs(world) == ["start+", "start"]
    assert len(world.view.repairs["gw-a"].steps_wall) == 1


def test_6_a_step_whose_outcome_is_not_known_counts() -> None:
    world = broken(state="running")
    world.obey_repair = lambda one: None  # nothing is ever heard of it
    world.rest(130)
    mark = world.repairs[0][1].mark
    assert mark is not None
    world.change_view(repairs={"gw-a": mark})
    assert rungs(world.rest(570)) == ["reboot+"]
    assert "timeout" in world.told("repair-failed", "gw-a")[0].text


def test_a_stale_read_without_the_tag_does_not_bring_a_second_step() -> None:
    world = broken(state="running")

    def take(one: Repair) -> RepairResult:
        return RepairResult(one, marked=True, accepted=True)  # the reads go on showing no tag

    world.obey_repair = take
    world.rest(160)
    assert rungs(world) == ["reboot+"]


def test_a_policy_that_is_taken_back_and_given_again_counts_from_then_on() -> None:
    world = broken(state="stopped").rest(60)
    world.state = decision.reconfigured(world.state, replace(world.plan, repair="none"))
    assert rungs(world.rest(300)) == []
    world.state = decision.reconfigured(world.state, world.plan)
    assert rungs(world.rest(115)) == []
    assert rungs(world.rest(10)) == ["start+"]


# --- Replacement --------------------------------------------------------------------------------------------


def gone(world: Play, name: str = "gw-a", *, free: bool = True) -> None:
    """EC2 shows a gateway's instance no longer; ``free``: and its interface has been let go of."""
    world.change_instance(name, state="absent", instance_id=None, eni_free=free)


def restarted_in_vain() -> Play:
    """A gateway that reboot, stop and start have not helped, at the moment of the next step."""
    world = broken(repair="replace").rest(125).rest(610)
    world.change_instance("gw-a", state="stopped")
    world.rest(61)
    world.change_instance("gw-a", state="running")
    assert rungs(world.rest(500)) == ["reboot+", "stop+", "start"]
    return world


def test_row_11_a_gateway_that_somebody_terminated_is_replaced() -> None:
    world = broken(repair="replace")
    world.change_instance("gw-a", state="shutting-down")
    world.run(2)
    assert world.carrying()["zone-a hq"] == "gw-b"
    gone(world)
    assert rungs(world.rest(115)) == []
    assert rungs(world.rest(5)) == ["launch+"]
    at, one = world.repairs[0]
    begun = float(ceil(WALL + at))
    assert (one.instance_id, one.eni_id, one.template) == ("", "eni-a", "lab-gw-a")
    assert one.token == f"eni-a-{begun:.0f}" and one.mark == RepairMark((begun,), "launch")
    world.change_instance("gw-a", state="running", instance_id="i-a2", eni_free=False)
    world.gateways["gw-a"].power_on()
    world.run(5).rest(80)
    assert world.at_home() and rungs(world) == ["launch+"]


def test_a_gateway_that_was_gone_before_the_monitor_started_is_down_on_ec2s_word() -> None:
    world = broken(repair="replace")
    gone(world)
    restarted(world)
    for gateway in world.gateways.values():
        gateway.peer_heard_at = None  # nor has anybody else ever heard it
    assert rungs(world.rest(125)) == ["launch+"]


def test_an_instance_that_only_lost_its_tags_is_not_replaced() -> None:
    world = broken(repair="replace")
    gone(world, free=False)
    assert rungs(world.rest(1500)) == []
    assert "not free" in world.told("repair-needs-person", "gw-a")[0].text


def test_the_ladder_replaces_after_stop_and_start_and_the_launch_is_part_of_the_step() -> None:
    world = restarted_in_vain()
    assert rungs(world.rest(120))[3:] == ["terminate+"]
    begun = max(world.repairs[-1][1].mark.steps_wall)  # type: ignore[union-attr]
    world.change_instance("gw-a", state="shutting-down")
    assert rungs(world.rest(70))[4:] == []
    assert "not free" in world.state.repairs.waiting["gw-a"]
    gone(world)
    assert rungs(world.rest(5))[4:] == ["launch"]
    assert world.repairs[-1][1].token == f"eni-a-{begun:.0f}"
    world.change_instance("gw-a", state="running", instance_id="i-a2", eni_free=False)
    world.gateways["gw-a"].power_on()
    world.run(5).rest(80)
    assert world.at_home()
    assert rungs(world) == ["reboot+", "stop+", "start", "terminate+", "launch"]


def test_a_stop_whose_tag_was_perhaps_never_written_is_not_followed_by_a_replacement() -> None:
    world = broken(repair="replace").rest(125)
    world.obey_repair = lambda one: RepairResult(one, marked=None, accepted=False, error="timeout")
    assert rungs(world.rest(610)) == ["reboot+", "stop+"]
    world.obey_repair = world._take_repair
    assert rungs(world.rest(610)) == ["reboot+", "stop+", "stop+"]


def test_9_a_monitor_that_crashed_after_the_terminate_launches_with_the_same_token() -> None:
    world = restarted_in_vain().rest(120)
    gone(world)
    world.rest(2)
    restarted(world)
    world.rest(130)
    launches = [one for _at, one in world.repairs if one.rung == "launch"]
    begun = max(world.view.repairs["gw-a"].steps_wall)
    assert {one.token for one in launches} == {f"eni-a-{begun:.0f}"}
    assert [one.mark for one in launches] == [None] * len(launches)


def test_row_57_a_launch_without_capacity_is_asked_again_within_the_budget_and_told() -> None:
    world = broken(repair="replace")
    gone(world)

    def refuse(one: Repair) -> RepairResult:
        world._take_repair(one)  # the tag is written
        return RepairResult(one, marked=True, accepted=False, error="InsufficientInstanceCapacity")

    world.obey_repair = refuse
    world.rest(115 + 500)
    assert rungs(world)[0] == "launch+" and 5 <= len(rungs(world)[1:]) <= 9 and set(rungs(world)[1:]) == {"launch"}
    assert "InsufficientInstanceCapacity" in world.told("repair-failed", "gw-a")[0].text
    world.rest(3600)
    assert rungs(world).count("launch+") == 3
    assert "3 steps" in world.told("repair-needs-person", "gw-a")[0].text
    tokens = [one.token for _at, one in world.repairs]
    assert len(set(tokens)) == 3, "one for each step"
    count = len(tokens)
    assert len(rungs(world.rest(7200))) == count, "a person's work"


def test_what_needs_a_person_is_not_over_because_the_monitor_was_late_for_a_moment() -> None:
    world = broken().rest(3 * 3600)
    assert len(world.told("repair-needs-person", "gw-a")) == 1
    world.lag = 1.0
    world.run(5)
    assert world.told("monitor-sick"), "its clocks are started afresh"
    world.rest(200)
    assert len(world.told("repair-needs-person", "gw-a")) == 1
    assert not world.told("repair-needs-person", "gw-a", resolved=True)
    world.gateways["gw-a"].power_on()
    world.run(10)
    assert world.told("repair-needs-person", "gw-a", resolved=True)


def test_row_57_an_interface_that_does_not_become_free_is_waited_for_and_told() -> None:
    world = restarted_in_vain().rest(120)
    gone(world, free=False)
    assert rungs(world.rest(400))[4:] == []
    assert world.told("repair-needs-person", "gw-a") == []
    world.rest(300)
    assert "3 steps" in world.told("repair-needs-person", "gw-a")[0].text
    assert world.carrying()["zone-a hq"] == "gw-b", "routes do not wait for it"


def test_a_launch_that_was_taken_is_not_asked_again_while_reads_are_stale() -> None:
    world = broken(repair="replace")
    gone(world)
    assert rungs(world.rest(600)) == ["launch+"]


def test_an_interface_that_would_die_with_the_instance_keeps_it_from_being_replaced() -> None:
    world = restarted_in_vain()
    world.change_instance("gw-a", eni_dies=True)
    assert rungs(world.rest(300))[3:] == []
    assert "deleted" in world.told("repair-needs-person", "gw-a")[0].text


def test_a_stop_that_hangs_after_its_power_was_cut_is_replaced() -> None:
    world = broken(repair="replace", state="stopping")
    world.rest(130)
    assert rungs(world) == ["power-cut+"]
    assert rungs(world.rest(610)) == ["power-cut+", "terminate+"]


def test_policy_restart_neither_terminates_nor_launches() -> None:
    world = broken(repair="restart").rest(2500)
    assert {"terminate+", "launch+"} & set(rungs(world)) == set()
