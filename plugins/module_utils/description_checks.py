# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be right between the parts of a description: names, networks, homes, addresses.

Fields that are wrong by themselves were noted before and are empty here: the checks pass over them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from . import dual_stack
from .description_fields import Address, Net, Problems, Section, nearest, shown
from .model import WIDEST_PREFIX, Deployment, Zone
from .tunnel_config import MESH_NETWORK

LINK_LOCAL = Net("169.254.0.0/16")
# AWS keeps these for itself: its own VPN's reserved /30s, and metadata, DNS and time
_RESERVED_INSIDE = (*(Net(f"169.254.{third}.0/30") for third in range(6)), Net("169.254.169.0/24"))
_RESERVED_SPAN = (Address("169.254.0.0"), Address("169.254.5.3"))
_WIDEST_PREFIX = WIDEST_PREFIX[0]
_APP_HOST = ("name", "zone", "address", "instance_type", "ansible_host")
_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")
_OF_EC2 = frozenset({"ec2", "ec2-fips"})


def check(problems: Problems, top: Section, deployment: Deployment, tunnel_paths: Sequence[str]) -> None:
    """Note every contradiction between the parts; ``tunnel_paths`` are the tunnels' places in the description."""
    _check_names(problems, top, deployment)
    _check_subnets(problems, deployment)
    _check_homes(problems, deployment)
    _check_addresses(problems, top, deployment)
    _check_prefixes(problems, top, deployment)
    _check_targets(problems, deployment)
    _check_tunnels(problems, deployment, tunnel_paths)


def _check_names(problems: Problems, top: Section, deployment: Deployment) -> None:
    hosts = [(f"vpnha_gateways[{n}].name", gateway.name) for n, gateway in enumerate(deployment.gateways)]
    hosts += [(f"vpnha_monitors[{n}].name", monitor.name) for n, monitor in enumerate(deployment.monitors)]
    hosts += [(f"vpnha_managed_gateways[{n}].name", one.name) for n, one in enumerate(deployment.managed_gateways)]
    hosts += [(section.at("name"), section.name()) for section in top.sections("vpnha_app_hosts", _APP_HOST)]
    _unique(problems, hosts, "a gateway, monitor or application host")
    _unique(problems, [(f"vpnha_zones[{n}].name", zone.name) for n, zone in enumerate(deployment.zones)], "a zone")
    _unique(problems, [(f"vpnha_sites[{n}].name", site.name) for n, site in enumerate(deployment.sites)], "a site")
    _unique(
        problems,
        [("vpnha_sites", tunnel.name) for tunnel in deployment.tunnels if tunnel.site and tunnel.gateway],
        "another tunnel, made of its site's and gateway's name",
    )


def _unique(problems: Problems, named: Iterable[tuple[str, str]], what: str) -> None:
    seen: set[str] = set()
    for where, name in named:
        if name and name in seen:
            problems.add(where, f"{shown(name)} already names {what}; choose another name.")
        seen.add(name)


def _subnets(deployment: Deployment) -> list[tuple[str, Net, str]]:
    found = []
    for n, zone in enumerate(deployment.zones):
        if zone.gateway_subnet:
            found.append((f"vpnha_zones[{n}].gateway_subnet", Net(zone.gateway_subnet), zone.name))
        for m, subnet in enumerate(zone.app_subnets):
            if subnet:
                found.append((f"vpnha_zones[{n}].app_subnets[{m}]", Net(subnet), zone.name))
    return found


def _check_subnets(problems: Problems, deployment: Deployment) -> None:
    vpc = [Net(cidr) for cidr in dual_stack.ipv4(deployment.vpc_cidrs) if cidr]
    subnets = _subnets(deployment)
    for index, (where, net, _zone) in enumerate(subnets):
        if not any(net.subnet_of(cidr) for cidr in vpc):
            problems.add(where, f"{net} lies outside the VPC ({_listed(vpc)}); choose a part of it.")
        if not 16 <= net.prefixlen <= 28:
            problems.add(where, f"{net} is no size that EC2 allows; make it a /16 to /28.")
        for other_where, other, _kind in subnets[:index]:
            if net.overlaps(other):
                problems.add(where, f"{net} overlaps {other_where} ({other}); give each subnet its own part.")


