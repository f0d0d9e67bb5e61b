# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's variables become a ``Deployment``, or a list of everything that is wrong with them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import dual_stack, lease
from .announced import announcing
from .description_certificates import ending, with_certificates
from .description_checks import check
from .description_codec import from_dict, to_dict
from .description_fields import Problems, Section, nearest, network6, shown
from .description_images import check_images
from .description_ipv6 import check_ipv6
from .description_managed import check_managed, managed_gateways
from .description_timing import timing
from .description_ways import check_ways
from .errors import DescriptionError
from .listening import listening
from .model import (
    CERTIFICATE,
    PSK,
    REPAIR_POLICIES,
    SPREADS,
    Deployment,
    Gateway,
    Monitor,
    Site,
    Tunnel,
    Zone,
)
from .owners import owner_of

__all__ = ["ONLY_DEPLOYED", "VARIABLES", "from_dict", "parse", "remarks", "to_dict"]

VARIABLES = (
    "vpnha_deployment", "vpnha_region", "vpnha_endpoint_url", "vpnha_vpc", "vpnha_asn", "vpnha_zones",
    "vpnha_gateways", "vpnha_monitors", "vpnha_app_hosts", "vpnha_sites", "vpnha_timing", "vpnha_image",
    "vpnha_app_image", "vpnha_key_name", "vpnha_heartbeat_key", "vpnha_repair", "vpnha_managed_gateways",
    "vpnha_peer_ca", "vpnha_notify_sns_topic", "vpnha_notify_apprise", "vpnha_notify_templates", "vpnha_notify_rate",
    "vpnha_spread", "vpnha_endpoints", "vpnha_elastic_ips", "vpnha_pip_index_url", "vpnha_pip_wheelhouse",
    "vpnha_monitor_listen",
)  # fmt: skip
# what may be looked up anew each time: only a deploy shall depend on that
ONLY_DEPLOYED = ("vpnha_admin_cidrs", "vpnha_gateway_ssh_sources")
DEFAULT_ASN = 64512
PSK_LEAST = 20
HEARTBEAT_KEY_LEAST = 32
_ALIKE = ("vpnha_awx_deployment", "vpnha_gateway_mss")  # of roles, and no misspelling of the description's


def parse(variables: Mapping[str, Any]) -> Deployment:
    """The deployment that the ``vpnha_`` variables describe.

    :raises DescriptionError: with one sentence for each problem; no sentence has a secret in it.
    """
    problems = Problems()
    top = Section(problems, "", variables)
    for key in variables:
        # other vpnha_ variables belong to roles and playbooks: only what looks misspelt is a problem
        bare = str(key).removeprefix("vpnha_")
        hint = nearest(bare, (known.removeprefix("vpnha_") for known in VARIABLES), cutoff=0.8)
        if str(key).startswith("vpnha_") and key not in VARIABLES and key not in _ALIKE and hint:
            problems.add(str(key), f"this variable is unknown; did you mean vpnha_{hint}?")
    tunnels = _tunnels(top)
    deployment = Deployment(
        name=top.name("vpnha_deployment"),
        region=top.text("vpnha_region", None, "the AWS region, like eu-central-1"),
        vpc_cidrs=_vpc(top),
        asn=top.asn("vpnha_asn", DEFAULT_ASN) or DEFAULT_ASN,
        zones=_zones(top),
        gateways=with_certificates(top, _gateways(top), [tunnel for _where, tunnel in tunnels]),
        sites=_sites(top),
        tunnels=tuple(tunnel for _where, tunnel in tunnels),
        monitors=_monitors(top),
        timing=timing(_mapping(top, "vpnha_timing")),
        repair=_repair(top),
        managed_gateways=managed_gateways(top),
        spread=_spread(top),
    )
    if not any(dual_stack.ipv4(deployment.vpc_cidrs)):
        # an existing VPC given without its CIDR: at least the subnets that the user named
        subnets = [net for zone in deployment.zones for net in (zone.gateway_subnet, *zone.app_subnets) if net]
        subnets += dual_stack.ipv6(deployment.vpc_cidrs)
        deployment = replace(deployment, vpc_cidrs=tuple(dict.fromkeys(subnets)))
    announcing(top, "vpnha_notify_")  # for the monitors only, and no part of the deployment: it has secrets
    check_ways(top)
    listening(top, "vpnha_monitor_listen")  # for the roles
    check_images(top)
    for key in ONLY_DEPLOYED:
        top.any_nets(key)
    check(problems, top, deployment, [where for where, _tunnel in tunnels])
    check_managed(problems, deployment)
    check_ipv6(problems, deployment)
    if problems.sentences:
        raise DescriptionError(problems.sentences)
    return deployment


