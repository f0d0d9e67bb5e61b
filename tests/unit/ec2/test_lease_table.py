# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table by which several monitors agree: made once, never taken from somebody else, removed only if it is ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.lease_table import Outcome, make, remove


@pytest.fixture
def client() -> Iterator[Any]:
    with moto.mock_aws():
        yield boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
        )


def somebody_elses(client: Any, *keys: str, **tags: str) -> None:
    client.create_table(
        TableName="lab-monitors",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        Tags=[{"Key": key.replace("_", ":"), "Value": value} for key, value in tags.items()],
    )


def test_it_is_made_once_paid_by_request_and_tagged(client: Any) -> None:
    assert make(client, "lab", check=True) == Outcome(True, "lab-monitors")
    assert client.list_tables()["TableNames"] == []
    made = make(client, "lab", check=False)
    assert made.changed
    table = client.describe_table(TableName="lab-monitors")["Table"]
    assert table["TableArn"] == made.arn
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [each["AttributeName"] for each in table["KeySchema"]] == ["deployment", "item"]
    tags = {tag["Key"]: tag["Value"] for tag in client.list_tags_of_resource(ResourceArn=made.arn)["Tags"]}
    assert tags == {"vpnha:deployment": "lab", "vpnha:made": "lab"}
    assert make(client, "lab", check=False) == Outcome(False, "lab-monitors", made.arn)


def test_one_that_somebody_else_has_made_is_refused_and_never_removed(client: Any) -> None:
    somebody_elses(client, "deployment", "item")
    with pytest.raises(VpnhaError, match="does not carry the tag vpnha:made=lab"):
        make(client, "lab", check=False)
    assert not remove(client, "lab", check=False).changed
    assert client.list_tables()["TableNames"] == ["lab-monitors"]


def test_one_with_another_key_is_refused(client: Any) -> None:
    somebody_elses(client, "id", vpnha_made="lab")
    with pytest.raises(VpnhaError, match="has the key id and not deployment, item"):
        make(client, "lab", check=False)


def test_it_is_removed_with_the_deployment(client: Any) -> None:
    make(client, "lab", check=False)
    assert remove(client, "lab", check=True).changed
    assert client.list_tables()["TableNames"] == ["lab-monitors"]
    assert remove(client, "lab", check=False).changed
    assert client.list_tables()["TableNames"] == []
    assert remove(client, "lab", check=False) == Outcome(False, "lab-monitors")


def test_it_is_waited_for(client: Any) -> None:
    """DynamoDB answers before a table can be used."""
    make(client, "lab", check=False)
    real, slept = client.describe_table, []

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def describe_table(self, **arguments: Any) -> Any:
            answer = real(**arguments)
            if len(slept) < 3:
                answer["Table"]["TableStatus"] = "CREATING"
            return answer

    assert make(Slow(), "lab", check=False, sleep=slept.append).arn
    assert slept == [1.0, 1.0, 1.0]
