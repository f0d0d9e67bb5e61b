# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing over where agent, neighbours and sites do as they are told, or do not; on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import handover
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.handover import Flow, Way
from ansible_collections.vpnha.aws.plugins.modules import gateway_handover
from tests.unit.fake_clock import Clock

HQ, PLANT = "192.168.10.0/24", "192.168.20.0/24"
PARAMS = {
    "seconds": 900, "timeout": 30, "quiet_seconds": 1.0, "force": False, "prefixes": [], "deployed": None, "keep": None,
}  # fmt: skip


class FakeGateway:
    """``agent_after``: seconds that the agent takes, ``site_after``: that the site's last packet takes after it."""

    name = "gw-a"

    def __init__(self, clock: Clock, request: Path, agent_after: float = 0.3, site_after: float = 0.2) -> None:
        self.request = request
        self.neighbour_from = 0.0  # when another gateway offers its way
        self.sessions_up = True
        self.counting = False
        self.preferred = True  # whether the sites' ways through it are better than through a neighbour
        self.shop = ""  # the prefix of a third site, to which it has a tunnel
        self.shop_elsewhere = False  # whether another gateway has one too
        self._clock, self._agent_after, self._site_after = clock, agent_after, site_after
        self._asked_at: float | None = None

    def ways(self) -> list[Way]:
        away, other = self._away(0.0) or not self.preferred, self._clock.now >= self.neighbour_from
        elsewhere = self.shop_elsewhere
        shop = [Way("shop", self.shop, True, not (away and elsewhere), elsewhere, away and elsewhere)]
        return [
            *(shop if self.shop else []),
            Way("hq", HQ, self.sessions_up, self.sessions_up and not away, other, other and away),
            Way("plant", PLANT, False, False, True, True),  # it has no tunnel there
        ]

    def count(self) -> None:
        self.counting = True

    def counted(self) -> dict[Flow, int]:
        assert self.counting
        return {Flow("hq", False): 0 if self._away(self._site_after) else int(self._clock.now * 100)}

    def count_no_more(self) -> None:
        self.counting = False

    def _away(self, after: float) -> bool:
        if not self.request.exists():
            self._asked_at = None
            return False
        self._asked_at = self._clock.now if self._asked_at is None else self._asked_at
        return self._clock.now - self._asked_at >= self._agent_after + after


Make = Callable[..., FakeGateway]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(1000.0)
    monkeypatch.setattr(gateway_handover, "time", found)
    return found


@pytest.fixture
def make(clock: Clock, tmp_path: Path) -> Make:
    return lambda **how: FakeGateway(clock, tmp_path / "handover", **how)


def hand_over(gateway: FakeGateway, check: bool = False, **params: Any) -> dict[str, Any]:
    return gateway_handover.hand_over(gateway, {**PARAMS, **params}, check)


def give_back(gateway: FakeGateway, check: bool = False, **params: Any) -> dict[str, Any]:
    return gateway_handover.give_back(gateway, {**PARAMS, **params}, check)


def test_it_returns_a_quiet_second_after_the_last_packet(make: Make, clock: Clock) -> None:
    gateway = make(agent_after=0.3, site_after=0.5)
    result = hand_over(gateway)
    assert result["changed"] and result["prefixes"] == [HQ] and result["still"] == []
    assert clock.now >= 1000.0 + 0.3 + 0.5 + 1.0
    assert gateway.request.exists() and not gateway.counting


def test_check_mode_asks_nobody(make: Make) -> None:
    gateway = make()
    assert hand_over(gateway, check=True)["changed"]
    assert not gateway.request.exists()


def test_it_waits_for_a_neighbour_that_is_about_to_come_back(make: Make, clock: Clock) -> None:
    gateway = make()
    gateway.neighbour_from = clock.now + 20
    assert hand_over(gateway)["changed"]


def test_without_a_neighbour_nothing_is_touched(make: Make, clock: Clock) -> None:
    gateway = make()
    gateway.neighbour_from = clock.now + 1000
    with pytest.raises(VpnhaError, match=r"No other gateway can take over hq \(192.168.10.0/24\) from gw-a"):
        hand_over(gateway)
    assert not gateway.request.exists()


def test_force_goes_on_without_one_and_says_what_still_passes(make: Make, clock: Clock) -> None:
    gateway = make()
    gateway.neighbour_from = clock.now + 1000
    assert hand_over(gateway, force=True)["still"]


def test_a_site_that_goes_on_sending_is_named_and_all_is_taken_back(make: Make) -> None:
    gateway = make(site_after=1000.0)
    with pytest.raises(VpnhaError, match=r"within 30 s: hq still sends packets through gw-a's tunnel\. It carries"):
        hand_over(gateway)
    assert not gateway.request.exists() and not gateway.counting


