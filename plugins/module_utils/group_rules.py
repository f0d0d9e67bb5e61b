# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The security groups of a checked deployment: who is admitted by which, and whether EC2 has room for so many rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any

from .listening import PORT

Plain = Mapping[str, Any]

MOST = 60  # inbound rules of a group, for IPv4 and again for IPv6, unless AWS has raised the quota
QUOTA = "Inbound or outbound rules per security group"


def groups(checked: Plain, admin_cidrs: Sequence[str], monitor_port: int = PORT) -> list[dict[str, Any]]:
    """Each security group's ``role``, ``description`` and ``rules``.

    Adjacent prefixes of sites become one rule, but only where there are too many rules otherwise: another set of rules
    is a moment without some of them.
    """
    prefixes = [prefix for site in checked["sites"] for prefix in site["prefixes"]]
    found = _groups(checked, admin_cidrs, prefixes, monitor_port)
    if all(count <= MOST for group in found for count in _counts(group)):
        return found
    return _groups(checked, admin_cidrs, _collapsed(prefixes), monitor_port)


def crowded(checked: Plain) -> list[str]:
    """A sentence if the gateways' group needs more rules than EC2 has room for by default. The others need fewer.

    Administrators are not known here: their networks may only be looked up where the groups are made.
    """
    gateway = next(group for group in groups(checked, ()) if group["role"] == "gateway")
    return [
        f"The security group of the gateways needs {count} inbound rules for {family} and those of vpnha_admin_cidrs, "
        f"and EC2 takes {MOST} unless AWS has raised your quota of Amazon VPC '{QUOTA}': "
        "see to that before you deploy, or give sites fewer prefixes."
        for family, count in zip(("IPv4", "IPv6"), _counts(gateway), strict=True)
        if count > MOST
    ]


def _counts(group: Plain) -> tuple[int, int]:
    """The group's rules for IPv4 and for IPv6, which EC2 counts apart."""
    six = sum("cidr_ipv6" in rule for rule in group["rules"])
    return len(group["rules"]) - six, six


def _collapsed(prefixes: Iterable[str]) -> list[str]:
    """The same addresses in as few networks as can be."""
    four = [IPv4Network(prefix) for prefix in prefixes if ":" not in prefix]
    six = [IPv6Network(prefix) for prefix in prefixes if ":" in prefix]
    return [str(net) for net in (*collapse_addresses(four), *collapse_addresses(six))]


def _groups(
    checked: Plain, admin_cidrs: Sequence[str], sites: Sequence[str], monitor_port: int
) -> list[dict[str, Any]]:
    vpc = checked["vpc_cidrs"]
    peers = [f"{peer}/32" for peer in sorted({tunnel["peer_address"] for tunnel in checked["tunnels"]})]
    admin = [_rule("tcp", 22, cidr, "ssh of administrators") for cidr in admin_cidrs]
    gateway_rules = [
        *(_rule("udp", port, peer, "IKE") for peer in peers for port in (500, 4500)),
        *(_rule("50", -1, peer, "ESP") for peer in peers),
        # Heartbeats, ICMP and the VXLAN between gateways come from inside the VPC as well. Who of it may talk to the
        # gateway itself is decided by the gateway's own packet filter: here it cannot be told from what is forwarded.
        *(_rule("-1", -1, cidr, "forwarded from the VPC") for cidr in vpc),
        *(_rule("-1", -1, cidr, "forwarded from a site") for cidr in sites),
    ]
    monitor_rules = [_rule("tcp", monitor_port, cidr, "metrics and status") for cidr in vpc if ":" not in cidr]
    monitor_rules += [_rule("icmp", -1, cidr, "ICMP") for cidr in vpc if ":" not in cidr]
    app_rules = [_rule("-1", -1, cidr, "VPC") for cidr in vpc] + [_rule("-1", -1, cidr, "site") for cidr in sites]
    return [
        {"role": "gateway", "description": "VPN gateways", "rules": gateway_rules + admin},
        {"role": "monitor", "description": "Monitors of the VPN gateways", "rules": monitor_rules + admin},
        {"role": "app", "description": "Application hosts behind the VPN", "rules": app_rules + admin},
    ]


def _rule(protocol: str, port: int, cidr: str, why: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"proto": protocol, "rule_desc": why}
    if protocol in ("tcp", "udp", "icmp"):
        rule |= {"from_port": port, "to_port": port}
    return rule | {"cidr_ipv6" if ":" in cidr else "cidr_ip": cidr}
