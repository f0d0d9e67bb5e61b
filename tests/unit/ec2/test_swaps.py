# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swapping: what EC2 answers, what its reads show, and what is then said of each route."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from ansible_collections.vpnha.aws.plugins.module_utils import pace
from ansible_collections.vpnha.aws.plugins.module_utils.model import DEADLINE, RouteKey, Swap, SwapResult
from ansible_collections.vpnha.aws.plugins.module_utils.routes import STALE, destination_argument, swap_all

from .conftest import HQ, PLANT, World

A, B = "eu-central-1a", "eu-central-1b"


class Faulty:
    """An EC2 client on which some calls go wrong; counts its calls. Faults are told which call of its kind it is:

    of that operation, for swaps of that operation and destination.
    """

    def __init__(self, real: Any, **faults: Callable[[int, Any, dict[str, Any]], Any]) -> None:
        self._real, self._faults = real, faults
        self.calls: Counter[str] = Counter()
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)

        def call(**arguments: Any) -> Any:
            with self._lock:
                self.calls[name] += 1
                kind = (name, arguments.get("DestinationCidrBlock", ""))
                self._kinds[kind] += 1
                number = self._kinds[kind]
            return self._faults[name](number, real, arguments) if name in self._faults else real(**arguments)

        return call


def refusing(code: str, *, first: int = 99, applied: bool = False) -> Callable[[int, Any, dict[str, Any]], Any]:
    """Answers the first calls with an error, though perhaps the change is made."""

    def fault(number: int, real: Any, arguments: dict[str, Any]) -> Any:
        if number > first:
            return real(**arguments)
        if applied:
            real(**arguments)
        if code == "timeout":
            raise ReadTimeoutError(endpoint_url="http://ec2")
        raise ClientError({"Error": {"Code": code, "Message": "because"}}, "ReplaceRoute")

    return fault


def swap(world: World, client: Any, *, to: str = "gw-b", zone: str = A, **more: Any) -> dict[str, SwapResult]:
    """Swaps both routes of a zone; results by destination."""
    eni = world.eni(to)
    swaps = [Swap(RouteKey(world.table(zone), each), to, eni, "manual") for each in (HQ, PLANT)]
    arguments = {"bucket": pace.TokenBucket(), "deadline": time.monotonic() + 60, "sleep": lambda _seconds: None}
    return {result.swap.key.destination: result for result in swap_all(client, swaps, **(arguments | more))}


def carried_by(world: World, zone: str = A) -> dict[str, str | None]:
    return {key.destination: route.gateway for key, route in world.view().routes.items() if route.zone == zone}


def test_swapped_and_read_back_twice(world: World) -> None:
    client = Faulty(world.client)
    results = swap(world, client)
    assert all(result.accepted is True and result.error == "" for result in results.values())
    assert all(result.milliseconds > 0 for result in results.values())
    assert carried_by(world) == {HQ: "gw-b", PLANT: "gw-b"}
    assert carried_by(world, B) == {HQ: "gw-b", PLANT: "gw-b"}
    assert client.calls == {"replace_route": 2, "describe_route_tables": 2}


def test_no_swaps_no_calls(world: World) -> None:
    client = Faulty(world.client)
    assert swap_all(client, [], bucket=pace.TokenBucket(), deadline=0.0) == []
    assert not client.calls


def test_a_refused_route_does_not_keep_the_others(world: World) -> None:
    def fault(_number: int, real: Any, arguments: dict[str, Any]) -> Any:
        if arguments["DestinationCidrBlock"] == HQ:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "ReplaceRoute")
        return real(**arguments)

    client = Faulty(world.client, replace_route=fault)
    results = swap(world, client)
    assert (results[HQ].accepted, results[HQ].error) == (False, "UnauthorizedOperation")
    assert results[PLANT].accepted is True
    assert client.calls["replace_route"] == 2  # such an answer is not asked for again
    assert carried_by(world) == {HQ: "gw-a", PLANT: "gw-b"}


def test_throttled_once_goes_through_at_the_second_try(world: World) -> None:
    client = Faulty(world.client, replace_route=refusing("RequestLimitExceeded", first=1))
    results = swap(world, client)
    assert all(result.accepted is True for result in results.values())
    assert client.calls["replace_route"] == 4


def test_one_try_and_one_retry_and_no_more(world: World) -> None:
    client = Faulty(world.client, replace_route=refusing("RequestLimitExceeded"))
    results = swap(world, client)
    assert all(result.accepted is False for result in results.values())
    assert {result.error for result in results.values()} == {"RequestLimitExceeded"}
    assert client.calls["replace_route"] == 4


def test_timed_out_but_applied_counts_as_done(world: World) -> None:
    client = Faulty(world.client, replace_route=refusing("timeout", applied=True))
    results = swap(world, client)
    assert all(result.accepted is True and result.error == "timeout" for result in results.values())


def test_timed_out_and_not_seen_is_not_known(world: World) -> None:
    client = Faulty(world.client, replace_route=refusing("timeout"))
    results = swap(world, client)
    assert all(result.accepted is None and result.error == "timeout" for result in results.values())


