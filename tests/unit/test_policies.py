# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies in the documentation allow whatever the modules call of AWS."""

from __future__ import annotations

import re
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from tests.tools.policies import POLICY_PAGE, allowed_actions

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("cloudwatch", "dynamodb", "ec2", "iam", "secretsmanager", "sns")
# What the endpoint recorded while the role network built a deployment from nothing and removed it, by modules of
# amazon.aws and ours; `make release` records it anew.
RECORDED = """
    AllocateAddress AssociateAddress AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupIngress
    CreateInternetGateway CreateNetworkInterface CreateRoute CreateRouteTable CreateSecurityGroup CreateSubnet
    CreateVpc DeleteInternetGateway DeleteNetworkInterface DeleteRouteTable DeleteSecurityGroup DeleteSubnet
    DeleteVpc DescribeAddresses DescribeAvailabilityZones DescribeInstanceAttribute DescribeInstanceStatus
    DescribeInstances DescribeInternetGateways DescribeLaunchTemplates DescribeNetworkInterfaces DescribeRouteTables
    DescribeSecurityGroups DescribeSubnets DescribeTags DescribeVpcAttribute DescribeVpcEndpoints DescribeVpcs
    DetachInternetGateway DisassociateAddress DisassociateRouteTable ModifyNetworkInterfaceAttribute
    ModifyVpcAttribute ReleaseAddress RunInstances TerminateInstances
"""
MODULES = sorted((ROOT / "plugins").rglob("*.py"))


def operations() -> dict[str, set[str]]:
    """boto3's methods, each with the actions of IAM that it may stand for."""
    session = botocore.session.get_session()
    found: dict[str, set[str]] = {}
    for service in SERVICES:
        for name in session.get_service_model(service).operation_names:
            found.setdefault(xform_name(name), set()).add(f"{service}:{name}")
    return found


@pytest.fixture(scope="module")
def allowed() -> set[str]:
    """What the pages' policies allow together, and the table of the rights of what alarms start."""
    managed = (ROOT / "docs" / "managed-vpn.md").read_text()
    table = set(re.findall(r"`(ec2:\w+)`", (ROOT / "docs" / "event-driven.md").read_text()))
    return allowed_actions(POLICY_PAGE.read_text()) | allowed_actions(managed) | table


def test_what_was_recorded_is_allowed() -> None:
    recorded = {f"ec2:{action}" for action in RECORDED.split()}
    assert recorded - allowed_actions(POLICY_PAGE.read_text()) == set()


def test_what_the_code_names_is_allowed(allowed: set[str]) -> None:
    methods = operations()
    named: dict[str, str] = {}
    for path in MODULES:
        for name in re.findall(r"(?:\.|\")([a-z]+_[a-z_]+)\b", path.read_text()):
            if name in methods:
                named.setdefault(name, path.name)
    assert len(named) > 50
    assert {name: where for name, where in named.items() if not methods[name] & allowed} == {}


def test_policies_have_no_wildcard_and_no_action_that_is_none(allowed: set[str]) -> None:
    known = set().union(*operations().values())
    # By IAM alone: not an operation, or one of another name
    assert allowed - known == {"iam:PassRole"}