def remarks(deployment: Deployment, now: float | None = None) -> tuple[str, ...]:
    """What is allowed but probably not meant: one sentence each. ``now``: seconds since the epoch."""
    now = time.time() if now is None else now
    found = [sentence for gateway in deployment.gateways if (sentence := ending(gateway, now))]
    for site in deployment.sites:
        gateways = {tunnel.gateway for tunnel in deployment.tunnels if tunnel.site == site.name}
        led = [one.name for one in deployment.managed_gateways if site.name in {probe.site for probe in one.probes}]
        if len(gateways) == 1 and not led:
            found.append(f"Site {site.name} has tunnels to {min(gateways)} only: if that gateway fails, it is cut off.")
    if not deployment.monitors:
        found.append("There is no monitor in vpnha_monitors: nothing will fail over by itself.")
    for zone in deployment.zones if lease.needed(deployment) else ():
        if not owner_of(deployment, zone.name):
            found.append(
                f"No monitor is in another zone than the home gateway of {zone.name}: its routes have no owner, and "
                "are moved only by a monitor that has the lease."
            )
    for one in deployment.managed_gateways:
        probed = {probe.site for probe in one.probes}
        for site in (site for site in deployment.sites if site.name not in probed):
            found.append(f"{one.name} has no probe for site {site.name}, so that none of its routes is moved there.")
    if len(deployment.targets) < 2:
        found.append("There is only one gateway: nothing can take over from it.")
    return tuple(found)


def _mapping(top: Section, key: str, known: tuple[str, ...] = ()) -> Section:
    value = top.value.get(key)
    if value not in (None, "") and not isinstance(value, Mapping):
        top.problem(key, f"{shown(value)} stands where a dictionary is needed.")
    return Section(top.problems, top.at(key), value if isinstance(value, Mapping) else {}, known)


def _vpc(top: Section) -> tuple[str, ...]:
    section = _mapping(top, "vpnha_vpc", ("cidr", "ipv6_cidr", "id", "tags"))
    if not any(section.given(key) for key in ("cidr", "id", "tags")):
        top.problem("vpnha_vpc", "this is missing; give a cidr for a new VPC, or the id or tags of an existing one.")
    if section.given("id") and section.given("tags"):
        section.problem("", "both id and tags are given; one of them finds the VPC, remove the other.")
    if section.given("tags") and not isinstance(section.value["tags"], Mapping):
        section.problem("tags", "a dictionary is needed; write tag names with their values.")
    cidr = section.value.get("cidr")
    # an existing VPC may have several
    found = (str(section.net("cidr") or ""),) if cidr and isinstance(cidr, str) else section.nets("cidr")
    six = section.value.get("ipv6_cidr")
    if not six:
        return found
    if not isinstance(six, str):
        return found + section.nets6("ipv6_cidr")
    net = network6(section.problems, section.at("ipv6_cidr"), six)
    return (*found, str(net)) if net else found


def _repair(top: Section) -> str:
    policy = top.text("vpnha_repair", "none")
    if policy and policy not in REPAIR_POLICIES:
        top.problem("vpnha_repair", f"{shown(policy)} is unknown; write none, reboot, restart or replace.")
    return policy


def _spread(top: Section) -> str:
    spread = top.text("vpnha_spread", SPREADS[0])
    if spread and spread not in SPREADS:
        top.problem("vpnha_spread", f"{shown(spread)} is unknown; write {' or '.join(SPREADS)}.")
    return spread


def _zones(top: Section) -> tuple[Zone, ...]:
    found = []
    known = ("name", "gateway_subnet", "app_subnets", "near", "gateway_subnet_ipv6", "app_subnets_ipv6")
    for section in top.sections("vpnha_zones", known, needed=True):
        net = section.net("gateway_subnet", "the public subnet of gateways and monitors")
        near = tuple(str(member) for _where, member in section.items("near"))
        given, where = section.value.get("gateway_subnet_ipv6"), section.at("gateway_subnet_ipv6")
        net6 = network6(section.problems, where, given) if given not in (None, "") else None
        nets6 = section.nets6("app_subnets_ipv6")
        found.append(Zone(section.name(), str(net or ""), section.nets("app_subnets"), near, str(net6 or ""), nets6))
    return tuple(found)


def _gateways(top: Section) -> tuple[Gateway, ...]:
    known = (
        "name", "zone", "address", "home_zones", "capacity", "instance_type", "ansible_host", "certificate",
        "private_key",
    )  # fmt: skip
    found = []
    for section in top.sections("vpnha_gateways", known, needed=True):
        zone = section.text("zone", None, "the name of one of vpnha_zones")
        if section.value.get("home_zones") is None:
            home: tuple[str, ...] = (zone,) if zone else ()
        else:
            home = tuple(str(member) for _where, member in section.items("home_zones"))
        section.text("instance_type", "t3.small")
        section.text("ansible_host", " ")
        address, capacity = str(section.address("address") or ""), section.share("capacity", 1.0)
        found.append(Gateway(section.name(), zone, address, home, capacity))
    return tuple(found)


