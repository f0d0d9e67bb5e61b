# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing a gateway's traffic over to its neighbours for a while, by BGP, and taking it back.

Who wants it writes a request; the gateway's agent makes all its tunnels the last choice while there is one. Nothing in
EC2 changes: packets that come from the VPC go on to the neighbour over the mesh, the sites send to the neighbour.
A request ends by itself, and with the host: who asks need not live to take it back.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import dual_stack
from .errors import VpnhaError

REQUEST = Path("/run/vpnha/handover")
AWAY_PREFERENCE = 50  # the local preference of what is the last choice; a route of another gateway has 100


@dataclass(frozen=True)
class Way:
    """How a gateway reaches one prefix of a site, by its BGP table."""

    site: str
    prefix: str
    own: bool  # through a tunnel of its own
    own_best: bool  # and so packets go there
    neighbour: bool  # another gateway offers a way that is not its last choice
    neighbour_best: bool


def now() -> float:
    """The clock of requests: it goes on while the host sleeps, and nobody sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def ask(seconds: float, path: Path = REQUEST) -> None:
    """Request it for so long at most. Another request has the agent make sure of it at once."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{now() + seconds:.3f}\n", encoding="ascii")
    temporary.replace(path)


def withdraw(path: Path = REQUEST) -> bool:
    """Take the request back; whether there was one."""
    existed = path.exists()
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return existed


def requested(path: Path = REQUEST, clock: Callable[[], float] = now) -> str:
    """The request that is in force, as its text; empty: none. One that nobody can read is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
        return text if clock() < float(text) < math.inf else ""
    except (OSError, ValueError):
        return ""


def left(request: str, clock: Callable[[], float] = now) -> float:
    """How many seconds a request's text leaves it; none where there is no request."""
    return max(float(request) - clock(), 0.0) if request else 0.0


def ways(table: str, sites: Mapping[str, Sequence[str]]) -> list[Way]:
    """What ``show bgp ipv4 unicast json`` says of the sites' prefixes, or the same of IPv6.

    Raises VpnhaError when it is not that.
    """
    found = []
    try:
        for prefix, paths in json.loads(table)["routes"].items():
            site = _site(ipaddress.ip_network(prefix), sites)
            valid = [path for path in paths if path.get("valid")]
            own = [path for path in valid if path.get("pathFrom") != "internal"]
            others = [path for path in valid if path.get("pathFrom") == "internal"]
            if site:
                found.append(
                    Way(
                        site,
                        prefix,
                        bool(own),
                        any(path.get("bestpath") for path in own),
                        any(int(path.get("locPrf", 100)) > AWAY_PREFERENCE for path in others),
                        any(path.get("bestpath") for path in others),
                    )
                )
    except (ValueError, KeyError, AttributeError, TypeError):
        raise VpnhaError("vtysh -c 'show bgp … unicast json': its answer is no BGP table.") from None
    return sorted(found, key=lambda way: (way.site, way.prefix))


def refusals(gateway: str, found: Iterable[Way], keep: Sequence[str] | None = None) -> list[str]:
    """Why its traffic cannot be handed over without loss, one sentence for each site.

    ``keep``: the prefixes that it reaches by its own tunnels afterwards too, None: all.
    """
    lonely = [way for way in found if way.own and not way.neighbour]
    sentences = []
    for site in dict.fromkeys(way.site for way in lonely):
        prefixes = [way.prefix for way in lonely if way.site == site]
        text = f"No other gateway can take over {site} ({', '.join(prefixes)}) from {gateway}"
        if keep is not None and not any(overlaps(prefix, keep) for prefix in prefixes):
            text += (
                ", which is to have no tunnel there any more: deploy with this tunnel and another gateway's first, and "
                "without it when that one is up"
            )
        sentences.append(f"{text}.")
    return sentences


def overlaps(prefix: str, others: Iterable[str]) -> bool:
    """Whether a prefix is a part of another, or another of it."""
    network = ipaddress.ip_network(prefix)
    return any(
        dual_stack.covered(network, [other]) or dual_stack.covered(ipaddress.ip_network(other), [prefix])
        for other in others
    )


