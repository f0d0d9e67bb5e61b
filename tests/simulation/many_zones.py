# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules of deployments with more zones: gateways that several zones use, zones with several gateways or none.

They are held to the same promises, and to where a dead gateway's zones are said to go (docs/how-failover-works.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Gateway, RouteKey, SwapResult
from tests.unit.plugins.module_utils.scenario import deployment

from .faults import Fault
from .oracle import DEAD, MUST_LEAVE, QUIET, Oracle
from .schedule import Outcome, play_out, run
from .violation import Violation
from .world import SHUTDOWN, STOPS, World

LETTERS = "abcdef"


def plan_for(random: Random) -> Deployment:
    """Three to six gateways in two to five zones, each zone at home at any of them; the nearer one's zone first."""
    letters = LETTERS[: random.randint(3, 6)]
    hold = random.choice((5.0, 15.0))
    plan = deployment(
        letters,
        random.choice(("bgp", "static")),
        hold_down=hold,
        hold_down_max=2 * hold,
        voluntary_delay=random.choice((10.0, 30.0)),
    )
    zones = [
        replace(zone, near=tuple(random.sample([z.name for z in plan.zones if z != zone], random.randint(0, 2))))
        for zone in plan.zones[: random.randint(2, len(letters) - 1)]
    ]
    names = [zone.name for zone in zones]
    zones = [replace(zone, near=tuple(name for name in zone.near if name in names)) for zone in zones]

    def seat(gateway: Gateway) -> str:
        return gateway.zone if gateway.zone in names and random.random() < 0.7 else random.choice(names)

    seats = {gateway.name: seat(gateway) for gateway in plan.gateways}
    homes = {}
    for zone in names:  # at a gateway of its own, as shipped, or at any
        own = [name for name, its in seats.items() if its == zone]
        homes[zone] = random.choice(own if own and random.random() < 0.5 else list(seats))
    gateways = tuple(
        replace(
            gateway,
            zone=seats[gateway.name],
            home_zones=tuple(zone for zone, home in homes.items() if home == gateway.name),
            capacity=random.choice((1.0, 1.0, 2.0)),
        )
        for gateway in plan.gateways
    )
    spread = random.choice(("distance", "distance", "capacity"))
    return replace(plan, zones=tuple(zones), gateways=gateways, spread=spread)


