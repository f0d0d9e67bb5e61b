# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What passes between the application host and the site, and what the gateway's agent says, seen from outside."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import re
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.vpnha.aws.plugins.module_utils.dual_stack import is_ipv6
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import PORT, HeartbeatAsker, KeyRing
from ansible_collections.vpnha.aws.plugins.module_utils.icmp import IcmpSocket, echo_request
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from lab import setns
from lab.errors import LabError

INTERVAL = 0.1  # seconds between two echo requests
_LATE = 5.0  # how long the last answers may take


class Echoes:
    """Echo requests from a namespace to one target after the other, as long as the block runs.

    Then ``sent`` and ``lost`` are known; ``longest`` is how many were lost without a break.
    """

    def __init__(self, netns: str, targets: Sequence[str], interval: float = INTERVAL) -> None:
        self.sent = 0
        self.lost = 0
        self.longest = 0
        self._netns, self._targets, self._interval = netns, targets, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"echo-{netns}")

    def __enter__(self) -> Echoes:
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        setns.enter(self._netns)
        token = os.urandom(8)
        socks = {family: IcmpSocket(ipv6=family) for family in {is_ipv6(target) for target in self._targets}}
        open_: set[int] = set()
        began = time.monotonic()

        def collect(until: float) -> None:
            while (left := until - time.monotonic()) > 0:
                if select.select([sock.open() for sock in socks.values()], [], [], left)[0]:
                    for reply in (reply for sock in socks.values() for reply in sock.receive()):
                        if reply.token == token:
                            open_.discard(reply.seq)

        while not self._stop.is_set():
            self.sent += 1
            open_.add(self.sent)
            target = self._targets[self.sent % len(self._targets)]
            socks[is_ipv6(target)].send(target, echo_request(token, self.sent))
            collect(began + self.sent * self._interval)
        end = time.monotonic() + _LATE
        while open_ and time.monotonic() < end:
            collect(time.monotonic() + 0.1)
        self.lost = len(open_)
        self.longest = longest_run(open_)
        for sock in socks.values():
            sock.close()

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent} lost" + (f", {self.longest} in a row" if self.lost else "")


def longest_run(numbers: Iterable[int]) -> int:
    """How many of the numbers follow one another without a gap, at most."""
    longest = run = 0
    last: int | None = None
    for number in sorted(numbers):
        run = run + 1 if last is not None and number == last + 1 else 1
        longest, last = max(longest, run), number
    return longest


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
        raise LabError(f"{path} cannot be fetched from {address}, port 8080: {error}") from error


@contextlib.contextmanager
def served(netns: str, address: str, content: bytes) -> Iterator[None]:
    """A web server in a namespace, with one content for whoever asks, while the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_args: object) -> None:
            """It says nothing."""

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if is_ipv6(address) else socket.AF_INET

    server = setns.inside(netns, lambda: Server((address, 8080), Handler))
    thread = threading.Thread(target=server.serve_forever, name=f"web-{address}")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Pings:
    """Packets of one size that nobody on the way may split."""

    sent: int
    received: int
    mtu: int | None  # of a smaller hop, where one has said so


def ping(netns: str, target: str, size: int) -> Pings:
    """Send some from a namespace with that payload. LabError when there is no ping."""
    argv = ["ip", "netns", "exec", netns, "ping", "-n", "-M", "do", "-c", "5", "-W", "5", "-s", str(size), target]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", said.stdout)
    if counts is None:
        raise LabError(f"`{' '.join(argv)}` failed: {' '.join((said.stdout + said.stderr).split())}")
    mtu = re.search(r"mtu ?= ?(\d+)", said.stdout + said.stderr)
    return Pings(int(counts[1]), int(counts[2]), int(mtu[1]) if mtu else None)


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
