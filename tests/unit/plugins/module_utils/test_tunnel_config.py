# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gateway is told: who is announced how, what tells tunnels apart, and what a key may look like in a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Tunnel
from tests.unit.plugins.module_utils.test_description import good


def deployment(**changes: Any) -> Deployment:
    return parse({**good(), **changes})


def twins() -> dict[str, Any]:
    """A second tunnel from gw-a to hq, between the others."""
    variables = good()
    twin = {"gateway": "gw-a", "peer": "198.51.100.99", "inside": "169.254.99.0/30", "psk": "the-second-of-two-tunnels"}
    variables["vpnha_sites"][0]["tunnels"].insert(1, twin)
    return variables


def tunnel(name: str = "hq-gw-a") -> Tunnel:
    return next(one for one in deployment().tunnels if one.name == name)


def test_a_gateways_own_zones_are_announced_plain_and_the_others_prepended() -> None:
    view = tunnel_config.gateway_view(deployment(), "gw-a", "libipsec")
    assert view.home_prefixes == ("10.20.0.0/24", "10.20.16.0/24")
    assert view.other_prefixes == ("10.20.1.0/24", "10.20.17.0/24")
    assert view.vpc_cidrs == ("10.20.0.0/16",)


def test_a_subnet_that_is_all_of_the_vpc_is_not_announced_twice() -> None:
    variables = good()
    variables["vpnha_vpc"] = {"cidr": "10.20.16.0/24"}
    variables["vpnha_zones"] = [{"name": "z", "gateway_subnet": "10.20.16.0/24", "app_subnets": []}]
    variables["vpnha_gateways"] = [{"name": "gw-a", "zone": "z", "address": "10.20.16.10"}]
    variables["vpnha_monitors"], variables["vpnha_app_hosts"] = [], []
    for site in variables["vpnha_sites"]:
        del site["tunnels"][1]
    view = tunnel_config.gateway_view(parse(variables), "gw-a", "xfrm")
    assert view.home_prefixes == view.other_prefixes == ()


def test_gateways_agree_on_each_others_places_in_the_mesh() -> None:
    a, b = (tunnel_config.gateway_view(deployment(), name, "xfrm") for name in ("gw-a", "gw-b"))
    assert (a.mesh_address, a.mesh_mac, a.address) == (
        b.neighbours[0].inside_address,
        b.neighbours[0].mac,
        b.neighbours[0].address,
    )
    assert a.mesh_address != b.mesh_address
    assert [neighbour.name for neighbour in a.neighbours] == ["gw-b"]
    assert a.mesh_mac == "02:76:0a:14:00:0a"  # locally administered, not multicast


def test_each_tunnel_has_a_device_of_its_own_with_xfrm_and_shares_one_with_libipsec() -> None:
    own = tunnel_config.gateway_view(deployment(), "gw-a", "xfrm")
    shared = tunnel_config.gateway_view(deployment(), "gw-a", "libipsec")
    assert len(own.devices) == 2
    assert [one.device for one in own.tunnels] == list(own.devices)
    assert shared.devices == ("ipsec0",)
    for view in (own, shared):  # probes of two tunnels never share a routing table
        assert len({one.table for one in view.tunnels}) == 2


def test_the_data_planes_differ_in_if_id_alone() -> None:
    one = tunnel()
    xfrm = tunnel_config.connection(deployment(), one, "xfrm")
    libipsec = tunnel_config.connection(deployment(), one, "libipsec")
    child = xfrm["children"]["hq-gw-a"]
    assert child.pop("if_id_in") == child.pop("if_id_out") == str(one.if_id) != "0"
    assert xfrm == libipsec


def test_a_connection_has_selectors_of_its_own_and_starts_by_itself() -> None:
    body = tunnel_config.connection(deployment(), tunnel(), "libipsec", dpd_delay=7)
    child = body["children"]["hq-gw-a"]
    assert child["local_ts"] == ["10.20.0.0/16", "169.254.10.0/30"]
    assert child["remote_ts"] == ["192.168.10.0/24", "169.254.10.0/30"]
    assert (child["start_action"], child["dpd_action"], child["close_action"]) == ("trap|start", "restart", "none")
    assert (body["local_addrs"], body["remote_addrs"]) == (["10.20.0.10"], ["198.51.100.11"])
    assert (body["keyingtries"], body["mobike"], body["dpd_delay"]) == ("0", "no", "7s")


