# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes, mends and removes the alarms of AWS-managed VPN connections, and the topic that they notify."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from . import alarm_set, alarm_topic, ec2, managed_vpn, pace
from .alarm_set import Plan
from .alarm_topic import Topic
from .errors import VpnhaError
from .managed_alarms import Rules, prefix, wanted

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


def see_to(clients: Clients, wish: Wish, *, check: bool, bucket: pace.TokenBucket | None = None) -> Outcome:
    """Makes alarms and topic what is asked for. Raises VpnhaError; what is refused is refused before any change."""
    wish.rules.check()
    connections = _chosen(clients.ec2, wish) if wish.present else []
    existing = alarm_set.read(clients.cloudwatch, prefix(wish.deployment))
    alone = _named_by_address_alone(clients.cloudwatch) if connections else frozenset()

    def planned(topic: Topic) -> Plan:
        actions = (topic.arn or _UNMADE,) if topic.arn or topic.made else ()
        alarms = wanted(wish.deployment, connections, replace(wish.rules, actions=actions), alone)
        return alarm_set.plan_ours(clients.cloudwatch, wish.deployment, alarms, existing)

    def topic_done(really: bool) -> Topic:
        work = alarm_topic.see_to if wish.present else alarm_topic.remove
        return work(clients.sns, wish.deployment, wish.topic, check=not really)

    topic = topic_done(False)
    todo = planned(topic)
    if not check and wish.present and topic.changed:
        topic = topic_done(True)
        todo = planned(topic)  # whose ARN may not have been known before
    if not check:
        alarm_set.carry_out(clients.cloudwatch, todo, existing, bucket)
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
