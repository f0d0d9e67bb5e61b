# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each promise is held to at run time: a repair that would break it is named, dropped and told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import decision, repair, repair_promises
from ansible_collections.vpnha.aws.plugins.module_utils.errors import InvariantViolation
from ansible_collections.vpnha.aws.plugins.module_utils.model import Evidence, Note, Pin, Repair, RepairMark, Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.state import RepairFlight, RepairStep, State

from .scenario import WALL, Play, play
from .test_repair import broken, fail, rungs


def due() -> tuple[Play, State, Evidence, Repair]:
    """The moment at which the start of gw-a is right, and was not ordered yet."""
    world = broken(state="stopped").rest(117)
    before = world.state
    assert rungs(world.rest(5)) == ["start+"]
    return world, replace(world.state, repairs=before.repairs), world.evidence(), world.repairs[0][1]


def number(state: State, evidence: Evidence, one: Repair, now: float, swapping: bool = False) -> int:
    """The promise that the repair would break."""
    with pytest.raises(InvariantViolation) as caught:
        repair_promises.check(state, evidence, one, now, swapping)
    return caught.value.number


def seen(evidence: Evidence, **changes: object) -> Evidence:
    """The evidence with another view of EC2."""
    assert evidence.ec2 is not None
    return replace(evidence, ec2=replace(evidence.ec2, **{"repairs": {}, **changes}))  # type: ignore[arg-type]


def test_the_right_repair_breaks_nothing() -> None:
    world, state, evidence, one = due()
    repair_promises.check(state, seen(evidence), one, world.now, swapping=False)


def test_promises_3_4_10_of_a_repair() -> None:
    world, state, evidence, one = due()
    assert number(state, replace(seen(evidence), loop_lag=1.0), one, world.now) == 3
    isolated = replace(state, verdicts=replace(state.verdicts, isolated=True))
    assert number(isolated, seen(evidence), one, world.now) == 3
    assert number(replace(state, trusted_from=world.now - 0.4), seen(evidence), one, world.now) == 3
    assert number(replace(state, started=world.now - 0.4), seen(evidence), one, world.now) == 10
    down = replace(state, verdicts=replace(state.verdicts, sites_down={"hq": "It is down."}))
    assert number(down, seen(evidence), one, world.now) == 4


def test_promise_5_of_a_repair() -> None:
    world, state, evidence, one = due()
    up = {**state.verdicts.gateways, "gw-a": state.verdicts.gateways["gw-b"]}
    working = replace(state, verdicts=replace(state.verdicts, gateways=up))
    assert number(working, seen(evidence), one, world.now) == 5
    assert evidence.ec2 is not None
    key, route = next(iter(evidence.ec2.routes.items()))
    back = {**evidence.ec2.routes, key: replace(route, gateway="gw-a", eni_id="eni-a")}
    assert number(state, seen(evidence, routes=back), one, world.now) == 5


def test_promise_6_of_a_repair() -> None:
    world, state, evidence, one = due()
    wall, now = evidence.wall, world.now
    for steps in ((wall - 599,), (wall + 50,), (wall - 80000, wall - 60000, wall - 40000)):
        assert number(state, seen(evidence, repairs={"gw-a": RepairMark(steps, "reboot")}), one, now) == 6
    assert number(state, seen(evidence, repairs={"gw-a": RepairMark((), "", readable=False)}), one, now) == 6
    other = replace(state.verdicts.gateways["gw-a"])
    both = replace(state, verdicts=replace(state.verdicts, gateways={"gw-a": other, "gw-b": other}))
    assert number(both, seen(evidence, repairs={"gw-b": RepairMark((wall - 599,), "stop")}), one, now) == 6
    for rung, ago, works in (("reboot", 59, False), ("reboot", 61, True), ("start", 1, True)):
        its = {"gw-b": (RepairStep(now - ago, 0.0, rung),)}
        fresh = replace(state, repairs=replace(state.repairs, steps=its, called={"gw-b": now - ago}))
        assert fresh.verdicts.gateways["gw-b"].verdict is Verdict.UP
        if works:
            repair_promises.check(fresh, seen(evidence), one, now, swapping=False)
        else:
            assert number(fresh, seen(evidence), one, now) == 6, "the reboot may be about to end it"
    flying = replace(state, repairs=replace(state.repairs, flight=RepairFlight(one, now + 1)))
    assert number(flying, seen(evidence), one, now) == 6
    begun = replace(state, repairs=replace(state.repairs, steps={"gw-a": (RepairStep(now - 599, 0.0, "reboot"),)}))
    assert number(begun, seen(evidence), one, now) == 6, "by the monotonic clock, whatever the tag says"
    ago = RepairStep(now - 600, wall - 599, "reboot")
    over = replace(begun, repairs=replace(begun.repairs, steps={"gw-a": (ago,)}))
    repair_promises.check(over, seen(evidence), one, now, swapping=False)  # its tag was not written: no second later
    assert number(state, replace(seen(evidence), clock_skew=60.0), one, now) == 6
    assert number(state, seen(evidence), replace(one, mark=None), now) == 6, "a part of no step"


