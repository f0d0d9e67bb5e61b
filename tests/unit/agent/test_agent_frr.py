# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of FRR: what it is told, and what it shows."""

from __future__ import annotations

import json

import pytest
from agent_world import AWAY, PEER, RUNNING

from vpnha_agent import frr

RUNNING_DUAL = RUNNING.replace(
    "exit\n",
    """\
 !
 address-family ipv6 unicast
  neighbor 169.254.10.2 activate
  neighbor 169.254.10.2 route-map FROM6-hq-gw-a in
  neighbor 169.254.10.2 route-map TO6-hq-gw-a out
 exit-address-family
exit
""",
)


def test_a_neighbour_without_route_maps_gets_them_and_loses_them_again() -> None:
    plain = RUNNING.replace(" !\n", " neighbor 169.254.30.2 remote-as 65030\n !\n")
    away = frr.away_commands(64512, frr.read_running(plain), ["169.254.30.2"])
    assert f"route-map {frr.AWAY_OUT} permit 10" in away and not any(line.startswith("call") for line in away)
    now = frr.Running({("169.254.30.2", "out"): frr.AWAY_OUT, ("169.254.30.2", "in"): frr.AWAY_IN}, False)
    assert frr.back_commands(64512, now, ["169.254.30.2"])[-2:] == [
        f"no neighbor 169.254.30.2 route-map {frr.AWAY_OUT} out",
        f"no neighbor 169.254.30.2 route-map {frr.AWAY_IN} in",
    ]


def test_back_is_nothing_where_nothing_is_away() -> None:
    assert frr.back_commands(64512, frr.read_running(RUNNING), [PEER]) == []


def test_away_twice_keeps_the_roles_route_maps() -> None:
    commands = frr.away_commands(64512, frr.read_running(AWAY), [PEER])
    assert "call TO-SITES" in commands and "call FROM-hq" in commands


def test_bgp_states_are_read() -> None:
    peers = {PEER: {"state": "Established", "remoteAs": 65010}, "169.254.20.2": {"state": "Idle (Admin)"}}
    summary = json.dumps({"ipv4Unicast": {"routerId": "10.20.0.10", "peers": peers}})
    assert frr.bgp_states(summary, [PEER, "169.254.20.2", "169.254.30.2"]) == {
        PEER: "established",
        "169.254.20.2": "down",
        "169.254.30.2": "down",
    }
    assert frr.bgp_states("{}", [PEER]) == {PEER: "down"}
    for nonsense in ("", "[]", '{"ipv4Unicast": {"peers": {"a": {}}}}', '{"ipv4Unicast": {"peers": []}}'):
        with pytest.raises(frr.FrrError):
            frr.bgp_states(nonsense, [PEER])


def test_a_peer_with_ipv6_is_the_last_choice_in_both_families() -> None:
    commands = frr.away_commands(64512, frr.read_running(RUNNING_DUAL), [PEER])
    at = commands.index("address-family ipv6 unicast")
    assert commands[at - 1 :] == [
        "exit-address-family",
        "address-family ipv6 unicast",
        f"neighbor {PEER} route-map {frr.AWAY_OUT}TO6-hq-gw-a out",
        f"neighbor {PEER} route-map {frr.AWAY_IN}FROM6-hq-gw-a in",
    ]
    assert f"neighbor {PEER} route-map {frr.AWAY_OUT}TO-SITES out" in commands[:at]
    assert {"call TO-SITES", "call FROM-hq", "call TO6-hq-gw-a", "call FROM6-hq-gw-a"} <= set(commands)


def test_and_the_first_again_in_each_that_is_away() -> None:
    away = RUNNING_DUAL.replace("map TO6", f"map {frr.AWAY_OUT}TO6").replace("map FROM6", f"map {frr.AWAY_IN}FROM6")
    assert frr.back_commands(64512, frr.read_running(away), [PEER]) == [
        "configure terminal",
        "router bgp 64512",
        "address-family ipv6 unicast",
        f"neighbor {PEER} route-map TO6-hq-gw-a out",
        f"neighbor {PEER} route-map FROM6-hq-gw-a in",
    ]


def test_a_peer_is_away_only_in_every_family_and_both_ways() -> None:
    away = RUNNING_DUAL.replace("map TO", f"map {frr.AWAY_OUT}TO").replace("map FROM", f"map {frr.AWAY_IN}FROM")
    assert frr.read_running(away).away(PEER)
    for former in ("TO-SITES", "FROM-hq", "TO6-hq-gw-a", "FROM6-hq-gw-a"):
        prefix = frr.AWAY_OUT if former.startswith("TO") else frr.AWAY_IN
        running = frr.read_running(away.replace(prefix + former, former))
        assert running.begun(PEER) and not running.away(PEER), former
    assert not frr.read_running(RUNNING_DUAL).begun(PEER)


def test_frr_is_told_nothing_of_a_neighbour_that_it_does_not_have() -> None:
    """After a reload that took a tunnel away, while the agent still knows it: vtysh would stop there."""
    running = frr.read_running(RUNNING_DUAL)
    assert frr.away_commands(64512, running, ["169.254.20.2", PEER]) == frr.away_commands(64512, running, [PEER])
    assert running.away("169.254.20.2") and not running.begun("169.254.20.2")
