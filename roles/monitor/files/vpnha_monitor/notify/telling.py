# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which facts make which message, and when. Pure: times come as arguments, and nothing is kept but in memory.

What belongs together waits a moment and becomes one message: a failover of a hundred tables is one, with its cause and
what EC2 said to it. A matter is told once, until it is over; an end is told only of what was told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment
from ansible_collections.vpnha.aws.plugins.module_utils.told import WAITS_DELAY

from .facts import Fact, new_id

SETTLE = 3.0  # s from the first fact of a message until it is made
YIELD = 15.0  # s that a monitor without the lease leaves what all see to the one that has it
RECONFIRM = 120.0  # s after a start in which what was told before must be seen again, or is over
LAPSE = {"invariant-violated": 3600.0}  # s, instead of that and at any time, for what nobody says the end of
PATIENCE = {"monitor-sick": 60.0, "gateway-grey": 30.0, "tunnel-grey": 30.0}  # s, instead of `SETTLE`
TRIFLES = 2  # times that such a matter may come and go meanwhile without being told
MOVES = ("failover", "voluntary-move", "failback")
_EVENTS = (*MOVES, "drill-result", "not-carrying")  # things that happen and have no end
_SHARED_KINDS = ("redundancy", "site-down")  # every monitor sees these
_SHARED_CODES = (
    "route-missing", "route-foreign", "route-not-described", "table-refused", "pinned-to-broken", "drill-running",
    "repair-under-way", "repair-needs-person", "repair-waits",  # who repairs has the lease
)  # fmt: skip
_OF_OWNER = ("no-healthy-gateway",)  # of a shared kind, but seen only by the monitor that acts for the zone
_BLIND = ("monitor-isolated", ""), ("ec2-unreadable", "")

Key = tuple[str, str]


@dataclass(frozen=True)
class Opened:
    """A matter that people were told of."""

    wall: float
    text: str


@dataclass(frozen=True)
class Told:
    """Facts that make one message, and what becomes known or closed by it. ``over``: it tells of the end."""

    kind: str
    scope: str
    facts: tuple[Fact, ...]
    over: bool = False
    ended: frozenset[Key] = frozenset()  # that are over before they were told
    accepted: Mapping[str, int] = field(default_factory=dict)  # by gateway: swaps that EC2 accepted meanwhile
    since: Mapping[Key, float] = field(default_factory=dict)  # of an end: when it was told that it began
    leads: bool = True  # by the lease: tells what every monitor sees
    times: int = 1  # that the same came again
    remains: tuple[str, ...] = ()  # of an end: what else of the same gateway, site or kind of trouble is not over

    @property
    def silent(self) -> bool:
        """Whether it is not told: another monitor does that, or it was a moment's trouble and is over."""
        if self.over:
            return False
        passing = all(fact.code in PATIENCE and fact.key in self.ended for fact in self.facts)
        return (passing and self.times <= TRIFLES) or (not self.leads and all(_shared(fact) for fact in self.facts))

    @property
    def opens(self) -> tuple[Fact, ...]:
        """The matters that are known from now on."""
        if self.over:
            return ()
        return tuple(
            fact
            for fact in self.facts
            if fact.code not in _EVENTS and fact.key not in self.ended and (self.leads or not _shared(fact))
        )


@dataclass
class _Group:
    due: float
    first: float
    ready: float | None = None  # when it was due first
    facts: list[Fact] = field(default_factory=list)
    ended: set[Key] = field(default_factory=set)
    accepted: dict[str, int] = field(default_factory=dict)
    times: int = 1


