# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes what ``network_build`` made: only what carries the tag `vpnha:made` of the deployment.

From route tables that people tagged or let adopt, the routes to interfaces that are deleted and our tags go, and
nothing else. Interfaces and instances that were taken over lose our tags and security groups, and go on. Routes to them
for a prefix list, which goes, become routes for its entries.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import ec2, endpoints_build, prefix_lists, prefix_lists_build, tags
from .ec2_view import read_instances
from .errors import Ec2Error, VpnhaError
from .items import Item, destination_of, target_of
from .network_adoption import is_made as _made
from .network_build import Outcome, remove_probes
from .network_others import refuse_others
from .network_worker import Worker
from .routes import destination_argument

_PATIENCE = 60.0  # seconds for EC2 to free the interfaces of instances that have ended


def remove(client: Any, deployment: str, check: bool) -> Outcome:
    """Removes route tables, Elastic IPs and interfaces of a deployment. Instances must be gone. Raises VpnhaError.

    In check mode they may run: so it is asked whether anything stands in the way.
    """
    mine = tags.filters(deployment)
    tables = ec2.pages(client, "describe_route_tables", "RouteTables", "reading the route tables", Filters=mine)
    refuse_others(client, deployment, tables)
    enis = _free_interfaces(client, deployment, mine, patience=0.0 if check else _PATIENCE)
    addresses = ec2.call("reading the Elastic IPs", lambda: client.describe_addresses(Filters=mine))["Addresses"]
    worker = Worker(client, check)
    eni_ids = {eni["NetworkInterfaceId"] for eni in enis if _made(eni.get("TagSet"), deployment)}
    lists = {known.id: known.entries for known in prefix_lists.read_all(client, deployment)}
    others = [table for table in _routed(client, lists) if not _made(table.get("Tags"), deployment)]
    for table in others:
        _route_entries(worker, table, lists, eni_ids)
    endpoints_build.remove(worker, deployment)
    _remove_probes(worker, deployment)
    for table in tables:
        if _made(table.get("Tags"), deployment):
            _delete_table(worker, table)
        else:
            _delete_routes(worker, table, eni_ids, lists)
            _untag(worker, f"route table {table['RouteTableId']}", table["RouteTableId"], table.get("Tags"))
    known = {table["RouteTableId"] for table in tables}
    for table in others:
        if table["RouteTableId"] not in known:  # somebody uses a list of ours
            _delete_routes(worker, table, set(), lists)
    for address in addresses:
        if _made(address.get("Tags"), deployment):
            _release_address(worker, address)
        else:
            _untag(worker, f"Elastic IP {address['PublicIp']}", address["AllocationId"], address.get("Tags"))
    for eni in enis:
        if _made(eni.get("TagSet"), deployment):
            eni_id = eni["NetworkInterfaceId"]
            subject = f"interface of {tags.to_dict(eni.get('TagSet')).get('Name', eni_id)}"
            worker.change(subject, eni_id, "deleted", "delete_network_interface", NetworkInterfaceId=eni_id)
    _release_hosts(worker, deployment, mine, [eni for eni in enis if not _made(eni.get("TagSet"), deployment)])
    prefix_lists_build.remove(worker, deployment)
    _clear_vpc(worker, deployment)
    _remove_lock(worker, deployment)
    return Outcome(changes=worker.changes)


def _free_interfaces(client: Any, deployment: str, mine: Any, patience: float) -> list[dict[str, Any]]:
    """The deployment's interfaces, once none of ours is in use. EC2 frees them a while after their instances ended.

    ``patience`` in seconds; 0: as they are. Raises VpnhaError.
    """
    until = time.monotonic() + patience
    while True:
        enis = ec2.pages(
            client, "describe_network_interfaces", "NetworkInterfaces", "reading the network interfaces", Filters=mine
        )
        used = [
            f"{eni['NetworkInterfaceId']} by {eni['Attachment']['InstanceId']}"
            for eni in enis
            if _made(eni.get("TagSet"), deployment) and eni.get("Attachment", {}).get("InstanceId")
        ]
        if not used or not patience:
            return enis
        if time.monotonic() > until:
            raise VpnhaError(f"Interfaces are still in use, terminate the instances first: {', '.join(used)}.")
        time.sleep(2.0)


def _delete_table(worker: Worker, table: Item) -> None:
    table_id = table["RouteTableId"]
    subject = f"route table {tags.to_dict(table.get('Tags')).get('Name', table_id)}"
    for association in table.get("Associations", ()):
        association_id = association["RouteTableAssociationId"]
        user = association.get("SubnetId") or association.get("GatewayId") or "main"
        worker.change(subject, f"used by {user}", "not", "disassociate_route_table", AssociationId=association_id)
    worker.change(subject, table_id, "deleted", "delete_route_table", RouteTableId=table_id)


