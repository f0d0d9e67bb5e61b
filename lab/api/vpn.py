# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed VPN connections as EC2 shows them: tunnels with their options and telemetry, static routes, the XML.

moto knows that a connection exists and little else. What is more of it hangs at moto's object as ``managed``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from lab.api.mends import refuse
from lab.net.desired import Leg
from lab.net.underlay import VPN_ENDPOINTS

if TYPE_CHECKING:
    from lab.managed import Connection

AMAZON_ASN = 64512
_KEY = re.compile(r"(?!0)[A-Za-z0-9._]{8,64}")
_LINK_LOCAL = ipaddress.IPv4Network("169.254.0.0/16")
_RESERVED = [ipaddress.IPv4Network(f"169.254.{number}.0/30") for number in range(6)]
_RESERVED.append(ipaddress.IPv4Network("169.254.169.252/30"))
_CHOSEN = ipaddress.IPv4Network("169.254.100.0/22")  # where inside ranges are taken from that nobody asked for


@dataclass
class Tunnel:
    """One of a connection's two tunnels; ``status`` is what the data plane says."""

    outside: str
    inside: str  # a /30
    key: str
    options: dict[str, Any] = field(default_factory=dict)  # the others, as they were given
    replaced: int = 0  # how often its endpoint has been replaced
    up: bool = False
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    bytes_in: int = 0
    bytes_out: int = 0

    @property
    def leg(self) -> Leg:
        """What its ends need of it now."""
        return Leg(self.outside, self.inside, self.key)

    def count(self, received: int, sent: int) -> None:
        """Add what has passed since the last time."""
        self.bytes_in, self.bytes_out = self.bytes_in + received, self.bytes_out + sent

    def say(self, up: bool) -> None:
        """Set its state, and when that changed."""
        if up != self.up:
            self.up, self.since = up, datetime.now(UTC)


@dataclass
class Managed:
    """What moto does not know of a connection."""

    static: bool
    tunnels: list[Tunnel]
    options: dict[str, Any]
    routes: list[str] = field(default_factory=list)

    def tunnel(self, outside: str) -> Tunnel:
        """The tunnel with that outside address; refuses another one."""
        found = next((each for each in self.tunnels if each.outside == outside), None)
        if found is None:
            refuse("InvalidParameterValue", f"The VPN tunnel outside IP address '{outside}' is not of this connection.")
        return found


def managed(backend: Any) -> list[Any]:
    """The connections that exist."""
    return [each for each in list(backend.vpn_connections.values()) if made(each) and each.state != "deleted"]


def made(connection: Any) -> bool:
    """Whether it is whole: reads take no lock, and see one that moto has and that is still being made."""
    return hasattr(connection, "managed")


def wanted(backend: Any) -> tuple[Connection, ...]:
    """The connections as the data plane needs them."""
    from lab.managed import Connection
    from lab.managed import Tunnel as Wanted

    return tuple(
        Connection(
            id=each.id,
            vgw=each.vpn_gateway_id,
            customer=backend.customer_gateways[each.customer_gateway_id].ip_address,
            routes=tuple(each.managed.routes),
            tunnels=tuple(Wanted(tunnel.leg, tunnel.replaced, tunnel) for tunnel in each.managed.tunnels),
        )
        for each in managed(backend)
        if each.vpn_gateway_id and each.managed.static  # the lab's ends speak no BGP: such a connection stays down
    )


def make(backend: Any, connection: Any, options: Mapping[str, Any]) -> Managed:
    """What a new connection is given by EC2, after its own options have been checked."""
    asked = list(options.get("TunnelOptions") or [])
    if len(asked) > 2:
        refuse("InvalidParameterValue", "A VPN connection has two tunnels.")
    others = [each for each in managed(backend) if each is not connection]
    tunnels: list[Tunnel] = []
    for number in range(2):
        given = dict(asked[number]) if number < len(asked) else {}
        taken = [*tunnels, *(tunnel for each in others for tunnel in each.managed.tunnels)]
        inside = given.pop("TunnelInsideCidr", None) or _free_inside(connection.id, number, taken)
        key = given.pop("PreSharedKey", None) or secrets.token_hex(16).replace("0", "x")
        check_tunnel(inside, key, tunnels)
        tunnels.append(Tunnel(_free_outside(taken), inside, key, given))
    rest = {name: value for name, value in options.items() if name not in ("TunnelOptions", "StaticRoutesOnly")}
    return Managed(bool(options.get("StaticRoutesOnly", False)), tunnels, rest)


def check_tunnel(inside: str, key: str, others: Iterable[Tunnel]) -> None:
    """Refuse what EC2 would refuse of a tunnel's options."""
    try:
        network = ipaddress.IPv4Network(inside)
    except ValueError:
        network = ipaddress.IPv4Network("0.0.0.0/0")
    if network.prefixlen != 30 or not network.subnet_of(_LINK_LOCAL) or network in _RESERVED:
        refuse(
            "InvalidParameterValue", f"Invalid value '{inside}' for TunnelInsideCidr: give a free /30 of 169.254/16."
        )
    if any(network.overlaps(ipaddress.IPv4Network(each.inside)) for each in others):
        refuse("InvalidParameterValue", f"Invalid value '{inside}' for TunnelInsideCidr: the other tunnel has it.")
    if not _KEY.fullmatch(key):
        said = "use 8 to 64 letters, digits, dots and underscores, and no zero at the beginning."
        refuse("InvalidParameterValue", f"Invalid value for PreSharedKey: {said}")


