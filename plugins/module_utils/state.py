# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the decision remembers from one step to the next. Immutable; nothing in it must survive a crash.

Times are seconds of the monotonic clock that ``step`` is called with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model import Deployment, Repair, RouteKey, Swap
from .verdicts import Pair, Verdicts


@dataclass(frozen=True)
class Health:
    """What is remembered of one (gateway, site): how long it has been well, off or bad without a break."""

    well_since: float | None = None  # up
    off_since: float | None = None  # neither up nor merely suspect
    bad_since: float | None = None  # down
    hold: float = 0.0  # the hold-down that its last failure earned it, seconds
    flapped_at: float | None = None  # its last fall from being up
    armed: bool = False  # it has been up since then, so that another fall counts


@dataclass(frozen=True)
class Flight:
    """A swap handed to the actuator whose result has not come."""

    swap: Swap
    deadline: float  # after this its result is not waited for any longer


@dataclass(frozen=True)
class Retry:
    """When a route may be tried again after a failure."""

    round: int
    next_at: float
    error: str
    swap: Swap  # that failed
    soon_at: float  # for what is not the same again

    def again(self, voluntary: bool, target: str) -> bool:
        """Whether a swap is another round of this: no emergency is one of a voluntary swap, or of one elsewhere."""
        return voluntary or (not self.swap.voluntary and self.swap.target == target)

    def due(self, voluntary: bool, target: str) -> float:
        """When a swap of that kind and to that target may be tried."""
        return self.next_at if self.again(voluntary, target) else self.soon_at


@dataclass(frozen=True)
class Doubt:
    """A swap that may or may not have been applied; the next read tells."""

    swap: Swap
    since: float


@dataclass(frozen=True)
class Belief:
    """A swap that was accepted lately: reads that show something else may be stale."""

    gateway: str
    target: str  # as in `Swap`
    at: float
    confirmed: bool = False  # a later read has shown it
    contrary: tuple[int, float, str | None] | None = None  # version and time of a read that shows this instead


@dataclass(frozen=True)
class Interface:
    """A gateway's network interface. One that it once had may be shown again by a stale read.

    A managed gateway's is its virtual private gateway, which stays the same.
    """

    eni_id: str | None
    former: frozenset[str] = frozenset()
    back_since: float | None = None  # since when reads show a former one instead


@dataclass(frozen=True)
class Group:
    """Routes that are decided about alike."""

    gateway: str | None  # where they lead; None: somewhere that is no gateway of ours
    zone: str
    site: str
    fault: str = ""  # "", "old interface", "blackhole", or "blackhole?" if only one read says so


@dataclass(frozen=True)
class Routes:
    """What is known of the managed routes: EC2's word, and what was done since."""

    version: int = -1  # of the view taken in last
    gateway_of_target: Mapping[str, str] = field(default_factory=dict)  # also of interfaces that are gone
    interfaces: Mapping[str, Interface] = field(default_factory=dict)  # gateway -> the one it has
    flights: Mapping[RouteKey, Flight] = field(default_factory=dict)
    overtaken: frozenset[RouteKey] = frozenset()  # in flight voluntarily, while by now they must leave at once
    retries: Mapping[RouteKey, Retry] = field(default_factory=dict)
    doubts: Mapping[RouteKey, Doubt] = field(default_factory=dict)
    beliefs: Mapping[RouteKey, Belief] = field(default_factory=dict)
    blackholes: Mapping[RouteKey, int] = field(default_factory=dict)  # the first read that said so
    moves: Mapping[RouteKey, tuple[float, ...]] = field(default_factory=dict)  # voluntary ones of the last hour
    placed: Mapping[RouteKey, str] = field(default_factory=dict)  # where swaps led since the lease store was read
    groups: Mapping[Group, tuple[RouteKey, ...]] = field(default_factory=dict)  # by zone, site, gateway, fault
    carried: Mapping[str, int] = field(default_factory=dict)  # gateway -> number of routes that lead to it
    foreign: Mapping[RouteKey, str] = field(default_factory=dict)  # a person's -> what they point at

    def target_of(self, gateway: str) -> str | None:
        """What routes to the gateway must point at."""
        interface = self.interfaces.get(gateway)
        return interface.eni_id if interface is not None else None


@dataclass(frozen=True)
class RepairStep:
    """A step of a repair that this monitor has begun. A tag has it too, in wall time."""

    at: float
    wall: float  # whole seconds, as the tag has it
    rung: str
    written: bool = False  # the tag, for certain


@dataclass(frozen=True)
class RepairFlight:
    """A repair handed to the actuator whose result has not come."""

    repair: Repair
    deadline: float


@dataclass(frozen=True)
class Repairs:
    """What is remembered of gateways that are down for long, by gateway."""

    down_since: Mapping[str, float] = field(default_factory=dict)  # without a break
    stopping_since: Mapping[str, float] = field(default_factory=dict)  # EC2's word
    steps: Mapping[str, tuple[RepairStep, ...]] = field(default_factory=dict)  # of the last day
    called: Mapping[str, float] = field(default_factory=dict)  # when its last call was ordered
    flight: RepairFlight | None = None
    taken: Mapping[str, str] = field(default_factory=dict)  # the last call that EC2 has taken
    failed: Mapping[str, str] = field(default_factory=dict)  # why it has not taken the last one, one sentence
    waiting: Mapping[str, str] = field(default_factory=dict)  # why nothing is done to it now
    lost: Mapping[str, str] = field(default_factory=dict)  # why nothing will be done: a person's work
    leased_since: float | None = None  # without a break, where there are several monitors


@dataclass(frozen=True)
class Told:
    """Something that people have been told and that has not been taken back."""

    text: str
    absent_since: float | None = None


Subject = tuple[str, str]  # code of a diagnosis, what it is about


@dataclass(frozen=True)
class State:
    """Everything that ``step`` remembers."""

    deployment: Deployment
    started: float
    seed: int = 0  # spreads the retries of several monitors
    monitor: str = ""  # this one's name, where there are several
    trusted_from: float = 0.0  # what was seen before proves nothing
    wall_offset: float | None = None  # wall clock less monotonic clock
    verdicts: Verdicts = field(default_factory=Verdicts)
    healths: Mapping[Pair, Health] = field(default_factory=dict)
    pingable: frozenset[str] = frozenset()  # gateways that have answered ICMP since the start
    sites_down_at: Mapping[str, float] = field(default_factory=dict)  # site -> last seen down, or quiet, everywhere
    sites_silent_at: Mapping[str, float] = field(default_factory=dict)  # site -> last seen so, as in `Verdicts`
    sites_dark_at: Mapping[str, float] = field(default_factory=dict)  # site -> last seen so, as in `Verdicts`
    routes: Routes = field(default_factory=Routes)
    repairs: Repairs = field(default_factory=Repairs)
    told: Mapping[Subject, Told] = field(default_factory=dict)
    untold: Mapping[Subject, float] = field(default_factory=dict)  # seen since, not told yet
    reads_asked: Mapping[str, float] = field(default_factory=dict)  # reason -> when
    others: frozenset[str] = frozenset()  # monitors that have said lately that they can act...
    others_changed: float = float("-inf")  # ...and when these were last others
