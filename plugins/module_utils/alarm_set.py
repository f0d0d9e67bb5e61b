# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch alarms made what they should be, with the fewest calls that lead there: the others of ours are deleted.

Ours is what has the prefix in its name and the deployment in its tag ``vpnha:made``. A call that would change or
delete anything else is never made. Nothing is asked about tags while all is as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from . import ec2, pace, tags
from .errors import VpnhaError

METRIC, COMPOSITE = "metric", "composite"
_DELETE = 100  # alarms in one DeleteAlarms, and one composite alarm at most
_RATE = 3.0  # calls a second that CloudWatch grants an account to put or delete alarms

Existing = Mapping[str, Mapping[str, Any]]  # CloudWatch's alarms by name


@dataclass(frozen=True)
class Alarm:
    """An alarm as it shall be; ``arguments`` are those of PutMetricAlarm or PutCompositeAlarm."""

    watched: str  # what it is about: a VPN connection, a monitor
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name, by which CloudWatch knows it."""
        return str(self.arguments["AlarmName"])


@dataclass(frozen=True)
class Change:
    """What a run does, or would do, with one alarm."""

    name: str
    kind: str
    action: str  # make, change, remove, or none


@dataclass(frozen=True)
class Plan:
    """All that has to be done, in the order in which it has to be done."""

    put: tuple[Alarm, ...]  # alarms before the composites that name them
    remove: tuple[tuple[str, str], ...]  # name and kind, composites before the alarms that they name
    new: frozenset[str]  # names in ``put`` that do not exist yet
    kept: tuple[Alarm, ...]  # as they should be

    @property
    def changes(self) -> list[Change]:
        """Every alarm of ours, by name."""
        found = [Change(each.name, each.kind, "make" if each.name in self.new else "change") for each in self.put]
        found += [Change(name, kind, "remove") for name, kind in self.remove]
        found += [Change(each.name, each.kind, "none") for each in self.kept]
        return sorted(found, key=lambda change: change.name)


def own_tags(deployment: str) -> list[dict[str, str]]:
    """The tags that an alarm is made with."""
    return tags.to_list({tags.DEPLOYMENT: deployment, tags.MADE: deployment})


def plan(alarms: Sequence[Alarm], existing: Existing) -> Plan:
    """What makes the existing alarms the wanted ones; ``existing`` are all with the prefix, ours or not."""
    names = {alarm.name for alarm in alarms}
    kept = [alarm for alarm in alarms if alarm.name in existing and _holds(alarm, existing[alarm.name])]
    put = [alarm for alarm in alarms if alarm not in kept]
    gone = [(name, _kind(found)) for name, found in existing.items() if name not in names]
    return Plan(
        put=tuple(put),
        remove=tuple(sorted(gone, key=lambda each: (each[1] != COMPOSITE, each[0]))),
        new=frozenset(alarm.name for alarm in put if alarm.name not in existing),
        kept=tuple(kept),
    )


def _kind(found: Mapping[str, Any]) -> str:
    return COMPOSITE if "AlarmRule" in found else METRIC


def _holds(alarm: Alarm, found: Mapping[str, Any]) -> bool:
    # Tags are given once, when an alarm is made: CloudWatch ignores them later, and does not list them either.
    return _same({key: value for key, value in alarm.arguments.items() if key != "Tags"}, found)


def _same(want: Any, found: Any) -> bool:
    """Whether CloudWatch has what is wanted; it may have more, and lists in another order."""
    if isinstance(want, Mapping):
        return isinstance(found, Mapping) and all(_same(value, found.get(key)) for key, value in want.items())
    if isinstance(want, list):
        left, right = sorted(want, key=_order), sorted(found or (), key=_order)
        return len(left) == len(right) and all(_same(*pair) for pair in zip(left, right, strict=True))
    return bool(want == found)


def _order(item: Any) -> str:
    return str(item.get("Id") or item.get("Name")) if isinstance(item, Mapping) else str(item)


# --- Calls ---------------------------------------------------------------------------------------------------------


def read(cloudwatch: Any, prefix: str) -> dict[str, dict[str, Any]]:
    """All alarms whose names begin with the prefix, by name, ours or not. Raises Ec2Error."""
    found: dict[str, dict[str, Any]] = {}
    for kind, key in (("MetricAlarm", "MetricAlarms"), ("CompositeAlarm", "CompositeAlarms")):
        listed = ec2.pages(
            cloudwatch, "describe_alarms", key, "reading the alarms",
            AlarmNamePrefix=prefix, AlarmTypes=[kind], MaxRecords=100,
        )  # fmt: skip
        found |= {each["AlarmName"]: each for each in listed}
    return found


def plan_ours(cloudwatch: Any, deployment: str, alarms: Sequence[Alarm], existing: Existing) -> Plan:
    """`plan` without removing what others have made; VpnhaError where one of theirs has a name that we need."""
    proposed = plan(alarms, existing)
    for alarm in proposed.put:
        if alarm.name in existing and not _is_ours(cloudwatch, deployment, existing[alarm.name]):
            raise VpnhaError(
                f"The alarm {alarm.name} does not carry the tag {tags.MADE}={deployment}: somebody else has made it. "
                f"Remove it, or give this deployment another name."
            )
    ours = tuple(each for each in proposed.remove if _is_ours(cloudwatch, deployment, existing[each[0]]))
    return replace(proposed, remove=ours)


def _is_ours(cloudwatch: Any, deployment: str, alarm: Mapping[str, Any]) -> bool:
    asked = partial(cloudwatch.list_tags_for_resource, ResourceARN=alarm["AlarmArn"])
    return tags.to_dict(ec2.call("reading an alarm's tags", asked).get("Tags")).get(tags.MADE) == deployment


def carry_out(cloudwatch: Any, todo: Plan, existing: Existing, bucket: pace.TokenBucket | None = None) -> None:
    """Does what is planned. Raises Ec2Error; what was done until then stays, and the next run does the rest."""
    tokens = bucket or pace.TokenBucket(capacity=_RATE, rate=_RATE)

    def go(doing: str, method: Any, **arguments: Any) -> None:
        tokens.acquire()
        ec2.call(doing, partial(method, **arguments))

    for alarm in todo.put:
        method = cloudwatch.put_composite_alarm if alarm.kind == COMPOSITE else cloudwatch.put_metric_alarm
        # Whether an alarm's actions are on is a person's word, given for maintenance for instance.
        enabled = existing.get(alarm.name, {}).get("ActionsEnabled", True)
        go(f"putting the alarm {alarm.name}", method, **alarm.arguments, ActionsEnabled=enabled)
    for names in _removals(todo):
        go(f"removing the alarms {', '.join(names)}", cloudwatch.delete_alarms, AlarmNames=names)


def _removals(todo: Plan) -> Sequence[list[str]]:
    """The names of alarms that go, as single calls take them; composites first, since they name the others."""
    composites = [[name] for name, kind in todo.remove if kind == COMPOSITE]
    plain = [name for name, kind in todo.remove if kind != COMPOSITE]
    return composites + [plain[start : start + _DELETE] for start in range(0, len(plain), _DELETE)]
