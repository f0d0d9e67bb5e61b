# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the VPC endpoints that are wanted, keeps them in step, and deletes those of ours that are not wanted any more.

Private DNS turns the API's own names into the endpoint's addresses for the whole VPC, so the whole VPC is let in: a
group for monitors and gateways alone would cut everybody else's way to that API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import ec2, endpoints, tags
from .endpoints import GATEWAY, Seen, Wanted, made_for, state_of
from .errors import Ec2Error, VpnhaError
from .items import Item
from .network_worker import NEW, Worker

_PORT = 443
_PATIENCE = 600.0  # seconds for EC2 to take an endpoint's interfaces away
_PAUSE = 5.0


def keep(worker: Worker, wanted: Wanted, seen: Seen) -> dict[str, str]:
    """Sees to it that every wanted endpoint is there; their ids by service. Raises VpnhaError."""
    drop = [one for one in seen.endpoints if made_for(one, wanted.deployment) and not _is_wanted(one, wanted, seen)]
    _delete(worker, [one for one in drop if state_of(one) not in ("deleting", "deleted")])
    found = {service: seen.served_by(wanted.deployment, service) for service in wanted.interfaces if wanted.subnets}
    making = [service for service, other in found.items() if not other]
    if making:
        group = _group(worker, wanted, seen)
        found |= {service: _interface(worker, wanted, seen, service, group) for service in making}
    elif seen.group is not None and not any(seen.ours(wanted.deployment, each) for each in wanted.interfaces):
        _remove_group(worker, seen.group, [str(one["VpcEndpointId"]) for one in drop])
    if GATEWAY in wanted.services:
        found[GATEWAY] = _gateway(worker, wanted, seen)
    return {service: one for service, one in found.items() if one}


def remove(worker: Worker, deployment: str) -> None:
    """Deletes all that were made for a deployment, and waits until nothing of them is left. Raises VpnhaError."""
    made = endpoints.made_filters(deployment)
    ours = ec2.pages(worker.client, "describe_vpc_endpoints", "VpcEndpoints", "reading the endpoints", Filters=made)
    _delete(worker, [one for one in ours if state_of(one) not in ("deleting", "deleted")])
    name = Wanted(deployment, "").group_name
    ids = [str(one["VpcEndpointId"]) for one in ours]
    for group in ec2.pages(
        worker.client, "describe_security_groups", "SecurityGroups", "reading the endpoints' security group",
        Filters=[*made, {"Name": "group-name", "Values": [name]}],
    ):  # fmt: skip
        _remove_group(worker, group, ids)
    if not worker.check:
        _wait_gone(worker, ids)  # their interfaces keep subnets and VPC


def _is_wanted(endpoint: Item, wanted: Wanted, seen: Seen) -> bool:
    return any(endpoints.is_for(str(endpoint["ServiceName"]), seen.region, each) for each in wanted.services)


def _tags(wanted: Wanted, name: str) -> dict[str, str]:
    return {"Name": name, tags.DEPLOYMENT: wanted.deployment, tags.MADE: wanted.deployment}


def _interface(worker: Worker, wanted: Wanted, seen: Seen, service: str, group: str) -> str:
    subject, tag = f"endpoint for {service}", _tags(wanted, f"{wanted.deployment}-{service}")
    mine = seen.ours(wanted.deployment, service)
    if mine is None:
        answer = worker.change(
            subject, "", f"made in {', '.join(wanted.subnets)}", "create_vpc_endpoint", VpcId=wanted.vpc_id,
            VpcEndpointType="Interface", ServiceName=_service_name(seen, service), SubnetIds=list(wanted.subnets),
            SecurityGroupIds=[group], PrivateDnsEnabled=True,
            TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags.to_list(tag)}],
        )  # fmt: skip
        return str(answer["VpcEndpoint"]["VpcEndpointId"]) if answer else NEW
    endpoint_id = str(mine["VpcEndpointId"])
    worker.tag(endpoint_id, subject, tags.to_dict(mine.get("Tags")), tag)
    change, said = _difference("subnets", "SubnetIds", mine.get("SubnetIds", ()), wanted.subnets)
    groups = [each["GroupId"] for each in mine.get("Groups", ())]
    more, said_more = _difference("groups", "SecurityGroupIds", groups, [group])
    change, said = change | more, said + said_more
    if not mine.get("PrivateDnsEnabled"):
        change["PrivateDnsEnabled"] = True
        said.append(("private DNS off", "private DNS on"))
    _modify(worker, subject, endpoint_id, change, said)
    return endpoint_id


def _gateway(worker: Worker, wanted: Wanted, seen: Seen) -> str:
    """The endpoint that route tables lead to; a table that leads to somebody else's already is left out."""
    others = seen.routed(wanted.deployment)
    tables = [table for table in wanted.tables if table not in others]
    subject, tag = f"endpoint for {GATEWAY}", _tags(wanted, f"{wanted.deployment}-{GATEWAY}")
    mine = seen.ours(wanted.deployment, GATEWAY)
    if mine is None and not tables:
        return next((others[table] for table in wanted.tables), "")
    if mine is None:
        answer = worker.change(
            subject, "", f"made for {', '.join(tables)}", "create_vpc_endpoint", VpcId=wanted.vpc_id,
            VpcEndpointType="Gateway", ServiceName=_service_name(seen, GATEWAY), RouteTableIds=tables,
            TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": tags.to_list(tag)}],
        )  # fmt: skip
        return str(answer["VpcEndpoint"]["VpcEndpointId"]) if answer else NEW
    endpoint_id = str(mine["VpcEndpointId"])
    worker.tag(endpoint_id, subject, tags.to_dict(mine.get("Tags")), tag)
    change, said = _difference("route tables", "RouteTableIds", mine.get("RouteTableIds", ()), tables)
    _modify(worker, subject, endpoint_id, change, said)
    return endpoint_id


