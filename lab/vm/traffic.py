# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes between the application host and the site, and what the gateway's agent says, seen from outside."""

from __future__ import annotations

import http.client
import os
import select
import socket
import threading
import time
from collections.abc import Callable

from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import PORT, HeartbeatAsker, KeyRing
from ansible_collections.vpnha.aws.plugins.module_utils.icmp import IcmpSocket, echo_request
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from lab import setns
from lab.errors import LabError

INTERVAL = 0.1  # seconds between two echo requests
_LATE = 5.0  # how long the last answers may take


class Echoes:
    """Echo requests from a namespace as long as the block runs; then ``sent`` and ``lost`` are known."""

    def __init__(self, netns: str, target: str) -> None:
        self.sent = 0
        self.lost = 0
        self._netns, self._target = netns, target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"echo-{target}")

    def __enter__(self) -> Echoes:
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        setns.enter(self._netns)
        sock, token = IcmpSocket(), os.urandom(8)
        open_: set[int] = set()
        began = time.monotonic()

        def collect(until: float) -> None:
            while (left := until - time.monotonic()) > 0:
                if select.select([sock.open()], [], [], left)[0]:
                    for reply in sock.receive():
                        if reply.token == token:
                            open_.discard(reply.seq)

        while not self._stop.is_set():
            self.sent += 1
            open_.add(self.sent)
            sock.send(self._target, echo_request(token, self.sent))
            collect(began + self.sent * INTERVAL)
        end = time.monotonic() + _LATE
        while open_ and time.monotonic() < end:
            collect(time.monotonic() + 0.1)
        self.lost = len(open_)
        sock.close()


def fetch(netns: str, address: str, path: str) -> int:
    """How many bytes a server hands out over TCP to a client in a namespace. LabError when it does not."""

    def get() -> int:
        connection = http.client.HTTPConnection(address, 8080, timeout=60)
        try:
            connection.request("GET", path)
            return len(connection.getresponse().read())
        finally:
            connection.close()

    try:
        return setns.inside(netns, get)
    except OSError as error:
        raise LabError(f"http://{address}:8080{path} cannot be fetched: {error}") from error


def agent_report(netns: str, address: str, gateway: str, key: str, timeout: float = 30.0) -> AgentReport:
    """What the gateway's agent answers a heartbeat with, asked as a monitor asks. LabError when it does not answer."""
    asker = HeartbeatAsker(KeyRing([key]), "smoke", gateway, lambda: LossWindow(1.0, 10.0))

    def ask() -> AgentReport | None:
        end = time.monotonic() + timeout
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1.0)
            while time.monotonic() < end:
                try:
                    sock.sendto(asker.next_request(time.monotonic()), (address, PORT))
                    report = asker.on_packet(sock.recv(65535), time.monotonic())
                except OSError:
                    continue
                if report is not None:
                    return report
        return None

    report = setns.inside(netns, ask)
    if report is None:
        raise LabError(f"The agent of {gateway} does not answer on {address}:{PORT}.")
    return report


def until(true: Callable[[], bool], timeout: float) -> float | None:
    """Seconds until something comes true, looked at once a second; None when it does not in time."""
    began = time.monotonic()
    while time.monotonic() - began < timeout:
        if true():
            return time.monotonic() - began
        time.sleep(1)
    return None
