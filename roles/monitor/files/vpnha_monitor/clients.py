# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of AWS, as the configuration in force wants them, with credentials that are renewed beside their calls."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ansible_collections.vpnha.aws.plugins.module_utils import ec2

if TYPE_CHECKING:
    from .daemon import Monitor


class Client:
    """One service's, made when it is first asked for, and anew when its endpoint is another. Thread-safe.

    Each room has its own: making one may take a while, and none is to wait for another's.
    """

    def __init__(self, monitor: Monitor, service: str, pool: int) -> None:
        self._monitor, self._service, self._pool = monitor, service, pool
        self._lock = threading.Lock()
        self._made: tuple[str, Any] | None = None  # with its endpoint

    def get(self) -> Any:
        """The client. Raises Ec2Error."""
        config, prepare = self._monitor.config, self._monitor.renewal.prepare
        region, url = config.deployment.region, config.endpoint_url
        with self._lock:
            if self._made is None or self._made[0] != url:
                made = ec2.make_client(self._service, region=region, endpoint_url=url, pool=self._pool, prepare=prepare)
                if self._service == "ec2":
                    self._monitor.actuator.limits.watch(made)
                self._made = (url, made)
            return self._made[1]
