# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alarms that watch the monitors: made once, kept as they should be, removed if they are ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import moto
import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.alarms import Outcome, Wanted, remove, see_to
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.pace import TokenBucket

REGION = "eu-central-1"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:vpnha"
WANTED = Wanted("lab", ("mon-a", "mon-b"), REGION, topic=TOPIC)
NAMES = tuple(f"vpnha/lab/monitor/{monitor}/{what}" for monitor in ("mon-a", "mon-b") for what in ("silent", "recover"))


def at_once() -> TokenBucket:
    """Nobody waits for it."""
    return TokenBucket(clock=lambda: 0.0, sleep=lambda _seconds: None)


class Account:
    """CloudWatch and EC2 with instances of monitors."""

    def __init__(self) -> None:
        keys = {"region_name": REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.cloudwatch: Any = boto3.client("cloudwatch", **keys)
        self.ec2: Any = boto3.client("ec2", **keys)

    def launch(self, monitor: str, deployment: str = "lab", role: str = "monitor") -> str:
        tags = {"vpnha:deployment": deployment, "vpnha:role": role, "Name": monitor}
        made = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )
        return str(made["Instances"][0]["InstanceId"])

    def see_to(self, wanted: Wanted = WANTED, check: bool = False) -> Outcome:
        return see_to(self.cloudwatch, self.ec2, wanted, check=check, bucket=at_once())

    def alarms(self) -> dict[str, dict[str, Any]]:
        return {alarm["AlarmName"]: alarm for alarm in self.cloudwatch.describe_alarms()["MetricAlarms"]}

    def somebody_elses(self, name: str) -> None:
        self.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="other",
            MetricName="x",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=5.0,
            ComparisonOperator="GreaterThanThreshold",
        )


@pytest.fixture
def account() -> Iterator[Account]:
    with moto.mock_aws():
        made = Account()
        made.launch("mon-a")
        made.launch("mon-b")
        yield made


def test_they_are_made_once_and_tagged(account: Account) -> None:
    assert account.see_to(check=True) == Outcome(alarms=NAMES, made=NAMES)
    assert account.alarms() == {}
    assert account.see_to() == Outcome(alarms=NAMES, made=NAMES)
    assert tuple(sorted(account.alarms())) == tuple(sorted(NAMES))
    for alarm in account.alarms().values():
        tags = account.cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"vpnha:deployment": "lab", "vpnha:made": "lab"}
    assert account.see_to() == Outcome(alarms=NAMES)
    assert not account.see_to().differed


def test_silence_is_bad_news_and_told(account: Account) -> None:
    account.see_to()
    alarm = account.alarms()["vpnha/lab/monitor/mon-a/silent"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("vpnha", "monitor_able")
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    assert dimensions == {"deployment": "lab", "monitor": "mon-a"}
    # a word that says "able" in any of three minutes keeps it quiet; none in all of them does not
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == ("Maximum", "LessThanThreshold", 1)
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (60, 3, "breaching")
    assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]


