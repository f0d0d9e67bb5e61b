# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong in a schedule, when, where and for how long: all of it drawn from the schedule's seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment

BRIEF = (0.1, 0.4)  # seconds that must not matter
SHORT = (0.7, 5.0)
LONG = (5.0, 120.0)

# kind: (weight, what it strikes, how long)
KINDS: dict[str, tuple[int, str, tuple[tuple[float, float], ...]]] = {
    "power off": (6, "gateway", (SHORT, LONG)),
    "stop instance": (3, "gateway", (LONG,)),
    "announced stop": (2, "gateway", (LONG,)),
    "agent dead": (4, "gateway", (SHORT, LONG)),
    "agent restart": (2, "gateway", ((0.5, 3.0),)),
    "charon dead": (2, "gateway", (LONG,)),
    "gateway blackout": (3, "gateway", (BRIEF,)),
    "gateway cut off": (3, "gateway", (SHORT, LONG)),
    "gateway loses 10 %": (2, "gateway", (LONG,)),
    "gateway loses 40 %": (2, "gateway", (LONG,)),
    "gateway overloaded": (2, "gateway", (LONG,)),
    "monitor cut from gateway": (5, "gateway", (SHORT, LONG)),
    "monitor isolated": (4, "monitor", (SHORT, LONG)),
    "monitor paused": (4, "monitor", ((0.3, 20.0),)),
    "monitor restarted": (3, "monitor", ((1.0, 30.0),)),
    "wall clock set": (2, "monitor", (SHORT, LONG)),
    "blackout of everything": (4, "monitor", (BRIEF, (1.0, 3.0))),
    "tunnel cut": (6, "tunnel", (SHORT, LONG)),
    "tunnel blackout": (2, "tunnel", (BRIEF,)),
    "tunnel loses 40 %": (2, "tunnel", (LONG,)),
    "tunnel mtu": (1, "tunnel", (LONG,)),
    "bgp down": (3, "tunnel", (LONG,)),
    "ike down": (2, "tunnel", (LONG,)),
    "site not behind peer": (2, "tunnel", (SHORT, LONG)),
    "site down": (5, "site", (SHORT, LONG)),
    "site's servers down": (3, "site", (SHORT, LONG)),
    "source/dest check": (2, "gateway", (LONG,)),
    "status impaired": (2, "gateway", (LONG,)),
    "new interface": (1, "gateway", (LONG,)),
    "writes throttled": (2, "api", (LONG,)),
    "writes fail": (2, "api", (LONG,)),
    "writes time out, applied": (2, "api", (LONG,)),
    "writes time out, not applied": (2, "api", (LONG,)),
    "writes fail now and then": (3, "api", (LONG,)),
    "reads fail": (3, "api", (LONG,)),
    "reads stale": (4, "api", (LONG,)),
    "person deletes route": (1, "route", (LONG,)),
    "person points route elsewhere": (2, "route", (LONG,)),
    "person moves route": (2, "route", (LONG,)),
    "person fails over with a pin": (2, "gateway", (LONG,)),
    "pause of deployment": (1, "monitor", (LONG,)),
    "pause of gateway": (1, "gateway", (LONG,)),
    "pause of table": (1, "gateway", (LONG,)),
}


# where there is a managed gateway: drawn with a die of its own as well
MANAGED: dict[str, tuple[int, str, tuple[tuple[float, float], ...]]] = {
    "managed gateway cut": (4, "managed", (BRIEF, SHORT, LONG)),
    "every tunnel cut": (3, "site", (SHORT, LONG)),
    "every gateway off": (2, "managed", (LONG,)),
}

