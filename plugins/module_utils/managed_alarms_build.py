# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes, mends and removes the alarms of AWS-managed VPN connections, with the fewest calls that lead there.

Ours is what has the deployment's prefix in its name and its tag ``vpnha:made``. A call that would change or delete
anything else is never made. Nothing is asked about tags while all is as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from . import alarm_topic, ec2, managed_vpn, tags
from .alarm_topic import Topic
from .errors import VpnhaError
from .managed_alarms import COMPOSITE, Existing, Plan, Rules, plan, prefix, wanted

_DELETE = 100  # alarms in one DeleteAlarms, and one composite alarm at most
_RATE = 3.0  # calls a second that CloudWatch grants an account to put or delete alarms
_UNMADE = "a topic that is not made yet"


@dataclass(frozen=True)
class Clients:
    """The services that are talked to."""

    ec2: Any
    cloudwatch: Any
    sns: Any


@dataclass(frozen=True)
class Wish:
    """What a person asks for."""

    deployment: str
    present: bool = True
    connection_ids: tuple[str, ...] = ()
    filters: tuple[dict[str, Any], ...] = ()
    topic: alarm_topic.Wanted = field(default_factory=alarm_topic.Wanted)
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be."""

    plan: Plan
    topic: Topic
    connections: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything was or would be done."""
        return self.topic.changed or bool(self.plan.put or self.plan.remove)


def see_to(clients: Clients, wish: Wish, *, check: bool, bucket: ec2.TokenBucket | None = None) -> Outcome:
    """Makes alarms and topic what is asked for. Raises VpnhaError; what is refused is refused before any change."""
    wish.rules.check()
    connections = _chosen(clients.ec2, wish) if wish.present else []
    existing = read(clients.cloudwatch, wish.deployment)
    alone = _named_by_address_alone(clients.cloudwatch) if connections else frozenset()

    def planned(topic: Topic) -> Plan:
        actions = (topic.arn or _UNMADE,) if topic.arn or topic.made else ()
        alarms = wanted(wish.deployment, connections, replace(wish.rules, actions=actions), alone)
        return _only_ours(clients.cloudwatch, wish.deployment, plan(alarms, existing), existing)

    def topic_done(really: bool) -> Topic:
        work = alarm_topic.see_to if wish.present else alarm_topic.remove
        return work(clients.sns, wish.deployment, wish.topic, check=not really)

    topic = topic_done(False)
    todo = planned(topic)
    if not check and wish.present and topic.changed:
        topic = topic_done(True)
        todo = planned(topic)  # whose ARN may not have been known before
    if not check:
        _carry_out(clients.cloudwatch, todo, existing, bucket or ec2.TokenBucket(capacity=_RATE, rate=_RATE))
    if not check and topic.removed:  # only now: no alarm tells it any more
        topic = topic_done(True)
    return Outcome(todo, topic, tuple(str(each["VpnConnectionId"]) for each in connections))


def _chosen(client: Any, wish: Wish) -> list[dict[str, Any]]:
    found = managed_vpn.describe(client, connection_ids=wish.connection_ids, filters=wish.filters)
    alive = [each for each in found if each.get("State") not in managed_vpn.GONE]
    if wish.filters and not alive:
        raise VpnhaError(
            "No VPN connection matches the filters, so all alarms would be removed; correct the filters, or say "
            "state=absent if that is meant."
        )
    return alive


def read(cloudwatch: Any, deployment: str) -> dict[str, dict[str, Any]]:
    """All alarms whose names have the deployment's prefix, by name, ours or not. Raises Ec2Error."""
    found: dict[str, dict[str, Any]] = {}
    for kind, key in (("MetricAlarm", "MetricAlarms"), ("CompositeAlarm", "CompositeAlarms")):
        listed = ec2.pages(
            cloudwatch, "describe_alarms", key, "reading the alarms",
            AlarmNamePrefix=prefix(deployment), AlarmTypes=[kind], MaxRecords=100,
        )  # fmt: skip
        found |= {each["AlarmName"]: each for each in listed}
    return found


def _named_by_address_alone(cloudwatch: Any) -> frozenset[str]:
    """The tunnels whose metrics CloudWatch lists by their address and not by that and the connection's id."""
    listed = ec2.pages(
        cloudwatch, "list_metrics", "Metrics", "looking for the tunnels' metrics",
        Namespace=managed_vpn.NAMESPACE, MetricName="TunnelState",
    )  # fmt: skip
    named = [{each["Name"]: str(each["Value"]) for each in metric["Dimensions"]} for metric in listed]
    by_both = {each[managed_vpn.ADDRESS] for each in named if each.keys() == set(managed_vpn.FORMS[0])}
    by_one = {each[managed_vpn.ADDRESS] for each in named if each.keys() == set(managed_vpn.FORMS[1])}
    return frozenset(by_one - by_both)


def _only_ours(cloudwatch: Any, deployment: str, proposed: Plan, existing: Existing) -> Plan:
    """The plan without removing what others have made; VpnhaError where one of theirs has a name that we need."""
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


def _carry_out(cloudwatch: Any, todo: Plan, existing: Existing, pace: ec2.TokenBucket) -> None:
    """Does what is planned. Raises Ec2Error; what was done until then stays, and the next run does the rest."""

    def go(doing: str, method: Any, **arguments: Any) -> None:
        pace.acquire()
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