def _check_homes(problems: Problems, deployment: Deployment) -> None:
    zones = [zone.name for zone in deployment.zones]
    homes: dict[str, str] = {}
    for n, gateway in enumerate(deployment.gateways):
        _known(problems, f"vpnha_gateways[{n}].zone", gateway.zone, "zone", zones)
    places = [f"vpnha_gateways[{n}]" for n in range(len(deployment.gateways))]
    places += [f"vpnha_managed_gateways[{n}]" for n in range(len(deployment.managed_gateways))]
    for where, target in zip(places, deployment.targets, strict=True):
        for zone in target.home_zones:
            if zone != target.zone:
                _known(problems, f"{where}.home_zones", zone, "zone", zones)
            if zone in homes:
                problems.add(
                    f"{where}.home_zones",
                    f"zone {zone} would have two home gateways, {homes[zone]} and {target.name}; "
                    "name it in one gateway's home_zones only ([] for none).",
                )
            homes.setdefault(zone, target.name)
    for n, described in enumerate(deployment.zones):
        where = f"vpnha_zones[{n}].near"
        for near in described.near:
            _known(problems, where, near, "zone", zones)
            if near == described.name or described.near.count(near) > 1:
                problems.add(where, f"{near} is {'the zone itself' if near == described.name else 'named twice'}.")
    for n, zone in enumerate(zones):
        if zone and zone not in homes:
            problems.add(
                f"vpnha_zones[{n}]",
                f"zone {zone} has no home gateway; add one in it, or name it in a gateway's home_zones.",
            )
    for n, monitor in enumerate(deployment.monitors):
        _known(problems, f"vpnha_monitors[{n}].zone", monitor.zone, "zone", zones)


def _check_addresses(problems: Problems, top: Section, deployment: Deployment) -> None:
    zones = {zone.name: zone for zone in deployment.zones}
    hosts = [(f"vpnha_gateways[{n}].address", host.zone, host.address) for n, host in enumerate(deployment.gateways)]
    hosts += [(f"vpnha_monitors[{n}].address", host.zone, host.address) for n, host in enumerate(deployment.monitors)]
    seen: dict[str, str] = {}
    for where, zone_name, address in hosts:
        zone = zones.get(zone_name)
        if address and zone and zone.gateway_subnet:
            _in_subnet(problems, where, address, (zone.gateway_subnet,), f"the gateway subnet of its zone {zone.name}")
    hosts += _app_hosts(problems, top, zones)
    for where, _zone, address in hosts:
        if address and address in seen:
            problems.add(where, f"{address} is already the address at {seen[address]}; choose another one.")
        seen.setdefault(address, where)


def _app_hosts(problems: Problems, top: Section, zones: dict[str, Zone]) -> list[tuple[str, str, str]]:
    found = []
    for section in top.sections("vpnha_app_hosts", _APP_HOST):
        zone_name = section.text("zone", None, "the name of one of vpnha_zones")
        address = section.address("address")
        zone = zones.get(zone_name)
        _known(problems, section.at("zone"), zone_name, "zone", zones)
        if address and zone:
            where = section.at("address")
            _in_subnet(problems, where, str(address), zone.app_subnets, f"the app_subnets of its zone {zone.name}")
        found.append((section.at("address"), zone_name, str(address or "")))
    return found


def _in_subnet(problems: Problems, where: str, address: str, subnets: Sequence[str], what: str) -> None:
    ip = Address(address)
    for net in map(Net, filter(None, subnets)):
        if ip in net:
            if ip in (*(net[n] for n in range(4)), net[-1]):
                problems.add(where, f"EC2 keeps {address} of {net} for itself; choose another address of the subnet.")
            return
    problems.add(where, f"{address} lies outside {what} ({_listed(subnets) or 'none'}); choose one inside.")


def _check_prefixes(problems: Problems, top: Section, deployment: Deployment) -> None:
    api = _endpoint_address(top)
    peers = sorted({Address(tunnel.peer_address) for tunnel in deployment.tunnels if tunnel.peer_address})
    seen: list[tuple[str, Net]] = []
    for n, site in enumerate(deployment.sites):
        for m, prefix in enumerate(site.prefixes):
            if not prefix or dual_stack.is_ipv6(prefix):  # those have checks of their own
                continue
            where, net = f"vpnha_sites[{n}].prefixes[{m}]", Net(prefix)
            if net.prefixlen < _WIDEST_PREFIX:
                problems.add(
                    where,
                    f"{net} is so wide that it would take the monitors' own way to the EC2 API; "
                    f"name the site's networks, each a /{_WIDEST_PREFIX} or smaller.",
                )
                continue
            _check_prefix_apart(problems, where, net, deployment)
            if api is not None and api in net:
                problems.add(
                    where,
                    f"{net} covers {api}, the monitors' way to the EC2 API (vpnha_endpoint_url); "
                    "name smaller prefixes without it.",
                )
            for peer in (peer for peer in peers if peer in net):
                problems.add(where, f"{net} covers the peer {peer}, whose packets would enter their own tunnel.")
            for other_where, other in seen:
                if net.overlaps(other):
                    problems.add(where, f"{net} overlaps {other_where} ({other}); each network belongs to one site.")
            seen.append((where, net))


