# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role network makes of a deployment: least open groups, hosts in their subnets, ids in the place of names."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vpnha.aws.plugins.filter.network import network_plan, network_request, with_prefix_lists

CHECKED: dict[str, Any] = {
    "vpc_cidrs": ["10.20.0.0/16"],
    "zones": [
        {"name": "z-a", "gateway_subnet": "10.20.0.0/24", "app_subnets": ["10.20.16.0/24"]},
        {"name": "z-b", "gateway_subnet": "10.20.1.0/24", "app_subnets": ["10.20.17.0/24", "10.20.18.0/24"]},
    ],
    "gateways": [
        {"name": "gw-a", "zone": "z-a", "home_zones": ["z-a"]},
        {"name": "gw-b", "zone": "z-b", "home_zones": ["z-b"]},
    ],
    "managed_gateways": [],
    "sites": [{"name": "hq", "prefixes": ["192.168.10.0/24", "2001:db8::/32"], "by_prefix_list": False}],
    "tunnels": [
        {"peer_address": "198.51.100.12"},
        {"peer_address": "198.51.100.11"},
        {"peer_address": "198.51.100.11"},
    ],
}
GATEWAYS = [
    {"name": "gw-a", "zone": "z-a", "address": "10.20.0.10"},
    {"name": "gw-b", "zone": "z-b", "address": "10.20.1.10"},
]
MONITORS = [
    {
        "name": "mon-a",
        "zone": "z-b",
        "address": "10.20.1.20",
        "ansible_host": "mon-a.example",
        "instance_type": "t3.nano",
    }
]
APPS = [{"name": "app-b", "zone": "z-b", "address": "10.20.18.50"}]


def sources(group: dict[str, Any], protocol: str, port: int | None = None) -> set[str]:
    return {
        rule.get("cidr_ip") or rule["cidr_ipv6"]
        for rule in group["rules"]
        if rule["proto"] == protocol and rule.get("from_port") == port
    }


def test_gateways_admit_peers_the_vpc_and_the_sites_and_nobody_else() -> None:
    gateway = network_plan(CHECKED, GATEWAYS)["groups"][0]
    peers = {"198.51.100.11/32", "198.51.100.12/32"}
    assert sources(gateway, "udp", 500) == sources(gateway, "udp", 4500) == sources(gateway, "50") == peers
    assert sources(gateway, "-1") == {"10.20.0.0/16", "192.168.10.0/24", "2001:db8::/32"}
    assert sources(gateway, "tcp", 22) == set()
    assert len(gateway["rules"]) == 9


def many(prefixes: list[str]) -> dict[str, Any]:
    sites = [{"name": f"s{n}", "prefixes": [prefix], "by_prefix_list": False} for n, prefix in enumerate(prefixes)]
    return {**CHECKED, "sites": sites, "tunnels": []}


def test_adjacent_prefixes_are_one_rule_where_there_are_too_many_rules() -> None:
    prefixes = [f"10.30.{n}.0/24" for n in range(59)]
    few = network_plan(many(prefixes), GATEWAYS)["groups"][0]
    assert sources(few, "-1") == {"10.20.0.0/16", *prefixes}
    collapsed = {"10.30.0.0/19", "10.30.32.0/20", "10.30.48.0/21", "10.30.56.0/23", "10.30.58.0/24"}
    prefixes += ["2001:db8::/48", "2001:db8:1::/48"]
    gateway, _monitor, app = network_plan(many(prefixes), GATEWAYS, admin_cidrs=["203.0.113.0/24"])["groups"]
    assert sources(gateway, "-1") == {"10.20.0.0/16", "2001:db8::/47", *collapsed}
    assert sources(app, "-1") == sources(gateway, "-1")


def test_ipv4_and_ipv6_are_counted_apart() -> None:
    prefixes = [f"10.30.{n}.0/24" for n in range(50)] + [f"2001:db8:{n}::/48" for n in range(50)]
    assert len(network_plan(many(prefixes), GATEWAYS)["groups"][0]["rules"]) == 101


