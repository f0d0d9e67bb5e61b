# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one gateway's strongSwan, FRR and nftables have to be told, computed from the deployment.

Pure: no I/O. Templates only write down what is decided here. The two data planes differ in nothing but the name of a
tunnel's device and the ``if_id`` of its connection: ``xfrm`` has a device for each tunnel, ``libipsec`` one for all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import dual_stack
from .errors import VpnhaError
from .model import CERTIFICATE, Deployment, Gateway, Tunnel

XFRM = "xfrm"
LIBIPSEC = "libipsec"
DATA_PLANES = (XFRM, LIBIPSEC)
LIBIPSEC_DEVICE = "ipsec0"

MESH_DEVICE = "vpnhavx"  # the VXLAN between the gateways, by which one hands packets over to another
MESH_NETWORK = ipaddress.IPv4Network("169.254.255.0/24")  # no tunnel's: the description is checked for that

TABLE_BASE = 7000  # of the policy routing tables, one for each tunnel: TABLE_BASE + if_id
BGP_KEEPALIVE, BGP_HOLD = 3, 9  # seconds; BFD is quicker
STATIC_TAG = 7784  # marks a static route to a site, so that FRR passes on these and not the blackholes

IKE_PROPOSALS = ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-prfsha256-ecp256", "aes256-sha256-modp2048")
ESP_PROPOSALS = ("aes256gcm16-ecp384", "aes256gcm16-ecp256", "aes256gcm16", "aes256-sha256-modp2048", "aes256-sha256")


@dataclass(frozen=True)
class TunnelView:
    """One tunnel of this gateway, as its templates need it."""

    name: str
    site: str
    routing: str  # "bgp" or "static"
    device: str
    inside_address: str
    inside_prefix_length: int
    peer_inside_address: str
    peer_address: str
    peer_asn: int | None
    if_id: int
    table: int  # of the routes for packets from this tunnel's inside address
    static_routes: tuple[str, ...]  # FRR's commands for the routes of a static tunnel
    inside_ipv6: str = ""  # its addresses of IPv6 inside, where its site has IPv6
    peer_inside_ipv6: str = ""


@dataclass(frozen=True)
class Neighbour:
    """Another gateway of the deployment, reached over the mesh."""

    name: str
    address: str  # private address of its ENI
    inside_address: str  # its address in the mesh
    mac: str
    inside_ipv6: str = ""  # the same of IPv6


@dataclass(frozen=True)
class Ipv6View:
    """What a gateway is told of IPv6, as of IPv4 by the fields of the same names in ``GatewayView``."""

    vpc_cidrs: tuple[str, ...]
    home_prefixes: tuple[str, ...]
    other_prefixes: tuple[str, ...]
    sites: tuple[tuple[str, tuple[str, ...]], ...]
    site_prefixes: tuple[str, ...]
    zones: tuple[tuple[str, tuple[str, ...]], ...]
    mesh_address: str


@dataclass(frozen=True)
class GatewayView:
    """Everything that is written on one gateway; lists keep the order of the description.

    All networks are of IPv4, and those of IPv6 in ``ipv6``: it is None where no site has any.
    """

    name: str
    address: str
    asn: int
    bgp_keepalive: int
    bgp_hold: int
    data_plane: str
    vpc_cidrs: tuple[str, ...]
    home_prefixes: tuple[str, ...]  # announced plain: the VPC's subnets whose home gateway this is
    other_prefixes: tuple[str, ...]  # announced prepended: the other zones' subnets
    sites: tuple[tuple[str, tuple[str, ...]], ...]  # name, prefixes; of the whole deployment
    site_prefixes: tuple[str, ...]
    zones: tuple[tuple[str, tuple[str, ...]], ...]  # name, application subnets
    tunnels: tuple[TunnelView, ...]
    devices: tuple[str, ...]  # of the tunnels
    mesh_address: str
    mesh_mac: str
    neighbours: tuple[Neighbour, ...]
    ipv6: Ipv6View | None = None


