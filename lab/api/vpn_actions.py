# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's actions of managed VPN connections, and where moto's gateways for them are unlike EC2's."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.responses import EC2Response

from lab.api import vpn
from lab.api.mends import refuse
from lab.net.desired import attached_vpc, normal


class VpnActions(EC2Response):  # type: ignore[misc]
    """The overridden actions; each answers like moto's method of the same name, where there is one."""

    # --- Gateways ------------------------------------------------------------------------------------------

    def create_customer_gateway(self) -> ActionResult:
        kind, address = self._get_param("Type"), self._get_param("IpAddress") or self._get_param("PublicIp")
        asn = self.params["BgpAsn"] = str(self._get_param("BgpAsn") or 65000)
        for each in self.ec2_backend.customer_gateways.values():
            if each.state == "available" and (each.type, each.ip_address, each.bgp_asn) == (kind, address, asn):
                return ActionResult({"CustomerGateway": each})
        return super().create_customer_gateway()

    def delete_customer_gateway(self) -> ActionResult:
        wanted = self._get_param("CustomerGatewayId")
        if any(each.customer_gateway_id == wanted for each in vpn.managed(self.ec2_backend)):
            refuse("IncorrectState", f"The customer gateway '{wanted}' is in use.")
        return super().delete_customer_gateway()

    def create_vpn_gateway(self) -> ActionResult:
        self.params.setdefault("AmazonSideAsn", vpn.AMAZON_ASN)
        return super().create_vpn_gateway()

    def attach_vpn_gateway(self) -> ActionResult:
        wanted, vpc = self._get_param("VpnGatewayId"), self._get_param("VpcId")
        gateway = self._gateway(wanted)
        held = attached_vpc(gateway)
        if held not in (None, vpc):
            refuse("VpnGatewayAttachmentLimitExceeded", f"The vpnGateway ID '{wanted}' is attached to {held}.")
        others = (each for each in self.ec2_backend.vpn_gateways.values() if each is not gateway)
        if any(attached_vpc(each) == vpc for each in others):
            refuse("InvalidVpcState", f"The vpc ID '{vpc}' has a virtual private gateway already.")
        return super().attach_vpn_gateway()

    def detach_vpn_gateway(self) -> ActionResult:
        wanted, vpc = self._get_param("VpnGatewayId"), self._get_param("VpcId")
        if attached_vpc(self._gateway(wanted)) != vpc:
            refuse("InvalidVpnGatewayAttachment.NotFound", f"The vpnGateway ID '{wanted}' is not attached to {vpc}.")
        return super().detach_vpn_gateway()

    def delete_vpn_gateway(self) -> ActionResult:
        wanted = self._get_param("VpnGatewayId")
        if attached_vpc(self._gateway(wanted)) is not None:
            refuse("IncorrectState", f"The vpnGateway ID '{wanted}' is attached to a VPC.")
        if any(each.vpn_gateway_id == wanted for each in vpn.managed(self.ec2_backend)):
            refuse("IncorrectState", f"The vpnGateway ID '{wanted}' has VPN connections.")
        return super().delete_vpn_gateway()

    def _gateway(self, wanted: str) -> Any:
        return usable_gateway(self.ec2_backend, wanted)

    # --- Connections ---------------------------------------------------------------------------------------

    def create_vpn_connection(self) -> ActionResult:
        customer = self.ec2_backend.get_customer_gateway(self._get_param("CustomerGatewayId"))
        if customer.state != "available":
            refuse("InvalidCustomerGatewayID.NotFound", f"The customerGateway ID '{customer.id}' does not exist")
        if gateway := self._get_param("VpnGatewayId"):
            self._gateway(gateway)
        answer = super().create_vpn_connection()
        connection = answer.result["VpnConnection"]
        try:
            connection.managed = vpn.make(self.ec2_backend, connection, self._get_param("Options", {}) or {})
        except BaseException:
            del self.ec2_backend.vpn_connections[connection.id]
            raise
        return ActionResult({"VpnConnection": vpn.shown(connection)})

    def describe_vpn_connections(self) -> ActionResult:
        answer = super().describe_vpn_connections()
        found = [vpn.shown(each) for each in answer.result["VpnConnections"] if vpn.made(each)]
        return ActionResult({"VpnConnections": found})

    def delete_vpn_connection(self) -> ActionResult:
        self._connection()
        return super().delete_vpn_connection()

    def create_vpn_connection_route(self) -> EmptyResult:
        connection, cidr = self._connection(), normal(self._get_param("DestinationCidrBlock"))
        if not connection.managed.static:
            refuse(
                "InvalidParameterValue", f"The vpnConnection ID '{connection.id}' has no static routes: it uses BGP."
            )
        if cidr not in connection.managed.routes:
            connection.managed.routes.append(cidr)
        return EmptyResult()

    def delete_vpn_connection_route(self) -> EmptyResult:
        connection, cidr = self._connection(), normal(self._get_param("DestinationCidrBlock"))
        if cidr not in connection.managed.routes:
            refuse("InvalidRoute.NotFound", f"The vpnConnection ID '{connection.id}' has no static route to {cidr}.")
        connection.managed.routes.remove(cidr)
        return EmptyResult()

    # --- Tunnels -------------------------------------------------------------------------------------------

    def modify_vpn_tunnel_options(self) -> ActionResult:
        connection, tunnel = self._tunnel()
        given = dict(self._get_param("TunnelOptions", {}) or {})
        inside, key = given.pop("TunnelInsideCidr", tunnel.inside), given.pop("PreSharedKey", tunnel.key)
        vpn.check_tunnel(inside, key, [each for each in connection.managed.tunnels if each is not tunnel])
        tunnel.inside, tunnel.key = inside, key
        tunnel.options.update(given)
        if not self._get_bool_param("SkipTunnelReplacement", False):
            tunnel.replaced += 1
        return ActionResult({"VpnConnection": vpn.shown(connection)})

    def replace_vpn_tunnel(self) -> ActionResult:
        _connection, tunnel = self._tunnel()
        tunnel.replaced += 1
        return ActionResult({"Return": True})

    def get_vpn_tunnel_replacement_status(self) -> ActionResult:
        connection, tunnel = self._tunnel()
        return ActionResult(
            {
                "VpnConnectionId": connection.id,
                "CustomerGatewayId": connection.customer_gateway_id,
                "VpnGatewayId": connection.vpn_gateway_id,
                "VpnTunnelOutsideIpAddress": tunnel.outside,
                "MaintenanceDetails": {"PendingMaintenance": "None"},
            }
        )

    def _connection(self) -> Any:
        wanted = self._get_param("VpnConnectionId")
        found = self.ec2_backend.vpn_connections.get(wanted)
        if found is None or found.state == "deleted":
            refuse("InvalidVpnConnectionID.NotFound", f"The vpnConnection ID '{wanted}' does not exist")
        return found

    def _tunnel(self) -> tuple[Any, vpn.Tunnel]:
        connection = self._connection()
        return connection, connection.managed.tunnel(self._get_param("VpnTunnelOutsideIpAddress"))


def usable_gateway(backend: Any, wanted: str) -> Any:
    """The virtual private gateway of that id; one that was deleted is still shown, and no more than that."""
    gateway = backend.get_vpn_gateway(wanted)
    if gateway.state == "deleted":
        refuse("InvalidVpnGatewayID.NotFound", f"The virtual private gateway ID '{wanted}' does not exist")
    return gateway