class Spread(Oracle):
    """Also judges where the routes of a gateway go that dies while all is well, and that each moves once."""

    def __init__(self, world: World, faults: list[Fault]) -> None:
        super().__init__(world, faults)
        self._home = {zone: gateway.name for gateway in world.plan.gateways for zone in gateway.home_zones}
        self._swaps: Counter[RouteKey] = Counter()  # accepted ones
        self._began: dict[Fault, Counter[RouteKey] | None] = {}  # those before it; None if not all was well
        self._judged: set[Fault] = set()

    def on_results(self, results: tuple[SwapResult, ...], now: float) -> None:
        """Counts what was accepted."""
        super().on_results(results, now)
        self._swaps.update(result.swap.key for result in results if result.accepted)

    def on_step(self, monitor_since: float) -> None:
        """Looks once at each death, as soon as all routes must have left."""
        super().on_step(monitor_since)
        now = self.world.now
        for fault in self.world.faults:
            if fault.kind not in DEAD or fault in self._judged:
                continue
            if fault not in self._began:
                self._began[fault] = Counter(self._swaps) if self._well(fault) else None
            dead_since = fault.start + (SHUTDOWN if fault.kind in STOPS else 0.0)
            if now - dead_since < MUST_LEAVE or dead_since - monitor_since < 2.0:
                continue
            self._judged.add(fault)
            before = self._began[fault]
            if before is not None and not self._others(fault):
                self._judge(fault.where[0], before)

    def _well(self, fault: Fault) -> bool:
        """Whether every route is at home, and every other gateway has been well for long."""
        since = fault.start - QUIET
        fit = not any(
            self.world.truth.within(("unfit", (gateway, site)), since, self.world.now, 0.0)
            for gateway in self.world.gateways
            for site in self.world.sites
            if gateway != fault.where[0]
        )
        routes = self.world.ec2.truth.routes.values()
        return fit and all(route.gateway == self._home[route.zone] for route in routes) and not self._others(fault)

    def _others(self, fault: Fault) -> bool:
        """Whether another fault strikes too, or has until lately."""
        now = self.world.now
        return any(o is not fault and o.start <= now and o.end > fault.start - QUIET for o in self.faults)

    def _judge(self, dead: str, before: Counter[RouteKey]) -> None:
        plan, home = self.world.plan, self._home
        sizes: Counter[str] = Counter()  # routes by zone: each has one to each site, but those that a person deleted
        went: dict[str, set[str | None]] = {}
        for key, route in self.world.ec2.truth.routes.items():
            moved = self._swaps[key] - before[key]
            if moved != (home[route.zone] == dead):
                raise Violation(0, f"{key}, at home at {home[route.zone]}, was swapped {moved} times as {dead} died")
            sizes[route.zone] += 1
            if home[route.zone] == dead:
                went.setdefault(route.zone, set()).add(route.gateway)
        self.coverage["spread"] += 1
        self.coverage["spread, several zones"] += len(went) > 1
        if torn := [zone for zone, gateways in went.items() if len(gateways) > 1]:
            raise Violation(0, f"{torn[0]} is torn apart over {', '.join(map(str, went[torn[0]]))}")
        loads = {one.name: sum(sizes[zone] for zone in one.home_zones) for one in plan.gateways if one.name != dead}
        places = {zone: str(gateways.pop()) for zone, gateways in went.items()}
        if not reachable(plan, places, loads, sizes):
            raise Violation(0, f"{dead} died and its zones went {places}, others with {loads} routes before")


def reachable(plan: Deployment, places: Mapping[str, str], loads: Mapping[str, int], sizes: Mapping[str, int]) -> bool:
    """Whether zones get there if one after the other, in whatever order, goes to the best gateway for it."""
    if not places:
        return True
    return any(
        gateway in best(plan, zone, loads, sizes[zone])
        and reachable(
            plan,
            {z: g for z, g in places.items() if z != zone},
            {**loads, gateway: loads[gateway] + sizes[zone]},
            sizes,
        )
        for zone, gateway in places.items()
    )


def best(plan: Deployment, zone: str, loads: Mapping[str, int], size: int) -> list[str]:
    """The gateways that a zone's routes should go to: the nearest, or the least loaded for what it can take."""
    near = next(one.near for one in plan.zones if one.name == zone)

    def rank(gateway: Gateway) -> tuple[float, float]:
        distance = 0 if gateway.zone == zone else 1 + [*near, gateway.zone].index(gateway.zone)
        load = (loads[gateway.name] + size) / gateway.capacity
        return (distance, load) if plan.spread == "distance" else (load, distance)

    ranks = {gateway.name: rank(gateway) for gateway in plan.gateways if gateway.name in loads}
    return [name for name, one in ranks.items() if one == min(ranks.values())]


def play(seed: int, only: Sequence[str] = ()) -> Outcome:
    """A schedule as any other one, of such a deployment."""
    return run(seed, only, plan_for, Spread)


def one_dies(seed: int, before: Callable[[Deployment], Sequence[Fault]] = lambda _plan: ()) -> tuple[Outcome, int]:
    """A schedule in which one gateway dies and nothing else happens, and how many routes are at home at it.

    ``before``: what is over then.
    """
    random = Random(seed)
    plan = plan_for(random)
    dead = random.choice([gateway for gateway in plan.gateways if gateway.home_zones])
    fault = Fault(random.choice(DEAD[:3]), (dead.name,), 120.0, 120.0 + random.uniform(20.0, 120.0))
    return play_out(seed, random, plan, [*before(plan), fault], Spread), len(dead.home_zones) * len(plan.sites)