def _check_prefix_apart(problems: Problems, where: str, net: Net, deployment: Deployment) -> None:
    for cidr in dual_stack.ipv4(deployment.vpc_cidrs):
        if net.overlaps(Net(cidr)):
            problems.add(where, f"{net} overlaps the VPC's {cidr}; a site's prefixes lie outside the VPC.")
    if net.overlaps(LINK_LOCAL):
        problems.add(where, f"{net} overlaps 169.254.0.0/16, which AWS and the tunnels' inside use; remove it.")
    if net.is_multicast or net.is_loopback:
        problems.add(where, f"{net} is no network that can be routed to a site; remove it.")


def _endpoint_address(top: Section) -> Address | None:
    url = top.text("vpnha_endpoint_url", " ").strip()
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        top.problem("vpnha_endpoint_url", f"{shown(url)} is no URL; write one like http://192.0.2.10:4566.")
        return None
    if _of_ec2_alone(host):
        top.problem(
            "vpnha_endpoint_url",
            f"{shown(host)} is AWS's own for EC2 alone, and all services would be asked there; remove this, and name "
            "ec2 in vpnha_endpoints to have EC2 reached by an interface endpoint.",
        )
        return None
    try:
        return Address(host)
    except ValueError:
        return None  # a host name: what it resolves to is not known here


def _of_ec2_alone(host: str) -> bool:
    """Whether AWS answers for EC2 there, by an interface endpoint or not, and for no other service."""
    name = host.rstrip(".")
    return name.endswith(_OF_AWS) and not _OF_EC2.isdisjoint(name.split("."))


def _check_targets(problems: Problems, deployment: Deployment) -> None:
    for n, site in enumerate(deployment.sites):
        for m, target in enumerate(site.probe_targets):
            where = f"vpnha_sites[{n}].probe_targets[{m}]"
            try:
                ip = ipaddress.ip_address(target)
            except ValueError:
                problems.add(where, f"{shown(target)} is no IP address; write one inside the site's prefixes.")
                continue
            prefixes = _listed(site.prefixes)
            if all(site.prefixes) and not dual_stack.within(str(ip), site.prefixes):
                problems.add(where, f"{ip} lies outside the site's prefixes ({prefixes}); choose one inside.")


def _check_tunnels(problems: Problems, deployment: Deployment, paths: Sequence[str]) -> None:
    gateways = [gateway.name for gateway in deployment.gateways]
    insides: list[tuple[str, Net]] = []
    pairs: dict[tuple[str, str], str] = {}
    for where, tunnel in zip(paths, deployment.tunnels, strict=True):
        _known(problems, f"{where}.gateway", tunnel.gateway, "gateway", gateways)
        pair = (tunnel.gateway, tunnel.peer_address)
        if all(pair) and pair in pairs:
            problems.add(
                f"{where}.peer",
                f"{tunnel.gateway} has a tunnel to {tunnel.peer_address} already ({pairs[pair]}); "
                "use another address of the peer or another gateway.",
            )
        pairs.setdefault(pair, where)
        if tunnel.inside_cidr:
            net = Net(tunnel.inside_cidr)
            _check_inside(problems, f"{where}.inside", net, insides)
            insides.append((f"{where}.inside", net))


def _check_inside(problems: Problems, where: str, net: Net, others: list[tuple[str, Net]]) -> None:
    if not net.subnet_of(LINK_LOCAL):
        problems.add(where, f"{net} lies outside 169.254.0.0/16; choose a /30 of it, like 169.254.10.0/30.")
        return
    within_span = net[0] <= _RESERVED_SPAN[1] and net[-1] >= _RESERVED_SPAN[0]
    if within_span or any(net.overlaps(reserved) for reserved in _RESERVED_INSIDE):
        problems.add(where, f"AWS keeps {net} for itself; choose another /30, like 169.254.10.0/30.")
    if net.overlaps(MESH_NETWORK):
        problems.add(
            where,
            f"{net} lies in {MESH_NETWORK}, which the gateways use among themselves; choose another /30, like "
            "169.254.10.0/30.",
        )
    for other_where, other in others:
        if net.overlaps(other):
            problems.add(where, f"{net} overlaps {other_where} ({other}); give each tunnel its own /30.")


def _known(problems: Problems, where: str, name: str, what: str, names: Iterable[str]) -> None:
    names = list(names)
    if name and name not in names:
        hint = nearest(name, names)
        mend = f"did you mean {hint}?" if hint else f"there are {_listed(names) or 'none'}."
        problems.add(where, f"there is no {what} {shown(name)} in vpnha_{what}s; {mend}")


def _listed(members: Iterable[object]) -> str:
    return ", ".join(str(member) for member in members)
