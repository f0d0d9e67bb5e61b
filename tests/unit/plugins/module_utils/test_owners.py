# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two monitors: who of them acts, when the other one does for it, and what nobody does. Promise 16."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import decision, invariants, owners, repair_promises
from ansible_collections.vpnha.aws.plugins.module_utils.errors import InvariantViolation
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Evidence,
    Monitor,
    RouteKey,
    StoreView,
    Swap,
    SwapResult,
    Verdict,
)
from ansible_collections.vpnha.aws.plugins.module_utils.state import Doubt

from .scenario import Play, deployment, with_managed

MON_A, MON_B = Monitor("mon-a", "zone-a", "10.20.0.20"), Monitor("mon-b", "zone-b", "10.20.1.20")
HQ_A = RouteKey("rtb-a", "192.168.10.0/24")
UNREAD = StoreView()
LEASED = StoreView(age=0.1, lease_age=0.5, holder="mon-a")  # and mon-b has never said anything


def two(repair: str = "none", **timing: float) -> Deployment:
    return replace(deployment(repair=repair, **{"hold_down": 5.0, **timing}), monitors=(MON_A, MON_B))


class Pair(Play):
    """What one of two monitors does; ``store`` is what the lease store says, as old at each step."""

    def __init__(self, monitor: str, store: StoreView, plan: Deployment | None = None) -> None:
        self.store = store
        super().__init__(plan or two(), settled=False)
        self.state = decision.start(self.plan, self.now, monitor=monitor)
        self.rest(20)

    def evidence(self) -> Evidence:
        return replace(super().evidence(), store=self.store)


def swaps_when_gw_a_dies(pair: Pair, seconds: float = 3.0) -> list[Swap]:
    pair.gateways["gw-a"].power_off()
    pair.run(seconds)
    return [swap for _at, swap in pair.swaps]


# --- who acts -------------------------------------------------------------------------------------------------------


def test_the_owner_of_a_zones_routes_is_the_monitor_in_another_zone_than_its_gateway() -> None:
    plan = two()
    assert [owners.owner_of(plan, zone) for zone in ("zone-a", "zone-b", "zone-c")] == ["mon-b", "mon-a", ""]
    together = replace(plan, monitors=(MON_A, replace(MON_B, zone="zone-a")))
    assert [owners.owner_of(together, zone) for zone in ("zone-a", "zone-b")] == ["", "mon-a"]


def test_a_managed_home_is_in_no_zone_so_the_first_monitor_owns_its_routes() -> None:
    plan = with_managed(two(), "zone-a")
    assert [owners.owner_of(plan, zone) for zone in ("zone-a", "zone-b")] == ["mon-a", "mon-a"]
    pair = Pair("mon-a", UNREAD, plan)
    pair.managed["hq"].works = False
    pair.witness = "down"
    pair.run(5)
    assert {swap.by_lease for _at, swap in pair.swaps} == {False}
    assert {swap.gateway for _at, swap in pair.swaps} <= {"gw-a", "gw-b"}
    other = Pair("mon-b", UNREAD, plan)
    other.managed["hq"].works = False
    other.witness = "down"
    assert other.run(5).swaps == []


def test_row_48_the_owner_fails_over_without_the_lease_store() -> None:
    ordered = swaps_when_gw_a_dies(Pair("mon-b", UNREAD))
    assert {(swap.key.table_id, swap.gateway, swap.by_lease) for swap in ordered} == {("rtb-a", "gw-b", False)}


def test_row_29_nobody_else_does() -> None:
    assert swaps_when_gw_a_dies(Pair("mon-a", UNREAD), 30.0) == []


def test_a_monitor_without_a_name_owns_nothing() -> None:
    assert swaps_when_gw_a_dies(Pair("", UNREAD), 30.0) == []


def test_the_holder_of_the_lease_acts_for_an_owner_that_is_silent() -> None:
    ordered = swaps_when_gw_a_dies(Pair("mon-a", LEASED))
    assert {(swap.key.table_id, swap.gateway, swap.by_lease) for swap in ordered} == {("rtb-a", "gw-b", True)}


def test_the_holder_leaves_it_to_an_owner_that_says_that_it_can_act() -> None:
    pair = Pair("mon-a", replace(LEASED, words={"mon-b": 2.9}))
    assert swaps_when_gw_a_dies(pair, 30.0) == []
    pair.store = replace(LEASED, words={"mon-b": 3.1})
    pair.run(1)
    assert pair.moved()


@pytest.mark.parametrize(("age", "acts"), [(4.0, True), (4.01, False), (6.0, False)])
def test_a_lease_needs_a_second_more(age: float, acts: bool) -> None:
    assert bool(swaps_when_gw_a_dies(Pair("mon-a", replace(LEASED, lease_age=age)))) is acts


