# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ICMP echo: its packets, and a raw socket that sends and receives them from a given address and device.

A socket is of one family. That of IPv6 gives packets without their IP header, and its checksums are the kernel's.

Needs CAP_NET_RAW, nothing else.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

HEADER_BYTES = 28  # IPv4 without options, and ICMP
TOKEN_BYTES = 8

_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_ECHO_REQUEST_6, _ECHO_REPLY_6 = 128, 129
_ICMP = struct.Struct("!BBHHH")
_PAYLOAD = struct.Struct(f"!{TOKEN_BYTES}sQ")
# linux/in.h and linux/icmp.h; the socket module lacks them
_IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE = 10, 3
_IP_FREEBIND = 15
_SOL_RAW, _ICMP_FILTER = 255, 1
_IPV6_MTU_DISCOVER, _IPV6_FREEBIND, _ICMPV6_FILTER = 23, 78, 1
# only replies; never fragmented, and sent at full size whatever the kernel has learned of the path
_OPTIONS: dict[bool, tuple[tuple[int, int, int | bytes], ...]] = {
    False: (
        (_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF)),
        (socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE),
    ),
    True: (
        (
            socket.IPPROTO_ICMPV6,
            _ICMPV6_FILTER,
            (((1 << 256) - 1) ^ (1 << _ECHO_REPLY_6)).to_bytes(32, "little"),  # a set bit blocks
        ),
        (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _IP_PMTUDISC_PROBE),
    ),
}
_FREEBIND = {False: (socket.IPPROTO_IP, _IP_FREEBIND), True: (socket.IPPROTO_IPV6, _IPV6_FREEBIND)}
# the socket's device or address has gone: a new one may find it again under another index
_STALE = (errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL)


@dataclass(frozen=True)
class EchoReply:
    """An echo reply to a packet of ``echo_request``."""

    sender: str
    token: bytes
    seq: int


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(token: bytes, seq: int, size: int = 0) -> bytes:
    """An ICMP echo request that carries a token of 8 bytes and a sequence number.

    ``size`` is that of the whole IPv4 packet in bytes; smaller than what is carried means as small as possible.
    """
    body = _PAYLOAD.pack(token, seq)
    body += bytes(max(size - HEADER_BYTES - len(body), 0))
    ident = int.from_bytes(token[:2], "big")
    draft = _ICMP.pack(_ECHO_REQUEST, 0, 0, ident, seq & 0xFFFF) + body
    return _ICMP.pack(_ECHO_REQUEST, 0, checksum(draft), ident, seq & 0xFFFF) + body


def for_ipv6(request: bytes) -> bytes:
    """A packet of ``echo_request`` as one of ICMPv6: as much shorter as its IP header is longer."""
    spare = len(request) - _ICMP.size - _PAYLOAD.size
    return bytes([_ECHO_REQUEST_6]) + request[1 : len(request) - min(spare, 20)]


def parse_reply_6(packet: bytes, sender: str) -> EchoReply | None:
    """The reply in a packet as a raw socket of ICMPv6 gives it; None when it is anything else."""
    if len(packet) < _ICMP.size + _PAYLOAD.size:
        return None
    kind, code, _checksum, _ident, _seq = _ICMP.unpack_from(packet)
    if (kind, code) != (_ECHO_REPLY_6, 0):
        return None
    token, seq = _PAYLOAD.unpack_from(packet, _ICMP.size)
    return EchoReply(sender, token, seq)


def parse_reply(packet: bytes) -> EchoReply | None:
    """The reply in an IPv4 packet as a raw socket gives it; None when it is anything else."""
    if len(packet) < HEADER_BYTES or packet[0] >> 4 != 4:
        return None
    start = (packet[0] & 0x0F) * 4
    if start < 20 or len(packet) < start + _ICMP.size + _PAYLOAD.size:
        return None
    kind, code, _checksum, _ident, _seq = _ICMP.unpack_from(packet, start)
    if (kind, code) != (_ECHO_REPLY, 0):
        return None
    token, seq = _PAYLOAD.unpack_from(packet, start + _ICMP.size)
    return EchoReply(socket.inet_ntoa(packet[12:16]), token, seq)


class IcmpSocket:
    """A raw ICMP socket, not blocking, bound to a source address and a device where they are given; or of ICMPv6.

    It is opened when first needed and again after its device went away; until then sending says why it could not.
    """

    def __init__(self, source: str = "", device: str = "", ipv6: bool = False) -> None:
        self.source = source
        self.device = device
        self.ipv6 = ipv6
        self.openings = 0  # tells one socket from the next, which may get the same descriptor
        self._sock: socket.socket | None = None

    def open(self) -> socket.socket:
        """The socket, opened if need be. OSError when that is refused (no right, no such device)."""
        if self._sock is None:
            if self.ipv6:
                sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            else:
                sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            try:
                sock.setblocking(False)
                for level, option, value in _OPTIONS[self.ipv6]:
                    sock.setsockopt(level, option, value)
                if self.device:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode())
                if self.source:
                    sock.setsockopt(*_FREEBIND[self.ipv6], 1)  # the address may come later
                    sock.bind((self.source, 0))
            except OSError:
                sock.close()
                raise
            self._sock = sock
            self.openings += 1
        return self._sock

    def close(self) -> None:
        """Close the socket; sending opens it anew."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def fileno(self) -> int:
        """The descriptor, -1 while closed."""
        return -1 if self._sock is None else self._sock.fileno()

    def send(self, destination: str, packet: bytes) -> str:
        """Send a packet of ``echo_request``. Empty when it left, else the error's name such as "ENETUNREACH".

        Never raises OSError.
        """
        try:
            self.open().sendto(for_ipv6(packet) if self.ipv6 else packet, (destination, 0))
        except OSError as exc:
            if exc.errno in _STALE:
                self.close()
            return errno.errorcode.get(exc.errno or 0, "EIO")
        return ""

    def receive(self, limit: int = 64) -> list[EchoReply]:
        """Up to ``limit`` replies that are waiting; others' and broken packets are left out."""
        replies: list[EchoReply] = []
        for _packet in range(limit):
            if self._sock is None:
                break
            try:
                packet, sender = self._sock.recvfrom(2048)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                break  # an error queued on the socket; reading has cleared it
            reply = parse_reply_6(packet, str(sender[0])) if self.ipv6 else parse_reply(packet)
            if reply is not None:
                replies.append(reply)
        return replies
