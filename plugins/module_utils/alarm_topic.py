# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SNS topic that alarms notify: one that exists, or one of ours, and who is subscribed to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import ec2, tags
from .errors import Ec2Error, VpnhaError

_PASSWORD = re.compile(r"(?<=://)([^/?#:@]*):([^/?#]*)@")  # of a URL
_PENDING = "PendingConfirmation"  # what SNS gives as the ARN of a subscription that nobody has confirmed


@dataclass(frozen=True)
class Topic:
    """A topic, and what a run does or would do with it."""

    arn: str  # empty where there is none, or none yet
    made: bool = False
    removed: bool = False
    subscribed: tuple[str, ...] = ()  # endpoints that are new, as `Subscription.shown`
    unconfirmed: tuple[str, ...] = ()  # likewise, those that get nothing until somebody confirms there

    @property
    def changed(self) -> bool:
        """Whether anything was or would be done."""
        return self.made or self.removed or bool(self.subscribed)


@dataclass(frozen=True)
class Subscription:
    """Who is told, in SNS's words: protocol ``email``, ``sms``, ``https``, ``sqs``, ``lambda`` and so on."""

    protocol: str
    endpoint: str

    @property
    def shown(self) -> str:
        """The endpoint as SNS lists it and as people may read it: with stars for the password of a URL."""
        return _PASSWORD.sub(r"\1:****@", self.endpoint) if self._is_url else self.endpoint

    @property
    def password(self) -> str:
        """The password in a URL; empty if there is none."""
        found = _PASSWORD.search(self.endpoint) if self._is_url else None
        return found[2] if found else ""

    @property
    def _is_url(self) -> bool:
        return self.protocol in ("http", "https")


@dataclass(frozen=True)
class Wanted:
    """The topic that is asked for: the one that ``arn`` names, else one of ours with ``name``, with neither none."""

    name: str = ""
    arn: str = ""
    subscriptions: tuple[Subscription, ...] = ()


def see_to(sns: Any, deployment: str, wanted: Wanted, *, check: bool) -> Topic:
    """Sees that there is the topic with these subscriptions; others stay. Raises VpnhaError."""
    if not wanted.arn and not wanted.name:
        if wanted.subscriptions:
            raise VpnhaError("subscriptions need a topic: name one with topic or topic_arn.")
        return Topic("")
    found = wanted.arn or _find(sns, wanted.name)
    if found and not wanted.arn and not _is_ours(sns, deployment, found):
        raise VpnhaError(
            f"The topic {wanted.name} does not carry the tag {tags.MADE}={deployment}: somebody else has made it. "
            f"To use it, give its ARN as topic_arn; else choose another name."
        )
    made = not found
    if made and check:
        return Topic("", made=True, subscribed=tuple(each.shown for each in wanted.subscriptions))
    if made:
        own = {tags.DEPLOYMENT: deployment, tags.MADE: deployment}
        create = partial(sns.create_topic, Name=wanted.name, Tags=tags.to_list(own))
        found = str(ec2.call(f"making the topic {wanted.name}", create)["TopicArn"])
    new, pending = _subscribe(sns, found, wanted.subscriptions, check)
    return Topic(found, made=made, subscribed=new, unconfirmed=pending)


def remove(sns: Any, deployment: str, wanted: Wanted, *, check: bool) -> Topic:
    """Removes the topic of that name with its subscriptions if we have made it. Raises Ec2Error.

    One that is given by its ARN stays. One that was made before an ARN was given goes.
    """
    found = _find(sns, wanted.name) if wanted.name else ""
    if not found or found == wanted.arn or not _is_ours(sns, deployment, found):
        return Topic("")
    if not check:
        ec2.call(f"removing the topic {wanted.name}", partial(sns.delete_topic, TopicArn=found))
    return Topic("", removed=True)


def _find(sns: Any, name: str) -> str:
    topics = ec2.pages(sns, "list_topics", "Topics", "looking for the topic")
    return next((str(each["TopicArn"]) for each in topics if each["TopicArn"].rsplit(":", 1)[-1] == name), "")


def _is_ours(sns: Any, deployment: str, arn: str) -> bool:
    asked = partial(sns.list_tags_for_resource, ResourceArn=arn)
    return tags.to_dict(ec2.call("reading the topic's tags", asked).get("Tags")).get(tags.MADE) == deployment


def _subscribe(
    sns: Any, arn: str, subscriptions: Sequence[Subscription], check: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The endpoints that are new, and those that nobody has confirmed yet."""
    try:
        there = ec2.pages(
            sns, "list_subscriptions_by_topic", "Subscriptions", "reading the topic's subscriptions", TopicArn=arn
        )
    except Ec2Error as error:
        if error.code in ("NotFound", "NotFoundException"):
            raise VpnhaError(
                f"There is no topic {arn}; correct topic_arn, or leave it out to have one made."
            ) from error
        raise
    listed = [(Subscription(str(each["Protocol"]), str(each["Endpoint"])), each["SubscriptionArn"]) for each in there]
    known = {(each.protocol, each.shown) for each, _its_arn in listed}
    pending = [each.shown for each, its_arn in listed if its_arn == _PENDING]
    new = [each for each in subscriptions if (each.protocol, each.shown) not in known]
    for each in () if check else new:
        subscribe = partial(sns.subscribe, TopicArn=arn, Protocol=each.protocol, Endpoint=each.endpoint)
        answer = ec2.call(f"subscribing {each.shown}", subscribe)
        if "pending" in str(answer.get("SubscriptionArn", "")).lower():
            pending.append(each.shown)
    return tuple(each.shown for each in new), tuple(pending)
