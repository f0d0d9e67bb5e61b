# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges several monitors by what was really so: promise 16, that they never fight, and that no route is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Action,
    Ec2View,
    Note,
    Repair,
    RouteKey,
    Swap,
    SwapResult,
)

from .faults import Fault
from .store_model import StoreModel
from .violation import Violation
from .world import World

TRUTH_LAG = 1.3  # seconds after which what is so must be known
LEASE, LEAST, VETO = 5.0, 1.0, 2.0  # seconds, as the design has them
HEARD = 0.9  # seconds after which a word has been read by whoever can read
FIGHT = 5.0  # seconds between two swaps of one route that belong together
QUIET = 10.0  # seconds without a fault beginning or ending, after which two monitors have no reason to disagree
TURNS = 5  # orders in a row on which two monitors disagree, whatever happens around them
CORRECTED = 2.0  # seconds after a late write
MUST_LEAVE, MUST_BE_TAKEN_OVER = 9.0, 18.0  # seconds; the second without the owner: its silence, a lease, a new one
DEAD = ("power off", "host hangs", "zone lost")
SILENCE = ("gateway-silent", "gateway-stopped", "gateway-impaired")
TRAPS = ("monitor is to be paused in a swap", "monitor is to be killed in a swap")
OF_SEVERAL = ("route-contested", "monitor-silent", "lease-store-unreadable")
OUT_OF_ACTION = ("monitor paused", "monitor killed", "monitor stopped", "monitor isolated")


class Judged(Protocol):
    """A monitor, as the oracle sees it."""

    since: float
    trusted: float

    @property
    def able(self) -> bool:
        """It runs and is not paused."""


@dataclass(frozen=True)
class Order:
    """A swap that a monitor has ordered."""

    at: float
    by: str
    gateway: str


