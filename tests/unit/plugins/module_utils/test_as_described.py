# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which security groups need no module, because EC2 has them just as they are described."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.as_described import groups_unlike

TAGS = {"vpnha:deployment": "lab", "vpnha:made": "lab"}
WANTED = [
    {
        "role": "gateway",
        "description": "VPN gateways",
        "rules": [
            {"proto": "udp", "from_port": 500, "to_port": 500, "cidr_ip": "198.51.100.1/32", "rule_desc": "IKE"},
            {"proto": "50", "cidr_ip": "198.51.100.1/32", "rule_desc": "ESP"},
            {"proto": "-1", "cidr_ip": "10.20.0.0/16", "rule_desc": "forwarded from the VPC"},
            {"proto": "-1", "cidr_ipv6": "2001:db8:20::/56", "rule_desc": "forwarded from the VPC"},
        ],
    }
]


def permission(protocol: str, cidr: str, why: str, **ports: int) -> dict[str, Any]:
    """One of EC2's permissions, with all lists that it gives."""
    empty: dict[str, Any] = {"ip_ranges": [], "ipv6_ranges": [], "prefix_list_ids": [], "user_id_group_pairs": []}
    kind, key = ("ipv6_ranges", "cidr_ipv6") if ":" in cidr else ("ip_ranges", "cidr_ip")
    return {**empty, "ip_protocol": protocol, **ports, kind: [{key: cidr, "description": why}]}


FOUND = {
    "group_name": "lab-gateway",
    "description": "VPN gateways",
    "tags": [
        {"Key": "vpnha:made", "Value": "lab"},
        {"Key": "Name", "Value": "lab-gateway"},
        {"Key": "vpnha:deployment", "Value": "lab"},
        {"Key": "aws:cloudformation:stack-name", "Value": "another's"},
    ],
    "ip_permissions": [
        permission("50", "198.51.100.1/32", "ESP", from_port=-1, to_port=-1),
        permission("-1", "2001:db8:20::/56", "forwarded from the VPC"),
        permission("-1", "10.20.0.0/16", "forwarded from the VPC"),
        permission("udp", "198.51.100.1/32", "IKE", from_port=500, to_port=500),
    ],
}


def test_what_is_as_described_is_left() -> None:
    assert groups_unlike(WANTED, [FOUND], "lab", TAGS) == []


def test_networks_may_be_written_in_another_way() -> None:
    wanted = copy.deepcopy(WANTED)
    wanted[0]["rules"][0]["cidr_ip"] = "198.51.100.1"  # type: ignore[index]
    wanted[0]["rules"][2]["cidr_ip"] = "10.20.0.7/16"  # type: ignore[index]
    wanted[0]["rules"][3]["cidr_ipv6"] = "2001:DB8:20:0::/56"  # type: ignore[index]
    assert groups_unlike(wanted, [FOUND], "lab", TAGS) == []


def test_what_is_not_there_is_to_be_made() -> None:
    assert groups_unlike(WANTED, [], "lab", TAGS) == WANTED
    assert groups_unlike(WANTED, [FOUND], "prod", TAGS) == WANTED


DIFFERENT: dict[str, Callable[[dict[str, Any]], object]] = {
    "a rule is missing": lambda group: group["ip_permissions"].pop(),
    "a stranger's rule": lambda group: group["ip_permissions"].append(permission("tcp", "0.0.0.0/0", "")),
    "another port": lambda group: group["ip_permissions"][3].update(to_port=501),
    "another reason": lambda group: group["ip_permissions"][0]["ip_ranges"][0].update(description="?"),
    "a network more": lambda group: group["ip_permissions"][2]["ip_ranges"].append({"cidr_ip": "10.9.0.0/16"}),
    "a group": lambda group: group["ip_permissions"][2].update(user_id_group_pairs=[{"group_id": "sg-1"}]),
    "a prefix list": lambda group: group["ip_permissions"][2].update(prefix_list_ids=[{"prefix_list_id": "pl-1"}]),
    "a tag is missing": lambda group: group["tags"].pop(0),
    "a tag more": lambda group: group["tags"].append({"Key": "Owner", "Value": "x"}),
    "another description": lambda group: group.update(description="x"),
}


@pytest.mark.parametrize("how", DIFFERENT)
def test_whatever_differs_is_the_modules_to_see_to(how: str) -> None:
    other = copy.deepcopy(FOUND)
    DIFFERENT[how](other)
    assert groups_unlike(WANTED, [other], "lab", TAGS) == WANTED
