# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The internet of the lab: one namespace with a bridge, to which the VPC's router and the sites' hosts are plugged.

Sites have addresses of 198.51.100.0/24, Elastic IPs are of 203.0.113.0/24 and lead to the VPC's router, the ends of
managed VPN tunnels are of 192.0.2.128/25, and the EC2 endpoint is 192.0.2.10. Nothing here leads out of the machine.
Everything routed passes ``br0``, so a capture there sees the whole underlay.
"""

from __future__ import annotations

from lab.names import Names
from lab.net import netns

BRIDGE = "br0"
ENDPOINT = "192.0.2.10"
ELASTIC = "203.0.113.0/24"  # the pool of public addresses
IPV6 = "2001:db8:20::/48"  # the ranges of IPv6 that VPCs get; nothing leads to them from here
VPC_ROUTER = "192.0.2.2"
VPN_ENDPOINTS = "192.0.2.128/25"  # where the ends of managed tunnels have their public addresses
SITES_GATEWAY = "198.51.100.1"
BACKBONE = "192.0.2.1"  # the internet as the VPC's router sees it


def name(names: Names) -> str:
    """The name of the internet's namespace."""
    return names.netns("internet")


def make(names: Names) -> None:
    """Make the internet, unless it is there."""
    internet = name(names)
    if netns.exists(internet) and netns.has_link(internet, BRIDGE):
        return
    netns.delete(internet)
    netns.add(internet, router=True)
    netns.ip(
        internet,
        f"link add {BRIDGE} type bridge forward_delay 0",
        f"address add {BACKBONE}/24 dev {BRIDGE}",
        f"address add {ENDPOINT}/24 dev {BRIDGE}",
        f"address add {SITES_GATEWAY}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
        f"route add {ELASTIC} via {VPC_ROUTER} dev {BRIDGE}",
        "route add blackhole default metric 4294967295",
    )


def remove(names: Names) -> None:
    """Remove the internet with every cable that leads to it."""
    netns.delete(name(names))


def mac(host: str, ifname: str) -> str:
    """The hardware address of a host's interface: the same after a reboot, as neighbours remember it."""
    digits = netns.short("", host, ifname)[:10]
    return ":".join(["02", *(digits[at : at + 2] for at in range(0, 10, 2))])


def plug(names: Names, host: str, ifname: str, address: str, *, gateway: str | None = SITES_GATEWAY) -> None:
    """Give the namespace ``host`` an interface in the internet, unless it has it already.

    ``address``: an IPv4 address without prefix length (it is of a /24); ``gateway``: where its default route leads,
    None for no such route.
    """
    if netns.has_link(host, ifname):
        return
    internet, port = name(names), netns.short("p", host, ifname)
    netns.drop_link(internet, port)
    cable = f"link add {port} type veth peer name {ifname} address {mac(host, ifname)} netns {host}"
    netns.ip(internet, cable, f"link set {port} master {BRIDGE} up")
    route = [f"route replace default via {gateway}"] if gateway else []
    netns.ip(host, f"address add {address}/24 dev {ifname}", f"link set {ifname} up", *route)
