# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each promise is held to at run time: a swap that would break it is named, dropped and told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import decision, invariants, moves
from ansible_collections.vpnha.aws.plugins.module_utils.errors import InvariantViolation
from ansible_collections.vpnha.aws.plugins.module_utils.model import Evidence, Note, Pin, RouteKey, Swap, Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.state import Flight, Retry, State
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import Judgement

from .scenario import Play, play

HQ_A = RouteKey("rtb-a", "192.168.10.0/24")
AWAY = Swap(HQ_A, "gw-b", "eni-b", "gateway-silent")
BACK = Swap(HQ_A, "gw-a", "eni-a", "failback", voluntary=True)


def a_is_down() -> tuple[Play, State, Evidence]:
    """The moment at which the swap away from gw-a is right."""
    world = play()
    world.answer = lambda swap: None
    world.gateways["gw-a"].power_off()
    world.run(1)
    state = replace(world.state, routes=replace(world.state.routes, flights={}))
    return world, state, world.evidence()


def a_is_back() -> tuple[Play, State, Evidence]:
    """The moment at which the swap back to gw-a is right."""
    world = play()
    world.point(HQ_A, "eni-b")
    world.answer = lambda swap: None
    world.run(1)
    state = replace(world.state, routes=replace(world.state.routes, flights={}))
    return world, state, world.evidence()


def broken(state: State, evidence: Evidence, swap: Swap, now: float) -> int:
    with pytest.raises(InvariantViolation) as caught:
        invariants.check(state, evidence, swap, now)
    return caught.value.number


def test_the_right_swaps_break_nothing() -> None:
    world, state, evidence = a_is_down()
    invariants.check(state, evidence, AWAY, world.now)
    world, state, evidence = a_is_back()
    invariants.check(state, evidence, BACK, world.now)


def test_1_not_to_an_interface_that_is_not_the_gateways() -> None:
    world, state, evidence = a_is_down()
    assert broken(state, evidence, replace(AWAY, target="eni-old"), world.now) == 1


def test_1_and_2_not_to_a_gateway_that_is_not_healthy() -> None:
    world = play()
    world.gateways["gw-a"].power_off()
    world.gateways["gw-b"].heartbeat.works = world.gateways["gw-b"].peers_hear = False
    world.run(5)
    assert broken(world.state, world.evidence(), AWAY, world.now) == 2
    third = play("abc")
    third.answer = lambda swap: None
    third.gateways["gw-a"].power_off()
    third.gateways["gw-b"].heartbeat.works = third.gateways["gw-b"].peers_hear = False
    third.run(5)
    state = replace(third.state, routes=replace(third.state.routes, flights={}))
    assert broken(state, third.evidence(), AWAY, third.now) == 1


def test_3_not_while_isolated_late_or_observing() -> None:
    world, state, evidence = a_is_down()
    assert broken(state, replace(evidence, loop_lag=1.0), AWAY, world.now) == 3
    assert broken(replace(state, verdicts=replace(state.verdicts, isolated=True)), evidence, AWAY, world.now) == 3
    assert broken(replace(state, trusted_from=world.now - 0.4), evidence, AWAY, world.now) == 3


def test_4_not_for_a_site_that_is_down_everywhere() -> None:
    world = play(routing="static")
    world.tunnel("hq-gw-a").cut()
    world.run(1)
    world.state = replace(world.state, routes=replace(world.state.routes, flights={}, beliefs={}))
    world.point(HQ_A, "eni-a")
    verdicts = replace(world.state.verdicts, sites_down={"hq": "It is down."})
    state = replace(world.state, verdicts=verdicts)
    assert broken(state, world.evidence(), AWAY, world.now) == 4


def test_4_not_from_a_managed_gateway_that_is_silent_as_all_of_the_site_is() -> None:
    world, state, evidence = a_is_down()
    silent = Judgement(Verdict.DOWN, "managed-silent", "It is silent.")
    verdicts = replace(state.verdicts, paths={**state.verdicts.paths, ("gw-a", "hq"): silent})
    invariants.check(replace(state, verdicts=verdicts), evidence, AWAY, world.now)
    mute = replace(verdicts, sites_silent={"hq": "No target answers."})
    assert broken(replace(state, verdicts=mute), evidence, AWAY, world.now) == 4


