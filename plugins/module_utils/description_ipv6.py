# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be right of IPv6 in a description: the VPC's ranges, the subnets' networks, the sites' prefixes.

Fields that are wrong by themselves were noted before and are empty here: the checks pass over them.
"""

from __future__ import annotations

from .description_fields import Net6, Problems
from .dual_stack import INSIDE, ipv6, is_ipv6
from .model import WIDEST_PREFIX, Deployment

_SUBNET_LENGTH = 64  # EC2 knows no other
_WIDEST_PREFIX = WIDEST_PREFIX[1]
# no network of a site: what the kernel, AWS and the tunnels themselves use, or what is no address of one host
_OTHERS = {
    Net6("fe80::/10"): "which every link has for itself",
    Net6("fd00:ec2::/32"): "where AWS has metadata, DNS and time",
    Net6("64:ff9b::/96"): "by which IPv4 is reached through NAT64",
    Net6("::ffff:0:0/96"): "which stands for IPv4",
    Net6("ff00::/8"): "which is multicast",
    Net6("::/128"): "which is no address",
    Net6("::1/128"): "which is each host itself",
    INSIDE: "which the tunnels use inside",
}


def check_ipv6(problems: Problems, deployment: Deployment) -> None:
    """Note every contradiction."""
    subnets = _subnets(deployment)
    _check_subnets(problems, deployment, subnets)
    _check_prefixes(problems, deployment)
    if not any(ipv6(site.prefixes) for site in deployment.sites):
        return
    for n, zone in enumerate(deployment.zones):
        where = f"vpnha_zones[{n}]"
        if not zone.gateway_subnet_ipv6:
            problems.add(
                f"{where}.gateway_subnet_ipv6",
                "this is missing, and sites have IPv6 prefixes; give the IPv6 network of the gateway subnet.",
            )
        if zone.app_subnets and not zone.app_subnets_ipv6:
            problems.add(
                f"{where}.app_subnets_ipv6",
                "this is missing, and sites have IPv6 prefixes; give the IPv6 network of each of app_subnets, in the "
                "same order.",
            )


def _subnets(deployment: Deployment) -> list[tuple[str, Net6]]:
    found = []
    for n, zone in enumerate(deployment.zones):
        if zone.gateway_subnet_ipv6:
            found.append((f"vpnha_zones[{n}].gateway_subnet_ipv6", Net6(zone.gateway_subnet_ipv6)))
        for m, subnet in enumerate(zone.app_subnets_ipv6):
            if subnet:
                found.append((f"vpnha_zones[{n}].app_subnets_ipv6[{m}]", Net6(subnet)))
    return found


def _check_subnets(problems: Problems, deployment: Deployment, subnets: list[tuple[str, Net6]]) -> None:
    vpc = [Net6(cidr) for cidr in ipv6(deployment.vpc_cidrs)]
    for index, (where, net) in enumerate(subnets):
        if not vpc:
            problems.add(where, f"{net} is IPv6, and the VPC has none here; give its range as vpnha_vpc.ipv6_cidr.")
        elif not any(net.subnet_of(cidr) for cidr in vpc):
            ranges = ", ".join(map(str, vpc))
            problems.add(where, f"{net} lies outside the VPC's IPv6 range ({ranges}); choose a part of it.")
        if net.prefixlen != _SUBNET_LENGTH:
            problems.add(where, f"{net} is no size that EC2 allows; make it a /{_SUBNET_LENGTH}.")
        for other_where, other in subnets[:index]:
            if net.overlaps(other):
                problems.add(where, f"{net} overlaps {other_where} ({other}); give each subnet its own network.")
    for n, zone in enumerate(deployment.zones):
        if zone.app_subnets_ipv6 and len(zone.app_subnets_ipv6) != len(zone.app_subnets):
            problems.add(
                f"vpnha_zones[{n}].app_subnets_ipv6",
                f"these are {len(zone.app_subnets_ipv6)}, and app_subnets are {len(zone.app_subnets)}; give one for "
                "each, in the same order.",
            )


def _check_prefixes(problems: Problems, deployment: Deployment) -> None:
    vpc = [Net6(cidr) for cidr in ipv6(deployment.vpc_cidrs)]
    managed = {probe.site: one.name for one in deployment.managed_gateways for probe in one.probes}
    seen: list[tuple[str, Net6]] = []
    for n, site in enumerate(deployment.sites):
        for m, prefix in enumerate(site.prefixes):
            if not is_ipv6(prefix):
                continue
            where, net = f"vpnha_sites[{n}].prefixes[{m}]", Net6(prefix)
            if site.name in managed:
                problems.add(
                    where,
                    f"{net} is IPv6, which virtual private gateways do not carry; remove it, or {managed[site.name]}'s "
                    f"probe for {site.name}.",
                )
            if net.prefixlen < _WIDEST_PREFIX:
                problems.add(
                    where,
                    f"{net} is so wide that it would take what is not the site's; name the site's networks, each a "
                    f"/{_WIDEST_PREFIX} or smaller.",
                )
                continue
            if not vpc:
                problems.add(where, f"{net} is IPv6, and the VPC has none here; give its range as vpnha_vpc.ipv6_cidr.")
            for cidr in (cidr for cidr in vpc if net.overlaps(cidr)):
                problems.add(where, f"{net} overlaps the VPC's {cidr}; a site's prefixes lie outside the VPC.")
            for other, why in _OTHERS.items():
                if net.overlaps(other):
                    problems.add(where, f"{net} overlaps {other}, {why}; remove it.")
            for other_where, taken in seen:
                if net.overlaps(taken):
                    problems.add(where, f"{net} overlaps {other_where} ({taken}); each network belongs to one site.")
            seen.append((where, net))
