# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repair at EC2: the tag before the call, each tried twice at most, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from virtual_time import VirtualTime

from ansible_collections.vpnha.aws.plugins.module_utils import pace
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.model import Repair, RepairMark, RepairResult
from ansible_collections.vpnha.aws.plugins.module_utils.repair import ordered
from tests.unit.plugins.module_utils.scenario import Play, deployment
from vpnha_monitor.actuator import Actuator
from vpnha_monitor.repairing import carry_out, unwanted

MARK = RepairMark((1_767_225_600.0,), "start")
START = Repair("gw-a", "start", "gateway-stopped", "i-1", "eni-a", MARK)
NO_RIGHTS = ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "any")
FULL = ClientError({"Error": {"Code": "InsufficientInstanceCapacity", "Message": "full"}}, "any")
BUSY = ClientError({"Error": {"Code": "RequestLimitExceeded", "Message": "busy"}}, "any")
SILENT = ReadTimeoutError(endpoint_url="http://ec2")


class Ec2:
    """Takes calls, and fails as the test wants: operation -> errors, one for each call."""

    def __init__(self, **errors: list[Exception]) -> None:
        self.errors = errors
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.meta = boto3.client("ec2", region_name="eu-central-1").meta

    def __getattr__(self, operation: str) -> Callable[..., None]:
        def call(**arguments: Any) -> None:
            self.calls.append((operation, arguments))
            if self.errors.get(operation):
                raise self.errors[operation].pop(0)

        return call

    @property
    def names(self) -> list[str]:
        return [name for name, _arguments in self.calls]


def goes_on() -> str:
    return ""


def carried(client: Ec2, one: Repair = START) -> tuple[bool | None, bool | None, str]:
    result = carry_out(client, one, pace.TokenBucket(), goes_on)
    assert result.repair == one
    return result.marked, result.accepted, result.error


def test_the_tag_is_written_before_the_call() -> None:
    client = Ec2()
    assert carried(client) == (True, True, "")
    tag = {"Key": "vpnha:repair", "Value": "rung=start steps=2026-01-01T00:00:00Z"}
    assert client.calls == [
        ("create_tags", {"Resources": ["eni-a"], "Tags": [tag]}),
        ("start_instances", {"InstanceIds": ["i-1"]}),
    ]


@pytest.mark.parametrize(
    ("rung", "operation", "more"),
    [
        ("reboot", "reboot_instances", {}),
        ("stop", "stop_instances", {}),
        ("power-cut", "stop_instances", {"Force": True, "SkipOsShutdown": True}),
        ("start", "start_instances", {}),
        ("terminate", "terminate_instances", {}),
    ],
)
def test_each_rung_is_its_call_and_what_goes_on_needs_no_tag(rung: str, operation: str, more: dict[str, bool]) -> None:
    client = Ec2()
    assert carried(client, Repair("gw-a", rung, "gateway-silent", "i-1", "eni-a")) == (True, True, "")
    assert client.calls == [(operation, {"InstanceIds": ["i-1"], **more})]


def test_a_launch_names_its_template_and_its_token_and_nothing_else() -> None:
    client = Ec2(run_instances=[SILENT])
    one = Repair("gw-a", "launch", "gateway-stopped", "", "eni-a", MARK, "prod-gw-a", "eni-a-1767225600")
    assert carried(client, one) == (True, True, "")
    request = {"LaunchTemplate": {"LaunchTemplateName": "prod-gw-a"}, "MinCount": 1, "MaxCount": 1}
    call = ("run_instances", {**request, "ClientToken": "eni-a-1767225600"})
    assert client.calls[1:] == [call, call], "a call without an answer is made again, with the same token"


def test_a_launch_without_capacity_is_no_launch() -> None:
    one = Repair("gw-a", "launch", "gateway-stopped", "", "eni-a", None, "prod-gw-a", "eni-a-1")
    assert carried(Ec2(run_instances=[FULL]), one) == (True, False, "InsufficientInstanceCapacity")


def test_without_the_tag_there_is_no_call() -> None:
    client = Ec2(create_tags=[NO_RIGHTS])
    assert carried(client) == (False, False, "UnauthorizedOperation")
    assert client.names == ["create_tags"]


def test_a_tag_of_which_nothing_is_known_may_have_been_written_and_there_is_no_call() -> None:
    client = Ec2(create_tags=[SILENT, SILENT])
    assert carried(client) == (None, False, "timeout")
    assert client.names == ["create_tags", "create_tags"]


def test_one_try_and_one_retry() -> None:
    client = Ec2(start_instances=[BUSY, BUSY, BUSY])
    assert carried(client) == (True, False, "RequestLimitExceeded")
    assert client.names == ["create_tags", "start_instances", "start_instances"]


def test_what_would_only_be_refused_again_is_not_tried_again() -> None:
    client = Ec2(start_instances=[FULL])
    assert carried(client) == (True, False, "InsufficientInstanceCapacity")
    assert client.names == ["create_tags", "start_instances"]


def test_a_call_without_an_answer_may_have_been_carried_out() -> None:
    assert carried(Ec2(start_instances=[SILENT, SILENT])) == (True, None, "timeout")


GONE_ON = ["", "claim", "create_tags", "start_instances"]