def test_promise_7_of_a_repair() -> None:
    world, state, evidence, one = due()
    early = replace(state, repairs=replace(state.repairs, down_since={"gw-a": world.now - 119}))
    assert number(early, seen(evidence), one, world.now) == 7
    assert number(state, seen(evidence), one, world.now, swapping=True) == 7
    a = evidence.gateways["gw-a"]
    heard = replace(a, icmp=replace(a.icmp, last_answer_age=100.0))
    assert number(state, replace(seen(evidence), gateways={**evidence.gateways, "gw-a": heard}), one, world.now) == 7
    world.change_instance("gw-a", state="running")
    for gateway in world.gateways.values():
        gateway.peer_heard_at = None
    alone = world.evidence()
    assert number(state, seen(alone), one, world.now) == 7


def test_promises_14_and_15_of_a_repair() -> None:
    world, state, evidence, one = due()
    until = evidence.wall + 60
    assert number(state, seen(evidence, paused_deployment_until_wall=until), one, world.now) == 14
    assert number(state, seen(evidence, paused_gateways={"gw-a": until}), one, world.now) == 14
    assert number(state, seen(evidence, drill="drill-1"), one, world.now) == 14
    rebooting = replace(state, deployment=replace(state.deployment, repair="reboot"))
    assert number(rebooting, seen(evidence), one, world.now) == 14
    assert number(state, seen(evidence), replace(one, instance_id="i-other"), world.now) == 15


def replaceable() -> tuple[Play, State, Evidence, Repair]:
    """The moment at which the launch of another gw-a is right, and was not ordered yet."""
    world = broken(repair="replace")
    world.change_instance("gw-a", state="absent", instance_id=None, eni_free=True)
    before = world.rest(117).state
    assert rungs(world.rest(5)) == ["launch+"]
    return world, replace(world.state, repairs=before.repairs), world.evidence(), world.repairs[0][1]


def instead(evidence: Evidence, **changes: object) -> Evidence:
    """The evidence with another instance of gw-a, and no tag of a repair."""
    assert evidence.ec2 is not None
    changed = replace(evidence.ec2.instances["gw-a"], **changes)  # type: ignore[arg-type]
    return seen(evidence, instances={**evidence.ec2.instances, "gw-a": changed})


def test_promise_9_of_a_launch() -> None:
    world, state, evidence, one = replaceable()
    repair_promises.check(state, seen(evidence), one, world.now, swapping=False)
    shut = instead(evidence, state="shutting-down", eni_free=False)
    assert number(state, shut, one, world.now) == 9
    assert number(state, instead(evidence, state="stopped", eni_free=True), one, world.now) == 9
    assert number(state, seen(evidence), replace(one, token="eni-a-1"), world.now) == 9
    assert number(state, seen(evidence), replace(one, template=""), world.now) == 9


def test_promises_6_and_9_of_a_terminate() -> None:
    world, state, evidence, launch = replaceable()
    one = replace(launch, rung="terminate", instance_id="i-a", token="", template="")
    there = {"state": "stopped", "instance_id": "i-a", "eni_free": False}
    assert number(state, instead(evidence, **there), one, world.now) == 6, "nothing else was tried"
    begun = replace(state, repairs=replace(state.repairs, steps={"gw-a": (RepairStep(world.now - 700, 0.0, "stop"),)}))
    assert number(begun, instead(evidence, **there), one, world.now) == 6, "its tag may never have been written"

    def told(**changes: object) -> Evidence:
        changed = instead(evidence, **there, **changes)
        return seen(
            changed, repairs={"gw-a": RepairMark((evidence.wall - 700,), "stop")}, instances=changed.ec2.instances
        )  # type: ignore[union-attr]

    repair_promises.check(state, told(), one, world.now, swapping=False)
    assert number(state, told(eni_dies=True), one, world.now) == 9
    only = replace(state, deployment=replace(state.deployment, repair="restart"))
    assert number(only, told(), one, world.now) == 14


def test_a_repair_that_would_break_a_promise_is_dropped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "held_back", lambda *_: [])  # a planted bug
    world = play(repair="restart")
    world.change_view(table_pins={"rtb-a": Pin("gw-a", WALL + 1e6)})
    fail(world, "gw-a")
    world.run(2).rest(116)
    state, told = world.state, []
    for _ in range(10):
        world.now += 1.0
        state, actions = decision.step(state, world.evidence(), world.now)
        assert not [action for action in actions if isinstance(action, Repair)]
        told += [one for one in actions if isinstance(one, Note) and one.code == "invariant-violated"]
    assert {note.evidence["invariant"] for note in told} == {5}