class Telling:
    """Takes facts, and gives them back in groups when their time has come."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.open: dict[Key, Opened] = {}
        self._groups: dict[tuple[str, str, bool], _Group] = {}
        self._unconfirmed: dict[Key, float] = {}  # not seen since the start, or of `LAPSE` -> when it counts as over

    def restore(self, known: Mapping[Key, Opened], mono: float) -> None:
        """What was told before this start, and has not been seen to end."""
        seen = {one.key for group in self._groups.values() for one in group.facts if one.key not in group.ended}
        for key, opened in known.items():
            if key not in self.open:
                self.open[key] = opened
                if key not in seen:
                    self._unconfirmed[key] = mono + LAPSE.get(key[0], self._reconfirmed_within(key[0]))

    def take(self, fact: Fact, mono: float) -> bool:
        """Whether this fact is to be told; one that is not is forgotten."""
        if fact.code in _EVENTS:
            self._group(fact, mono).facts.append(fact)
            return True
        self._unconfirmed.pop(fact.key, None)
        if fact.code in LAPSE and not fact.resolved:
            self._unconfirmed[fact.key] = mono + LAPSE[fact.code]
        pending = self._groups.get((fact.kind, self._scope(fact), False))
        if fact.resolved:
            if pending is not None and any(one.key == fact.key for one in pending.facts):
                pending.ended.add(fact.key)  # the message that is being made says so
                return False
            if fact.key not in self.open:
                return False
            ends = self._group(fact, mono)
            known = any(one.key == fact.key for one in ends.facts)
            if not known:
                ends.facts.append(fact)
            return not known
        ends_now = self._groups.get((fact.kind, self._scope(fact), True))
        ended = ends_now is not None and any(one.key == fact.key for one in ends_now.facts)
        if fact.key in self.open and not ended:
            return False
        group = self._group(fact, mono)
        if any(one.key == fact.key for one in group.facts):
            group.times += fact.key in group.ended
            group.ended.discard(fact.key)
            return False
        group.facts.append(fact)
        return True

    def take_again(self, fact: Fact, mono: float) -> bool:
        """`take` for one that waited when the last monitor ended: nobody knows whether it still holds."""
        begins = not fact.resolved and fact.code not in _EVENTS
        if begins and fact.code in PATIENCE:
            return False  # if it lasts, this monitor sees it by itself
        taken = self.take(fact, mono)
        if taken and begins:
            self._unconfirmed.setdefault(fact.key, mono + self._reconfirmed_within(fact.code))
        return taken

    def accepted(self, gateway: str) -> None:
        """EC2 has accepted a swap to a gateway: what is being told of moves there says so."""
        for (kind, _scope, _over), group in self._groups.items():
            if kind in ("failover", "failback") and any(one.evidence.get("to") == gateway for one in group.facts):
                group.accepted[gateway] = group.accepted.get(gateway, 0) + 1

    def due(self, mono: float, *, leads: bool) -> list[Told]:
        """The groups whose time has come; causes of a failover are part of its message. ``leads``: by the lease."""
        found: list[Told] = []
        self._end_first(mono)
        for name, group in sorted(self._groups.items(), key=_order):
            kind, scope, over = name
            if name not in self._groups or mono < group.due:
                continue
            move = self._groups.get(("failover", scope, False)) if (kind, over) == ("redundancy", False) else None
            yields = not over and not leads and all(_shared(fact) for fact in group.facts)
            if group.ready is None:
                group.ready = mono
            until = group.ready + YIELD - SETTLE
            if move is not None or (yields and mono < until):
                group.due = move.due if move is not None else min(until, mono + 1.0)
                continue
            del self._groups[name]
            told = Told(
                kind,
                scope,
                tuple(group.facts),
                over,
                frozenset(group.ended),
                dict(group.accepted),
                leads=leads,
                times=group.times,
            )
            if over:
                since = {one.key: self.open[one.key].wall for one in group.facts}
                told = replace(told, since=since, remains=self._remains(told))
            elif kind == "failover":
                told = self._with_causes(told)
            found.append(told)
        return found

    def told(self, told: Told) -> None:
        """A message was made of it: the matters are known, or closed."""
        for fact in told.opens:
            self.open[fact.key] = Opened(fact.wall, fact.text)
        if told.over:
            for fact in told.facts:
                self.open.pop(fact.key, None)

    def pending(self) -> list[Fact]:
        """The facts that wait for their message."""
        return [fact for group in self._groups.values() for fact in group.facts]

    def next_due(self, mono: float) -> float | None:
        """When there is something to do; None: when something happens."""
        times = [group.due for group in self._groups.values()]
        times += [max(at, mono + 1.0) for at in self._unconfirmed.values()]
        return min(times, default=None)

    def gone(self, mono: float, wall: float) -> list[Fact]:
        """Ends of what nobody ends: told before the start and not seen since, or not seen for long.

        A blind monitor sees nothing end.
        """
        if any(key in self.open and key not in self._unconfirmed for key in _BLIND):
            self._unconfirmed = {key: max(at, mono + RECONFIRM) for key, at in self._unconfirmed.items()}
        gone = [key for key, at in self._unconfirmed.items() if mono >= at]
        facts = []
        for code, subject in gone:
            del self._unconfirmed[code, subject]
            opened = self.open.get((code, subject))
            if opened is not None:  # else another monitor has told it
                since = f"for {LAPSE[code] / 60:g} minutes" if code in LAPSE else "since the monitor's restart"
                text = f"Not seen again {since}: {opened.text}"
                facts.append(Fact(new_id(), wall, code, subject, text, resolved=True))
        return facts

    def _end_first(self, mono: float) -> None:
        """Have the end of a matter that has begun again told now, if its beginning is, so that the end is not last."""
        for (kind, scope, over), begins in self._groups.items():
            move = self._groups.get(("failover", scope, False)) if kind == "redundancy" else None
            due = begins.due if move is None else move.due
            ends = self._groups.get((kind, scope, True))
            if not over and ends is not None and due <= mono < ends.due:
                again = {one.key for one in begins.facts} & {one.key for one in ends.facts}
                ends.due = mono if again else ends.due

    def _reconfirmed_within(self, code: str) -> float:
        """Seconds after a start in which what still holds has been seen again."""
        if code not in ("repair-needs-person", "repair-waits"):
            return RECONFIRM
        return RECONFIRM + self.deployment.timing.repair_after + (WAITS_DELAY if code == "repair-waits" else 0.0)

    def _remains(self, told: Told) -> tuple[str, ...]:
        """A gateway that is stopped no longer counts as silent, and still does not work."""
        ended = {fact.key for fact in told.facts}
        texts = []
        for (code, subject), opened in self.open.items():
            fact = Fact("", opened.wall, code, subject, opened.text)
            if fact.key not in ended and (fact.kind, self._scope(fact)) == (told.kind, told.scope):
                texts.append(opened.text)
        pending = self._groups.get((told.kind, told.scope, False))
        texts += [fact.text for fact in pending.facts if fact.key not in pending.ended] if pending else []
        return tuple(texts)

    def _with_causes(self, told: Told) -> Told:
        """A failover together with what is told of the same gateway at the same time."""
        causes = self._groups.pop(("redundancy", told.scope, False), None)
        if causes is None:
            return told
        return replace(told, facts=(*causes.facts, *told.facts), ended=told.ended | causes.ended)

    def _group(self, fact: Fact, mono: float) -> _Group:
        over = fact.resolved and fact.code not in _EVENTS
        due = mono + (SETTLE if over else PATIENCE.get(fact.code, SETTLE))
        group = self._groups.setdefault((fact.kind, self._scope(fact), over), _Group(due, mono))
        group.due = min(group.due, due)
        return group

    def _scope(self, fact: Fact) -> str:
        """What the facts of one message have in common: a gateway, a site, a drill, or the kind of trouble."""
        if fact.code == "failback":
            return str(fact.evidence.get("to", ""))
        if fact.kind == "trouble":
            return fact.code
        if fact.kind in ("redundancy", "failover"):
            return self._gateway(fact.subject)
        return fact.subject

    def _gateway(self, subject: str) -> str:
        """The gateway of a gateway's, a tunnel's, or a way's name."""
        for tunnel in self.deployment.tunnels:
            if tunnel.name == subject:
                return tunnel.gateway
        return subject.partition("/")[0]


def _order(item: tuple[tuple[str, str, bool], _Group]) -> tuple[bool, bool, float]:
    """Ends before what is not over, which they name, and a failover before its causes, which it takes along."""
    (kind, _scope, over), group = item
    return not over, kind != "failover", group.first


def _shared(fact: Fact) -> bool:
    return (fact.kind in _SHARED_KINDS and fact.code not in _OF_OWNER) or fact.code in _SHARED_CODES
