# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways' agents that speak the real protocol, in a network namespace of the test's own."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import HeartbeatAnswerer, KeyRing
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    AgentReport,
    Deployment,
    Gateway,
    LossStats,
    TunnelReport,
)

KEY = "k" * 40
CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_WELL = LossStats(sent=10, lost=0, window_full=True, last_answer_age=0.02, slow_full=True)


@contextmanager
def own_network() -> Iterator[None]:
    """Move this thread into a fresh network namespace; threads and processes begun meanwhile live in it as well."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        ip("link", "set", "lo", "up")
        yield
    finally:
        _LIBC.setns(before, CLONE_NEWNET)
        os.close(before)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Agent:
    """A gateway's agent and network stack: its address answers ICMP while it is alive."""

    def __init__(self, gateway: Gateway, of: Deployment) -> None:
        self.gateway = gateway
        self.deployment = of
        self.counters = dict.fromkeys((zone.name for zone in of.zones), 1000)
        self.carries: dict[str, str] = {}  # zone -> gateway, shared with the world
        self.asker: Any = None  # the monitor's address
        self._socket: socket.socket | None = None
        self._stopped = threading.Event()
        self.start()

    def start(self) -> None:
        ip("address", "add", f"{self.gateway.address}/32", "dev", "lo")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.gateway.address, 7784))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(self._socket, self._stopped), daemon=True)
        self._thread.start()

    def die(self) -> tuple[float, float]:
        """The power is cut; returns the monotonic times that this was between."""
        before = time.monotonic()
        ip("address", "del", f"{self.gateway.address}/32", "dev", "lo")
        self._stopped.set()
        after = time.monotonic()
        self._thread.join()
        return before, after

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def forge(self, packets: list[bytes]) -> None:
        """Somebody sends the monitor packets from the gateway's address."""
        assert self._socket is not None
        for packet in packets:
            self._socket.sendto(packet, self.asker)

    def _report(self) -> AgentReport:
        others = [gateway.name for gateway in self.deployment.gateways if gateway != self.gateway]
        return AgentReport(
            boot_id="boot",
            agent_id="agent",
            charon="alive",
            tunnels={
                tunnel.name: TunnelReport(
                    tunnel.name, "established", "installed", _WELL, _WELL, bgp="static", rtt_ms=12.5
                )
                for tunnel in self.deployment.tunnels
                if tunnel.gateway == self.gateway.name
            },
            paths={site.name: "tunnel" for site in self.deployment.sites},
            peers=dict.fromkeys(others),  # the gateways do not hear each other in this world
            counters=self._count(),
        )

    def _count(self) -> dict[str, int]:
        """Each zone sends a packet all the time, through the gateway that its route leads to."""
        for zone, gateway in self.carries.items():
            if gateway == self.gateway.name:
                self.counters[zone] += 1
        return dict(self.counters)

    def _serve(self, sock: socket.socket, stopped: threading.Event) -> None:
        answerer = HeartbeatAnswerer(KeyRing([KEY]), self.gateway.name)
        published = 0.0
        with sock:
            while not stopped.is_set():
                if not select.select([sock], [], [], 0.02)[0]:
                    continue
                packet, address = sock.recvfrom(65535)
                now = time.monotonic()
                if now - published > 0.05:
                    answerer.publish(self._report(), now)
                    published = now
                answer = answerer.on_packet(packet, now)
                if answer is not None and not stopped.is_set():
                    with suppress(OSError):  # its address may just have gone
                        sock.sendto(answer, address)
                    self.asker = address
