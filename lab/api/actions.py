# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's actions where moto's are not enough: what has a host behind it, and reads that must be fast or may be stale."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, ClassVar
from xml.sax.saxutils import escape

from moto.core.responses import ActionResult, EmptyResult

from lab.api import launching
from lab.api.endpoints import EndpointActions
from lab.api.mends import refuse, require_free
from lab.api.prefix_lists import PrefixListActions
from lab.api.vpn_actions import VpnActions

if TYPE_CHECKING:
    from lab.api.lab import Lab

_TARGETS = (  # attribute of a route -> element
    ("destination_cidr_block", "destinationCidrBlock"),
    ("destination_ipv6_cidr_block", "destinationIpv6CidrBlock"),
    ("destination_prefix_list_id", "destinationPrefixListId"),
    ("gateway_id", "gatewayId"),
    ("instance_id", "instanceId"),
    ("nat_gateway_id", "natGatewayId"),
    ("network_interface_id", "networkInterfaceId"),
    ("transit_gateway_id", "transitGatewayId"),
    ("vpc_peering_connection_id", "vpcPeeringConnectionId"),
    ("origin", "origin"),
    ("state", "state"),
)


class Actions(PrefixListActions, EndpointActions, VpnActions):
    """The overridden actions; each answers like moto's method of the same name."""

    lab: ClassVar[Lab]

    # --- Instances -----------------------------------------------------------------------------------------

    def run_instances(self) -> ActionResult:
        launching.fill_in(self.ec2_backend, self.params)
        interfaces = self._get_param("NetworkInterfaces", [])
        for interface in interfaces:
            if interface.get("NetworkInterfaceId"):
                eni = self.ec2_backend.get_network_interface(interface["NetworkInterfaceId"])
                require_free(eni)
                interface["SubnetId"] = eni.subnet.id  # moto takes the zone from here, and has none without
        if self._get_param("ImageId") not in self.ec2_backend.amis:
            refuse("InvalidAMIID.NotFound", f"The image id '[{self._get_param('ImageId')}]' does not exist")
        key = self._get_param("KeyName")
        if key and key not in self.ec2_backend.key_pairs:
            refuse("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
        result = super().run_instances()
        given = {each.get("DeviceIndex"): each for each in interfaces}
        for instance in result.result.instances:
            for index, eni in instance.nics.items():
                asked = given.get(index, {})
                made_here = not asked.get("NetworkInterfaceId")
                eni.delete_on_termination = asked.get("DeleteOnTermination", made_here)
            self.lab.machines.launch(instance)
        return result

    def start_instances(self) -> ActionResult:
        return self._power("StartingInstances", ("stopped",), ("pending", "running"), self.lab.machines.start)

    def stop_instances(self) -> ActionResult:
        cut = self._cut()
        for instance in self._asked():
            if instance.disable_api_stop:
                refuse("OperationNotPermitted", f"The instance '{instance.id}' may not be stopped.")
        settled = ("stopped",) if cut else ("stopping", "stopped")
        expected = ("pending", "running", "stopping") if cut else ("pending", "running")
        return self._power("StoppingInstances", expected, settled, lambda each: self.lab.machines.stop(each, cut=cut))

    def terminate_instances(self) -> ActionResult:
        cut = self._cut()
        for instance in self._asked():
            if instance.disable_api_termination:
                said = f"The instance '{instance.id}' may not be terminated. It is protected."
                refuse("OperationNotPermitted", said)
        return self._power(
            "TerminatingInstances",
            ("pending", "running", "stopping", "stopped"),
            ("shutting-down", "terminated"),
            lambda each: self.lab.machines.terminate(each, cut=cut),
        )

    def reboot_instances(self) -> EmptyResult:
        self._power("", ("running",), (), self.lab.machines.reboot)
        return EmptyResult()

    def _cut(self) -> bool:
        return bool(self._get_bool_param("Force", False) or self._get_bool_param("SkipOsShutdown", False))

    def _asked(self) -> list[Any]:
        return list(self.ec2_backend.get_multi_instances_by_id(self._get_param("InstanceIds", [])))

    def _power(self, element: str, expected: tuple[str, ...], settled: tuple[str, ...], act: Any) -> ActionResult:
        """Do ``act`` to the asked instances that are ``expected``, nothing to the ``settled``, refuse the others."""
        instances = self._asked()
        for instance in instances:
            if instance.state not in (*expected, *settled):
                said = f"The instance '{instance.id}' is not in a state from which it can be changed: {instance.state}."
                refuse("IncorrectInstanceState", said)
        changes = []
        for instance in instances:
            before = {"Code": instance.state_code, "Name": instance.state}
            if instance.state in expected:
                act(instance)
            now = {"Code": instance.state_code, "Name": instance.state}
            changes.append({"InstanceId": instance.id, "CurrentState": now, "PreviousState": before})
        return ActionResult({element: changes})

    def describe_instance_status(self) -> ActionResult:
        filters = self._filters_from_querystring()
        ids = self._get_param("InstanceIds", [])
        instances = self._asked() if ids else self.ec2_backend.all_instances()
        if not self._get_bool_param("IncludeAllInstances", False):
            instances = [instance for instance in instances if instance.state == "running"]
        found = [instance for instance in instances if all(_has(instance, *each) for each in filters.items())]
        return ActionResult({"InstanceStatuses": found})

    # --- Route tables --------------------------------------------------------------------------------------

    def describe_route_tables(self) -> str:
        """Written out here: moto takes seconds for a thousand tables, and has no pages. A failover measures both."""
        filters = self._filters_from_querystring()
        tables = self.ec2_backend.describe_route_tables(self._get_param("RouteTableIds", []), filters)
        begins, most = int(self._get_param("NextToken") or 0), self._get_int_param("MaxResults") or len(tables)
        if self._get_param("MaxResults") and not 5 <= most <= 100:
            refuse("InvalidParameterValue", f"Value ( {most} ) for parameter maxResults is invalid.")
        rest = _element("nextToken", begins + most) if begins + most < len(tables) else ""
        items = "".join(self._table(table) for table in tables[begins : begins + most])
        return (
            '<?xml version="1.0" encoding="UTF-8"?><DescribeRouteTablesResponse'
            ' xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>lab</requestId>'
            f"<routeTableSet>{items}</routeTableSet>{rest}</DescribeRouteTablesResponse>"
        )

    def _table(self, table: Any) -> str:
        associations = "".join(
            "<item>"
            + _element("routeTableAssociationId", each["RouteTableAssociationId"])
            + _element("routeTableId", table.id)
            + _element("main", "true" if each["Main"] else "false")
            + _element("subnetId", each.get("SubnetId"))
            + _element("gatewayId", each.get("GatewayId"))
            + "<associationState><state>associated</state></associationState></item>"
            for each in table.associations
        )
        tags = "".join(
            f"<item>{_element('key', each['key'])}{_element('value', each['value'])}</item>"
            for each in table.get_tags()
        )
        return (
            f"<item><associationSet>{associations}</associationSet>{_element('ownerId', table.owner_id)}"
            f"<propagatingVgwSet/><routeSet>{self.lab.stale.read(table.id) or routes_xml(table)}</routeSet>"
            f"{_element('routeTableId', table.id)}<tagSet>{tags}</tagSet>{_element('vpcId', table.vpc_id)}</item>"
        )


def routes_xml(table: Any) -> str:
    """The items of a table's routeSet as they are now."""
    return "".join(
        "<item>" + "".join(_element(name, getattr(route, attribute)) for attribute, name in _TARGETS) + "</item>"
        for route in table.routes
    )


def _element(name: str, value: Any) -> str:
    return "" if value is None else f"<{name}>{escape(str(value))}</{name}>"


def _has(instance: Any, name: str, wanted: list[str]) -> bool:
    values = {
        "availability-zone": instance.placement.zone,
        "instance-state-name": instance.state,
        "instance-state-code": str(instance.state_code),
        "instance-status.status": instance.instance_status["Status"],
        "instance-status.reachability": instance.instance_status.get("Details", [{}])[0].get("Status"),
        "system-status.status": instance.system_status["Status"],
        "system-status.reachability": instance.system_status.get("Details", [{}])[0].get("Status"),
    }
    if name not in values:
        raise NotImplementedError(f"The filter '{name}' of DescribeInstanceStatus")
    return values[name] in wanted


class Stale:
    """Reads that lag behind, and not in order: for a while after a change either state may be shown."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._before: dict[str, tuple[float, str]] = {}

    def remember(self, table: Any) -> None:
        """Keep a table's routes, which are about to change."""
        if self.seconds and self._before.get(table.id, (0.0,))[0] < time.monotonic():
            self._before[table.id] = (time.monotonic() + self.seconds, routes_xml(table))

    def read(self, table: str) -> str | None:
        """The routes to show instead of the real ones, or None."""
        until, routes = self._before.get(table, (0.0, ""))
        return routes if self.seconds and time.monotonic() < until and random.random() < 0.5 else None
