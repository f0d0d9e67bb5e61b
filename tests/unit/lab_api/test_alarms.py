# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms: what they find in the data, what composite ones make of it, whom they tell, what is remembered."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from moto.cloudwatch.models import Alarm, MetricDatum

from lab.api.alarms import ALARM, INSUFFICIENT, OK, judge, series
from lab.api.rules import parse

NOW = datetime(2026, 1, 1, 12, 0)
VPN = [{"Name": "VpnId", "Value": "vpn-1"}]


def alarm(**given: Any) -> Alarm:
    """An alarm for a tunnel that is down."""
    values: dict[str, Any] = dict.fromkeys(
        ("metric_data_queries", "datapoints_to_alarm", "extended_statistic", "ok_actions", "insufficient_data_actions")
    )
    values |= dict.fromkeys(("unit", "treat_missing_data", "evaluate_low_sample_count_percentile"))
    values |= dict.fromkeys(("threshold_metric_id", "rule"))
    values |= {"account_id": "123456789012", "region_name": "eu-central-1", "name": "a", "namespace": "AWS/VPN"}
    values |= {"metric_name": "TunnelState", "comparison_operator": "LessThanThreshold", "evaluation_periods": 1}
    values |= {"period": 60, "threshold": 1, "statistic": "Minimum", "description": "", "dimensions": VPN}
    return Alarm(**values | {"alarm_actions": [], "actions_enabled": True} | given)


def data(*values: tuple[int, float], vpn: str = "vpn-1") -> list[MetricDatum]:
    """Data of one connection: how many seconds ago, and which value."""
    dimensions = [{"Name": "VpnId", "Value": vpn}]
    return [
        MetricDatum("AWS/VPN", "TunnelState", value, dimensions, NOW - timedelta(seconds=ago)) for ago, value in values
    ]


def state(thing: Alarm, *values: tuple[int, float]) -> str:
    return judge(thing, series(data(*values), thing, NOW))[0]


def test_the_newest_window_decides() -> None:
    assert state(alarm(), (90, 0), (30, 1), (1, 1)) == OK
    assert state(alarm(), (90, 1), (30, 1), (1, 0.5)) == ALARM
    assert state(alarm(statistic="Maximum"), (30, 1), (1, 0)) == OK
    assert state(alarm(statistic="Maximum"), (61, 1), (1, 0)) == ALARM


def test_data_of_another_connection_do_not_count() -> None:
    assert series(data((1, 0), vpn="vpn-2"), alarm(), NOW) == [None, None, None]


def test_late_data_are_taken_from_further_back() -> None:
    assert state(alarm(), (170, 0)) == ALARM
    assert state(alarm(), (181, 0)) == INSUFFICIENT


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [("missing", INSUFFICIENT), (None, INSUFFICIENT), ("breaching", ALARM), ("notBreaching", OK), ("ignore", OK)],
)
def test_without_data_the_alarm_is_what_it_says_of_them(treatment: str | None, expected: str) -> None:
    thing = alarm(treat_missing_data=treatment)
    thing.state_value = OK
    assert state(thing) == expected


def test_as_many_datapoints_are_needed_as_it_says() -> None:
    thing = alarm(evaluation_periods=3, datapoints_to_alarm=2)
    assert state(thing, (150, 1), (90, 0), (30, 0)) == ALARM
    assert state(thing, (150, 1), (90, 1), (30, 0)) == OK


# --- Rules of composite alarms -----------------------------------------------------------------------------

STATES = {"a": ALARM, "b c": OK, "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:d": INSUFFICIENT}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("ALARM(a)", True),
        ('ALARM("a") AND ALARM("b c")', False),
        ('ALARM("a") AND NOT ALARM("b c")', True),
        ('OK(a) AND OK(a) OR OK("b c")', True),
        ('OK(a) AND (OK(a) OR OK("b c"))', False),
        ("NOT OK(a) AND INSUFFICIENT_DATA(arn:aws:cloudwatch:eu-central-1:123456789012:alarm:d)", True),
        ("ALARM(gone)", False),
        ("TRUE AND NOT FALSE", True),
    ],
)
def test_a_rule(rule: str, expected: bool) -> None:
    assert parse(rule).holds(STATES) is expected


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("", "its end"),
        ("ALARM(a) AND", "its end"),
        ("(ALARM(a)", "not closed"),
        ("ALARM(a) ALARM(b)", "AND or OR is expected"),
        ("ALARM(a) XOR ALARM(b)", "XOR"),
        ("ALARM()", "cannot be read"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(rule)


# --- At the endpoint ---------------------------------------------------------------------------------------


def eventually(look: Callable[[], Any]) -> Any:
    """The first result that is something; the alarms are evaluated each second."""
    end = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)
    return found


