# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alarms of managed connections: which there are, in which order they come and go, and whose are left alone."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vpnha.aws.plugins.module_utils.alarm_set import Alarm, plan
from ansible_collections.vpnha.aws.plugins.module_utils.alarm_topic import Wanted
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.managed_alarms import Rules, wanted
from ansible_collections.vpnha.aws.plugins.module_utils.managed_alarms_build import Clients, Outcome, Wish, see_to
from ansible_collections.vpnha.aws.plugins.module_utils.pace import TokenBucket

from .test_managed_vpn import Ec2, connection

TOPIC = "arn:aws:sns:eu-central-1:123456789012:lab-managed-vpn"
ARN = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:"
OURS = {"vpnha:deployment": "lab", "vpnha:made": "lab"}


class CloudWatch:
    """Keeps alarms, and refuses what CloudWatch refuses: an unknown child, a child that goes before its composite."""

    def __init__(self) -> None:
        self.alarms: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, list[dict[str, str]]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.metrics: list[dict[str, str]] = []  # dimensions of TunnelState

    def list_metrics(self, **asked: Any) -> dict[str, Any]:
        assert asked == {"Namespace": "AWS/VPN", "MetricName": "TunnelState"}
        listed = [[{"Name": name, "Value": value} for name, value in each.items()] for each in self.metrics]
        return {"Metrics": [{"Dimensions": each} for each in listed]}

    def _put(self, arguments: dict[str, Any]) -> None:
        name = arguments["AlarmName"]
        given_tags = arguments.pop("Tags", [])
        self.tags.setdefault(ARN + name, given_tags)
        self.alarms[name] = {**copy.deepcopy(arguments), "AlarmArn": ARN + name, "StateValue": "OK"}

    def put_metric_alarm(self, **arguments: Any) -> None:
        self.calls.append(("put", arguments["AlarmName"]))
        self._put(arguments)

    def put_composite_alarm(self, **arguments: Any) -> None:
        self.calls.append(("put", arguments["AlarmName"]))
        assert set(re.findall(r'"([^"]+)"', arguments["AlarmRule"])) <= self.alarms.keys()
        self._put(arguments)

    def delete_alarms(self, AlarmNames: list[str]) -> None:
        self.calls.append(("delete", AlarmNames))
        assert len(AlarmNames) <= 100
        assert len([name for name in AlarmNames if "AlarmRule" in self.alarms[name]]) in (0, 1)
        for name in AlarmNames:
            del self.alarms[name]
            assert not [each for each in self.alarms.values() if f'"{name}"' in each.get("AlarmRule", "")]

    def describe_alarms(self, **asked: Any) -> dict[str, Any]:
        """Two of an answer at a time, everything in reverse."""
        [kind] = asked["AlarmTypes"]
        found = [
            each
            for name, each in sorted(self.alarms.items(), reverse=True)
            if name.startswith(asked["AlarmNamePrefix"]) and ("AlarmRule" in each) == (kind == "CompositeAlarm")
        ]
        start = int(asked.get("NextToken", 0))
        more = {"NextToken": str(start + 2)} if start + 2 < len(found) else {}
        listed = [{key: self._reversed(value) for key, value in each.items()} for each in found[start : start + 2]]
        return {f"{kind}s": listed, **more}

    @staticmethod
    def _reversed(value: Any) -> Any:
        return value[::-1] if isinstance(value, list) else value

    def list_tags_for_resource(self, ResourceARN: str) -> dict[str, Any]:
        self.calls.append(("tags", ResourceARN))
        return {"Tags": self.tags[ResourceARN]}


class Sns:
    """Keeps topics with their subscriptions; e-mail has to be confirmed."""

    def __init__(self) -> None:
        self.topics: dict[str, dict[str, str]] = {}
        self.subscriptions: dict[str, list[dict[str, str]]] = {}

    def list_topics(self) -> dict[str, Any]:
        return {"Topics": [{"TopicArn": arn} for arn in self.topics]}

    def create_topic(self, Name: str, Tags: list[dict[str, str]]) -> dict[str, str]:
        arn = f"{TOPIC.rsplit(':', 1)[0]}:{Name}"
        self.topics[arn] = {each["Key"]: each["Value"] for each in Tags}
        self.subscriptions[arn] = []
        return {"TopicArn": arn}

    def delete_topic(self, TopicArn: str) -> None:
        del self.topics[TopicArn]

    def list_tags_for_resource(self, ResourceArn: str) -> dict[str, Any]:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.topics[ResourceArn].items()]}

    def list_subscriptions_by_topic(self, TopicArn: str) -> dict[str, Any]:
        if TopicArn not in self.topics:
            raise ClientError({"Error": {"Code": "NotFound", "Message": "no such topic"}}, "ListSubscriptionsByTopic")
        return {"Subscriptions": self.subscriptions[TopicArn]}

    def subscribe(self, TopicArn: str, Protocol: str, Endpoint: str) -> dict[str, str]:
        arn = "PendingConfirmation" if Protocol == "email" else f"{TopicArn}:1"
        self.subscriptions[TopicArn].append({"Protocol": Protocol, "Endpoint": Endpoint, "SubscriptionArn": arn})
        return {"SubscriptionArn": arn if arn != "PendingConfirmation" else "pending confirmation"}


