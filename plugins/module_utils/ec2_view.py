# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One read of everything of a deployment in EC2: the calls (`read_snapshot`) and what they mean (`view_of`).

The calls are few and everything is found by tag, so that a route table added tomorrow is looked after without a
redeploy. What the answers mean is a pure function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import ec2, left_routes, tags
from .items import Item, gateway_of_interface, routes_of, target_of, zone_of_table
from .model import USUAL_PRIORITY, Deployment, Ec2View, Gateway, Instance, Pin, RepairMark, Route, RouteKey
from .network_ways import Ways

_ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")


@dataclass(frozen=True)
class Snapshot:
    """EC2's answers as they are, each a list of boto3's dicts."""

    tables: Sequence[Item] = ()  # the deployment's route tables
    interfaces: Sequence[Item] = ()  # the gateways' ENIs
    instances: Sequence[Item] = ()  # the gateways' instances that still exist
    statuses: Sequence[Item] = ()  # their status checks and events
    vpcs: Sequence[Item] = ()  # VPCs with a pause, a drill or a freeze of the deployment on them
    subnets: Sequence[Item] = ()  # only where a table's zone is not on its tag


@dataclass
class _Reading:
    """What `view_of` gathers of the marks, which stand on three kinds of things."""

    pins: dict[str, Pin] = field(default_factory=dict)
    tables: dict[str, float] = field(default_factory=dict)
    gateways: dict[str, float] = field(default_factory=dict)
    repairs: dict[str, RepairMark] = field(default_factory=dict)
    priorities: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def pause(self, where: str, key: str, value: str) -> float:
        pause = tags.parse_pause(value)
        if not pause.readable:
            self.unreadable.append(
                f'{where}: {key} should read like "until=2026-01-01T00:00:00Z by=me", not "{value}".'
            )
        return pause.until_wall


def read_tables(client: Any, deployment: str) -> list[dict[str, Any]]:
    """The deployment's route tables, by tag. Raises Ec2Error."""
    return ec2.pages(
        client, "describe_route_tables", "RouteTables", "reading the route tables",
        Filters=tags.filters(deployment, **{tags.TABLE: "app"}), MaxResults=100,
    )  # fmt: skip


