# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes and removes the lease store of several monitors: a DynamoDB table that is paid by request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ec2, lease
from .errors import Ec2Error, VpnhaError

HASH, RANGE = "deployment", "item"
MADE = "vpnha:made"
_GONE = "ResourceNotFoundException"
_WAIT = 120.0  # seconds


@dataclass(frozen=True)
class Outcome:
    """What was done; ``arn`` is empty where there is no table."""

    changed: bool
    name: str
    arn: str = ""


def make(client: Any, deployment: str, *, check: bool, sleep: Callable[[float], None] = time.sleep) -> Outcome:
    """Make the table if it is missing, and wait until it can be used. Raises VpnhaError.

    A table of that name that somebody else has made is refused.
    """
    name = lease.table_name(deployment)
    there = _describe(client, name)
    if there is not None:
        _require_ours(client, there, deployment)
        return Outcome(False, name, _ready(client, name, sleep))
    if check:
        return Outcome(True, name)
    tags = {"vpnha:deployment": deployment, MADE: deployment}
    with ec2.telling(f"making the table {name}"):
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": HASH, "KeyType": "HASH"}, {"AttributeName": RANGE, "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in (HASH, RANGE)],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
    return Outcome(True, name, _ready(client, name, sleep))


def remove(client: Any, deployment: str, *, check: bool) -> Outcome:
    """Remove the table if we have made it. Raises VpnhaError."""
    name = lease.table_name(deployment)
    there = _describe(client, name)
    if there is None or _maker(client, there) != deployment:
        return Outcome(False, name)
    if not check:
        ec2.call(f"removing the table {name}", partial(client.delete_table, TableName=name))
    return Outcome(True, name)


def _require_ours(client: Any, table: dict[str, Any], deployment: str) -> None:
    name, maker = table["TableName"], _maker(client, table)
    if maker != deployment:
        raise VpnhaError(
            f"The table {name} does not carry the tag {MADE}={deployment}: somebody else has made it. "
            "Rename or remove it, or choose another name for the deployment."
        )
    keys = [each["AttributeName"] for each in table["KeySchema"]]
    if keys != [HASH, RANGE]:
        raise VpnhaError(f"The table {name} has the key {', '.join(keys)} and not {HASH}, {RANGE}; remove it.")


def _describe(client: Any, name: str) -> dict[str, Any] | None:
    try:
        answer = ec2.call(f"looking for the table {name}", partial(client.describe_table, TableName=name))
    except Ec2Error as error:
        if error.code == _GONE:
            return None
        raise
    table: dict[str, Any] = answer["Table"]
    return table


def _maker(client: Any, table: dict[str, Any]) -> str:
    doing = f"reading the tags of the table {table['TableName']}"
    answer = ec2.call(doing, partial(client.list_tags_of_resource, ResourceArn=table["TableArn"]))
    return {tag["Key"]: str(tag["Value"]) for tag in answer.get("Tags", [])}.get(MADE, "")


def _ready(client: Any, name: str, sleep: Callable[[float], None]) -> str:
    """The table's ARN, once it can be used."""
    for _try in range(int(_WAIT)):
        table = _describe(client, name)
        if table is not None and table["TableStatus"] in ("ACTIVE", "UPDATING"):
            return str(table["TableArn"])
        sleep(1.0)
    raise VpnhaError(f"The table {name} cannot be used after {_WAIT:g} s; look at it in the console, and try again.")
