# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the decision by what was really so, which the decision cannot see. Shares no code with the engine's checks.

The numbers are those of the promises in the design; 0 stands for ``routes must leave what is dead``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import cast

from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Action,
    Ec2View,
    Note,
    Repair,
    RouteKey,
    Swap,
    SwapResult,
)
from ansible_collections.vpnha.aws.plugins.module_utils.places import NOT_BEGUN

from .ec2_model import WORD_LASTS
from .faults import LASTING, REPLACED, Fault
from .repair_oracle import RepairOracle
from .violation import Violation
from .world import SHUTDOWN, STOPS, World

TRUTH_LAG = 1.3  # seconds after which what is so must be known: window, heartbeat, report
SECOND_HAND = 0.15  # seconds after which another gateway's question has been answered, and its report has said so
NOTICED = 0.06  # seconds before somebody is heard in which the last look at nobody was taken
BELIEVED = 2.0  # seconds for which a swap that was accepted is believed whatever reads show
LEAST_FAULT = 0.44  # a fault shorter than this must not move anything
MUST_LEAVE = 9.0  # seconds after which routes have left a dead gateway if nothing stands in the way
FIRST_READ = 2.0  # seconds within which a monitor that starts has read EC2
QUIET = 40.0  # seconds that other faults must be over for that
DEAD = ("power off", "announced stop", "gateway cut off", *LASTING, *REPLACED)  # faults of which a gateway is dead


