# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One drill or deploy at a time, also where two begin at the same moment; nobody touches another's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from ansible_collections.vpnha.aws.plugins.module_utils import lock, network_removal, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.lock import Outcome, Wish

from .conftest import NOW, World

MINE = Wish("drill", "d-1", "jane@box")
THEIRS = Wish("deploy", "john@desk", "john@desk", again=True)


class Before:
    """The client, with something that others do before a call of its operation goes out."""

    def __init__(self, client: Any, operation: str, others: Callable[[], object]) -> None:
        self._client, self._operation, self._others = client, operation, others

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name != self._operation:
            return real

        def call(**arguments: Any) -> Any:
            self._operation = ""  # once
            self._others()
            return real(**arguments)

        return call


def take(world: World, wish: Wish = MINE, *, check: bool = False, now: float = NOW) -> Outcome:
    return lock.take(world.client, world.deployment, wish, check=check, now=now)


def keep(world: World, wish: Wish = MINE, now: float = NOW) -> Outcome:
    return lock.keep(world.client, world.deployment, wish, now=now)


def release(world: World, wish: Wish = MINE) -> bool:
    return lock.release(world.client, world.deployment, wish).changed


def groups(world: World) -> list[Any]:
    name = tags.lock_of(world.deployment.name)
    found: list[Any] = world.client.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])[
        "SecurityGroups"
    ]
    return found


def stands(world: World) -> str | None:
    """The lock's tag as EC2 has it, without what differs each time."""
    return next((tags.to_dict(each["Tags"])[tags.LOCK].rpartition(" run=")[0] for each in groups(world)), None)


def refusal(world: World, wish: Wish = MINE, now: float = NOW) -> str:
    with pytest.raises(VpnhaError) as told:
        take(world, wish, now=now)
    return str(told.value)


def test_it_is_taken_kept_and_released(world: World) -> None:
    assert take(world, check=True).changed and stands(world) is None
    done = take(world)
    [group] = groups(world)
    assert (done.changed, done.resource, group["VpcId"]) == (True, group["GroupId"], world.vpc)
    assert stands(world) == "what=drill owner=d-1 until=2027-01-15T09:00:00Z by=jane@box"
    assert keep(world, now=NOW + 1900).changed
    assert stands(world) == "what=drill owner=d-1 until=2027-01-15T09:31:40Z by=jane@box"
    assert lock.release(world.client, world.deployment, MINE, check=True).changed and stands(world)
    assert release(world) and stands(world) is None
    assert not release(world)


def test_another_s_is_respected_and_never_released(world: World) -> None:
    take(world, THEIRS)
    assert refusal(world) == (
        "The deploy john@desk has the deployment's lock until 2027-01-15T09:00:00Z; wait until that is over, "
        "or if it has died take the lock with -e vpnha_lock_force=true."
    )
    before = stands(world)
    assert not release(world) and stands(world) == before
    done = take(world, replace(MINE, force=True))
    assert "is taken from the deploy john@desk, which has it until" in done.told
    with pytest.raises(VpnhaError, match=r"This deploy has lost the deployment's lock, and the drill d-1 of jane"):
        keep(world, THEIRS)
    assert not release(world, THEIRS) and len(groups(world)) == 1


def test_a_failed_deploy_is_run_again_and_a_drill_of_the_same_name_is_not(world: World) -> None:
    take(world, THEIRS)
    assert take(world, THEIRS, now=NOW + 60).changed
    assert "until=2027-01-15T09:01:00Z" in (stands(world) or "")
    release(world, THEIRS)
    take(world)
    assert refusal(world).startswith("The drill d-1 of jane@box has the deployment's lock until")


def test_one_that_is_over_is_taken_over_and_told(world: World) -> None:
    take(world, THEIRS)
    assert take(world, check=True, now=NOW + 3601).told and "john" in (stands(world) or "")
    done = take(world, now=NOW + 3601)
    assert done.taken_from == "john@desk"
    assert done.told == (
        "The deploy john@desk has left the deployment's lock behind, which ended at 2027-01-15T09:00:00Z; "
        "it is taken over."
    )
    assert "owner=d-1 " in (stands(world) or "")


