# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What packets pass besides FRR and strongSwan: the filter, which somebody may flush, and the kernel's forwarding.

Neither shows in a probe: the agent's own packets are not forwarded, and pass with the filter or without it.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from .config import AgentConfig
from .counters import FilterMissing, ZoneCounters
from .looked_up import LookedUp
from .revive import Backoff
from .service import BoundedLog, run

COUNTER_SECONDS = 0.5
UNIT = "vpnha-dataplane.service"
RELOAD_DELAYS = (COUNTER_SECONDS, 5.0, 30.0)  # the first one makes sure that it is not just being written
FILTER_MISSING, FORWARDING_OFF = "filter-missing", "forwarding-off"
_PARTLY = {4: "ipv4-forwarding-off", 6: "ipv6-forwarding-off"}  # while the other one is on, and sites use both
_FORWARDING = {4: Path("/proc/sys/net/ipv4/ip_forward"), 6: Path("/proc/sys/net/ipv6/conf/all/forwarding")}


class DataPlane:
    """Counts the zones' packets, and has the filter loaded again where it is gone."""

    def __init__(self, config: AgentConfig, log: BoundedLog) -> None:
        prefixes = [prefix for site in config.deployment.sites for prefix in site.prefixes]
        self._versions = sorted({6 if ":" in prefix else 4 for prefix in prefixes})
        self._log, self._filter, self._backoff = log, ZoneCounters(), Backoff(RELOAD_DELAYS)
        self._counters = LookedUp[int](COUNTER_SECONDS)
        self._wrong = LookedUp[bool](COUNTER_SECONDS)
        self._off = ""  # what the last look found of forwarding

    def close(self) -> None:
        """Free what it holds."""
        self._filter.close()

    def counters(self, now: float) -> dict[str, int]:
        """Packets so far by zone, as far as they are known."""
        return dict(self._counters.known(now))

    def wrong(self, now: float) -> str:
        """What keeps packets from passing as they should, the worst first; "" if nothing is known of any."""
        known = self._wrong.known(now)
        return next((word for word in (FORWARDING_OFF, FILTER_MISSING, *_PARTLY.values()) if known.get(word)), "")

    async def look(self) -> None:
        """Look once, and load the filter where it has been gone for more than a moment. Never raises."""
        missing = False
        try:
            self._counters.take(self._filter.read())
        except FilterMissing:
            missing = True
        except ValueError as exc:
            self._log.say("counters", f"the zones' packet counters cannot be read: {exc}")
        before, self._off = self._off, _off(self._versions)
        found = {FILTER_MISSING: missing}
        # twice in a row: it may be off for a moment while files of sysctl.d are applied one after the other
        if self._off and self._off == before:
            found[self._off] = True
            self._log.say("forwarding", f"the kernel does not forward packets as it should: {self._off}")
        self._wrong.take(found)
        now = asyncio.get_running_loop().time()
        if not missing:
            self._backoff.well(now)
        elif self._backoff.trouble(now):
            ended = await run("systemctl", "reload-or-restart", UNIT)
            how = "it was loaded again" if ended.code == 0 else f"it cannot be loaded: {ended.error or ended.code}"
            self._log.say("filter", f"nftables' table inet vpnha was gone, as after `nft flush ruleset`: {how}")


def _off(versions: list[int]) -> str:
    """FORWARDING_OFF if no packets of these IP versions are forwarded, or which of two; what cannot be read is on."""
    off = []
    for version in versions:
        with contextlib.suppress(OSError):
            if _FORWARDING[version].read_text(encoding="ascii").strip() == "0":
                off.append(version)
    if not off:
        return ""
    return FORWARDING_OFF if off == versions else _PARTLY[off[0]]