def test_ssh_only_from_administrators() -> None:
    for group in network_plan(CHECKED, GATEWAYS, admin_cidrs=["203.0.113.0/24"])["groups"]:
        assert sources(group, "tcp", 22) == {"203.0.113.0/24"}


def test_monitors_admit_the_vpc_to_their_status_only() -> None:
    monitor = network_plan(CHECKED, GATEWAYS)["groups"][1]
    assert sources(monitor, "tcp", 9784) == sources(monitor, "icmp", -1) == {"10.20.0.0/16"}
    assert len(monitor["rules"]) == 2
    monitor = network_plan(CHECKED, GATEWAYS, monitor_port=9411)["groups"][1]
    assert (sources(monitor, "tcp", 9411), sources(monitor, "tcp", 9784)) == ({"10.20.0.0/16"}, set())


def test_hosts_are_in_their_subnets() -> None:
    hosts = network_plan(CHECKED, GATEWAYS, MONITORS, APPS)["hosts"]
    assert [(host["name"], host["role"], host["cidr"]) for host in hosts] == [
        ("gw-a", "gateway", "10.20.0.0/24"),
        ("gw-b", "gateway", "10.20.1.0/24"),
        ("mon-a", "monitor", "10.20.1.0/24"),
        ("app-b", "app", "10.20.18.0/24"),
    ]
    assert [host["elastic_ip"] for host in hosts] == [True, True, True, False]
    assert (hosts[2]["ansible_host"], hosts[2]["instance_type"]) == ("mon-a.example", "t3.nano")


@pytest.mark.parametrize(("monitors", "expected"), [(1, ["ec2"]), (2, ["ec2", "dynamodb"])])
def test_a_single_monitor_gets_no_endpoint_for_dynamodb(monitors: int, expected: list[str]) -> None:
    checked = {**CHECKED, "monitors": [{}] * monitors}
    assert network_request(checked, [], {}, {}, ["ec2", "dynamodb"])["endpoints"] == expected
    assert network_request(checked, [], {}, {})["endpoints"] == []


@pytest.mark.parametrize(
    ("elastic", "which", "public"),
    [
        (["gateways"], [True, True, False, False], 2),
        (["monitors"], [False, False, True, False], 2),
        ([], [False] * 4, 0),
    ],
)
def test_without_elastic_ips_no_subnet_is_public(elastic: list[str], which: list[bool], public: int) -> None:
    hosts = network_plan(CHECKED, GATEWAYS, MONITORS, APPS, elastic_ips=elastic)["hosts"]
    assert [host["elastic_ip"] for host in hosts] == which
    ids = {subnet["cidr"]: subnet["cidr"] for subnet in network_plan(CHECKED)["subnets"]}
    request = network_request(CHECKED, hosts, ids, {})
    assert len(request["public_subnets"]) == public and len(request["interfaces"]) == 4


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ({"name": "x", "zone": "z-c", "address": "10.20.0.9"}, "x is in z-c, which is no zone"),
        ({"name": "x", "zone": "z-a", "address": "10.20.9.9"}, "10.20.9.9, which is in none of z-a's subnets"),
    ],
)
def test_a_host_that_fits_nowhere_is_refused(host: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AnsibleFilterError, match=sentence):
        network_plan(CHECKED, [host])


def test_names_become_ids() -> None:
    hosts = network_plan(CHECKED, GATEWAYS, MONITORS)["hosts"]
    cidrs = [subnet["cidr"] for subnet in network_plan(CHECKED)["subnets"]]
    request = network_request(
        CHECKED, hosts, {cidr: f"subnet-{cidr}" for cidr in cidrs}, {"gateway": "sg-g", "monitor": "sg-m"}
    )
    assert request["interfaces"][0] == {
        "name": "gw-a",
        "role": "gateway",
        "address": "10.20.0.10",
        "elastic_ip": True,
        "ipv6": False,
        "subnet_id": "subnet-10.20.0.0/24",
        "security_groups": ["sg-g"],
    }
    assert request["zones"][1] == {
        "name": "z-b",
        "subnets": ["subnet-10.20.17.0/24", "subnet-10.20.18.0/24"],
        "gateway": "gw-b",
    }
    assert request["destinations"] == ["192.168.10.0/24", "2001:db8::/32"]
    assert request["public_subnets"] == ["subnet-10.20.0.0/24", "subnet-10.20.1.0/24"]


