# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A row is always healed, whatever becomes of it, and what it ran into is its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.model import Timing
from lab import faults
from lab.errors import LabError
from lab.matrix import __main__ as matrix
from lab.matrix import conductor, forgery
from lab.matrix.conductor import RECOVERY_SECONDS, VARIABLES
from lab.matrix.lookout import NotSeen
from lab.matrix.model import Expect, Row
from lab.matrix.results import AS_EXPECTED, NOT_AS_EXPECTED, NOT_STARTED
from lab.matrix.rows_gateways import FALLEN_SECONDS, FLAP_SECONDS, FLAPS
from lab.matrix.stage import Stage, hold_after, tunnels_of
from lab.names import Names
from tests.unit.lab.matrix_world import HOME, HQ, change, observation


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names("t1", tmp_path, 4700)


def stage_of(names: Names) -> Stage:
    return Stage(names, None, home=HOME, number=3, env={}, variables={})  # type: ignore[arg-type]


def test_a_row_is_undone_backwards_and_to_the_end_although_a_part_of_it_fails(names: Names) -> None:
    stage, done = stage_of(names), list[str]()

    def fails() -> None:
        raise LabError("The host is off.")

    stage.undo("first", lambda: done.append("first"))
    stage.undo("second", fails)
    stage.undo("third", lambda: done.append("third"))
    assert stage.heal() == ["second: The host is off."]
    assert done == ["third", "first"]
    assert stage.heal() == [] and done == ["third", "first"], "nothing is undone twice"


def test_a_part_can_be_undone_before_the_rest(names: Names) -> None:
    stage, done = stage_of(names), list[str]()
    for name in ("policy", "cut", "policy"):
        stage.undo(name, lambda name=name: done.append(name))  # type: ignore[misc]
    stage.undo_now("policy")
    assert done == ["policy", "policy"]
    stage.heal()
    assert done == ["policy", "policy", "cut"]


def test_the_moment_of_a_row_is_that_of_its_first_fault(names: Names) -> None:
    stage = stage_of(names)
    stage.inject("one")
    first = stage.injected
    stage.inject("another")
    assert stage.injected == first is not None
    assert [mark["text"] for mark in stage.marks] == ["one", "another"]


def test_a_gateways_routes_and_tunnels_are_found(names: Names) -> None:
    stage = stage_of(names)
    assert stage.on("gw-a", "hq") == [HQ]
    assert len(stage.on("gw-a")) == 2
    assert tunnels_of("gw-a", "gw-b") == [
        ("gw-a", "cgw-hq-a"), ("gw-a", "cgw-plant-a"), ("gw-b", "cgw-hq-b"), ("gw-b", "cgw-plant-b"),
    ]  # fmt: skip


@pytest.mark.parametrize(("falls", "seconds"), [(0, 2.0), (1, 2.0), (2, 4.0), (5, 32.0), (6, 64.0), (9, 64.0)])
def test_the_wait_for_a_gateway_that_flaps_is_the_engines(falls: int, seconds: float) -> None:
    timing = Timing(**VARIABLES["vpnha_timing"])
    assert hold_after(falls, 45.0, timing) == seconds


def test_a_gateway_that_flaps_is_left_alone_before_the_last_two_of_its_falls_and_gone_back_to_after_them() -> None:
    timing = Timing(**VARIABLES["vpnha_timing"])
    well = FLAP_SECONDS - FALLEN_SECONDS
    assert hold_after(1, FLAP_SECONDS, timing) < well < hold_after(FLAPS - 3, FLAP_SECONDS, timing)
    assert hold_after(FLAPS, FLAP_SECONDS, timing) <= RECOVERY_SECONDS


# --- A whole row --------------------------------------------------------------------------------------------


class World:
    """Stands for the lab: what the conductor asks of it, and how long it takes to be well."""

    def __init__(self) -> None:
        self.seen = observation()
        self.sick: list[str] = []
        self.deployed = 0
        self.healed_by_deploy = True
        self.ran: list[tuple[str, ...]] = []

    def deploy(self) -> None:
        self.deployed += 1
        if self.healed_by_deploy:
            self.sick = []

    # as Lookout
    def objections(self) -> list[str]:
        return self.sick

    def home(self) -> dict[str, Any]:
        return HOME

    def run(self, *argv: str) -> str:
        self.ran.append(argv)
        return ""

    def interface(self, _gateway: str) -> dict[str, Any]:
        return {"TagSet": []}


