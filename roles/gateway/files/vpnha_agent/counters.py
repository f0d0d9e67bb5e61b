# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets forwarded from each zone's application subnets, as the gateway's nftables counters have them.

The kernel is asked by netlink (linux/netfilter/nf_tables.h): nft, started twice a second, took more of a small
gateway's processor than the rest of the agent.
"""

from __future__ import annotations

import os
import struct

from .netlink import ERROR, HEADER, REQUEST, Asking, attribute, attributes

TABLE = "vpnha"  # of the family inet
PREFIX = "zone-"
TRIES = 3  # where the filter is replaced just then
_NETLINK_NETFILTER = 12
_NFTABLES = 10 << 8
_NEW_OBJECT, _GET_OBJECT = _NFTABLES | 18, _NFTABLES | 19
_DONE = 3
_DUMP, _INTERRUPTED = 0x300, 0x10
_INET, _COUNTER = 1, 1
_OBJECT_TABLE, _OBJECT_NAME, _OBJECT_TYPE, _OBJECT_DATA = 1, 2, 3, 4
_PACKETS = 2
_FAMILY = struct.Struct("=BBH")  # family, version, resource


class Interrupted(ValueError):
    """The filter was replaced while its counters were read."""


def encode(sequence: int) -> bytes:
    """The question for all counters of the table."""
    body = _FAMILY.pack(_INET, 0, 0) + attribute(_OBJECT_TABLE, TABLE.encode() + b"\0")
    body += attribute(_OBJECT_TYPE, struct.pack(">I", _COUNTER))
    return HEADER.pack(HEADER.size + len(body), _GET_OBJECT, REQUEST | _DUMP, sequence, 0) + body


def decode(packet: bytes, sequence: int, found: dict[str, int]) -> bool:
    """Put each counter's packets to ``found`` by its name; whether that was the last packet of the answer.

    Raises ValueError when it is no answer, or one that says no.
    """
    while packet:
        if len(packet) < HEADER.size:
            raise ValueError("truncated netlink message")
        length, kind, flags, number, _port = HEADER.unpack_from(packet)
        if not HEADER.size <= length <= len(packet):
            raise ValueError("broken netlink message")
        body, packet = packet[HEADER.size : length], packet[(length + 3) & ~3 :]
        if number != sequence:
            continue  # of a question that was given up
        if flags & _INTERRUPTED:
            raise Interrupted("the filter was being replaced")
        if kind in (_DONE, ERROR):
            code = struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
            if kind == ERROR or code < 0:
                raise ValueError(os.strerror(-code & 0xFFFF))
            return True
        if kind == _NEW_OBJECT:
            name, packets = _counter(body)
            found[name] = packets
    return False


def _counter(body: bytes) -> tuple[str, int]:
    of = dict(attributes(body[_FAMILY.size :]))
    data = dict(attributes(of.get(_OBJECT_DATA, b"")))
    if _OBJECT_NAME not in of or len(data.get(_PACKETS, b"")) != 8:
        raise ValueError("a counter without a name or packets")
    (packets,) = struct.unpack(">Q", data[_PACKETS])
    return of[_OBJECT_NAME].rstrip(b"\0").decode("utf-8", "replace"), packets


class FilterMissing(ValueError):
    """The filter's table is not there, or has no counters."""


class ZoneCounters(Asking):
    """The filter's counters of this network namespace. Needs CAP_NET_ADMIN."""

    protocol = _NETLINK_NETFILTER

    def read(self) -> dict[str, int]:
        """Packets so far by zone. ValueError when the kernel cannot say, FilterMissing if the filter is not there."""
        for _try in range(TRIES - 1):
            try:
                return self._read()
            except Interrupted:
                continue
        return self._read()

    def _read(self) -> dict[str, int]:
        found: dict[str, int] = {}
        try:
            sock = self._open()
            self._sequence = (self._sequence + 1) & 0xFFFFFFFF
            sock.send(encode(self._sequence))
            while not decode(sock.recv(65536), self._sequence, found):
                pass
        except (OSError, ValueError) as exc:
            self.close()  # what is left of the answer goes with it
            if isinstance(exc, OSError):
                raise ValueError(exc.strerror or str(exc)) from exc
            raise
        if not found:
            raise FilterMissing(f"there is no counter in nftables' table inet {TABLE}")
        return {name.removeprefix(PREFIX): count for name, count in found.items() if name.startswith(PREFIX)}
