# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 beside IPv4 inside the tunnels: which network is of which, and the addresses of IPv6 there.

A tunnel's outside is IPv4 always. Its addresses of IPv6 inside follow from its /30, and those among the gateways from
their addresses there, so that nobody has to choose them and nobody has to ask. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

INSIDE = ipaddress.IPv6Network("fd76:706e:6861::/48")  # a unique local range, for nothing but what follows
TUNNELS = ipaddress.IPv6Network("fd76:706e:6861:1::/64")
MESH = ipaddress.IPv6Network("fd76:706e:6861:2::/64")
TUNNEL_PREFIX_LENGTH = 126


def is_ipv6(text: str) -> bool:
    """Whether an address or a network is of IPv6."""
    return ":" in text


def ipv4(networks: Iterable[str]) -> tuple[str, ...]:
    """Those of IPv4."""
    return tuple(each for each in networks if not is_ipv6(each))


def ipv6(networks: Iterable[str]) -> tuple[str, ...]:
    """Those of IPv6."""
    return tuple(each for each in networks if is_ipv6(each))


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address is in one of the networks; never in one of the other family."""
    parsed = ipaddress.ip_address(address)
    return any(parsed in ipaddress.ip_network(network) for network in networks)


def covered(network: ipaddress.IPv4Network | ipaddress.IPv6Network, by: Iterable[str]) -> bool:
    """Whether a network is a part of one of the others."""
    # at both ends is enough: networks overlap as a whole or not at all
    first, last = str(network[0]), str(network[-1])
    return any(within(first, [each]) and within(last, [each]) for each in by)


def inside_address(address: str) -> str:
    """The IPv6 address that belongs to one end of a tunnel: its last two bytes are those of the IPv4 address inside."""
    return str(TUNNELS[int(ipaddress.IPv4Address(address)) & 0xFFFF])


def inside_cidr(cidr: str) -> str:
    """The /126 that belongs to a tunnel's /30."""
    return f"{inside_address(cidr.partition('/')[0])}/{TUNNEL_PREFIX_LENGTH}"


def mesh_address(address: str) -> str:
    """A gateway's IPv6 address in the mesh."""
    return str(MESH[int(ipaddress.IPv4Address(address)) & 0xFFFF])