def _routed(client: Any, lists: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The route tables with a route to one of the lists, whosever: EC2 deletes no list before. Raises Ec2Error."""
    if not lists:
        return []
    tables = ec2.pages(client, "describe_route_tables", "RouteTables", "reading the route tables with prefix lists")
    return [table for table in tables if any(destination_of(route) in lists for route in table.get("Routes", ()))]


def _route_entries(worker: Worker, table: Item, lists: Mapping[str, Sequence[str]], going: set[str]) -> None:
    """Routes for the entries of lists whose route leads to what stays: packets go on as they did without the list."""
    table_id = table["RouteTableId"]
    have = {destination_of(route): route for route in table.get("Routes", ())}
    for list_id in (each for each in lists if each in have and target_of(have[each]) not in going):
        target = target_of(have[list_id])
        for entry in (entry for entry in lists[list_id] if entry not in have):
            try:
                worker.change(
                    f"route table {table_id}", "", f"{entry} -> {target}", "create_route", RouteTableId=table_id,
                    **_same_target(have[list_id]), **destination_argument(entry),
                )  # fmt: skip
            except Ec2Error as error:
                if error.code != "RouteLimitExceeded":
                    raise
                raise VpnhaError(
                    f"{table_id} has no room for routes to the entries of {list_id}, which must take the place of its "
                    f"route to the list, since {target} stays and the list goes; raise the quota of routes per table, "
                    "or delete that route, and run this again. No route and no list was deleted."
                ) from error


def _same_target(route: Item) -> dict[str, str]:
    """What a route leads to as CreateRoute's argument, whatever it is: the two have the same names."""
    target = target_of(route)
    return next({name: target} for name, value in route.items() if value == target)


def _delete_routes(worker: Worker, table: Item, eni_ids: set[str], lists: Mapping[str, Sequence[str]]) -> None:
    """The routes of somebody's table to interfaces and prefix lists that are deleted."""
    for route in table.get("Routes", ()):
        destination = destination_of(route)
        if route.get("NetworkInterfaceId") in eni_ids or destination in lists:
            worker.change(
                f"route table {table['RouteTableId']}", f"{destination} -> {target_of(route)}", "route deleted",
                "delete_route", RouteTableId=table["RouteTableId"], **destination_argument(destination),
            )  # fmt: skip


def _release_hosts(worker: Worker, deployment: str, mine: Any, enis: Sequence[Item]) -> None:
    """Interfaces and instances that were there before: without our security groups and tags."""
    if not enis:
        return
    groups = ec2.pages(
        worker.client, "describe_security_groups", "SecurityGroups", "reading the security groups", Filters=mine
    )
    ours = {group["GroupId"] for group in groups if _made(group.get("Tags"), deployment)}
    for eni in enis:
        eni_id, have = eni["NetworkInterfaceId"], sorted(group["GroupId"] for group in eni.get("Groups", ()))
        left = [group for group in have if group not in ours]
        if left and left != have:
            before, after = f"groups {', '.join(have)}", f"groups {', '.join(left)}"
            worker.change(
                f"interface {eni_id}", before, after, "modify_network_interface_attribute", NetworkInterfaceId=eni_id,
                Groups=left,
            )  # fmt: skip
        _untag(worker, f"interface {eni_id}", eni_id, eni.get("TagSet"))
    for instance in read_instances(worker.client, mine):
        if not _made(instance.get("Tags"), deployment):
            _untag(worker, f"instance {instance['InstanceId']}", instance["InstanceId"], instance.get("Tags"))


def _untag(worker: Worker, subject: str, resource: str, tag_list: Sequence[Any] | None) -> None:
    ours = [key for key in tags.to_dict(tag_list) if key.startswith("vpnha:")]
    worker.change(
        subject, f"tags {', '.join(ours)}", "without", "delete_tags",
        Resources=[resource], Tags=[{"Key": key} for key in ours],
    )  # fmt: skip


def _remove_probes(worker: Worker, deployment: str) -> None:
    """The host routes by which managed gateways were probed, in tables that people have made."""
    name = tags.probes_of(deployment)
    for table in ec2.pages(
        worker.client, "describe_route_tables", "RouteTables", "reading the route tables with probes",
        Filters=[{"Name": "tag-key", "Values": [name]}],
    ):  # fmt: skip
        table_id = table["RouteTableId"]
        if not _made(table.get("Tags"), deployment):  # else it is deleted as a whole
            remove_probes(worker, table, tags.parse_probes(tags.to_dict(table.get("Tags"))[name]))
            worker.change(table_id, f"tag {name}", "without", "delete_tags", Resources=[table_id], Tags=[{"Key": name}])


def _release_address(worker: Worker, address: Item) -> None:
    subject = f"Elastic IP of {tags.to_dict(address.get('Tags')).get('Name', address['PublicIp'])}"
    if address.get("AssociationId"):
        worker.change(
            subject, f"associated with {address.get('NetworkInterfaceId')}", "not", "disassociate_address",
            AssociationId=address["AssociationId"],
        )  # fmt: skip
    worker.change(subject, address["PublicIp"], "released", "release_address", AllocationId=address["AllocationId"])


def _clear_vpc(worker: Worker, deployment: str) -> None:
    names = [tags.pause_of(deployment), tags.drill_of(deployment), tags.freeze_of(deployment)]
    for vpc in ec2.pages(
        worker.client, "describe_vpcs", "Vpcs", "reading the VPC's tags", Filters=[{"Name": "tag-key", "Values": names}]
    ):
        have = [name for name in names if name in tags.to_dict(vpc.get("Tags"))]
        worker.change(
            vpc["VpcId"], f"tags {', '.join(have)}", "without", "delete_tags",
            Resources=[vpc["VpcId"]], Tags=[{"Key": name} for name in have],
        )  # fmt: skip


def _remove_lock(worker: Worker, deployment: str) -> None:
    name = tags.lock_of(deployment)
    for group in ec2.pages(
        worker.client, "describe_security_groups", "SecurityGroups", "reading the lock",
        Filters=[{"Name": "group-name", "Values": [name]}],
    ):  # fmt: skip
        group_id = group["GroupId"]
        worker.change(f"lock {name}", group_id, "deleted", "delete_security_group", GroupId=group_id)