@pytest.mark.parametrize(("last", "marked"), [("", False), ("claim", False), ("create_tags", True)])
@pytest.mark.parametrize("one", [START, replace(START, mark=None)])
def test_what_is_not_to_be_gone_on_with_ends_before_its_next_call(one: Repair, last: str, marked: bool) -> None:
    """The reason for it is gone during the claim, or during the tag."""
    if one.mark is None and last == "create_tags":
        return
    client = Ec2()

    def still() -> str:
        return "no reason" if ["", *client.names][-1] == last else ""

    def claim() -> bool:
        client.calls.append(("claim", {}))
        return True

    result = carry_out(client, one, pace.TokenBucket(), still, claim=claim)
    assert (result.marked, result.accepted) == (marked or one.mark is None, False)
    assert (result.error, result.detail) == ("withdrawn", "no reason")
    assert client.names == GONE_ON[1 : GONE_ON.index(last) + 1]


class Bench:
    """An actuator with all its tokens, and what happens during the calls of its repair: operation -> what."""

    def __init__(self, **during: Callable[[], object]) -> None:
        self.time = VirtualTime()
        self.ec2 = Ec2()
        self.results: list[RepairResult] = []
        self._during = during
        self.actuator = Actuator(
            lambda: self, lambda results: None, self.results.append,
            clock=self.time, sleep=self.time.sleep, threads=self.time.threads,
        )  # fmt: skip
        self.time.sleep(60.0)

    def __getattr__(self, operation: str) -> Callable[..., None]:
        def call(**arguments: Any) -> None:
            getattr(self.ec2, operation)(**arguments)
            self._during.get(operation, lambda: None)()

        return call

    def claim(self) -> bool:
        self._during.get("claim", lambda: None)()
        return True

    def repair(self, still: Callable[[], str] = goes_on) -> tuple[bool | None, bool | None, str]:
        self.actuator.repair(START, self.claim, still)
        self.time.sleep(120.0)
        [result] = self.results
        return result.marked, result.accepted, result.detail


def test_18_a_monitor_that_stops_begins_no_call() -> None:
    bench = Bench()
    bench.actuator._stopped.set()
    assert bench.repair() == (False, False, "The monitor stops."), "so that the step is not spent"
    assert bench.ec2.names == []

    def stop() -> None:
        bench.actuator._stopped.set()

    bench = Bench(create_tags=stop)
    assert bench.repair() == (True, False, "The monitor stops.")
    assert bench.ec2.names == ["create_tags"]


def test_7_nothing_of_a_repair_is_begun_long_after_its_order() -> None:
    """A process that stood still goes on where it was, and the gateway may work again."""
    late = "It was ordered more than 20 s ago."
    bench = Bench(claim=lambda: bench.time.sleep(21.0))
    assert bench.repair() == (False, False, late)
    assert bench.ec2.names == []
    bench = Bench(create_tags=lambda: bench.time.sleep(21.0))
    assert bench.repair() == (True, False, late)
    assert bench.ec2.names == ["create_tags"]
    bench = Bench(claim=lambda: bench.time.sleep(5.0), create_tags=lambda: bench.time.sleep(5.0))
    assert bench.repair() == (True, True, "")


def test_5_a_gateway_that_works_again_is_not_repaired_nor_is_one_whose_repair_was_given_up() -> None:
    world = Play(deployment())
    state = world.run(1).state
    assert unwanted(state, START) == "It is not waited for any longer."
    state = replace(state, repairs=ordered(state.repairs, START, world.now))
    assert unwanted(state, START) == "gw-a works again."
    world.gateways["gw-a"].power_off()
    state = replace(world.run(1).state, repairs=state.repairs)
    assert unwanted(state, START) == ""
    assert unwanted(state, replace(START, rung="reboot")) == "It is not waited for any longer."
    bench = Bench(create_tags=lambda: seen.append("gw-a works again."))
    seen = [""]
    assert bench.repair(lambda: seen[-1]) == (True, False, "gw-a works again.")
    assert bench.ec2.names == ["create_tags"]


def test_7_a_repair_takes_no_token_that_swaps_wait_for() -> None:
    bucket, client = pace.TokenBucket(capacity=5.0, rate=0.1), Ec2()
    for _ in range(5):
        assert bucket.acquire()
    result = carry_out(client, START, bucket, goes_on)
    assert (result.marked, result.accepted, result.error) == (False, False, "RequestLimitExceeded")
    assert client.calls == []


def test_each_call_of_a_repair_takes_a_token() -> None:
    bucket, client = pace.TokenBucket(capacity=3.0, rate=0.1, clock=lambda: 0.0), Ec2()
    assert carry_out(client, START, bucket, goes_on, clock=lambda: 0.0).accepted
    assert bucket.level == 3.0 - len(client.calls) == 1.0
    refused = carry_out(client, START, bucket, goes_on, clock=lambda: 0.0)
    assert refused.error == "RequestLimitExceeded"
    assert bucket.level == 1.0, "what is not enough for all of it is left to others"


def test_16_a_repair_that_another_monitor_has_claimed_is_not_begun() -> None:
    client = Ec2()
    result = carry_out(client, START, pace.TokenBucket(), goes_on, claim=lambda: False)
    assert (result.marked, result.accepted, result.error) == (False, False, "claimed")
    assert client.calls == []
    assert carry_out(client, START, pace.TokenBucket(), goes_on, claim=lambda: True).accepted


def test_16_a_claim_of_which_nothing_is_known_is_none() -> None:
    def lost() -> bool:
        raise Ec2Error("claiming", "timeout", "no answer", applied=None)

    client = Ec2()
    result = carry_out(client, START, pace.TokenBucket(), goes_on, claim=lost)
    assert (result.marked, result.accepted, result.error) == (False, False, "timeout")
    assert client.calls == []