def read_instances(client: Any, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Instances that still exist, by filters. Raises Ec2Error."""
    alive = [{"Name": "instance-state-name", "Values": list(_ALIVE)}]
    reservations = ec2.pages(
        client, "describe_instances", "Reservations", "reading the instances", Filters=filters + alive, MaxResults=1000
    )
    return [instance for reservation in reservations for instance in reservation["Instances"]]


def read_snapshot(client: Any, deployment: str, pool: Executor | None = None) -> Snapshot:
    """Reads a deployment by its name; the calls run side by side in ``pool`` (threads), or in one of its own.

    Raises Ec2Error when any of them fails: half a view would look like things that are gone.
    """
    if pool is None:
        with ThreadPoolExecutor(4, thread_name_prefix="vpnha-read") as own:
            return read_snapshot(client, deployment, own)

    def go(call: Callable[[], list[dict[str, Any]]]) -> Future[list[dict[str, Any]]]:
        return pool.submit(call)

    def interfaces() -> list[dict[str, Any]]:
        return ec2.pages(
            client, "describe_network_interfaces", "NetworkInterfaces", "reading the network interfaces",
            Filters=[*tags.filters(deployment), {"Name": "tag-key", "Values": [tags.GATEWAY]}], MaxResults=1000,
        )  # fmt: skip

    def vpcs() -> list[dict[str, Any]]:
        names = [tags.pause_of(deployment), tags.drill_of(deployment), tags.freeze_of(deployment)]
        return ec2.pages(
            client, "describe_vpcs", "Vpcs", "reading the VPC's tags", Filters=[{"Name": "tag-key", "Values": names}]
        )

    asked = [
        go(lambda: read_tables(client, deployment)),  # the longest: a call for each hundred, one after the other
        go(interfaces),
        go(lambda: read_instances(client, tags.filters(deployment, **{tags.ROLE: "gateway"}))),
        go(vpcs),
    ]
    instances = asked[2].result()
    ids = [instance["InstanceId"] for instance in instances]
    statuses = go(lambda: _read_statuses(client, ids))
    tables, enis, _instances, marked = (each.result() for each in asked)
    subnets = go(lambda: _read_subnets(client, tables))
    return Snapshot(tables, enis, instances, statuses.result(), marked, subnets.result())


def _read_statuses(client: Any, ids: list[str]) -> list[dict[str, Any]]:
    # No filter by tag exists for this call, so the ids have to be known; 100 of them per call is EC2's limit.
    found: list[dict[str, Any]] = []
    for start in range(0, len(ids), 100):
        found += ec2.pages(
            client, "describe_instance_status", "InstanceStatuses", "reading the instances' status checks",
            InstanceIds=ids[start : start + 100], IncludeAllInstances=True,
        )  # fmt: skip
    return found


def _read_subnets(client: Any, tables: Sequence[Item]) -> list[dict[str, Any]]:
    vpcs = sorted({table["VpcId"] for table in tables if tags.ZONE not in tags.to_dict(table.get("Tags"))})
    if not vpcs:
        return []
    return ec2.pages(
        client, "describe_subnets", "Subnets", "reading the subnets",
        Filters=[{"Name": "vpc-id", "Values": vpcs}], MaxResults=1000,
    )  # fmt: skip


def read_view(client: Any, deployment: Deployment, pool: Executor | None = None) -> Ec2View:
    """One read of the deployment: about two round trips to EC2. Raises Ec2Error.

    ``pool`` must have at least one free thread; it is never waited for from inside itself.
    """
    return view_of(read_snapshot(client, deployment.name, pool), deployment, ec2.CLOCK.now())


# --- What the answers mean: pure from here ------------------------------------------------------------------------


def view_of(snapshot: Snapshot, deployment: Deployment, wall: float) -> Ec2View:
    """What EC2's answers say about a deployment. ``wall`` is now, to leave out a drill that is over."""
    known = [zone.name for zone in deployment.zones]
    names = {gateway.name for gateway in deployment.targets}
    managed = {gateway.name: gateway.vpn_gateway for gateway in deployment.managed_gateways}
    owners = {eni["NetworkInterfaceId"]: gateway_of_interface(eni) for eni in snapshot.interfaces}
    owners |= {target: name for name, target in managed.items()}
    subnet_zones = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in snapshot.subnets}
    wanted = {destination for site in deployment.sites for destination in site.destinations}
    destinations = dict.fromkeys(each for site in deployment.sites for each in (*site.destinations, *site.prefixes))

    # a list's entries are not read here: a route for a list that is not there is simply missing
    ways = Ways({name: target for target, name in owners.items() if name in names}, ("", ""), {}, {})

    marks = _Reading()
    routes: dict[RouteKey, Route] = {}
    missing: set[RouteKey] = set()
    elsewhere: set[RouteKey] = set()
    refused: dict[str, str] = {}
    zones: dict[str, str] = {}
    for table in snapshot.tables:
        table_id = table["RouteTableId"]
        _read_table_marks(table, marks)
        zone, why = zone_of_table(table, subnet_zones, known)
        if zone is None:
            refused[table_id] = why
            continue
        zones[table_id] = zone
        present = routes_of(table)
        for destination in destinations:
            key = RouteKey(table_id, destination)
            if destination not in present:
                if destination in wanted:
                    missing.add(key)
                    elsewhere.update({key} if ways.carried(destination, table) else ())
                continue
            route = present[destination]
            eni_id, target = route.get("NetworkInterfaceId"), target_of(route)
            owner = owners.get(target, "")
            gateway = owner if owner in names else None
            routes[key] = Route(key, zone, eni_id, gateway, target, route.get("State") == "blackhole")

    vpcs = {table["RouteTableId"]: str(table["VpcId"]) for table in snapshot.tables}
    vpc_ids = set(vpcs.values()) | {str(eni["VpcId"]) for eni in snapshot.interfaces}
    paused, drill, freeze = _vpc_marks(snapshot, deployment.name, vpc_ids, marks, wall)
    for eni in snapshot.interfaces:
        _read_interface_marks(eni, marks)
    return Ec2View(
        routes=routes,
        instances=_instances(deployment, snapshot),
        table_pins=marks.pins,
        paused_deployment_until_wall=paused,
        paused_gateways=marks.gateways,
        paused_tables=marks.tables,
        missing_routes=frozenset(missing),
        carried_elsewhere=frozenset(elsewhere),
        refused_tables=refused,
        drill=drill,
        freeze=freeze,
        repairs=marks.repairs,
        table_zones=zones,
        table_vpcs=vpcs,
        vpc_id=vpc_ids.pop() if len(vpc_ids) == 1 else None,
        unreadable_marks=tuple(marks.unreadable),
        managed=managed,
        table_priorities=marks.priorities,
        left=tuple(left_routes.of(snapshot.tables, snapshot.interfaces, deployment)),
    )


def _read_table_marks(table: Item, marks: _Reading) -> None:
    table_id, tag = table["RouteTableId"], tags.to_dict(table.get("Tags"))
    if tags.PIN in tag:
        marks.pins[table_id], readable = tags.parse_pin(tag[tags.PIN])
        if not readable:
            marks.unreadable.append(
                f'{table_id}: {tags.PIN} should read like "gateway=gw-b expires=2026-01-01T00:00:00Z", '
                f'not "{tag[tags.PIN]}".'
            )
    if tags.PAUSE in tag:
        marks.tables[table_id] = marks.pause(table_id, tags.PAUSE, tag[tags.PAUSE])
    if tags.PRIORITY in tag:
        priority = tags.parse_priority(tag[tags.PRIORITY])
        if priority is not None:
            marks.priorities[table_id] = priority
        else:
            marks.unreadable.append(
                f'{table_id}: {tags.PRIORITY} should be a digit from 1, the first, to 9, not "{tag[tags.PRIORITY]}"; '
                f"it counts as {USUAL_PRIORITY}."
            )


