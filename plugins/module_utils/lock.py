# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One drill or deploy at a time: a lock that is a tag on the deployment's VPC, with an owner and an end.

Tags know no compare-and-swap, so a lock is written, and read back after `SETTLE` seconds: of two that write at the same
moment the later write stands, and the other one sees that. Whose read and write lie further apart than half of that
time lets go again, because somebody may have read the lock back in between. What remains is EC2 showing a tag later
than `SETTLE` seconds after it was written; who does something irreversible therefore asks again before it, see `keep`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ec2, tags
from .ec2_view import read_view
from .errors import VpnhaError
from .marks import set_tag, vpc_of
from .model import Deployment

SETTLE = 4.0  # seconds
_OWNER_MOST = 100  # characters; the whole value has 256


@dataclass(frozen=True)
class Wish:
    """Who wants the lock, and what for."""

    what: str  # "drill" or "deploy"
    owner: str  # who has it already has it again
    by: str = ""  # for people
    seconds: float = 3600.0
    force: bool = False  # take it from whoever has it


@dataclass(frozen=True)
class Outcome:
    """What came of it. ``resource`` is None where nothing of the deployment is in EC2, and so nothing to lock."""

    changed: bool
    resource: str | None
    value: str | None = None
    told: str = ""  # from whom it was taken


@dataclass(frozen=True)
class Clock:
    """The time, to be replaced by tests."""

    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def take(client: Any, deployment: Deployment, wish: Wish, *, check: bool = False, clock: Clock = Clock()) -> Outcome:
    """Take the lock, or keep it where it is the owner's already. Raises VpnhaError where somebody else has it."""
    wish = _sound(wish)
    vpc = _vpc(client, deployment)
    if vpc is None:
        return Outcome(False, None)
    name, began = tags.lock_of(deployment.name), clock.wall()
    held, value = _read(client, vpc, name)
    if held is not None and held.owner == wish.owner and held.until_wall - began > wish.seconds / 2:
        return Outcome(False, vpc, value)
    told = _taken_from(held, wish, began, name, vpc)
    value = tags.format_lock(tags.Lock(wish.what, wish.owner, began + wish.seconds, wish.by))
    if check:
        return Outcome(True, vpc, value, told)
    set_tag(client, [vpc], name, value)
    if clock.wall() - began > SETTLE / 2:
        _clear(client, vpc, name, value)
        raise VpnhaError("EC2 was too slow to be sure that nobody else has taken the deployment's lock; start again.")
    clock.sleep(SETTLE)
    now, _value = _read(client, vpc, name)
    if now is None or now.owner != wish.owner:
        raise VpnhaError(
            f"{_who(now)} has taken the deployment's lock at the same moment; start again when that is over."
            if now is not None
            else "Somebody has removed the deployment's lock at the same moment; start again."
        )
    return Outcome(True, vpc, value, told)


def keep(client: Any, deployment: Deployment, wish: Wish, *, check: bool = False, clock: Clock = Clock()) -> Outcome:
    """See that the owner still has the lock, and prolong it when half of it is over. Raises VpnhaError if not."""
    wish = _sound(wish)
    vpc = _vpc(client, deployment)
    name = tags.lock_of(deployment.name)
    held, value = _read(client, vpc, name) if vpc else (None, None)
    if held is None or held.owner != wish.owner:
        who = f"{_who(held, 'the')} has" if held is not None else "nobody has"
        raise VpnhaError(f"This {wish.what} has lost the deployment's lock, and {who} it now.")
    now = clock.wall()
    if held.until_wall <= now:
        raise VpnhaError(f"This {wish.what} had the deployment's lock until {tags.format_time(held.until_wall)} only.")
    if held.until_wall - now > wish.seconds / 2:
        return Outcome(False, vpc, value)
    value = tags.format_lock(tags.Lock(wish.what, wish.owner, now + wish.seconds, wish.by))
    if vpc and not check:
        set_tag(client, [vpc], name, value)
    return Outcome(True, vpc, value)


def release(client: Any, deployment: Deployment, wish: Wish, *, check: bool = False) -> Outcome:
    """Let go of the lock. One that is another's stays, and none is no error. Raises VpnhaError."""
    wish = _sound(wish)
    vpc = _vpc(client, deployment)
    if vpc is None:
        return Outcome(False, None)
    name = tags.lock_of(deployment.name)
    held, value = _read(client, vpc, name)
    if held is None or value is None or (held.owner != wish.owner and not wish.force):
        return Outcome(False, vpc, value)
    if not check:
        _clear(client, vpc, name, value)
    return Outcome(True, vpc)


def _sound(wish: Wish) -> Wish:
    """The wish with its owner as the tag will have it."""
    if not wish.owner or len(wish.owner) > _OWNER_MOST:
        raise VpnhaError(f"The owner of a lock needs a name of 1 to {_OWNER_MOST} characters.")
    if wish.seconds < 60:
        raise VpnhaError("A lock must last at least one minute.")
    return Wish(wish.what, tags.plain(wish.owner), tags.plain(wish.by)[:60], wish.seconds, wish.force)


def _taken_from(held: tags.Lock | None, wish: Wish, now: float, name: str, vpc: str) -> str:
    """A sentence about whose lock is taken; VpnhaError where it must not be taken."""
    if held is None or held.owner == wish.owner:
        return ""
    until = tags.format_time(held.until_wall)
    if held.until_wall <= now:
        return f"{_who(held)} has left the deployment's lock behind, which ended at {until}; it is taken over."
    if wish.force:
        return f"The deployment's lock is taken from {_who(held, 'the')}, which has it until {until}."
    if not held.readable:
        raise VpnhaError(
            f"The deployment's lock cannot be read; see what the tag {name} of {vpc} means, and remove it."
        )
    raise VpnhaError(
        f"{_who(held)} has the deployment's lock until {until}; wait until that is over, "
        "or if it has died take the lock with -e vpnha_lock_force=true."
    )


def _who(held: tags.Lock, article: str = "The") -> str:
    of = f" of {held.by}" if held.by and held.by != held.owner else ""
    return f"{article} {held.what or 'work'} {held.owner}{of}"


def _vpc(client: Any, deployment: Deployment) -> str | None:
    view = read_view(client, deployment)
    return vpc_of(view) if view.vpc_id or view.table_vpcs else None


def _read(client: Any, vpc: str, name: str) -> tuple[tags.Lock | None, str | None]:
    found = ec2.pages(
        client, "describe_tags", "Tags", "reading the lock",
        Filters=[{"Name": "resource-id", "Values": [vpc]}, {"Name": "key", "Values": [name]}],
    )  # fmt: skip
    value = next((str(tag["Value"]) for tag in found), None)
    return (None, None) if value is None else (tags.parse_lock(value), value)


def _clear(client: Any, vpc: str, name: str, value: str) -> None:
    """Removes the tag where it still has this value, so never another's."""
    tag = {"Key": name, "Value": value}
    ec2.call("releasing the lock", partial(client.delete_tags, Resources=[vpc], Tags=[tag]))