class Probes:
    """Every packet is answered."""

    def __init__(self, *_: Any) -> None:
        pass

    def steady_seconds(self, _since: float) -> float:
        return 5.0

    def stop(self) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    class Watch:
        def __init__(self, *_: Any) -> None:
            pass

        def start(self) -> None:
            pass

        def finish(self, *_: float) -> dict[str, Any]:
            return world.seen

    def at_once(condition: Callable[[], object], seconds: float, what: str, poll: float = 0.0) -> None:
        if not condition():
            raise NotSeen(f"Not within {seconds:g} s: {what}.")

    monkeypatch.setattr(conductor, "Probes", Probes)
    monkeypatch.setattr(conductor, "Watch", Watch)
    monkeypatch.setattr(conductor, "until", at_once)
    monkeypatch.setattr(conductor.faults, "in_force", lambda _names: [])
    return world


def run(names: Names, world: World, act: Callable[[Stage], None], expect: Expect | None = None) -> dict[str, Any]:
    whole = conductor.Conductor(names, world, {}, world.deploy)  # type: ignore[arg-type]
    return whole.run(Row(3, "in words", act, expect or Expect()), 1, [])


def test_a_row_in_which_all_goes_as_expected(names: Names, world: World) -> None:
    seen = run(names, world, lambda stage: stage.inject("nothing"))
    assert (seen["verdict"], seen["problems"], seen["row"], seen["repetition"]) == (AS_EXPECTED, [], 3, 1)
    assert ("mon-a", "systemctl", "restart", "vpnha-monitor") in world.ran


def test_a_row_that_runs_into_something_is_healed_and_says_so(names: Names, world: World) -> None:
    healed = []

    def act(stage: Stage) -> None:
        stage.undo("fault", lambda: healed.append(True))
        raise NotSeen("Not within 20 s: it left.")

    seen = run(names, world, act)
    assert healed == [True]
    assert (seen["verdict"], seen["problems"]) == (NOT_AS_EXPECTED, ["Not within 20 s: it left."])


def test_a_row_that_is_interrupted_is_healed_as_well(names: Names, world: World) -> None:
    healed = []

    def act(stage: Stage) -> None:
        stage.undo("fault", lambda: healed.append(True))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(names, world, act)
    assert healed == [True]


def test_what_is_not_well_again_afterwards_is_the_rows_own_problem(names: Names, world: World) -> None:
    def act(stage: Stage) -> None:
        world.sick = ["Gateway gw-a is down."]

    (problem,) = run(names, world, act)["problems"]
    assert problem.startswith("Not within 180 s: all is well.") and problem.endswith("Gateway gw-a is down.")


def test_faults_that_an_earlier_row_left_are_taken_back_and_others_stay(
    names: Names, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [faults.Fault(which, "cut", [], {}, 0.0) for which in ("matrix-8-1", matrix.DELAY)]
    cleared: list[str] = []
    monkeypatch.setattr(faults, "in_force", lambda _names: left)
    monkeypatch.setattr(faults, "clear", lambda _names, which: cleared.append(which))
    run(names, world, lambda stage: None)
    assert cleared == ["matrix-8-1"]


def test_what_an_earlier_row_left_is_mended_by_a_deploy_before_the_next(names: Names, world: World) -> None:
    world.sick = ["Gateway gw-a is down."]
    assert run(names, world, lambda stage: None)["verdict"] == AS_EXPECTED
    assert world.deployed == 1


def test_a_row_that_cannot_start_breaks_nothing_and_says_why(names: Names, world: World) -> None:
    world.sick, world.healed_by_deploy = ["Gateway gw-a is down."], False
    acted = []
    seen = run(names, world, lambda stage: acted.append(True))
    assert acted == []
    assert (seen["verdict"], world.deployed) == (NOT_STARTED, 1)
    assert "Gateway gw-a is down." in seen["problems"][0]


def test_a_row_is_judged_by_what_was_seen(names: Names, world: World) -> None:
    world.seen = observation(changes=change(HQ, "gw-a", "gw-b", "gw-a"))
    seen = run(names, world, lambda stage: stage.fact("it stays", False))
    assert seen["verdict"] == NOT_AS_EXPECTED
    assert len(seen["problems"]) == 2


# --- Forged heartbeats --------------------------------------------------------------------------------------


def packet(port: int, protocol: int = 17) -> bytes:
    header = bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
    return header + port.to_bytes(2, "big") + b"\x90\x90\x00\x10\xab\xcd" + b"VH heartbeat"


def test_answers_of_agents_are_told_from_other_packets() -> None:
    assert forgery.is_answer(packet(7784))
    assert not forgery.is_answer(packet(7785))
    assert not forgery.is_answer(packet(7784, protocol=6))


def test_a_spoiled_answer_differs_in_its_last_byte_only() -> None:
    whole = packet(7784)
    spoiled = forgery.spoiled(whole)
    assert spoiled[:-1] == whole[:-1] and spoiled[-1] != whole[-1]