def missing(prefixes: Iterable[str], found: Iterable[Way], keep: Sequence[str] | None = None) -> list[str]:
    """The prefixes that a gateway has reached by its own tunnels and does not yet again.

    One that is described otherwise now, in parts or as a part (``keep`` has it no longer), is there with any of it.
    """
    own = {way.prefix for way in found if way.own_best}
    changed = {prefix for prefix in prefixes if keep is not None and prefix not in keep and overlaps(prefix, own)}
    return [prefix for prefix in prefixes if prefix not in own | changed]


@dataclass(frozen=True)
class Flow:
    """Packets that passed a gateway's tunnels, by the direction and the site."""

    site: str
    outwards: bool

    def sentence(self, gateway: str) -> str:
        """That they still do."""
        if self.outwards:
            return f"packets to {self.site} still leave through {gateway}'s own tunnel"
        return f"{self.site} still sends packets through {gateway}'s tunnel"


class Quiet:
    """For how long no packet has been forwarded, fed with the counters' values. Pure."""

    def __init__(self, at: float) -> None:
        self._counts: dict[Flow, int] = {}
        self._moved: dict[Flow, float] = {}
        self._began = at

    def update(self, counts: Mapping[Flow, int], at: float) -> None:
        """Take new values."""
        for flow, count in counts.items():
            if count != self._counts.get(flow, 0):
                self._moved[flow] = at
        self._counts = dict(counts)

    def seconds(self, at: float) -> float:
        """Since the last packet, or since the beginning."""
        return at - max(self._moved.values(), default=self._began)

    def busy(self, at: float, seconds: float) -> list[Flow]:
        """What has moved within the last seconds."""
        return [flow for flow, moved in self._moved.items() if at - moved < seconds]


def counting(sites: Mapping[str, Sequence[str]], table: str) -> str:
    """nftables: a table that counts what is forwarded through the tunnels, and does nothing else."""
    counters = "".join(f"  counter in-{site} {{}}\n  counter out-{site} {{}}\n" for site in sites)
    rules = ""
    for site, prefixes in sites.items():
        for family, members in (("ip", dual_stack.ipv4(prefixes)), ("ip6", dual_stack.ipv6(prefixes))):
            for way, device, end in (("in", "iifname", "saddr"), ("out", "oifname", "daddr")) if members else ():
                match = f"{family} {end} {{ {', '.join(members)} }} counter name {way}-{site}"
                rules += f'    {device} "ipsec0" {match}\n'
                rules += f'    {device} "vpnha*" {device} != "vpnhavx" {match}\n'
    return (
        f"table inet {table} {{}}\ndelete table inet {table}\ntable inet {table} {{\n{counters}"
        f"  chain forward {{\n    type filter hook forward priority 10; policy accept;\n{rules}  }}\n}}\n"
    )


def counted(answer: str) -> dict[Flow, int]:
    """The counters' values out of ``nft -j list counters``. Raises VpnhaError when it is not that."""
    try:
        found = {}
        for one in json.loads(answer)["nftables"]:
            if "counter" in one:
                way, _dash, site = one["counter"]["name"].partition("-")
                found[Flow(site, way == "out")] = int(one["counter"]["packets"])
        return found
    except (ValueError, KeyError, AttributeError, TypeError):
        raise VpnhaError("nft -j list counters: its answer is none.") from None


def described(config: str) -> tuple[str, dict[str, list[str]]]:
    """The gateway's name and the sites' prefixes in its agent's configuration, whichever version wrote it.

    Raises VpnhaError when it is none.
    """
    try:
        value: dict[str, Any] = json.loads(config)
        return str(value["gateway"]), {
            str(site["name"]): [str(prefix) for prefix in site["prefixes"]] for site in value["deployment"]["sites"]
        }
    except (ValueError, KeyError, TypeError):
        raise VpnhaError("The agent's configuration is none: write it anew with the role vpnha.aws.gateway.") from None


def _site(network: ipaddress.IPv4Network | ipaddress.IPv6Network, sites: Mapping[str, Sequence[str]]) -> str:
    return next((site for site, prefixes in sites.items() if dual_stack.covered(network, prefixes)), "")
