# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mends of moto's virtual private gateways: filters of all three kinds, routes to a gateway, edge tables."""

from __future__ import annotations

import functools
from typing import Any

from lab.api.mends import arguments, refuse
from lab.net.desired import leads_out


def apply() -> None:
    """Mend moto; before lab/api/mends.py, which wraps what is wrapped here."""
    from moto.ec2 import models
    from moto.ec2.models.customer_gateways import CustomerGateway
    from moto.ec2.models.route_tables import RouteTable
    from moto.ec2.models.vpn_connections import VPNConnection
    from moto.ec2.utils import generic_filter

    def describe_customer_gateways(self: Any, filters: Any = None, customer_gateway_ids: Any = None) -> list[Any]:
        wanted = customer_gateway_ids or list(self.customer_gateways)
        return list(generic_filter(filters, [self.get_customer_gateway(each) for each in wanted]))

    _filters(CustomerGateway, {"customer-gateway-id": lambda each: each.id})
    _filters(
        VPNConnection,
        {
            "vpn-connection-id": lambda each: each.id,
            "bgp-asn": lambda each: each.ec2_backend.customer_gateways[each.customer_gateway_id].bgp_asn,
            "option.static-routes-only": lambda each: each.managed.static,
            "route.destination-cidr-block": lambda each: each.managed.routes,
            "vpn-gateway-id": lambda each: each.vpn_gateway_id,
            "transit-gateway-id": lambda each: each.transit_gateway_id,
        },
    )
    models.EC2Backend.describe_customer_gateways = describe_customer_gateways
    _routes(models.EC2Backend)
    _edges(RouteTable)


def _filters(resource: Any, values: dict[str, Any]) -> None:
    filter_value = resource.get_filter_value

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name in values:
            return values[filter_name](self)
        return filter_value(self, filter_name, method_name)

    resource.get_filter_value = get_filter_value


def _routes(backend: Any) -> None:
    """A route may lead to the virtual private gateway of its own VPC only."""

    def checked(function: Any) -> Any:
        @functools.wraps(function)
        def call(self: Any, *args: Any, **kw: Any) -> Any:
            given = arguments(function, self, *args, **kw)
            wanted = given.get("gateway_id") or ""
            if wanted.startswith("vgw-"):
                table = self.get_route_table(given["route_table_id"])
                gateway = self.get_vpn_gateway(wanted)
                if not leads_out(gateway, table):
                    said = f"route table {table.id} and network gateway {wanted} belong to different networks"
                    refuse("InvalidParameterValue", said)
            return function(**given)

        return call

    backend.create_route, backend.replace_route = checked(backend.create_route), checked(backend.replace_route)


def _edges(table: Any) -> None:
    """A table that is associated with a virtual private gateway says so; moto names internet gateways only."""
    shown = table.associations.fget

    def associations(self: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = shown(self)
        for each in found:
            target = str(self._associations.get(each["RouteTableAssociationId"]))
            if target.startswith("vgw-"):
                each["GatewayId"] = target
        return found

    table.associations = property(associations)
