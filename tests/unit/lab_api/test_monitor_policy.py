# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the monitor's role may do, by the policy that the network role writes and by the rules of the lab's IAM."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import pytest

from lab.api.iam import Resource, allowed

TEMPLATE = Path(__file__).parents[3] / "roles" / "network" / "templates" / "monitor_policy.json.j2"
POWER = ("RebootInstances", "StopInstances", "StartInstances")
ARN = "arn:aws:ec2:eu-central-1:123456789012"
GATEWAY = Resource(f"{ARN}:instance/i-1", {"vpnha:deployment": "prod", "vpnha:role": "gateway"})
INTERFACE = Resource(f"{ARN}:network-interface/eni-1", {"vpnha:deployment": "prod"})


TOPIC = "arn:aws:sns:eu-central-1:123456789012:vpn"


def policy(
    repair: str, monitors: int = 1, cloudwatch: bool = True, topic: str = "", *, managed: int = 0, listed: bool = False
) -> str:
    """The policy as Ansible writes it."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["bool"] = bool  # Ansible's
    variables = {
        "vpnha_monitor_cloudwatch": cloudwatch,
        "vpnha_aws_partition": "aws",
        "vpnha_region": "eu-central-1",
        "vpnha_deployment": "prod",
        "vpnha_repair": repair,
        "vpnha_notify_sns_topic": topic,
        "vpnha_checked": {
            "monitors": [{}] * monitors,
            "managed_gateways": [{}] * managed,
            "sites": [{"by_prefix_list": listed}],
        },
        "__vpnha_network_vpc_id": "vpc-1",
    }
    return environment.from_string(TEMPLATE.read_text()).render(variables)


def powers(repair: str, resource: Resource = GATEWAY) -> set[str]:
    return {action for action in POWER if allowed([policy(repair)], f"ec2:{action}", resource, {})}


@pytest.mark.parametrize(
    ("repair", "expected"),
    [("none", set()), ("reboot", {"RebootInstances"}), ("restart", set(POWER)), ("replace", set(POWER))],
)
def test_the_rights_to_an_instances_power_come_with_the_policy(repair: str, expected: set[str]) -> None:
    assert json.loads(policy(repair))["Version"] == "2012-10-17"
    assert powers(repair) == expected


@pytest.mark.parametrize("other", [{"vpnha:deployment": "test"}, {"vpnha:role": "app"}])
def test_only_gateways_of_the_deployment_are_repaired(other: dict[str, str]) -> None:
    assert powers("restart", Resource(GATEWAY.arn, {**GATEWAY.tags, **other})) == set()
    assert powers("restart", Resource(GATEWAY.arn)) == set()


@pytest.mark.parametrize("repair", ["none", "reboot", "restart", "replace"])
@pytest.mark.parametrize("key", ["vpnha:repair", "vpnha:pin", "vpnha:deployment"])
def test_the_tag_of_repairs_may_be_written_where_there_are_repairs(repair: str, key: str) -> None:
    may = allowed([policy(repair)], "ec2:CreateTags", INTERFACE, {"aws:tagkeys": (key,)})
    assert may is (key == "vpnha:pin" or (key == "vpnha:repair" and repair != "none"))
    assert not allowed([policy(repair)], "ec2:TerminateInstances", GATEWAY, {})


@pytest.mark.parametrize("repair", ["none", "restart"])
@pytest.mark.parametrize("monitors", [1, 2, 3])
def test_the_lease_store_is_for_several_monitors_only(repair: str, monitors: int) -> None:
    written = policy(repair, monitors)
    assert json.loads(written)["Version"] == "2012-10-17"
    arn = "arn:aws:dynamodb:eu-central-1:123456789012:table"
    for action in ("Query", "PutItem", "DeleteItem", "DeleteTable", "CreateTable", "UpdateTable"):
        may = allowed([written], f"dynamodb:{action}", Resource(f"{arn}/prod-monitors"), {})
        assert may is (monitors > 1 and action.endswith(("Query", "Item")))
        assert not allowed([written], f"dynamodb:{action}", Resource(f"{arn}/test-monitors"), {})


@pytest.mark.parametrize("topic", ["", TOPIC])
def test_a_monitor_publishes_to_the_topic_that_is_given_and_no_other(topic: str) -> None:
    written = policy("none", 2, topic=topic)
    assert json.loads(written)["Version"] == "2012-10-17"
    assert allowed([written], "sns:Publish", Resource(TOPIC), {}) is bool(topic)
    assert not allowed([written], "sns:Publish", Resource(f"{TOPIC}-other"), {})
    assert not allowed([written], "sns:DeleteTopic", Resource(TOPIC), {})


@pytest.mark.parametrize("cloudwatch", [True, False])
@pytest.mark.parametrize("namespace", ["vpnha", "AWS/EC2", None])
def test_a_monitor_writes_metrics_of_its_namespace_only(cloudwatch: bool, namespace: str | None) -> None:
    context = {"cloudwatch:namespace": (namespace,)} if namespace else {}
    written = policy("none", 1, cloudwatch)
    for action in ("PutMetricData", "PutMetricAlarm", "DeleteAlarms"):
        may = allowed([written], f"cloudwatch:{action}", Resource(), context)
        assert may is (cloudwatch and namespace == "vpnha" and action == "PutMetricData")


def test_a_monitor_swaps_only_in_tables_of_its_deployment() -> None:
    for deployment, kind, may in (("prod", "app", True), ("prod", "public", False), ("test", "app", False)):
        table = Resource(f"{ARN}:route-table/rtb-1", {"vpnha:deployment": deployment, "vpnha:table": kind})
        assert allowed([policy("none", 2)], "ec2:ReplaceRoute", table, {}) is may


def test_a_monitor_reads_what_it_needs_to_know_its_own_way_to_ec2() -> None:
    for action in ("DescribeNetworkInterfaces", "DescribeRouteTables", "GetManagedPrefixListEntries"):
        assert allowed([policy("none")], f"ec2:{action}", Resource("*"), {})
    assert not allowed([policy("none")], "ec2:ModifyManagedPrefixList", Resource("*"), {})


def test_what_aws_says_of_managed_vpns_may_be_read_where_there_is_a_managed_gateway() -> None:
    everything = Resource("*")
    for managed in (0, 1):
        written = policy("none", managed=managed)
        assert json.loads(written)["Version"] == "2012-10-17"
        for action in ("ec2:DescribeVpnConnections", "cloudwatch:GetMetricData"):
            assert allowed([written], action, everything, {}) is bool(managed)
        assert allowed([written], "ec2:DescribeVpcs", everything, {})


def test_routes_to_prefix_lists_are_swapped_only_where_a_site_has_one() -> None:
    def may(text: str, **tags: str) -> bool:
        resource = Resource(f"{ARN}:prefix-list/pl-1", {key.replace("_", ":"): value for key, value in tags.items()})
        return allowed([text], "ec2:ReplaceRoute", resource, {})

    assert may(policy("none", listed=True), vpnha_deployment="prod")
    assert not may(policy("none", listed=True), vpnha_deployment="test")
    assert not may(policy("none"), vpnha_deployment="prod")
