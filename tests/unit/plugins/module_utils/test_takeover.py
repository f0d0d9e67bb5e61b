# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether somebody's VPN is still in use on a host, and what of it is left there."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import takeover
from ansible_collections.vpnha.aws.plugins.module_utils.handover import Flow

WATCHED = takeover.Watched(
    "10.20.0.10",
    ["10.20.0.0/16", "2001:db8::/56"],
    {"hq": ["192.168.10.0/24", "fd00::/64"], "plant": ["172.16.0.0/12"]},
)
FILE = """\
connections {
  hq {
    remote_addrs = 198.51.100.11  # the first router
    # remote_addrs = 198.51.100.12
  }
}
"""


def packet(source: str, target: str) -> bytes:
    return bytes([0x45, *bytes(11)]) + ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(target).packed


@pytest.mark.parametrize(
    ("source", "target", "flow"),
    [
        ("10.20.16.50", "192.168.10.10", Flow("hq", outwards=True)),
        ("192.168.10.255", "10.20.255.255", Flow("hq", outwards=False)),
        ("172.31.0.1", "10.20.1.20", Flow("plant", outwards=False)),
        ("10.20.16.50", "10.20.17.50", None),  # within the VPC
        ("192.168.10.10", "172.16.0.1", None),  # between sites
        ("192.168.11.10", "10.20.16.50", None),
        ("192.168.10.10", "10.20.0.10", None),  # a person's ssh to the gateway itself
        ("10.20.0.10", "192.168.10.10", None),
        ("198.51.100.11", "10.20.0.10", None),  # the tunnel itself
    ],
)
def test_only_packets_between_a_site_and_the_vpc_count(source: str, target: str, flow: Flow | None) -> None:
    assert takeover.classifier(WATCHED)(packet(source, target)) == flow


@pytest.mark.parametrize(
    ("source", "target", "flow"),
    [
        ("2001:db8::50", "fd00::10", Flow("hq", outwards=True)),
        ("fd00::ffff:1", "2001:db8:0:ff::1", Flow("hq", outwards=False)),
        ("2001:db8::50", "2001:db8::51", None),
        ("fd00:0:0:1::10", "2001:db8::50", None),
        ("fd00::10", "2001:db8:0:100::50", None),
    ],
)
def test_packets_of_ipv6_count_as_well(source: str, target: str, flow: Flow | None) -> None:
    ends = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(target).packed
    assert takeover.classifier(WATCHED)(bytes([0x60, *bytes(7)]) + ends) == flow


@pytest.mark.parametrize("other", [b"", b"\x45\x00", b"\x60" + bytes(38), b"\x50" + bytes(39)])
def test_what_is_no_packet_of_ip_is_of_no_flow(other: bytes) -> None:
    assert takeover.classifier(WATCHED)(other) is None


def test_files_that_name_a_peer_are_found_without_comments_and_our_own(tmp_path: Path) -> None:
    there = tmp_path / "swanctl" / "conf.d"
    there.mkdir(parents=True)
    (there / "hq.conf").write_text(FILE)
    (there / "vpnha-hq-gw-a.conf").write_text(FILE)
    (there / "longer.conf").write_text("remote_addrs = 198.51.100.110 1198.51.100.11 198.51.100.11.example\n")
    single = tmp_path / "ipsec.conf"
    single.write_text("right=198.51.100.12\nleft=198.51.100.11\n")
    places = [tmp_path / "swanctl", single, tmp_path / "missing"]
    assert takeover.naming(["198.51.100.11", "198.51.100.12", "198.51.100.11"], places) == {
        str(there / "hq.conf"): ["198.51.100.11"],
        str(single): ["198.51.100.11", "198.51.100.12"],
    }


def test_the_connections_that_are_loaded_are_read() -> None:
    said = (
        "hq: IKEv2, no reauthentication, rekeying every 14400s\n  local:  10.20.0.10\n  hq: TUNNEL\nplant: IKEv1/2, x\n"
    )
    assert takeover.loaded(said) == ["hq", "plant"]
    assert takeover.loaded("") == []


def test_every_reason_is_a_sentence_that_says_what_to_do() -> None:
    flows = [Flow("hq", outwards=False), Flow("plant", outwards=True)]
    files = {"/etc/swanctl/conf.d/hq.conf": ["198.51.100.11", "198.51.100.12"]}
    assert takeover.reasons("gw-a", flows, files, ["hq"], {"ipsec.service": "active"}) == [
        "Packets from hq still pass gw-a: have its peers send through another gateway.",
        "Packets to plant still come to gw-a: move the routes that lead to it.",
        "/etc/swanctl/conf.d/hq.conf names the peer 198.51.100.11 and 198.51.100.12: move it away.",
        "ipsec.service is active: disable it and stop it.",
        "strongSwan still has hq loaded: stop it.",
    ]
    assert takeover.reasons("gw-a", [], {}, [], {}) == []