def test_row_27_a_lease_from_before_a_pause_counts_for_nothing_until_it_is_renewed() -> None:
    pair = Pair("mon-a", LEASED)
    pair.lag = 15.0
    pair.run(0.05)
    pair.store = replace(LEASED, lease_age=3.9)  # by a clock that stood still meanwhile
    pair.run(0.2).change_view()
    assert swaps_when_gw_a_dies(pair, 2.5) == []
    pair.store = replace(LEASED, lease_age=0.1)
    pair.run(0.5)
    assert pair.moved()


def test_after_a_pause_the_owner_waits_for_a_fresh_view_of_ec2() -> None:
    pair = Pair("mon-b", UNREAD)
    pair.lag, pair.frozen = 15.0, True
    assert swaps_when_gw_a_dies(pair) == []
    pair.change_view()
    pair.run(0.3)
    assert pair.moved()


def blind(pair: Pair) -> Pair:
    """It has not been able to read EC2 for 25 s."""
    pair.frozen = True
    pair.rest(25)
    return pair


def test_who_is_blind_itself_acts_for_nobody() -> None:
    pair = blind(Pair("mon-a", LEASED))
    assert swaps_when_gw_a_dies(pair) == []
    pair.change_view()
    pair.run(0.3)
    assert pair.moved()


def test_an_owner_that_is_blind_leaves_it_to_whoever_acts_for_it() -> None:
    acted_for = StoreView(age=0.1, holder="mon-a", words={"mon-a": 0.5})
    assert swaps_when_gw_a_dies(blind(Pair("mon-b", acted_for)), 10.0) == []
    assert swaps_when_gw_a_dies(blind(Pair("mon-b", replace(acted_for, words={})))), "nobody else can either"
    assert swaps_when_gw_a_dies(blind(Pair("mon-b", UNREAD)))


def test_after_a_pause_the_owner_leaves_it_to_whoever_has_acted_for_it_until_its_own_word_is_heard() -> None:
    pair = Pair("mon-b", StoreView(age=0.1, holder="mon-a", words={"mon-a": 0.5}))
    pair.lag = 15.0
    pair.run(0.05)
    assert swaps_when_gw_a_dies(pair, owners.HANDED_OVER - 0.2) == []
    pair.run(0.5)
    assert pair.moved()


def test_a_route_that_another_has_moved_back_is_left_alone_until_the_store_tells_why() -> None:
    pair = Pair("mon-b", UNREAD)
    assert swaps_when_gw_a_dies(pair)
    pair.point(HQ_A, "eni-a")
    pair.swaps.clear()
    pair.run(20)
    assert HQ_A not in {swap.key for _at, swap in pair.swaps}
    assert pair.told("route-contested", "zone-a/hq")
    pair.store = StoreView(age=0.1)
    pair.run(1)
    assert HQ_A in {swap.key for _at, swap in pair.swaps}


def test_row_48_what_another_has_moved_back_for_long_is_no_quarrel_when_its_gateway_fails() -> None:
    """A person fails back while the store is away; an hour later the owner fails over as ever."""
    pair = Pair("mon-b", UNREAD)
    assert swaps_when_gw_a_dies(pair)
    pair.gateways["gw-a"].power_on()
    for key in (HQ_A, replace(HQ_A, destination="192.168.20.0/24")):
        pair.point(key, "eni-a")
    pair.run(3).rest(30)
    assert pair.at_home()
    pair.rest(3600)
    pair.swaps.clear()
    assert HQ_A in {swap.key for swap in swaps_when_gw_a_dies(pair)}


def test_18_an_owner_that_was_late_for_a_moment_reads_ec2_at_once() -> None:
    pair = Pair("mon-b", UNREAD)
    pair.frozen = True
    pair.reads.clear()
    pair.lag = 0.3
    pair.run(1.5)
    assert [read.reason for _at, read in pair.reads] == ["what others have done"]


def test_row_48_the_owner_fails_over_twice_without_the_store_when_nobody_interferes() -> None:
    pair = Pair("mon-b", UNREAD)
    assert swaps_when_gw_a_dies(pair)
    pair.gateways["gw-a"].power_on()
    pair.run(2).rest(15)
    assert pair.at_home()
    pair.swaps.clear()
    assert swaps_when_gw_a_dies(pair)


def unseen_swap(pair: Pair) -> list[Swap]:
    """EC2 can be called and not read: the outcome of the first swap stays unknown; those that followed it."""
    pair.frozen = True
    pair.answer = lambda swap: SwapResult(swap, accepted=None, error="timeout")
    assert HQ_A in {swap.key for swap in swaps_when_gw_a_dies(pair)}, "the first needs nobody's word"
    pair.swaps.clear()
    pair.run(20)
    return [swap for _at, swap in pair.swaps if swap.key == HQ_A]