def test_where_the_peer_starts_the_gateway_only_waits() -> None:
    variables = good()
    variables["vpnha_sites"][0]["tunnels"][0]["initiate"] = False
    given = parse(variables)
    body = tunnel_config.connection(given, given.tunnels[0], "libipsec")
    child = body["children"]["hq-gw-a"]
    assert (child["start_action"], child["dpd_action"]) == ("none", "clear")


def test_a_static_site_has_routes_that_can_be_told_from_blackholes_and_a_bgp_site_none() -> None:
    variables = good()
    variables["vpnha_sites"][1]["routing"] = "static"
    del variables["vpnha_sites"][1]["asn"]
    view = tunnel_config.gateway_view(parse(variables), "gw-a", "libipsec")
    routes = {one.name: one.static_routes for one in view.tunnels}
    assert routes == {"hq-gw-a": (), "plant-gw-a": ("ip route 192.168.20.0/24 169.254.20.2 ipsec0 tag 7784",)}


def test_keys_go_to_the_tunnels_that_the_description_names() -> None:
    variables = twins()
    keys = tunnel_config.psks(variables["vpnha_sites"])
    assert list(keys) == [one.name for one in parse(variables).tunnels]
    assert keys["hq-gw-a-2"] == "the-second-of-two-tunnels" != keys["hq-gw-a"]


def test_next_keys_are_those_of_the_tunnels_that_have_one() -> None:
    variables = twins()
    variables["vpnha_sites"][0]["tunnels"][1]["psk_next"] = "the-next-key-of-one-tunnel"
    variables["vpnha_sites"][0]["tunnels"][0]["psk_next"] = ""
    found = tunnel_config.psks(variables["vpnha_sites"], "psk_next")
    assert list(found.values()) == ["the-next-key-of-one-tunnel"]
    assert list(found) == [parse(variables).tunnels[1].name]


def test_two_tunnels_to_one_site_need_interfaces_of_their_own() -> None:
    given = parse(twins())
    assert len(tunnel_config.gateway_view(given, "gw-a", "xfrm").tunnels) == 3
    with pytest.raises(VpnhaError, match="hq-gw-a and hq-gw-a-2 lead to one site"):
        tunnel_config.gateway_view(given, "gw-a", "libipsec")
    assert tunnel_config.gateway_view(given, "gw-b", "libipsec").tunnels  # it has no such pair


@pytest.mark.parametrize(("name", "data_plane", "said"), [("gw-x", "xfrm", "gw-x"), ("gw-a", "wireguard", "wireguard")])
def test_what_is_not_known_is_named(name: str, data_plane: str, said: str) -> None:
    with pytest.raises(VpnhaError, match=said):
        tunnel_config.gateway_view(deployment(), name, data_plane)


def test_a_swanctl_file_holds_any_key_and_identity() -> None:
    psk = 'a "quoted" {key} # with \\ and ü'
    text = tunnel_config.swanctl_text("t", {"local": {"id": 'x"y'}, "proposals": ["a", "b"]}, psk, ['x"y', "z"])
    assert f"secret = 0x{psk.encode().hex()}\n" in text
    assert psk not in text
    assert 'id = "x\\"y"' in text
    assert "proposals = a, b\n" in text
    assert text.count("{") == text.count("}")


def test_a_swanctl_file_has_the_key_that_signs_after_the_next_one() -> None:
    text = tunnel_config.swanctl_text("t", {}, "in-use", ["a", "b"], "to-come")
    first, last = text.index(b"to-come".hex()), text.index(b"in-use".hex())
    assert first < last
    assert text.count('id-1 = "a"\n    id-2 = "b"\n') == 2
    assert text.index("ikenext-t {") < first < text.index("ike-t {") < last


def test_a_tunnel_by_certificate_authenticates_so_both_ways_and_has_no_keys() -> None:
    given = parse(good())
    tunnel = replace(given.tunnels[0], auth="certificate")
    body = tunnel_config.connection(given, tunnel, "libipsec")
    assert body["local"] == {"auth": "pubkey", "id": tunnel.local_id}
    assert body["remote"] == {"auth": "pubkey", "id": tunnel.peer_id}
    text = tunnel_config.swanctl_text(tunnel.name, body, "", ["a", "b"])
    assert "secret" not in text and text.count("{") == text.count("}")
