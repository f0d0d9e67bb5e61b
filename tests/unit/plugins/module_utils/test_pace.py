# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's limits: never reached by what is ours alone, and followed when others have reached them."""

from __future__ import annotations

import math
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from ansible_collections.vpnha.aws.plugins.module_utils import pace, routes
from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.model import RouteKey, Swap


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def bucket_of(clock: Clock, **given: float) -> pace.TokenBucket:
    return pace.TokenBucket(clock=clock, sleep=clock.sleep, **given)


def test_so_many_at_once_and_then_so_many_a_second(clock: Clock) -> None:
    bucket = bucket_of(clock)
    for _ in range(45):
        assert bucket.acquire()
    assert clock.now == 100.0
    for _ in range(455):
        assert bucket.acquire()
    assert clock.now == pytest.approx(100.0 + 455 / 4.8)
    assert pace.seconds_for(500) == pytest.approx(455 / 4.8)
    assert pace.seconds_for(45) == 0.0


@pytest.mark.parametrize("published", [pace.CHANGES, pace.READS], ids=["changes", "reads"])
@pytest.mark.parametrize("phase", [0.0, 0.01, 0.5, 0.99])
def test_an_ec2_that_adds_its_tokens_once_a_second_never_refuses(
    published: pace.Published, phase: float, clock: Clock
) -> None:
    bucket = bucket_of(clock, capacity=published.capacity, rate=published.rate)
    tokens, seen = published.size, math.floor(clock.now - phase)
    for _ in range(1000):
        bucket.acquire()
        second = math.floor(clock.now - phase)
        tokens, seen = min(published.size, tokens + (second - seen) * published.refill), second
        assert tokens >= 1.0
        tokens -= 1.0


def test_a_token_that_would_come_too_late_is_not_taken(clock: Clock) -> None:
    bucket = bucket_of(clock, capacity=1, rate=1)
    assert bucket.acquire(deadline=100.0)
    assert not bucket.acquire(deadline=100.9)
    assert bucket.acquire(deadline=101.1)
    assert clock.now == pytest.approx(101.0)


def test_a_refusal_leaves_no_token_and_halves_the_pace(clock: Clock) -> None:
    bucket = bucket_of(clock)
    bucket.throttled()
    assert bucket.pace == pytest.approx(2.4)
    assert not bucket.acquire(deadline=100.4)
    assert bucket.acquire(deadline=100.42)


def test_refusals_of_calls_side_by_side_are_one(clock: Clock) -> None:
    bucket = bucket_of(clock)
    for _ in range(32):
        bucket.throttled()
    assert (bucket.pace, bucket.refusals) == (pytest.approx(2.4), 32)
    clock.now += 1.0
    bucket.throttled()
    assert bucket.pace == pytest.approx((2.4 + 4.8 / 60) / 2)


def test_the_pace_never_falls_below_a_quarter(clock: Clock) -> None:
    bucket = bucket_of(clock)
    for _ in range(10):
        bucket.throttled()
        clock.now += 1.0
    assert bucket.pace == pytest.approx(1.2 + 4.8 / 60)


def test_the_pace_grows_back_slowly_and_no_further(clock: Clock) -> None:
    bucket = bucket_of(clock)
    bucket.throttled()
    clock.now += 15.0
    assert bucket.pace == pytest.approx(3.6)
    assert bucket.level == pytest.approx(15 * (2.4 + 3.6) / 2)
    clock.now += 3600.0
    assert (bucket.pace, bucket.level) == (4.8, 45.0)


def test_what_is_less_urgent_leaves_some(clock: Clock) -> None:
    bucket = bucket_of(clock)
    taken = 0
    while bucket.acquire(deadline=100.0, spare=15.0):
        taken += 1
    assert taken == 30
    assert bucket.acquire(deadline=100.0)


def test_who_starts_again_begins_with_none(clock: Clock) -> None:
    limits = pace.Limits(clock, clock.sleep, fresh=False)
    assert not limits.changes.acquire(deadline=100.2)
    assert limits.changes.acquire(deadline=100.21)
    assert pace.Limits(clock, clock.sleep).changes.level == 45.0


# --- clients ----------------------------------------------------------------------------------------------------


@pytest.fixture
def client() -> Any:
    return boto3.client("ec2", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")


def test_a_client_takes_a_token_for_each_read(client: Any, clock: Clock) -> None:
    limits = pace.Limits(clock, clock.sleep)
    limits.watch(client)
    with Stubber(client) as answers:
        answers.add_response("describe_vpcs", {"Vpcs": []})
        client.describe_vpcs()
        answers.add_response("replace_route", {})
        client.replace_route(RouteTableId="rtb-1", DestinationCidrBlock="10.0.0.0/8", NetworkInterfaceId="eni-1")
    assert (limits.reads.level, limits.changes.level) == (79.0, 45.0)


def test_a_read_that_can_wait_gives_up_what_reading_back_needs(client: Any, clock: Clock) -> None:
    limits = pace.Limits(clock, lambda _seconds: None)
    limits.watch(client)
    limits.reads.acquire(count=90)
    limits.reads.throttled()  # 9.6 a second: three seconds are too few for the ten, the 20 that are kept, and one more
    with Stubber(client) as answers:
        answers.add_response("describe_vpcs", {"Vpcs": []})
        with pytest.raises(Ec2Error, match="this one can wait") as told:
            client.describe_vpcs()
        assert told.value.code == "RequestLimitExceeded"
        with pace.urgently():
            client.describe_vpcs()


@pytest.mark.parametrize(("operation", "slower", "other"), [("describe_vpcs", "reads", "changes"),
                                                           ("delete_vpc", "changes", "reads")])  # fmt: skip
def test_a_refusal_slows_the_calls_of_its_kind(
    client: Any, clock: Clock, operation: str, slower: str, other: str
) -> None:
    limits = pace.Limits(clock, clock.sleep)
    limits.watch(client)
    given = {"VpcId": "vpc-1"} if operation == "delete_vpc" else {}
    with Stubber(client) as answers:
        answers.add_client_error(operation, "RequestLimitExceeded", http_status_code=503)
        with pytest.raises(ClientError):
            getattr(client, operation)(**given)
    assert getattr(limits, slower).refusals == 1
    assert getattr(limits, other).refusals == 0


def test_a_refused_swap_counts_once_although_its_client_hears_it_too(client: Any, clock: Clock) -> None:
    limits = pace.Limits(clock, clock.sleep)
    limits.watch(client)
    route = {"DestinationCidrBlock": "192.168.0.0/24", "NetworkInterfaceId": "eni-b"}
    with Stubber(client) as answers:
        answers.add_client_error("replace_route", "RequestLimitExceeded", http_status_code=503)
        answers.add_response("replace_route", {})
        for _read in range(2):
            answers.add_response(
                "describe_route_tables", {"RouteTables": [{"RouteTableId": "rtb-1", "Routes": [route]}]}
            )
        [result] = routes.swap_all(
            client, [Swap(RouteKey("rtb-1", "192.168.0.0/24"), "gw-b", "eni-b", "gateway-silent")],
            bucket=limits.changes, deadline=clock.now + 60, clock=clock, sleep=clock.sleep,
        )  # fmt: skip
    assert result.accepted
    assert (limits.changes.refusals, limits.changes.pace < limits.changes.rate) == (1, True)