def tunnel_device(tunnel: Tunnel, data_plane: str) -> str:
    """The device through which a tunnel's packets go."""
    return tunnel.interface if data_plane == XFRM else LIBIPSEC_DEVICE


def static_routes(deployment: Deployment, tunnel: Tunnel, data_plane: str) -> tuple[str, ...]:
    """FRR's commands for the routes to a static tunnel's site; empty for BGP.

    While the tunnel does not carry, the agent makes them the last choice, and the neighbour's announcement takes over.
    """
    site = deployment.site(tunnel.site)
    if site.routing != "static":
        return ()
    device = tunnel_device(tunnel, data_plane)
    peer = tunnel.peer_inside_address
    return tuple(
        f"ipv6 route {prefix} {dual_stack.inside_address(peer)} {device} tag {STATIC_TAG}"
        if dual_stack.is_ipv6(prefix)
        else f"ip route {prefix} {peer} {device} tag {STATIC_TAG}"
        for prefix in site.prefixes
    )


def mesh_addresses(deployment: Deployment) -> dict[str, str]:
    """Each gateway's address in the mesh, by its name."""
    return {gateway.name: str(MESH_NETWORK[index + 1]) for index, gateway in enumerate(deployment.gateways)}


def gateway_view(deployment: Deployment, name: str, data_plane: str) -> GatewayView:
    """What the gateway of that name is told. Raises VpnhaError when the data plane cannot do what is described."""
    gateway = _gateway(deployment, name)
    if data_plane not in DATA_PLANES:
        raise VpnhaError(f"The data plane '{data_plane}' is unknown: use one of {', '.join(DATA_PLANES)}.")
    tunnels = [tunnel for tunnel in deployment.tunnels if tunnel.gateway == name]
    if data_plane == LIBIPSEC:
        _refuse_twins(name, tunnels)
    mesh = mesh_addresses(deployment)
    home, other_zones = _prefixes(deployment, gateway)
    prefixes = tuple(prefix for site in deployment.sites for prefix in site.prefixes)
    devices = dict.fromkeys(tunnel_device(tunnel, data_plane) for tunnel in tunnels)
    if data_plane == LIBIPSEC:
        devices[LIBIPSEC_DEVICE] = None
    return GatewayView(
        name=name,
        address=gateway.address,
        asn=deployment.asn,
        bgp_keepalive=BGP_KEEPALIVE,
        bgp_hold=BGP_HOLD,
        data_plane=data_plane,
        vpc_cidrs=dual_stack.ipv4(deployment.vpc_cidrs),
        home_prefixes=dual_stack.ipv4(home),
        other_prefixes=dual_stack.ipv4(other_zones),
        sites=tuple((site.name, dual_stack.ipv4(site.prefixes)) for site in deployment.sites),
        site_prefixes=dual_stack.ipv4(prefixes),
        zones=tuple((zone.name, zone.app_subnets) for zone in deployment.zones),
        tunnels=tuple(_tunnel_view(deployment, tunnel, data_plane) for tunnel in tunnels),
        devices=tuple(devices),
        mesh_address=mesh[name],
        mesh_mac=_mac(gateway.address),
        neighbours=tuple(
            Neighbour(
                other.name,
                other.address,
                mesh[other.name],
                _mac(other.address),
                dual_stack.mesh_address(mesh[other.name]),
            )
            for other in deployment.gateways
            if other.name != name
        ),
        ipv6=Ipv6View(
            vpc_cidrs=dual_stack.ipv6(deployment.vpc_cidrs),
            home_prefixes=dual_stack.ipv6(home),
            other_prefixes=dual_stack.ipv6(other_zones),
            sites=tuple((site.name, found) for site in deployment.sites if (found := dual_stack.ipv6(site.prefixes))),
            site_prefixes=dual_stack.ipv6(prefixes),
            zones=tuple((zone.name, zone.app_subnets_ipv6) for zone in deployment.zones),
            mesh_address=dual_stack.mesh_address(mesh[name]),
        )
        if dual_stack.ipv6(prefixes)
        else None,
    )


