# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes by ICMP echo: what a path really carries, whatever IKE says of it.

``EchoStream`` is the bookkeeping for one target, without socket or clock. ``Prober`` joins streams to sockets, for
an event loop that calls it; ``burst`` probes a few paths once, by itself.
"""

from __future__ import annotations

import os
import select
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .dual_stack import is_ipv6
from .icmp import EchoReply, IcmpSocket, echo_request
from .losses import LossWindow
from .model import LossStats

LARGE_BYTES = 1300  # of the whole packet, where nobody says how large the packets of clamped segments are
LARGE_EVERY = 10
OUTSTANDING_SECONDS = 5.0
_RTT_WEIGHT = 0.125  # of a new sample in the smoothed round trip


class EchoStream:
    """Numbered probes to one target, and what came back.

    ``losses`` makes a fresh LossWindow. Every ``large_every``-th probe is large (0: none), ``large_bytes`` with its
    headers: they are counted apart, so that a path which carries small packets only is seen.
    """

    def __init__(
        self,
        target: str,
        losses: Callable[[], LossWindow],
        large_every: int = LARGE_EVERY,
        token: Callable[[], bytes] = lambda: os.urandom(8),
        *,
        large_bytes: int = LARGE_BYTES,
    ) -> None:
        self.target = target
        self.rtt: float | None = None  # smoothed, of small probes, seconds
        self.errors: Counter[str] = Counter()  # probes that could not be sent, by the error's name
        self._new_losses, self._new_token = losses, token
        self._large_every, self._large_bytes = large_every, large_bytes
        self._seq = 0
        self.restart()

    def restart(self) -> None:
        """Forget what was observed, after a pause of ours."""
        self.small, self.large = self._new_losses(), self._new_losses()
        self.token = self._new_token()  # late answers to old probes count for nothing
        self._open: OrderedDict[int, float] = OrderedDict()

    def next_packet(self, now: float) -> bytes:
        """The next probe; it counts as sent at ``now``."""
        while self._open and now - next(iter(self._open.values())) > OUTSTANDING_SECONDS:
            self._open.popitem(last=False)
        self._seq += 1
        self._open[self._seq] = now
        large = self._is_large(self._seq)
        (self.large if large else self.small).sent(self._seq, now)
        return echo_request(self.token, self._seq, self._large_bytes if large else 0)

    def on_reply(self, reply: EchoReply, now: float) -> bool:
        """Take a reply; False when it answers no open probe of this stream."""
        if reply.token != self.token or reply.sender != self.target:
            return False
        sent_at = self._open.pop(reply.seq, None)
        if sent_at is None:
            return False
        if self._is_large(reply.seq):
            self.large.answered(reply.seq, now)
            return True
        self.small.answered(reply.seq, now)
        sample = now - sent_at
        self.rtt = sample if self.rtt is None else self.rtt + _RTT_WEIGHT * (sample - self.rtt)
        return True

    def stats(self, now: float) -> LossStats:
        """The loss of small probes."""
        return self.small.stats(now)

    def large_loss(self, now: float) -> float:
        """The share of large probes lost beyond that of small ones, over the grey window, 0..1."""
        return max(self.large.stats(now).slow_loss - self.small.stats(now).slow_loss, 0.0)

    def _is_large(self, seq: int) -> bool:
        return self._large_every > 0 and seq % self._large_every == 0


class Prober:
    """Streams that share a socket for each family that they are of.

    The caller sends on its own timer, and calls ``drain`` when a socket is readable.
    """

    def __init__(self, streams: Iterable[EchoStream], source: str = "", device: str = "", source6: str = "") -> None:
        self.streams = list(streams)
        self.socket = IcmpSocket(source, device)
        self.socket6 = IcmpSocket(source6, device, ipv6=True)  # opened by the first probe of IPv6

    def send(self, now: float, streams: Iterable[EchoStream] | None = None) -> None:
        """One probe on each stream, or on some. What cannot be sent is lost, and counted in its ``errors``."""
        for stream in self.streams if streams is None else streams:
            sock = self.socket6 if is_ipv6(stream.target) else self.socket
            error = sock.send(stream.target, stream.next_packet(now))
            if error:
                stream.errors[error] += 1

    def drain(self, now: float) -> None:
        """Take the replies that wait on the sockets."""
        for reply in (*self.socket.receive(), *self.socket6.receive()):
            for stream in self.streams:
                if stream.on_reply(reply, now):
                    break

    def close(self) -> None:
        """Close the sockets."""
        self.socket.close()
        self.socket6.close()


@dataclass(frozen=True)
class Path:
    """Where a burst's probes go to, and from where."""

    target: str
    source: str = ""
    device: str = ""


@dataclass(frozen=True)
class BurstResult:
    """What became of a burst on one path."""

    path: Path
    sent: int
    received: int
    rtt_ms: tuple[float, ...]  # of each answer
    error: str = ""  # why probes could not be sent, if they could not: "ENODEV", "EPERM"…

    @property
    def loss(self) -> float:
        """Share lost, 0..1."""
        return 1.0 - self.received / self.sent if self.sent else 0.0


def burst(paths: Sequence[Path], count: int = 10, interval: float = 0.05, wait: float = 1.0) -> list[BurstResult]:
    """Send ``count`` probes on every path, ``interval`` seconds apart, and wait up to ``wait`` s for the last answers.

    One result per path, in their order; never raises OSError.
    """
    sockets = [IcmpSocket(path.source, path.device, is_ipv6(path.target)) for path in paths]
    token = os.urandom(8)
    sent_at: dict[tuple[int, int], float] = {}
    trips: list[list[float]] = [[] for _path in paths]
    errors = ["" for _path in paths]

    def collect(until: float) -> None:
        while sent_at and (left := until - time.monotonic()) > 0:
            ready = select.select([sock for sock in sockets if sock.fileno() >= 0], [], [], left)[0]
            now = time.monotonic()
            for sock in ready:
                index = sockets.index(sock)
                for reply in sock.receive():
                    start = sent_at.pop((index, reply.seq), None) if _answers(reply, token, paths[index]) else None
                    if start is not None:
                        trips[index].append((now - start) * 1000)

    next_at = time.monotonic()
    try:
        for seq in range(count):
            collect(next_at)
            time.sleep(max(next_at - time.monotonic(), 0))
            next_at = time.monotonic() + interval
            for index, path in enumerate(paths):
                # numbered apart, because two sockets from one address both see every reply
                number = seq * len(paths) + index
                error = sockets[index].send(path.target, echo_request(token, number))
                if error:
                    errors[index] = error
                else:
                    sent_at[(index, number)] = time.monotonic()
        collect(time.monotonic() + wait)
    finally:
        for sock in sockets:
            sock.close()
    return [
        BurstResult(path, count, len(trips[index]), tuple(trips[index]), errors[index])
        for index, path in enumerate(paths)
    ]


def _answers(reply: EchoReply, token: bytes, path: Path) -> bool:
    return reply.token == token and reply.sender == path.target
