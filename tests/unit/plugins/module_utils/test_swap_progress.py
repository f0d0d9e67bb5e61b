# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a person's swaps are, as their client sees it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.pace import TokenBucket
from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import Progress


def ec2(**arguments: Any) -> dict[str, Any]:
    if arguments["RouteTableId"] == "rtb-refused":
        raise OSError
    return {}


def test_what_is_moved_and_what_is_left() -> None:
    how, bucket = Progress(), TokenBucket(clock=lambda: 0.0, sleep=lambda _seconds: None)
    assert (how.sentence, how.seconds_left) == ("", 0.0)
    client = how.watch(SimpleNamespace(replace_route=ec2, region="eu-central-1"), 94, bucket)
    assert how.sentence == "0 of 94 routes moved; the last swap begins in about 10 s."  # (94 - 45) / 4.8

    for number in range(45):
        bucket.acquire()
        client.replace_route(RouteTableId=f"rtb-{number}", DestinationCidrBlock="10.0.0.0/8")
    for _thread in range(32):  # wait with a token of the time to come
        bucket.acquire()
    assert how.sentence == "45 of 94 routes moved; the last swap begins in about 10 s."
    for _again in range(2):
        client.replace_route(RouteTableId="rtb-0", DestinationCidrBlock="10.0.0.0/8")
        with pytest.raises(OSError):
            client.replace_route(RouteTableId="rtb-refused", DestinationCidrBlock="10.0.0.0/8")
    assert (how.moved, how.seconds_left) == (45, pytest.approx(48 / 4.8))
    for number in range(48):
        client.replace_route(RouteTableId=f"rtb-{number}", DestinationCidrBlock="172.16.0.0/12")
    assert how.sentence == "93 of 94 routes moved."
    assert client.region == "eu-central-1"