def test_of_many_at_the_same_moment_one_has_it(world: World) -> None:
    start = threading.Barrier(8)
    done: list[str] = []

    def run(number: int) -> None:
        start.wait()
        try:
            done.append(take(world, replace(MINE, owner=f"d-{number}")).value or "")
        except VpnhaError:
            done.append("")

    runs = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    [group] = groups(world)
    assert sorted(done)[:7] == [""] * 7
    assert sorted(done)[7] == tags.to_dict(group["Tags"])[tags.LOCK]


def test_who_takes_over_what_another_has_just_taken_over_is_refused(world: World) -> None:
    take(world, THEIRS)
    late = NOW + 3601
    slow = Before(world.client, "delete_security_group", lambda: take(world, replace(MINE, owner="d-2"), now=late))
    with pytest.raises(VpnhaError) as told:
        lock.take(slow, world.deployment, MINE, now=late)
    assert str(told.value) == "Somebody else has taken the deployment's lock at the same moment; start again."
    assert "owner=d-2 " in (stands(world) or "")


def test_who_loses_it_while_prolonging_is_told(world: World) -> None:
    take(world)
    force = replace(THEIRS, force=True)
    slow = Before(world.client, "create_tags", lambda: take(world, force))
    with pytest.raises(VpnhaError, match="This drill has lost the deployment's lock"):
        lock.keep(slow, world.deployment, MINE, now=NOW + 1900)
    assert "owner=john@desk" in (stands(world) or "")


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_call_that_was_carried_out_without_an_answer_takes_it_too(world: World, left_behind: bool) -> None:
    class NoAnswer(Before):
        def __getattr__(self, name: str) -> Any:
            real = getattr(self._client, name)
            if name != self._operation:
                return real

            def call(**arguments: Any) -> Any:
                real(**arguments)
                self._operation = ""
                raise ReadTimeoutError(endpoint_url="https://ec2.example")

            return call

    if left_behind:
        take(world, THEIRS)
    quiet = NoAnswer(world.client, "create_security_group", lambda: None)
    done = lock.take(quiet, world.deployment, MINE, now=NOW + 3601)
    [group] = groups(world)
    assert (done.changed, done.resource) == (True, group["GroupId"])
    assert done.taken_from == ("john@desk" if left_behind else "")


def test_who_has_lost_it_is_told_before_anything_is_broken(world: World) -> None:
    with pytest.raises(VpnhaError, match=r"has lost the deployment's lock\.$"):
        keep(world)
    take(world)
    with pytest.raises(VpnhaError, match="had the deployment's lock until 2027-01-15T09:00:00Z only"):
        keep(world, now=NOW + 3601)


def test_what_a_person_made_by_hand_holds(world: World) -> None:
    name = tags.lock_of(world.deployment.name)
    made = world.client.create_security_group(GroupName=name, Description="Do not touch this", VpcId=world.vpc)
    assert refusal(world) == (
        f"The deployment's lock cannot be read; see what the tag vpnha:lock of {made['GroupId']} means, and delete "
        "that security group."
    )
    assert take(world, replace(MINE, force=True)).changed


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (replace(MINE, owner=""), "The owner of a lock needs a name of 1 to 100 characters."),
        (replace(MINE, owner="x" * 101), "The owner of a lock needs a name of 1 to 100 characters."),
        (replace(MINE, seconds=0), "A lock must last at least one minute."),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, wish: Wish, sentence: str) -> None:
    assert refusal(world, wish) == sentence


def test_an_owner_in_other_characters_is_still_the_owner(world: World) -> None:
    odd = replace(MINE, owner="Müller am PC")
    take(world, odd)
    assert keep(world, odd).changed
    assert release(world, odd)


def test_where_nothing_is_there_is_nothing_to_lock(bare: World) -> None:
    assert take(bare) == Outcome(False)
    assert not release(bare)


def test_teardown_removes_it(bare: World) -> None:
    bare.build()
    take(bare)
    assert stands(bare)
    network_removal.remove(bare.client, bare.deployment.name, check=True)
    assert stands(bare)
    network_removal.remove(bare.client, bare.deployment.name, check=False)
    assert stands(bare) is None
