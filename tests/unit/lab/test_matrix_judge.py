# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows are judged by what was recorded: too much done counts as much as too little."""

from __future__ import annotations

from typing import Any

import pytest

from lab.matrix.judge import judge
from lab.matrix.model import Expect
from lab.matrix.watch import counted, grown
from tests.unit.lab.matrix_world import HQ, OTHER, PLANT, change, event, observation

NOTHING = Expect()
AWAY = Expect(leaves="gw-a")
BOTH = [*change(HQ, "gw-a", "gw-b", "gw-a"), *change(PLANT, "gw-a", "gw-b", "gw-a")]


def repair(action: str, error: str = "") -> dict[str, Any]:
    return {"wall": 1.0, "action": action, "gateway": "gw-a", "error": error}


def only(expect: Expect, **more: Any) -> str:
    """The one thing that was not as expected."""
    (problem,) = judge(expect, observation(**more))
    return problem


def test_nothing_is_as_expected_where_nothing_is_to_happen() -> None:
    assert judge(NOTHING, observation()) == []


def test_any_swap_is_too_much_where_nothing_is_to_happen_also_one_that_was_taken_back() -> None:
    assert only(NOTHING, changes=change(HQ, "gw-a", "gw-b", "gw-a")) == (
        f"The monitor changed {HQ}, which is not its business here."
    )


def test_what_a_person_changes_is_not_held_against_the_monitor() -> None:
    assert judge(NOTHING, observation(changes=change(HQ, "gw-a", "eni-1", by="a person"))) == []


def test_every_route_of_the_gateway_leaves_and_comes_home() -> None:
    assert judge(AWAY, observation(changes=BOTH)) == []
    assert only(AWAY, changes=change(HQ, "gw-a", "gw-b", "gw-a")) == f"{PLANT} did not leave gw-a."


def test_a_route_of_another_gateway_or_site_stays() -> None:
    assert OTHER in only(AWAY, changes=[*BOTH, *change(OTHER, "gw-b", "gw-a", "gw-b")])
    assert PLANT in only(Expect(leaves="gw-a/hq"), changes=BOTH)


def test_a_route_that_may_leave_need_not() -> None:
    may = Expect(may_leave="gw-a")
    assert judge(may, observation()) == judge(may, observation(changes=BOTH)) == []
    assert OTHER in only(may, changes=change(OTHER, "gw-b", "gw-a", "gw-b"))


def test_a_route_that_flips_back_and_forth_is_seen() -> None:
    flipping = [*change(HQ, "gw-a", "gw-b", "gw-a", "gw-b", "gw-a"), *BOTH[2:]]
    assert only(AWAY, changes=flipping) == f"{HQ} was moved 4 times: gw-a -> gw-b -> gw-a -> gw-b -> gw-a."
    assert judge(Expect(leaves="gw-a", most_changes=4), observation(changes=flipping)) == []


@pytest.mark.parametrize("way", [("gw-a", "gw-b"), ("gw-b", "gw-a"), ("gw-a", "eni-1")])
def test_a_route_that_does_not_come_home_is_seen(way: tuple[str, ...]) -> None:
    assert only(AWAY, changes=[*change(HQ, *way), *BOTH[2:]]).startswith(f"{HQ} did not go from home and back")


def test_rows_in_which_people_move_routes_are_judged_by_their_facts() -> None:
    people = Expect(people_move=True)
    assert judge(people, observation(changes=change(HQ, "gw-a", "gw-b"))) == []
    assert only(people, facts=[{"text": "it stays", "true": False}, {"text": "it goes", "true": True}]) == (
        "Not so: it stays."
    )


def test_repairs_are_those_expected_in_their_order_and_no_others() -> None:
    assert only(NOTHING, repairs=[repair("RebootInstances")]) == "Repairs were RebootInstances, not none."
    expect = Expect(repairs=("StopInstances", "StartInstances"))
    assert only(expect) == "Repairs were none, not StopInstances, StartInstances."
    assert only(expect, repairs=[repair("StartInstances"), repair("StopInstances")])
    made = [repair("StopInstances"), repair("StartInstances", "IncorrectInstanceState"), repair("StartInstances")]
    assert judge(expect, observation(repairs=made)) == []


def test_what_must_be_told_is_told_while_it_lasts() -> None:
    expect = Expect(told=("site-down",))
    assert judge(expect, observation(events=[event("site-down")])) == []
    assert only(expect) == only(expect, events=[event("site-down", resolved=True)]) == "site-down was not told."


