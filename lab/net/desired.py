# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel should look like, derived from the EC2 backend: pure, immutable, comparable.

The backend is moto's, read by attributes only; nothing here touches the kernel, a clock or a host.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAIN = "main"  # the table of an ENI whose subnet has no route table: only the VPC itself


@dataclass(frozen=True)
class Rule:
    """One admission of a security group."""

    protocol: str  # "-1" (all), "tcp", "udp", "icmp", "icmpv6" or a protocol number
    from_port: int | None  # ICMP: type; None: all
    to_port: int | None  # ICMP: code; None: all
    cidrs: tuple[str, ...]  # of both families, collapsed; what is at the other end


@dataclass(frozen=True)
class Nic:
    """A network interface (ENI): its card in the router, and the cable to its host while that has power."""

    eni: str
    mac: str
    addresses: tuple[str, ...]  # private, the primary first
    prefix_length: int  # of its subnet
    gateway: str  # the subnet's first address
    check: bool  # source/destination check
    table: str  # id of the route table in force
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]
    public: tuple[tuple[str, str], ...]  # (public, private) addresses
    host: str | None  # instance that has power and this interface
    device: int  # its number there: eth<device>
    ipv6: tuple[str, ...] = ()  # its addresses of IPv6


@dataclass(frozen=True)
class Route:
    """Where packets for a destination (CIDR) go: to an ENI or a virtual private gateway by its id, to ``internet``, or
    nowhere (``blackhole``)."""

    destination: str
    target: str


@dataclass(frozen=True)
class Leg:
    """One tunnel of a managed VPN, as both its ends need it."""

    outside: str  # AWS's public address
    network: str  # a /30 inside: its first address is AWS's, its second the customer's
    key: str

    @property
    def amazon(self) -> str:
        """AWS's address inside."""
        return str(ipaddress.IPv4Network(self.network)[1])

    @property
    def customer(self) -> str:
        """The customer gateway's address inside."""
        return str(ipaddress.IPv4Network(self.network)[2])


@dataclass(frozen=True)
class Desired:
    """The whole data plane."""

    nics: Mapping[str, Nic]
    tables: Mapping[str, tuple[Route, ...]]
    vpcs: tuple[str, ...]  # CIDRs
    vgws: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # virtual private gateway -> its VPC's CIDRs


INTERNET = "internet"
BLACKHOLE = "blackhole"


def desired(backend: Any, powered: Iterable[str]) -> Desired:
    """The data plane that the backend asks for; ``powered``: ids of the instances whose hosts have power."""
    on = set(powered)
    tables = {table.id: table_routes(backend, table) for table in backend.route_tables.values()}
    nics = {eni.id: _nic(backend, eni, on) for eni in backend.enis.values()}
    vpcs = {vpc.id: _cidrs(vpc) for vpc in backend.vpcs.values()}
    vgws = {
        gateway.id: of_family(vpcs.get(attached_vpc(gateway) or "", ()))  # it carries no IPv6
        for gateway in backend.vpn_gateways.values()
        if gateway.state != "deleted"
    }
    return Desired(nics, tables, tuple(sorted({cidr for cidrs in vpcs.values() for cidr in cidrs})), vgws)


def _cidrs(vpc: Any) -> tuple[str, ...]:
    blocks = [*vpc.get_cidr_block_association_set(ipv6=False), *vpc.get_cidr_block_association_set(ipv6=True)]
    return tuple(block["cidr_block"] for block in blocks if block["cidr_block_state"]["state"] == "associated")


def table_routes(backend: Any, table: Any) -> tuple[Route, ...]:
    """The kernel routes of one route table; its ``local`` routes are the router's own business."""
    routes: dict[str, Route] = {}
    # EC2's rule: on what both match, a route for a CIDR comes before one for a prefix list
    for route in sorted(table.routes, key=lambda each: each.destination_prefix_list is None):
        if route.local or _is_endpoint(route.gateway):  # nobody answers behind an endpoint here
            continue
        target = _target(backend, table, route)
        for cidr in _destinations(route):
            routes[cidr] = Route(cidr, target)
    return tuple(routes[cidr] for cidr in sorted(routes))


def _destinations(route: Any) -> list[str]:
    if route.destination_prefix_list is not None:
        return [normal(entry["Cidr"]) for entry in prefix_list_entries(route.destination_prefix_list)]
    return [normal(each) for each in (route.destination_cidr_block, route.destination_ipv6_cidr_block) if each]


def prefix_list_entries(prefix_list: Any) -> list[dict[str, str]]:
    """The entries of a prefix list's newest version."""
    return list(prefix_list.entries.get(prefix_list.version) or [])


def _target(backend: Any, table: Any, route: Any) -> str:
    eni = route_eni(route)
    if eni is not None:
        there = eni.id in backend.enis and not getattr(eni, "blackhole", False)
        return str(eni.id) if there else BLACKHOLE
    if is_vgw(route.gateway):
        return str(route.gateway.id) if leads_out(route.gateway, table) else BLACKHOLE
    attached = getattr(getattr(route.gateway, "vpc", None), "id", None)
    return INTERNET if attached is not None and attached == table.vpc_id else BLACKHOLE


