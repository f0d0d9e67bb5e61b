# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of managed VPN in CloudWatch: ``TunnelState``, ``TunnelDataIn`` and ``TunnelDataOut`` in ``AWS/VPN``.

By ``TunnelIpAddress`` the state is 0 or 1, by ``VpnId`` the share of tunnels that are up, as on AWS; data are bytes
since the datum before, as AWS's end counts them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from lab.api import vpn
from lab.api.alarms import now, utc
from lab.api.limits import Settings

_LOG = logging.getLogger(__name__)
_KEPT = timedelta(hours=1)  # alarms look at all data there are


class Metrics:
    """Publishes them every ``metrics_period`` seconds, each ``metrics_delay`` seconds after its time."""

    def __init__(self, settings: Settings, ec2: Callable[[], Any], cloudwatch: Callable[[], Any]) -> None:
        self._settings, self._ec2, self._cloudwatch = settings, ec2, cloudwatch
        self._before: dict[str, tuple[int, int]] = {}  # outside address -> bytes in, bytes out
        self._held: deque[tuple[datetime, list[dict[str, Any]]]] = deque()
        self._due = 0.0

    def start(self) -> None:
        """Publish from now on, in a thread."""
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(0.2)
            try:
                self.step(time.monotonic(), now())
            except Exception:
                _LOG.exception("the metrics of managed VPN could not be published")

    def step(self, clock: float, at: datetime) -> None:
        """Take what is due, and publish what has been held back long enough."""
        if clock >= self._due:
            self._due = clock + self._settings.metrics_period
            if data := self.take(vpn.managed(self._ec2()), at):
                self._held.append((at, data))
        delay = timedelta(seconds=self._settings.metrics_delay)
        while self._held and self._held[0][0] + delay <= at:
            backend = self._cloudwatch()
            backend.put_metric_data("AWS/VPN", self._held.popleft()[1])
            old = sum(1 for datum in backend.metric_data if utc(datum.timestamp) < at - _KEPT)
            del backend.metric_data[:old]  # they stand in the order in which they came

    def take(self, connections: Iterable[Any], at: datetime) -> list[dict[str, Any]]:
        """The data of this moment."""
        found: list[dict[str, Any]] = []
        for connection in connections:
            tunnels = connection.managed.tunnels
            grown = [self._grown(each) for each in tunnels]
            for tunnel, bytes_ in zip(tunnels, grown, strict=True):
                found += _data("TunnelIpAddress", tunnel.outside, float(tunnel.up), bytes_, at)
            share = sum(each.up for each in tunnels) / len(tunnels)
            found += _data("VpnId", connection.id, share, (sum(g[0] for g in grown), sum(g[1] for g in grown)), at)
        return found

    def _grown(self, tunnel: vpn.Tunnel) -> tuple[int, int]:
        total = (tunnel.bytes_in, tunnel.bytes_out)
        before = self._before.get(tunnel.outside, (0, 0))
        self._before[tunnel.outside] = total
        return (max(0, total[0] - before[0]), max(0, total[1] - before[1]))


def _data(dimension: str, value: str, state: float, grown: tuple[int, int], at: datetime) -> list[dict[str, Any]]:
    same = {"Dimensions": [{"Name": dimension, "Value": value}], "Timestamp": at}
    values = (("TunnelState", state, "None"), ("TunnelDataIn", grown[0], "Bytes"), ("TunnelDataOut", grown[1], "Bytes"))
    return [{"MetricName": name, "Value": float(datum), "Unit": unit, **same} for name, datum, unit in values]