class World:
    """A region with connections; `run` is what the module does."""

    def __init__(self, *connections: dict[str, Any]) -> None:
        self.ec2, self.cloudwatch, self.sns = Ec2(*connections), CloudWatch(), Sns()

    def run(self, *, check: bool = False, **asked: Any) -> Outcome:
        bucket = TokenBucket(clock=lambda: 0.0, sleep=lambda _seconds: None)
        self.cloudwatch.calls.clear()
        wish = Wish("lab", **{"topic": Wanted("lab-managed-vpn"), **asked})
        return see_to(Clients(self.ec2, self.cloudwatch, self.sns), wish, check=check, bucket=bucket)

    def foreign(self, name: str, **tags: str) -> None:
        self.cloudwatch._put(
            {"AlarmName": name, "MetricName": "CPU", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        )


def by_name(alarms: list[Alarm]) -> dict[str, dict[str, Any]]:
    return {alarm.name: dict(alarm.arguments) for alarm in alarms}


# --- Which alarms there shall be -----------------------------------------------------------------------------------


def test_a_connection_has_five_alarms_and_one_of_them_tells() -> None:
    alarms = by_name(wanted("lab", [connection(1)], Rules(actions=(TOPIC,))))
    own = "lab-vpn-0001"
    assert list(alarms) == [
        f"{own}-all-tunnels", f"{own}-silence", f"{own}-tunnel-203.0.1.1", f"{own}-tunnel-203.0.1.2",
        f"{own}-connection",
    ]  # fmt: skip
    told = {name for name, each in alarms.items() if each["AlarmActions"] or each["OKActions"]}
    assert told == {f"{own}-connection"}
    assert alarms[f"{own}-connection"]["AlarmActions"] == alarms[f"{own}-connection"]["OKActions"] == [TOPIC]
    assert alarms[f"{own}-connection"]["AlarmRule"] == f'ALARM("{own}-all-tunnels") OR ALARM("{own}-silence")'
    assert {each["AlarmName"]: each["Tags"] for each in alarms.values()} == {
        name: [{"Key": key, "Value": value} for key, value in OURS.items()] for name in alarms
    }
    assert "vpn-0001 (office-1)" in alarms[f"{own}-silence"]["AlarmDescription"]


def test_a_single_tunnel_tells_only_if_it_is_asked_to() -> None:
    alarms = by_name(wanted("lab", [connection(1)], Rules(actions=(TOPIC,), notify_tunnels=True)))
    assert alarms["lab-vpn-0001-tunnel-203.0.1.1"]["AlarmActions"] == [TOPIC]
    assert alarms["lab-vpn-0001-all-tunnels"]["AlarmActions"] == []


def test_state_is_an_alarm_without_data_and_silence_is_none() -> None:
    alarms = by_name(wanted("lab", [connection(1)], Rules(period=60, periods=2, silent_periods=4)))
    tunnel, down, silence = (
        alarms[f"lab-vpn-0001-{name}"] for name in ("tunnel-203.0.1.1", "all-tunnels", "silence")
    )  # fmt: skip
    vpn = {"Name": "VpnId", "Value": "vpn-0001"}
    assert tunnel["Dimensions"] == [vpn, {"Name": "TunnelIpAddress", "Value": "203.0.1.1"}]
    assert down["Dimensions"] == [vpn]
    for alarm, operator, threshold in (
        (tunnel, "LessThanThreshold", 1.0),
        (down, "LessThanOrEqualToThreshold", 0.0),  # a fraction for both together says that one is up
    ):
        assert (alarm["MetricName"], alarm["Statistic"], alarm["TreatMissingData"]) == (
            "TunnelState", "Maximum", "breaching",
        )  # fmt: skip
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (operator, threshold)
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (60, 2, 2)
    assert (silence["TreatMissingData"], silence["EvaluationPeriods"], silence["DatapointsToAlarm"]) == (
        "notBreaching", 4, 4,
    )  # fmt: skip
    assert "Period" not in silence
    stats = {
        each["MetricStat"]["Metric"]["MetricName"]: (each["Id"], each["MetricStat"]["Stat"], each["ReturnData"])
        for each in silence["Metrics"]
        if "MetricStat" in each
    }
    assert stats == {"TunnelDataIn": ("data_in", "Sum", False), "TunnelDataOut": ("data_out", "Sum", False)}


def test_a_tunnels_alarm_has_the_dimensions_that_its_metric_has() -> None:
    world = World(connection(1, "203.0.1.1", "203.0.1.2", "203.0.1.3"))
    world.cloudwatch.metrics = [
        {"VpnId": "vpn-0001"},
        {"VpnId": "vpn-0001", "TunnelIpAddress": "203.0.1.1"},
        {"TunnelIpAddress": "203.0.1.1"},
        {"TunnelIpAddress": "203.0.1.2"},
    ]
    world.run()
    both = {"VpnId", "TunnelIpAddress"}
    for address, names in (("203.0.1.1", both), ("203.0.1.2", {"TunnelIpAddress"}), ("203.0.1.3", both)):
        dimensions = world.cloudwatch.alarms[f"lab-vpn-0001-tunnel-{address}"]["Dimensions"]
        assert {each["Name"] for each in dimensions} == names


@pytest.mark.parametrize(
    ("data_in", "data_out", "alarm"), [(0, 900, True), (1, 900, False), (0, 0, False), (5, 0, False)]
)
def test_silence_is_data_out_and_none_in(data_in: int, data_out: int, alarm: bool) -> None:
    """The expression, read as CloudWatch reads it: IF(condition, then, else), with AND."""
    silence = by_name(wanted("lab", [connection(1)], Rules()))["lab-vpn-0001-silence"]
    [expression] = [each["Expression"] for each in silence["Metrics"] if each["ReturnData"]]
    condition, yes, no = re.fullmatch(r"IF\((.*),(\d),(\d)\)", expression).groups()  # type: ignore[union-attr]
    value = float(yes) if eval(condition.replace("AND", "and"), {}, {"data_in": data_in, "data_out": data_out}) else 0
    assert no == "0"
    assert silence["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert (value >= silence["Threshold"]) == alarm


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(period=90), "period is 90 seconds; CloudWatch takes 60 and its multiples."),
        (Rules(period=0), "period is 0 seconds"),
        (Rules(periods=0), "periods is 0; with periods of 300 seconds it may be 1 to 288."),
        (Rules(silent_periods=289), "silent_periods is 289; with periods of 300 seconds it may be 1 to 288."),
    ],
)
def test_rules_that_cloudwatch_does_not_take(rules: Rules, said: str) -> None:
    world = World(connection(1))
    with pytest.raises(VpnhaError, match=re.escape(said)):
        world.run(rules=rules)
    assert (world.cloudwatch.alarms, world.sns.topics) == ({}, {})


