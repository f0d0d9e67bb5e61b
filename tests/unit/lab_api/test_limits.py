# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings and token buckets."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.api.limits import Buckets, Settings


@pytest.mark.parametrize(
    ("action", "filtered", "burst", "after_a_second"),
    [
        ("ReplaceRoute", True, 50, 5),
        ("StartInstances", True, 5, 2),
        ("TerminateInstances", True, 100, 5),
        ("DescribeRouteTables", True, 100, 20),
        ("DescribeInstances", True, 100, 20),
        ("DescribeInstances", False, 50, 10),
    ],
)
def test_a_bucket_empties_and_fills_again(action: str, filtered: bool, burst: int, after_a_second: int) -> None:
    now = [100.0]
    buckets = Buckets(clock=lambda: now[0])

    def taken() -> int:
        return sum(buckets.take(action, filtered) for _ in range(200))

    assert taken() == burst
    now[0] += 1.0
    assert taken() == after_a_second
    now[0] += 3600.0
    assert taken() == burst


def test_every_action_has_its_own_bucket() -> None:
    buckets = Buckets(clock=lambda: 0.0)
    while buckets.take("ReplaceRoute", True):
        pass
    assert buckets.take("CreateRoute", True)


def test_settings_are_taken_together_or_not_at_all() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="minimum first"):
        settings.update({"throttle": True, "route_propagation": [3, 1]})
    assert settings == Settings()
    settings.update({"throttle": True, "route_propagation": 2})
    assert (settings.throttle, settings.route_propagation) == (True, (2.0, 2.0))


@pytest.mark.parametrize(
    "changes",
    [
        {"route_propagation": "1"},
        {"throttle": 1},
        {"stale_reads": -1},
        {"impaired": {"i-1": "x"}},
        {"no": 1},
        {"blackholes": "eni-1"},
        {"retiring": {"i-1": "tomorrow"}},
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        Settings().update(changes)


def test_every_setting_can_be_set_back_to_what_it_is_at_first() -> None:
    settings = Settings()
    settings.update(Settings().to_dict())
    assert settings == Settings()


def test_throttling_is_off_until_it_is_switched_on(vpc: Any, settings: Any, refused: Any) -> None:
    eni = vpc.eni()
    way = {"RouteTableId": vpc.table, "DestinationCidrBlock": "192.168.10.0/24", "NetworkInterfaceId": eni}
    vpc.ec2.create_route(**way)
    for _ in range(60):
        vpc.ec2.replace_route(**way)
    settings(throttle=True)

    def storm() -> None:
        for _ in range(51):
            vpc.ec2.replace_route(**way)

    assert refused(storm) == "RequestLimitExceeded"
    with pytest.raises(ClientError) as told:
        vpc.ec2.replace_route(**way)
    answer = told.value.response
    assert (answer["Error"]["Code"], answer["Error"]["Message"]) == ("RequestLimitExceeded", "Request limit exceeded.")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
    vpc.ec2.describe_route_tables(RouteTableIds=[vpc.table])  # every action has its own bucket
    settings(throttle=False)
    vpc.ec2.replace_route(**way)
