# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machines are plugged into: one namespace that is the VPC's router and the internet at once.

A gateway has a private address and an Elastic IP (NAT one to one), as on AWS. An application host is a namespace of
its own in the VPC, one in each zone. Where the site has IPv6, both have an address of it besides; tunnels go over IPv4.
Nothing leads out of the machine: what is addressed elsewhere ends in a blackhole.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.vpnha.aws.plugins.module_utils.dual_stack import ipv4, ipv6
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Tunnel
from lab import capture, procs
from lab.errors import LabError
from lab.names import Names
from lab.net import netns
from lab.net import underlay as wiring

PEER = "cgw-hq"
GATEWAY_IFNAME = "ens5"
PEER_IFNAME = "wan0"
INTERNET_ROUTER = "198.51.100.1"
_ELASTIC = ipaddress.IPv4Address("203.0.113.10")  # of the first gateway
_GATEWAY_HOST, _APP_HOST = 10, 50  # their numbers in their subnets
_TABLE_BASE = 100  # of the VPC's route tables


@dataclass(frozen=True)
class Cable:
    """How a machine is plugged in: the end in the underlay, the machine's own interface, its addresses, its router."""

    tap: str
    ifname: str
    addresses: tuple[str, ...]
    router: str
    ipv6: str = ""  # its address of IPv6, and that of its router
    router_ipv6: str = ""


