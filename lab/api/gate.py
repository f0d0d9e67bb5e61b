# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands before every service of the endpoint: the sender's clock, the sender's credentials, the right to call.

EC2's own permissions are decided later, where the parameters are known; DynamoDB's by action and table, Secrets
Manager's by action and secret, SNS's by action and topic, CloudWatch's by action and namespace, those of other services
by action only.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from lab.api import iam
from lab.api.hook import refusal
from lab.api.iam import Refused, Resource
from lab.api.lab import ACCOUNT, REGION

_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d{8}/[^/]+/([^/]+)/aws4_request")
_IAM_NAMES = {"monitoring": "cloudwatch"}  # where a service signs by another name than IAM knows it by
_SKEW = 300.0  # seconds by which a clock may be off

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Gate:
    """WSGI middleware around moto's applications; leaves the sender in ``environ["lab.caller"]``."""

    def __init__(self, app: Wsgi, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._app, self._now = app, now

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        service = scope.group(2) if scope else "ec2"
        try:
            if scope is None:
                raise Refused("AuthFailure", "The request is not signed: send it with credentials.", 401)
            self._check_clock(environ.get("HTTP_X_AMZ_DATE", ""))
            token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
            who = iam.caller(ACCOUNT, scope.group(1), token, ec2=service == "ec2")
            environ["lab.caller"] = who
            if service != "ec2" and who.policies is not None:
                named = _NAMED.get(service, lambda _environ: [Resource()])
                action = f"{_IAM_NAMES.get(service, service)}:{_action(environ)}"
                iam.check(who, action, named(environ), _context(service, environ), ec2=False)
        except Refused as error:
            return _answer(error, service, environ, start_response)
        return self._app(environ, start_response)

    def _check_clock(self, stamp: str) -> None:
        try:
            sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise Refused("AuthFailure", f"The request's X-Amz-Date is not a time: {stamp!r}.", 401) from None
        off = (self._now() - sent).total_seconds()
        if abs(off) > _SKEW:
            raise Refused("RequestExpired", f"Request has expired: its clock is {off:.0f} s off.", 400)


def _action(environ: dict[str, Any]) -> str:
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    if target:
        return target.rsplit(".", 1)[-1]
    form: dict[str, list[str]] = parse_qs(_body(environ).decode("utf-8", "replace"))
    return form.get("Action", ["?"])[0]


def _tables(environ: dict[str, Any]) -> list[Resource]:
    """The table that a call of DynamoDB names; one that names none works on everything."""
    try:
        name = json.loads(_body(environ))["TableName"]
    except (ValueError, KeyError, TypeError):
        return [Resource()]
    return [Resource(f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")]


def _context(service: str, environ: dict[str, Any]) -> iam.Context:
    """The condition keys of a call: the namespace of CloudWatch's metrics, in either form of the request."""
    if service != "monitoring":
        return {}
    body = _body(environ).decode("utf-8", "replace")
    try:
        namespace = json.loads(body)["Namespace"]
    except (ValueError, KeyError, TypeError):
        namespace = parse_qs(body).get("Namespace", [None])[0]
    return {"cloudwatch:namespace": (str(namespace),)} if namespace else {}


def _secret(environ: dict[str, Any]) -> list[Resource]:
    """The secret that a call names. Its ARN ends in six characters that nobody chooses."""
    named = str(json.loads(_body(environ) or b"{}").get("SecretId", ""))
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{named}-AbCdEf"
    return [Resource(named if named.startswith("arn:") else arn)]


def _topic(environ: dict[str, Any]) -> list[Resource]:
    """The topic that a call of SNS names; one that names none works on everything."""
    arn = parse_qs(_body(environ).decode("utf-8", "replace")).get("TopicArn")
    return [Resource(arn[0]) if arn else Resource()]


_NAMED = {"dynamodb": _tables, "secretsmanager": _secret, "sns": _topic}


def _body(environ: dict[str, Any]) -> bytes:
    """The request's body, which is left to be read again."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _answer(error: Refused, service: str, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    kind = "text/xml"
    if service == "ec2":
        body = str(refusal(error.code, error.message)[2])
    elif environ.get("HTTP_X_AMZ_TARGET"):
        kind, body = "application/x-amz-json-1.1", json.dumps({"__type": error.code, "message": error.message})
    else:
        inner = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        body = f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error><RequestId>lab</RequestId></ErrorResponse>"
    start_response(f"{error.status} Refused", [("Content-Type", kind), ("Content-Length", str(len(body.encode())))])
    return [body.encode()]
