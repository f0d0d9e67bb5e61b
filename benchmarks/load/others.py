# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everybody that a daemon talks with, in one process: agents that answer, and agents and monitors that ask.

``python -m benchmarks.load.others GATEWAYS`` answers for all gateways. With ``--ask`` the first gateway has its own
agent, which the others, and the monitors, ask as real ones do.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import (
    PORT,
    HeartbeatAnswerer,
    KeyRing,
    encode_request,
    pack_report,
)
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment
from benchmarks.decision import report_of
from vpnha_agent.agent import ASK_SECONDS

from .plan import KEY, plan_of

VARIANTS = 8  # reports of each agent, in turn: packing them anew is the agents' work and not measured
PUBLISH_SECONDS = 0.05
MONITORS = ("10.20.0.20", "10.20.0.21")  # that ask an agent; two are the most that one zone's failure asks for
_TICK_MS = 10


class Answering:
    """The agents of some gateways, each with a report on its tunnels and on all other gateways."""

    def __init__(self, plan: Deployment, names: list[str]) -> None:
        keys = KeyRing([KEY])
        self.sockets: dict[int, tuple[socket.socket, HeartbeatAnswerer, list[bytes]]] = {}
        self.answered = 0
        self._published, self._turn = 0.0, 0
        for name in names:
            sock = socket_of(plan.gateway(name).address, PORT)
            bodies = [pack_report(report_of(plan, name, 0.37 * n)) for n in range(VARIANTS)]
            self.sockets[sock.fileno()] = sock, HeartbeatAnswerer(keys, name), bodies

    def readable(self, descriptor: int, now: float) -> None:
        """Answer what has come."""
        if now - self._published >= PUBLISH_SECONDS:
            self._published, self._turn = now, self._turn + 1
            for _sock, answerer, bodies in self.sockets.values():
                answerer._body, answerer._made_at = bodies[self._turn % VARIANTS], now
        sock, answerer, _bodies = self.sockets[descriptor]
        try:
            packet, address = sock.recvfrom(65535)
        except OSError:  # what the kernel says of an answer that found nobody
            return
        answer = answerer.on_packet(packet, now)
        if answer is not None:
            sock.sendto(answer, address)
            self.answered += 1


@dataclass
class _Sender:
    """One who asks."""

    sock: socket.socket
    name: str
    interval: float
    due: float  # since the beginning
    session: bytes = field(default_factory=lambda: os.urandom(16))
    asked: int = 0


class Asking:
    """Who asks one gateway's agent: the other gateways' agents, and the monitors."""

    def __init__(self, plan: Deployment, gateway: str, others: list[str]) -> None:
        self._keys, self._gateway, self._address = KeyRing([KEY]), gateway, (plan.gateway(gateway).address, PORT)
        self.answers = 0
        beat = plan.timing.heartbeat_interval
        who = [(plan.gateway(name).address, name, ASK_SECONDS) for name in others]
        who += [(address, f"mon-{n}", beat) for n, address in enumerate(MONITORS)]
        self._senders = [
            # spread over their interval, as those of many hosts are
            _Sender(socket_of(address), name, interval, interval * n / len(who))
            for n, (address, name, interval) in enumerate(who)
        ]
        self.sockets = {sender.sock.fileno(): sender.sock for sender in self._senders}
        self._began = time.monotonic()

    def send(self, now: float) -> None:
        """Ask whatever is due."""
        for sender in self._senders:
            if now - self._began >= sender.due:
                sender.due += sender.interval
                sender.asked += 1
                asked = encode_request(self._keys, sender.name, self._gateway, sender.session, sender.asked)
                sender.sock.sendto(asked, self._address)

    def readable(self, descriptor: int) -> None:
        """Count an answer."""
        try:
            self.sockets[descriptor].recv(65535)
        except OSError:
            return
        self.answers += 1


def serve(plan: Deployment, ask: bool) -> None:
    """Until the standard input ends; to each line there say how often we have answered, and been answered."""
    names = [gateway.name for gateway in plan.gateways]
    answering = Answering(plan, names[1:] if ask else names)
    asking = Asking(plan, names[0], names[1:]) if ask else None
    poll = select.poll()
    for descriptor in (sys.stdin.fileno(), *answering.sockets, *(asking.sockets if asking else ())):
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    print("ready", flush=True)
    while True:
        for descriptor, _event in poll.poll(_TICK_MS):
            if descriptor == sys.stdin.fileno():
                if not os.read(descriptor, 100):
                    return
                print(answering.answered, asking.answers if asking else 0, flush=True)
            elif descriptor in answering.sockets:
                answering.readable(descriptor, time.monotonic())
            elif asking:
                asking.readable(descriptor)
        if asking:
            asking.send(time.monotonic())


@contextmanager
def others(gateways: int, namespace: str, *, ask: bool = False) -> Iterator[Callable[[], tuple[int, int]]]:
    """The process, in a network namespace; gives how often it has answered, and been answered, so far."""
    with subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-m", "benchmarks.load.others", str(gateways),
         *["--ask"] * ask],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        to, of = process.stdin, process.stdout
        of.readline()

        def counts() -> tuple[int, int]:
            to.write(b"\n")
            to.flush()
            answered, answers = of.readline().split()
            return int(answered), int(answers)

        try:
            yield counts
        finally:
            to.close()


def socket_of(address: str, port: int = 0) -> socket.socket:
    """A UDP socket there, which never waits."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.others")
    parser.add_argument("gateways", type=int)
    parser.add_argument("--ask", action="store_true")
    chosen = parser.parse_args()
    serve(plan_of(chosen.gateways), chosen.ask)
