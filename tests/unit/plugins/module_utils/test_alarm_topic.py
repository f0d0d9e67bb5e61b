# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topic that alarms notify: made, told, known again and removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.alarm_topic import Subscription, Wanted
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

from .test_managed_alarms import OURS, TOPIC, Sns, World
from .test_managed_vpn import connection


def test_the_topic_is_made_told_and_removed() -> None:
    world = World(connection(1))
    asked = Wanted(
        "lab-managed-vpn", subscriptions=(Subscription("email", "a@example.com"), Subscription("sqs", TOPIC))
    )
    done = world.run(topic=asked)
    assert (done.topic.arn, done.topic.made, done.topic.subscribed) == (TOPIC, True, ("a@example.com", TOPIC))
    assert world.sns.topics == {TOPIC: OURS}
    assert world.cloudwatch.alarms["lab-vpn-0001-connection"]["AlarmActions"] == [TOPIC]
    again = world.run(topic=asked)
    assert (again.changed, again.topic.unconfirmed) == (False, ("a@example.com",))
    assert len(world.sns.subscriptions[TOPIC]) == 2  # nobody gets the mail for confirmation twice
    more = world.run(topic=replace(asked, subscriptions=(*asked.subscriptions, Subscription("sms", "+4912345"))))
    assert (more.topic.subscribed, more.plan.put) == (("+4912345",), ())
    gone = world.run(present=False)
    assert (gone.topic.removed, world.sns.topics, world.cloudwatch.alarms) == (True, {}, {})
    assert not world.run(present=False).changed


@pytest.mark.parametrize(
    ("endpoint", "shown", "password"),
    [
        ("https://me:s3cret@alert.example/x?to=a@b", "https://me:****@alert.example/x?to=a@b", "s3cret"),
        ("http://me:s3:cr@t@alert.example", "http://me:****@alert.example", "s3:cr@t"),
        ("https://me@alert.example:8443/a:b@c", "https://me@alert.example:8443/a:b@c", ""),
        ("https://me:****@alert.example", "https://me:****@alert.example", "****"),
    ],
)
def test_the_password_of_a_url_is_not_shown(endpoint: str, shown: str, password: str) -> None:
    one = Subscription(endpoint.split(":", 1)[0], endpoint)
    assert (one.shown, one.password) == (shown, password)


def test_who_is_subscribed_with_a_password_is_known_again() -> None:
    class Hiding(Sns):
        """Lists what it was given with stars for the password, as SNS does."""

        def list_subscriptions_by_topic(self, TopicArn: str) -> dict[str, Any]:
            listed = super().list_subscriptions_by_topic(TopicArn)["Subscriptions"]
            return {"Subscriptions": [{**one, "Endpoint": one["Endpoint"].replace("s3cret", "****")} for one in listed]}

    world = World(connection(1))
    world.sns = Hiding()
    url, shown = "https://me:s3cret@alert.example", "https://me:****@alert.example"
    asked = Wanted("lab-managed-vpn", subscriptions=(Subscription("https", url),))
    assert world.run(topic=asked, check=True).topic.subscribed == (shown,)
    assert world.run(topic=asked).topic.subscribed == (shown,)
    assert [one["Endpoint"] for one in world.sns.subscriptions[TOPIC]] == [url]
    assert not world.run(topic=asked).changed
    assert len(world.sns.subscriptions[TOPIC]) == 1


def test_a_topic_of_others_is_used_by_its_arn_only_and_never_removed() -> None:
    world = World(connection(1))
    world.sns.create_topic("lab-managed-vpn", [])
    with pytest.raises(VpnhaError, match="To use it, give its ARN as topic_arn"):
        world.run()
    assert world.cloudwatch.alarms == {}
    done = world.run(topic=Wanted("lab-managed-vpn", arn=TOPIC))
    assert (done.topic.arn, done.topic.made) == (TOPIC, False)
    world.run(present=False)
    assert world.sns.topics == {TOPIC: {}}


def test_a_topic_that_is_given_by_its_arn_stays_and_one_that_was_made_before_goes() -> None:
    world = World(connection(1))
    assert world.run().topic.made
    world.run(topic=Wanted("lab-managed-vpn", arn=TOPIC), present=False)
    assert world.sns.topics == {TOPIC: OURS}
    theirs = world.sns.create_topic("theirs", [])["TopicArn"]
    assert world.run(topic=Wanted("lab-managed-vpn", arn=theirs), present=False).topic.removed
    assert world.sns.topics == {theirs: {}}


def test_a_topic_that_does_not_exist_is_refused_before_anything_is_changed() -> None:
    world = World(connection(1))
    with pytest.raises(VpnhaError, match=f"There is no topic {TOPIC}; correct topic_arn"):
        world.run(topic=Wanted(arn=TOPIC))
    with pytest.raises(VpnhaError, match="subscriptions need a topic"):
        world.run(topic=Wanted(subscriptions=(Subscription("email", "a@example.com"),)))
    assert (world.cloudwatch.alarms, world.sns.topics) == ({}, {})
