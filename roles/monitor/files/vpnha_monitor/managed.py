# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed gateways, seen from the monitor: probes through them, and what EC2 and CloudWatch say of their connections.

A host route in the monitor's own subnet leads each probe through the managed gateway and nowhere else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.icmp import EchoReply, IcmpSocket
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.managed_witness import Witness, read_witnesses
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    WITNESSED_DOWN,
    ManagedEvidence,
    ManagedProbe,
    ManagedProbeEvidence,
    Timing,
)
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_probe import EchoStream

from . import log
from .clients import Client
from .config import MonitorConfig
from .reader import Reader, Reading

if TYPE_CHECKING:
    from .daemon import Monitor

_ASK_AGAIN = 10.0  # s between two reads out of turn, while a probe is missing
_DUE = 1.0  # s until an answer counts as missing: it comes across the internet


class ManagedWatch:
    """A stream of probes to one site through a managed gateway."""

    def __init__(self, probe: ManagedProbe, timing: Timing) -> None:
        self.site = probe.site
        self.made_of = (probe, timing)
        self.interval = timing.managed_interval
        self.echo = EchoStream(
            probe.address, lambda: LossWindow(timing.managed_window, timing.grey_window, _DUE), large_every=0
        )
        self.due = 0.0

    def evidence(self, now: float) -> ManagedProbeEvidence:
        """What is known of it now."""
        return ManagedProbeEvidence(self.echo.stats(now), self.echo.rtt)


class ManagedProbing:
    """The streams of all managed gateways; the socket is the observer's."""

    def __init__(self, config: MonitorConfig, before: ManagedProbing | None = None) -> None:
        """``before`` is that of the configuration before a reload; what is unchanged in it goes on."""
        timing = config.deployment.timing
        known = before.watches if before else {}
        self.watches: dict[tuple[str, str], ManagedWatch] = {}
        for gateway in config.deployment.managed_gateways:
            for probe in gateway.probes:
                place = (gateway.name, probe.site)
                watch = known.get(place)
                if watch is None or watch.made_of != (probe, timing):
                    watch = ManagedWatch(probe, timing)
                self.watches[place] = watch
        self._by_host: dict[str, list[ManagedWatch]] = {}
        for watch in self.watches.values():
            self._by_host.setdefault(watch.echo.target, []).append(watch)

    def restart(self) -> None:
        """Throw away what was seen."""
        for watch in self.watches.values():
            watch.echo.restart()

    def send(self, socket: IcmpSocket, errors: Counter[str], now: float) -> None:
        """The probes that are due."""
        for watch in self.watches.values():
            if watch.due > now:
                continue
            watch.due = watch.due + watch.interval if now - watch.due < watch.interval else now + watch.interval
            failed = socket.send(watch.echo.target, watch.echo.next_packet(now))
            if failed:
                errors[f"icmp {failed}"] += 1

    def on_reply(self, reply: EchoReply, now: float) -> None:
        """Take a reply, if it is one to a probe."""
        for watch in self._by_host.get(reply.sender, ()):
            if watch.echo.on_reply(reply, now):
                return

    def evidence(self, now: float) -> dict[str, dict[str, ManagedProbeEvidence]]:
        """What is known now, by managed gateway and site."""
        found: dict[str, dict[str, ManagedProbeEvidence]] = {}
        for (gateway, site), watch in self.watches.items():
            found.setdefault(gateway, {})[site] = watch.evidence(now)
        return found


def _missing(seen: ManagedEvidence, timing: Timing) -> bool:
    """Whether a probe that was answered before is not any more."""
    ages = [probe.loss.last_answer_age for probe in seen.probes.values()]
    return any(age is not None and age > timing.managed_window / 2 for age in ages)


class Witnesses:
    """What EC2 and CloudWatch say, read in a thread of its own; works for one monitor, on its loop."""

    def __init__(self, monitor: Monitor, deliver: Callable[[Reading[dict[str, Witness]]], None]) -> None:
        """``deliver`` has the loop call `took`; it is called in the reader's thread."""
        self._monitor = monitor
        self._deliver = deliver
        self._reader: Reader[dict[str, Witness]] | None = None
        self._said: Mapping[str, Witness] = {}
        self._began: float | None = None
        self._asked = float("-inf")
        self._cloudwatch = Client(monitor, "cloudwatch", pool=1)
        self.error = ""

    def suit(self) -> None:
        """Read, or stop reading, as the description in force has it; at the start and after a reload."""
        deployment = self._monitor.config.deployment
        if not deployment.managed_gateways:
            self.stop()
            self._said, self._began, self.error = {}, None, ""
        elif self._reader is None:
            self._reader = Reader(self._read, deployment.timing.managed_read, self._deliver, "vpn-reader")
            self._reader.start()
        else:
            self._reader.interval = deployment.timing.managed_read
            self._reader.request()

    def stop(self) -> None:
        """Begin no more reads."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def evidence(
        self, probes: Mapping[str, Mapping[str, ManagedProbeEvidence]], now: float
    ) -> dict[str, ManagedEvidence]:
        """All that is known of each managed gateway. Where probes are missing, AWS is asked out of turn."""
        found = {}
        for gateway in self._monitor.config.deployment.managed_gateways:
            said = self._said.get(gateway.name)
            age = None if said is None or self._began is None else now - self._began
            found[gateway.name] = ManagedEvidence(
                probes.get(gateway.name, {}), said.word if said else "", age, said.text if said else ""
            )
        timing = self._monitor.config.deployment.timing
        wanted = any(_missing(one, timing) and one.witness != WITNESSED_DOWN for one in found.values())
        if self._reader is not None and wanted and now - self._asked >= _ASK_AGAIN:
            self._asked = now
            self._reader.request()
        return found

    def _read(self) -> dict[str, Witness]:
        """In the reader's thread; raises Ec2Error."""
        gateways = self._monitor.config.deployment.managed_gateways
        return read_witnesses(self._monitor.client.get(), self._cloudwatch.get(), gateways, ec2.CLOCK.now())

    def took(self, reading: Reading[dict[str, Witness]]) -> None:
        """Take what was read."""
        self._monitor.counters.managed_reads.labels("ok" if reading.error is None else "failed").inc()
        if reading.view is not None:
            self._said, self._began, self.error = reading.view, reading.began, ""
            return
        text = str(reading.error)
        if text != self.error:
            log.line(text, logging.WARNING, code="managed-unreadable", error=type(reading.error).__name__)
        self.error = text
