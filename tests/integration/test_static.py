# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site whose peers do not speak BGP, beside one whose peers do. Judged by packets and by EC2, never by speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import (
    ROOT,
    Lab,
    Labs,
    Variant,
    app_routes,
    assert_deploy_changes_nothing,
    drill,
    reaches,
)

pytestmark = pytest.mark.integration

_FILE = ROOT / "lab" / "deployments" / "static.yml"
STATIC = Variant(up=("--deployment", str(_FILE)), play=("-e", f"@{_FILE}"))
PLANT = {"vpnha_drill_site": "plant", "vpnha_drill_targets": [{"address": "192.168.20.10", "responder_port": 7785}]}


@pytest.fixture(scope="module")
def deployed(labs: Labs) -> Lab:
    """The deployment with a static site, built by the playbook that users run."""
    return labs.deployed(STATIC)


@pytest.mark.parametrize("host", ["app-a", "app-b"])
@pytest.mark.parametrize("target", ["192.168.10.10", "192.168.20.10"])
def test_every_zone_reaches_every_site_after_one_deploy(deployed: Lab, host: str, target: str) -> None:
    assert reaches(deployed, host, target)


def test_the_gateways_speak_bgp_with_the_one_site_only(deployed: Lab) -> None:
    neighbours = deployed.shell("gw-a", "vtysh", "-c", "show bgp summary json")
    assert "169.254.10.2" in neighbours
    assert "169.254.20.2" not in neighbours


def test_a_second_deploy_changes_nothing(deployed: Lab) -> None:
    assert_deploy_changes_nothing(deployed)


def test_a_dead_tunnel_costs_some_packets_and_leaves_the_other_site_alone(deployed: Lab, tmp_path: Path) -> None:
    home = app_routes(deployed)
    one = drill(deployed, tmp_path, "tunnel_block", **PLANT)["tunnel_block"]
    assert 0 < one["packets_lost"] < one["packets_sent"]
    assert one["failback_lost"] == 0
    swapped = [event["subject"] for event in one["events"] if event["code"] == "swap-issued"]
    assert not [subject for subject in swapped if subject.endswith("192.168.10.0/24")]
    assert app_routes(deployed) == home


@pytest.mark.parametrize("scenario", ["ipsec_kill", "gateway_power_off"])
def test_what_takes_the_tunnel_along_costs_the_static_site_some_packets(
    deployed: Lab, tmp_path: Path, scenario: str
) -> None:
    home = app_routes(deployed)
    one = drill(deployed, tmp_path, scenario, **PLANT)[scenario]
    assert 0 < one["packets_lost"] < one["packets_sent"]
    assert one["failback_lost"] == 0
    assert app_routes(deployed) == home


def test_a_planned_move_loses_nothing(deployed: Lab, tmp_path: Path) -> None:
    one = drill(deployed, tmp_path, "planned", **PLANT)["planned"]
    assert one["packets_lost"] == 0 and one["failback_lost"] == 0
