# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 beside IPv4: what a description may say of it, and what strongSwan is told."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import description, dual_stack, tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from tests.unit.plugins.module_utils.test_description import good, problems

Change = Callable[[dict[str, Any]], None]


def dual() -> dict[str, Any]:
    """The good description with IPv6 for the VPC and the first site."""
    variables = good()
    variables["vpnha_vpc"]["ipv6_cidr"] = "2001:db8:20::/56"
    for n, zone in enumerate(variables["vpnha_zones"]):
        zone["gateway_subnet_ipv6"] = f"2001:db8:20:{n}::/64"
        zone["app_subnets_ipv6"] = [f"2001:db8:20:1{n}::/64"]
    site = variables["vpnha_sites"][0]
    site["prefixes"].append("2001:DB8:A10:0::/48")
    site["probe_targets"].append("2001:db8:a10::10")
    return variables


# --- Addresses inside ----------------------------------------------------------------------------------------------


def test_a_tunnels_ends_have_addresses_in_one_network_of_their_own() -> None:
    network = ipaddress.ip_network(dual_stack.inside_cidr("169.254.10.4/30"))
    ends = [dual_stack.inside_address(f"169.254.10.{n}") for n in (5, 6)]
    assert (str(network), ends) == ("fd76:706e:6861:1::a04/126", ["fd76:706e:6861:1::a05", "fd76:706e:6861:1::a06"])
    assert all(ipaddress.ip_address(end) in network for end in ends)


def test_no_two_tunnels_share_a_network_and_none_is_the_meshs() -> None:
    insides = [f"169.254.{third}.{last}/30" for third in (6, 10, 254) for last in range(0, 256, 4)]
    networks = [ipaddress.ip_network(dual_stack.inside_cidr(inside)) for inside in insides]
    assert len(set(networks)) == len(networks)
    assert not any(network.overlaps(dual_stack.MESH) for network in networks)
    assert all(network.subnet_of(dual_stack.INSIDE) for network in (*networks, dual_stack.MESH))


@pytest.mark.parametrize(
    ("network", "covered"),
    [
        ("2001:db8:a10:5::/64", True),
        ("2001:db8:a10::/48", True),
        ("2001:db8::/32", False),
        ("192.168.10.128/25", True),
        ("192.168.0.0/16", False),
    ],
)
def test_a_network_is_a_part_of_those_of_its_own_family_only(network: str, covered: bool) -> None:
    by = ["192.168.10.0/24", "2001:db8:a10::/48"]
    assert dual_stack.covered(ipaddress.ip_network(network), by) is covered


# --- The description -------------------------------------------------------------------------------------------


def test_networks_are_kept_as_ec2_writes_them() -> None:
    deployment = parse(dual())
    assert deployment.vpc_cidrs == ("10.20.0.0/16", "2001:db8:20::/56")
    assert deployment.sites[0].prefixes == ("192.168.10.0/24", "2001:db8:a10::/48")
    assert deployment.sites[0].destinations == deployment.sites[0].prefixes
    assert deployment.zones[1].app_subnets_ipv6 == ("2001:db8:20:11::/64",)
    assert description.from_dict(description.to_dict(deployment)) == deployment


def test_a_vpc_that_is_found_later_keeps_its_range_of_ipv6() -> None:
    variables = dual()
    variables["vpnha_vpc"] = {"id": "vpc-0a1b2c3d", "ipv6_cidr": ["2001:db8:20::/56"]}
    subnets = ("10.20.0.0/24", "10.20.16.0/24", "10.20.1.0/24", "10.20.17.0/24")
    assert parse(variables).vpc_cidrs == (*subnets, "2001:db8:20::/56")


def _zone(**changes: Any) -> Change:
    return lambda variables: variables["vpnha_zones"][0].update(changes)


def _site(**changes: Any) -> Change:
    return lambda variables: variables["vpnha_sites"][0].update(changes)


def _prefix(prefix: str) -> Change:
    return _site(prefixes=["192.168.10.0/24", prefix], probe_targets=["192.168.10.10"])


