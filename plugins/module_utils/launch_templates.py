# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch templates that gateways are replaced from: one for each gateway, with all that its instance is.

amazon.aws.ec2_launch_template compares a template with what it asked for word by word; EC2 adds words of its own (the
state of the metadata options, for one), so that each run would make another version.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ec2, gateway_bundle, tags
from .items import Item


@dataclass(frozen=True)
class Wanted:
    """What a gateway's instance is launched with."""

    deployment: str
    gateway: str
    image: str
    instance_type: str
    interface: str
    profile: str  # name of the instance profile
    key_name: str  # empty: none
    region: str
    endpoint_url: str  # empty: AWS's own


def data_of(one: Wanted) -> dict[str, Any]:
    """The data of a gateway's launch template, in EC2's words."""
    told = {"bundle": gateway_bundle.name_of(one.deployment, one.gateway), "region": one.region}
    if one.endpoint_url:
        told["endpoint_url"] = one.endpoint_url
    # cloud-init takes it for its own configuration, with nothing in it that it knows
    user_data = "#cloud-config\n" + json.dumps({"vpnha": told}, sort_keys=True) + "\n"
    made = {
        tags.DEPLOYMENT: one.deployment, tags.MADE: one.deployment, tags.ROLE: "gateway", tags.GATEWAY: one.gateway,
        "Name": one.gateway,
    }  # fmt: skip
    return {
        "ImageId": one.image,
        "InstanceType": one.instance_type,
        "NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": one.interface}],
        "IamInstanceProfile": {"Name": one.profile},
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "UserData": base64.b64encode(user_data.encode()).decode(),
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags.to_list(made)}],
        **({"KeyName": one.key_name} if one.key_name else {}),
    }


def see_to(client: Any, deployment: str, wanted: Sequence[Wanted], check: bool) -> tuple[dict[str, str], list[str]]:
    """Make the gateways' templates what they should be: their ids by gateway, and the names of those that differed.

    A template of a gateway that is no longer there is deleted. ``check``: change nothing. Raises VpnhaError.
    """
    there = {str(one["LaunchTemplateName"]): one for one in _made(client, deployment)}
    ids: dict[str, str] = {}
    changed: list[str] = []
    for each in wanted:
        name, data = tags.launch_template(deployment, each.gateway), data_of(each)
        found = there.pop(name, None)
        if found is not None:
            ids[each.gateway] = str(found["LaunchTemplateId"])
            if same(data, _latest(client, name)):
                continue
        changed.append(name)
        if check:
            continue
        if found is None:
            ids[each.gateway] = _create(client, deployment, name, data)
        else:
            _renew(client, name, data)
    return ids, changed + _delete(client, sorted(there), check)


def names(client: Any, deployment: str) -> list[str]:
    """The names of the templates that were made for a deployment. Raises VpnhaError."""
    return sorted(str(one["LaunchTemplateName"]) for one in _made(client, deployment))


def remove(client: Any, deployment: str, check: bool) -> list[str]:
    """Delete all templates that were made for a deployment; their names. Raises VpnhaError."""
    return _delete(client, names(client, deployment), check)


def same(wanted: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    """Whether a template says what is wanted, and nothing else but words that EC2 adds inside of it."""
    return set(wanted) == set(shown) and _within(wanted, shown)


def _within(wanted: Any, shown: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(shown, Mapping) and all(key in shown and _within(wanted[key], shown[key]) for key in wanted)
    if isinstance(wanted, list):
        if not isinstance(shown, list) or len(wanted) != len(shown):
            return False
        if wanted and all(isinstance(one, Mapping) and "Key" in one for one in wanted):  # EC2 gives tags in any order
            return tags.to_dict(wanted) == tags.to_dict(shown)
        return all(map(_within, wanted, shown))
    return bool(wanted == shown)


def _made(client: Any, deployment: str) -> list[dict[str, Any]]:
    mine = [{"Name": f"tag:{tags.MADE}", "Values": [deployment]}]
    return ec2.pages(
        client, "describe_launch_templates", "LaunchTemplates", "reading the launch templates", Filters=mine
    )


def _latest(client: Any, name: str) -> Item:
    request = partial(client.describe_launch_template_versions, LaunchTemplateName=name, Versions=["$Default"])
    versions: list[Item] = ec2.call(f"reading the launch template {name}", request)["LaunchTemplateVersions"]
    data: Item = versions[0]["LaunchTemplateData"] if versions else {}
    return data


def _create(client: Any, deployment: str, name: str, data: Mapping[str, Any]) -> str:
    made = tags.to_list({tags.DEPLOYMENT: deployment, tags.MADE: deployment})
    specification = [{"ResourceType": "launch-template", "Tags": made}]
    with ec2.telling(f"making the launch template {name}"):
        answer = client.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=specification
        )
    return str(answer["LaunchTemplate"]["LaunchTemplateId"])


def _renew(client: Any, name: str, data: Mapping[str, Any]) -> None:
    """Another version that is the default one; the former ones stay, and nothing launches from them."""
    with ec2.telling(f"changing the launch template {name}"):
        answer = client.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)
        number = str(answer["LaunchTemplateVersion"]["VersionNumber"])
        client.modify_launch_template(LaunchTemplateName=name, DefaultVersion=number)


def _delete(client: Any, names: Sequence[str], check: bool) -> list[str]:
    for name in names if not check else ():
        ec2.call(
            f"deleting the launch template {name}", partial(client.delete_launch_template, LaunchTemplateName=name)
        )
    return list(names)
