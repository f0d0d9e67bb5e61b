# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's sites: the other end of what the gateways are told."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from lab import sites
from lab.errors import LabError

SHIPPED = Path(sites.__file__).parent / "inventory" / "group_vars" / "all.yml"


@pytest.fixture
def variables() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return copy.deepcopy(loaded)


def test_every_tunnel_has_a_host_at_its_peers_address_and_every_site_a_core(variables: dict[str, Any]) -> None:
    hosts = {host.name: host for host in sites.site_hosts(variables)}
    assert set(hosts) == {"cgw-hq-a", "cgw-hq-b", "core-hq", "cgw-plant-a", "cgw-plant-b", "core-plant"}
    outside = {
        interface.address.partition("/")[0]
        for host in hosts.values()
        for interface in host.interfaces
        if interface.network == sites.INTERNET
    }
    assert outside == {tunnel.peer_address for tunnel in parse(variables).tunnels}
    assert all(interface.network == "lan-hq" for interface in hosts["core-hq"].interfaces)
    addresses = [interface.address for host in hosts.values() for interface in host.interfaces]
    assert len(addresses) == len(set(addresses))


def test_every_host_gets_files_and_only_root_reads_the_keys(variables: dict[str, Any]) -> None:
    files = sites.site_files(variables)
    assert set(files) == {host.name for host in sites.site_hosts(variables)}
    keys = [psk.encode().hex() for psk in tunnel_config.psks(variables["vpnha_sites"]).values()]
    with_key = {
        (host, path): mode
        for host, there in files.items()
        for path, (mode, content) in there.items()
        if any(key in content for key in keys)
    }
    assert set(with_key.values()) == {0o600}
    assert {path for _host, path in with_key} == {"/etc/swanctl/conf.d/site.conf"}
    assert len(with_key) == len(keys)  # each on one host


def test_a_peer_may_have_a_second_key(variables: dict[str, Any]) -> None:
    variables["vpnha_sites"][0]["tunnels"][0]["psk_next"] = "another-key-of-this-tunnel"
    texts = [
        there[sites.TUNNEL_FILE][1] for there in sites.site_files(variables).values() if sites.TUNNEL_FILE in there
    ]
    assert [b"another-key-of-this-tunnel".hex() in text for text in texts].count(True) == 1


def test_the_peers_end_mirrors_the_gateways_and_waits(variables: dict[str, Any]) -> None:
    deployment = parse(variables)
    for tunnel in deployment.tunnels:
        ours = tunnel_config.connection(deployment, tunnel, "xfrm")
        theirs = sites.peer_connection(deployment, deployment.site(tunnel.site), tunnel)
        our_child, their_child = ours["children"][tunnel.name], theirs["children"][tunnel.name]
        assert our_child["local_ts"] == their_child["remote_ts"]
        assert our_child["remote_ts"] == their_child["local_ts"]
        assert (ours["local"], ours["remote"]) == (theirs["remote"], theirs["local"])
        assert (their_child["start_action"], their_child["dpd_action"]) == ("none", "clear")


def test_peers_speak_bgp_with_their_gateway_and_their_core(variables: dict[str, Any]) -> None:
    conf = sites.site_files(variables)["cgw-plant-b"]["/etc/frr/frr.conf"][1]
    assert dict(re.findall(r"neighbor (\S+) remote-as (\d+)", conf)) == {"169.254.20.5": "64512", "172.30.2.1": "65029"}
    assert "router bgp 65020" in conf


def test_a_static_site_tracks_its_tunnel_instead(variables: dict[str, Any]) -> None:
    site = variables["vpnha_sites"][1]
    site["routing"] = "static"
    del site["asn"]
    files = sites.site_files(variables)["cgw-plant-a"]
    assert "remote-as 64512" not in files["/etc/frr/frr.conf"][1]
    assert files["/usr/local/lib/vpnha/track"][0] == 0o755
    assert "vpnha-track.service" in files["/etc/systemd/system/multi-user.target.d/vpnha-site.conf"][1]


def test_every_unit_that_is_wanted_and_no_package_has_is_there(variables: dict[str, Any]) -> None:
    for there in sites.site_files(variables).values():
        wants = there["/etc/systemd/system/multi-user.target.d/vpnha-site.conf"][1].partition("Wants=")[2].split()
        units = {re.sub(r"@.*\.service", "@.service", unit) for unit in wants} - {"frr.service", "strongswan.service"}
        assert units <= {Path(path).name for path in there}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"peer": "198.51.100.11"}, "198.51.100.11"), ({"initiate": False}, "hq-gw-b"), ({"psk": "short"}, "psk")],
)
def test_what_the_lab_cannot_play_is_said(variables: dict[str, Any], change: dict[str, Any], said: str) -> None:
    variables["vpnha_sites"][0]["tunnels"][1].update(change)
    with pytest.raises(LabError, match=said):
        sites.site_files(variables)


def test_a_site_with_ipv6_has_it_on_every_host_and_another_has_none(variables: dict[str, Any]) -> None:
    file = SHIPPED.parents[2] / "deployments" / "dual-stack.yml"
    dual = {**variables, **yaml.safe_load(file.read_text(encoding="utf-8"))}
    dual["vpnha_sites"][1] = variables["vpnha_sites"][1]
    lans = {host.name: host.interfaces[-1].ipv6 for host in sites.site_hosts(dual)}
    assert lans["core-hq"] == "fd00:30:1::1/64" and lans["core-plant"] == ""
    files = sites.site_files(dual)
    tunnel = files["cgw-hq-a"][sites.TUNNEL_FILE][1]
    assert "local_ts = 192.168.10.0/24, 2001:db8:a10::/48, 169.254.10.0/30, fd76:706e:6861:1::a00/126" in tunnel
    assert "remote_ts = 10.20.0.0/16, 2001:db8:20::/56, 169.254.10.0/30, fd76:706e:6861:1::a00/126" in tunnel
    assert "network 2001:db8:a10::/48" in files["core-hq"]["/etc/frr/frr.conf"][1]
    frr = files["cgw-hq-a"]["/etc/frr/frr.conf"][1]
    assert " ipv6 address fd76:706e:6861:1::a02/126" in frr and "prefix-list VPC6 seq 5 permit 2001:db8:20::/56" in frr
    others = [content for path, (_mode, content) in files["cgw-plant-a"].items() if path != "/srv/site/index.html"]
    assert not any("ipv6" in content or "ip6" in content for content in others)


def test_a_static_peer_tracks_both_families_by_the_same_pings(variables: dict[str, Any]) -> None:
    file = SHIPPED.parents[2] / "deployments" / "dual-stack.yml"
    dual = {**variables, **yaml.safe_load(file.read_text(encoding="utf-8"))}
    track = sites.site_files(dual)["cgw-plant-a"]["/usr/local/lib/vpnha/track"][1]
    assert '"${word}ip route 10.20.0.0/16 169.254.20.1 ipsec0 tag 7784"' in track
    assert '"${word}ipv6 route 2001:db8:20::/56 fd76:706e:6861:1::1401 ipsec0 tag 7784"' in track