def _read_interface_marks(eni: Item, marks: _Reading) -> None:
    eni_id, gateway, tag = eni["NetworkInterfaceId"], gateway_of_interface(eni), tags.to_dict(eni.get("TagSet"))
    if tags.PAUSE in tag:
        until = marks.pause(eni_id, tags.PAUSE, tag[tags.PAUSE])
        marks.gateways[gateway] = max(until, marks.gateways.get(gateway, 0.0))
    if tags.REPAIR in tag:
        mark = tags.parse_repair(tag[tags.REPAIR])
        if not mark.readable:
            marks.unreadable.append(
                f'{eni_id}: {tags.REPAIR} should read like "rung=reboot steps=2026-01-01T00:00:00Z", '
                f'not "{tag[tags.REPAIR]}"; {gateway} is not repaired until it is mended or removed.'
            )
        marks.repairs[gateway] = mark


def _vpc_marks(
    snapshot: Snapshot, name: str, vpc_ids: set[str], marks: _Reading, wall: float
) -> tuple[float | None, str | None, str | None]:
    """Until when the deployment is paused, the id of a drill that is running, and why none may."""
    paused: float | None = None
    running: str | None = None
    frozen: str | None = None
    for vpc in snapshot.vpcs:
        vpc_id, tag = vpc["VpcId"], tags.to_dict(vpc.get("Tags"))
        if vpc_ids and vpc_id not in vpc_ids:
            continue  # a namesake in another VPC of the region
        if tags.pause_of(name) in tag:
            paused = max(marks.pause(vpc_id, tags.pause_of(name), tag[tags.pause_of(name)]), paused or 0.0)
        if tags.drill_of(name) in tag:
            drill = tags.parse_drill(tag[tags.drill_of(name)])
            running = drill.id if drill.until_wall > wall else running
        if tags.freeze_of(name) in tag:
            freeze = tags.parse_freeze(tag[tags.freeze_of(name)])
            frozen = str(freeze) if freeze.until_wall > wall else frozen
    return paused, running, frozen


def _instances(deployment: Deployment, snapshot: Snapshot) -> dict[str, Instance]:
    """Each gateway's instance."""
    enis: dict[str, list[Item]] = {gateway.name: [] for gateway in deployment.gateways}
    for eni in snapshot.interfaces:
        enis.setdefault(gateway_of_interface(eni), []).append(eni)
    instances: dict[str, list[Item]] = {gateway.name: [] for gateway in deployment.gateways}
    for instance in snapshot.instances:
        instances.setdefault(tags.to_dict(instance.get("Tags")).get(tags.GATEWAY, ""), []).append(instance)
    statuses = {each["InstanceId"]: each for each in reversed(snapshot.statuses)}  # the first counts
    return {
        gateway.name: _instance(gateway, enis[gateway.name], instances[gateway.name], statuses)
        for gateway in deployment.gateways
    }


def _instance(
    gateway: Gateway, enis: Sequence[Item], instances: Sequence[Item], statuses: Mapping[str, Item]
) -> Instance:
    """A gateway's instance: of those with its tag the one that its ENI is attached to, else the liveliest."""
    # More than one ENI where a gateway was rebuilt by hand: the one with the described address, then the attached one.
    eni: Item | None = min(
        enis,
        key=lambda e: (
            e.get("PrivateIpAddress") != gateway.address, "Attachment" not in e, e["NetworkInterfaceId"]
        ),
        default=None,
    )  # fmt: skip
    attached = (eni or {}).get("Attachment", {}).get("InstanceId")
    order = ("running", "pending", "stopping", "stopped", "shutting-down")
    chosen: Item = min(
        instances,
        key=lambda each: (each["InstanceId"] != attached, order.index(each["State"]["Name"])),
        default={"State": {"Name": "absent"}},
    )
    status = statuses.get(chosen.get("InstanceId", ""), {})
    return Instance(
        gateway=gateway.name,
        instance_id=chosen.get("InstanceId"),
        eni_id=eni["NetworkInterfaceId"] if eni else None,
        state=chosen["State"]["Name"],
        source_dest_check=bool(eni.get("SourceDestCheck")) if eni else False,
        system_status=status.get("SystemStatus", {}).get("Status", "not-applicable"),
        instance_status=status.get("InstanceStatus", {}).get("Status", "not-applicable"),
        vpc_id=eni["VpcId"] if eni else None,
        retirement_wall=_retirement(status.get("Events", ())),
        eni_free=eni is not None and eni.get("Status") == "available" and "Attachment" not in eni,
        eni_dies=bool((eni or {}).get("Attachment", {}).get("DeleteOnTermination")),
    )


def _retirement(events: Sequence[Item]) -> float | None:
    due: list[float] = []
    for event in events:
        over = str(event.get("Description", "")).startswith(("[Completed]", "[Canceled]"))
        before = event.get("NotBefore")
        if event.get("Code") in ("instance-retirement", "instance-stop") and not over and isinstance(before, datetime):
            due.append(before.timestamp())
    return min(due) if due else None
