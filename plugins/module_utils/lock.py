# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One drill or deploy at a time: a lock with an owner and an end, which is an empty security group in the VPC.

EC2 makes no second group of a name in a VPC, so of two that take the lock at the same moment one is refused. A group
is prolonged and deleted by its id, so nobody touches a lock that is another's by now. A tag on the VPC could do
neither: of two writes the later stands, and EC2 tells nobody.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from . import ec2, tags
from .errors import Ec2Error, VpnhaError
from .marks import set_tag
from .model import Deployment

_OWNER_MOST = 100  # characters; the whole value has 256


@dataclass(frozen=True)
class Wish:
    """Who wants the lock, and what for."""

    what: str  # "drill" or "deploy"
    owner: str
    by: str = ""  # for people
    seconds: float = 3600.0
    again: bool = False  # an owner that has it already has it again
    force: bool = False  # take it from whoever has it


@dataclass(frozen=True)
class Outcome:
    """What came of it. ``resource`` is the group, None where there is none; ``value`` is its tag."""

    changed: bool
    resource: str | None = None
    value: str | None = None
    told: str = ""  # about whose lock was taken
    taken_from: str = ""  # that one's owner


@dataclass(frozen=True)
class _Held:
    """A lock as EC2 shows it."""

    group: str
    lock: tags.Lock
    value: str


def take(client: Any, deployment: Deployment, wish: Wish, *, check: bool = False, now: float | None = None) -> Outcome:
    """Take the lock. Raises VpnhaError where somebody else has it."""
    wish = _sound(wish)
    vpc = _vpc(client, deployment)
    if vpc is None:
        return Outcome(False)
    now = ec2.CLOCK.now() if now is None else now
    mine = tags.Lock(wish.what, wish.owner, now + wish.seconds, wish.by, secrets.token_hex(4))
    value = tags.format_lock(mine)
    group = None if check else _make(client, vpc, deployment.name, mine)
    if group is not None:
        return Outcome(True, group, value)
    held = _find(client, deployment.name)
    if held is None:
        if not check:
            raise _late()
        return Outcome(True, None, value)
    if held.lock.owner == wish.owner and wish.again:
        return _prolong(client, wish, held, replace(mine, run=held.lock.run), check)
    told = _taken_from(held, wish, now)
    if not check:
        _delete(client, held.group)
        group = _make(client, vpc, deployment.name, mine)
        if group is None:
            raise _late()
    return Outcome(True, group, value, told, held.lock.owner)


def keep(client: Any, deployment: Deployment, wish: Wish, *, check: bool = False, now: float | None = None) -> Outcome:
    """See that the owner still has the lock, and prolong it. Raises VpnhaError if not."""
    wish = _sound(wish)
    held = _find(client, deployment.name)
    now = ec2.CLOCK.now() if now is None else now
    if held is None or held.lock.owner != wish.owner:
        raise _lost(wish, held)
    if held.lock.until_wall <= now:
        until = tags.format_time(held.lock.until_wall)
        raise VpnhaError(f"This {wish.what} had the deployment's lock until {until} only.")
    return _prolong(client, wish, held, replace(held.lock, until_wall=now + wish.seconds), check)


def release(client: Any, deployment: Deployment, wish: Wish, *, check: bool = False) -> Outcome:
    """Let go of the lock. One that is another's stays, and none is no error. Raises VpnhaError."""
    wish = _sound(wish)
    held = _find(client, deployment.name)
    if held is None:
        return Outcome(False)
    if held.lock.owner != wish.owner and not wish.force:
        return Outcome(False, held.group, held.value)
    if not check:
        _delete(client, held.group)
    return Outcome(True)


def _sound(wish: Wish) -> Wish:
    """The wish with its owner as the tag will have it."""
    if not wish.owner or len(wish.owner) > _OWNER_MOST:
        raise VpnhaError(f"The owner of a lock needs a name of 1 to {_OWNER_MOST} characters.")
    if wish.seconds < 60:
        raise VpnhaError("A lock must last at least one minute.")
    return replace(wish, owner=tags.plain(wish.owner), by=tags.plain(wish.by)[:60])