def test_a_site_by_prefix_list_is_no_destination_but_a_list() -> None:
    listed = {"name": "plant", "prefixes": ["192.168.20.0/24"], "by_prefix_list": True, "prefix_list": ""}
    checked = {**CHECKED, "sites": [*CHECKED["sites"], listed]}
    request = network_request(checked, [], {}, {})
    assert request["destinations"] == ["192.168.10.0/24", "2001:db8::/32"]
    assert request["prefix_lists"] == [{"site": "plant", "entries": ["192.168.20.0/24"]}]
    known = with_prefix_lists(checked, {"plant": "pl-1"}, {"plant": "pl-6"})
    assert [(site["prefix_list"], site["prefix_list_ipv6"]) for site in known["sites"]] == [("", ""), ("pl-1", "pl-6")]
    assert checked["sites"][1]["prefix_list"] == ""


def test_what_has_no_subnet_yet_is_left_out() -> None:
    hosts = network_plan(CHECKED, GATEWAYS)["hosts"]
    request = network_request(CHECKED, hosts, {"10.20.1.0/24": "subnet-1"}, {})
    assert [(each["name"], each["security_groups"]) for each in request["interfaces"]] == [("gw-b", [])]
    assert [zone["subnets"] for zone in request["zones"]] == [[], []]
    assert request["public_subnets"] == ["subnet-1"]


def test_a_managed_gateway_is_handed_on_with_its_probes_and_may_be_a_home() -> None:
    managed = {
        "name": "vgw",
        "vpn_gateway": "vgw-1",
        "use": "home",
        "home_zones": ["z-b"],
        "probes": [{"site": "hq", "address": "192.168.10.10"}],
    }
    gateways = [CHECKED["gateways"][0], {**CHECKED["gateways"][1], "home_zones": []}]
    request = network_request({**CHECKED, "gateways": gateways, "managed_gateways": [managed]}, [], {}, {})
    assert request["managed_gateways"] == [{"name": "vgw", "vpn_gateway": "vgw-1", "probes": ["192.168.10.10"]}]
    assert [zone["gateway"] for zone in request["zones"]] == ["gw-a", "vgw"]


def test_subnets_have_their_networks_of_ipv6_and_hosts_that_need_one_an_address() -> None:
    zones = [
        {**CHECKED["zones"][0], "gateway_subnet_ipv6": "2001:db8:20::/64", "app_subnets_ipv6": ["2001:db8:20:10::/64"]},
        CHECKED["zones"][1],
    ]
    apps = [{"name": "app-a", "zone": "z-a", "address": "10.20.16.50"}]
    monitors = [{"name": "mon-z", "zone": "z-a", "address": "10.20.0.20"}]
    checked = {**CHECKED, "vpc_cidrs": ["10.20.0.0/16", "2001:db8:20::/56"], "zones": zones}
    plan = network_plan(checked, GATEWAYS, monitors, apps)
    assert [subnet.get("ipv6_cidr") for subnet in plan["subnets"]] == [
        "2001:db8:20::/64", "2001:db8:20:10::/64", None, None, None,
    ]  # fmt: skip
    assert {host["name"]: host["ipv6"] for host in plan["hosts"]} == {
        "gw-a": True, "gw-b": False, "mon-z": False, "app-a": True,
    }  # fmt: skip
    rules = {group["role"]: [rule.get("cidr_ipv6") for rule in group["rules"]] for group in plan["groups"]}
    assert "2001:db8:20::/56" in rules["gateway"] and "2001:db8:20::/56" in rules["app"]
    assert not any(rules["monitor"])  # nobody asks it by IPv6
