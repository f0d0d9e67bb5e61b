# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever arrives at the agent's two sockets: it is counted and ignored, and what is genuine counts as before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agent_world import KEY, config
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import (
    HeartbeatAnswerer,
    HeartbeatAsker,
    KeyRing,
    encode_request,
)
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from vpnha_agent.agent import Agent
from vpnha_agent.config import AgentConfig
from vpnha_agent.heartbeats import AnswerProtocol, AskProtocol

__all__ = ["config"]  # the fixture

REPORT = AgentReport("boot", "agent", "alive", {}, {}, {})
FUZZ = settings(max_examples=300, deadline=None)
PEER = ("10.20.1.10", 7784)
STRANGER = ("10.99.0.1", 7784)
MONITOR = ("10.20.0.20", 40000)


class Wire:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, _address: object) -> None:
        self.sent.append(data)


def asker(gateway: str = "gw-a") -> HeartbeatAsker:
    return HeartbeatAsker(KeyRing([KEY]), "mon-a", gateway, lambda: LossWindow(0.5, 10.0))


def on_loop(act: Callable[[], None]) -> None:
    """The protocols ask the running loop for the time."""

    async def run() -> None:
        act()

    asyncio.run(run())


MANGLED = st.tuples(
    st.sampled_from(("random", "headed", "flipped", "truncated", "extended", "replayed", "another key", "for another")),
    st.integers(0, 2**16),
    st.binary(max_size=300),
)


def mangle(genuine: bytes, how: str, place: int, noise: bytes) -> bytes:
    """A packet that must not count, made of one that did."""
    position = place % len(genuine)
    if how == "flipped":
        return genuine[:position] + bytes([genuine[position] ^ (1 << place % 8)]) + genuine[position + 1 :]
    if how in ("another key", "for another"):
        key, receiver = ("x" * 32, "gw-a") if how == "another key" else (KEY, "gw-c")
        return encode_request(KeyRing([key]), "mon-a", receiver, b"s" * 16, place)
    return {
        "random": noise,
        "headed": b"VH\x01\x01" + noise,
        "truncated": genuine[:position],
        "extended": genuine + (noise or b"\0"),
        "replayed": genuine,
    }[how]


@FUZZ
@given(given_=st.lists(MANGLED, min_size=1, max_size=6))
def test_requests_that_are_not_genuine_get_no_answer_and_change_nothing(given_: list[tuple[str, int, bytes]]) -> None:
    answerer, wire, asking = HeartbeatAnswerer(KeyRing([KEY]), "gw-a"), Wire(), asker()
    answerer.publish(REPORT, 0.0)
    protocol: Any = AnswerProtocol(answerer)
    protocol.connection_made(wire)

    def play() -> None:
        genuine = asking.next_request(0.0)
        protocol.datagram_received(genuine, MONITOR)
        seen = dict(answerer._seen)
        for one in given_:
            protocol.datagram_received(mangle(genuine, *one), STRANGER)
        assert len(wire.sent) == 1 and answerer.refused.total() == len(given_)
        assert answerer._seen == seen
        protocol.datagram_received(asking.next_request(0.1), MONITOR)
        assert len(wire.sent) == 2, "what is genuine is answered as before"

    on_loop(play)


@FUZZ
@given(given_=st.lists(st.tuples(MANGLED, st.sampled_from((PEER, STRANGER))), min_size=1, max_size=6))
def test_answers_that_are_not_genuine_say_nothing_of_the_other_agents(
    given_: list[tuple[tuple[str, int, bytes], tuple[str, int]]],
) -> None:
    asking, wire, other = asker("gw-b"), Wire(), HeartbeatAnswerer(KeyRing([KEY]), "gw-b")
    other.publish(REPORT, 0.0)
    protocol: Any = AskProtocol({PEER[0]: asking}, PEER[1])
    protocol.connection_made(wire)

    def play() -> None:
        protocol.ask(0.0)
        genuine = other.on_packet(wire.sent[-1], 0.0)
        assert genuine is not None
        protocol.datagram_received(genuine, PEER)
        before = asking.report, asking.rtt, asking.answer_age(1.0), asking.stats(1.0)
        for one, sender in given_:
            protocol.datagram_received(mangle(genuine, *one), sender)
        assert (asking.report, asking.rtt, asking.answer_age(1.0), asking.stats(1.0)) == before
        assert asking.refused.total() + protocol.unknown == len(given_)

    on_loop(play)


def test_all_that_is_ignored_is_told(config: AgentConfig) -> None:
    """Requests, answers and packets of strangers; an answer that came late is nobody's fault."""
    agent = Agent(config)
    agent._answerer.refused["forged"] += 1
    other = agent._askers["127.0.0.1"]
    other.refused.update({"forged": 2, "stale": 7})
    agent._ask = AskProtocol(agent._askers, 7784)
    on_loop(lambda: agent._ask.datagram_received(b"", STRANGER) if agent._ask else None)
    assert agent._ignored() == {"forged": 3, "unknown": 1}
