# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing over: requests that end by themselves, who could take over, and when nothing passes any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import handover
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.handover import Flow, Quiet

SITES = {"hq": ["192.168.10.0/24"], "plant": ["192.168.20.0/24", "192.168.21.0/24"]}


def own(best: bool = True) -> dict[str, Any]:
    return {"valid": True, "bestpath": best, "pathFrom": "external", "peerId": "169.254.10.2"}


def static(best: bool = True) -> dict[str, Any]:
    return {"valid": True, "bestpath": best, "weight": 32768, "peerId": "(unspec)"}


def neighbour(best: bool = False, preference: int = 100) -> dict[str, Any]:
    found = {"valid": True, "pathFrom": "internal", "locPrf": preference, "peerId": "169.254.255.2"}
    return {**found, "bestpath": True} if best else found


def table(**paths: list[dict[str, Any]]) -> str:
    routes = {"hq": "192.168.10.0/24", "plant": "192.168.20.0/24", "half": "192.168.21.128/25", "vpc": "10.20.0.0/16"}
    return json.dumps({"routerId": "10.20.0.10", "routes": {routes[name]: found for name, found in paths.items()}})


# --- Requests ------------------------------------------------------------------------------------------------


def test_a_request_is_in_force_until_its_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "vpnha" / "handover"
    handover.ask(60, path)
    said = handover.requested(path)
    assert said and float(said) == pytest.approx(handover.now() + 60, abs=5)
    assert handover.requested(path, clock=lambda: float(said) + 0.01) == ""
    assert handover.left(said, clock=lambda: float(said) - 7) == pytest.approx(7)
    assert handover.left(said, clock=lambda: float(said) + 7) == handover.left("") == 0
    assert handover.withdraw(path) and not handover.withdraw(path)
    assert handover.requested(path) == ""


def test_another_request_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "handover"
    handover.ask(60, path)
    first = handover.requested(path)
    handover.ask(61, path)
    assert handover.requested(path) != first


def test_a_request_that_nobody_can_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "handover"
    for text in ("", "for ever\n", "inf\n", "nan\n", "\xff"):
        path.write_text(text, encoding="utf-8")
        assert handover.requested(path) == ""


# --- Ways ----------------------------------------------------------------------------------------------------


def test_every_prefix_of_a_site_is_found_and_no_other() -> None:
    found = handover.ways(table(hq=[own()], half=[own()], vpc=[own()]), SITES)
    assert [(way.site, way.prefix) for way in found] == [("hq", "192.168.10.0/24"), ("plant", "192.168.21.128/25")]


def test_prefixes_of_ipv6_are_found_in_their_table() -> None:
    answer = json.dumps({"routes": {"fd00:0:0:5::/64": [own()], "fd01::/48": [own()]}})
    assert [(way.site, way.prefix) for way in handover.ways(answer, {**SITES, "six": ["fd00::/48"]})] == [
        ("six", "fd00:0:0:5::/64")
    ]


def test_a_neighbour_that_offers_a_way_can_take_over() -> None:
    found = handover.ways(table(hq=[own(), neighbour()], plant=[static(), neighbour()]), SITES)
    assert all(way.own and way.own_best and way.neighbour and not way.neighbour_best for way in found)
    assert handover.refusals("gw-a", found) == []


@pytest.mark.parametrize(
    "others", [[], [neighbour(preference=handover.AWAY_PREFERENCE)], [{**neighbour(), "valid": False}]]
)
def test_without_a_way_through_another_gateway_it_is_refused(others: list[dict[str, Any]]) -> None:
    found = handover.ways(table(hq=[own(), neighbour()], plant=[own(), *others], half=[own(), *others]), SITES)
    assert handover.refusals("gw-a", found) == [
        "No other gateway can take over plant (192.168.20.0/24, 192.168.21.128/25) from gw-a."
    ]


def test_what_it_does_not_reach_itself_needs_no_other() -> None:
    found = handover.ways(table(hq=[neighbour(best=True)], plant=[]), SITES)
    assert handover.refusals("gw-a", found) == []
    assert [way.own for way in found] == [False, False] and found[0].neighbour_best


def test_handed_over_means_that_the_neighbours_way_is_the_best() -> None:
    (way,) = handover.ways(table(hq=[own(best=False), neighbour(best=True)]), SITES)
    assert way.own and not way.own_best and way.neighbour_best


@pytest.mark.parametrize("answer", ["", "[]", "{}", '{"routes": {"nowhere": []}}', '{"routes": {"10.0.0.0/8": 1}}'])
def test_an_answer_that_is_no_table_is_one_sentence(answer: str) -> None:
    with pytest.raises(VpnhaError, match="no BGP table"):
        handover.ways(answer, SITES)


# --- Packets ---------------------------------------------------------------------------------------------------

IN, OUT = Flow("hq", False), Flow("hq", True)


def test_it_is_quiet_since_the_last_packet() -> None:
    quiet = Quiet(10.0)
    quiet.update({IN: 0, OUT: 0}, 10.5)
    assert quiet.seconds(11.0) == 1.0
    quiet.update({IN: 3, OUT: 0}, 11.0)
    quiet.update({IN: 3, OUT: 0}, 11.8)
    assert quiet.seconds(12.0) == 1.0
    assert quiet.busy(11.5, 1.0) == [IN] and quiet.busy(12.5, 1.0) == []


def test_what_still_passes_is_said_by_direction() -> None:
    assert IN.sentence("gw-a") == "hq still sends packets through gw-a's tunnel"
    assert OUT.sentence("gw-a") == "packets to hq still leave through gw-a's own tunnel"


def test_the_counters_are_read_as_nft_says_them() -> None:
    said = {"nftables": [{"metainfo": {}}, {"counter": {"name": "in-hq", "packets": 7, "bytes": 588}}]}
    assert handover.counted(json.dumps(said)) == {IN: 7}
    with pytest.raises(VpnhaError, match="nft"):
        handover.counted("[]")


def test_what_is_counted_never_includes_the_way_to_a_neighbour() -> None:
    text = handover.counting({**SITES, "six": ["fd00::/48"]}, "seen")
    assert 'oifname "vpnha*" oifname != "vpnhavx" ip daddr { 192.168.10.0/24 } counter name out-hq' in text
    assert 'iifname "ipsec0" ip saddr { 192.168.20.0/24, 192.168.21.0/24 } counter name in-plant' in text
    assert 'oifname "vpnha*" oifname != "vpnhavx" ip6 daddr { fd00::/48 } counter name out-six' in text
    assert 'iifname "ipsec0" ip6 saddr { fd00::/48 } counter name in-six' in text
    assert "drop" not in text and "{  }" not in text


# --- The agent's configuration -----------------------------------------------------------------------------------


def test_the_sites_are_read_whatever_else_stands_there() -> None:
    site = {"name": "hq", "prefixes": ["192.168.10.0/24"], "of_a_later_version": 1}
    text = json.dumps({"gateway": "gw-a", "unknown": 0, "deployment": {"sites": [site]}})
    assert handover.described(text) == ("gw-a", {"hq": ["192.168.10.0/24"]})
    for nonsense in ("", "[]", "{}", '{"gateway": "gw-a", "deployment": {"sites": [1]}}'):
        with pytest.raises(VpnhaError, match="write it anew"):
            handover.described(nonsense)
