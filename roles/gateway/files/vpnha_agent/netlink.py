# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the kernel which way a packet would go (rtnetlink), and hearing when that may have changed."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NETLINK_ROUTE = 0
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
ERROR = 2  # NLMSG_ERROR
REQUEST = 1  # NLM_F_REQUEST
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RTN_UNICAST, _RTN_LOCAL = 1, 2
# linux/rtnetlink.h: links; addresses, routes and rules of IPv4, and of IPv6
_GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}  # by an address's length

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")


@dataclass(frozen=True)
class Hop:
    """Where the kernel would send a packet: both empty where it would not (no route, blackhole, itself)."""

    device: str = ""
    gateway: str = ""  # empty: the destination is on the link


def attribute(name: int, value: bytes) -> bytes:
    """One attribute, as long as the next one wants it."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), name) + value + bytes(-len(value) % 4)


def attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(name, value) of each attribute, without the flags of its name. Raises ValueError where one is broken."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(message):
        size, name = _ATTRIBUTE.unpack_from(message, offset)
        if size < _ATTRIBUTE.size or offset + size > len(message):
            raise ValueError("broken netlink attribute")
        yield name & 0x3FFF, message[offset + _ATTRIBUTE.size : offset + size]
        offset += (size + 3) & ~3


def encode_lookup(destination: str, sequence: int) -> bytes:
    """An RTM_GETROUTE request for an address."""
    address = ipaddress.ip_address(destination).packed
    body = _ROUTE.pack(_FAMILIES[len(address)], len(address) * 8, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, address)
    return HEADER.pack(HEADER.size + len(body), _RTM_GETROUTE, REQUEST, sequence, 0) + body


def decode_lookup(message: bytes, sequence: int) -> tuple[int, str] | None:
    """(device's index, gateway) in the answer to a lookup, (0, "") for no way; None: it answers another one.

    Raises ValueError when it is no message of rtnetlink's.
    """
    if len(message) < HEADER.size:
        raise ValueError("truncated netlink message")
    length, kind, _flags, number, _pid = HEADER.unpack_from(message)
    if number != sequence:
        return None
    if kind == ERROR:
        return 0, ""
    if kind != _RTM_NEWROUTE or length > len(message) or length < HEADER.size + _ROUTE.size:
        raise ValueError("not an answer to a route lookup")
    route_type = _ROUTE.unpack_from(message, HEADER.size)[7]
    if route_type != _RTN_UNICAST:
        return 0, ""
    index, gateway = 0, ""
    for name, value in attributes(message[HEADER.size + _ROUTE.size : length]):
        if name == _RTA_OIF and len(value) == 4:
            (index,) = struct.unpack("=I", value)
        elif name == _RTA_GATEWAY and len(value) in _FAMILIES:
            gateway = socket.inet_ntop(_FAMILIES[len(value)], value)
    return index, gateway


class Asking:
    """A socket for questions that the kernel answers at once, opened when one is needed."""

    protocol = _NETLINK_ROUTE

    def __init__(self) -> None:
        self._sock: socket.socket | None = None
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; a question opens it anew."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _open(self) -> socket.socket:
        if self._sock is None:
            self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self.protocol)
            self._sock.settimeout(0.2)
            self._sock.connect((0, 0))
        return self._sock


class RouteTable(Asking):
    """The kernel's routing as this host's own packets would see it."""

    def lookup(self, destination: str) -> Hop:
        """The next hop for an address. OSError when the kernel cannot be asked; it answers at once."""
        try:
            sock = self._open()
            self._sequence = (self._sequence + 1) & 0xFFFFFFFF
            sock.send(encode_lookup(destination, self._sequence))
            while True:
                answer = decode_lookup(sock.recv(65536), self._sequence)
                if answer is not None:
                    break
        except (OSError, ValueError) as exc:
            self.close()
            raise OSError(f"the kernel's routes cannot be read: {exc}") from exc
        index, gateway = answer
        if not index:
            return Hop()
        try:
            return Hop(socket.if_indextoname(index), gateway)
        except OSError:
            return Hop()  # the device has gone in the meantime


class RouteChanges:
    """Becomes readable when links, addresses, routes or rules change."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
        self._sock.setblocking(False)
        self._sock.bind((0, _GROUPS))

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._sock.fileno()

    def drain(self) -> None:
        """Forget what is waiting; what changed is asked of the kernel, not read from messages that may be lost."""
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    self._sock.recv(65536)
                except BlockingIOError:
                    raise
                except OSError:
                    continue  # some were lost (ENOBUFS): all the same

    def close(self) -> None:
        """Stop listening."""
        self._sock.close()