# --- What leads there ----------------------------------------------------------------------------------------------

connections = st.lists(st.integers(1, 6), unique=True, max_size=5).map(lambda numbers: [connection(n) for n in numbers])
rule_sets = st.builds(
    Rules,
    st.sampled_from([(), (TOPIC,), (TOPIC, f"{TOPIC}-2")]),
    st.booleans(),
    st.sampled_from([60, 300]),
    st.integers(1, 3),
    st.integers(1, 3),
)


@given(connections, rule_sets, connections, rule_sets)
def test_from_any_set_of_alarms_to_any_other_and_no_further(
    before: list[dict[str, Any]], old: Rules, after: list[dict[str, Any]], new: Rules
) -> None:
    world = World(*before)
    world.run(topic=Wanted(), rules=old)
    world.ec2.connections = tuple(after)
    done = world.run(topic=Wanted(), rules=new)
    shall = by_name(wanted("lab", after, replace(new, actions=())))
    assert world.cloudwatch.alarms.keys() == shall.keys()
    for name, alarm in shall.items():
        del alarm["Tags"]
        assert {key: world.cloudwatch.alarms[name][key] for key in alarm} == alarm
    assert done.changed == bool(world.cloudwatch.calls)
    again = world.run(topic=Wanted(), rules=new)
    assert (again.changed, world.cloudwatch.calls) == (False, [])


