# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probing each tunnel: its peer, and its site's probe targets, from the tunnel's own inside address."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ansible_collections.vpnha.aws.plugins.module_utils.dual_stack import inside_address
from ansible_collections.vpnha.aws.plugins.module_utils.icmp import IcmpSocket
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import LossStats, Timing, Tunnel
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_probe import EchoStream, Prober

PEER_SECONDS = 0.05
TARGET_EVERY = 2  # a probe to the targets for so many to the peer


class TunnelProbe:
    """The probes of one tunnel."""

    def __init__(
        self, tunnel: Tunnel, targets: Iterable[str], device: str, timing: Timing, *, large_bytes: int
    ) -> None:
        def losses() -> LossWindow:
            return LossWindow(timing.tunnel_window, timing.grey_window)

        self.tunnel = tunnel
        self.peer = EchoStream(tunnel.peer_inside_address, losses, large_bytes=large_bytes)
        self.targets = [EchoStream(target, losses, large_every=0) for target in targets]
        self.prober = Prober(
            [self.peer, *self.targets],
            source=tunnel.inside_address,
            device=device,
            source6=inside_address(tunnel.inside_address),
        )
        # of each socket (descriptor, which opening of it) that the loop watches
        self._readers: dict[IcmpSocket, tuple[int, int]] = {}

    def send(self, now: float, number: int) -> None:
        """Send what is due at the tick of that number."""
        if number % TARGET_EVERY == 0:
            self.prober.send(now)
        else:
            self.prober.send(now, [self.peer])
        self._watch()

    def target_stats(self, now: float) -> LossStats:
        """The loss of the target that answers best: one that answers shows that the site is reached."""
        return min((stream.stats(now) for stream in self.targets), key=_badness, default=LossStats())

    def restart(self) -> None:
        """Forget what was observed."""
        for stream in self.prober.streams:
            stream.restart()

    def close(self) -> None:
        """Stop probing."""
        for descriptor, _openings in self._readers.values():
            asyncio.get_running_loop().remove_reader(descriptor)
        self.prober.close()

    def _watch(self) -> None:
        """Have the loop watch the sockets, which are others after the device went away and came back."""
        for sock in (self.prober.socket, self.prober.socket6):
            current = (sock.fileno(), sock.openings)
            if current == self._readers.get(sock):
                continue
            loop = asyncio.get_running_loop()
            if sock in self._readers:
                loop.remove_reader(self._readers.pop(sock)[0])
            if current[0] >= 0:
                loop.add_reader(current[0], self._readable)
                self._readers[sock] = current

    def _readable(self) -> None:
        self.prober.drain(asyncio.get_running_loop().time())


def _badness(stats: LossStats) -> tuple[float, float]:
    return stats.lost / stats.sent if stats.sent else 0.0, _infinite(stats.last_answer_age)


def _infinite(age: float | None) -> float:
    return float("inf") if age is None else age
