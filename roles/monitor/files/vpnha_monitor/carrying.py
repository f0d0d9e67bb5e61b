# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second half of verifying a swap: does the new gateway really see the zone's packets?

EC2 may accept a route and the packets still go nowhere. So the forwarded packets that the target's agent counts for
the zone are compared from just before the swap on: when they grow, the swap carries. Silence counts as trouble only if
the zone sent anything beforehand, through whichever gateway. Packets are counted by zone: while some of its routes lead
elsewhere, those may be the ones that carry them, and silence says nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.vpnha.aws.plugins.module_utils.followed import PATIENCE
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport, Note, RouteKey, SwapResult
from ansible_collections.vpnha.aws.plugins.module_utils.state import Group

_MEMORY = 5.0  # s of counters, to tell whether a zone sent anything beforehand
_REMEMBERED = 60.0  # s for which a zone's traffic counts after the last packet that was counted


@dataclass
class _Watch:
    results: list[SwapResult]  # swaps of one zone to one gateway
    count: int | None  # packets when the swap was accepted; None until the first report
    until: float
    busy: bool  # the zone had traffic before


class Carrying:
    """Fed with reports and accepted swaps, says of each whether it carries. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._history: dict[tuple[str, str], deque[tuple[float, int]]] = {}  # (gateway, zone) -> counters
        self._watches: dict[tuple[str, str], _Watch] = {}

    def saw(self, reports: Mapping[str, AgentReport], now: float) -> None:
        """Note the newest counters of each gateway."""
        for gateway, report in reports.items():
            for zone, count in report.counters.items():
                history = self._history.setdefault((gateway, zone), deque())
                if history and count < history[-1][1]:
                    history.clear()  # the agent started its counters anew
                if not history or count != history[-1][1]:
                    history.append((now, count))
                while len(history) > 1 and history[1][0] < now - _MEMORY:
                    history.popleft()

    def accepted(self, results: Sequence[SwapResult], zones: Mapping[RouteKey, str], now: float) -> None:
        """Begin to watch swaps that EC2 has accepted; ``zones`` says whose packets each route carries."""
        for result in results:
            zone = zones.get(result.swap.key)
            if zone is None:
                continue
            place = (result.swap.gateway, zone)
            watch = self._watches.get(place)
            if watch is None:
                begun = now - result.milliseconds / 1000
                count = self._count(place, begun)
                self._watches[place] = _Watch([result], count, now + PATIENCE, self._busy(zone, now))
            else:
                watch.results.append(result)
                watch.until = now + PATIENCE  # maybe it is this route alone that has traffic

    def judge(self, now: float, groups: Iterable[Group]) -> list[Note]:
        """What has become clear since the last call; ``groups`` say where the managed routes lead now."""
        notes = []
        for place, watch in list(self._watches.items()):
            gateway, zone = place
            count = self._count(place, now)
            if watch.count is None or (count is not None and count < watch.count):
                watch.count = count  # the agent's first counters, or its first since a restart
            if count is not None and watch.count is not None and count != watch.count:
                del self._watches[place]
                what = f"{gateway} carries packets of {zone}"
                notes += [_note("carrying", result, what) for result in watch.results]
            elif now >= watch.until:
                del self._watches[place]
                ways = {(one.gateway, one.fault) for one in groups if one.zone == zone}
                if watch.busy and ways == {(gateway, "")}:
                    what = (
                        f"{gateway} has seen no packet of {zone} for {PATIENCE:g} s, although {zone} sent some before"
                    )
                    notes += [_note("not-carrying", result, what) for result in watch.results]
        return notes

    def traffic(self, now: float) -> dict[str, float]:
        """Packets a second of each zone that the gateways have counted lately."""
        found: dict[str, float] = {}
        for (_gateway, zone), history in self._history.items():
            (first, before), (last, count) = history[0], history[-1]
            if last > first and now - last < _REMEMBERED:
                found[zone] = found.get(zone, 0.0) + (count - before) / (last - first)
        return found

    def _count(self, place: tuple[str, str], at: float) -> int | None:
        """The counter as it was last known at a time."""
        known = [count for seen, count in self._history.get(place, ()) if seen <= at]
        return known[-1] if known else None

    def _busy(self, zone: str, now: float) -> bool:
        return any(
            place[1] == zone and len(history) > 1 and history[-1][0] >= now - _MEMORY
            for place, history in self._history.items()
        )


def _note(code: str, result: SwapResult, what: str) -> Note:
    key = str(result.swap.key)
    return Note(code, key, f"{what} ({key}).", {"gateway": result.swap.gateway, "carrying": code == "carrying"})
