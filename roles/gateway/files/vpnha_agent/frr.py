# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of FRR, and vtysh, which tells it which way to prefer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.handover import AWAY_PREFERENCE

from .service import run

AWAY_OUT, AWAY_IN = "VPNHA-AWAY-OUT-", "VPNHA-AWAY-IN-"
_PREPENDS = 4  # more than the two of another zone's gateway
# Distances: after iBGP (200), before the blackhole (250). Only where there were answers once can an agent that starts
# wait for some: so a tunnel whose answers were missed is told apart from one that was handed over, and comes after it.
# Earlier releases' agents wrote 220 for either, and an upgrade's turn hands over before it restarts the agent: so 220
# stays what says nothing of a tunnel.
HANDED_OVER, LAST_CHOICE = 220, 221
_FAMILY = re.compile(r"^ address-family (ipv4|ipv6) unicast$")
_NEIGHBOR = re.compile(r"^ neighbor (\S+) remote-as ", re.MULTILINE)
_NEIGHBOR_MAP = re.compile(r"^ +neighbor (\S+) route-map (\S+) (in|out)$")


class FrrError(VpnhaError):
    """FRR could not do what it was asked, or its answer is none."""


@dataclass(frozen=True)
class Running:
    """What of bgpd's running configuration matters here."""

    maps: Mapping[tuple[str, str], str]  # of IPv4: (neighbour, "in" or "out") -> route map
    graceful_shutdown: bool
    maps6: Mapping[tuple[str, str], str] = field(default_factory=dict)  # the same of IPv6
    peers: frozenset[str] = frozenset()  # all neighbours

    @property
    def families(self) -> tuple[tuple[str, Mapping[tuple[str, str], str]], ...]:
        """FRR's name of each family, and its route maps."""
        return ("ipv4", self.maps), ("ipv6", self.maps6)

    def begun(self, peer: str) -> bool:
        """Whether it is the last choice in any way: who was killed meanwhile has made only a part of it."""
        return any(self._away(peer))

    def away(self, peer: str) -> bool:
        """Whether it is the last choice in every family and both ways."""
        return all(self._away(peer))

    def speaks(self, family: str, of: Mapping[tuple[str, str], str], peer: str) -> bool:
        """Whether a peer has that family: IPv6 only with a route map of the role's.

        One that FRR does not have, in the moments between its reload and the agent's restart, has none: vtysh would
        stop at the first command for it.
        """
        return peer in self.peers if family == "ipv4" else (peer, "out") in of

    def _away(self, peer: str) -> list[bool]:
        return [
            of.get((peer, way), "").startswith(prefix)
            for family, of in self.families
            if self.speaks(family, of, peer)
            for way, prefix in (("out", AWAY_OUT), ("in", AWAY_IN))
        ]


async def vtysh(*commands: str, daemon: str = "") -> str:
    """The output of commands to FRR, or to one of its daemons alone, which is quicker. Raises FrrError."""
    arguments = [*(["-d", daemon] if daemon else []), *(part for command in commands for part in ("-c", command))]
    ended = await run("vtysh", *arguments)
    if ended.code != 0 or "% " in ended.output.split("\n", 1)[0]:
        what = ended.error or ended.output.strip().partition("\n")[0] or f"exit code {ended.code}"
        raise FrrError(f"vtysh -c '{commands[-1]}': {what}")
    return ended.output


def bgp_states(summary: str, peers: Iterable[str]) -> dict[str, str]:
    """Of each peer "established" or "down", from ``show bgp summary json``. Raises FrrError when it is not that."""
    try:
        families = json.loads(summary)
        seen = {
            address: str(peer["state"])
            for family in families.values()
            if isinstance(family, dict)
            for address, peer in family.get("peers", {}).items()
        }
    except (ValueError, AttributeError, KeyError, TypeError):
        raise FrrError("show bgp summary json: its answer is no summary") from None
    return {peer: "established" if seen.get(peer) == "Established" else "down" for peer in peers}