def connection(
    deployment: Deployment,
    tunnel: Tunnel,
    data_plane: str,
    *,
    ike_proposals: Sequence[str] = IKE_PROPOSALS,
    esp_proposals: Sequence[str] = ESP_PROPOSALS,
    dpd_delay: float = 10.0,
) -> dict[str, Any]:
    """A tunnel as VICI's ``load-conn`` takes it (and ``swanctl_text`` writes it): one connection with one child.

    Only one end starts and restarts; the other waits. DPD is slow on purpose: BFD and the agent move the traffic, and
    quick retries would fill the peer's limit of half-open SAs.
    """
    prefixes = deployment.site(tunnel.site).prefixes
    local, remote = list(dual_stack.ipv4(deployment.vpc_cidrs)), list(dual_stack.ipv4(prefixes))
    inside = [tunnel.inside_cidr]
    if dual_stack.ipv6(prefixes):
        local += dual_stack.ipv6(deployment.vpc_cidrs)
        remote += dual_stack.ipv6(prefixes)
        inside.append(dual_stack.inside_cidr(tunnel.inside_cidr))
    child: dict[str, Any] = {
        "local_ts": [*local, *inside],
        "remote_ts": [*remote, *inside],
        "esp_proposals": list(esp_proposals),
        "start_action": "trap|start" if tunnel.initiate else "none",
        "dpd_action": "restart" if tunnel.initiate else "clear",
        "close_action": "none",
    }
    method = "pubkey" if tunnel.auth == CERTIFICATE else "psk"
    if data_plane == XFRM:
        child["if_id_in"] = child["if_id_out"] = str(tunnel.if_id)
    return {
        "version": "2",
        "local_addrs": [deployment.gateway(tunnel.gateway).address],
        "remote_addrs": [tunnel.peer_address],
        "proposals": list(ike_proposals),
        "mobike": "no",
        "unique": "replace",
        "keyingtries": "0",
        "reauth_time": "0",
        "dpd_delay": f"{dpd_delay:g}s",
        "local": {"auth": method, "id": tunnel.local_id},
        "remote": {"auth": method, "id": tunnel.peer_id},
        "children": {tunnel.name: child},
    }


def psks(sites: Sequence[Mapping[str, Any]], key: str = "psk") -> dict[str, str]:
    """The pre-shared keys of a description's ``vpnha_sites``, by tunnel name (as ``description.parse`` names them).

    ``key`` may be "psk_next", which not every tunnel has.
    """
    found: dict[str, str] = {}
    for site in sites:
        used: dict[str, int] = {}
        for tunnel in site.get("tunnels", ()):
            gateway = str(tunnel["gateway"])
            used[gateway] = used.get(gateway, 0) + 1
            suffix = f"-{used[gateway]}" if used[gateway] > 1 else ""
            if tunnel.get(key) not in (None, ""):
                found[f"{site['name']}-{gateway}{suffix}"] = str(tunnel[key])
    return found


def swanctl_text(name: str, body: Mapping[str, Any], psk: str, owners: Sequence[str], psk_next: str = "") -> str:
    """A connection and its key, if it has one, as a file of swanctl. In hexadecimal any character may be in a key.

    The next key comes first: strongSwan accepts all that it has for the owners, and signs with the one loaded last.
    """
    ids = "".join(f"    id-{number} = {_quoted(owner)}\n" for number, owner in enumerate(owners, 1))
    keys = {next_secret_id(name): psk_next} if psk_next else {}
    if psk:
        keys[secret_id(name)] = psk
    secrets = "".join(f"  {each} {{\n{ids}    secret = 0x{key.encode().hex()}\n  }}\n" for each, key in keys.items())
    return (
        "# Written by Ansible (vpnha.aws.gateway); changes made here are lost.\n"
        f"connections {{\n  {name} {{\n{_section(body, 4)}  }}\n}}\n"
    ) + (f"secrets {{\n{secrets}}}\n" if secrets else "")