@dataclass(frozen=True)
class AppHost:
    """An application host, a namespace: its route table leads to the site through ``gateway``."""

    name: str
    address: str
    router: str
    gateway: str  # the home gateway's name
    ipv6: str = ""
    router_ipv6: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of each family that it speaks."""
        return (self.address, self.ipv6) if self.ipv6 else (self.address,)


@dataclass(frozen=True)
class Captures:
    """Files with what has passed, complete when the recording has ended."""

    outside: Path  # between the gateways and the site, at the peer
    inside: Mapping[str, Path]  # by gateway, at its network card in the VPC


class Network:
    """The underlay of a deployment with one site: its ``prefixes`` and ``targets`` are one of each family it speaks."""

    def __init__(self, names: Names, deployment: Deployment) -> None:
        self.names = names
        self.underlay = names.netns("underlay")
        site, zones = deployment.sites[0], {zone.name: zone for zone in deployment.zones}
        (self.site,), (self.site_address,) = ipv4(site.prefixes), ipv4(site.probe_targets)
        self.site_ipv6 = next(iter(ipv6(site.prefixes)), "")
        self.prefixes, self.targets = ((*ipv4(each), *ipv6(each)) for each in (site.prefixes, site.probe_targets))
        dual = bool(self.site_ipv6)
        self.gateways = {
            gateway.name: Cable(
                gateway.name, GATEWAY_IFNAME, (gateway.address,), _host(zones[gateway.zone].gateway_subnet, 1),
                *(_host(zones[gateway.zone].gateway_subnet_ipv6, each) for each in (_GATEWAY_HOST, 1) if dual),
            )
            for gateway in deployment.gateways
        }  # fmt: skip
        self.elastic = {gateway.name: str(_ELASTIC + at) for at, gateway in enumerate(deployment.gateways)}
        peers = dict.fromkeys(tunnel.peer_address for tunnel in deployment.tunnels)
        self.peer = Cable(PEER, PEER_IFNAME, tuple(peers), INTERNET_ROUTER)
        self.apps = tuple(
            AppHost(
                f"app-{zone.name[-1]}",
                _host(zone.app_subnets[0], _APP_HOST),
                _host(zone.app_subnets[0], 1),
                next(one.name for one in deployment.gateways if zone.name in one.home_zones),
                *(_host(zone.app_subnets_ipv6[0], each) for each in (_APP_HOST, 1) if dual),
            )
            for zone in deployment.zones
        )

    def netns(self, app: AppHost) -> str:
        """The application host's namespace."""
        return self.names.netns(app.name)

    def make(self) -> None:
        """Make all namespaces."""
        here = self.underlay
        netns.add(here, router=True)
        if self.site_ipv6:
            netns.speak_ipv6(here)
        for cable in (*self.gateways.values(), self.peer):
            netns.ip(
                here,
                f"tuntap add dev {cable.tap} mode tap",
                f"address add {cable.router}/24 dev {cable.tap}",
                f"link set {cable.tap} up",
                *([f"address add {cable.router_ipv6}/64 dev {cable.tap} nodad"] if cable.ipv6 else []),
            )
        netns.ip(here, "route add blackhole default metric 4294967295")
        for table, app in enumerate(self.apps, _TABLE_BASE):
            netns.add(self.netns(app))
            netns.ip(
                here,
                f"link add {app.name} type veth peer name eth0 netns {self.netns(app)}",
                f"address add {app.router}/24 dev {app.name}",
                f"link set {app.name} up",
                # the route table of its subnets
                f"rule add iif {app.name} table {table}",
                f"route add {self.site} via {self.gateways[app.gateway].addresses[0]} table {table}",
            )
            netns.ip(
                self.netns(app),
                f"address add {app.address}/24 dev eth0",
                "link set eth0 up",
                f"route add default via {app.router}",
            )
            if app.ipv6:
                self._speak_ipv6(app, table)
        netns.nft(here, self._table())

    def _speak_ipv6(self, app: AppHost, table: int) -> None:
        """The same for IPv6."""
        here, there, home = self.underlay, self.netns(app), self.gateways[app.gateway]
        netns.speak_ipv6(there)
        netns.ip(
            here,
            f"address add {app.router_ipv6}/64 dev {app.name} nodad",
            f"rule add iif {app.name} table {table}",
            f"route add {self.site_ipv6} via {home.ipv6} table {table}",
            ipv6=True,
        )
        netns.ip(
            there, f"address add {app.ipv6}/64 dev eth0 nodad", f"route add default via {app.router_ipv6}", ipv6=True
        )

    def switch_nat_off(self, gateway: str) -> None:
        """From now on the peer sees that gateway's own address."""
        address = self.gateways[gateway].addresses[0]
        netns.nft(
            self.underlay,
            "table ip plain {\n\tchain untracked {\n\t\ttype filter hook prerouting priority raw; policy accept;\n"
            f"\t\tip saddr {address} notrack\n\t\tip daddr {address} notrack\n\t}}\n}}\n",
        )

    @contextlib.contextmanager
    def blocked(self, tunnels: Collection[Tunnel]) -> Iterator[None]:
        """Between the ends of these tunnels neither ESP nor IKE passes, in either direction."""
        rules = []
        for tunnel in tunnels:
            ours, theirs = self.gateways[tunnel.gateway].addresses[0], tunnel.peer_address
            for ends in (f"ip saddr {ours} ip daddr {theirs}", f"ip saddr {theirs} ip daddr {ours}"):
                for what in ("udp dport { 500, 4500 }", "udp sport { 500, 4500 }", "ip protocol esp"):
                    rules.append(f"add rule ip underlay blocked {ends} {what} drop\n")
        netns.nft(self.underlay, "".join(rules))
        try:
            yield
        finally:
            netns.nft(self.underlay, "flush chain ip underlay blocked\n")

    @contextlib.contextmanager
    def captured(self) -> Iterator[Captures]:
        """Record what passes on both sides of the gateways while the block runs."""
        with contextlib.ExitStack() as stack:
            outside = stack.enter_context(self.recorded(self.underlay, PEER))
            inside = {name: stack.enter_context(self.recorded(self.underlay, name)) for name in self.gateways}
            yield Captures(outside, inside)

    def count(self, captures: Captures) -> dict[str, int]:
        """How many packets were which. What comes into a gateway in clear shows that the looking works."""
        apps = " or ".join(f"host {address}" for app in self.apps for address in app.addresses)
        site = " or ".join(f"net {prefix}" for prefix in self.prefixes)
        to_site = " or ".join(f"dst net {prefix}" for prefix in self.prefixes)
        found = {
            "ESP in UDP": capture.count(captures.outside, "udp port 4500"),
            "ESP": capture.count(captures.outside, "ip proto 50"),
            "in clear between the gateways": capture.count(captures.outside, f"{site} or {apps}"),
            "in clear out of a gateway": 0,
            "in clear into a gateway": 0,
        }
        for name, file in captures.inside.items():
            mac = wiring.mac(name, GATEWAY_IFNAME)
            for what, way in (("in clear out of a gateway", "src"), ("in clear into a gateway", "dst")):
                found[what] += capture.count(file, f"ether {way} {mac} and ({to_site})")
        return found

    @contextlib.contextmanager
    def recorded(self, where: str, device: str) -> Iterator[Path]:
        """Record what passes a device of a namespace while the block runs; cut at 160 bytes."""
        file, log, pid_file = (self.names.run / f"{where}-{device}.{suffix}" for suffix in ("pcap", "tcpdump", "pid"))
        log.unlink(missing_ok=True)
        argv = capture.recording(device, file)
        process = procs.detach(self.names, argv, log=log, pid_file=pid_file, netns=where)
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

    def _table(self) -> str:
        comes = goes = ""
        for name, elastic in self.elastic.items():
            address = self.gateways[name].addresses[0]
            comes += f'\t\tiifname "{PEER}" ip daddr {elastic} dnat to {address}\n'
            goes += f'\t\toifname "{PEER}" ip saddr {address} snat to {elastic}\n'
        return (
            "table ip underlay {\n"
            f"\tchain elastic_in {{\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n{comes}\t}}\n"
            f"\tchain elastic_out {{\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n{goes}\t}}\n"
            "\tchain blocked {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n"
        )


def segments_offered(file: Path, expression: str) -> list[int]:
    """The largest segment that each SYN in a capture offers, of those that match tcpdump's expression."""
    # tcpdump looks into TCP for itself only where it is IPv4's; 53: flags of a TCP without headers before it
    syn = f"(tcp[tcpflags] & tcp-syn != 0 or (ip6 proto 6 and ip6[53] & 2 != 0)) and ({expression})"
    done = subprocess.run(["tcpdump", "-r", str(file), "-nn", syn], capture_output=True, text=True, check=True)
    return [int(found) for found in re.findall(r"\bmss (\d+)", done.stdout)]


def _host(subnet: str, number: int) -> str:
    return str(ipaddress.ip_network(subnet)[number])