class SeveralOracle:
    """Watches all monitors of one schedule."""

    def __init__(self, world: World, faults: list[Fault], store: StoreModel) -> None:
        self.world, self.faults, self.store = world, faults, store
        self.coverage: Counter[str] = Counter()
        self.members: Mapping[str, Judged] = {}
        self.ordered: Callable[[str, Swap], None] = lambda monitor, swap: None  # is told who has just ordered a swap
        self._orders: dict[RouteKey, list[Order]] = {}
        self._late_at: dict[RouteKey, float] = {}  # the last late write of a route
        self._late: dict[RouteKey, tuple[float, str]] = {}  # late writes that lead to a dead gateway: when, by whom
        self._unknown: dict[tuple[str, RouteKey], float] = {}  # swaps that a monitor has not seen the outcome of
        self._steps: dict[str, list[float]] = {}
        self._homes = {zone: gateway for gateway in world.plan.gateways for zone in gateway.home_zones}

    def owner(self, zone: str) -> str:
        """Whose a zone's routes are."""
        elsewhere = [one.name for one in self.world.plan.monitors if one.zone != self._homes[zone].zone]
        return elsewhere[0]

    def has_lease(self, monitor: str) -> bool:
        """Whether it really has it, with a second to spare."""
        item = self.store.lease
        return item is not None and item.holder == monitor and self.world.now - self.store.sent <= LEASE - LEAST + 1e-6

    def on_lease(self, monitor: str, age: float | None) -> None:
        """How old a monitor thinks that its lease is: never less than since it sent what the store has."""
        item, really = self.store.lease, self.world.now - self.store.sent
        if age is not None and item is not None and item.holder == monitor and age < really - 1e-6:
            raise Violation(16, f"{monitor} counts {age:.2f} s since a renewal that it sent {really:.2f} s ago")

    # --- what is ordered ----------------------------------------------------------------------------------

    def on_swap(self, monitor: str, swap: Swap, view: Ec2View, source: str | None) -> None:
        """A monitor orders a swap."""
        zone = view.routes[swap.key].zone
        if monitor == self.owner(zone):
            self.coverage["by the owner"] += 1
        elif self.has_lease(monitor):
            self.coverage["by the lease"] += 1
        else:
            raise Violation(16, f"{swap.key} is swapped by {monitor}, which neither owns it nor has the lease")
        if not swap.voluntary and swap.reason in SILENCE and source is not None:
            self._check_veto(monitor, swap, source)
        self._check_target(swap)
        self._check_seen(monitor, swap)
        self._check_fight(monitor, swap)

    def _check_veto(self, monitor: str, swap: Swap, source: str) -> None:
        """Another monitor said lately that it works, and this one could hear that."""
        now = self.world.now
        deaf = ("store cut", "store cut from all", "store slow", "monitor paused", *OUT_OF_ACTION)
        if any(fault.kind in deaf and fault.start <= now and fault.end > now - 4.0 for fault in self.faults):
            return
        for other, said in self.store.said.items():
            if other == monitor or not said:
                continue
            before = [(at, word) for at, word in said if at <= now - HEARD]
            since = [word for at, word in said if at > now - HEARD]
            words = [*([before[-1][1]] if before and before[-1][0] > now - VETO else []), *since]
            if words and all(source in word.healthy for word in words):
                raise Violation(16, f"{monitor} leaves {source} ({swap.reason}), which {other} has called healthy")

    def _check_seen(self, monitor: str, swap: Swap) -> None:
        """A monitor that can read neither EC2 nor the store does not know whether another has taken its swap back."""
        now, began = self.world.now, self._unknown.pop((monitor, swap.key), None)
        if began is None:
            return
        blind = {"reads fail": ((),), "store cut": ((monitor,),), "store cut from all": ((),)}
        lasting = {
            fault.kind for fault in self.faults
            if fault.where in blind.get(fault.kind, ()) and fault.start <= began and fault.end >= now
        }  # fmt: skip
        if "reads fail" in lasting and len(lasting) > 1:
            raise Violation(16, f"{swap.key} is swapped by {monitor} again, which has seen nothing since it did that")

    def _check_target(self, swap: Swap) -> None:
        world, now = self.world, self.world.now
        site = next(site.name for site in world.plan.sites if swap.key.destination in site.prefixes)
        since = {gateway: world.truth.since(("dead", (gateway, site))) for gateway in world.gateways}
        begin = since[swap.gateway]
        if begin is not None and now - begin > TRUTH_LAG:
            raise Violation(1 if None in since.values() else 2, f"{swap.key} to {swap.gateway}, dead for {site}")

    def _check_fight(self, monitor: str, swap: Swap) -> None:
        now, orders = self.world.now, self._orders.setdefault(swap.key, [])
        order = Order(now, monitor, swap.gateway)
        last = next((one for one in reversed(orders) if one.by != monitor), None)
        again = bool(orders) and (orders[-1].by, orders[-1].gateway) == (monitor, swap.gateway)  # judged already
        orders.append(order)
        self.ordered(monitor, swap)
        moved = any(now - QUIET < t <= now for fault in self.faults for t in (fault.start, fault.end))
        if last is not None and now - last.at < FIGHT and last.gateway != order.gateway and not (moved or again):
            raise Violation(16, f"{swap.key}: {monitor} wants {order.gateway} and {last.by} wants {last.gateway}")
        turns = 0
        for one, following in zip(reversed(orders[:-1]), reversed(orders), strict=False):
            if one.by == following.by or one.gateway == following.gateway or following.at - one.at > 15.0:
                break
            turns += 1
        if turns >= TURNS:
            raise Violation(16, f"{swap.key}: two monitors take turns, {turns} times by now")

    def on_repair(self, monitor: str, one: Repair) -> None:
        """A monitor orders a repair."""
        self.coverage["repair"] += 1
        if not self.has_lease(monitor):
            raise Violation(16, f"{one.gateway} is repaired by {monitor}, which does not have the lease")

    def on_tag(self, one: Repair) -> None:
        """A step's tag has been written, by whichever monitor."""
        now, timing = self.world.now, self.world.plan.timing
        steps = self._steps.setdefault(one.gateway, [])
        if steps and now - steps[-1] < timing.repair_interval - 0.5:
            raise Violation(6, f"{one.gateway}: a step {now - steps[-1]:.1f} s after the last one")
        steps.append(now)

    def on_note(self, note: Note) -> None:
        """The engine's own checks have found something, or a code is told that nobody knows."""
        if note.code == "invariant-violated":
            raise Violation(int(str(note.evidence["invariant"])), f"found by the engine itself: {note.text}")
        if note.code in OF_SEVERAL:
            self.coverage[f"told: {note.code}"] += 1

    # --- what comes of it ---------------------------------------------------------------------------------

    def on_call(self, monitor: str, swap: Swap, result: SwapResult, late: bool) -> None:
        """EC2 has been called; ``late``: by a monitor that must not have begun that any more."""
        if result.accepted is None:
            self._unknown[monitor, swap.key] = self.world.now
        if not late or result.accepted is False or self.world.ec2.gateway_of(swap.key) != swap.gateway:
            return
        self.coverage["late write"] += 1
        self._late_at[swap.key] = self.world.now
        others = [name for name, member in self.members.items() if name != monitor]
        able = any(self._sound(name) and self.has_lease(name) for name in others)
        if able and self._dead(swap.gateway) and self._other_way(swap.key, swap.gateway):
            self.coverage["late write to a dead gateway"] += 1
            self._late[swap.key] = self.world.now, monitor

    def on_step(self) -> None:
        """Routes leave what is dead, late writes too."""
        now = self.world.now
        for key, (at, by) in list(self._late.items()):
            gateway = self.world.ec2.gateway_of(key)
            if gateway is None or not self._dead(gateway) or not self._undisturbed(at, by):
                del self._late[key]
            elif now - at > CORRECTED:
                raise Violation(16, f"{key} has led to {gateway} for {now - at:.1f} s since a late write")
        for gateway in self.world.gateways:
            since = self.world.truth.since(("off", gateway))
            if since is not None and now - since > MUST_LEAVE:
                self._check_left(gateway, since)

    def _check_left(self, gateway: str, since: float) -> None:
        now = self.world.now
        ours = (*DEAD, *OUT_OF_ACTION)
        if any(
            fault.kind not in (*ours, *TRAPS) and fault.kind != "store cut from all" and fault.start <= now
            and fault.end > since - QUIET
            for fault in self.faults
        ):  # fmt: skip
            return
        for key, route in self.world.ec2.truth.routes.items():
            lately = now - self._late_at.get(key, since) <= MUST_LEAVE
            if route.gateway != gateway or lately or not self._other_way(key, gateway):
                continue
            owner = self.owner(route.zone)
            still = f"{key} still leads to {gateway}, dead for {now - since:.1f} s"
            if self._undisturbed_monitor(owner, since):
                raise Violation(0, f"{still}, for all that {owner} does")
            can = [name for name in self.members if name != owner and self._undisturbed_monitor(name, since)]
            stored = not any(
                fault.kind == "store cut from all" and fault.start <= now and fault.end > since - QUIET
                for fault in self.faults
            )
            away = not self._sound(owner) and all(
                fault.start <= since for fault in self.faults if fault.kind in OUT_OF_ACTION and fault.end > since
            )
            if can and stored and away and now - since > MUST_BE_TAKEN_OVER:
                raise Violation(0, f"{still}, for all that {can[0]} does")
        self.coverage["must leave"] += 1

    def _other_way(self, key: RouteKey, gateway: str) -> bool:
        """Another gateway has carried its site's packets for long enough."""
        site = next(site.name for site in self.world.plan.sites if key.destination in site.prefixes)
        ways = [
            self.world.truth.stretches(("dead", (other, site)), self.world.now)
            for other in self.world.gateways
            if other != gateway
        ]
        return all(end < self.world.now - MUST_LEAVE for its in ways for _begin, end in its)

    def _dead(self, gateway: str) -> bool:
        since = self.world.truth.since(("off", gateway))
        return since is not None and self.world.now - since > TRUTH_LAG

    def _sound(self, monitor: str) -> bool:
        """It runs, has seen enough, and sees."""
        member, now = self.members[monitor], self.world.now
        isolated = self.world.has(("monitor isolated",), (monitor,))
        return member.able and not isolated and now - max(member.since, member.trusted) > 3.0

    def _undisturbed(self, since: float, late: str) -> bool:
        """Nothing has happened meanwhile to the monitors that were not late, to EC2 and to the store."""
        now = self.world.now
        lasting = [fault for fault in self.faults if fault.start <= now and fault.end > since - TRUTH_LAG]
        others = [fault for fault in lasting if fault.kind not in (*DEAD, *TRAPS) and fault.where != (late,)]
        turns = [t for fault in lasting if fault.kind in DEAD for t in (fault.start, fault.end)]
        return not others and not any(since - TRUTH_LAG < t <= now for t in turns)

    def _undisturbed_monitor(self, monitor: str, since: float) -> bool:
        member = self.members[monitor]
        place = next(one.zone for one in self.world.plan.monitors if one.name == monitor)
        for fault in self.faults:
            touches = fault.where[:1] == (monitor,) or (fault.kind == "zone lost" and fault.where == (place,))
            if touches and fault.start <= self.world.now and fault.end > since - 5.0:
                return False
        return member.able and max(member.since, member.trusted) < since

    def at_end(self) -> None:
        """After everything has been mended for long enough, every route leads home."""
        for key, route in self.world.ec2.truth.routes.items():
            home = self._homes[route.zone].name
            if route.gateway != home:
                raise Violation(0, f"{key} leads to {route.gateway or route.target} for ever, not home")


class MemberOracle:
    """What one of the monitors tells the oracle; it has the methods of the other oracle that a monitor calls."""

    def __init__(self, several: SeveralOracle, monitor: str) -> None:
        self.several, self.monitor = several, monitor
        self.coverage = several.coverage
        self.repairs = several

    def on_actions(
        self,
        actions: tuple[Action, ...],
        view: Ec2View | None,
        sources: dict[RouteKey, str | None],
        _trusted: float,
        _began: float,
    ) -> None:
        """Hold a step's actions to the promises."""
        for action in actions:
            if isinstance(action, Note):
                self.several.on_note(action)
            elif isinstance(action, Repair):
                self.several.on_repair(self.monitor, action)
            elif isinstance(action, Swap):
                assert view is not None
                self.several.on_swap(self.monitor, action, view, sources.get(action.key))

    def on_results(self, results: tuple[SwapResult, ...], now: float) -> None:
        """What came of swaps is judged when it happens."""

    def on_step(self, since: float) -> None:
        """All monitors are judged at once."""

    def on_view(self, view: Ec2View) -> None:
        """A read is nothing to judge."""

    def forget_flights(self) -> None:
        """Nothing is kept of them."""

    def forget_interfaces(self) -> None:
        """Nor of these."""
