# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was there before the deployment, and is taken over by tags that people set: interfaces and instances. Pure.

What the collection has made carries `vpnha:made`. What lacks it is a person's: it gets what the deployment needs on top
of what it has, nothing is taken from it, and it is never deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import tags
from .items import Item

_ENDING = ("shutting-down", "terminated")
_OF_AMAZON = "amazon"  # the owner of a public address that goes when its instance stops


def is_made(tag_list: Sequence[Any] | None, deployment: str) -> bool:
    """Whether the collection has made it for the deployment, and so may delete it."""
    return tags.to_dict(tag_list).get(tags.MADE) == deployment


def owner(tag_list: Sequence[Any] | None, deployment: str) -> str:
    """The other deployment that something belongs to; empty if to none."""
    name = tags.to_dict(tag_list).get(tags.DEPLOYMENT, "")
    return name if name != deployment else ""


def how_to_tag(name: str, deployment: str) -> str:
    """The tags by which a host is found, in words."""
    return f"{tags.DEPLOYMENT}={deployment} and Name={name}"


def living(instances: Sequence[Item]) -> list[Item]:
    """Those that have not been terminated."""
    return [one for one in instances if one["State"]["Name"] not in _ENDING]


def attached_to(eni: Item, instances: Sequence[Item]) -> Item | None:
    """The instance that has an interface."""
    wanted = (eni.get("Attachment") or {}).get("InstanceId")
    return next((one for one in living(instances) if one["InstanceId"] == wanted), None)


def instance_tags(deployment: str, name: str, role: str) -> dict[str, str]:
    """The tags by which the monitor, its rights and the playbooks find the instance of a host."""
    tag = {"Name": name, tags.DEPLOYMENT: deployment, tags.ROLE: role}
    return tag | {tags.GATEWAY: name} if role == "gateway" else tag


def tags_beside(deployment: str, wanted: Mapping[str, str], tag_list: Sequence[Any] | None) -> Mapping[str, str]:
    """The wanted tags of something that is there: what a person has made does not become the collection's own."""
    if is_made(tag_list, deployment):
        return wanted
    return {key: value for key, value in wanted.items() if key != tags.MADE}


def taken(deployment: str, name: str, where: str, eni: Item) -> str:
    """That a host's address, ``where`` in words, is that of another interface."""
    other, start = owner(eni.get("TagSet"), deployment), f"{where} is taken by {eni['NetworkInterfaceId']}, which"
    if other:
        return f"{start} belongs to the deployment {other}; give {name} another address, or tear that down first."
    return (
        f"{start} is not {name}'s; give {name} another address, or remove that interface, or tag it "
        f"{how_to_tag(name, deployment)} to have it taken over."
    )


def others_table(subnet_id: str, table_id: str, other: str) -> str:
    """That a subnet's route table is another deployment's."""
    return (
        f"{subnet_id} uses {table_id}, which the deployment {other} looks after; give the subnet another table, or "
        f"take the tag {tags.DEPLOYMENT} off that one."
    )


def problems(deployment: str, names: Sequence[str], enis: Sequence[Item], instances: Sequence[Item]) -> list[str]:
    """Why hosts of those names cannot be what the tags say, one sentence each.

    ``enis``: of the deployment; ``instances``: of the deployment, and those that have one of the interfaces.
    """
    out: list[str] = []
    for name in names:
        tagged = [eni for eni in enis if tags.to_dict(eni.get("TagSet")).get("Name") == name]
        if len(tagged) > 1:
            out.append(_claimed(name, deployment, "interfaces", [eni["NetworkInterfaceId"] for eni in tagged]))
            continue
        its = [one for one in living(instances) if _is(one, name, deployment)]
        if len(its) > 1:
            out.append(_claimed(name, deployment, "instances", [one["InstanceId"] for one in its]))
            continue
        if tagged:
            out += _interface_problems(name, deployment, tagged[0], its, instances)
        elif its:
            out.append(
                f"{its[0]['InstanceId']} is tagged as {name}, but no interface is: tag its first network interface "
                f"{how_to_tag(name, deployment)} as well, or take these tags off the instance."
            )
    return out


def _interface_problems(
    name: str, deployment: str, eni: Item, its: Sequence[Item], instances: Sequence[Item]
) -> Iterator[str]:
    eni_id, holder = eni["NetworkInterfaceId"], attached_to(eni, instances)
    if holder is not None and not _is(holder, name, deployment):
        yield (
            f"{name}'s interface {eni_id} is that of {holder['InstanceId']}, which is not tagged as {name}: tag it "
            f"{how_to_tag(name, deployment)} as well, or take these tags off the interface."
        )
    elif holder is None and its:
        yield (
            f"{its[0]['InstanceId']} is tagged as {name}, but {name}'s interface {eni_id} is not attached to it: tag "
            f"the interface that it has {how_to_tag(name, deployment)}, and take these tags off the other one."
        )
    association = eni.get("Association") or {}
    if association.get("IpOwnerId") == _OF_AMAZON:
        yield (
            f"{name}'s public address {association.get('PublicIp')} is no Elastic IP, and would be lost at the next "
            "stop: give the interface an Elastic IP first, and tell its peers."
        )


def _is(instance: Item, name: str, deployment: str) -> bool:
    tag = tags.to_dict(instance.get("Tags"))
    return tag.get("Name") == name and tag.get(tags.DEPLOYMENT) == deployment


def _claimed(name: str, deployment: str, things: str, ids: Sequence[str]) -> str:
    return (
        f"The {things} {' and '.join(sorted(ids))} are all tagged as {name}: leave the tags "
        f"{how_to_tag(name, deployment)} on one of them only."
    )
