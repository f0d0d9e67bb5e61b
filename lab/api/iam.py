# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: the part of IAM that roles' policies meet here, decided by access key, action, resource and tag.

The controller's key ``lab`` may do everything. Credentials of a role (from the metadata service or AssumeRole) may do
what the role's policies allow. Signatures are not checked: a proxy in front of the endpoint rewrites what they cover.
"""

from __future__ import annotations

import fnmatch
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CONTROLLER = "lab"

Context = Mapping[str, tuple[str, ...]]  # condition keys in lower case to their values


class Refused(Exception):
    """A request that is not served: an AWS error code, its text and the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Resource:
    """Something that an action works on."""

    arn: str = "*"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Caller:
    """Who sent a request; ``policies`` are JSON documents, None for the controller, who needs none."""

    arn: str
    policies: tuple[str, ...] | None


def caller(account: str, access_key: str, token: str | None, *, ec2: bool) -> Caller:
    """The sender of a request. Raises Refused for an unknown key, a wrong session token or expired credentials."""
    if access_key == CONTROLLER:
        return Caller(f"arn:aws:iam::{account}:user/{CONTROLLER}", None)
    from moto.core.utils import utcnow
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    session = sts_backends[account]["aws"].get_assumed_role_from_access_key(access_key)
    if session is None or session.session_token != token:
        code, status = ("AuthFailure", 401) if ec2 else ("InvalidClientTokenId", 403)
        raise Refused(code, "AWS was not able to validate the provided access credentials", status)
    if session.expiration < utcnow():
        raise Refused("RequestExpired" if ec2 else "ExpiredToken", "Request has expired.", 400)
    roles = iam_backends[account]["aws"].roles.values()
    role = next((role for role in roles if role.arn == session.role_arn), None)
    if role is None:
        return Caller(session.arn, ())
    managed = (policy.document for policy in role.managed_policies.values())
    return Caller(session.arn, (*role.policies.values(), *managed))


def check(who: Caller, action: str, resources: Iterable[Resource], context: Context, *, ec2: bool) -> None:
    """Raise Refused unless the caller may do ``action`` ("ec2:ReplaceRoute") on every one of the resources."""
    if who.policies is None or action == "sts:GetCallerIdentity":
        return
    for resource in resources:
        if not allowed(who.policies, action, resource, context):
            message = f"User: {who.arn} is not authorized to perform: {action} on resource: {resource.arn}"
            if ec2:
                raise Refused("UnauthorizedOperation", f"You are not authorized to perform this operation. {message}")
            raise Refused("AccessDenied", message)


def allowed(policies: Iterable[str], action: str, resource: Resource, context: Context) -> bool:
    """Whether the policies allow it: some statement does, and none denies it."""
    effects = {
        statement["Effect"]
        for document in policies
        for statement in _statements(document)
        if _applies(statement, action, resource, context)
    }
    return effects == {"Allow"}


@functools.lru_cache(maxsize=256)
def _statements(document: str) -> list[dict[str, Any]]:
    return _list(json.loads(document)["Statement"])


def _applies(statement: Mapping[str, Any], action: str, resource: Resource, context: Context) -> bool:
    return (
        _named(statement, "Action", action.lower(), fold=True)
        and _named(statement, "Resource", resource.arn, fold=False)
        and _conditions(statement.get("Condition", {}), resource, context)
    )


def _named(statement: Mapping[str, Any], element: str, value: str, *, fold: bool) -> bool:
    if f"Not{element}" in statement:
        return not _like(value, _list(statement[f"Not{element}"]), fold=fold)
    return _like(value, _list(statement.get(element, [])), fold=fold)


def _like(value: str, patterns: Iterable[str], *, fold: bool) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern.lower() if fold else pattern) for pattern in patterns)


def _conditions(blocks: Mapping[str, Mapping[str, Any]], resource: Resource, context: Context) -> bool:
    tags = {
        f"{prefix}:resourcetag/{key.lower()}": (value,)
        for key, value in resource.tags.items()
        for prefix in ("aws", "ec2")
    }
    known = {**context, **tags}
    return all(
        _condition(operator, known.get(key.lower(), ()), [str(each) for each in _list(wanted)])
        for operator, keys in blocks.items()
        for key, wanted in keys.items()
    )


def _condition(operator: str, values: tuple[str, ...], wanted: list[str]) -> bool:
    """One line of a condition. An operator that is not known here never holds, so it grants nothing by mistake."""
    quantifier, _, name = operator.rpartition(":")
    optional, name = name.endswith("IfExists"), name.removesuffix("IfExists")
    if name == "Null":
        return (not values) == (wanted[0].lower() == "true")
    if not values and (optional or quantifier == "ForAllValues"):
        return True
    negative, name = "Not" in name, name.replace("Not", "")
    if name in ("StringEquals", "ArnEquals", "Bool", "StringEqualsIgnoreCase"):
        exact = name in ("StringEquals", "ArnEquals")
        hits = [value in wanted or (not exact and value.lower() in [w.lower() for w in wanted]) for value in values]
    elif name in ("StringLike", "ArnLike"):
        hits = [_like(value, wanted, fold=False) for value in values]
    else:
        return False
    if negative:
        return not any(hits)
    return all(hits) if quantifier == "ForAllValues" else any(hits)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