def _free_outside(taken: Iterable[Tunnel]) -> str:
    used = {each.outside for each in taken}
    return next(str(each) for each in ipaddress.IPv4Network(VPN_ENDPOINTS).hosts() if str(each) not in used)


def _free_inside(connection: str, number: int, taken: Iterable[Tunnel]) -> str:
    used = {each.inside for each in taken}
    ranges = [str(each) for each in _CHOSEN.subnets(new_prefix=30)]
    start = int(hashlib.sha256(f"{connection}/{number}".encode()).hexdigest(), 16) % len(ranges)
    return next(each for each in ranges[start:] + ranges[:start] if each not in used)


# --- How it is shown ---------------------------------------------------------------------------------------


def shown(connection: Any) -> dict[str, Any]:
    """A connection as EC2 describes it. Keys are no secret to who may see the connection, as on AWS."""
    more: Managed = connection.managed
    gone = connection.state == "deleted"
    answer: dict[str, Any] = {
        "VpnConnectionId": connection.id,
        "State": connection.state,
        "Type": connection.type,
        "Category": "VPN",
        "CustomerGatewayId": connection.customer_gateway_id,
        "VpnGatewayId": connection.vpn_gateway_id,
        "TransitGatewayId": connection.transit_gateway_id,
        "Tags": [{"Key": tag["key"], "Value": tag["value"]} for tag in connection.get_tags()],
        "Options": {
            "EnableAcceleration": False,
            "LocalIpv4NetworkCidr": "0.0.0.0/0",
            "RemoteIpv4NetworkCidr": "0.0.0.0/0",
            "OutsideIpAddressType": "PublicIpv4",
            "TunnelInsideIpVersion": "ipv4",
            **more.options,
            "StaticRoutesOnly": more.static,
            "TunnelOptions": [_tunnel_options(each) for each in more.tunnels],
        },
        "Routes": [{"DestinationCidrBlock": cidr, "State": "available"} for cidr in more.routes],
        "VgwTelemetry": [] if gone else [_telemetry(each) for each in more.tunnels],
    }
    if not gone:
        answer["GatewayAssociationState"] = "associated"
        answer["CustomerGatewayConfiguration"] = customer_configuration(connection)
    return answer


def _tunnel_options(tunnel: Tunnel) -> dict[str, Any]:
    names = {"DPDTimeoutSeconds": "DpdTimeoutSeconds", "DPDTimeoutAction": "DpdTimeoutAction"}
    names["IKEVersions"] = "IkeVersions"
    return {
        "DpdTimeoutSeconds": 30,
        "DpdTimeoutAction": "clear",
        "StartupAction": "add",
        "EnableTunnelLifecycleControl": False,
        **{names.get(name, name): value for name, value in tunnel.options.items()},
        "OutsideIpAddress": tunnel.outside,
        "TunnelInsideCidr": tunnel.inside,
        "PreSharedKey": tunnel.key,
    }


def _telemetry(tunnel: Tunnel) -> dict[str, Any]:
    # As EC2's own examples show it for static routes: no count of accepted routes, no message.
    return {
        "OutsideIpAddress": tunnel.outside,
        "Status": "UP" if tunnel.up else "DOWN",
        "StatusMessage": "" if tunnel.up else "IPSEC IS DOWN",
        "LastStatusChange": tunnel.since.replace(microsecond=0),
        "AcceptedRouteCount": 0,
    }


def customer_configuration(connection: Any) -> str:
    """What a customer gateway has to be told, in AWS's XML, pre-shared keys among it."""
    customer = connection.ec2_backend.customer_gateways[connection.customer_gateway_id]
    gateway = connection.ec2_backend.vpn_gateways.get(connection.vpn_gateway_id)
    amazon_asn = str(getattr(gateway, "amazon_side_asn", None) or AMAZON_ASN)
    tunnels = "".join(
        "<ipsec_tunnel>"
        + _end("customer_gateway", customer.ip_address, tunnel.leg.customer, str(customer.bgp_asn))
        + _end("vpn_gateway", tunnel.outside, tunnel.leg.amazon, amazon_asn)
        + f"<ike><mode>main</mode><pre_shared_key>{escape(tunnel.key)}</pre_shared_key></ike>"
        + "<ipsec><protocol>esp</protocol><mode>tunnel</mode><tcp_mss_adjustment>1379</tcp_mss_adjustment>"
        + "<dead_peer_detection><interval>10</interval><retries>3</retries></dead_peer_detection></ipsec>"
        + "</ipsec_tunnel>"
        for tunnel in connection.managed.tunnels
    )
    options = "<vpn_connection_attributes>NoBGPVPNConnection</vpn_connection_attributes>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<vpn_connection id="{connection.id}"><customer_gateway_id>{customer.id}</customer_gateway_id>'
        f"<vpn_gateway_id>{connection.vpn_gateway_id or ''}</vpn_gateway_id>"
        f"<vpn_connection_type>{connection.type}</vpn_connection_type>"
        f"{options if connection.managed.static else ''}{tunnels}</vpn_connection>"
    )


def _end(element: str, outside: str, inside: str, asn: str) -> str:
    return (
        f"<{element}><tunnel_outside_address><ip_address>{outside}</ip_address></tunnel_outside_address>"
        f"<tunnel_inside_address><ip_address>{inside}</ip_address><network_mask>255.255.255.252</network_mask>"
        "<network_cidr>30</network_cidr></tunnel_inside_address>"
        f"<bgp><asn>{asn}</asn><hold_time>30</hold_time></bgp></{element}>"
    )
