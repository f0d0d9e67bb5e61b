# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two machines are plugged into: one namespace that is the VPC's router and the internet at once.

The gateway has a private address and an Elastic IP (NAT one to one), as on AWS. An application host is a namespace of
its own in the VPC. Nothing leads out of the machine: what is addressed elsewhere ends in a blackhole.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import capture, procs
from lab.errors import LabError
from lab.names import Names
from lab.net import netns
from lab.net import underlay as wiring

GATEWAY_TAP = "gw-a"
PEER_TAP = "cgw-hq"
GATEWAY_IFNAME = "ens5"
PEER_IFNAME = "wan0"
GATEWAY_ADDRESS = "10.20.0.10"
ELASTIC_IP = "203.0.113.10"
PEER_ADDRESS = "198.51.100.11"
VPC_ROUTER = "10.20.0.1"
INTERNET_ROUTER = "198.51.100.1"
APP_ADDRESS = "10.20.16.50"
APP_ROUTER = "10.20.16.1"
SITE = "192.168.10.0/24"
SITE_ADDRESS = "192.168.10.10"


@dataclass(frozen=True)
class Cable:
    """How a machine is plugged in: the end in the underlay, the machine's own interface, its address and its router."""

    tap: str
    ifname: str
    address: str
    router: str


GATEWAY = Cable(GATEWAY_TAP, GATEWAY_IFNAME, GATEWAY_ADDRESS, VPC_ROUTER)
PEER = Cable(PEER_TAP, PEER_IFNAME, PEER_ADDRESS, INTERNET_ROUTER)

_TABLE = f"""
table ip underlay {{
	chain elastic_in {{
		type nat hook prerouting priority dstnat; policy accept;
		iifname "{PEER_TAP}" ip daddr {ELASTIC_IP} dnat to {GATEWAY_ADDRESS}
	}}
	chain elastic_out {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "{PEER_TAP}" ip saddr {GATEWAY_ADDRESS} snat to {ELASTIC_IP}
	}}
	chain blocked {{
		type filter hook forward priority filter; policy accept;
	}}
}}
"""

_PLAIN = """
table ip plain {
	chain untracked {
		type filter hook prerouting priority raw; policy accept;
		notrack
	}
}
"""


def underlay(names: Names) -> str:
    """The namespace with the machines' uplinks."""
    return names.netns("underlay")


def app(names: Names) -> str:
    """The application host's namespace."""
    return names.netns("app")


def make(names: Names) -> None:
    """Make both namespaces."""
    here, host = underlay(names), app(names)
    netns.add(here, router=True)
    netns.add(host)
    netns.ip(
        here,
        f"tuntap add dev {GATEWAY_TAP} mode tap",
        f"tuntap add dev {PEER_TAP} mode tap",
        f"link add app type veth peer name eth0 netns {host}",
        f"address add {VPC_ROUTER}/24 dev {GATEWAY_TAP}",
        f"address add {INTERNET_ROUTER}/24 dev {PEER_TAP}",
        f"address add {APP_ROUTER}/24 dev app",
        f"link set {GATEWAY_TAP} up",
        f"link set {PEER_TAP} up",
        "link set app up",
        f"route add {SITE} via {GATEWAY_ADDRESS}",  # as a route table of the VPC has it
        "route add blackhole default metric 4294967295",
    )
    netns.ip(host, f"address add {APP_ADDRESS}/24 dev eth0", "link set eth0 up", f"route add default via {APP_ROUTER}")
    netns.nft(here, _TABLE)


def switch_nat_off(names: Names) -> None:
    """From now on the machines see each other's own addresses."""
    netns.nft(underlay(names), _PLAIN)


@contextlib.contextmanager
def blocked(names: Names) -> Iterator[None]:
    """Between the machines neither ESP nor IKE passes, in either direction."""
    here = underlay(names)
    netns.nft(here, "add rule ip underlay blocked udp dport { 500, 4500 } drop\n"
                    "add rule ip underlay blocked udp sport { 500, 4500 } drop\n"
                    "add rule ip underlay blocked ip protocol esp drop\n")  # fmt: skip
    try:
        yield
    finally:
        netns.nft(here, "flush chain ip underlay blocked\n")


@dataclass(frozen=True)
class Captures:
    """Files with what has passed, complete when the recording has ended."""

    outside: Path  # between the gateways, at the peer
    inside: Path  # at the gateway's network card, in the VPC

    def count(self) -> dict[str, int]:
        """How many packets were which. What comes into the gateway in clear shows that the looking works."""
        own = wiring.mac("gw-a", GATEWAY_IFNAME)
        looks = {
            "ESP in UDP": (self.outside, "udp port 4500"),
            "in clear between the gateways": (self.outside, f"net {SITE} or net {APP_ADDRESS}/32"),
            "in clear out of the gateway": (self.inside, f"ether src {own} and dst net {SITE}"),
            "in clear into the gateway": (self.inside, f"ether dst {own} and dst net {SITE}"),
        }
        return {what: capture.count(file, expression) for what, (file, expression) in looks.items()}


@contextlib.contextmanager
def captured(names: Names) -> Iterator[Captures]:
    """Record what passes on both sides of the gateway while the block runs."""
    with _captured(names, PEER_TAP) as outside, _captured(names, GATEWAY_TAP) as inside:
        yield Captures(outside, inside)


@contextlib.contextmanager
def _captured(names: Names, where: str) -> Iterator[Path]:
    file, log, pid_file = (names.run / f"{where}.{suffix}" for suffix in ("pcap", "tcpdump", "pid"))
    log.unlink(missing_ok=True)
    argv = ["tcpdump", "-i", where, "-n", "-s", "160", "-B", "16384", "-U", "-Z", "root", "-w", str(file)]
    process = procs.detach(names, argv, log=log, pid_file=pid_file, netns=underlay(names))
    try:
        while "listening on" not in (said := log.read_text(encoding="utf-8", errors="replace")):
            if process.poll() is not None:
                raise LabError(f"tcpdump did not start: {' '.join(said.split()) or 'no reason given'}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        yield file
    finally:
        procs.end(pid_file)
        process.wait()
