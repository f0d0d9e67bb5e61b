# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's two UDP sockets: one answers heartbeats, the other asks the other gateways' agents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import HeartbeatAnswerer, HeartbeatAsker


class AnswerProtocol(asyncio.DatagramProtocol):
    """Answers each heartbeat at once, with what is prepared."""

    def __init__(self, answerer: HeartbeatAnswerer) -> None:
        self._answerer = answerer
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._answerer.on_packet(data, asyncio.get_running_loop().time())
        if answer is not None:
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        """An asker that has gone; the others are answered all the same."""


class AskProtocol(asyncio.DatagramProtocol):
    """Asks other agents and takes their answers, told apart by the address they come from."""

    def __init__(self, askers: Mapping[str, HeartbeatAsker], port: int) -> None:
        self._askers, self._port = askers, port
        self._transport: Any = None
        self.unknown = 0  # packets of nobody that was asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, now: float) -> None:
        """One request to each."""
        for address, asker in self._askers.items():
            self._transport.sendto(asker.next_request(now), (address, self._port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asker = self._askers.get(addr[0])
        if asker is None:
            self.unknown += 1
        else:
            asker.on_packet(data, asyncio.get_running_loop().time())

    def error_received(self, exc: Exception) -> None:
        """An agent that does not listen now; the loss says so."""
