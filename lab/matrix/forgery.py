# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Heartbeats overheard on the wire, and sent again by somebody who has no key."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import PORT
from lab import registry, setns
from lab.names import Names

_ETH_IP = 0x0800
_UDP = 17


def overheard(names: Names, host: str, seconds: float) -> list[bytes]:
    """The IP packets with agents' answers that reach a host within some seconds, without their UDP checksums.

    On a virtual cable those are often not filled in: what is sent again would not get past the kernel.
    """
    _id, entry = registry.find(names, host)

    def listen() -> list[bytes]:
        found = []
        end = time.monotonic() + seconds
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_IP)) as sock:
            sock.settimeout(0.2)
            while time.monotonic() < end:
                try:
                    packet, (_device, _protocol, kind, *_rest) = sock.recvfrom(65535)
                except TimeoutError:
                    continue
                if kind == socket.PACKET_HOST and is_answer(packet):
                    found.append(_without_checksum(packet))
        return found

    return setns.inside(entry["netns"], listen)


def is_answer(packet: bytes) -> bool:
    """Whether an IP packet comes from an agent's port."""
    header = 4 * (packet[0] & 0x0F)
    return packet[9] == _UDP and int.from_bytes(packet[header : header + 2], "big") == PORT


def spoiled(packet: bytes) -> bytes:
    """The same with the last byte of its tag changed."""
    return packet[:-1] + bytes([packet[-1] ^ 0xFF])


def _without_checksum(packet: bytes) -> bytes:
    header = 4 * (packet[0] & 0x0F)
    return packet[: header + 6] + b"\0\0" + packet[header + 8 :]


def replay(names: Names, host: str, packets: Sequence[bytes], interval: float = 0.01) -> None:
    """Send IP packets from a host as they are, whoever wrote them."""
    _id, entry = registry.find(names, host)

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            for packet in packets:
                sock.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
                time.sleep(interval)

    setns.inside(entry["netns"], send)
