# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a security group in EC2 is just as the module would make it, which then need not run: a call costs a second.

Whatever is not understood here counts as another one, and is the module's to see to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from .tags import to_dict

Plain = Mapping[str, Any]
Rule = tuple[str, Any, Any, str, str]  # protocol, ports, network as EC2 writes it, description

_WITH_PORTS = ("tcp", "udp", "icmp")


def groups_unlike(
    wanted: Sequence[Plain], found: Iterable[Plain], deployment: str, tags: Mapping[str, str]
) -> list[Plain]:
    """Those of the described groups that EC2 does not have in just this way. Nothing is described of what goes out.

    ``wanted`` as `group_rules` says; ``found`` as ``aws_check`` returns them.
    """
    there = {str(one["group_name"]): one for one in found}
    unlike = []
    for group in wanted:
        name = f"{deployment}-{group['role']}"
        if name not in there or not _same(group, there[name], {**tags, "Name": name}):
            unlike.append(group)
    return unlike


def _same(wanted: Plain, found: Plain, tagged: Mapping[str, str]) -> bool:
    own = {key: value for key, value in to_dict(found.get("tags")).items() if not key.startswith("aws:")}
    return (
        found["description"] == wanted["description"]
        and own == tagged
        and _rules(found["ip_permissions"]) == {_rule(rule) for rule in wanted["rules"]}
    )


def _rule(wanted: Plain) -> Rule:
    network = str(ip_network(wanted.get("cidr_ip") or wanted["cidr_ipv6"], strict=False))
    return wanted["proto"], wanted.get("from_port"), wanted.get("to_port"), network, wanted["rule_desc"]


def _rules(permissions: Iterable[Plain]) -> set[Rule] | None:
    """The rules, one for each network; None if there are some that are never made here."""
    out: set[Rule] = set()
    for one in permissions:
        if one.get("user_id_group_pairs") or one.get("prefix_list_ids"):
            return None
        protocol = one["ip_protocol"]
        ports = (one.get("from_port"), one.get("to_port")) if protocol in _WITH_PORTS else (None, None)
        networks = [(each["cidr_ip"], each) for each in one.get("ip_ranges", ())]
        networks += [(each["cidr_ipv6"], each) for each in one.get("ipv6_ranges", ())]
        out |= {(protocol, *ports, network, each.get("description", "")) for network, each in networks}
    return out
