# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespace of a virtual private gateway: between the VPC's router and the ends of its tunnels.

It has no process. ``r0`` leads to the router; the routes to the tunnels' ends are set by whoever knows which are up.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.names import Names
from lab.net import cards, netns

ROUTER = cards.LINK  # the router as the gateway sees it
HERE = "169.254.1.2"  # the gateway as the router and the tunnels' ends see it; the same in all
TUNNEL = "169.254.1.3"  # a tunnel's end as the gateway sees it
_NOTHING = "blackhole default metric 4294967295"


def name(names: Names, vgw: str) -> str:
    """The gateway's namespace."""
    return names.netns(vgw)


def make(names: Names, router: str, vgw: str) -> None:
    """Make the namespace and its cable to the router, anew if it exists."""
    here, link = name(names, vgw), cards.router_link(vgw)
    near, far = cards.router_mac(vgw), cards.card_mac(vgw)
    remove(names, router, vgw)
    netns.add(here, router=True)
    netns.ip(
        router,
        f"link add {link} address {near} type veth peer name r0 address {far} netns {here}",
        f"link set {link} up",
        f"neighbour replace {HERE} lladdr {far} dev {link} nud permanent",
    )
    netns.ip(
        here,
        "link set r0 up",
        f"neighbour replace {ROUTER} lladdr {near} dev r0 nud permanent",
        f"route add {_NOTHING}",
    )


def remove(names: Names, router: str, vgw: str) -> None:
    """Remove the namespace with its cables; no error when there is none."""
    netns.drop_link(router, cards.router_link(vgw))  # a namespace dies late, its cable at once
    netns.delete(name(names, vgw))


def attach(names: Names, vgw: str, add: Iterable[str], delete: Iterable[str]) -> None:
    """Let packets pass to a VPC's ranges, and no longer to others."""
    lines = [f"route replace {cidr} via {ROUTER} dev r0 onlink" for cidr in add]
    lines += [f"route delete {cidr} via {ROUTER} dev r0 onlink" for cidr in delete]
    if lines:
        netns.ip(name(names, vgw), *lines)


def plug(names: Names, vgw: str, end: str) -> None:
    """Lay the cable to the namespace of a tunnel's end, where it is called ``vgw0``."""
    here, link = name(names, vgw), end_link(end)
    near, far = cards.router_mac(end), cards.card_mac(end)
    netns.drop_link(here, link)
    netns.ip(
        here,
        f"link add {link} address {near} type veth peer name vgw0 address {far} netns {end}",
        f"link set {link} up",
        f"neighbour replace {TUNNEL} lladdr {far} dev {link} nud permanent",
    )
    netns.ip(
        end,
        "link set vgw0 up",
        f"neighbour replace {HERE} lladdr {near} dev vgw0 nud permanent",
    )


def end_link(end: str) -> str:
    """The name of that cable in the gateway's namespace."""
    return netns.short("t", end)


def lead(names: Names, vgw: str, cidr: str, end: str | None) -> None:
    """Let packets for a range go to a tunnel's end, or nowhere."""
    way = f"via {TUNNEL} dev {end_link(end)} onlink" if end else ""
    line = f"route replace {cidr} {way}" if end else f"route replace blackhole {cidr}"
    netns.ip(name(names, vgw), line)