class Watched:
    """An alarm for the metric of a connection of its own, which tells a queue."""

    def __init__(self, client: Any) -> None:
        self.cloudwatch, self.sqs = client("cloudwatch"), client("sqs")
        self.name = f"vpn-{uuid.uuid4().hex[:8]}"
        self.queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.topic = client("sns").create_topic(Name=self.name)["TopicArn"]
        client("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)
        self.dimensions = [{"Name": "VpnId", "Value": self.name}]
        self.put()

    def put(self, **given: Any) -> None:
        """Put the alarm."""
        values: dict[str, Any] = {"AlarmName": self.name, "Namespace": "AWS/VPN", "MetricName": "TunnelState"}
        values |= {"Statistic": "Minimum", "ComparisonOperator": "LessThanThreshold", "Threshold": 1, "Period": 60}
        values |= {"EvaluationPeriods": 1, "Dimensions": self.dimensions, "AlarmActions": [self.topic]}
        self.cloudwatch.put_metric_alarm(**values | {"OKActions": [self.topic]} | given)

    def report(self, value: float) -> None:
        """Put one datum."""
        datum = {"MetricName": "TunnelState", "Dimensions": self.dimensions, "Value": value}
        self.cloudwatch.put_metric_data(Namespace="AWS/VPN", MetricData=[datum])

    def state(self) -> str:
        """The state that CloudWatch shows."""
        return str(self.cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"][0]["StateValue"])

    def told(self) -> dict[str, Any]:
        """The next message in the queue, as the alarm wrote it."""

        def take() -> Any:
            messages = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=1).get("Messages")
            if messages:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=messages[0]["ReceiptHandle"])
            return messages

        return dict(json.loads(json.loads(eventually(take)[0]["Body"])["Message"]))


@pytest.fixture
def watched(client: Any) -> Watched:
    return Watched(client)


def test_an_alarm_begins_without_a_state_and_tells_its_topic_when_it_finds_one(watched: Watched) -> None:
    assert watched.state() == INSUFFICIENT
    watched.report(1)
    message = watched.told()
    assert (message["OldStateValue"], message["NewStateValue"]) == (INSUFFICIENT, OK)
    watched.report(0)
    message = watched.told()
    assert (message["OldStateValue"], message["NewStateValue"]) == (OK, ALARM)
    assert message["Trigger"]["Dimensions"] == [{"name": "VpnId", "value": watched.name}]
    assert message["AlarmArn"].endswith(f":alarm:{watched.name}")
    watched.put(AlarmDescription="put again")
    assert watched.state() == ALARM


def test_an_alarm_whose_actions_are_off_tells_nobody(watched: Watched) -> None:
    watched.cloudwatch.disable_alarm_actions(AlarmNames=[watched.name])
    watched.report(0)
    eventually(lambda: watched.state() == ALARM)
    assert not watched.sqs.receive_message(QueueUrl=watched.queue).get("Messages")


@pytest.mark.parametrize("wrong", [{"Period": None}, {"Threshold": None}, {"ComparisonOperator": "Like"}])
def test_an_alarm_that_could_not_be_evaluated_is_refused(watched: Watched, refused: Any, wrong: dict[str, Any]) -> None:
    values = {"AlarmName": f"{watched.name}-odd", "Namespace": "AWS/VPN", "MetricName": "TunnelState"}
    values |= {"Statistic": "Minimum", "ComparisonOperator": "LessThanThreshold", "Threshold": 1, "Period": 60}
    given = {key: value for key, value in {**values, **wrong}.items() if value is not None}
    assert refused(watched.cloudwatch.put_metric_alarm, EvaluationPeriods=1, **given) == "ValidationError"


