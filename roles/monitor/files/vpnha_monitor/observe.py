# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Heartbeats and pings to every gateway, and what they amount to as evidence.

Sockets are read at each tick instead of by events: what arrived since is taken in one go, which is cheaper, and a
tick later than a window is a sign of the monitor's own sickness anyway.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter

from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import MAX_PACKET, HeartbeatAsker, KeyRing
from ansible_collections.vpnha.aws.plugins.module_utils.icmp import IcmpSocket
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import Gateway, GatewayEvidence, Timing
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_probe import EchoStream

from .config import MonitorConfig
from .managed import ManagedProbing

_RECEIVE_BUFFER = 1 << 20
_AT_ONCE = 4096  # packets taken per tick at most: a flood must not hold the loop

# What else than a late answer is ignored: these speak of a wrong key or of somebody who forges.
SUSPICIOUS = ("truncated", "oversized", "version", "forged", "malformed", "misdirected", "replayed", "unknown")


class GatewayWatch:
    """Both streams of probes to one gateway."""

    def __init__(self, config: MonitorConfig, gateway: Gateway, keys: KeyRing) -> None:
        timing = config.deployment.timing
        self.address = (gateway.address, config.agent_port)
        self.interval = timing.heartbeat_interval
        self.made_of = _made_of(config, gateway)
        self.asker = HeartbeatAsker(keys, config.monitor, gateway.name, lambda: _window(timing))
        self.echo = EchoStream(gateway.address, lambda: _window(timing), large_every=0)
        self.due = 0.0

    def evidence(self, now: float) -> GatewayEvidence:
        """What is known of the gateway now."""
        return GatewayEvidence(
            heartbeat=self.asker.stats(now),
            icmp=self.echo.stats(now),
            report=self.asker.report,
            report_age=self.asker.report_age(now),
            heard_since_start=self.asker.heard_since_start,
        )


def _window(timing: Timing) -> LossWindow:
    return LossWindow(timing.window, timing.grey_window)


def _made_of(config: MonitorConfig, gateway: Gateway) -> tuple[object, ...]:
    """Whatever a watch depends on: it outlives a reload when this stays the same."""
    return gateway.address, config.agent_port, config.monitor, config.keys, config.deployment.timing


class Observer:
    """The monitor's sockets and a watch per gateway. ``refused`` counts ignored packets by reason."""

    def __init__(self, config: MonitorConfig, before: Observer | None = None) -> None:
        """``before`` is the observer of the configuration before a reload; what is unchanged in it goes on."""
        keys = KeyRing(config.keys)
        known = before.watches if before else {}
        self.watches: dict[str, GatewayWatch] = {}
        for index, gateway in enumerate(config.deployment.gateways):
            watch = known.get(gateway.name)
            if watch is None or watch.made_of != _made_of(config, gateway):
                watch = GatewayWatch(config, gateway, keys)
                # Spread over the interval, so that a hundred gateways are no burst every 50 ms.
                watch.due = watch.interval * index / max(1, len(config.deployment.gateways))
            self.watches[gateway.name] = watch
        self.managed: ManagedProbing = ManagedProbing(config, before.managed if before else None)
        self._by_address = {watch.address: watch for watch in self.watches.values()}
        self._by_host = {watch.address[0]: watch for watch in self.watches.values()}
        self.unknown: Counter[str] = before.unknown if before else Counter()  # ignored packets of nobody we asked
        self.errors: Counter[str] = before.errors if before else Counter()  # failed sends, by the error's name
        self._icmp: IcmpSocket = before._icmp if before else IcmpSocket()
        self._udp: socket.socket = before._udp if before else _udp_socket()

    def restart(self) -> None:
        """Throw away what was seen, after a pause of ours: silence in it means nothing."""
        for watch in self.watches.values():
            watch.asker.restart()
            watch.echo.restart()
        self.managed.restart()

    def send(self, now: float) -> None:
        """The heartbeats and pings that are due."""
        for watch in self.watches.values():
            if watch.due > now:
                continue
            watch.due = watch.due + watch.interval if now - watch.due < watch.interval else now + watch.interval
            try:
                self._udp.sendto(watch.asker.next_request(now), watch.address)
            except OSError as error:  # no route, no buffer: the probe is lost, and is counted so
                self.errors[errno.errorcode.get(error.errno or 0, "EIO")] += 1
            failed = self._icmp.send(watch.address[0], watch.echo.next_packet(now))
            if failed:
                self.errors[f"icmp {failed}"] += 1
        self.managed.send(self._icmp, self.errors, now)

    def receive(self, now: float) -> None:
        """Take what has arrived."""
        for _packet in range(_AT_ONCE):
            try:
                packet, address = self._udp.recvfrom(MAX_PACKET + 1)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:  # an error queued on the socket; reading has cleared it
                self.errors[errno.errorcode.get(error.errno or 0, "EIO")] += 1
                continue
            watch = self._by_address.get(address)
            if watch is None:
                self.unknown["unknown"] += 1
            else:
                watch.asker.on_packet(packet, now)
        for reply in self._icmp.receive(_AT_ONCE):
            watch = self._by_host.get(reply.sender)
            if watch is not None:
                watch.echo.on_reply(reply, now)
            else:
                self.managed.on_reply(reply, now)

    def evidence(self, now: float) -> dict[str, GatewayEvidence]:
        """What is known of every gateway now."""
        return {name: watch.evidence(now) for name, watch in self.watches.items()}

    @property
    def refused(self) -> Counter[str]:
        """All ignored packets so far, by reason."""
        total = Counter(self.unknown)
        for watch in self.watches.values():
            total.update(watch.asker.refused)
        return total

    def close(self) -> None:
        """Close the sockets."""
        self._udp.close()
        self._icmp.close()


def _udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.bind(("0.0.0.0", 0))
    return sock
