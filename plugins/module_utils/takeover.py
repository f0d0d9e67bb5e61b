# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host on which somebody has set up a VPN can become a gateway of the deployment without a packet being lost.

Nothing is known of what works there, so it is judged by what everything has: packets of the sites that pass it, and
files and daemons that would open tunnels to the same peers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import dual_stack
from .handover import Flow

# Where strongSwan in both its forms and libreswan have their connections.
PLACES = ("/etc/swanctl", "/etc/strongswan", "/etc/ipsec.conf", "/etc/ipsec.d", "/etc/ipsec.secrets")
OURS = "vpnha-"  # how the names of the role's own files begin
BEGUN = Path("/etc/vpnha/firewall.nft")  # among the first that the role writes, before any tunnel is there
DAEMONS = ("strongswan-starter.service", "ipsec.service")  # others than the role's, which keep IKE's ports
_MOST_BYTES = 1_000_000  # of a file that is a configuration
# of both versions of IP: where source and destination stand in a packet, and how long its header is at least
_ENDS = {4: ((12, 16), (16, 20)), 6: ((8, 24), (24, 40))}
_HEADERS = {4: 20, 6: 40}
_CONNECTION = re.compile(r"^(\S+): IKE", re.MULTILINE)


@dataclass(frozen=True)
class Watched:
    """Whose packets count."""

    address: str  # the gateway's own: what is for itself or from itself is forwarded by nobody
    vpc: Sequence[str]  # CIDRs
    sites: Mapping[str, Sequence[str]]  # prefixes by name


def classifier(watched: Watched) -> Callable[[bytes], Flow | None]:
    """A function that says of an IP packet which flow between a site and the VPC it is of; None: of none."""
    own = int(ipaddress.IPv4Address(watched.address))
    vpc: dict[int, list[range]] = {4: [], 6: []}
    for cidr in watched.vpc:
        vpc[6 if dual_stack.is_ipv6(cidr) else 4].append(_range(cidr))
    sites: dict[int, list[tuple[str, range]]] = {4: [], 6: []}
    for site, prefixes in watched.sites.items():
        for prefix in prefixes:
            sites[6 if dual_stack.is_ipv6(prefix) else 4].append((site, _range(prefix)))

    def classify(packet: bytes) -> Flow | None:
        version = packet[0] >> 4 if packet else 0
        if version not in _ENDS or len(packet) < _HEADERS[version]:
            return None
        source, target = (int.from_bytes(packet[start:end], "big") for start, end in _ENDS[version])
        if version == 4 and own in (source, target):
            return None
        for site, prefix in sites[version]:
            if source in prefix and any(target in each for each in vpc[version]):
                return Flow(site, outwards=False)
            if target in prefix and any(source in each for each in vpc[version]):
                return Flow(site, outwards=True)
        return None

    return classify


def naming(peers: Iterable[str], places: Iterable[Path]) -> dict[str, list[str]]:
    """The files below those places that name a peer's address, each with the addresses; the role's own are left out."""
    words = {peer: re.compile(rf"(?<![\w.]){re.escape(peer)}(?![\w.])") for peer in dict.fromkeys(peers)}
    found = {}
    for path in _files(places):
        text = _without_comments(path)
        if named := [peer for peer, word in words.items() if word.search(text)]:
            found[str(path)] = named
    return found


def loaded(said: str) -> list[str]:
    """The connections that ``swanctl --list-conns`` shows."""
    return _CONNECTION.findall(said)


def reasons(
    gateway: str,
    flows: Iterable[Flow],
    files: Mapping[str, Sequence[str]],
    connections: Sequence[str],
    daemons: Mapping[str, str],
) -> list[str]:
    """Why it cannot be taken over yet, one sentence each. ``daemons``: the state of each that is in the way."""
    out = [
        f"Packets to {flow.site} still come to {gateway}: move the routes that lead to it."
        if flow.outwards
        else f"Packets from {flow.site} still pass {gateway}: have its peers send through another gateway."
        for flow in flows
    ]
    out += [f"{path} names the peer {' and '.join(peers)}: move it away." for path, peers in sorted(files.items())]
    out += [f"{unit} is {state}: disable it and stop it." for unit, state in daemons.items()]
    if connections:
        out.append(f"strongSwan still has {' and '.join(connections)} loaded: stop it.")
    return out


def _range(cidr: str) -> range:
    """The addresses of a network as numbers: a test of membership that many packets a second can afford."""
    network = ipaddress.ip_network(cidr)
    return range(int(network[0]), int(network[-1]) + 1)


def _files(places: Iterable[Path]) -> list[Path]:
    found = []
    for place in places:
        inside = sorted(place.rglob("*")) if place.is_dir() else [place]
        found += [path for path in inside if path.is_file() and not path.name.startswith(OURS)]
    return found


def _without_comments(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return ""
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # gone meanwhile
    return "\n".join(line.partition("#")[0] for line in text.splitlines())