def test_what_must_not_be_told_and_what_is_told_twice_of_one_subject() -> None:
    assert only(Expect(untold=("failover",)), events=[event("failover")]) == "failover was told."
    once = Expect(once=("site-down",))
    assert judge(once, observation(events=[event("site-down", "hq"), event("site-down", "plant")])) == []
    assert only(once, events=[event("site-down", "hq")] * 2) == "site-down of hq was told 2 times."


def test_a_broken_promise_is_never_as_expected() -> None:
    assert only(NOTHING, events=[event("invariant-violated")]) == "A promise was broken: invariant-violated."


def test_packets_have_a_limit_where_the_design_gives_one() -> None:
    assert judge(NOTHING, observation(outage_ms=60_000.0)) == []
    expect = Expect(outage_ms=1200.0)
    assert judge(expect, observation(outage_ms=1200.0)) == []
    assert only(expect, outage_ms=1210.0) == "The longest outage was 1210 ms, more than 1200 ms."
    assert only(NOTHING, sent=0) == "No packet of the application hosts was counted."


@pytest.mark.parametrize("figure", [None, 1])
def test_a_count_that_is_not_known_is_not_nought(figure: int | None) -> None:
    assert only(Expect(no_flap=True), flaps=figure).startswith("BGP sessions ended")
    assert only(Expect(encrypted=True), plaintext=figure).startswith("On the internet")
    assert judge(Expect(no_flap=True, encrypted=True), observation(flaps=0, plaintext=0)) == []


def test_tries_have_a_bound() -> None:
    assert only(Expect(most_tries=12), tries=13) == "ReplaceRoute was called 13 times, more than 12."


def test_what_went_wrong_in_a_row_or_after_it_is_said() -> None:
    seen = observation(act_problem="Not within 20 s: it left.", recovery_problem="Not within 180 s: all is well.")
    assert judge(NOTHING, seen) == ["Not within 20 s: it left.", "Not within 180 s: all is well."]


# --- EC2's record -------------------------------------------------------------------------------------------

HOSTS = {"i-1": "mon-a", "i-2": "gw-a"}
OWNERS = {"eni-a": "gw-a", "eni-b": "gw-b"}


def call(action: str, wall: float = 5.0, caller: str = "i-1", error: str = "", **more: Any) -> dict[str, Any]:
    return {
        "wall": wall, "action": action, "caller": caller, "error": error, "resources": ["rtb-1"],
        "destination": "192.168.10.0/24", "before": "eni-a", "after": "eni-b", **more,
    }  # fmt: skip


def count(*calls: dict[str, Any], fired: Any = ()) -> dict[str, Any]:
    return counted(calls, fired, hosts=HOSTS, owners=OWNERS, injected=1.0, healed=10.0)


def test_a_change_is_what_ec2_did_and_by_whom() -> None:
    found = count(call("ReplaceRoute"), call("ReplaceRoute", caller="lab"), call("ReplaceRoute", error="InternalError"))
    assert [(one["route"], one["from"], one["to"], one["by"]) for one in found["changes"]] == [
        (HQ, "gw-a", "gw-b", "monitor"),
        (HQ, "gw-a", "gw-b", "a person"),
    ]


def test_a_call_that_says_what_is_so_already_is_a_try_and_no_change() -> None:
    found = count(call("ReplaceRoute", before="eni-b"), call("ReplaceRoute", wall=11.0), call("ReplaceRoute", wall=0.5))
    assert (len(found["changes"]), found["tries"]) == (1, 1)  # one after the healing, one before the injection


def test_tries_that_the_proxy_refused_count_and_those_that_it_let_through_count_once() -> None:
    fired = [
        {"ts": 2.0, "operation": "ReplaceRoute", "action": action}
        for action in ("latency:150ms", "latency:150ms error:InternalError", "timeout:3000ms", "reset", "abort")
    ]
    found = count(call("ReplaceRoute"), call("ReplaceRoute"), fired=fired)
    assert found["tries"] == 5
    assert found["refused"] == {"by the proxy": 3}


def test_repairs_are_the_monitors_calls_on_instances() -> None:
    found = count(
        call("StopInstances", resources=["i-2"]),
        call("StopInstances", resources=["i-2"], caller="lab"),
        call("DescribeInstances"),
    )
    assert [(one["action"], one["gateway"]) for one in found["repairs"]] == [("StopInstances", "gw-a")]
    assert found["calls"] == {"StopInstances": 1, "DescribeInstances": 1}


def test_a_counter_that_began_anew_or_could_not_be_read_says_nothing() -> None:
    assert (grown(3, 5), grown(3, 3)) == (2, 0)
    assert grown(21, 0) is grown(None, 5) is grown(5, None) is None
