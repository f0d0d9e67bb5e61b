# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's bundle in Secrets Manager, and the replaced host that fetches it."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import boto3
import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import gateway_bundle
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from tests.unit.gateway.test_self_configure import self_configure

from .conftest import NUMBERS, REGION


@pytest.fixture
def secrets(url: str) -> Any:
    keys = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab"}
    return boto3.client("secretsmanager", endpoint_url=url, region_name=REGION, **keys)


@pytest.fixture
def name() -> str:
    return f"bundles-{next(NUMBERS)}"


def noise(size: int) -> bytes:
    """What cannot be told from a compressed archive."""
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [1, 61_440, 61_441, 150_000])
def test_what_is_stored_is_what_is_fetched(secrets: Any, name: str, size: int) -> None:
    archive = noise(size)
    written = gateway_bundle.store(secrets, name, "gw-a", archive, check=False)
    assert len(written) == -(-size // 61_440)
    assert gateway_bundle.store(secrets, name, "gw-a", archive, check=False) == []
    assert self_configure.fetch_bundle(secrets, f"vpnha/{name}/gw-a") == archive


def test_a_smaller_bundle_leaves_no_secret_over_and_check_changes_nothing(secrets: Any, name: str) -> None:
    gateway_bundle.store(secrets, name, "gw-a", noise(150_000), check=False)
    every = [f"vpnha/{name}/gw-a/{number}" for number in (1, 2, 3)]
    assert gateway_bundle.store(secrets, name, "gw-a", noise(70_000), check=True) == every
    assert len(self_configure.fetch_bundle(secrets, f"vpnha/{name}/gw-a")) == 150_000
    assert gateway_bundle.store(secrets, name, "gw-a", noise(70_000), check=False) == every
    assert len(self_configure.fetch_bundle(secrets, f"vpnha/{name}/gw-a")) == 70_000


def test_what_is_too_big_is_refused_before_anything_is_written(secrets: Any, name: str) -> None:
    with pytest.raises(VpnhaError, match="more than 8 secrets"):
        gateway_bundle.store(secrets, name, "gw-a", noise(8 * 61_440 + 1), check=False)
    assert gateway_bundle.remove(secrets, name, check=True) == []


def test_removing_takes_the_deployments_own_and_nobody_elses(secrets: Any, name: str) -> None:
    secrets.create_secret(Name=f"vpnha/{name}/mine", SecretString="a person's")
    for gateway in ("gw-a", "gw-b"):
        gateway_bundle.store(secrets, name, gateway, noise(10), check=False)
    mine = [f"vpnha/{name}/gw-a/1", f"vpnha/{name}/gw-b/1"]
    assert gateway_bundle.remove(secrets, name, check=True) == mine
    assert gateway_bundle.remove(secrets, name, check=False) == mine
    assert gateway_bundle.remove(secrets, name, check=False) == []
    assert secrets.get_secret_value(SecretId=f"vpnha/{name}/mine")["SecretString"] == "a person's"
    gateway_bundle.store(secrets, name, "gw-a", noise(10), check=False)


def test_a_gateway_that_is_gone_leaves_nothing(secrets: Any, name: str) -> None:
    for gateway in ("gw-a", "gw-a2", "gw-b"):
        gateway_bundle.store(secrets, name, gateway, noise(10), check=False)
    gone = [f"vpnha/{name}/gw-a2/1"]
    assert gateway_bundle.remove(secrets, name, check=True, keep=["gw-a", "gw-b"]) == gone
    assert gateway_bundle.remove(secrets, name, check=False, keep=["gw-a", "gw-b"]) == gone
    assert gateway_bundle.remove(secrets, name, check=False) == [f"vpnha/{name}/gw-a/1", f"vpnha/{name}/gw-b/1"]


def test_secrets_of_two_bundles_are_not_put_together(secrets: Any, name: str) -> None:
    gateway_bundle.store(secrets, name, "gw-a", noise(100_000), check=False)
    other = gateway_bundle.split(noise(100_001))
    secrets.put_secret_value(SecretId=f"vpnha/{name}/gw-a/2", SecretBinary=other[1])
    with pytest.raises(self_configure.NotYet, match="different bundles"):
        self_configure.fetch_bundle(secrets, f"vpnha/{name}/gw-a")
    digest = hashlib.sha256(b"x").hexdigest()
    secrets.put_secret_value(SecretId=f"vpnha/{name}/gw-a/1", SecretBinary=f"vpnha1 1/1 {digest}\ny".encode())
    with pytest.raises(self_configure.NotYet, match="do not make up"):
        self_configure.fetch_bundle(secrets, f"vpnha/{name}/gw-a")


def test_only_the_gateways_role_reads_it(secrets: Any, url: str, name: str) -> None:
    """By the policy of the network role, as the lab's endpoint enforces it."""
    from pathlib import Path

    import jinja2
    from botocore.exceptions import ClientError

    gateway_bundle.store(secrets, name, "gw-a", noise(10), check=False)
    gateway_bundle.store(secrets, f"{name}x", "gw-a", noise(10), check=False)
    text = (Path(__file__).parents[3] / "roles/network/templates/gateway_replace_policy.json.j2").read_text()
    document = jinja2.Template(text).render(vpnha_aws_partition="aws", vpnha_region=REGION, vpnha_deployment=name)
    keys = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab", "endpoint_url": url, "region_name": REGION}
    iam = boto3.client("iam", **keys)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
    iam.put_role_policy(RoleName=name, PolicyName="vpnha-replace", PolicyDocument=document)
    arn = iam.get_role(RoleName=name)["Role"]["Arn"]
    got = boto3.client("sts", **keys).assume_role(RoleArn=arn, RoleSessionName="gw-a")["Credentials"]
    own: Any = boto3.client(
        "secretsmanager", endpoint_url=url, region_name=REGION, aws_access_key_id=got["AccessKeyId"],
        aws_secret_access_key=got["SecretAccessKey"], aws_session_token=got["SessionToken"],
    )  # fmt: skip
    assert self_configure.fetch_bundle(own, f"vpnha/{name}/gw-a") == noise(10)
    for call in (
        lambda: self_configure.fetch_bundle(own, f"vpnha/{name}x/gw-a"),
        lambda: own.put_secret_value(SecretId=f"vpnha/{name}/gw-a/1", SecretBinary=b"x"),
        own.list_secrets,
    ):
        with pytest.raises(ClientError, match="not authorized"):
            call()
