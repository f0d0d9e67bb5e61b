# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway that somebody has terminated is replaced by the monitor, configures itself and carries traffic again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Lab, app_routes, assert_deploy_changes_nothing, aws, reaches
from tests.integration.test_repair import TIMING, events, give_back, of_gateway, repair_tag, until

pytestmark = pytest.mark.integration

VARIABLES = {"vpnha_repair": "replace", "vpnha_timing": TIMING}


def instances(lab: Lab, gateway: str) -> list[str]:
    """Ids of a gateway's instances that exist."""
    alive = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped", "shutting-down"]}
    found = aws(lab).describe_instances(Filters=[*of_gateway(gateway), alive])["Reservations"]
    return [one["InstanceId"] for reservation in found for one in reservation["Instances"]]


def bundles(lab: Lab) -> list[str]:
    """Names of the secrets that the deployment left."""
    client = aws(lab, "secretsmanager")
    return sorted(secret["Name"] for secret in client.list_secrets()["SecretList"])


def lan(lab: Lab) -> bool:
    return reaches(lab, "app-a", "192.168.10.10") and reaches(lab, "app-a", "192.168.20.10")


@pytest.fixture(scope="module")
def replacing(deployed: Lab) -> Iterator[Lab]:
    """The deployment with the policy `replace` and short waiting times, and afterwards without."""
    assert deployed.play("deploy", **VARIABLES).code == 0
    yield deployed
    assert deployed.play("deploy").code == 0
    assert bundles(deployed) == [], "nothing is left of the policy"
    assert aws(deployed).describe_launch_templates()["LaunchTemplates"] == []


def test_row_11_a_terminated_gateway_is_replaced_and_carries_traffic_again(replacing: Lab) -> None:
    lab, began, home = replacing, time.time(), app_routes(replacing)
    key = lab.shell("gw-a", "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
    (old,) = instances(lab, "gw-a")
    aws(lab).terminate_instances(InstanceIds=[old])
    until(lambda: len(set(app_routes(lab).values())) == 1, 60, "every route leads to the other gateway")
    assert lan(lab), "the other gateway carries"
    assert instances(lab, "gw-a") in ([], [old]), "routes leave long before another instance is launched"
    until(lambda: app_routes(lab) == home, 300, "another gw-a has its routes")
    (new,) = instances(lab, "gw-a")
    assert new != old
    assert lan(lab)
    assert repair_tag(lab, "gw-a").startswith("rung=launch steps=")
    issued = events(lab, began, "repair-issued")
    assert [(event["subject"], event["evidence"]["rung"]) for event in issued] == [("gw-a", "launch")]
    said = lab.shell("gw-a", "journalctl", "-o", "cat", "-u", "vpnha-self-configure")
    assert "Configured from vpnha/lab/gw-a" in said
    assert lab.shell("gw-a", "cat", "/etc/ssh/ssh_host_ed25519_key.pub") == key


def test_no_secret_is_in_user_data_and_only_the_gateways_read_the_bundles(replacing: Lab) -> None:
    described = aws(replacing).describe_launch_template_versions(LaunchTemplateName="lab-gw-a", Versions=["$Default"])
    assert "psk" not in str(described) and "heartbeat" not in str(described)
    script = (
        "import boto3; client = boto3.client('secretsmanager', region_name='eu-central-1', "
        "endpoint_url='http://192.0.2.10:4566'); client.get_secret_value(SecretId='vpnha/lab/gw-a/1')"
    )
    python = "/opt/vpnha/venv/bin/python"
    assert replacing.command("shell", "gw-b", python, "-c", script).returncode == 0
    monitor = replacing.command("shell", "mon-a", python, "-c", script)
    assert monitor.returncode != 0 and "AccessDenied" in monitor.stdout + monitor.stderr


def test_a_deploy_after_a_replacement_changes_nothing(replacing: Lab) -> None:
    assert_deploy_changes_nothing(replacing, **VARIABLES)


def test_a_person_replaces_a_gateway(replacing: Lab) -> None:
    lab, home = replacing, app_routes(replacing)
    give_back(lab, "gw-a")
    (old,) = instances(lab, "gw-b")
    assert lab.play("repair", vpnha_broken="gw-b", vpnha_replace=True, **VARIABLES).code == 0
    (new,) = instances(lab, "gw-b")
    assert new != old
    assert app_routes(lab) == home and lan(lab)