def _monitors(top: Section) -> tuple[Monitor, ...]:
    found = []
    for section in top.sections("vpnha_monitors", ("name", "zone", "address", "instance_type", "ansible_host")):
        zone = section.text("zone", None, "the name of one of vpnha_zones")
        found.append(Monitor(section.name(), zone, str(section.address("address") or "")))
    if found or top.given("vpnha_heartbeat_key"):
        top.secret("vpnha_heartbeat_key", HEARTBEAT_KEY_LEAST, "heartbeat key")
    return tuple(found)


_SITE_KEYS = ("name", "prefixes", "prefix_list", "probe_targets", "routing", "asn", "tunnels")


def _sites(top: Section) -> tuple[Site, ...]:
    found = []
    for section in top.sections("vpnha_sites", _SITE_KEYS, needed=True):
        routing = section.text("routing", "bgp")
        if routing not in ("bgp", "static"):
            section.problem("routing", f"{shown(routing)} is unknown; write bgp or static.")
        if routing == "bgp" and not section.given("asn"):
            section.problem("asn", "routing bgp needs the AS number of the site's peers; give it, or write static.")
        nets = section.any_nets("prefixes", needed=True)
        targets = tuple(str(member) for _where, member in section.items("probe_targets", needed=True))
        by_prefix_list = section.truth("prefix_list", False)
        found.append(Site(section.name(), nets, targets, routing, by_prefix_list))
    return tuple(found)


_TUNNEL_KEYS = ("gateway", "peer", "peer_id", "local_id", "inside", "auth", "psk", "psk_next", "initiate")


def _tunnels(top: Section) -> list[tuple[str, Tunnel]]:
    """Every site's tunnels with their paths; each keeps its name and interface when others come and go.

    Only where a site has several to one gateway, their names go by their order: the second is NAME-2, and so on.
    """
    quiet = Problems()  # the sites' own fields were checked with the sites
    found: list[tuple[str, Tunnel]] = []
    for silent in Section(quiet, "", top.value).sections("vpnha_sites", _SITE_KEYS):
        site = Section(top.problems, silent.where, silent.value)
        name = silent.text("name", "")
        asn = site.asn("asn") if silent.text("routing", "bgp") == "bgp" else None
        if asn is not None and asn == (Section(quiet, "", top.value).asn("vpnha_asn", DEFAULT_ASN)):
            site.problem("asn", f"{asn} is the gateways' own AS number (vpnha_asn); the site's peers need another.")
        used: dict[str, int] = {}
        for section in site.sections("tunnels", _TUNNEL_KEYS, needed=True):
            tunnel = _tunnel(section, name, asn, str(top.value.get("vpnha_deployment") or ""))
            used[tunnel.gateway] = used.get(tunnel.gateway, 0) + 1
            if used[tunnel.gateway] > 1:
                tunnel = replace(tunnel, name=f"{tunnel.name}-{used[tunnel.gateway]}")
            found.append((section.where, tunnel))
    return found


def _tunnel(section: Section, site: str, asn: int | None, deployment: str) -> Tunnel:
    gateway = section.text("gateway", None, "the name of one of vpnha_gateways")
    peer = section.address("peer", "the public address of the site's customer gateway")
    inside = section.net("inside", "a /30 of 169.254.0.0/16")
    ours = theirs = ""
    if_id = 0
    if inside is not None and inside.prefixlen != 30:
        section.problem("inside", f"{inside} is no /30; write a network with exactly two hosts, like 169.254.10.0/30.")
    elif inside is not None:
        ours, theirs = str(inside[1]), str(inside[2])
        # from the network, not from a counter: a tunnel added in the middle must not renumber the others
        if_id = (int(inside.network_address) & 0xFFFF) >> 2
    auth = section.text("auth", PSK)
    if auth not in (PSK, CERTIFICATE):
        section.problem("auth", f"{shown(auth)} is unknown; write {PSK} or {CERTIFICATE}.")
    if auth != CERTIFICATE:
        section.secret("psk", PSK_LEAST, "pre-shared key")
    if auth != CERTIFICATE and section.given("psk_next"):
        section.secret("psk_next", PSK_LEAST, "next pre-shared key")
        if section.value["psk_next"] == section.value.get("psk"):
            section.problem("psk_next", "this is the key that psk has already; give another one, or leave it out.")
    return Tunnel(
        name=f"{site}-{gateway}",
        site=site,
        gateway=gateway,
        peer_address=str(peer or ""),
        peer_id=section.text("peer_id", str(peer or " ")),
        local_id=section.text("local_id", f"{gateway}.{deployment}"),
        inside_address=ours,
        peer_inside_address=theirs,
        inside_cidr=str(inside or ""),
        peer_asn=asn,
        initiate=section.truth("initiate", True),
        if_id=if_id,
        auth=auth,
    )
