# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever arrives at the monitor's sockets: it is counted and ignored, and what was known of gateways stays."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_agents import KEY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitor_world import deployment

from ansible_collections.vpnha.aws.plugins.module_utils import icmp
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import HeartbeatAnswerer, KeyRing, encode_request
from ansible_collections.vpnha.aws.plugins.module_utils.icmp import EchoReply
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from vpnha_monitor.config import MonitorConfig
from vpnha_monitor.observe import Observer

REPORT = AgentReport("boot", "agent", "alive", {}, {"hq": "tunnel"}, {"gw-b": 0.02})
NOW = 1000.0
# the fixture's sockets are shared: each example begins with a request of its own, and leaves nothing in them
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Meeting:
    """A monitor's observer, and sockets that send to it: a gateway's agent, and somebody else."""

    def __init__(self) -> None:
        plan = deployment()
        here, there = (replace(g, address=f"127.0.0.{n}") for n, g in enumerate(plan.gateways, 1))
        self.agent, self.stranger = (_bound("127.0.0.1"), _bound("127.0.0.3"))
        port = self.agent.getsockname()[1]
        self.observer = Observer(
            MonitorConfig(
                "mon-a", replace(plan, gateways=(here, there)), (KEY, "n" * 40), Path("/nowhere"), "127.0.0.1", 1,
                agent_port=port,
            )
        )  # fmt: skip
        self.watch = self.observer.watches["gw-a"]
        self.other = self.observer.watches["gw-b"]
        self.answerer = HeartbeatAnswerer(KeyRing([KEY]), "gw-a")
        self.answerer.publish(REPORT, NOW)
        self.now = NOW
        self.answers: list[bytes] = []  # that were accepted
        self.exchange()

    def exchange(self) -> bytes:
        """A request and its answer, as always; returns the answer."""
        self.now += 0.05
        request = self.watch.asker.next_request(self.now)
        answer = self.answerer.on_packet(request, self.now)
        assert answer is not None
        self.answers.append(answer)
        assert self.deliver(self.agent, [answer]) == 0, "a genuine answer is taken"
        assert self.watch.evidence(self.now).report == REPORT
        return answer

    def deliver(self, sender: socket.socket, packets: list[bytes]) -> int:
        """Send packets to the monitor and let it look; returns how many it counted as ignored."""
        before = self.observer.refused.total()
        for packet in packets:
            sender.sendto(packet, ("127.0.0.1", self.observer._udp.getsockname()[1]))
        self.observer.receive(self.now)
        return self.observer.refused.total() - before

    def close(self) -> None:
        self.observer.close()
        self.agent.close()
        self.stranger.close()


def _bound(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    return sock


@pytest.fixture(scope="module")
def meeting() -> Iterator[Meeting]:
    made = Meeting()
    yield made
    made.close()


@st.composite
def bad(draw: st.DrawFn) -> tuple[str, int, bytes]:
    """How a packet is made of a genuine one, where it is changed, and random bytes for that."""
    kinds = ("random", "flipped", "truncated", "extended", "replayed", "request", "foreign", "another key", "headed")
    return draw(st.sampled_from(kinds)), draw(st.integers(0, 2**16)), draw(st.binary(max_size=600))


def _made(meeting: Meeting, kind: str, place: int, noise: bytes) -> bytes:
    genuine = meeting.answers[place % len(meeting.answers)]
    position = place % len(genuine)
    if kind == "flipped":
        return genuine[:position] + bytes([genuine[position] ^ (1 << place % 8)]) + genuine[position + 1 :]
    if kind == "request":
        return encode_request(KeyRing([KEY]), "gw-a", "gw-a", meeting.watch.asker._session, place)
    if kind in ("foreign", "another key"):
        key, name = (KEY, "gw-b") if kind == "foreign" else ("x" * 40, "gw-a")
        other = HeartbeatAnswerer(KeyRing([key]), name)
        other.publish(replace(REPORT, charon="dead"), meeting.now)
        request = encode_request(KeyRing([key]), "mon-a", name, meeting.watch.asker._session, place)
        return other.on_packet(request, meeting.now) or b""
    return {
        "random": noise,
        "headed": b"VH\x01\x02" + noise,
        "truncated": genuine[:position],
        "extended": genuine + (noise or b"\0"),
        "replayed": genuine,
    }[kind]


@FUZZ
@given(given_=st.lists(bad(), min_size=1, max_size=8), stranger=st.booleans())
def test_what_is_not_genuine_is_counted_and_changes_nothing(
    meeting: Meeting, given_: list[tuple[str, int, bytes]], stranger: bool
) -> None:
    meeting.exchange()
    packets = [_made(meeting, *one) for one in given_]
    before = {name: watch.evidence(meeting.now) for name, watch in meeting.observer.watches.items()}
    assert meeting.deliver(meeting.stranger if stranger else meeting.agent, packets) == len(packets)
    assert meeting.observer.evidence(meeting.now) == before
    meeting.exchange()  # and the next genuine answer is taken


@FUZZ
@given(data=st.binary(max_size=200), start=st.sampled_from((b"", b"\x45" + bytes(19), b"\x45" + bytes(27))))
def test_no_icmp_packet_makes_it_fall_over(data: bytes, start: bytes) -> None:
    reply = icmp.parse_reply(start + data)
    assert reply is None or (reply.sender.count(".") == 3 and len(reply.token) == icmp.TOKEN_BYTES)


@FUZZ
@given(token=st.binary(min_size=8, max_size=8), seq=st.integers(0, 2**64 - 1), mine=st.booleans())
def test_an_echo_that_was_not_asked_for_changes_nothing(meeting: Meeting, token: bytes, seq: int, mine: bool) -> None:
    """Who forges a ping's answer must know its random token, and then answers an open probe once."""
    echo = meeting.watch.echo
    before = echo.stats(meeting.now)
    sender = "127.0.0.1" if mine else "127.0.0.3"
    assert not echo.on_reply(EchoReply(sender, token, seq), meeting.now)
    assert not echo.on_reply(EchoReply(sender, echo.token, seq), meeting.now), "no probe is open"
    assert echo.stats(meeting.now) == before


def test_the_fuzz_would_notice_a_packet_that_is_taken(meeting: Meeting) -> None:
    """An answer that is still open is genuine, whoever made it: it is taken, and not counted."""
    meeting.now += 0.05
    request = meeting.watch.asker.next_request(meeting.now)
    fresh = meeting.answerer.on_packet(request, meeting.now)
    assert fresh is not None
    before = meeting.observer.evidence(meeting.now)
    assert meeting.deliver(meeting.stranger, [fresh]) == 1, "from another address it does not count"
    assert meeting.deliver(meeting.agent, [fresh]) == 0
    assert meeting.observer.evidence(meeting.now) != before