def _managed(variables: dict[str, Any]) -> None:
    variables["vpnha_managed_gateways"] = [
        {"name": "aws", "vpn_gateway": "vgw-0a1b2c3d", "use": "last_resort", "probes": {"hq": "192.168.10.10"}}
    ]


BAD: dict[str, tuple[Change, str]] = {
    "no range": (
        lambda variables: variables["vpnha_vpc"].pop("ipv6_cidr"),
        "vpnha_sites[0].prefixes[1]: 2001:db8:a10::/48 is IPv6, and the VPC has none here",
    ),
    "a range of IPv4": (
        lambda variables: variables["vpnha_vpc"].update(ipv6_cidr="10.21.0.0/16"),
        "vpnha_vpc.ipv6_cidr: '10.21.0.0/16' is IPv4; give an IPv6 network here.",
    ),
    "no network of the gateways": (
        lambda variables: variables["vpnha_zones"][0].pop("gateway_subnet_ipv6"),
        "vpnha_zones[0].gateway_subnet_ipv6: this is missing",
    ),
    "no networks of the applications": (
        lambda variables: variables["vpnha_zones"][0].pop("app_subnets_ipv6"),
        "vpnha_zones[0].app_subnets_ipv6: this is missing",
    ),
    "fewer networks than subnets": (
        _zone(app_subnets=["10.20.16.0/24", "10.20.18.0/24"]),
        "vpnha_zones[0].app_subnets_ipv6: these are 1, and app_subnets are 2",
    ),
    "a subnet outside": (
        _zone(gateway_subnet_ipv6="2001:db8:21::/64"),
        "vpnha_zones[0].gateway_subnet_ipv6: 2001:db8:21::/64 lies outside the VPC's IPv6 range (2001:db8:20::/56)",
    ),
    "a subnet of another size": (
        _zone(gateway_subnet_ipv6="2001:db8:20::/60"),
        "vpnha_zones[0].gateway_subnet_ipv6: 2001:db8:20::/60 is no size that EC2 allows; make it a /64.",
    ),
    "two subnets with one network": (
        _zone(app_subnets_ipv6=["2001:db8:20::/64"]),
        "vpnha_zones[0].app_subnets_ipv6[0]: 2001:db8:20::/64 overlaps vpnha_zones[0].gateway_subnet_ipv6",
    ),
    "a prefix in the VPC": (
        _prefix("2001:db8:20:80::/60"),
        "vpnha_sites[0].prefixes[1]: 2001:db8:20:80::/60 overlaps the VPC's 2001:db8:20::/56",
    ),
    "everything": (_prefix("::/0"), "vpnha_sites[0].prefixes[1]: ::/0 is so wide"),
    "what the tunnels use": (
        _prefix("fd76:706e:6861::/64"),
        "vpnha_sites[0].prefixes[1]: fd76:706e:6861::/64 overlaps fd76:706e:6861::/48, which the tunnels use inside",
    ),
    "metadata": (_prefix("fd00:ec2::/64"), "vpnha_sites[0].prefixes[1]: fd00:ec2::/64 overlaps fd00:ec2::/32"),
    "link-local": (_prefix("fe80::/64"), "vpnha_sites[0].prefixes[1]: fe80::/64 overlaps fe80::/10"),
    "host bits": (
        _prefix("2001:db8:a10::1/48"),
        "vpnha_sites[0].prefixes[1]: '2001:db8:a10::1/48' has bits set beyond its prefix length",
    ),
    "another site's": (
        lambda variables: variables["vpnha_sites"][1]["prefixes"].append("2001:db8:a10:1::/64"),
        "vpnha_sites[1].prefixes[1]: 2001:db8:a10:1::/64 overlaps vpnha_sites[0].prefixes[1] (2001:db8:a10::/48)",
    ),
    "a target outside": (
        _site(probe_targets=["2001:db8:a11::10"]),
        "vpnha_sites[0].probe_targets[0]: 2001:db8:a11::10 lies outside the site's prefixes",
    ),
    "a virtual private gateway": (
        _managed,
        "vpnha_sites[0].prefixes[1]: 2001:db8:a10::/48 is IPv6, which virtual private gateways do not carry; remove "
        "it, or aws's probe for hq.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_description_is_refused_with_what_where_and_how(case: str) -> None:
    change, sentence = BAD[case]
    variables = dual()
    change(variables)
    assert [found for found in problems(variables) if found.startswith(sentence)], problems(variables)


def test_a_managed_gateway_may_lead_to_the_sites_of_ipv4() -> None:
    variables = dual()
    _managed(variables)
    variables["vpnha_managed_gateways"][0]["probes"] = {"plant": "192.168.20.10"}
    assert parse(variables).managed_gateways


# --- What a gateway is told ------------------------------------------------------------------------------------


def test_selectors_of_both_families_are_in_one_child() -> None:
    deployment = parse(dual())
    tunnel = next(one for one in deployment.tunnels if one.name == "hq-gw-a")
    child = tunnel_config.connection(deployment, tunnel, "xfrm")["children"]["hq-gw-a"]
    inside = ["169.254.10.0/30", "fd76:706e:6861:1::a00/126"]
    assert child["local_ts"] == ["10.20.0.0/16", "2001:db8:20::/56", *inside]
    assert child["remote_ts"] == ["192.168.10.0/24", "2001:db8:a10::/48", *inside]


def test_a_site_without_ipv6_is_told_nothing_of_it() -> None:
    deployment = parse(dual())
    tunnel = next(one for one in deployment.tunnels if one.name == "plant-gw-a")
    child = tunnel_config.connection(deployment, tunnel, "xfrm")["children"]["plant-gw-a"]
    assert not dual_stack.ipv6([*child["local_ts"], *child["remote_ts"]])
    view = tunnel_config.gateway_view(deployment, "gw-a", "xfrm")
    assert {one.name: one.inside_ipv6 for one in view.tunnels} == {
        "hq-gw-a": "fd76:706e:6861:1::a01",
        "plant-gw-a": "",
    }


def test_zones_are_preferred_by_the_networks_of_ipv6_as_by_those_of_ipv4() -> None:
    view = tunnel_config.gateway_view(parse(dual()), "gw-b", "xfrm")
    assert view.ipv6 is not None
    assert view.ipv6.home_prefixes == ("2001:db8:20:1::/64", "2001:db8:20:11::/64")
    assert view.ipv6.other_prefixes == ("2001:db8:20::/64", "2001:db8:20:10::/64")
    assert not dual_stack.ipv6([*view.vpc_cidrs, *view.home_prefixes, *view.other_prefixes, *view.site_prefixes])
    assert view.ipv6.mesh_address == "fd76:706e:6861:2::ff02"
    assert [one.inside_ipv6 for one in view.neighbours] == ["fd76:706e:6861:2::ff01"]


def test_a_static_site_has_routes_of_both_families() -> None:
    variables = dual()
    variables["vpnha_sites"][0]["routing"] = "static"
    del variables["vpnha_sites"][0]["asn"]
    view = tunnel_config.gateway_view(parse(variables), "gw-a", "libipsec")
    assert view.tunnels[0].static_routes == (
        "ip route 192.168.10.0/24 169.254.10.2 ipsec0 tag 7784",
        "ipv6 route 2001:db8:a10::/48 fd76:706e:6861:1::a02 ipsec0 tag 7784",
    )


def test_nothing_is_told_of_ipv6_where_no_site_has_any() -> None:
    variables = dual()
    variables["vpnha_sites"][0] = good()["vpnha_sites"][0]
    deployment = parse(variables)
    assert tunnel_config.gateway_view(deployment, "gw-a", "xfrm").ipv6 is None
    assert tunnel_config.connection(deployment, deployment.tunnels[0], "xfrm") == tunnel_config.connection(
        parse(good()), parse(good()).tunnels[0], "xfrm"
    )
