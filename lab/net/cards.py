# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The "card": a small namespace between an ENI's host and the VPC's router, which is what makes it an ENI.

It holds the source/destination check, the security groups with a connection table of its own (as on AWS, where each
ENI tracks by itself), and the place where the instance metadata service listens. ``r0`` leads to the router, ``h0``
to the host.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.names import Names
from lab.net import netns
from lab.net.desired import Nic, Rule, of_family

IMDS = "169.254.169.254"
LINK = "169.254.1.1"  # the router as a card sees it; the same in every card
LINK6 = "fe80::1"  # the same of IPv6, and the card as its host sees it
CARD6 = "fe80::2"  # a card as the router sees it
_FROM_ROUTER = 100  # packets from the router go to the host or nowhere: never back by a custom route


def card(names: Names, eni: str) -> str:
    """The name of an ENI's card."""
    return names.netns(f"card-{eni}")


def host_netns(names: Names, instance: str) -> str:
    """The name of an instance's own namespace."""
    return names.netns(instance)


def router_link(eni: str) -> str:
    """The name of the card's interface in the router."""
    return netns.short("e", eni)


def router_mac(eni: str) -> str:
    """The hardware address of that interface: always the same for the same ENI."""
    digits = netns.short("", eni)[:10]
    return ":".join(["06", *(digits[at : at + 2] for at in range(0, 10, 2))])


def card_mac(eni: str) -> str:
    """The hardware address of the card's side towards the router."""
    return "0a" + router_mac(eni)[2:]


def make(names: Names, router: str, nic: Nic) -> None:
    """Make the card and its cable to the router, anew if it exists."""
    here, link = card(names, nic.eni), router_link(nic.eni)
    near, far = router_mac(nic.eni), card_mac(nic.eni)
    remove(names, router, nic.eni)
    netns.add(here, router=True)
    netns.ip(
        router,
        f"link add {link} address {near} type veth peer name r0 address {far} netns {here}",
        f"link set {link} up",
    )
    netns.ip(
        here,
        f"address add {IMDS}/32 dev lo",
        "link set r0 up",
        f"neighbour replace {LINK} lladdr {near} dev r0 nud permanent",
        f"route add default via {LINK} dev r0 onlink",
        f"rule add iif r0 lookup {_FROM_ROUTER} pref 100",
        f"route add blackhole default metric 4294967295 table {_FROM_ROUTER}",
    )


def remove(names: Names, router: str, eni: str) -> None:
    """Remove the card with both its cables; no error when there is none."""
    netns.drop_link(router, router_link(eni))  # a namespace dies late, its cable at once
    netns.delete(card(names, eni))


def plug(names: Names, nic: Nic) -> None:
    """Lay the cable from the card to the host's namespace, which exists, and configure both ends."""
    assert nic.host is not None
    here, host, name = card(names, nic.eni), host_netns(names, nic.host), f"eth{nic.device}"
    unplug(names, nic.eni)
    netns.drop_link(host, name)
    netns.ip(here, f"link add h0 type veth peer name {name} address {nic.mac} netns {host}")
    netns.sysctl(here, {"net/ipv4/conf/h0/proxy_arp": "1", "net/ipv4/neigh/h0/proxy_delay": "0"})
    netns.ip(
        here,
        "link set h0 up",
        f"address add {nic.gateway}/32 dev h0",
        *(f"neighbour replace {address} lladdr {nic.mac} dev h0 nud permanent" for address in nic.addresses),
        *(f"route replace {address} dev h0" for address in nic.addresses),
        f"route replace default via {nic.addresses[0]} dev h0 onlink table {_FROM_ROUTER}",
    )
    netns.ip(
        host,
        *(f"address replace {address}/{nic.prefix_length} dev {name}" for address in nic.addresses),
        f"link set {name} up",
        *([f"route replace default via {nic.gateway} dev {name}"] if nic.device == 0 else []),
    )


def make_ipv6(names: Names, router: str, nic: Nic) -> None:
    """Let the card and the router, which speaks IPv6 already, pass packets to and from the ENI's addresses of IPv6."""
    here, link = card(names, nic.eni), router_link(nic.eni)
    near, far = router_mac(nic.eni), card_mac(nic.eni)
    netns.speak_ipv6(here)
    netns.ip(
        router,
        f"neighbour replace {CARD6} lladdr {far} dev {link} nud permanent",
        *(f"neighbour replace {address} lladdr {far} dev {link} nud permanent" for address in nic.ipv6),
        *(f"route replace {address} dev {link}" for address in nic.ipv6),
        ipv6=True,
    )
    netns.ip(
        here,
        f"neighbour replace {LINK6} lladdr {near} dev r0 nud permanent",
        f"route replace default via {LINK6} dev r0 onlink",
        f"rule add iif r0 lookup {_FROM_ROUTER} pref 100",
        f"route replace blackhole default metric 4294967295 table {_FROM_ROUTER}",
        ipv6=True,
    )


