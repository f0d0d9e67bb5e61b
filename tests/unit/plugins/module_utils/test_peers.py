# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the far ends of tunnels are said to need, beside what the gateways are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import peers, tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse

from .test_description import PSK, good
from .test_dual_stack import dual

OWN = peers.Own("203.0.113.10", True, ["ike-1"], ["esp-1"], 10.0, 50, 10, 1400, 1360)


def settings(variables: dict[str, Any], own: peers.Own = OWN) -> list[dict[str, Any]]:
    return peers.settings(parse(variables), "gw-a", "xfrm", own)


def test_a_tunnel_is_said_to_be_what_the_gateway_is_told() -> None:
    deployment = parse(good())
    told = tunnel_config.connection(deployment, deployment.tunnels[0], "xfrm", ike_proposals=["ike-1"])
    found = settings(good())[0]
    assert found["gateway_selectors"] == told["children"]["hq-gw-a"]["local_ts"] == ["10.20.0.0/16", "169.254.10.0/30"]
    assert found["peer_selectors"] == told["children"]["hq-gw-a"]["remote_ts"]
    assert (found["gateway_id"], found["peer_id"]) == ("gw-a.lab", "198.51.100.11")
    assert (found["gateway_inside"], found["peer_inside"]) == ("169.254.10.1/30", "169.254.10.2/30")
    assert (found["gateway_asn"], found["peer_asn"]) == (64512, 65010)
    assert (found["bgp_keepalive"], found["bgp_hold"]) == (3, 9)
    assert found["home_networks"] == ["10.20.0.0/24", "10.20.16.0/24"]
    assert found["other_networks"] == ["10.20.1.0/24", "10.20.17.0/24"]
    assert found["site_networks"] == ["192.168.10.0/24"]
    assert PSK not in str(settings(good()))


def test_a_gateway_without_an_elastic_ip_is_reached_by_its_private_address() -> None:
    found = settings(good(), replace(OWN, public_address="", elastic_ip=False))[0]
    assert (found["gateway_address"], found["gateway_address_kind"]) == ("10.20.0.10", "private")
    assert "- outer addresses: own 198.51.100.11; remote 10.20.0.10, its private address" in peers.lines(found)[1]


def test_a_static_site_has_nothing_of_bgp() -> None:
    variables = good()
    variables["vpnha_sites"][0] |= {"routing": "static", "asn": None}
    found = settings(variables)[0]
    assert not {"peer_asn", "bfd_interval_ms", "bgp_hold"} & set(found)
    said = peers.lines(found)
    assert "- static routes to the VPC: 10.20.0.0/16, 10.20.0.0/24, 10.20.16.0/24; as a second choice: " in said[-2]


def test_ipv6_inside_is_named_where_a_site_has_it() -> None:
    found = {each["site"]: each for each in settings(dual())}
    with_it = [site for site, each in found.items() if "peer_inside_ipv6" in each]
    assert with_it == [site.name for site in parse(dual()).sites if any(":" in prefix for prefix in site.prefixes)]
    each = found[with_it[0]]
    assert each["peer_inside_ipv6"].endswith("/126") and any(":" in net for net in each["vpc_networks"])
    assert any(each["peer_inside_ipv6"] in line for line in peers.lines(each))
