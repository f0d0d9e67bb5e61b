# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When to start what charon gave up, and when to restart charon itself. Pure: fed with states and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.vpnha.aws.plugins.module_utils.vici_health import TunnelSas

INITIATE_DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
RESTART_DELAYS = (5.0, 10.0, 30.0)
STEADY_SECONDS = 30.0  # well for so long: the next trouble is a new one
HUNG_SECONDS = 30.0  # a daemon that hangs for so long, while no tunnel carries, is restarted


class Backoff:
    """Delays between attempts, which grow while the trouble lasts."""

    def __init__(self, delays: tuple[float, ...]) -> None:
        self._delays = delays
        self._tries = 0
        self._due: float | None = None
        self._well_since: float | None = None

    def trouble(self, now: float) -> bool:
        """There is trouble now; True when it is time for an attempt, which then counts as made."""
        self._well_since = None
        if self._due is None:
            self._due = now + self._delays[min(self._tries, len(self._delays) - 1)]
        if now < self._due:
            return False
        self._tries += 1
        self._due = now + self._delays[min(self._tries, len(self._delays) - 1)]
        return True

    def well(self, now: float) -> None:
        """There is no trouble now."""
        if self._well_since is None:
            self._well_since = now
        self._due = None
        if now - self._well_since >= STEADY_SECONDS:
            self._tries = 0


class Initiation:
    """Which tunnels to initiate, because charon has given them up."""

    def __init__(self, names: Iterable[str]) -> None:
        self._backoffs = {name: Backoff(INITIATE_DELAYS) for name in names}

    def due(self, tunnels: Mapping[str, TunnelSas], now: float) -> list[str]:
        """The tunnels to initiate now. A connecting one is charon's own business, an unknown one nobody's."""
        names = []
        for name, backoff in self._backoffs.items():
            tunnel = tunnels.get(name)
            if tunnel is None or tunnel.ike in ("unknown", "connecting"):
                continue
            if tunnel.ike == "established" and tunnel.child == "installed":
                backoff.well(now)
            elif backoff.trouble(now):
                names.append(name)
        return names


class Restart:
    """Whether to restart strongSwan's unit, which restarts by itself after a crash."""

    def __init__(self) -> None:
        self._backoff = Backoff(RESTART_DELAYS)
        self._hung_since: float | None = None

    def due(self, charon: str, unit: str, carrying: bool, now: float) -> bool:
        """Whether to restart it now.

        ``charon`` is "alive", "hung" or "dead"; ``unit`` systemd's ActiveState; ``carrying`` whether any tunnel does.
        Somebody may have stopped it on purpose, so only one that failed is restarted, or one that hangs for long.
        """
        if charon != "hung":
            self._hung_since = None
        elif self._hung_since is None:
            self._hung_since = now
        hangs = self._hung_since is not None and now - self._hung_since >= HUNG_SECONDS and not carrying
        if hangs or (charon == "dead" and unit == "failed"):
            return self._backoff.trouble(now)
        if charon == "alive":
            self._backoff.well(now)
        return False
