# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where every EC2 action passes: permission, limits, DryRun before it; the data plane after it, before the answer."""

from __future__ import annotations

import logging
import re
from typing import Any
from xml.sax.saxutils import escape

from botocore.model import OperationNotFoundError
from moto.core.exceptions import ServiceException

from lab.api import iam, launching
from lab.api.actions import Actions
from lab.api.iam import Refused, Resource
from lab.api.lab import ACCOUNT, REGION, Answer
from lab.net.desired import route_eni

_LOG = logging.getLogger(__name__)
_ID = re.compile(r"[a-z]+-[0-9a-f]{8,}")

_READS = ("Describe", "Get", "List", "Search")
_ROUTES = ("CreateRoute", "ReplaceRoute", "DeleteRoute")  # EC2 asks for permission on the table only
_TAGS = ("CreateTags", "DeleteTags")


class LabEC2(Actions):
    """moto's EC2, obeyed by packets."""

    def _dispatch(self, request: Any, full_url: str | None = None, headers: Any = None) -> Answer:
        try:
            self.setup_class(request, full_url, headers)
        except OperationNotFoundError as error:
            return refusal("Unsupported", f"The lab's EC2 does not know this action: {error}")
        return self.call_action()

    def call_action(self) -> Answer:
        action = str(self._get_action())
        self._before: str | None = None
        answer = self._answer(action)
        who = self.normalized_request.environ["lab.caller"]
        self.lab.calls.add(action, who.arn, answer, **self._named(action))
        return answer

    def _answer(self, action: str) -> Answer:
        try:
            return self._serve(action)
        except Refused as error:
            return refusal(error.code, error.message, error.status)
        except ServiceException as error:
            return refusal(str(error.code), str(error.message))
        except NotImplementedError as error:
            return refusal("Unsupported", f"The lab's EC2 cannot do this: {error}")
        except Exception:
            _LOG.exception("%s failed", action)
            return refusal("InternalError", "An internal error has occurred; see the log of the lab's endpoint.", 500)

    def _serve(self, action: str) -> Answer:
        read = action.startswith(_READS)
        self._permit(action, read)
        filtered = any(key != "MaxResults" for key in self.params)
        if self.lab.settings.throttle and not self.lab.buckets.take(action, filtered):
            raise Refused("RequestLimitExceeded", "Request limit exceeded.", 503)
        if self._get_bool_param("DryRun", False):
            raise Refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        if read:
            return super().call_action()  # type: ignore[no-any-return]
        with self.lab.lock:
            return self._mutate(action)

    def _mutate(self, action: str) -> Answer:
        token = self._get_param("ClientToken")
        asked = repr(sorted(self.querystring.items()))
        done = self.lab.done.get((action, token)) if token else None
        if done is not None:
            if done[0] != asked:
                raise Refused("IdempotentParameterMismatch", f"The client token {token} was used otherwise.", 400)
            return done[1]
        table = self.ec2_backend.route_tables.get(self._get_param("RouteTableId")) if action in _ROUTES else None
        if table is not None:
            self.lab.stale.remember(table)
            self._before = _leads_to(table, self._destination())
        answer: Answer = super().call_action()
        if token and answer[0] < 300:
            self.lab.done[action, token] = (asked, answer)
        if self.region == REGION:
            self._apply(action)
        return answer

    def _apply(self, action: str) -> None:
        if action in _ROUTES:
            self.lab.sync_table(self._get_param("RouteTableId"))
        elif action in _TAGS:
            self.lab.machines.register()
        else:
            self.lab.sync()

    def _permit(self, action: str, read: bool) -> None:
        who = self.normalized_request.environ["lab.caller"]
        if who.policies is None:
            return
        resources = [Resource()] if read else self._resources(action) or [Resource()]
        context: dict[str, tuple[str, ...]] = {"aws:requestedregion": (self.region,), "ec2:region": (self.region,)}
        specified = [tag for spec in self._get_param("TagSpecifications", []) for tag in spec.get("Tags", [])]
        tags = [*specified, *self._get_param("Tags", [])]
        context["aws:tagkeys"] = tuple(tag["Key"] for tag in tags)
        context.update({f"aws:requesttag/{tag['Key'].lower()}": (tag.get("Value") or "",) for tag in tags})
        if action == "RunInstances":
            launching.permit(who, self.ec2_backend, self.params, context, ACCOUNT)
            return
        iam.check(who, f"ec2:{action}", resources, context, ec2=True)

    def _named(self, action: str) -> dict[str, Any]:
        """What the record of calls tells of this one."""
        if action in _ROUTES:
            return {
                "resources": (str(self._get_param("RouteTableId")),),
                "destination": self._destination() or "",
                "before": self._before,
                "after": self._get_param("NetworkInterfaceId") or _managed(self._get_param("GatewayId")),
            }
        return {"resources": tuple(value[0] for value in self.querystring.values() if _ID.fullmatch(value[0]))}

    def _destination(self) -> str | None:
        given = (self._get_param(f"Destination{kind}") for kind in ("CidrBlock", "Ipv6CidrBlock", "PrefixListId"))
        return next((str(each) for each in given if each), None)

    def _resources(self, action: str) -> list[Resource]:
        """What the call names by id, as IAM knows it."""
        from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

        given = (
            [self._get_param("RouteTableId")]
            if action in _ROUTES
            else [value[0] for value in self.querystring.values()]
        )
        found = []
        for value in given:
            kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(value) or "") if "-" in value else None
            if kind:
                kind = {"managed-prefix-list": "prefix-list"}.get(kind, kind)
                arn = f"arn:aws:ec2:{self.region}:{ACCOUNT}:{kind}/{value}"
                found.append(Resource(arn, dict(self.ec2_backend.tags.get(value, {}))))
        return found


def _leads_to(table: Any, destination: str | None) -> str | None:
    """The ENI or virtual private gateway that a table's route leads to; None without such a route, or elsewhere."""
    named = (
        (each, each.destination_prefix_list_id or each.destination_cidr_block or each.destination_ipv6_cidr_block)
        for each in table.routes
    )
    route = next((each for each, its in named if its == destination), None)
    eni = route_eni(route) if route is not None else None
    return str(eni.id) if eni is not None else _managed(getattr(route, "gateway_id", None))


def _managed(gateway: str | None) -> str | None:
    return gateway if gateway and gateway.startswith("vgw-") else None


def refusal(code: str, message: str, status: int = 400) -> Answer:
    """An error as EC2 words it."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error>'
        f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        "</Error></Errors><RequestID>lab</RequestID></Response>"
    )
    return status, {"Content-Type": "text/xml", "status": str(status)}, body