def test_8_9_and_11_not_while_one_is_in_flight_nor_too_soon_after_a_failure() -> None:
    world, state, evidence = a_is_down()
    flying = replace(state.routes, flights={HQ_A: Flight(AWAY, world.now + 30)})
    assert broken(replace(state, routes=flying), evidence, AWAY, world.now) == 9
    failed = replace(state.routes, retries={HQ_A: Retry(1, world.now + 1, "InternalError", AWAY, world.now + 1)})
    assert broken(replace(state, routes=failed), evidence, AWAY, world.now) == 11


def test_10_not_in_the_first_window_after_the_start() -> None:
    world, state, evidence = a_is_down()
    assert broken(replace(state, started=world.now - 0.4), evidence, AWAY, world.now) == 10


def test_12_not_back_before_the_hold_down_nor_more_than_the_hour_allows() -> None:
    world, state, evidence = a_is_back()
    health = replace(state.healths["gw-a", "hq"], well_since=world.now - 59)
    early = replace(state, healths={**state.healths, ("gw-a", "hq"): health})
    assert broken(early, evidence, BACK, world.now) == 12
    flapped = replace(state.healths["gw-a", "hq"], well_since=world.now - 100, hold=120.0, flapped_at=world.now - 101)
    assert broken(replace(state, healths={("gw-a", "hq"): flapped}), evidence, BACK, world.now) == 12
    moved = replace(state.routes, moves={HQ_A: tuple(world.now - n for n in range(12))})
    assert broken(replace(state, routes=moved), evidence, BACK, world.now) == 12


def test_13_not_away_from_a_gateway_that_is_not_down() -> None:
    world = play()
    assert broken(world.state, world.evidence(), AWAY, world.now) == 13


@pytest.mark.parametrize(
    "change",
    [
        lambda until: {"paused_deployment_until_wall": until},
        lambda until: {"paused_tables": {"rtb-a": until}},
        lambda until: {"paused_gateways": {"gw-a": until}},
        lambda until: {"paused_gateways": {"gw-b": until}},
    ],
)
def test_14_not_while_paused(change: Callable[[float], dict[str, object]]) -> None:
    world, state, evidence = a_is_down()
    assert evidence.ec2 is not None
    view = replace(evidence.ec2, **change(evidence.wall + 60))  # type: ignore[arg-type]
    assert broken(state, replace(evidence, ec2=view), AWAY, world.now) == 14


def test_15_not_what_is_pinned_a_persons_or_not_there() -> None:
    world, state, evidence = a_is_down()
    view = evidence.ec2
    assert view is not None
    pinned = replace(view, table_pins={"rtb-a": Pin("gw-a", evidence.wall + 60)})
    assert broken(state, replace(evidence, ec2=pinned), AWAY, world.now) == 15
    foreign = replace(view.routes[HQ_A], gateway=None, eni_id="eni-x", target="eni-x")
    taken = replace(view, routes={**view.routes, HQ_A: foreign})
    assert broken(state, replace(evidence, ec2=taken), AWAY, world.now) == 15
    elsewhere = replace(AWAY, key=RouteKey("rtb-a", "192.168.99.0/24"))
    assert broken(state, evidence, elsewhere, world.now) == 15
    refused = replace(view, refused_tables={"rtb-a": "It is shared."})
    assert broken(state, replace(evidence, ec2=refused), AWAY, world.now) == 15


def test_a_decision_that_would_break_a_promise_is_dropped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = play()
    monkeypatch.setattr(moves, "held", lambda *_: True)  # a planted bug: no hold-down
    world.gateways["gw-a"].power_off()
    world.run(5)
    world.gateways["gw-a"].power_on()
    _state, actions = decision.step(world.state, world.evidence(), world.now + 0.05)
    assert not [action for action in actions if isinstance(action, Swap)]
    dropped = [action for action in actions if isinstance(action, Note) and action.code == "invariant-violated"]
    assert [note.evidence["invariant"] for note in dropped] == [12, 12]
