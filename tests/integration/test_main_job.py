# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job in the lab: deploy, traffic, failover and back. Judged by packets and by EC2, never by speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import (
    Lab,
    app_routes,
    assert_deploy_changes_nothing,
    drill,
    eni_of,
    reaches,
    settle,
    until,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("host", ["app-a", "app-b"])
@pytest.mark.parametrize("target", ["192.168.10.10", "192.168.20.10"])
def test_every_zone_reaches_every_site_after_one_deploy(deployed: Lab, host: str, target: str) -> None:
    assert reaches(deployed, host, target)


def test_a_second_deploy_changes_nothing(deployed: Lab) -> None:
    assert_deploy_changes_nothing(deployed)


def test_status_answers_the_question_of_the_night(deployed: Lab) -> None:
    played = deployed.play("status")
    assert played.code == 0
    assert "traffic" in played.output.lower()


def test_a_failover_is_pinned_a_deploy_leaves_it_and_failback_ends_it(deployed: Lab) -> None:
    home = app_routes(deployed)
    deployed.shell("app-a", "systemd-run", "--unit=chatter", "ping", "-q", "-i", "0.2", "192.168.10.10")
    moved = deployed.play("failover", vpnha_zones_to_move=["eu-central-1a"], vpnha_to="gw-b", vpnha_pin_minutes=10)
    deployed.shell("app-a", "systemctl", "stop", "chatter")
    assert moved.code == 0
    assert "gw-b carries packets of eu-central-1a." in moved.output
    away = app_routes(deployed)
    assert away != home and len(set(away.values())) == 1
    assert deployed.play("deploy").code == 0
    assert app_routes(deployed) == away
    assert reaches(deployed, "app-a", "192.168.10.10")
    assert deployed.play("failback").code == 0
    assert app_routes(deployed) == home


def test_a_powered_off_gateway_is_left_and_used_again_after_it_is_back(deployed: Lab, tmp_path: Path) -> None:
    home = app_routes(deployed)
    one = drill(deployed, tmp_path, "gateway_power_off")["gateway_power_off"]
    assert one["packets_lost"] > 0 and one["packets_sent"] > one["packets_lost"]
    assert one["failback_lost"] == 0
    assert app_routes(deployed) == home


def test_a_blocked_tunnel_is_taken_over_by_the_neighbour(deployed: Lab, tmp_path: Path) -> None:
    one = drill(deployed, tmp_path, "tunnel_block")["tunnel_block"]
    assert 0 < one["packets_lost"] < one["packets_sent"]
    assert one["failback_lost"] == 0
    assert "swap-issued" not in {event["code"] for event in one["events"]}, "EC2 was called for what BGP does"


def test_a_planned_move_loses_nothing(deployed: Lab, tmp_path: Path) -> None:
    one = drill(deployed, tmp_path, "planned")["planned"]
    assert one["packets_lost"] == 0 and one["failback_lost"] == 0


def test_a_packet_filter_that_somebody_flushed_is_loaded_again(deployed: Lab) -> None:
    ruleset = ("nft", "--stateless", "list", "table", "inet", "vpnha")
    before, home = deployed.shell("gw-a", *ruleset), app_routes(deployed)
    deployed.shell("gw-a", "nft", "flush", "ruleset")
    until(lambda: deployed.command("shell", "gw-a", *ruleset).stdout == before, 30, "the filter is there again")
    assert reaches(deployed, "app-a", "192.168.10.10")
    assert app_routes(deployed) == home


def test_a_gateway_that_forwards_nothing_is_left_until_it_does(deployed: Lab) -> None:
    settle(deployed, "mon-a")
    home, forwarding = app_routes(deployed), "net.ipv4.ip_forward"
    other = eni_of(deployed, "gw-b")
    deployed.shell("gw-a", "sysctl", "-w", f"{forwarding}=0")
    until(lambda: set(app_routes(deployed).values()) == {other}, 30, "every route leads to gw-b")
    assert reaches(deployed, "app-a", "192.168.10.10")
    assert '"forwarding-off"' in deployed.shell("mon-a", "vpnha", "status", "--json")
    deployed.shell("gw-a", "sysctl", "-w", f"{forwarding}=1")
    until(lambda: app_routes(deployed) == home, 60, "every route is at home again")
    assert reaches(deployed, "app-a", "192.168.10.10")


def test_an_unknown_scenario_is_refused_before_anything_is_touched(deployed: Lab, tmp_path: Path) -> None:
    before = app_routes(deployed)
    played = deployed.play("failover_drill", vpnha_drill_scenarios=["earthquake"], vpnha_drill_output=str(tmp_path))
    assert played.code != 0 and "earthquake" in played.output and "Traceback" not in played.output
    assert app_routes(deployed) == before