def _taken_from(held: _Held, wish: Wish, now: float) -> str:
    """A sentence about whose lock is taken; VpnhaError where it must not be taken."""
    until = tags.format_time(held.lock.until_wall)
    if held.lock.until_wall <= now:
        return f"{_who(held)} has left the deployment's lock behind, which ended at {until}; it is taken over."
    if wish.force:
        return f"The deployment's lock is taken from {_who(held, 'the')}, which has it until {until}."
    if not held.lock.readable:
        raise VpnhaError(
            f"The deployment's lock cannot be read; see what the tag {tags.LOCK} of {held.group} means, and delete "
            "that security group."
        )
    raise VpnhaError(
        f"{_who(held)} has the deployment's lock until {until}; wait until that is over, "
        "or if it has died take the lock with -e vpnha_lock_force=true."
    )


def _late() -> VpnhaError:
    return VpnhaError("Somebody else has taken the deployment's lock at the same moment; start again.")


def _lost(wish: Wish, held: _Held | None) -> VpnhaError:
    who = f", and {_who(held, 'the')} has it now" if held is not None else ""
    return VpnhaError(f"This {wish.what} has lost the deployment's lock{who}.")


def _who(held: _Held, article: str = "The") -> str:
    lock = held.lock
    of = f" of {lock.by}" if lock.by and lock.by != lock.owner else ""
    return f"{article} {lock.what or 'work'} {lock.owner}{of}"


# --- EC2 -------------------------------------------------------------------------------------------------------------


def _vpc(client: Any, deployment: Deployment) -> str | None:
    """Where the deployment's interfaces are; None where there are none yet, and so nothing to lock."""
    found = ec2.pages(
        client, "describe_network_interfaces", "NetworkInterfaces", "reading the network interfaces",
        Filters=tags.filters(deployment.name),
    )  # fmt: skip
    vpcs = sorted({str(each["VpcId"]) for each in found})
    if len(vpcs) > 1:
        raise VpnhaError(f"The deployment is spread over {', '.join(vpcs)}; give each VPC a deployment of its own.")
    return vpcs[0] if vpcs else None


def _make(client: Any, vpc: str, deployment: str, lock: tags.Lock) -> str | None:
    """The id of a group with this lock; None where there is another's already."""
    about = f"Lets one drill or deploy of {deployment} work at a time; nothing else uses this group"
    make = partial(
        client.create_security_group,
        GroupName=tags.lock_of(deployment),
        Description=about,
        VpcId=vpc,
        TagSpecifications=[
            {"ResourceType": "security-group", "Tags": tags.to_list({tags.LOCK: tags.format_lock(lock)})}
        ],
    )
    try:
        return str(ec2.call("taking the lock", make)["GroupId"])
    except Ec2Error as error:
        if error.code != "InvalidGroup.Duplicate":
            raise
    held = _find(client, deployment)
    return held.group if held is not None and held.lock.run == lock.run else None  # a try before got no answer


def _find(client: Any, deployment: str) -> _Held | None:
    found = ec2.pages(
        client, "describe_security_groups", "SecurityGroups", "reading the lock",
        Filters=[{"Name": "group-name", "Values": [tags.lock_of(deployment)]}],
    )  # fmt: skip
    if not found:
        return None
    value = tags.to_dict(found[0].get("Tags")).get(tags.LOCK, "")
    return _Held(str(found[0]["GroupId"]), tags.parse_lock(value), value)


def _prolong(client: Any, wish: Wish, held: _Held, lock: tags.Lock, check: bool) -> Outcome:
    value = tags.format_lock(lock)
    if not check:
        try:
            set_tag(client, [held.group], tags.LOCK, value)
        except Ec2Error as error:
            if not error.code.endswith("NotFound"):
                raise
            raise _lost(wish, None) from error
    return Outcome(True, held.group, value)


def _delete(client: Any, group: str) -> None:
    """Deletes the group; that somebody else has done so is no error."""
    try:
        ec2.call("releasing the lock", partial(client.delete_security_group, GroupId=group))
    except Ec2Error as error:
        if not error.code.endswith("NotFound"):
            raise
