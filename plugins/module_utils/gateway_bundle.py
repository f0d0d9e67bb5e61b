# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What configures a replaced gateway: an archive in Secrets Manager, in as many secrets as it takes.

A secret has 64 KB at most. Each begins with a line that says which part it is of how many, and the checksum of the
whole: who reads while they are being written can tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from . import ec2, tags
from .errors import Ec2Error, VpnhaError

PART = 60 * 1024
MOST = 8
_HEAD = "vpnha1 {number}/{count} {digest}\n"


def name_of(deployment: str, gateway: str) -> str:
    """The part of the secrets' names before their numbers."""
    return f"vpnha/{deployment}/{gateway}"


def split(archive: bytes) -> list[bytes]:
    """The secrets' contents. VpnhaError when there would be too many."""
    count = max(1, -(-len(archive) // PART))
    if count > MOST:
        raise VpnhaError(
            f"The gateway's bundle has {len(archive)} bytes, more than {MOST} secrets of {PART} bytes hold; "
            "spread the sites over more gateways, or set vpnha_repair to restart."
        )
    digest = hashlib.sha256(archive).hexdigest()
    return [
        _HEAD.format(number=number + 1, count=count, digest=digest).encode()
        + archive[number * PART : (number + 1) * PART]
        for number in range(count)
    ]


def store(client: Any, deployment: str, gateway: str, archive: bytes, check: bool) -> list[str]:
    """Let Secrets Manager hold a gateway's bundle; the secrets that differed. ``check``: change nothing.

    Raises VpnhaError.
    """
    parts, name = split(archive), name_of(deployment, gateway)
    held = _of_deployment(client, deployment)
    made = {tags.DEPLOYMENT: deployment, tags.MADE: deployment, tags.GATEWAY: gateway}
    changed = []
    for number, part in enumerate(parts, 1):
        secret = f"{name}/{number}"
        if secret in held and _value(client, secret) == part:
            continue
        changed.append(secret)
        if check:
            continue
        if secret in held:
            request = partial(client.put_secret_value, SecretId=secret, SecretBinary=part)
        else:
            text = f"Configuration of the VPN gateway {gateway} of {deployment}, for an instance that replaces it"
            request = partial(
                client.create_secret, Name=secret, Description=text, SecretBinary=part, Tags=tags.to_list(made)
            )
        ec2.call(f"writing the secret {secret}", request)
    mine = {f"{name}/{number}" for number in range(1, len(parts) + 1)}
    left = sorted(secret for secret in held if secret.startswith(f"{name}/") and secret not in mine)
    return changed + _delete(client, left, check)


def remove(client: Any, deployment: str, check: bool, keep: Collection[str] = ()) -> list[str]:
    """Delete a deployment's bundles for good, but those of some gateways; the secrets that went. Raises VpnhaError."""
    kept = tuple(f"{name_of(deployment, gateway)}/" for gateway in keep)
    return _delete(client, [one for one in _of_deployment(client, deployment) if not one.startswith(kept)], check)


def _of_deployment(client: Any, deployment: str) -> list[str]:
    """Names of the secrets that were made for a deployment."""
    filters = [{"Key": "name", "Values": [f"vpnha/{deployment}/"]}]
    doing = "listing the bundles in Secrets Manager"
    found = ec2.pages(client, "list_secrets", "SecretList", doing, Filters=filters)
    return sorted(
        str(secret["Name"]) for secret in found if tags.to_dict(secret.get("Tags")).get(tags.MADE) == deployment
    )


def _value(client: Any, secret: str) -> bytes | None:
    """What a secret holds; None for one that was begun and has nothing in it."""
    try:
        answer = ec2.call(f"reading the secret {secret}", partial(client.get_secret_value, SecretId=secret))
    except Ec2Error as error:
        if error.code == "ResourceNotFoundException":
            return None
        raise
    return bytes(answer["SecretBinary"]) if "SecretBinary" in answer else None


def _delete(client: Any, secrets: Sequence[str], check: bool) -> list[str]:
    for secret in secrets if not check else ():
        request = partial(client.delete_secret, SecretId=secret, ForceDeleteWithoutRecovery=True)
        ec2.call(f"deleting the secret {secret}", request)
    return list(secrets)
