# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether packets follow a swap, from counters and times that the test gives."""

from __future__ import annotations

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport, RouteKey, Swap, SwapResult
from ansible_collections.vpnha.aws.plugins.module_utils.state import Group
from vpnha_monitor.carrying import PATIENCE, Carrying

ROUTE = RouteKey("rtb-1", "192.168.10.0/24")
LEADS = [Group("gw-b", "a", "hq"), Group("gw-a", "b", "hq")]


def report(**counters: int) -> AgentReport:
    return AgentReport("boot", "agent", "alive", {}, {}, {}, counters=counters)


def accepted(gateway: str, milliseconds: float = 200.0, key: RouteKey = ROUTE) -> SwapResult:
    return SwapResult(Swap(key, gateway, "eni-1", "gateway-silent"), True, milliseconds=milliseconds)


def test_packets_between_call_and_answer_count() -> None:
    """EC2 may move the packets before it answers."""
    seen = Carrying()
    seen.saw({"gw-b": report(a=5)}, 10.0)
    seen.saw({"gw-b": report(a=6)}, 10.15)
    seen.accepted([accepted("gw-b")], {ROUTE: "a"}, 10.2)
    (note,) = seen.judge(10.2, LEADS)
    assert (note.code, note.subject) == ("carrying", str(ROUTE))
    assert seen.judge(20.0, LEADS) == []


def test_silent_zone_is_no_trouble() -> None:
    """A zone that sends nothing says nothing about its route."""
    seen = Carrying()
    seen.saw({"gw-a": report(a=5), "gw-b": report(a=0)}, 10.0)
    seen.accepted([accepted("gw-b")], {ROUTE: "a"}, 20.0)
    assert seen.judge(20.1, LEADS) == [] and seen.judge(20.1 + PATIENCE, LEADS) == []


def test_busy_zone_that_is_not_seen_is_trouble() -> None:
    seen = Carrying()
    for step in range(100):
        seen.saw({"gw-a": report(a=step), "gw-b": report(a=0)}, 10.0 + step / 100)
    seen.accepted([accepted("gw-b")], {ROUTE: "a"}, 11.0)
    assert seen.judge(11.1, LEADS) == []
    (note,) = seen.judge(11.1 + PATIENCE, LEADS)
    assert note.code == "not-carrying" and note.evidence["carrying"] is False


@pytest.mark.parametrize(
    "elsewhere", [Group("gw-a", "a", "plant"), Group("gw-b", "a", "plant", "blackhole"), Group("tgw", "a", "plant")]
)
def test_a_zone_that_was_moved_in_part_says_nothing(elsewhere: Group) -> None:
    """Only the routes to one site have left; the packets may be those to the other one."""
    seen = Carrying()
    for step in range(100):
        seen.saw({"gw-a": report(a=step), "gw-b": report(a=0)}, 10.0 + step / 100)
    seen.accepted([accepted("gw-b")], {ROUTE: "a"}, 11.0)
    assert seen.judge(11.1 + PATIENCE, [*LEADS, elsewhere]) == []


def test_swaps_that_follow_one_another_are_judged_after_the_last_one() -> None:
    """A hundred tables take EC2 longer than that, and only the last one may have traffic."""
    seen = Carrying()
    for step in range(100):
        seen.saw({"gw-a": report(a=step), "gw-b": report(a=0)}, 10.0 + step / 100)
    keys = [RouteKey(f"rtb-{number}", "192.168.10.0/24") for number in range(10)]
    now = 11.0
    for key in keys:
        seen.accepted([accepted("gw-b", key=key)], dict.fromkeys(keys, "a"), now)
        now += 1.0
        assert seen.judge(now, [*LEADS, Group("gw-a", "a", "hq")]) == []
    seen.saw({"gw-b": report(a=1)}, now)
    assert {note.code for note in seen.judge(now, LEADS)} == {"carrying"}


def test_restarted_agent_counts_anew() -> None:
    """A counter that fell is a new one, and no sign of packets."""
    seen = Carrying()
    seen.saw({"gw-b": report(a=500)}, 10.0)
    seen.accepted([accepted("gw-b")], {ROUTE: "a"}, 10.2)
    seen.saw({"gw-b": report(a=0)}, 10.3)
    assert seen.judge(10.3, LEADS) == []