def plug_ipv6(names: Names, nic: Nic) -> None:
    """Give the host, which is plugged, its addresses of IPv6 and a way out."""
    assert nic.host is not None
    here, host, name = card(names, nic.eni), host_netns(names, nic.host), f"eth{nic.device}"
    netns.ip(
        here,
        f"address replace {LINK6}/64 dev h0 nodad",
        *(f"neighbour replace {address} lladdr {nic.mac} dev h0 nud permanent" for address in nic.ipv6),
        *(f"route replace {address} dev h0" for address in nic.ipv6),
        f"route replace default via {nic.ipv6[0]} dev h0 onlink table {_FROM_ROUTER}",
        ipv6=True,
    )
    netns.ip(
        host,
        *(f"address replace {address}/128 dev {name} nodad" for address in nic.ipv6),
        *([f"route replace default via {LINK6} dev {name}"] if nic.device == 0 else []),
        ipv6=True,
    )


def unplug(names: Names, eni: str) -> None:
    """Pull the cable to the host: nothing answers any more, whatever still runs there."""
    netns.drop_link(card(names, eni), "h0")


def filters(nic: Nic) -> str:
    """The nft script of a card; running it again replaces the rules in one step and keeps the tracked connections."""
    # the card itself is no address of the VPC: only its own host may speak to it, and look for it on the link
    speak = [f'iifname "h0" ip daddr {IMDS} tcp dport 80 accept']
    find = ['iifname "h0" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept']
    return _table("ip", nic.addresses, speak, nic) + (_table("ip6", nic.ipv6, find, nic) if nic.ipv6 else "")


def _table(family: str, addresses: Iterable[str], local: Iterable[str], nic: Nic) -> str:
    own = _set(addresses)
    check = (
        [f'iifname "h0" {family} saddr != {own} drop', f'oifname "h0" {family} daddr != {own} drop']
        if nic.check
        else []
    )
    forward = [*check, "ct state established,related accept", 'iifname "r0" jump ingress', 'iifname "h0" jump egress']
    parts = {
        "forward": forward,
        "ingress": [words for rule in nic.ingress for words in _admit(rule, family, "saddr")],
        "egress": [words for rule in nic.egress for words in _admit(rule, family, "daddr")],
        "local": ['iifname "lo" accept', *local],
    }
    lines = [
        f"table {family} card {{",
        "chain ingress { }",
        "chain egress { }",
        "chain forward { type filter hook forward priority 0; policy drop; }",
        "chain local { type filter hook input priority 0; policy drop; }",
        "}",
    ]
    lines += [f"flush chain {family} card {chain}" for chain in parts]
    lines += [f"add rule {family} card {chain} {rule}" for chain, rules in parts.items() for rule in rules]
    return "\n".join(lines) + "\n"


def _admit(rule: Rule, family: str, end: str) -> list[str]:
    """The rule's words in a family; none where it names nothing of that family."""
    cidrs = of_family(rule.cidrs, ipv6=family == "ip6")
    other = {"ip": ("icmpv6", "58"), "ip6": ("icmp", "1")}[family]
    if not cidrs or rule.protocol in other:
        return []
    words = [] if cidrs in (("0.0.0.0/0",), ("::/0",)) else [f"{family} {end} {_set(cidrs)}"]
    if rule.protocol in ("tcp", "udp"):
        words.append(f"{rule.protocol} dport {rule.from_port or 0}-{65535 if rule.to_port is None else rule.to_port}")
    elif rule.protocol in ("icmp", "icmpv6"):
        kind = [] if rule.from_port is None else [f"{rule.protocol} type {rule.from_port}"]
        code = [] if rule.to_port is None else [f"{rule.protocol} code {rule.to_port}"]
        words += kind + code or [f"meta l4proto {rule.protocol}"]
    elif rule.protocol != "-1":
        words.append(f"meta l4proto {rule.protocol}")
    return [" ".join([*words, "accept"])]


def _set(values: Iterable[str]) -> str:
    return "{ " + ", ".join(values) + " }"