def is_vgw(gateway: Any) -> bool:
    """Whether that is a virtual private gateway."""
    return str(getattr(gateway, "id", "")).startswith("vgw-")


def _is_endpoint(gateway: Any) -> bool:
    return str(getattr(gateway, "id", "")).startswith("vpce-")


def leads_out(gateway: Any, table: Any) -> bool:
    """Whether a route of a table to a virtual private gateway leads anywhere."""
    return bool(gateway.state != "deleted") and attached_vpc(gateway) == table.vpc_id


def attached_vpc(gateway: Any) -> str | None:
    """The VPC that a virtual private gateway is attached to."""
    return next((str(each.vpc_id) for each in gateway.attachments.values() if each.state == "attached"), None)


def route_eni(route: Any) -> Any | None:
    """The ENI that a route leads to, also where the route names an instance."""
    if route.interface is not None:
        return route.interface
    return route.instance.nics.get(0) if route.instance is not None else None


def of_family(cidrs: Iterable[str], ipv6: bool = False) -> tuple[str, ...]:
    """Those of IPv4, or of IPv6."""
    return tuple(cidr for cidr in cidrs if (":" in cidr) is ipv6)


@functools.lru_cache(maxsize=4096)  # asked for each route of each table whenever EC2 changes something
def normal(cidr: str) -> str:
    """The CIDR as the kernel writes it: without host bits."""
    return str(ipaddress.ip_network(cidr, strict=False))


def _nic(backend: Any, eni: Any, on: set[str]) -> Nic:
    network = ipaddress.IPv4Network(eni.subnet.cidr_block)
    others = [item["PrivateIpAddress"] for item in eni.private_ip_addresses]
    addresses = tuple(dict.fromkeys([eni.private_ip_address, *others]))
    public = {eip.public_ip: eip.private_ip_address for eip in backend.addresses if eip.eni is eni}
    if eni.public_ip:
        public.setdefault(eni.public_ip, eni.private_ip_address)
    instance = eni.instance.id if eni.instance is not None and eni.instance.id in on else None
    return Nic(
        eni=eni.id,
        mac=eni.mac_address,
        addresses=addresses,
        prefix_length=network.prefixlen,
        gateway=str(network[1]),
        check=bool(eni.source_dest_check),
        table=effective_table(backend, eni.subnet),
        ingress=_rules(backend, eni.group_set, "ingress_rules"),
        egress=_rules(backend, eni.group_set, "egress_rules"),
        public=tuple(sorted(public.items())),
        host=instance,
        device=int(eni.device_index or 0),
        ipv6=tuple(dict.fromkeys(each for each in eni.ipv6_addresses if each)),
    )


def effective_table(backend: Any, subnet: Any) -> str:
    """The route table in force in a subnet: its own, else the VPC's main table."""
    main = MAIN
    for table in backend.route_tables.values():
        if subnet.id in table._associations.values():
            return str(table.id)
        if table.vpc_id == subnet.vpc_id and table.main_association_id is not None:
            main = table.id
    return main


def _rules(backend: Any, groups: Iterable[Any], direction: str) -> tuple[Rule, ...]:
    found: dict[tuple[str, int | None, int | None], set[str]] = {}
    for group in groups:
        for rule in getattr(group, direction):
            key = (rule.ip_protocol or "-1", _port(rule.from_port), _port(rule.to_port))
            found.setdefault(key, set()).update(_peers(backend, rule))
    return tuple(
        Rule(protocol, first, last, collapse(cidrs))
        for (protocol, first, last), cidrs in sorted(found.items(), key=repr)
        if cidrs
    )


def _port(value: Any) -> int | None:
    return None if value is None or int(value) < 0 else int(value)


def _peers(backend: Any, rule: Any) -> set[str]:
    peers: set[str] = set()
    peers.update(cidr for cidr in (rule.cidr_ipv4, rule.cidr_ipv6) if cidr)
    if rule.prefix_list_id in backend.managed_prefix_lists:
        entries = prefix_list_entries(backend.managed_prefix_lists[rule.prefix_list_id])
        peers.update(entry["Cidr"] for entry in entries)
    source = rule.source_group.get("GroupId")
    if source:
        members = (eni for eni in backend.enis.values() if any(group.id == source for group in eni.group_set))
        for eni in members:
            peers.update(item["PrivateIpAddress"] for item in eni.private_ip_addresses)
            peers.update(address for address in eni.ipv6_addresses if address)
    return peers


def collapse(cidrs: Iterable[str]) -> tuple[str, ...]:
    """The same addresses in the fewest CIDRs, those of IPv4 first: nftables takes no overlaps."""
    networks = [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]
    four = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv6Network))
    return (*map(str, four), *map(str, six))