def test_a_swap_that_neither_ec2_nor_the_store_has_shown_is_not_repeated() -> None:
    pair = Pair("mon-b", UNREAD)
    assert unseen_swap(pair) == []
    pair.change_view()
    pair.run(3)
    assert HQ_A in {swap.key for _at, swap in pair.swaps}, "it came to nothing, or was taken back"


def test_once_the_store_is_read_it_is_repeated_though_ec2_is_not() -> None:
    pair = Pair("mon-b", UNREAD)
    assert unseen_swap(pair) == []
    pair.store = StoreView(age=0.1)
    pair.run(3)
    assert HQ_A in {swap.key for _at, swap in pair.swaps}


def test_what_was_refused_for_certain_is_tried_again_by_who_sees_nothing() -> None:
    pair = Pair("mon-b", UNREAD)
    pair.frozen = True
    pair.answer = lambda swap: SwapResult(swap, accepted=False, error="RequestLimitExceeded")
    assert len([swap for swap in swaps_when_gw_a_dies(pair, 10.0) if swap.key == HQ_A]) > 1


def test_a_single_monitor_repeats_what_it_has_not_seen() -> None:
    pair = Pair("mon-b", UNREAD, replace(two(), monitors=(MON_B,)))
    assert unseen_swap(pair)


# --- late writes ----------------------------------------------------------------------------------------------------


def test_row_30_a_late_write_to_a_dead_gateway_is_corrected_within_two_seconds() -> None:
    pair = Pair("mon-a", LEASED)
    swaps_when_gw_a_dies(pair)
    assert pair.carrying()["zone-a hq"] == "gw-b"
    pair.swaps.clear()
    pair.answer = lambda swap: SwapResult(swap, accepted=True)
    pair.reads.clear()
    pair.run(2.0)
    assert len(pair.reads) >= 2, "EC2 is read again and again while another may be late"
    routes = {**pair.view.routes, HQ_A: replace(pair.view.routes[HQ_A], eni_id="eni-a", gateway="gw-a", target="eni-a")}
    written = pair.now
    while not pair.swaps:
        pair.change_view(routes=routes)
        pair.run(0.4)
    ((at, swap),) = pair.swaps
    assert (swap.key, swap.gateway) == (HQ_A, "gw-b")
    assert at - written < 1.6, "and the call takes a part of the two seconds"


def test_a_single_monitor_reads_ec2_no_more_often_than_before() -> None:
    world = Play(deployment(hold_down=5.0))
    world.gateways["gw-a"].power_off()
    world.run(5)
    world.reads.clear()
    world.run(5)
    assert world.reads == []


# --- what it says ---------------------------------------------------------------------------------------------------


def test_it_says_which_gateways_of_its_own_zone_work_and_that_it_can_act_once_it_is_settled() -> None:
    pair = Pair("mon-a", LEASED)
    word = owners.word(pair.state, pair.evidence(), "7", pair.now)
    assert (word.number, word.able, word.healthy) == ("7", True, {"gw-a"})
    pair.gateways["gw-a"].power_off()
    pair.run(2)
    assert owners.word(pair.state, pair.evidence(), "8", pair.now).healthy == frozenset()
    pair.lag = 1.0
    pair.run(0.05)
    assert not owners.word(pair.state, pair.evidence(), "9", pair.now).able
    pair.run(4.8)
    assert not owners.word(pair.state, pair.evidence(), "9", pair.now).able
    pair.run(0.5)
    assert owners.word(pair.state, pair.evidence(), "9", pair.now).able


def test_it_cannot_act_while_ec2_is_not_read() -> None:
    pair = Pair("mon-a", LEASED)
    pair.frozen = True
    pair.rest(30)
    assert not owners.word(pair.state, pair.evidence(), "1", pair.now).able


def test_what_is_the_matter_with_the_others_and_the_store_is_told_once() -> None:
    pair = Pair("mon-a", LEASED)
    assert len(pair.told("monitor-silent", "mon-b")) == 1
    pair.store = replace(LEASED, words={"mon-b": 0.5})
    pair.rest(10)
    assert len(pair.told("monitor-silent", "mon-b", resolved=True)) == 1
    pair.store = replace(pair.store, age=6.0)
    pair.rest(10)
    assert len(pair.told("lease-store-unreadable")) == 1


# --- repairs --------------------------------------------------------------------------------------------------------


def repairing(store: StoreView) -> Pair:
    pair = Pair("mon-a", store, two("restart", repair_after=20.0, repair_interval=100.0))
    pair.gateways["gw-b"].power_off()
    pair.run(5).rest(40)
    return pair


