# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook managed_vpn and its role, as a person runs them: once, again, in check mode, and to remove it all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Person

GIVEN = {
    "vpnha_deployment": "prod",
    "vpnha_region": "eu-central-1",
    "vpnha_managed_vpn_filters": {"tag:site": "office"},
    "vpnha_managed_vpn_subscriptions": [{"protocol": "email", "endpoint": "network@example.com"}],
}


@pytest.fixture
def vpn(account: Callable[..., Any]) -> str:
    """The id of a VPN connection of the office."""
    ec2 = account()
    cgw = ec2.create_customer_gateway(Type="ipsec.1", PublicIp="192.0.2.10", BgpAsn=65000)
    vgw = ec2.create_vpn_gateway(Type="ipsec.1")
    made = ec2.create_vpn_connection(
        Type="ipsec.1",
        CustomerGatewayId=cgw["CustomerGateway"]["CustomerGatewayId"],
        VpnGatewayId=vgw["VpnGateway"]["VpnGatewayId"],
    )["VpnConnection"]
    vpn = str(made["VpnConnectionId"])
    ec2.create_tags(Resources=[vpn], Tags=[{"Key": "site", "Value": "office"}])
    for tunnel in made["Options"]["TunnelOptions"]:
        names = {"VpnId": vpn, "TunnelIpAddress": tunnel["OutsideIpAddress"]}
        dimensions = [{"Name": name, "Value": value} for name, value in names.items()]
        datum = {"MetricName": "TunnelState", "Value": 0.0, "Dimensions": dimensions}
        account("cloudwatch").put_metric_data(Namespace="AWS/VPN", MetricData=[datum])
    return vpn


def alarms(account: Callable[..., Any]) -> set[str]:
    types = ["MetricAlarm", "CompositeAlarm"]
    found = account("cloudwatch").describe_alarms(AlarmTypes=types, AlarmNamePrefix="prod-")
    return {each["AlarmName"] for each in (*found["MetricAlarms"], *found["CompositeAlarms"])}


def topics(account: Callable[..., Any]) -> list[str]:
    found = [each["TopicArn"].rsplit(":", 1)[1] for each in account("sns").list_topics()["Topics"]]
    return [name for name in found if name.startswith("prod-")]


def test_it_is_run_twice_and_taken_back(person: Person, account: Callable[..., Any], vpn: str) -> None:
    would = person.play("managed_vpn", GIVEN, "--check")
    assert (would.code, would.changed, alarms(account)) == (0, 1, set())
    assert "5 alarms would be made, 0 changed and 0 removed." in would.readable
    made = person.play("managed_vpn", GIVEN, "--diff")
    assert (made.code, made.changed) == (0, 1)
    assert f"+prod-{vpn}-connection" in made.readable
    for sentence in (
        f"{vpn} has 5 alarms.",
        "5 alarms were made, 0 changed and 0 removed.",
        "The topic was made.",
        "Subscribed to it were: network@example.com.",
        f"{vpn} is down. ",
    ):
        assert sentence in made.readable
    assert (topics(account), len(alarms(account))) == (["prod-managed-vpn"], 5)
    again = person.play("managed_vpn", GIVEN)
    assert (again.code, again.changed) == (0, 0)
    assert "0 alarms were made, 0 changed and 0 removed." in again.readable
    gone = person.play("managed_vpn", GIVEN, "-e", "vpnha_managed_vpn_state=absent")
    assert (gone.code, gone.changed, alarms(account)) == (0, 1, set())
    assert topics(account) == []


def test_what_is_wrong_is_told_before_anything_is_made(person: Person, account: Callable[..., Any], vpn: str) -> None:
    person.play("managed_vpn", {}).refused_with("vpnha_deployment and vpnha_region are not set; give them with -e,")
    person.play("managed_vpn", {**GIVEN, "vpnha_managed_vpn_filters": {"tag:site": "offcie"}}).refused_with(
        "No VPN connection matches the filters, so all alarms would be removed;"
    )
    person.play("managed_vpn", {**GIVEN, "vpnha_managed_vpn_period": 90}).refused_with(
        "period is 90 seconds; CloudWatch takes 60 and its multiples."
    )
    assert (alarms(account), topics(account)) == (set(), [])