def _service_name(seen: Seen, service: str) -> str:
    offer = seen.offer(service)
    if offer is None:  # `endpoints.problems` says so before
        raise VpnhaError(f"The region offers no VPC endpoint for {service}: take it out of vpnha_endpoints.")
    return str(offer["ServiceName"])


def _difference(
    what: str, argument: str, have: Sequence[str], want: Sequence[str]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What ModifyVpcEndpoint takes to bring a list in step, and how it reads."""
    adds, drops = [each for each in want if each not in have], [each for each in have if each not in want]
    change: dict[str, Any] = {f"Add{argument}": adds} if adds else {}
    change |= {f"Remove{argument}": drops} if drops else {}
    said = [(f"{what} {', '.join(have) or 'none'}", f"{what} {', '.join(want) or 'none'}")] if change else []
    return change, said


def _modify(
    worker: Worker, subject: str, endpoint_id: str, change: dict[str, Any], said: Sequence[tuple[str, str]]
) -> None:
    if change:
        before, after = (", ".join(words) for words in zip(*said, strict=True))
        worker.change(subject, before, after, "modify_vpc_endpoint", VpcEndpointId=endpoint_id, **change)


def _group(worker: Worker, wanted: Wanted, seen: Seen) -> str:
    """The endpoints' security group: TCP 443 from the whole VPC."""
    name = wanted.group_name
    subject = f"security group {name}"
    if seen.group is None:
        answer = worker.change(
            subject, "", f"made in {wanted.vpc_id}", "create_security_group", GroupName=name, VpcId=wanted.vpc_id,
            Description="VPC endpoints of the VPN monitors",
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags.to_list(_tags(wanted, name))}],
        )  # fmt: skip
        group_id, have = (str(answer["GroupId"]) if answer else NEW), []
    else:
        group_id, have = str(seen.group["GroupId"]), _admitted(seen.group)
        worker.tag(group_id, subject, tags.to_dict(seen.group.get("Tags")), _tags(wanted, name))
    closed = [cidr for cidr in seen.cidrs if cidr not in have]
    if closed:
        said = f"TCP {_PORT} from {', '.join(closed)}"
        worker.change(
            subject, f"without {said}", f"with {said}", "authorize_security_group_ingress", GroupId=group_id,
            IpPermissions=[_permission(closed)],
        )  # fmt: skip
    return group_id


def _permission(cidrs: Sequence[str]) -> dict[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": _PORT,
        "ToPort": _PORT,
        "IpRanges": [{"CidrIp": cidr} for cidr in cidrs],
    }


def _admitted(group: Item) -> list[str]:
    """From where TCP 443 is open. What people have opened beside that stays open."""
    return [
        str(each["CidrIp"])
        for permission in group.get("IpPermissions", ())
        if (permission.get("IpProtocol"), permission.get("FromPort"), permission.get("ToPort")) == ("tcp", _PORT, _PORT)
        for each in permission.get("IpRanges", ())
    ]


def _delete(worker: Worker, ours: Sequence[Item]) -> None:
    for one in ours:
        endpoint_id = str(one["VpcEndpointId"])
        subject = f"endpoint for {str(one['ServiceName']).rpartition('.')[2]}"
        answer = worker.change(subject, endpoint_id, "deleted", "delete_vpc_endpoints", VpcEndpointIds=[endpoint_id])
        for failed in (answer or {}).get("Unsuccessful", ()):
            why = failed.get("Error", {}).get("Message", "no reason given")
            raise VpnhaError(f"EC2 could not delete the {subject} ({endpoint_id}): {why}")


def _remove_group(worker: Worker, group: Item, before: Sequence[str]) -> None:
    """Deletes the security group, once the endpoints that it was for are gone."""
    if not worker.check:
        _wait_gone(worker, before)
    group_id = str(group["GroupId"])
    waited = 0.0
    while True:
        try:
            worker.change(
                f"security group {group['GroupName']}", group_id, "deleted", "delete_security_group", GroupId=group_id
            )
            return
        except Ec2Error as error:  # an interface may outlive its endpoint by a moment
            if error.code != "DependencyViolation" or waited >= _PATIENCE:
                raise
        worker.changes.pop()
        worker.sleep(_PAUSE)
        waited += _PAUSE


def _wait_gone(worker: Worker, ids: Sequence[str]) -> None:
    waited = 0.0
    while ids:
        found = ec2.pages(
            worker.client, "describe_vpc_endpoints", "VpcEndpoints", "waiting for endpoints to be gone",
            Filters=[{"Name": "vpc-endpoint-id", "Values": list(ids)}],
        )  # fmt: skip
        left = [str(one["VpcEndpointId"]) for one in found if state_of(one) != "deleted"]
        if not left:
            return
        if waited >= _PATIENCE:
            raise VpnhaError(f"{', '.join(left)} is still there after {_PATIENCE:.0f} s; run this again later.")
        worker.sleep(_PAUSE)
        waited += _PAUSE