def test_only_the_holder_of_the_lease_repairs() -> None:
    assert [one.gateway for _at, one in repairing(LEASED).repairs] == ["gw-b"]
    for store in (UNREAD, replace(LEASED, lease_age=None, holder="mon-b"), replace(LEASED, lease_age=4.1)):
        pair = repairing(store)
        assert pair.repairs == []
        assert "does not have the lease" in pair.state.repairs.waiting["gw-b"]


# --- the promise, held to at run time -------------------------------------------------------------------------------


def gw_a_is_dead(monitor: str, store: StoreView) -> tuple[Pair, Evidence]:
    pair = Pair(monitor, store)
    pair.answer = lambda swap: None
    pair.gateways["gw-a"].power_off()
    pair.run(1)
    pair.state = replace(pair.state, routes=replace(pair.state.routes, flights={}))
    return pair, pair.evidence()


AWAY = Swap(HQ_A, "gw-b", "eni-b", "gateway-silent", by_lease=True)


def broken(pair: Pair, evidence: Evidence, swap: Swap = AWAY) -> int:
    with pytest.raises(InvariantViolation) as caught:
        invariants.check(pair.state, evidence, swap, pair.now)
    return caught.value.number


def test_the_right_swaps_break_nothing() -> None:
    pair, evidence = gw_a_is_dead("mon-a", LEASED)
    invariants.check(pair.state, evidence, AWAY, pair.now)
    pair, evidence = gw_a_is_dead("mon-b", UNREAD)
    invariants.check(pair.state, evidence, replace(AWAY, by_lease=False), pair.now)


def test_16_not_without_a_lease_that_has_a_second_left_and_was_renewed_since_the_monitor_was_blind() -> None:
    for store in (UNREAD, replace(LEASED, lease_age=4.1)):
        pair, evidence = gw_a_is_dead("mon-a", store)
        assert broken(pair, evidence) == 16
    pair, evidence = gw_a_is_dead("mon-a", LEASED)
    assert broken(pair, evidence, replace(AWAY, by_lease=False)) == 16, "it would outlast the lease"
    pair.state = replace(pair.state, trusted_from=pair.now - 0.6)
    evidence = replace(evidence, store=replace(LEASED, lease_age=0.7))
    assert broken(pair, evidence) == 16


def test_16_not_against_a_veto() -> None:
    pair, evidence = gw_a_is_dead("mon-b", UNREAD)
    assert pair.state.verdicts.gateways["gw-a"].verdict is Verdict.DOWN
    assert broken(pair, replace(evidence, vetoes={"gw-a": 1.9})) == 16
    invariants.check(pair.state, replace(evidence, vetoes={"gw-a": 2.1}), AWAY, pair.now)


def test_16_not_a_second_time_before_ec2_or_the_store_was_read() -> None:
    pair, evidence = gw_a_is_dead("mon-b", UNREAD)
    doubts = {HQ_A: Doubt(AWAY, pair.now - 10.0)}
    pair.state = replace(pair.state, routes=replace(pair.state.routes, doubts=doubts))
    assert broken(pair, evidence, replace(AWAY, by_lease=False)) == 16
    assert broken(pair, replace(evidence, store=StoreView(age=2.1)), replace(AWAY, by_lease=False)) == 16
    invariants.check(pair.state, replace(evidence, store=StoreView(age=1.9)), AWAY, pair.now)


def test_6_a_new_holder_of_the_lease_first_reads_what_the_last_one_has_repaired() -> None:
    pair = Pair("mon-a", UNREAD, two("restart", repair_after=20.0, repair_interval=100.0))
    pair.gateways["gw-b"].power_off()
    pair.run(2).rest(60)
    pair.store = LEASED  # mon-b has released it
    pair.run(8)
    assert pair.repairs == [] and "last holder" in pair.state.repairs.waiting["gw-b"]
    pair.run(10)
    assert [one.gateway for _at, one in pair.repairs] == ["gw-b"]


def test_16_no_repair_without_the_lease() -> None:
    pair = Pair("mon-a", LEASED, two("restart", repair_after=20.0, repair_interval=100.0))
    pair.obey_repair = lambda repair: None
    pair.gateways["gw-b"].power_off()
    pair.run(5).rest(40)
    ((_at, one),) = pair.repairs
    state = replace(pair.state, repairs=replace(pair.state.repairs, flight=None, steps={}, called={}))
    repair_promises.check(state, pair.evidence(), one, pair.now, swapping=False)
    with pytest.raises(InvariantViolation, match="invariant 16"):
        repair_promises.check(state, replace(pair.evidence(), store=UNREAD), one, pair.now, swapping=False)
