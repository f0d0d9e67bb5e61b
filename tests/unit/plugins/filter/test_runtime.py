# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of Python's requirements pip is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.filter.runtime import unmet_requirements

INSTALLED = ["boto3==1.35.1", "prometheus_client==0.21.0", "odd==not-a-version", "apprise==1.9.0rc1"]

ROLES = Path(__file__).parents[4] / "roles"


@pytest.mark.parametrize("met", ["boto3", "boto3>=1.34", "Boto3<2,>1", "prometheus-client>=0.20", "apprise>=1.8"])
def test_what_is_there_is_not_asked_for(met: str) -> None:
    assert unmet_requirements([met], INSTALLED) == []


@pytest.mark.parametrize(
    "unmet",
    [
        "vici>=6.0", "boto3>=1.36", "boto3==1.34.0", "odd>=1", "boto3[crt]", "boto3; python_version>'3'",
        "boto3 @ https://mirror.test/boto3.whl", "git+https://mirror.test/boto3", "/srv/boto3.whl", "boto3>=",
    ],
)  # fmt: skip
def test_what_is_missing_or_only_pip_can_judge_is_asked_for(unmet: str) -> None:
    assert unmet_requirements(["boto3", unmet], INSTALLED) == [unmet]


def test_without_an_environment_all_is_asked_for() -> None:
    assert unmet_requirements(["boto3>=1.34", "vici>=6.0"], []) == ["boto3>=1.34", "vici>=6.0"]


def test_hosts_and_controller_have_a_boto3_that_can_cut_the_power() -> None:
    """StopInstances has SkipOsShutdown since then; all files say so, as an image may be baked by any of them."""
    files = [ROLES.parent, ROLES / "gateway" / "files", ROLES / "monitor" / "files"]
    lines = [line for path in files for line in (path / "requirements.txt").read_text(encoding="utf-8").splitlines()]
    assert {line for line in lines if line.startswith("boto")} == {"boto3>=1.39.12", "botocore>=1.39.12"}


def test_the_gateways_packages_hold_those_of_the_runtime() -> None:
    """The role runtime installs none where the role gateway says which family a host is of."""
    gateway, runtime = (
        yaml.safe_load((ROLES / role / "vars" / "main.yml").read_text(encoding="utf-8"))
        for role in ("gateway", "runtime")
    )
    for platform in gateway["__vpnha_gateway_platforms"].values():
        needed = runtime["__vpnha_runtime_packages_by_family"][platform["os_family"]]
        assert set(needed) <= set(platform["packages"])