def secret_id(name: str) -> str:
    """Under which a tunnel's key is loaded."""
    return f"ike-{name}"


def next_secret_id(name: str) -> str:
    """Under which a tunnel's next key is loaded, beside the one that signs. No tunnel's own is called so."""
    return f"ikenext-{name}"


def _section(body: Mapping[str, Any], indent: int) -> str:
    text = ""
    pad = " " * indent
    for key, value in body.items():
        if isinstance(value, Mapping):
            text += f"{pad}{key} {{\n{_section(value, indent + 2)}{pad}}}\n"
        elif isinstance(value, str):
            text += f"{pad}{key} = {_quoted(value) if key == 'id' else value}\n"
        else:
            text += f"{pad}{key} = {', '.join(str(item) for item in value)}\n"
    return text


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _gateway(deployment: Deployment, name: str) -> Gateway:
    try:
        return deployment.gateway(name)
    except KeyError:
        known = ", ".join(gateway.name for gateway in deployment.gateways)
        raise VpnhaError(f"vpnha_name is '{name}', which vpnha_gateways does not have: it has {known}.") from None


def _refuse_twins(gateway: str, tunnels: Sequence[Tunnel]) -> None:
    seen: dict[str, str] = {}
    for tunnel in tunnels:
        if tunnel.site in seen:
            raise VpnhaError(
                f"{gateway}: the tunnels {seen[tunnel.site]} and {tunnel.name} lead to one site, and this kernel has "
                "no XFRM interfaces to tell them apart: use a kernel with ESP and XFRM interfaces, or one tunnel per "
                "site and gateway."
            )
        seen[tunnel.site] = tunnel.name


def _prefixes(deployment: Deployment, gateway: Gateway) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The subnets announced plain and prepended. The VPC's own CIDRs are announced besides, by every gateway alike."""
    home: dict[str, None] = {}
    others: dict[str, None] = {}
    for zone in deployment.zones:
        ipv6 = (zone.gateway_subnet_ipv6, *zone.app_subnets_ipv6)
        for subnet in (zone.gateway_subnet, *zone.app_subnets, *filter(None, ipv6)):
            if subnet not in deployment.vpc_cidrs:
                (home if zone.name in gateway.home_zones else others)[subnet] = None
    return tuple(home), tuple(others)


def _tunnel_view(deployment: Deployment, tunnel: Tunnel, data_plane: str) -> TunnelView:
    dual = bool(dual_stack.ipv6(deployment.site(tunnel.site).prefixes))
    return TunnelView(
        name=tunnel.name,
        site=tunnel.site,
        routing=deployment.site(tunnel.site).routing,
        device=tunnel_device(tunnel, data_plane),
        inside_address=tunnel.inside_address,
        inside_prefix_length=ipaddress.IPv4Network(tunnel.inside_cidr).prefixlen,
        peer_inside_address=tunnel.peer_inside_address,
        peer_address=tunnel.peer_address,
        peer_asn=tunnel.peer_asn,
        if_id=tunnel.if_id,
        table=TABLE_BASE + tunnel.if_id,
        static_routes=static_routes(deployment, tunnel, data_plane),
        inside_ipv6=dual_stack.inside_address(tunnel.inside_address) if dual else "",
        peer_inside_ipv6=dual_stack.inside_address(tunnel.peer_inside_address) if dual else "",
    )


def _mac(address: str) -> str:
    """A locally administered MAC address that follows from the private address, so that nobody has to ask for it."""
    return ":".join(f"{octet:02x}" for octet in (0x02, 0x76, *ipaddress.IPv4Address(address).packed))