def read_running(text: str) -> Running:
    """What matters in ``show running-config bgpd``."""
    maps: dict[str, dict[tuple[str, str], str]] = {"ipv4": {}, "ipv6": {}}
    family = "ipv4"
    for line in text.splitlines():
        begins = _FAMILY.match(line)
        family = begins[1] if begins else family
        found = _NEIGHBOR_MAP.match(line)
        if found:
            maps[family][found[1], found[3]] = found[2]
    shutdown = any(line.strip() == "bgp graceful-shutdown" for line in text.splitlines())
    return Running(maps["ipv4"], shutdown, maps["ipv6"], frozenset(_NEIGHBOR.findall(text)))


def original(route_map: str) -> str:
    """The role's route map behind one of ours."""
    for prefix in (AWAY_OUT, AWAY_IN):
        route_map = route_map.removeprefix(prefix)
    return route_map


def away_commands(asn: int, running: Running, peers: Sequence[str]) -> list[str]:
    """Make the tunnels of these peers the last choice both ways, without giving them up.

    Nothing is withdrawn: where there is no better way, a lossy one is better than none. What is away already stays so.
    """
    maps: list[str] = []
    neighbours: list[str] = []
    for family, of in running.families:
        here = [peer for peer in peers if running.speaks(family, of, peer)]
        for peer in here:
            out, into = (original(of.get((peer, way), "")) for way in ("out", "in"))
            maps += [f"route-map {AWAY_OUT}{out} permit 10", *([f"call {out}"] if out else [])]
            maps += [f"set as-path prepend {' '.join([str(asn)] * _PREPENDS)}"]
            maps += ["set community graceful-shutdown additive", "exit"]
            maps += [f"route-map {AWAY_IN}{into} permit 10", *([f"call {into}"] if into else [])]
            maps += [f"set local-preference {AWAY_PREFERENCE}", "exit"]
        commands = [
            f"neighbor {peer} route-map {prefix}{original(of.get((peer, way), ''))} {way}"
            for peer in here
            for way, prefix in (("out", AWAY_OUT), ("in", AWAY_IN))
        ]
        neighbours += _in_family(family, commands, neighbours)
    return ["configure terminal", *maps, f"router bgp {asn}", *neighbours]


def back_commands(asn: int, running: Running, peers: Sequence[str]) -> list[str]:
    """Undo ``away_commands`` for these peers; empty when there is nothing to undo."""
    neighbours: list[str] = []
    for family, of in running.families:
        commands = []
        for peer in peers:
            for way, prefix in (("out", AWAY_OUT), ("in", AWAY_IN)):
                current = of.get((peer, way), "")
                if not current.startswith(prefix):
                    continue
                former = original(current)
                no = "" if former else "no "
                commands.append(f"{no}neighbor {peer} route-map {former or current} {way}")
        neighbours += _in_family(family, commands, neighbours)
    return ["configure terminal", f"router bgp {asn}", *neighbours] if neighbours else []


def _in_family(family: str, commands: Sequence[str], before: Sequence[str]) -> list[str]:
    """Commands for neighbours within ``router bgp``, after those of another family."""
    if not commands:
        return []
    return [*(["exit-address-family"] if before else []), f"address-family {family} unicast", *commands]


def drain_commands(asn: int, on: bool) -> list[str]:
    """Tell all BGP neighbours that this gateway is about to go, or that it stays."""
    return ["configure terminal", f"router bgp {asn}", f"{'' if on else 'no '}bgp graceful-shutdown"]


def static_words(routes: Sequence[str], distance: int | None) -> list[str]:
    """These static routes with that distance, None: as the role writes them.

    ``routes`` are the role's commands; FRR changes distance and tag of a route in place, and shows it in the same
    words. Without the tag they are not passed on, so that a neighbour's route wins over them.
    """
    return [route if distance is None else f"{route.partition(' tag ')[0]} {distance}" for route in routes]


def static_commands(routes: Sequence[str], distance: int | None) -> list[str]:
    """Have FRR take these static routes with that distance."""
    return ["configure terminal", *static_words(routes, distance)]