def test_one_difference_is_one_call() -> None:
    world = World(connection(1), connection(2))
    world.run()
    world.cloudwatch.alarms["lab-vpn-0002-silence"]["Metrics"][0]["Expression"] = "IF(data_in==0,1,0)"
    done = world.run()
    changed = [change.name for change in done.plan.changes if change.action == "change"]
    assert changed == ["lab-vpn-0002-silence"]
    assert [call for call in world.cloudwatch.calls if call[0] != "tags"] == [("put", "lab-vpn-0002-silence")]


def test_a_connection_that_is_gone_loses_its_alarms_the_composite_first() -> None:
    world = World(connection(1), connection(2))
    world.run()
    world.ec2.connections = (connection(1, State="deleted"), connection(2))
    done = world.run()
    assert {change.name for change in done.plan.changes if change.action == "remove"} == {
        f"lab-vpn-0001-{name}"
        for name in ("all-tunnels", "connection", "silence", "tunnel-203.0.1.1", "tunnel-203.0.1.2")
    }
    deleted = [names for kind, names in world.cloudwatch.calls if kind == "delete"]
    assert deleted[0] == ["lab-vpn-0001-connection"]
    assert {each.split("-")[2] for each in world.cloudwatch.alarms} == {"0002"}


def test_a_tunnel_with_a_new_address_gets_a_new_alarm() -> None:
    world = World(connection(1))
    world.run()
    world.ec2.connections = (connection(1, "203.0.1.1", "203.0.1.9"),)
    done = world.run()
    actions = {change.name: change.action for change in done.plan.changes if change.action != "none"}
    assert actions == {"lab-vpn-0001-tunnel-203.0.1.2": "remove", "lab-vpn-0001-tunnel-203.0.1.9": "make"}


def test_many_go_in_calls_that_cloudwatch_takes() -> None:
    world = World(*(connection(n) for n in range(1, 31)))
    world.run()
    assert len(world.cloudwatch.alarms) == 150
    world.run(present=False)
    assert world.cloudwatch.alarms == {}
    sizes = [len(names) for kind, names in world.cloudwatch.calls if kind == "delete"]
    assert sizes == [1] * 30 + [100, 20]


def test_check_mode_says_the_same_and_does_nothing() -> None:
    world = World(connection(1))
    would = world.run(check=True)
    assert (would.changed, world.cloudwatch.alarms, world.sns.topics) == (True, {}, {})
    assert would.plan.changes == world.run().plan.changes
    assert world.run(check=True).changed is False
    world.run(check=True, present=False)
    assert len(world.cloudwatch.alarms) == 5 and world.sns.topics


def test_actions_that_a_person_has_turned_off_stay_off() -> None:
    world = World(connection(1))
    world.run()
    world.cloudwatch.alarms["lab-vpn-0001-connection"]["ActionsEnabled"] = False
    assert not world.run().changed
    world.run(rules=Rules(period=60))
    assert world.cloudwatch.alarms["lab-vpn-0001-connection"]["ActionsEnabled"] is False
    assert world.cloudwatch.alarms["lab-vpn-0001-silence"]["ActionsEnabled"] is True


# --- Whose are left alone ------------------------------------------------------------------------------------------


def test_alarms_of_others_are_never_removed() -> None:
    world = World(connection(1))
    others = {"lab-vpn-mine": {}, "lab-vpn-x-vpn-1-silence": {"vpnha:made": "lab-vpn-x"}, "lab-other": OURS}
    for name, its in others.items():
        world.foreign(name, **its)
    world.run()
    world.run(present=False)
    assert world.cloudwatch.alarms.keys() == others.keys()


def test_an_alarm_of_others_with_a_name_that_is_needed_is_refused_before_anything_is_changed() -> None:
    world = World(connection(1))
    world.foreign("lab-vpn-0001-silence")
    before = copy.deepcopy(world.cloudwatch.alarms)
    with pytest.raises(VpnhaError, match="lab-vpn-0001-silence does not carry the tag vpnha:made=lab"):
        world.run()
    assert (world.cloudwatch.alarms, world.sns.topics) == (before, {})


def test_filters_that_match_nothing_remove_nothing() -> None:
    world = World(connection(1))
    world.run()
    world.ec2.connections = ()
    with pytest.raises(VpnhaError, match="No VPN connection matches the filters"):
        world.run(filters=({"Name": "tag:site", "Values": ["offcie"]},))
    assert len(world.cloudwatch.alarms) == 5


def test_nothing_that_is_right_is_planned_again() -> None:
    alarms = wanted("lab", [connection(1), connection(2)], Rules(actions=(TOPIC,)))
    assert plan(alarms, {alarm.name: alarm.arguments for alarm in alarms}).put == ()
    assert len(plan(alarms, {}).put) == len(alarms)
