# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RunInstances from a launch template: what is launched then, and who may do it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from lab.api import iam
from lab.api.iam import Caller, Resource

_TAKEN = ("ImageId", "InstanceType", "KeyName", "NetworkInterfaces", "IamInstanceProfile", "MetadataOptions")
_NO_OVERRIDE = {"Action", "Version", "LaunchTemplate", "MinCount", "MaxCount", "ClientToken", "DryRun"}


def template_data(backend: Any, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Id and data of the launch template that a request names; ("", {}) without one."""
    named = params.get("LaunchTemplate")
    if not named:
        return "", {}
    version = backend._get_template_from_args(named)
    return str(version.template.id), dict(version.data)


def fill_in(backend: Any, params: dict[str, Any]) -> None:
    """Let a request have what its template says and it does not; moto takes tags and user data by itself."""
    _id, data = template_data(backend, params)
    for key in _TAKEN:
        if key in data:
            params.setdefault(key, copy.deepcopy(data[key]))


def permit(who: Caller, backend: Any, params: Mapping[str, Any], context: iam.Context, account: str) -> None:
    """Raise Refused unless the caller may launch all of it, tag it, and give it its role."""
    template, data = template_data(backend, params)
    asked = {**data, **params}
    untouched = template and set(params) <= _NO_OVERRIDE
    where = f"arn:aws:ec2:{backend.region_name}:{account}"
    launched = {
        **context,
        "ec2:launchtemplate": (f"{where}:launch-template/{template}",) if template else (),
        "ec2:islaunchtemplateresource": ("true" if untouched else "false",),
    }
    iam.check(who, "ec2:RunInstances", _resources(backend, asked, where), launched, ec2=True)
    specs = [spec for spec in asked.get("TagSpecifications", []) if spec.get("ResourceType") == "instance"]
    tags = [tag for spec in specs for tag in spec.get("Tags", [])]
    if tags:
        tagged = {
            **context,
            "ec2:createaction": ("RunInstances",),
            "aws:tagkeys": tuple(tag["Key"] for tag in tags),
            **{f"aws:requesttag/{tag['Key'].lower()}": (tag["Value"],) for tag in tags},
        }
        iam.check(who, "ec2:CreateTags", [Resource(f"{where}:instance/*")], tagged, ec2=True)
    passed = {"iam:passedtoservice": ("ec2.amazonaws.com",)}
    iam.check(who, "iam:PassRole", _roles(account, asked.get("IamInstanceProfile", {})), passed, ec2=True)


def _resources(backend: Any, asked: Mapping[str, Any], where: str) -> Iterator[Resource]:
    yield Resource(f"{where}:instance/*")
    yield Resource(f"arn:aws:ec2:{backend.region_name}::image/{asked.get('ImageId')}")
    if asked.get("KeyName"):
        yield Resource(f"{where}:key-pair/{asked['KeyName']}")
    for interface in asked.get("NetworkInterfaces", []):
        given = interface.get("NetworkInterfaceId", "*")
        yield Resource(f"{where}:network-interface/{given}", dict(backend.tags.get(given, {})))


def _roles(account: str, profile: Mapping[str, str]) -> Iterator[Resource]:
    from moto.iam.models import iam_backends

    for each in iam_backends[account]["aws"].instance_profiles.values():
        if profile and (each.arn == profile.get("Arn") or each.name == profile.get("Name")):
            yield from (Resource(role.arn) for role in each.roles)
