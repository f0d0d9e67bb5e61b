# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One gateway of the virtual machines, asked what it sees: by its own programs, and by its agent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport, Deployment
from lab.errors import LabError
from lab.vm import traffic
from lab.vm.machine import Machine
from lab.vm.network import Network

_SA = re.compile(r"list-sa event \{(\S+) \{uniqueid=(\d+) .*?state=(\w+)")
_CHILD = re.compile(r"\S+ \{name=\S+ uniqueid=(\d+) reqid=\d+ state=INSTALLED .*?spi-in=(\w+) spi-out=(\w+)")
_PACKETS = re.compile(r"packets-in=(\d+).*?packets-out=(\d+)")


@dataclass(frozen=True)
class Sa:
    """The SAs of a tunnel: the unique ids of its IKE SAs, and the (unique id, SPI, SPI) of its CHILD SAs."""

    ike: tuple[str, ...]
    children: tuple[tuple[str, str, str], ...]


def device(machine: Machine, *where: str) -> str:
    """The device by which a machine sends packets there, as ``ip route get`` takes it, or "none"."""
    done = machine.run("ip", "route", "get", *where, check=False)
    found = re.search(r" dev (\S+)", done.stdout)
    return found[1] if found else "none"


class Gateway:
    """A gateway of the deployment."""

    def __init__(self, machine: Machine, deployment: Deployment, network: Network, key: str) -> None:
        self.machine = machine
        self.name = machine.name
        self.tunnels = tuple(tunnel for tunnel in deployment.tunnels if tunnel.gateway == machine.name)
        self.view = tunnel_config.gateway_view(deployment, machine.name, tunnel_config.XFRM)
        self._network, self._key = network, key
        self._sessions = {tunnel.peer_inside_address: tunnel.name for tunnel in self.tunnels}
        self._sessions |= {one.inside_address: one.name for one in self.view.neighbours}

    def agent(self) -> AgentReport:
        """What its agent answers a monitor."""
        address = self.machine.cable.addresses[0]
        return traffic.agent_report(self._network.underlay, address, self.name, self._key)

    def bgp(self) -> dict[str, str]:
        """State of each BGP session, as FRR calls it, by the tunnel's or the neighbour's name."""
        said = self._asked("show bgp summary json")
        peers: Mapping[str, Any] = said.get("ipv4Unicast", {}).get("peers", {})
        return {name: str(peers.get(at, {}).get("state", "missing")) for at, name in self._sessions.items()}

    def since(self) -> dict[str, int]:
        """When each BGP session came up, by the same names; 0 for one that is not up."""
        said = self._asked("show bgp neighbors json")
        return {name: int(said.get(at, {}).get("bgpTimerUpEstablishedEpoch", 0)) for at, name in self._sessions.items()}

    def bfd(self) -> dict[str, str]:
        """State of each BFD session, by the same names."""
        found = {session.get("peer"): str(session.get("status")) for session in self._asked("show bfd peers json")}
        return {name: found.get(at, "missing") for at, name in self._sessions.items()}

    def ways(self) -> frozenset[str]:
        """The devices by which it sends packets to the site, of IPv4 and of IPv6, and "none" where there is none."""
        return frozenset(device(self.machine, target) for target in self._network.targets)

    def way(self) -> str:
        """The same for people: one device, unless the families go apart."""
        return " and ".join(sorted(self.ways()))

    def sas(self) -> dict[str, Sa]:
        """The established and installed SAs, by tunnel; empty without charon."""
        return sas(self.machine.run("swanctl", "--list-sas", "--raw", check=False).stdout)

    def packets(self) -> tuple[int, int]:
        """(in, out) over all CHILD SAs, as the kernel counts them."""
        counts = _PACKETS.findall(self.machine.say("swanctl", "--list-sas", "--raw"))
        return sum(int(count[0]) for count in counts), sum(int(count[1]) for count in counts)

    def forwarded(self) -> int:
        """Packets that it has passed on from the zones' application hosts, as its packet filter counts them."""
        said = json.loads(self.machine.say("nft", "--json", "list", "counters", "table", "inet", "vpnha"))
        counters = [one["counter"] for one in said["nftables"] if "counter" in one]
        return sum(int(one["packets"]) for one in counters if one["name"].startswith("zone-"))

    def esp(self) -> dict[str, tuple[int, int]]:
        """(ESP states, policies) in its kernel with the ``if_id`` of each tunnel."""
        said = [self.machine.say("ip", "xfrm", what) + " " for what in ("state", "policy")]
        marks = {tunnel.name: re.compile(rf"if_id {tunnel.if_id:#x}\s") for tunnel in self.tunnels}
        return {name: (len(mark.findall(said[0])), len(mark.findall(said[1]))) for name, mark in marks.items()}

    def unpacking(self) -> dict[str, int]:
        """Counters of its kernel: UDP packets that found no socket, and ESP that found no state."""
        said = self.machine.say("sh", "-c", "grep ^Udp: /proc/net/snmp; grep XfrmInNoStates /proc/net/xfrm_stat")
        names, values, states = (line.split() for line in said.splitlines())
        return {"UDP without a socket": int(values[names.index("NoPorts")]), "ESP without a state": int(states[1])}

    def kept_from_leaving(self) -> int:
        """How many packets of a site its filter has kept from leaving unencrypted."""
        said = self.machine.say("nft", "list", "counter", "inet", "vpnha", "plaintext")
        found = re.search(r"packets (\d+)", said)
        if found is None:
            raise LabError(f"The filter's counter cannot be read: {' '.join(said.split())}")
        return int(found[1])

    def charon(self) -> str:
        """The pid of charon; empty when it does not run."""
        return self.machine.run("pidof", "charon-systemd", check=False).stdout.strip()

    def well(self) -> bool:
        """Whether every tunnel has a CHILD SA, every BGP and BFD session is up, and the site is behind a tunnel."""
        sas = self.sas()
        return (
            self.ways() <= {tunnel.interface for tunnel in self.tunnels}
            and all(sas[one.name].children for one in self.tunnels if one.name in sas)
            and {tunnel.name for tunnel in self.tunnels} <= set(sas)
            and set(self.bgp().values()) == {"Established"}
            and set(self.bfd().values()) == {"up"}
        )

    def _asked(self, question: str) -> Any:
        return json.loads(self.machine.say("vtysh", "-c", question))


def sas(said: str) -> dict[str, Sa]:
    """The SAs of swanctl's raw list that are established and installed, by tunnel."""
    found: dict[str, Sa] = {}
    for line in said.splitlines():
        sa = _SA.search(line)
        if sa and sa[3] == "ESTABLISHED":
            before = found.get(sa[1], Sa((), ()))
            children = tuple((child[1], child[2], child[3]) for child in _CHILD.finditer(line))
            found[sa[1]] = Sa((*before.ike, sa[2]), (*before.children, *children))
    return found
