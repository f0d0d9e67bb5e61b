# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoint's record of calls: who asked for what, and whether it was done."""

from __future__ import annotations

from typing import Any

from lab.api import calls
from lab.api.calls import Calls, error_code

SITE = "192.168.10.0/24"


def test_a_swap_is_kept_with_where_the_route_led_before_and_after(vpc: Any, calls: Any) -> None:
    one, other = vpc.eni(), vpc.eni()
    way = {"RouteTableId": vpc.table, "DestinationCidrBlock": SITE}
    vpc.ec2.create_route(**way, NetworkInterfaceId=one)
    vpc.ec2.replace_route(**way, NetworkInterfaceId=other)
    made, swapped = [call for call in calls() if call["resources"] == [vpc.table] and call["destination"]]
    assert (made["action"], made["before"], made["after"]) == ("CreateRoute", None, one)
    assert (swapped["action"], swapped["before"], swapped["after"]) == ("ReplaceRoute", one, other)
    assert {(call["caller"], call["error"], call["destination"]) for call in (made, swapped)} == {("lab", "", SITE)}


def test_a_refused_call_is_kept_with_its_error(vpc: Any, calls: Any, refused: Any) -> None:
    way = {"RouteTableId": vpc.table, "DestinationCidrBlock": SITE, "NetworkInterfaceId": vpc.eni()}
    code = refused(vpc.ec2.replace_route, **way)
    (call,) = [call for call in calls() if call["action"] == "ReplaceRoute"]
    assert (call["error"], call["before"]) == (code, None)
    dry = refused(vpc.ec2.reboot_instances, InstanceIds=["i-0123456789abcdef0"], DryRun=True)
    (call,) = [call for call in calls() if call["action"] == "RebootInstances"]
    assert (call["error"], call["resources"]) == (dry, ["i-0123456789abcdef0"])


def test_only_what_was_answered_since_is_told_and_the_oldest_go_first() -> None:
    times = iter((1.0, 2.0, 3.0))
    kept = Calls(clock=lambda: next(times))
    for instance in ("i-1", "i-2", "i-3"):
        kept.add("StartInstances", f"arn:aws:sts::1:assumed-role/monitor/{instance}", (200, {}, ""), resources=())
    assert [call["caller"] for call in kept.since(2.0)] == ["i-2", "i-3"]
    assert calls.KEPT >= 10_000  # a storm of calls must not push out what a row is judged by


def test_an_error_without_a_code_is_told_by_its_status() -> None:
    assert error_code((200, {}, "<Code>16</Code>")) == ""
    assert error_code((503, {}, b"<Error><Code>RequestLimitExceeded</Code></Error>")) == "RequestLimitExceeded"
    assert error_code((500, {}, "broken")) == "500"


def test_a_route_to_an_interface_that_the_lab_calls_a_blackhole_is_one(vpc: Any, settings: Any) -> None:
    eni, other = vpc.eni(), vpc.eni()
    vpc.run_with(eni), vpc.run_with(other)
    vpc.ec2.create_route(RouteTableId=vpc.table, DestinationCidrBlock=SITE, NetworkInterfaceId=eni)
    assert vpc.routes()[SITE]["State"] == "active"
    settings(blackholes=[eni])
    assert vpc.routes()[SITE]["State"] == "blackhole"
    vpc.ec2.replace_route(RouteTableId=vpc.table, DestinationCidrBlock=SITE, NetworkInterfaceId=other)
    assert vpc.routes()[SITE]["State"] == "active"


def test_a_retirement_is_announced_with_the_status_of_the_instance(vpc: Any, settings: Any) -> None:
    instance = vpc.run_with(vpc.eni())
    vpc.wait(instance, "running")

    def announced() -> list[tuple[str, float]]:
        (status,) = vpc.ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        return [(event["Code"], event["NotBefore"].timestamp()) for event in status.get("Events", [])]

    assert announced() == []
    settings(retiring={instance: 1_800_000_000})
    assert announced() == [("instance-retirement", 1_800_000_000.0)]
