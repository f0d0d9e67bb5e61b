# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks are set where they belong, are as good when they are there already, and are refused in whole sentences."""

from __future__ import annotations

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, marks, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.marks import Applied, Mark

from .conftest import World

A, B = "eu-central-1a", "eu-central-1b"
WALL = 4_000_000_000.0  # later than any clock of a test machine, so that no drill is over


def apply(world: World, mark: Mark, *, check: bool = False, wall: float = WALL) -> Applied:
    return marks.apply(world.client, world.deployment, mark, check=check, wall=wall)


@pytest.mark.parametrize("scope", [(), ("gw-a",)])
def test_a_pause_is_set_and_cleared(world: World, scope: tuple[str, ...]) -> None:
    assert apply(world, Mark("pause", True, scope), check=True).changed
    assert world.view().paused_deployment_until_wall is None
    done = apply(world, Mark("pause", True, scope, by="jane"))
    assert done.changed
    assert done.resources == [world.eni("gw-a") if scope else world.vpc]
    view = world.view()
    found = view.paused_gateways.get("gw-a") if scope else view.paused_deployment_until_wall
    assert found == WALL + 3600
    assert not apply(world, Mark("pause", True, scope, by="jane"), wall=WALL + 10).changed
    assert apply(world, Mark("pause", True, scope, by="jane"), wall=WALL + 100).changed
    assert apply(world, Mark("pause", False, scope)).changed
    view = world.view()
    assert (view.paused_gateways, view.paused_deployment_until_wall) == ({}, None)
    assert not apply(world, Mark("pause", False, scope)).changed


def test_a_mark_ends_by_the_clock_of_aws(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = ec2.Clock(tolerance=0.0)
    ahead.skew = -120.0
    monkeypatch.setattr(ahead, "learn", lambda *_seen: None)  # the test's EC2 has this host's clock
    monkeypatch.setattr(ec2, "CLOCK", ahead)
    apply(world, Mark("pause", True))
    assert world.view().paused_deployment_until_wall == WALL + 3600 - 120


def test_a_pin_goes_on_the_named_tables_or_on_all(world: World) -> None:
    apply(world, Mark("pin", True, (world.table(A),), gateway="gw-b"))
    assert set(world.view().table_pins) == {world.table(A)}
    apply(world, Mark("pin", True, gateway="gw-b"))
    assert set(world.view().table_pins) == {world.table(A), world.table(B)}
    apply(world, Mark("pin", False))
    assert not world.view().table_pins


def test_a_drill_is_the_deployments(world: World) -> None:
    done = apply(world, Mark("drill", True, drill_id="x-1"))
    assert tags.parse_drill(done.value or "").id == "x-1"
    assert world.view().drill == "x-1"
    apply(world, Mark("drill", False))
    assert world.view().drill is None


def test_the_end_of_one_drill_leaves_another_s_mark(world: World) -> None:
    apply(world, Mark("drill", True, drill_id="x 2"))
    ended = apply(world, Mark("drill", False, drill_id="x-1"))
    assert not ended.changed and world.view().drill == "x-2"
    assert ended.diff["before"] == ended.diff["after"]
    assert apply(world, Mark("drill", False, drill_id="x 2")).changed
    assert world.view().drill is None


def test_a_freeze_is_the_deployments_and_ends_by_itself(world: World) -> None:
    done = apply(world, Mark("freeze", True, by="jane", reason="year end"))
    assert done.value == "until=2096-10-02T08:06:40Z by=jane reason=year-end"
    assert not apply(world, Mark("freeze", True, by="jane", reason="year end"), wall=WALL + 10).changed
    assert world.view().freeze == "Changes are frozen until 2096-10-02T08:06:40Z by jane (year-end)"
    assert apply(world, Mark("freeze", False)).changed
    assert world.view().freeze is None
    tag = {"Key": tags.freeze_of(world.deployment.name), "Value": "until=2020-01-01T00:00:00Z"}
    world.client.create_tags(Resources=[world.vpc], Tags=[tag])
    assert world.view().freeze is None
    world.client.create_tags(Resources=[world.vpc], Tags=[{**tag, "Value": "Not in December!"}])
    assert world.view().freeze == "Changes are frozen"


@pytest.mark.parametrize(
    ("mark", "sentence"),
    [
        (Mark("pause", True, ("gw-x",)), "gw-x is neither a gateway nor a route table of the deployment"),
        (Mark("pin", True, ("rtb-0",), gateway="gw-a"), "rtb-0 is no route table of the deployment"),
        (Mark("pin", True), 'A pin needs a gateway of the deployment (gw-a, gw-b), not ""'),
        (Mark("pin", True, gateway="gw-x"), 'not "gw-x"'),
        (Mark("drill", True), "needs drill_id"),
        (Mark("drill", True, ("gw-a",), drill_id="x"), "scope must be empty"),
        (Mark("freeze", True, ("gw-a",)), "A freeze is always the whole deployment's, so scope must be empty."),
        (Mark("freeze", True, reason="x" * 101), "The reason of a freeze has 101 characters; 100 are allowed."),
        (Mark("pause", True, seconds=0), "at least one minute"),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, mark: Mark, sentence: str) -> None:
    with pytest.raises(VpnhaError) as told:
        apply(world, mark)
    assert sentence in str(told.value)


def test_a_deployment_that_is_not_there_cannot_be_paused(bare: World) -> None:
    with pytest.raises(VpnhaError, match="EC2 has no route table and no interface of this deployment"):
        apply(bare, Mark("pause", True))
