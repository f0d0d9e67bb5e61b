# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's parts that decide something, without host or clock."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from agent_world import DEPLOYMENT, KEY, settings
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.vici_health import TunnelSas
from vpnha_agent import netlink
from vpnha_agent.config import AgentConfig, load, parse
from vpnha_agent.netlink import Hop, attribute
from vpnha_agent.paths import addresses, site_paths
from vpnha_agent.revive import HUNG_SECONDS, STEADY_SECONDS, Initiation, Restart

# --- configuration ------------------------------------------------------------------------------------------


def test_a_configuration_is_read(config: AgentConfig) -> None:
    assert config.deployment == DEPLOYMENT
    assert [tunnel.name for tunnel in config.tunnels] == ["hq-gw-a", "plant-gw-a"]
    assert [other.name for other in config.others] == ["gw-b"]
    assert config.device(config.tunnels[0]) == "vpnha10"
    assert parse(settings(data_plane="libipsec"), "x").device(config.tunnels[0]) == "ipsec0"
    assert config.large_bytes == 1300, "as before the role said anything of it"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gateway": "gw-x"}, "agent.json.gateway: 'gw-x' is no gateway of the deployment"),
        ({"gateway": ""}, "agent.json.gateway: this is missing"),
        ({"data_plane": "tun"}, "agent.json.data_plane: 'tun' is none; write xfrm or libipsec."),
        ({"keys": []}, "agent.json.keys: the list is missing or empty"),
        ({"keys": ["hunter2"]}, "agent.json.keys[0]: this heartbeat key is no string of at least 32 characters."),
        ({"port": 0}, "agent.json.port: '0' is no UDP port"),
        ({"large_bytes": 400}, "agent.json.large_bytes: '400' is no size of a large probe; write a number from 576"),
        ({"large_bytes": "1400"}, "agent.json.large_bytes: '1400' is no size"),
        ({"prot": 7784}, "agent.json.prot: this key is unknown; did you mean port?"),
        ({"deployment": []}, "agent.json.deployment: a list stands where the deployment's dictionary is needed."),
    ],
)
def test_a_bad_configuration_is_refused_in_a_sentence(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        parse(settings(**change), "agent.json")
    assert any(found.startswith(sentence) for found in caught.value.sentences), caught.value.sentences
    assert "hunter2" not in str(caught.value) and KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"), [(None, "cannot be read"), ("{", "this is not JSON"), ("[]", "the file holds a list")]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "agent.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DescriptionError, match=sentence):
        load(path)


# --- paths --------------------------------------------------------------------------------------------------


def test_each_prefix_is_looked_up_by_a_probe_target_where_it_has_one() -> None:
    assert addresses(DEPLOYMENT.site("hq")) == ("192.168.10.10", "192.168.11.1")


OWN, MESH, NOWHERE = Hop("vpnha10", "169.254.10.2"), Hop("vpnhavx", "169.254.255.2"), Hop()


@pytest.mark.parametrize(
    ("hops", "path"),
    [
        ((OWN, OWN), "tunnel"),
        ((Hop("vpnha10"), OWN), "tunnel"),
        ((MESH, MESH), "neighbour"),
        ((OWN, MESH), "neighbour"),
        ((OWN, NOWHERE), "none"),
        ((Hop("eth0", "10.20.0.1"), OWN), "none"),
        ((Hop("vpnha20", "169.254.20.2"), OWN), "none"),  # another site's tunnel
    ],
)
def test_paths(config: AgentConfig, hops: tuple[Hop, Hop], path: str) -> None:
    table = dict(zip(("192.168.10.10", "192.168.11.1", "192.168.20.10"), (*hops, NOWHERE), strict=True))
    assert site_paths(config, table.__getitem__) == {"hq": path, "plant": "none"}


def test_tunnels_on_one_device_are_told_apart_by_their_next_hop() -> None:
    config = parse(settings(data_plane="libipsec"), "x")
    assert site_paths(config, lambda _: Hop("ipsec0", "169.254.10.2")) == {"hq": "tunnel", "plant": "none"}


# --- netlink ------------------------------------------------------------------------------------------------


def route_message(kind: int = 24, sequence: int = 7, route_type: int = 1, attributes: bytes = b"") -> bytes:
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, 0, 0, 254, 0, 0, route_type, 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


OUT = attribute(1, bytes(4)) + attribute(4, struct.pack("=I", 9)) + attribute(5, socket.inet_aton("169.254.10.2"))


def test_an_answer_to_a_lookup_is_read() -> None:
    assert netlink.decode_lookup(route_message(attributes=OUT), 7) == (9, "169.254.10.2")
    assert netlink.decode_lookup(route_message(attributes=OUT), 8) is None  # to another one
    assert netlink.decode_lookup(route_message(route_type=2, attributes=OUT), 7) == (0, "")  # local
    error = struct.pack("=IHHIIi", 20, 2, 0, 7, 0, -101)
    assert netlink.decode_lookup(error, 7) == (0, "")


def test_an_answer_of_ipv6_is_read() -> None:
    peer = attribute(5, socket.inet_pton(socket.AF_INET6, "fd76:706e:6861:1::a02"))
    message = route_message(attributes=attribute(4, struct.pack("=I", 9)) + peer)
    assert netlink.decode_lookup(message, 7) == (9, "fd76:706e:6861:1::a02")


def test_a_site_is_looked_up_by_both_families_and_the_worst_counts(config: AgentConfig) -> None:
    site = replace(config.deployment.site("hq"), prefixes=("192.168.10.0/24", "2001:db8:a10::/48"))
    sites = (site, *config.deployment.sites[1:])
    both = replace(config, deployment=replace(config.deployment, sites=sites))
    device = both.device(both.tunnels[0])
    ways = {"192.168.10.10": Hop(device, "169.254.10.2"), "2001:db8:a10::1": Hop(device, "fd76:706e:6861:1::a02")}

    def path() -> str:
        return site_paths(both, lambda address: ways.get(address, Hop()))["hq"]

    assert path() == "tunnel"
    ways["2001:db8:a10::1"] = Hop("vpnhavx", "fd76:706e:6861:2::ff02")
    assert path() == "neighbour"
    ways["2001:db8:a10::1"] = Hop(device, "fd76:706e:6861:1::1402")  # another site's peer
    assert path() == "none"


@given(st.binary(max_size=80), st.booleans())
def test_random_messages_raise_nothing_but_value_errors(noise: bytes, headed: bool) -> None:
    message = route_message(attributes=noise) if headed else noise
    try:
        answer = netlink.decode_lookup(message, 7)
    except ValueError:
        return
    assert answer is None or answer[0] >= 0


def test_the_kernel_answers() -> None:
    table = netlink.RouteTable()
    assert table.lookup("127.0.0.1") == Hop()  # itself: no way out
    table.close()
    assert table.lookup("127.0.0.2") == table.lookup("::1") == Hop()
    table.close()


# --- helping charon -----------------------------------------------------------------------------------------


def sas(ike: str = "established", child: str = "installed") -> dict[str, TunnelSas]:
    return {"t": TunnelSas("t", ike, child)}


def due_times(initiation: Initiation, ike: str, child: str, start: int, end: int) -> list[int]:
    return [now for now in range(start, end) if initiation.due(sas(ike, child), float(now))]


def test_what_charon_gave_up_is_initiated_ever_more_slowly() -> None:
    initiation = Initiation(["t"])
    assert due_times(initiation, "missing", "missing", 0, 100) == [1, 3, 7, 15, 31, 61, 91]


def test_an_ike_sa_without_child_is_initiated_too_a_connecting_one_not() -> None:
    assert due_times(Initiation(["t"]), "established", "missing", 0, 4) == [1, 3]
    assert due_times(Initiation(["t"]), "connecting", "missing", 0, 50) == []
    assert due_times(Initiation(["t"]), "unknown", "unknown", 0, 50) == []


def test_a_tunnel_that_the_peer_initiates_is_left_alone() -> None:
    assert due_times(Initiation([]), "missing", "missing", 0, 50) == []


def test_only_a_steady_tunnel_makes_the_next_trouble_a_new_one() -> None:
    initiation = Initiation(["t"])
    assert due_times(initiation, "missing", "missing", 0, 10) == [1, 3, 7]
    assert due_times(initiation, "established", "installed", 10, 15) == []
    assert due_times(initiation, "missing", "missing", 15, 30) == [23]  # it went on where it was
    steady = 30 + int(STEADY_SECONDS) + 1
    due_times(initiation, "established", "installed", 30, steady)
    assert due_times(initiation, "missing", "missing", steady, steady + 4) == [steady + 1, steady + 3]


def restarts(charon: str, unit: str, carrying: bool, end: int, restart: Restart | None = None) -> list[int]:
    restart = restart or Restart()
    return [now for now in range(end) if restart.due(charon, unit, carrying, float(now))]


def test_a_failed_unit_is_restarted_ever_more_slowly() -> None:
    assert restarts("dead", "failed", False, 80) == [5, 15, 45, 75]


@pytest.mark.parametrize("unit", ["inactive", "activating", "deactivating", ""])
def test_a_unit_that_was_stopped_or_starts_is_left_alone(unit: str) -> None:
    assert restarts("dead", unit, False, 100) == []


def test_a_hung_charon_is_restarted_only_after_long_and_when_nothing_is_carried() -> None:
    assert restarts("hung", "active", True, 200) == []
    first = restarts("hung", "active", False, 60)[0]
    assert first >= HUNG_SECONDS


def test_settings_survive_json() -> None:
    assert parse(json.loads(json.dumps(settings())), "x").deployment == DEPLOYMENT