def test_an_agent_that_does_nothing_is_named_when_no_packet_passes(make: Make) -> None:
    gateway = make(agent_after=1000.0)
    gateway.counted = dict  # type: ignore[method-assign]
    with pytest.raises(VpnhaError, match=r"its agent does not send 192.168.10.0/24 another way"):
        hand_over(gateway)


def test_trouble_meanwhile_leaves_neither_request_nor_counters(make: Make) -> None:
    gateway = make()

    def broken() -> dict[Flow, int]:
        raise VpnhaError("nft is gone")

    gateway.counted = broken  # type: ignore[method-assign]
    with pytest.raises(VpnhaError, match="nft is gone"):
        hand_over(gateway)
    assert not gateway.request.exists() and not gateway.counting


def test_a_gateway_without_own_ways_has_nothing_to_hand_over(make: Make) -> None:
    gateway = make()
    gateway.sessions_up = False
    assert hand_over(gateway)["changed"] is False
    assert not gateway.request.exists()


def test_it_is_given_back_when_the_gateway_carries_again(make: Make, clock: Clock) -> None:
    gateway = make()
    handed = hand_over(gateway)
    assert give_back(gateway, prefixes=handed["prefixes"])["changed"]
    assert not gateway.request.exists()
    assert give_back(gateway, prefixes=handed["prefixes"])["changed"] is False


def test_what_went_another_way_before_need_not_come_back(make: Make) -> None:
    gateway = make()
    gateway.preferred = False  # the site prefers another gateway, or packets are lost in its tunnel
    handed = hand_over(gateway)
    assert gateway.request.exists() and handed["prefixes"] == []
    # who finds the request of a run that died knows no more than that it had a way of its own
    assert hand_over(gateway)["prefixes"] == [HQ]


def test_a_session_that_stays_away_is_told(make: Make) -> None:
    gateway = make()
    handed = hand_over(gateway)
    gateway.sessions_up = False
    with pytest.raises(VpnhaError, match=r"gw-a does not reach 192.168.10.0/24 by its own tunnels again within 30 s"):
        give_back(gateway, prefixes=handed["prefixes"])


def test_without_prefixes_nothing_is_waited_for(make: Make, clock: Clock) -> None:
    gateway = make()
    handover.ask(900, gateway.request)
    gateway.sessions_up = False
    assert give_back(gateway) == {"changed": True, "seconds": 0.0}


# --- What is deployed is not what the gateway has -------------------------------------------------------------


SHOP = "192.168.30.0/24"


def test_a_site_that_is_taken_out_needs_no_other_gateway_and_is_not_waited_for(make: Make) -> None:
    gateway = make()
    gateway.shop = SHOP  # the other gateway has had its turn, and has the site no longer
    with pytest.raises(VpnhaError, match="No other gateway can take over shop"):
        hand_over(gateway)
    result = hand_over(gateway, deployed=[HQ, PLANT], keep=[HQ])
    assert result["changed"] and result["prefixes"] == [HQ]
    gateway.shop = ""
    assert give_back(gateway, prefixes=result["prefixes"], keep=[HQ])["changed"]


def test_nothing_is_handed_over_where_only_that_site_had_a_tunnel(make: Make) -> None:
    gateway = make()
    gateway.shop, gateway.sessions_up = SHOP, False
    assert hand_over(gateway, deployed=[HQ, PLANT], keep=[])["changed"] is False
    assert not gateway.request.exists()


def test_a_site_whose_tunnel_goes_from_this_gateway_is_handed_over_and_not_waited_for(make: Make) -> None:
    gateway = make()
    gateway.shop, gateway.shop_elsewhere = SHOP, True
    result = hand_over(gateway, deployed=[HQ, PLANT, SHOP], keep=[HQ])
    assert result["prefixes"] == [HQ]
    ways = {way.prefix: way for way in gateway.ways()}
    assert ways[SHOP].neighbour_best and gateway.request.exists()


def test_it_keeps_its_tunnel_until_another_gateway_has_one(make: Make) -> None:
    gateway = make()
    gateway.shop = SHOP
    with pytest.raises(
        VpnhaError, match=r"from gw-a, which is to have no tunnel there any more: deploy with this tunnel"
    ):
        hand_over(gateway, deployed=[HQ, PLANT, SHOP], keep=[HQ])
    assert not gateway.request.exists()


def test_a_prefix_that_is_described_otherwise_is_back_with_what_it_has_become(make: Make) -> None:
    gateway = make()
    gateway.shop, gateway.shop_elsewhere = SHOP, True
    wider = "192.168.0.0/16"
    result = hand_over(gateway, deployed=[HQ, PLANT, wider], keep=[HQ, wider])
    assert result["prefixes"] == [SHOP, HQ]
    gateway.shop = wider
    assert give_back(gateway, prefixes=result["prefixes"], keep=[HQ, wider])["changed"]
    assert handover.missing([SHOP], gateway.ways()) == [SHOP]
