# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways and monitor on Debian 12: older strongSwan, FRR and Python. Judged by packets and by EC2, never by speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Lab, Labs, Variant, app_routes, assert_deploy_changes_nothing, drill, reaches

pytestmark = pytest.mark.integration

DEBIAN_12 = Variant(play=("-e", "vpnha_image=ami-vpnha0bookworm"), release="bookworm")


@pytest.fixture(scope="module")
def deployed(labs: Labs) -> Lab:
    """The shipped deployment, but with Debian 12 on gateways and monitor."""
    return labs.deployed(DEBIAN_12)


@pytest.mark.parametrize("host", ["gw-a", "gw-b", "mon-a"])
def test_it_is_debian_12_that_was_deployed(deployed: Lab, host: str) -> None:
    assert deployed.shell(host, "cat", "/etc/debian_version").startswith("12.")


@pytest.mark.parametrize("host", ["app-a", "app-b"])
@pytest.mark.parametrize("target", ["192.168.10.10", "192.168.20.10"])
def test_every_zone_reaches_every_site_after_one_deploy(deployed: Lab, host: str, target: str) -> None:
    assert reaches(deployed, host, target)


def test_a_second_deploy_changes_nothing(deployed: Lab) -> None:
    assert_deploy_changes_nothing(deployed)


@pytest.mark.parametrize("scenario", ["tunnel_block", "ipsec_kill", "gateway_power_off"])
def test_a_failure_costs_some_packets_and_all_is_as_before(deployed: Lab, tmp_path: Path, scenario: str) -> None:
    home = app_routes(deployed)
    one = drill(deployed, tmp_path, scenario)[scenario]
    assert 0 < one["packets_lost"] < one["packets_sent"]
    assert one["failback_lost"] == 0
    assert app_routes(deployed) == home
