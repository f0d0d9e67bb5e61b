# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the far end of each tunnel must be set to, read from what the gateway itself is told. Pure; without secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import dual_stack
from .model import Deployment
from .tunnel_config import GatewayView, TunnelView, connection, gateway_view

ELASTIC, PRIVATE, NONE_YET = "elastic_ip", "private", "none_yet"
_KINDS = {ELASTIC: "an Elastic IP", PRIVATE: "its private address, as it has no Elastic IP"}
_METHODS = {"psk": "pre-shared key", "certificate": "certificate"}


@dataclass(frozen=True)
class Own:
    """What the gateway's variables say, and EC2 of its address."""

    public_address: str  # of its network interface; empty if EC2 shows none
    elastic_ip: bool  # whether it is to have one
    ike_proposals: Sequence[str]
    esp_proposals: Sequence[str]
    dpd_delay: float
    bfd_interval_ms: int
    bfd_multiplier: int
    mtu: int
    mss: int


def settings(deployment: Deployment, name: str, data_plane: str, own: Own) -> list[dict[str, Any]]:
    """One dictionary for each tunnel of a gateway. Raises VpnhaError as ``gateway_view`` does."""
    view = gateway_view(deployment, name, data_plane)
    tunnels = {tunnel.name: tunnel for tunnel in deployment.tunnels}
    kind = ELASTIC if own.public_address else NONE_YET if own.elastic_ip else PRIVATE
    found = []
    for each in view.tunnels:
        tunnel = tunnels[each.name]
        ike = connection(
            deployment, tunnel, data_plane,
            ike_proposals=own.ike_proposals, esp_proposals=own.esp_proposals, dpd_delay=own.dpd_delay,
        )  # fmt: skip
        [child] = ike["children"].values()
        found.append(
            {
                "site": each.site,
                "tunnel": each.name,
                "gateway": name,
                "gateway_address": {ELASTIC: own.public_address, PRIVATE: view.address, NONE_YET: ""}[kind],
                "gateway_address_kind": kind,
                "peer_address": each.peer_address,
                "gateway_id": ike["local"]["id"],
                "peer_id": ike["remote"]["id"],
                "authentication": "psk" if ike["local"]["auth"] == "psk" else "certificate",
                "ike_version": int(ike["version"]),
                "ike_proposals": ike["proposals"],
                "esp_proposals": child["esp_proposals"],
                "dpd_delay": ike["dpd_delay"],
                "started_by": "gateway" if tunnel.initiate else "peer",
                "gateway_selectors": child["local_ts"],
                "peer_selectors": child["remote_ts"],
                **_inside(each),
                "mtu": own.mtu,
                "mss": own.mss,
                "routing": each.routing,
                **(_bgp(view, each, own) if each.routing == "bgp" else {}),
                **_networks(deployment, view, each),
            }
        )
    return found


def _inside(tunnel: TunnelView) -> dict[str, str]:
    length = tunnel.inside_prefix_length
    found = {
        "gateway_inside": f"{tunnel.inside_address}/{length}",
        "peer_inside": f"{tunnel.peer_inside_address}/{length}",
    }
    if tunnel.inside_ipv6:
        of_ipv6 = dual_stack.TUNNEL_PREFIX_LENGTH
        found["gateway_inside_ipv6"] = f"{tunnel.inside_ipv6}/{of_ipv6}"
        found["peer_inside_ipv6"] = f"{tunnel.peer_inside_ipv6}/{of_ipv6}"
    return found


def _bgp(view: GatewayView, tunnel: TunnelView, own: Own) -> dict[str, Any]:
    return {
        "gateway_asn": view.asn,
        "peer_asn": tunnel.peer_asn,
        "bgp_keepalive": view.bgp_keepalive,
        "bgp_hold": view.bgp_hold,
        "bfd_interval_ms": own.bfd_interval_ms,
        "bfd_multiplier": own.bfd_multiplier,
    }


def _networks(deployment: Deployment, view: GatewayView, tunnel: TunnelView) -> dict[str, list[str]]:
    """Those of IPv6 only where the tunnel's site has any, as the gateway does it."""
    six = view.ipv6 if tunnel.inside_ipv6 else None
    return {
        "vpc_networks": [*view.vpc_cidrs, *(six.vpc_cidrs if six else ())],
        "home_networks": [*view.home_prefixes, *(six.home_prefixes if six else ())],
        "other_networks": [*view.other_prefixes, *(six.other_prefixes if six else ())],
        "site_networks": list(deployment.site(tunnel.site).prefixes),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """A tunnel's settings to be read by a person."""
    kind = found["gateway_address_kind"]
    if kind == NONE_YET:
        outer = f"EC2 has no Elastic IP for {found['gateway']} yet: deploy makes it"
    else:
        outer = f"{found['gateway_address']}, {_KINDS[kind]}"
    six = (f", {found[f'{end}_inside_ipv6']}" if f"{end}_inside_ipv6" in found else "" for end in ("peer", "gateway"))
    inside = [f"{found[f'{end}_inside']}{more}" for end, more in zip(("peer", "gateway"), six, strict=True)]
    said = [
        f"Site {found['site']}, tunnel {found['tunnel']}, as its far end is to be set:",
        f"- outer addresses: own {found['peer_address']}; remote {outer}",
        f"- IKE identities: own {found['peer_id']}; remote {found['gateway_id']}",
        f"- authentication: {_METHODS[found['authentication']]}; IKE version {found['ike_version']}; "
        f"started by the {found['started_by']}",
        f"- IKE proposals: {', '.join(found['ike_proposals'])}",
        f"- ESP proposals: {', '.join(found['esp_proposals'])}",
        f"- traffic selectors: own {', '.join(found['peer_selectors'])}; "
        f"remote {', '.join(found['gateway_selectors'])}",
        f"- inside addresses: own {inside[0]}; remote {inside[1]}",
        f"- MTU inside the tunnel: {found['mtu']}; TCP segments of at most {found['mss']} bytes",
    ]
    if found["routing"] == "bgp":
        said += [
            f"- AS numbers: own {found['peer_asn']}; remote {found['gateway_asn']}",
            f"- BGP: keepalive {found['bgp_keepalive']} s, hold {found['bgp_hold']} s",
            f"- BFD: {found['bfd_interval_ms']} ms x {found['bfd_multiplier']}",
            f"- announces, or parts of it: {', '.join(found['site_networks'])}",
            f"- is announced: {', '.join(found['vpc_networks'] + found['home_networks']) or 'nothing'}; with a longer "
            f"AS path: {', '.join(found['other_networks']) or 'nothing'}",
        ]
    else:
        own, home = found["site_networks"], found["vpc_networks"] + found["home_networks"]
        said += [
            f"- static routes to the VPC: {', '.join(home)}; as a second choice: "
            f"{', '.join(found['other_networks']) or 'nothing'}",
            f"- the gateway routes to the site: {', '.join(own)}",
        ]
    return said
