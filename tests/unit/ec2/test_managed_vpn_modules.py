# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules managed_vpn_info and managed_vpn_alarms as Ansible runs them, against the lab's endpoint."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from tests.unit.module_process import run_module

from .conftest import REGION, _until

NUMBERS = itertools.count(1)
SECRET = "sEcret_of_the_tunnels"


def play(url: str, name: str, **options: Any) -> dict[str, Any]:
    """What a module answers."""
    return run_module(name, region=REGION, endpoint_url=url, **options).result


@dataclass
class Office:
    """A connection of a virtual private gateway, and what CloudWatch has on it."""

    client: Any
    url: str
    id: str = ""
    name: str = ""
    addresses: list[str] = field(default_factory=list)

    def of(self, service: str) -> Any:
        """A client of another service."""
        make: Any = boto3.client
        return make(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="lab",
            aws_secret_access_key="unneeded",
        )

    def make(self) -> None:
        number = next(NUMBERS)
        self.name = f"office-{number}"
        cgw = self.client.create_customer_gateway(Type="ipsec.1", PublicIp=f"192.0.2.{number}", BgpAsn=65000)
        vgw = self.client.create_vpn_gateway(Type="ipsec.1")
        made = self.client.create_vpn_connection(
            Type="ipsec.1",
            CustomerGatewayId=cgw["CustomerGateway"]["CustomerGatewayId"],
            VpnGatewayId=vgw["VpnGateway"]["VpnGatewayId"],
            Options={"StaticRoutesOnly": True, "TunnelOptions": [{"PreSharedKey": SECRET}, {"PreSharedKey": SECRET}]},
        )["VpnConnection"]
        self.id = made["VpnConnectionId"]
        self.addresses = [each["OutsideIpAddress"] for each in made["Options"]["TunnelOptions"]]
        self.client.create_tags(Resources=[self.id], Tags=[{"Key": "Name", "Value": self.name}])

    def measured(self, **values: tuple[float, float]) -> None:
        """A metric's newest value for either tunnel, with the dimensions that AWS gives it."""
        data = [
            {"MetricName": metric, "Value": value, "Dimensions": [{"Name": "VpnId", "Value": self.id}, *more]}
            for metric, both in values.items()
            for address, value in zip(self.addresses, both, strict=True)
            for more in ([], [{"Name": "TunnelIpAddress", "Value": address}])
        ]
        self.of("cloudwatch").put_metric_data(Namespace="AWS/VPN", MetricData=data)

    def alarms(self) -> dict[str, str]:
        """States of the connection's alarms, by what follows its id in their names."""
        found = self.of("cloudwatch").describe_alarms(
            AlarmNamePrefix=f"{self.name}-", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        listed = [*found["MetricAlarms"], *found["CompositeAlarms"]]
        return {each["AlarmName"].split(f"{self.id}-")[1]: each["StateValue"] for each in listed}

    def info(self, **options: Any) -> dict[str, Any]:
        return play(self.url, "managed_vpn_info", **options)

    def see_to_alarms(self, **options: Any) -> dict[str, Any]:
        given = {"deployment": self.name, "topic": f"{self.name}-topic", "filters": {"tag:Name": self.name}}
        return play(self.url, "managed_vpn_alarms", **{**given, **options})


@pytest.fixture
def office(client: Any, url: str) -> Iterator[Office]:
    made = Office(client, url)
    made.make()
    yield made
    client.delete_vpn_connection(VpnConnectionId=made.id)


def test_connections_are_shown_with_tunnels_and_without_secrets(office: Office) -> None:
    office.measured(TunnelState=(1.0, 1.0), TunnelDataIn=(500.0, 0.0), TunnelDataOut=(700.0, 20.0))
    told = office.info(filters={"tag:Name": [office.name, "another"]})
    assert SECRET not in json.dumps(told)
    [shown] = told["connections"]
    assert (shown["id"], shown["name"], shown["ec2_state"], shown["static_routes_only"]) == (
        office.id, office.name, "available", True,
    )  # fmt: skip
    assert [tunnel["address"] for tunnel in shown["tunnels"]] == office.addresses
    assert [(each["tunnel_state"], each["bytes_in"], each["bytes_out"]) for each in shown["tunnels"]] == [
        (1.0, 500, 700), (1.0, 0, 20),
    ]  # fmt: skip
    # nobody is at the other end of these tunnels: EC2 says so, whatever the metric does
    assert (shown["state"], {each["state"] for each in shown["tunnels"]}) == ("down", {"down"})
    assert "EC2 says that it is down since 20" in shown["reason"] and "IPSEC IS DOWN" in shown["reason"]
    assert told["summary"] == [f"{office.id} ({office.name}) is down. {shown['reason']}"]
    assert told["changed"] is False


def test_a_filter_may_be_true_or_false_as_yaml_has_it(office: Office, client: Any) -> None:
    client.create_tags(Resources=[office.id], Tags=[{"Key": "watched", "Value": "true"}])
    found = {asked: office.info(filters={"tag:watched": asked})["connections"] for asked in (True, False)}
    assert {asked: [each["id"] for each in shown] for asked, shown in found.items()} == {True: [office.id], False: []}


def test_a_connection_that_ec2_does_not_know_is_told(office: Office) -> None:
    told = office.info(connection_ids=["vpn-0123456789abcdef0"])
    assert told["failed"]
    assert told["msg"].startswith("reading the VPN connections: InvalidVpnConnectionID.NotFound: ")
    assert "\n" not in told["msg"]


def test_a_deleted_connection_is_shown_only_if_it_is_asked_for(office: Office, client: Any) -> None:
    other = Office(client, office.url)
    other.make()
    client.delete_vpn_connection(VpnConnectionId=other.id)
    assert other.id not in {each["id"] for each in office.info()["connections"]}
    [shown] = office.info(connection_ids=[other.id])["connections"]
    assert (shown["state"], shown["reason"]) == ("down", "The connection is deleted.")


def test_alarms_are_made_once_shown_in_check_mode_and_removed(office: Office) -> None:
    office.measured(TunnelState=(1.0, 1.0))
    would = office.see_to_alarms(_ansible_check_mode=True)
    assert (would["changed"], office.alarms()) == (True, {})
    done = office.see_to_alarms()
    assert done["changed"] and done["alarms"] == would["alarms"]
    assert done["summary"][:2] == [f"{office.id} has 5 alarms.", "5 alarms were made, 0 changed and 0 removed."]
    names = {"all-tunnels", "silence", "connection", *(f"tunnel-{address}" for address in office.addresses)}
    assert office.alarms().keys() == names
    again = office.see_to_alarms()
    assert (again["changed"], {each["action"] for each in again["alarms"]}) == (False, {"none"})
    assert again["diff"]["before"] == again["diff"]["after"]
    slower = office.see_to_alarms(period=600)
    changed = {each["name"].split(f"{office.id}-")[1] for each in slower["alarms"] if each["action"] == "change"}
    assert changed == names - {"connection"}  # the period is said in the others' descriptions too
    gone = office.see_to_alarms(state="absent", filters={})
    assert (gone["changed"], office.alarms(), gone["topic_arn"]) == (True, {}, "")
    topics = office.of("sns").list_topics()["Topics"]
    assert done["topic_arn"] not in {each["TopicArn"] for each in topics}


def test_a_deleted_connection_loses_its_alarms_and_a_foreign_alarm_stays(office: Office, client: Any) -> None:
    other = Office(client, office.url)
    other.make()
    told = other.see_to_alarms(deployment=office.name, filters={}, connection_ids=[office.id, other.id])
    assert sorted(told["connections"]) == sorted([office.id, other.id])
    mine = {"MetricName": "X", "Namespace": "mine", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    office.of("cloudwatch").put_metric_alarm(
        AlarmName=f"{office.name}-vpn-mine", ComparisonOperator="LessThanThreshold", Threshold=1.0, **mine
    )
    client.delete_vpn_connection(VpnConnectionId=other.id)
    told = other.see_to_alarms(deployment=office.name, filters={}, connection_ids=[office.id, other.id])
    removed = {each["name"] for each in told["alarms"] if each["action"] == "remove"}
    assert len(removed) == 5 and all(other.id in name for name in removed)
    left = office.of("cloudwatch").describe_alarms(AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    assert f"{office.name}-vpn-mine" in {each["AlarmName"] for each in left}


def test_the_password_of_an_endpoint_is_in_no_output(office: Office) -> None:
    web = {"protocol": "https", "endpoint": f"https://me:{SECRET}@alert.example"}
    told = office.see_to_alarms(subscriptions=[web], _ansible_check_mode=True)
    assert "Subscribed to it would be: https://me:****@alert.example." in told["summary"]
    assert SECRET not in json.dumps(told)


def test_one_tunnel_down_wakes_nobody_and_both_wake_once(office: Office) -> None:
    """The lab evaluates the alarms; who is subscribed to the topic hears the composite one alone."""
    sqs = office.of("sqs")
    queue = sqs.create_queue(QueueName=office.name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def heard() -> list[tuple[str, str]]:
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages", [])
        said = [json.loads(json.loads(each["Body"])["Message"]) for each in got]
        return [(each["AlarmName"], each["NewStateValue"]) for each in said]

    office.measured(TunnelState=(0.0, 1.0))
    office.see_to_alarms(subscriptions=[{"protocol": "sqs", "endpoint": arn}])
    one, other = (f"tunnel-{address}" for address in office.addresses)
    wanted = {one: "ALARM", other: "OK", "all-tunnels": "OK", "connection": "OK"}
    _until(lambda: wanted.items() <= office.alarms().items())
    told = heard()
    assert {name for name, _state in told} <= {f"{office.name}-{office.id}-connection"}
    assert "ALARM" not in {state for _name, state in told}

    # what was measured as 1 would have to grow old first: another connection goes down
    dark = Office(office.client, office.url)
    dark.make()
    dark.measured(TunnelState=(0.0, 0.0))
    office.see_to_alarms(filters={"tag:Name": [office.name, dark.name]})
    name = f"{office.name}-{dark.id}-connection"
    seen: list[tuple[str, str]] = []
    _until(lambda: seen.extend(heard()) or (name, "ALARM") in seen)
    assert {each for each in seen if each[1] == "ALARM"} == {(name, "ALARM")}
