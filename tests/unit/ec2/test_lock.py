# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One drill or deploy at a time, also where two begin at the same moment; nobody releases another's lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import lock, network_removal, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.lock import Clock, Outcome, Wish

from .conftest import NOW, World

MINE = Wish("drill", "d-1/42", "jane@box")
THEIRS = Wish("deploy", "john@desk", "john@desk")


@dataclass
class Hands:
    """A clock by hand. What happens while somebody waits is ``meanwhile``; each look takes ``look`` seconds."""

    now: float = NOW
    look: float = 0.0
    meanwhile: Callable[[], object] = lambda: None
    slept: list[float] = field(default_factory=list)

    def wall(self) -> float:
        self.now += self.look
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.meanwhile()

    @property
    def clock(self) -> Clock:
        return Clock(self.wall, self.sleep)


def take(world: World, wish: Wish = MINE, *, check: bool = False, hands: Hands | None = None) -> Outcome:
    return lock.take(world.client, world.deployment, wish, check=check, clock=(hands or Hands()).clock)


def keep(world: World, wish: Wish = MINE, now: float = NOW) -> Outcome:
    return lock.keep(world.client, world.deployment, wish, clock=Hands(now).clock)


def release(world: World, wish: Wish = MINE) -> bool:
    return lock.release(world.client, world.deployment, wish).changed


def stands(world: World) -> str | None:
    """The lock's tag as EC2 has it."""
    vpc = world.client.describe_vpcs(VpcIds=[world.vpc])["Vpcs"][0]
    return tags.to_dict(vpc.get("Tags")).get(tags.lock_of(world.deployment.name))


def put(world: World, value: str) -> None:
    tag = {"Key": tags.lock_of(world.deployment.name), "Value": value}
    world.client.create_tags(Resources=[world.vpc], Tags=[tag])


def refusal(world: World, wish: Wish = MINE, hands: Hands | None = None) -> str:
    with pytest.raises(VpnhaError) as told:
        take(world, wish, hands=hands)
    return str(told.value)


def test_it_is_taken_kept_and_released(world: World) -> None:
    assert take(world, check=True).changed and stands(world) is None
    hands = Hands()
    done = take(world, hands=hands)
    assert (done.changed, done.resource, done.value) == (True, world.vpc, stands(world))
    assert stands(world) == "what=drill owner=d-1/42 until=2027-01-15T09:00:00Z by=jane@box"
    assert hands.slept == [lock.SETTLE]
    assert not take(world).changed  # it is the owner's already
    assert not keep(world).changed
    assert keep(world, now=NOW + 1900).changed  # more than half is over
    assert stands(world) == "what=drill owner=d-1/42 until=2027-01-15T09:31:40Z by=jane@box"
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
    assert "is taken from" in done.told
    with pytest.raises(VpnhaError, match=r"This deploy has lost the deployment's lock, and the drill d-1/42 of jane"):
        keep(world, THEIRS)


def test_one_that_is_over_is_taken_over_and_told(world: World) -> None:
    take(world, THEIRS)
    done = take(world, hands=Hands(NOW + 3601))
    assert done.told == (
        "The deploy john@desk has left the deployment's lock behind, which ended at 2027-01-15T09:00:00Z; "
        "it is taken over."
    )
    assert "owner=d-1/42" in (stands(world) or "")


def test_of_two_at_the_same_moment_the_later_write_stands(world: World) -> None:
    later = take(world, THEIRS, check=True).value or ""
    told = refusal(world, hands=Hands(meanwhile=lambda: put(world, later)))
    assert told == (
        "The deploy john@desk has taken the deployment's lock at the same moment; start again when that is over."
    )
    assert stands(world) == later  # and is not released by who has lost


def test_one_that_was_removed_meanwhile_is_not_held(world: World) -> None:
    told = refusal(world, hands=Hands(meanwhile=lambda: release(world)))
    assert told == "Somebody has removed the deployment's lock at the same moment; start again."


def test_who_was_too_slow_lets_go(world: World) -> None:
    assert refusal(world, hands=Hands(look=lock.SETTLE / 2 + 0.1)) == (
        "EC2 was too slow to be sure that nobody else has taken the deployment's lock; start again."
    )
    assert stands(world) is None


def test_who_has_lost_it_is_told_before_anything_is_broken(world: World) -> None:
    with pytest.raises(VpnhaError, match="has lost the deployment's lock, and nobody has it now"):
        keep(world)
    take(world)
    with pytest.raises(VpnhaError, match="had the deployment's lock until 2027-01-15T09:00:00Z only"):
        keep(world, now=NOW + 3601)


def test_what_a_person_wrote_by_hand_holds(world: World) -> None:
    put(world, "Do not touch this")
    assert refusal(world) == (
        f"The deployment's lock cannot be read; see what the tag vpnha:lock:{world.deployment.name} of {world.vpc} "
        "means, and remove it."
    )


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
    assert not take(world, odd).changed
    assert release(world, odd)


def test_where_nothing_is_there_is_nothing_to_lock(bare: World) -> None:
    assert take(bare) == Outcome(False, None)
    assert not release(bare)


def test_teardown_removes_it(bare: World) -> None:
    bare.build()
    take(bare)
    assert stands(bare)
    network_removal.remove(bare.client, bare.deployment.name, check=False)
    assert stands(bare) is None