def test_a_state_that_is_set_is_told_at_once(watched: Watched) -> None:
    watched.cloudwatch.set_alarm_state(AlarmName=watched.name, StateValue=ALARM, StateReason="a test")
    message = watched.told()
    assert (message["NewStateValue"], message["NewStateReason"]) == (ALARM, "a test")


def test_an_action_that_the_lab_cannot_do_is_remembered_and_keeps_nobody_from_being_told(watched: Watched) -> None:
    recover = "arn:aws:automate:eu-central-1:ec2:recover"
    watched.put(AlarmActions=[recover, watched.topic])
    watched.cloudwatch.set_alarm_state(AlarmName=watched.name, StateValue=ALARM, StateReason="a test")
    assert watched.told()["NewStateValue"] == ALARM
    watched.cloudwatch.set_alarm_state(AlarmName=watched.name, StateValue=OK, StateReason="a test")
    watched.told()
    watched.report(0)  # and found by the evaluation
    assert watched.told()["NewStateValue"] == ALARM
    found = watched.cloudwatch.describe_alarm_history(
        AlarmName=watched.name, HistoryItemType="Action", ScanBy="TimestampAscending"
    )
    done = [item["HistorySummary"] for item in found["AlarmHistoryItems"]]
    failed = f"Failed to execute action {recover}: the lab's alarms tell SNS topics, and do nothing else"
    assert [summary.startswith(failed) for summary in done] == [True, False, False, True, False]


def test_a_composite_alarm_follows_its_children(watched: Watched, refused: Any) -> None:
    cloudwatch, name = watched.cloudwatch, f"{watched.name}-both"
    rule = f'ALARM("{watched.name}") AND NOT OK("{watched.name}")'
    assert refused(cloudwatch.put_composite_alarm, AlarmName=name, AlarmRule='ALARM("gone")') == "ValidationError"
    assert refused(cloudwatch.put_composite_alarm, AlarmName=name, AlarmRule="ALARM(") == "ValidationError"
    cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule=rule, AlarmActions=[watched.topic])
    assert not cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]

    def shown() -> dict[str, Any]:
        found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
        return dict(found["CompositeAlarms"][0])

    assert shown()["AlarmRule"] == rule
    watched.report(1)
    eventually(lambda: shown()["StateValue"] == OK)
    watched.report(0)
    eventually(lambda: shown()["StateValue"] == ALARM)
    told = [watched.told() for _message in range(3)]
    assert [each["NewStateValue"] for each in told if each["AlarmName"] == name] == [ALARM]


def test_the_history_outlives_the_alarm(watched: Watched) -> None:
    watched.report(0)
    watched.told()
    watched.cloudwatch.delete_alarms(AlarmNames=[watched.name])
    items = watched.cloudwatch.describe_alarm_history(AlarmName=watched.name, ScanBy="TimestampAscending")
    kinds = [item["HistoryItemType"] for item in items["AlarmHistoryItems"]]
    assert kinds == ["ConfigurationUpdate", "StateUpdate", "Action", "ConfigurationUpdate"]
    found = watched.cloudwatch.describe_alarm_history(AlarmName=watched.name, HistoryItemType="StateUpdate")
    assert [item["HistorySummary"] for item in found["AlarmHistoryItems"]] == [
        "Alarm updated from INSUFFICIENT_DATA to ALARM"
    ]


def test_a_role_needs_the_permission_by_the_name_that_policies_use(client: Any, refused: Any) -> None:
    iam, name = client("iam"), f"role-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"}
    documents = [json.dumps({"Version": "2012-10-17", "Statement": [each]}) for each in (trust, may)]
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=documents[0])["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="see", PolicyDocument=documents[1])
    keys = client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    assert "MetricAlarms" in client("cloudwatch", keys).describe_alarms()
    assert refused(client("cloudwatch", keys).put_composite_alarm, AlarmName="a", AlarmRule="TRUE") == "AccessDenied"
