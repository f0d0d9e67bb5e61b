# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers the drill's UDP sequence packets at the far end, so that each direction's loss is told apart.

Self-contained (Python 3.9 and later, standard library only), needs no rights beyond its port::

    python3 responder.py --listen 0.0.0.0 --port 7785

A request is 28 bytes in network byte order: ``VPNH``, the prober's 8-byte token, u64 sequence number, u64 time of
sending. The reply is the request, followed by a u64: how many packets with this token have arrived, this one
included. Anything else is not answered. The reply goes to where the request came from, so run it where only
the VPC's addresses can reach it.
"""

from __future__ import annotations

import argparse
import collections
import socket
import struct

MAGIC = b"VPNH"
REQUEST = struct.Struct("!4s8sQQ")
COUNTER = struct.Struct("!Q")
TOKENS = 1024  # counters kept; the one unused for longest is forgotten first


class Counters:
    """How many packets have arrived, per token, for the tokens used last."""

    def __init__(self, limit: int = TOKENS) -> None:
        self._limit = limit
        self._counts: collections.OrderedDict[bytes, int] = collections.OrderedDict()

    def reply(self, packet: bytes) -> bytes | None:
        """The reply to one packet; None when it is not one of ours."""
        if len(packet) != REQUEST.size or not packet.startswith(MAGIC):
            return None
        token = packet[4:12]
        count = self._counts.pop(token, 0) + 1
        self._counts[token] = count
        if len(self._counts) > self._limit:
            self._counts.popitem(last=False)
        return packet + COUNTER.pack(count)


def serve(listen: str, port: int) -> None:
    """Answer for ever. OSError when the address cannot be bound."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    counters = Counters()
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((listen, port))
        while True:
            try:
                packet, sender = sock.recvfrom(64)
                answer = counters.reply(packet)
                if answer is not None:
                    sock.sendto(answer, sender)
            except OSError:
                continue  # no way back to that sender just now: the next packet may have one


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Answers the UDP sequence packets of the vpnha.aws drill.")
    parser.add_argument("--listen", default="0.0.0.0", help="address to bind (default: all IPv4 addresses)")
    parser.add_argument("--port", type=int, default=7785)
    arguments = parser.parse_args()
    try:
        serve(arguments.listen, arguments.port)
    except OSError as error:
        parser.exit(1, f"Cannot listen on {arguments.listen} port {arguments.port}: {error.strerror}.\n")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