# what stays broken until it is repaired, at the latest by a person: drawn with a die of its own
LASTING = ("host hangs", "host hangs hard", "stopped by somebody")
REPLACED = ("host dead for good", "terminated by somebody")  # what only another instance ends
PERSON_COMES = (300.0, 600.0)  # seconds after such a fault...
PERSON_REPLACES = (450.0, 700.0)  # ...and after one that only another instance ends
# what stands in a replacement's way: struck while one of those lasts
IN_THE_WAY = {"no capacity": ("api", (60.0, 200.0)), "interface stays busy": ("gateway", (60.0, 200.0))}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong and is mended again."""

    kind: str
    where: tuple[str, ...]
    start: float
    end: float

    def __str__(self) -> str:
        return f"{self.start:8.2f} to {self.end:8.2f} s: {self.kind} {'/'.join(self.where)}"


def draw(plan: Deployment, random: Random, begin: float, finish: float, only: Sequence[str] = ()) -> list[Fault]:
    """The faults of one schedule, of all kinds or ``only`` some; half of them strike while an earlier one lasts."""
    kinds = [kind for kind in only or KINDS if kind in KINDS]
    if not kinds:
        return []
    weights = [KINDS[kind][0] for kind in kinds]
    faults: list[Fault] = []
    for _ in range(random.randint(3, 8)):
        kind = random.choices(kinds, weights)[0]
        _weight, scope, durations = KINDS[kind]
        if faults and random.random() < 0.5:
            earlier = random.choice(faults)
            start = random.uniform(max(begin, earlier.start - 1.0), min(earlier.end + 2.0, finish))
        else:
            start = random.uniform(begin, finish)
        low, high = random.choice(durations)
        end = min(start + random.uniform(low, high), finish + 60)
        faults.append(Fault(kind, _where(plan, random, scope), start, end))
    return sorted(faults, key=lambda fault: fault.start)


def draw_managed(plan: Deployment, random: Random, begin: float, finish: float) -> list[Fault]:
    """Faults of the managed gateway, and such as only it can help with."""
    faults = []
    for _ in range(random.randint(2, 4)):
        kind = random.choices(list(MANAGED), [weight for weight, _scope, _lasts in MANAGED.values()])[0]
        _weight, scope, durations = MANAGED[kind]
        start = random.uniform(begin, finish)
        low, high = random.choice(durations)
        faults.append(Fault(kind, _where(plan, random, scope), start, start + random.uniform(low, high)))
    return faults


def draw_lasting(
    plan: Deployment, random: Random, begin: float, finish: float, only: Sequence[str] = ()
) -> list[Fault]:
    """Up to two faults that a repair ends; they strike early, as it takes its time."""
    kinds = [kind for kind in (*LASTING, *(REPLACED if plan.repair == "replace" else ())) if not only or kind in only]
    faults = []
    for _ in range(random.randint(1, 2)):
        start = random.uniform(begin, (begin + finish) / 2)
        gateway = random.choice(plan.gateways).name
        if gateway not in [fault.where[0] for fault in faults]:
            kind = random.choice(kinds)
            comes = PERSON_REPLACES if kind in REPLACED else PERSON_COMES
            faults.append(Fault(kind, (gateway,), start, start + random.uniform(*comes)))
    for fault in [fault for fault in faults if fault.kind in REPLACED]:
        for kind, (scope, lasts) in IN_THE_WAY.items():
            if random.random() < 0.3 and (not only or kind in only):
                start = random.uniform(fault.start, fault.end)
                where = fault.where if scope == "gateway" else ()
                faults.append(Fault(kind, where, start, start + random.uniform(*lasts)))
    return sorted(faults, key=lambda fault: fault.start)


HANGS = 5  # times that one gateway hangs within a day: more than the budget of its repairs
HANGS_APART = (3.5 * 3600.0, 4.2 * 3600.0)  # seconds
PERSON_COMES_LATE = (2400.0, 3000.0)  # seconds after each
FLAPS = ("power off", "tunnel cut", "bgp down")
FLAPS_LAST, FLAPS_APART = (3.0, 20.0), (110.0, 200.0)  # seconds
HOUR = 3600.0


def draw_day(plan: Deployment, random: Random, begin: float, finish: float) -> list[Fault]:
    """The faults of a day: any as always, a gateway that hangs again and again, and an hour in which something flaps.

    So the budget of repairs and that of voluntary moves come to bite.
    """
    faults = draw(plan, random, begin, finish)
    hangs, at = random.choice(plan.gateways).name, random.uniform(begin, begin + 2 * HOUR)
    for _ in range(HANGS):
        faults.append(Fault("host hangs", (hangs,), at, at + random.uniform(*PERSON_COMES_LATE)))
        at += random.uniform(*HANGS_APART)
    kind = random.choice(FLAPS)
    where, at = _where(plan, random, KINDS[kind][1]), random.uniform(begin, finish - HOUR)
    over = at + HOUR
    while at < over:
        faults.append(Fault(kind, where, at, at + random.uniform(*FLAPS_LAST)))
        at += random.uniform(*FLAPS_APART)
    return sorted(faults, key=lambda fault: fault.start)


def _where(plan: Deployment, random: Random, scope: str) -> tuple[str, ...]:
    gateway, site = random.choice(plan.gateways), random.choice(plan.sites)
    if scope == "gateway":
        return (gateway.name,)
    if scope == "site":
        return (site.name,)
    if scope == "tunnel":
        return gateway.name, site.name
    if scope == "route":
        return f"rtb-{gateway.zone}", random.choice(site.prefixes)
    return ()
