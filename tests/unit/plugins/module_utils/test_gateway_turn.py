# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a gateway has to wait for its turn, and when its traffic is handed over before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.filter.gateway import FilterModule
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse, to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.gateway_turn import ALL, Differences, Turn, turn
from tests.unit.plugins.module_utils.test_description import good

CONF = "/etc/strongswan.d/vpnha.conf"
UP = ("hq-gw-a", "plant-gw-a")
NOTHING = Differences(restarting=CONF, up=UP)


def of(others: int = 1, **found: Any) -> Turn:
    return turn("gw-a", others, replace(NOTHING, **found))


def test_the_first_deploy_is_done_side_by_side() -> None:
    found = of(configured=False, files=(CONF,), tunnels=UP, code=True)
    assert found.due == ALL and not found.alone and not found.hand_over


def test_one_that_was_there_before_waits_for_its_turn() -> None:
    found = of(configured=False, found=True)
    assert found.due == ALL and found.alone and found.takes_over and not found.hand_over
    assert found.text == "gw-a is taken over from who has set it up, as soon as nothing depends on it."


def test_one_that_has_been_taken_over_is_as_any_other() -> None:
    assert of(found=True) == of() and not of(found=True, code=True).takes_over


def test_an_unchanged_gateway_has_nothing_due() -> None:
    assert of() == Turn((), False, False, False, False, (), "gw-a is as described.")


@pytest.mark.parametrize(
    "found", [{"resets": UP, "tunnels": UP}, {"files": (CONF,)}, {"code": True}, {"packages": True}]
)
def test_a_gateway_without_tunnels_waits_for_nobody(found: dict[str, Any]) -> None:
    assert not of(**found, up=()).alone and of(**found, up=()).due


@pytest.mark.parametrize(
    "found",
    [
        {"files": ("/etc/frr/frr.conf", "/etc/vpnha/firewall.nft")},
        {"files": ("/etc/systemd/system/strongswan.service.d/vpnha.conf",)},  # systemd reads it anew, nothing more
        {"tunnels": ("new-gw-a",)},
        {"tunnels": ("hq-gw-a",)},  # another key
        {"code": True},
        {"agent": True},
    ],
)
def test_what_closes_no_tunnel_takes_a_turn_and_moves_nothing(found: dict[str, Any]) -> None:
    turned = of(**found)
    assert turned.alone and not turned.hand_over and turned.up == UP
    assert turned.text.endswith("anew; no tunnel is interrupted.")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"tunnels": ("hq-gw-a",), "resets": ("hq-gw-a",)}, "gets tunnels anew, which closes hq-gw-a:"),
        ({"files": (CONF,)}, "gets files anew, which closes hq-gw-a and plant-gw-a:"),
        ({"files": ("/etc/frr/daemons",)}, "gets files anew, which restarts FRR:"),
        (
            {"packages": True, "code": True},
            "gets packages and the code anew, which closes hq-gw-a and plant-gw-a and restarts FRR:",
        ),
    ],
)
def test_what_closes_a_tunnel_hands_the_traffic_over_first(found: dict[str, Any], words: str) -> None:
    turned = of(**found)
    assert turned.alone and turned.hand_over and not turned.outage
    assert words in turned.text and turned.text.endswith("its traffic goes through the other gateways meanwhile.")
    assert turned.frr_restarts == ("FRR" in words)


FRR = """\
router bgp 64512
 neighbor 169.254.10.2 remote-as 65010
 neighbor 169.254.10.2 description tunnel hq-gw-a
 neighbor 169.254.20.2 remote-as 65020
 neighbor 169.254.20.2 description tunnel plant-gw-a
 neighbor 169.254.255.2 remote-as 64512
 neighbor 169.254.255.2 description gateway gw-b
 timers bgp 3 9
 !
 address-family ipv4 unicast
  neighbor 169.254.10.2 activate
  neighbor 169.254.20.2 activate
 exit-address-family
"""
SIX = " address-family ipv6 unicast\n  neighbor 169.254.10.2 activate\n"


@pytest.mark.parametrize(
    ("after", "closed"),
    [
        (FRR.replace("65010", "65011"), "hq-gw-a"),
        (FRR.replace("64512", "64999"), "hq-gw-a and plant-gw-a"),
        (FRR + SIX, "hq-gw-a"),
        (FRR.replace("neighbor 169.254.20.2", "no"), "plant-gw-a"),
        (FRR.replace("timers bgp 3 9", "timers bgp 1 3"), ""),
        (FRR.replace("169.254.255.2", "169.254.255.3"), ""),  # a neighbour's: its packets go by its own tunnels
    ],
)
def test_frr_is_handed_over_too_where_a_session_of_a_tunnel_that_is_up_does_not_stay(after: str, closed: str) -> None:
    found = {"files": ("/etc/frr/frr.conf",), "frr": {"before": FRR, "after": after}}
    turned = of(**found)
    assert turned.hand_over == bool(closed) and not turned.frr_restarts
    assert (f"closes the BGP sessions of {closed}: its traffic" in turned.text) == bool(closed)
    assert not of(**found, up=("other-gw-a",)).hand_over
    assert of(**found, others=0).outage == bool(closed)


def test_the_only_gateway_has_nobody_to_hand_over_to_and_that_is_said() -> None:
    turned = of(others=0, tunnels=UP, resets=UP)
    assert turned.alone and turned.outage and not turned.hand_over
    assert "it is the only gateway, so nothing passes" in turned.text


def test_the_filter_counts_the_other_gateways() -> None:
    decide = FilterModule().filters()["gateway_turn"]
    checked = to_dict(parse(good()))
    found = decide(checked, "gw-a", configured=True, tunnels=list(UP), up=list(UP), resets=["hq-gw-a"])
    assert (found["due"], found["alone"], found["hand_over"], found["up"]) == (["tunnels"], True, True, list(UP))