def test_hardware_that_fails_is_left(account: Account) -> None:
    account.ec2.terminate_instances(
        InstanceIds=[
            each["Instances"][0]["InstanceId"]
            for each in account.ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["mon-a"]}])[
                "Reservations"
            ]
        ]
    )
    account.launch("mon-a", deployment="prod")
    account.launch("mon-a", role="gateway")
    instance = account.launch("mon-a")
    account.see_to(replace(WANTED, region="cn-north-1", partition="aws-cn", topic=""))
    alarm = account.alarms()["vpnha/lab/monitor/mon-a/recover"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/EC2", "StatusCheckFailed_System")
    assert alarm["Dimensions"] == [{"Name": "InstanceId", "Value": instance}]
    assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("Maximum", "GreaterThanOrEqualToThreshold")
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (60, 2, "missing")
    assert alarm["AlarmActions"] == ["arn:aws-cn:automate:cn-north-1:ec2:recover"] and alarm["OKActions"] == []


def test_an_instance_that_was_made_anew_is_watched_instead(account: Account) -> None:
    account.see_to()
    old = account.alarms()["vpnha/lab/monitor/mon-b/recover"]["Dimensions"][0]["Value"]
    account.ec2.terminate_instances(InstanceIds=[old])
    new = account.launch("mon-b")
    assert account.see_to().changed == ("vpnha/lab/monitor/mon-b/recover",)
    assert account.alarms()["vpnha/lab/monitor/mon-b/recover"]["Dimensions"] == [{"Name": "InstanceId", "Value": new}]


def test_what_somebody_has_changed_is_put_right_and_what_they_have_silenced_stays_silent(account: Account) -> None:
    account.see_to()
    account.cloudwatch.disable_alarm_actions(AlarmNames=["vpnha/lab/monitor/mon-a/silent"])
    assert not account.see_to().differed
    told = replace(WANTED, topic=f"{TOPIC}-2")
    assert account.see_to(told, check=True).changed == NAMES
    assert account.alarms()["vpnha/lab/monitor/mon-a/silent"]["AlarmActions"] == [TOPIC]
    assert account.see_to(told).changed == NAMES
    alarms = account.alarms()
    assert alarms["vpnha/lab/monitor/mon-a/silent"]["AlarmActions"] == [f"{TOPIC}-2"]
    assert not alarms["vpnha/lab/monitor/mon-a/silent"]["ActionsEnabled"]
    assert alarms["vpnha/lab/monitor/mon-b/silent"]["ActionsEnabled"]


def test_those_that_are_wanted_no_more_go(account: Account) -> None:
    account.see_to()
    for name in ("vpnha/lab/tunnel", "vpnha/lab2/monitor/mon-a/silent", "vpnha/lab/monitor/mon-z/silent"):
        account.somebody_elses(name)
    gone = ("vpnha/lab/monitor/mon-b/recover", "vpnha/lab/monitor/mon-b/silent")
    one = replace(WANTED, monitors=("mon-a",))
    assert account.see_to(one, check=True).removed == gone
    assert set(gone) <= set(account.alarms())
    assert account.see_to(one).removed == gone
    assert account.see_to(replace(one, silence=False)).removed == ("vpnha/lab/monitor/mon-a/silent",)
    assert account.see_to(replace(one, silence=False, recovery=False)).removed == ("vpnha/lab/monitor/mon-a/recover",)
    assert sorted(account.alarms()) == [
        "vpnha/lab/monitor/mon-z/silent",  # of ours by its name, but not made by us
        "vpnha/lab/tunnel",
        "vpnha/lab2/monitor/mon-a/silent",
    ]


def test_they_are_removed_with_the_deployment(account: Account) -> None:
    account.see_to()
    account.somebody_elses("vpnha/lab/tunnel")
    assert remove(account.cloudwatch, "lab", check=True).removed == tuple(sorted(NAMES))
    assert len(account.alarms()) == 5
    assert remove(account.cloudwatch, "lab", check=False).removed == tuple(sorted(NAMES))
    assert list(account.alarms()) == ["vpnha/lab/tunnel"]
    assert not remove(account.cloudwatch, "lab", check=False).differed


def test_one_that_somebody_else_has_made_is_refused_before_anything_is_made(account: Account) -> None:
    name = "vpnha/lab/monitor/mon-b/silent"
    account.somebody_elses(name)
    with pytest.raises(VpnhaError, match="silent does not carry the tag vpnha:made=lab: somebody else has made it"):
        account.see_to()
    assert {name: alarm["Namespace"] for name, alarm in account.alarms().items()} == {name: "other"}


def test_a_topic_that_is_none_is_refused_before_anything_is_made(account: Account) -> None:
    with pytest.raises(VpnhaError, match="'vpnha' is no ARN of an SNS topic; write one like arn:aws:sns:eu-central-1:"):
        account.see_to(replace(WANTED, topic="vpnha"))
    assert account.alarms() == {}


def test_a_monitor_without_an_instance_is_told_and_in_check_mode_expected(account: Account) -> None:
    three = replace(WANTED, monitors=("mon-a", "mon-b", "mon-c"))
    with pytest.raises(VpnhaError, match="lab has no instance of the monitor mon-c; run the playbook deploy"):
        account.see_to(three)
    assert account.alarms() == {}
    assert len(account.see_to(three, check=True).made) == 6
    assert len(account.see_to(replace(three, recovery=False)).made) == 3


@pytest.mark.parametrize("check", [True, False])
def test_recovery_that_is_off_is_switched_on(account: Account, check: bool) -> None:
    """moto knows no maintenance options: what EC2 says of them is put into its answer here."""
    calls: list[dict[str, str]] = []

    class Ec2:
        def describe_instances(self, **arguments: Any) -> Any:
            answer = account.ec2.describe_instances(**arguments)
            for reservation in answer["Reservations"]:
                for each in reservation["Instances"]:
                    on = {tag["Key"]: tag["Value"] for tag in each["Tags"]}["Name"] == "mon-b"
                    each["MaintenanceOptions"] = {"AutoRecovery": "default" if on else "disabled"}
            return answer

        def modify_instance_maintenance_options(self, **arguments: str) -> None:
            calls.append(arguments)

    outcome = see_to(account.cloudwatch, Ec2(), WANTED, check=check, bucket=at_once())
    assert outcome.differed and outcome.recovery_switched_on == ("mon-a",)
    assert [each["AutoRecovery"] for each in calls] == ([] if check else ["default"])
    if not check:
        assert calls[0]["InstanceId"] == account.alarms()["vpnha/lab/monitor/mon-a/recover"]["Dimensions"][0]["Value"]
    calls.clear()
    see_to(account.cloudwatch, Ec2(), replace(WANTED, recovery=False), check=check, bucket=at_once())
    assert calls == []


def test_the_call_that_switches_it_on_is_one_of_ec2_s(account: Account) -> None:
    shape = account.ec2.meta.service_model.operation_model("ModifyInstanceMaintenanceOptions").input_shape
    assert {"InstanceId", "AutoRecovery"} <= set(shape.members)
    assert "default" in shape.members["AutoRecovery"].enum
