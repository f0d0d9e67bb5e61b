# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Echo probes: the packets, the bookkeeping, and what other people's packets do to it (nothing)."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vpnha.aws.plugins.module_utils import icmp
from ansible_collections.vpnha.aws.plugins.module_utils.icmp import EchoReply, IcmpSocket
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_probe import (
    LARGE_BYTES,
    LARGE_EVERY,
    EchoStream,
    Path,
    Prober,
    burst,
)

TARGET = "169.254.10.2"
TOKEN = b"12345678"


def stream(large_every: int = LARGE_EVERY) -> EchoStream:
    return EchoStream(TARGET, lambda: LossWindow(0.5, 10.0), large_every, lambda: TOKEN)


def ip(payload: bytes, sender: str = TARGET, options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, len(payload) + words * 4, 0, 0, 64, 1, 0)
    return head + socket.inet_aton(sender) + socket.inet_aton("169.254.10.1") + options + payload


def reply_to(request: bytes) -> bytes:
    return b"\0\0" + request[2:]


def raw_sockets_allowed() -> bool:
    try:
        IcmpSocket().open().close()
    except OSError:
        return False
    return True


needs_raw = pytest.mark.skipif(not raw_sockets_allowed(), reason="needs CAP_NET_RAW")


def test_checksum_of_the_rfcs_example() -> None:
    assert icmp.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


def test_a_request_sums_to_zero_and_has_its_size() -> None:
    for size in (0, 1299, LARGE_BYTES):
        assert icmp.checksum(icmp.echo_request(TOKEN, 7, size)) == 0
    assert len(icmp.echo_request(TOKEN, 7, LARGE_BYTES)) + 20 == LARGE_BYTES


def test_a_reply_is_read_with_and_without_ip_options() -> None:
    answer = reply_to(icmp.echo_request(TOKEN, 1 << 40))
    assert icmp.parse_reply(ip(answer)) == EchoReply(TARGET, TOKEN, 1 << 40)
    assert icmp.parse_reply(ip(answer, options=bytes(8))) == EchoReply(TARGET, TOKEN, 1 << 40)


def test_a_request_of_ours_seen_on_loopback_is_no_reply() -> None:
    assert icmp.parse_reply(ip(icmp.echo_request(TOKEN, 1))) is None


@given(st.binary(max_size=80), st.booleans())
def test_random_packets_are_no_crash(noise: bytes, headed: bool) -> None:
    probes = stream()
    probes.next_packet(0.0)
    reply = icmp.parse_reply(ip(b"\0\0" + noise) if headed else noise)
    assert reply is None or not probes.on_reply(EchoReply(reply.sender, b"other", reply.seq), 0.1)
    assert probes.stats(1.0).last_answer_age is None


def test_answers_are_counted_once_and_give_the_round_trip() -> None:
    probes = stream()
    probes.next_packet(1.0)
    assert probes.on_reply(EchoReply(TARGET, TOKEN, 1), 1.01)
    assert not probes.on_reply(EchoReply(TARGET, TOKEN, 1), 1.02)
    assert probes.rtt == pytest.approx(0.01)
    assert probes.stats(1.3).lost == 0


@pytest.mark.parametrize(
    "reply",
    [EchoReply("169.254.10.6", TOKEN, 1), EchoReply(TARGET, b"87654321", 1), EchoReply(TARGET, TOKEN, 2)],
    ids=["another host", "another token", "never sent"],
)
def test_what_answers_no_probe_of_ours_is_ignored(reply: EchoReply) -> None:
    probes = stream()
    probes.next_packet(1.0)
    assert not probes.on_reply(reply, 1.01)
    assert probes.stats(1.3).last_answer_age is None and probes.rtt is None