class Oracle:
    """Watches one schedule."""

    def __init__(self, world: World, faults: list[Fault]) -> None:
        self.world, self.faults = world, faults
        self.coverage: Counter[str] = Counter()
        self._ordered: dict[RouteKey, float] = {}
        self._times: dict[RouteKey, list[float]] = {}
        self._failed: dict[RouteKey, float] = {}  # when the monitor came to know that a call was refused
        self.moves: dict[RouteKey, list[float]] = {}  # voluntary ones
        self._accepted: dict[RouteKey, tuple[float, str]] = {}  # when, and to which gateway
        self._unknown: dict[RouteKey, Swap] = {}  # the last one, if what became of it is not known
        self._told: set[str] = set()  # routes whose move was told, and has not ended yet
        self._interfaces: dict[str, list[str]] = {}  # as the monitor came to know them
        self._superseded: set[str | None] = set()
        self.repairs = RepairOracle(world, self.coverage)

    def on_results(self, results: tuple[SwapResult, ...], now: float) -> None:
        """What became of swaps reaches the monitor."""
        for result in results:
            key = result.swap.key
            self._ordered.pop(key, None)
            self._unknown.pop(key, None)
            if result.accepted is None:
                self._unknown[key] = result.swap
            self.coverage["promise 8"] += result.accepted is None
            self.coverage["promise 11"] += not result.accepted
            if result.accepted is False and result.error not in NOT_BEGUN:
                self._failed[key] = now
            if not result.accepted:
                continue
            self._accepted[key] = now, result.swap.gateway
            self._told.discard(str(key))
            if result.swap.voluntary:
                self.moves.setdefault(key, []).append(now)

    def forget_flights(self) -> None:
        """A monitor that was restarted knows of no swap in flight."""
        home = {zone: gateway.name for gateway in self.world.plan.gateways for zone in gateway.home_zones}
        away = [route for route in self.world.ec2.truth.routes.values() if route.gateway != home[route.zone]]
        self.coverage["promise 9"] += len(self._ordered) + len(away)  # what it must derive again
        self._ordered.clear()
        self._failed.clear()
        self._accepted.clear()
        self._unknown.clear()
        self._told.clear()

    def on_actions(
        self,
        actions: tuple[Action, ...],
        view: Ec2View | None,
        sources: dict[RouteKey, str | None],
        trusted: float,
        began: float,
    ) -> None:
        """Hold a step's actions to the promises.

        ``sources``: where the monitor thinks that each route leads; ``trusted``: since when it has been able to see;
        ``began``: when the read began that the view is of.
        """
        for action in actions:
            if isinstance(action, Note):
                self._check_note(action)
        for action in actions:
            if isinstance(action, Repair):
                self.repairs.on_order(action, view, sources, trusted)
            if isinstance(action, Swap):
                if view is None:
                    raise Violation(10, f"{action.key} swapped before EC2 was read")
                self._check(action, view, sources.get(action.key), trusted, began)

    def _check_note(self, note: Note) -> None:
        if note.code == "invariant-violated":
            raise Violation(int(str(note.evidence["invariant"])), f"found by the engine itself: {note.text}")
        self.coverage[f"told: {note.code}"] += not note.resolved
        if note.code not in DIAGNOSES or not note.text:
            raise Violation(19, f"a note whose code {note.code!r} nobody knows")
        if note.code in ("failover", "failback", "voluntary-move") and note.evidence.get("reason") in DIAGNOSES:
            self._told.update(str(key) for key in cast(Iterable[object], note.evidence["routes"]))

    def _check(self, swap: Swap, view: Ec2View, source: str | None, trusted: float, began: float) -> None:
        now, world = self.world.now, self.world
        site = next(s.name for s in world.plan.sites if swap.key.destination in s.prefixes)
        self.coverage["promise 12" if swap.voluntary else "promise 13"] += 1
        self._check_target(swap, site, now)
        self._check_last_resort(swap, source, site, now)
        self._check_word(swap, source, now)
        self._check_sight(swap, trusted, now)
        self._check_interface(swap)
        self._check_people(swap, view, source, began)
        self._check_pace(swap, now)
        if swap.voluntary:
            self._check_voluntary(swap, site, now)
        elif source is not None:
            self._check_emergency(swap, view, source, site, trusted)

    def _check_target(self, swap: Swap, site: str, now: float) -> None:
        since = {gateway: self.world.truth.since(("dead", (gateway, site))) for gateway in self.world.led_to}
        dead = [gateway for gateway, begin in since.items() if begin is not None and now - begin > TRUTH_LAG]
        self.coverage["promise 1"] += bool(dead)
        if swap.gateway in dead:
            # the first promise where another would have been the right one, else the second
            number = 1 if None in since.values() else 2
            raise Violation(number, f"{swap.key} to {swap.gateway}, dead for {site}")

    def _check_last_resort(self, swap: Swap, source: str | None, site: str, now: float) -> None:
        """Only from what is down, where the site has answered since, and while nothing else is well beyond doubt."""
        if swap.gateway not in self.world.ec2.truth.managed:
            return
        self.coverage["last resort"] += 1
        if swap.voluntary:
            raise Violation(1, f"{swap.key} to {swap.gateway} without haste")
        lately = [fault for fault in self.faults if fault.start <= now <= fault.end + QUIET]
        if source is not None and all(fault.where[:1] == (source,) for fault in lately):
            raise Violation(1, f"{swap.key} to {swap.gateway}, although only {source} is amiss")
        bad, dead = (
            self.world.truth.since(("bad", (source, site))),
            self.world.truth.since(("dead", (swap.gateway, site))),
        )
        if bad is not None and dead is not None and dead <= bad + LEAST_FAULT:
            raise Violation(
                4, f"{swap.key} to {swap.gateway}, which has not led to {site} since {source} is bad for it"
            )

    def _check_word(self, swap: Swap, source: str | None, now: float) -> None:
        """EC2 has accepted a swap: a stale read alone does not take that back. And whatever is done is told."""
        at, gateway = self._accepted.get(swap.key, (-1e9, ""))
        self.coverage["promise 19"] += 1
        self.coverage["promise 17"] += self.world.skew != 0.0
        if now - at < BELIEVED and source != gateway:
            raise Violation(8, f"{swap.key} thought to lead to {source}, {now - at:.2f} s after its swap to {gateway}")
        if str(swap.key) not in self._told:
            raise Violation(19, f"{swap.key} moved to {swap.gateway} and nobody told")

    def _check_sight(self, swap: Swap, trusted: float, now: float) -> None:
        """A monitor that hears nobody, or was late, does nothing until it has seen enough again."""
        window = self.world.plan.timing.window
        if now - trusted < window - 0.01:
            raise Violation(3, f"{swap.key} swapped {now - trusted:.2f} s after the monitor had been paused")
        for begin, end in self.world.cut_off():
            if self.world.ec2.all_stopped(begin - WORD_LASTS, end):
                continue  # hearing nobody is no isolation then
            if now - end < window - NOTICED:
                raise Violation(3, f"{swap.key} swapped {now - end:.2f} s after nobody was heard")

    def on_view(self, view: Ec2View) -> None:
        """The monitor has read EC2: from now on it knows of these interfaces."""
        self._interfaces.update({name: [target] for name, target in view.managed.items()})
        for name, instance in view.instances.items():
            known = self._interfaces.setdefault(name, [])
            if instance.eni_id and instance.eni_id not in known:
                self._superseded.update(known)
                known.append(instance.eni_id)

    def forget_interfaces(self) -> None:
        """A monitor that was restarted knows only what it will read."""
        self._interfaces.clear()
        self._superseded.clear()

    def _check_interface(self, swap: Swap) -> None:
        if swap.target in self._superseded or swap.target not in self._interfaces[swap.gateway]:
            raise Violation(1, f"{swap.key} to {swap.target}, which {swap.gateway} has no longer")

    def _check_emergency(self, swap: Swap, view: Ec2View, source: str, site: str, trusted: float) -> None:
        truth, now = self.world.truth, self.world.now
        by_ec2 = (
            (source in view.instances and view.instances[source].source_dest_check)
            or view.routes[swap.key].blackhole
            or self._superseded & {view.routes[swap.key].eni_id}
        )
        if self._tried_again(swap, source):
            self.coverage["tried again, outcome unknown"] += 1
            return
        if by_ec2:
            self.coverage["by EC2's word"] += 1
            return
        announced = self.world.announced(source) or self.world.said_goodbye(source)
        lossy = self.world.loss(source) > 0.0 or self.world.has(("tunnel loses 40 %",), (source, site))
        # a monitor that is cut off from it has only the others' word that the fault is over
        hidden = SECOND_HAND if self.world.has(("monitor cut from gateway",), (source,)) else 0.0
        least = (LEAST_FAULT - hidden) / (2 if lossy else 1)  # what was lost before the fault counts as well
        if not announced and not truth.within(("bad", (source, site)), now - TRUTH_LAG, now, least):
            raise Violation(13, f"{swap.key} left {source}, which works for {site} ({swap.reason})")
        host = truth.within(("bad host", source), now - TRUTH_LAG, now, least) or announced
        if not host:
            # a monitor knows of no outage that was over before it could see
            outages = truth.stretches(("site down", site), now)
            down = [
                end for begin, end in outages if end - max(begin, trusted) >= TRUTH_LAG and not self.world.walled(begin)
            ]
            if down and now - down[-1] < 8.0:
                raise Violation(4, f"{swap.key} swapped although {site} was down everywhere {now - down[-1]:.1f} s ago")

    def _reads_from(self, start: float) -> float:
        """When a monitor that has started then can have read EC2."""
        failing = (o for o in self.faults if o.kind == "reads fail" and o.start <= start + FIRST_READ < o.end)
        return max((o.end for o in failing), default=start)

    def _tried_again(self, swap: Swap, source: str) -> bool:
        """Whether it leads to where the one before may have led it, which nobody knows, and leaves no gateway."""
        before = self._unknown.get(swap.key)
        return before is not None and before.target == swap.target and source == swap.gateway

    def _check_voluntary(self, swap: Swap, site: str, now: float) -> None:
        hold = self.world.plan.timing.hold_down
        for begin, end in self.world.truth.stretches(("unfit", (swap.gateway, site)), now):
            if end - begin >= 0.7 and end > now - hold + 0.5 and begin < now - TRUTH_LAG:
                raise Violation(12, f"{swap.key} to {swap.gateway}, bad for {site} until {now - end:.1f} s ago")
        recent = [at for at in self.moves.get(swap.key, ()) if now - at < 3600]
        if len(recent) >= self.world.plan.timing.voluntary_moves_per_hour:
            raise Violation(12, f"{swap.key} moved {len(recent)} times this hour already")

    def _check_people(self, swap: Swap, view: Ec2View, source: str | None, began: float) -> None:
        wall, table = self.world.aws_wall, swap.key.table_id
        pin = view.table_pins.get(table)
        if pin is not None and pin.expires_wall > wall:
            raise Violation(15, f"{swap.key} is pinned")
        until = [view.paused_deployment_until_wall or 0.0, view.paused_tables.get(table, 0.0)]
        until += [view.paused_gateways.get(gateway, 0.0) for gateway in (source or "", swap.gateway)]
        if max(until) > wall:
            raise Violation(14, f"{swap.key} is paused")
        route, (accepted, _gateway) = view.routes[swap.key], self._accepted.get(swap.key, (0.0, ""))
        persons = route.eni_id == "eni-person" or (route.eni_id is None and route.target not in view.managed.values())
        # what a person did while a swap was on its way is gone: a read from before it was accepted tells nothing
        if persons and began >= accepted:
            raise Violation(15, f"{swap.key} is a person's")

    def _check_pace(self, swap: Swap, now: float) -> None:
        ordered = self._ordered.get(swap.key)
        if ordered is not None and now - ordered < 29.0:
            raise Violation(9, f"{swap.key} ordered again {now - ordered:.1f} s after, without a result")
        self._ordered[swap.key] = now
        failed = self._failed.pop(swap.key, None)
        if failed is not None and now - failed < 1.0:
            raise Violation(11, f"{swap.key} ordered again {now - failed:.2f} s after it has failed")
        # accepted ones are counted too: no pause holds back a route that goes to and fro
        times = self._times.setdefault(swap.key, [])
        times.append(now)
        if len([at for at in times if now - at < 10.0]) > 6:
            raise Violation(11, f"{swap.key} ordered more than 6 times in 10 s")

    def on_step(self, monitor_since: float) -> None:
        """Routes must leave what is dead, wherever nothing stands in the way."""
        now, world = self.world.now, self.world
        for fault in world.faults:
            if fault.kind.startswith("pause ") or fault.kind == "person fails over with a pin":
                self.coverage["promise 15" if "pin" in fault.kind else "promise 14"] += self._restless()
            if fault.kind not in DEAD:
                continue
            dead_since = fault.start + (SHUTDOWN if fault.kind in STOPS else 0.0)
            if now - dead_since < MUST_LEAVE or dead_since - monitor_since < 2.0:
                continue
            if any(o is not fault and o.start <= now and o.end > dead_since - QUIET for o in self.faults):
                continue
            self.coverage["must leave"] += 1
            for key in world.ec2.truth.routes:
                if world.ec2.gateway_of(key) == fault.where[0]:
                    raise Violation(0, f"{key} still leads to {fault.where[0]}, dead for {now - dead_since:.1f} s")

    def _restless(self) -> bool:
        """Whether a route leads to a gateway that is dead for its site, so that only a person's word keeps it."""
        return any(
            self.world.truth.since(("dead", (route.gateway, site.name))) is not None
            for key, route in self.world.ec2.truth.routes.items()
            for site in self.world.plan.sites
            if key.destination in site.prefixes
        )

    def at_end(self) -> None:
        """After everything has been mended for long enough, every route leads home."""
        truth, now = self.world.truth, self.world.now
        self.coverage["promise 3"] += len(self.world.cut_off())
        for promise, what in (("promise 2", "no way"), ("promise 4", "site down")):
            for site in self.world.sites:
                lasted = [end - begin for begin, end in truth.stretches((what, site), now)]
                self.coverage[promise] += sum(seconds > TRUTH_LAG for seconds in lasted)
        home = {zone: gateway.name for gateway in self.world.plan.gateways for zone in gateway.home_zones}
        renewed = {fault.where[0]: fault for fault in self.faults if fault.kind == "new interface"}
        for key, route in self.world.ec2.truth.routes.items():
            # a monitor that was restarted cannot know whose the vanished interface was: the route is a person's then
            fault = renewed.get((route.eni_id or "").removeprefix("eni-").rstrip("+"))
            starts = [o.end for o in self.faults if o.kind == "monitor restarted"]
            if fault and any(self._reads_from(start) > fault.start for start in starts):
                self.coverage["old interface after a restart"] += 1
                continue
            if route.gateway != home[route.zone]:
                raise Violation(0, f"{key} leads to {route.gateway or route.target} for ever, not home")