def test_a_timeout_followed_by_a_refusal_is_not_known_either(world: World) -> None:
    def fault(number: int, _real: Any, _arguments: dict[str, Any]) -> Any:
        if number == 1:
            raise ReadTimeoutError(endpoint_url="http://ec2")
        raise ClientError({"Error": {"Code": "IncorrectState", "Message": "no"}}, "ReplaceRoute")

    results = swap(world, Faulty(world.client, replace_route=fault))
    assert all(result.accepted is None for result in results.values())


def test_a_stale_read_changes_nothing_and_is_read_again(world: World) -> None:
    old = world.client.describe_route_tables(RouteTableIds=[world.table(A)])

    def stale(number: int, real: Any, arguments: dict[str, Any]) -> Any:
        return old if number <= 3 else real(**arguments)

    client = Faulty(world.client, describe_route_tables=stale)
    results = swap(world, client)
    assert all(result.accepted is True for result in results.values())
    assert client.calls == {"replace_route": 2, "describe_route_tables": 5}


def test_reads_that_stay_stale_leave_it_open(world: World) -> None:
    old = world.client.describe_route_tables(RouteTableIds=[world.table(A)])
    client = Faulty(world.client, describe_route_tables=lambda *_: old)
    results = swap(world, client)
    assert all((result.accepted, result.error) == (None, STALE) for result in results.values())
    assert client.calls["replace_route"] == 2
    assert carried_by(world) == {HQ: "gw-b", PLANT: "gw-b"}


def test_reads_that_disagree_are_no_agreement(world: World) -> None:
    old = world.client.describe_route_tables(RouteTableIds=[world.table(A)])

    def flapping(number: int, real: Any, arguments: dict[str, Any]) -> Any:
        return old if number % 2 else real(**arguments)

    results = swap(world, Faulty(world.client, describe_route_tables=flapping))
    assert all(result.accepted is None for result in results.values())


def test_reads_that_fail_leave_it_open_and_say_why(world: World) -> None:
    client = Faulty(world.client, describe_route_tables=refusing("UnauthorizedOperation"))
    results = swap(world, client)
    assert all((each.accepted, each.error) == (None, "UnauthorizedOperation") for each in results.values())


def test_a_route_that_is_gone_is_refused(world: World) -> None:
    world.client.delete_route(RouteTableId=world.table(A), DestinationCidrBlock=HQ)
    results = swap(world, world.client)
    assert results[HQ].accepted is False
    assert results[PLANT].accepted is True
    assert HQ not in carried_by(world)


def test_nothing_begins_after_the_deadline(world: World) -> None:
    client = Faulty(world.client)
    results = swap(world, client, deadline=time.monotonic() - 1)
    assert all((result.accepted, result.error) == (False, DEADLINE) for result in results.values())
    assert client.calls["replace_route"] == 0


def test_a_throttled_swap_empties_the_bucket_for_all(world: World) -> None:
    now = time.monotonic()
    bucket = pace.TokenBucket(clock=lambda: now)
    swap(world, Faulty(world.client, replace_route=refusing("RequestLimitExceeded")), bucket=bucket, deadline=now)
    assert not bucket.acquire(deadline=now)


def test_who_is_asked_whether_it_carries(world: World) -> None:
    asked: list[Swap] = []

    def carrying(each: Swap) -> bool:
        asked.append(each)
        return each.key.destination == HQ

    results = swap(world, world.client, carrying=carrying)
    assert (results[HQ].carrying, results[PLANT].carrying) == (True, False)
    assert len(asked) == 2


def test_swaps_go_side_by_side(world: World) -> None:
    together = threading.Barrier(2, timeout=20)

    def fault(_number: int, real: Any, arguments: dict[str, Any]) -> Any:
        together.wait()
        return real(**arguments)

    with ThreadPoolExecutor(2) as pool:
        results = swap(world, Faulty(world.client, replace_route=fault), pool=pool)
    assert all(result.accepted is True for result in results.values())


def test_a_prefix_list_is_swapped(world: World) -> None:
    made = world.client.create_managed_prefix_list(PrefixListName="x", MaxEntries=5, AddressFamily="IPv4")
    prefix_list, table = made["PrefixList"]["PrefixListId"], world.table(A)
    world.client.create_route(
        RouteTableId=table, DestinationPrefixListId=prefix_list, NetworkInterfaceId=world.eni("gw-a")
    )
    wanted = [Swap(RouteKey(table, prefix_list), "gw-b", world.eni("gw-b"), "manual")]
    [result] = swap_all(world.client, wanted, bucket=pace.TokenBucket(), deadline=time.monotonic() + 60)
    assert result.accepted is True


@pytest.mark.parametrize(
    ("destination", "name"),
    [
        ("10.0.0.0/8", "DestinationCidrBlock"),
        ("2001:db8::/32", "DestinationIpv6CidrBlock"),
        ("pl-0a", "DestinationPrefixListId"),
    ],
)
def test_the_argument_for_a_destination(destination: str, name: str) -> None:
    assert destination_argument(destination) == {name: destination}