def test_large_probes_are_counted_apart() -> None:
    """Small packets pass, large ones vanish: the sign of a lowered MTU."""
    probes = stream(large_every=4)
    now = 0.0
    sizes = []
    for number in range(1, 201):
        now = number * 0.05
        packet = probes.next_packet(now)
        sizes.append(len(packet) + 20)
        if len(packet) + 20 < LARGE_BYTES:
            probes.on_reply(EchoReply(TARGET, TOKEN, number), now + 0.001)
    assert sizes.count(LARGE_BYTES) == 50
    assert probes.stats(now + 0.2).slow_loss == 0
    assert probes.large_loss(now + 0.2) == 1.0


def test_a_dead_path_is_no_mtu_fault() -> None:
    probes = stream()
    for number in range(100):
        probes.next_packet(number * 0.05)
    assert probes.stats(5.2).silent
    assert probes.large_loss(5.2) == 0.0


def test_a_reply_of_icmpv6_is_read_and_nothing_else() -> None:
    request = icmp.for_ipv6(icmp.echo_request(TOKEN, 1 << 40, LARGE_BYTES))
    assert request[0] == 128 and len(request) + 40 == LARGE_BYTES
    assert icmp.parse_reply_6(bytes([129]) + request[1:], "fd00::10") == EchoReply("fd00::10", TOKEN, 1 << 40)
    for other in (request, bytes([129, 1]) + request[2:], bytes([129]), b""):
        assert icmp.parse_reply_6(other, "fd00::10") is None


def test_a_small_request_of_icmpv6_keeps_what_it_carries() -> None:
    small = icmp.echo_request(TOKEN, 7)
    assert icmp.for_ipv6(small)[1:] == small[1:]


def test_after_a_restart_late_answers_count_for_nothing() -> None:
    tokens = iter([b"1" * 8, b"2" * 8])
    probes = EchoStream(TARGET, lambda: LossWindow(0.5, 10.0), 0, lambda: next(tokens))
    probes.next_packet(0.0)
    probes.restart()
    probes.next_packet(0.1)
    assert not probes.on_reply(EchoReply(TARGET, b"1" * 8, 1), 0.2)
    assert not probes.on_reply(EchoReply(TARGET, b"1" * 8, 2), 0.2)


def test_what_cannot_be_sent_is_lost_and_named() -> None:
    prober = Prober([stream()], device="no-such-device")
    prober.send(0.0)
    (probes,) = prober.streams
    assert probes.stats(0.3).lost == 1
    assert sum(probes.errors.values()) == 1
    prober.drain(0.3)
    prober.close()


@needs_raw
def test_loopback_answers_a_burst() -> None:
    paths = [Path("127.0.0.1"), Path("127.0.0.1", source="127.0.0.2"), Path("127.0.0.1", device="lo"), Path("::1")]
    results = burst(paths, 3, 0.01)
    assert [(result.sent, result.received, result.error) for result in results] == [(3, 3, "")] * 4
    assert all(0 < trip < 1000 for result in results for trip in result.rtt_ms)


@needs_raw
def test_a_burst_names_why_it_could_not_send() -> None:
    (gone,) = burst([Path("127.0.0.1", device="no-such-device")], 2, 0.01, 0.0)
    assert (gone.received, gone.loss, gone.error) == (0, 1.0, "ENODEV")


@needs_raw
def test_a_prober_hears_loopback() -> None:
    streams = [EchoStream(address, lambda: LossWindow(0.5, 10.0)) for address in ("127.0.0.1", "::1")]
    prober = Prober(streams)
    prober.send(0.0)
    assert prober.socket.fileno() >= 0 and prober.socket6.fileno() >= 0
    prober.drain(0.05)  # loopback has answered before sendto returns
    assert [one.stats(0.3).last_answer_age for one in streams] == [pytest.approx(0.25)] * 2
    prober.close()
    assert prober.socket.fileno() == prober.socket6.fileno() == -1


@needs_raw
def test_no_socket_of_ipv6_is_opened_without_need() -> None:
    prober = Prober([EchoStream("127.0.0.1", lambda: LossWindow(0.5, 10.0))])
    prober.send(0.0)
    assert prober.socket6.fileno() == -1
    prober.close()
