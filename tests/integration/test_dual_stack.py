# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two sites with IPv6 beside IPv4, one with BGP and one without. Judged by packets and by EC2, never by speed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import (
    ROOT,
    Lab,
    Labs,
    Variant,
    answered,
    app_routes,
    assert_deploy_changes_nothing,
    drill,
    reaches,
    steady,
)

pytestmark = pytest.mark.integration

_FILE = ROOT / "lab" / "deployments" / "dual-stack.yml"
DUAL = Variant(up=("--deployment", str(_FILE)), play=("-e", f"@{_FILE}"))
PREFIXES = {"192.168.10.0/24", "2001:db8:a10::/48", "192.168.20.0/24", "2001:db8:a20::/48"}
FOUR, SIX = {"192.168.10.10", "192.168.20.10"}, {"2001:db8:a10::10", "2001:db8:a20::10"}
LISTED = [{**site, "prefix_list": True} for site in yaml.safe_load(_FILE.read_text())["vpnha_sites"]]
SEGMENT = "import socket as s; c = s.create_connection((%r, 8080), 5); print(c.getsockopt(s.IPPROTO_TCP, s.TCP_MAXSEG))"
STAMP = 12  # bytes of each segment that TCP's timestamps take


@pytest.fixture(scope="module")
def deployed(labs: Labs) -> Lab:
    """The deployment, built by the playbook that users run."""
    return labs.deployed(DUAL)


PLACES = ("internet", "gw-a", "gw-b")


@pytest.fixture
def wire(deployed: Lab) -> Iterator[Callable[[], dict[str, int]]]:
    """How many packets of a site were seen unencrypted on the internet, and leaving each gateway, once it is called."""

    def count() -> dict[str, int]:
        found = {}
        for place in PLACES:
            done = deployed.command("capture", "stop", place, "--json")
            assert done.returncode == 0, done.stdout + done.stderr
            seen = json.loads(done.stdout)
            assert seen["packets"] > 0, f"nothing was captured at {place}"
            found[place] = int(seen["plaintext"])
        return found

    for place in PLACES:
        started = deployed.command("capture", "start", place)
        assert started.returncode == 0, started.stdout + started.stderr
    yield count
    for place in PLACES:
        deployed.command("capture", "stop", place)


NONE = dict.fromkeys(PLACES, 0)


def lost(one: dict[str, Any], window: str, host: str, targets: set[str]) -> list[int]:
    """What each stream of a host to these targets lost in a window of the drill, by ICMP and by UDP."""
    [run] = one["runs"]
    found = [each for each in run["streams"] if each["host"] == host and each["target"] in targets]
    assert {each["target"] for each in found} == targets
    assert {each["protocol"] for each in found} == {"icmp", "udp"}
    assert all(each["sent"] > each["lost"] for each in found)
    return [each["windows"][window]["lost"] for each in found]


@pytest.mark.parametrize("host", ["app-a", "app-b"])
@pytest.mark.parametrize("target", sorted(FOUR | SIX))
def test_every_zone_reaches_every_site_by_both_families_after_one_deploy(deployed: Lab, host: str, target: str) -> None:
    assert reaches(deployed, host, target)


def test_each_table_has_a_route_for_each_prefix(deployed: Lab) -> None:
    routes = app_routes(deployed)
    tables = {table for table, _destination in routes}
    assert len(tables) == 2
    assert set(routes) == {(table, prefix) for table in tables for prefix in PREFIXES}


@pytest.mark.parametrize(("target", "size"), [("192.168.10.10", 1360), ("2001:db8:a10::10", 1340)])
def test_segments_are_as_small_as_the_tunnel_needs(deployed: Lab, target: str, size: int) -> None:
    assert int(deployed.shell("app-a", "python3", "-c", SEGMENT % target)) == size - STAMP


def test_a_second_deploy_changes_nothing(deployed: Lab) -> None:
    assert_deploy_changes_nothing(deployed)


def test_the_monitor_knows_each_site_as_reached_through_its_own_tunnels(deployed: Lab) -> None:
    status = json.loads(deployed.shell("mon-a", "vpnha", "status", "--json"))
    assert {path["verdict"] for path in status["paths"]} == {"up"}


def test_a_gateway_without_power_costs_both_families_some_packets_and_the_way_home_none(
    deployed: Lab, tmp_path: Path, wire: Callable[[], dict[str, int]]
) -> None:
    home = app_routes(deployed)
    one = drill(deployed, tmp_path, "gateway_power_off")["gateway_power_off"]
    for targets in (FOUR, SIX):
        assert all(lost(one, "fault", "app-a", targets))
        assert not any(lost(one, "healing", "app-a", targets))
    moved = {event["subject"].split()[-1] for event in one["events"] if event["code"] == "swap-issued"}
    assert moved == PREFIXES
    assert wire() == NONE
    assert app_routes(deployed) == home


def test_a_dead_tunnel_of_a_bgp_site_moves_both_families_to_the_neighbour_without_a_swap(
    deployed: Lab, tmp_path: Path, wire: Callable[[], dict[str, int]]
) -> None:
    targets = [{"address": address, "responder_port": 7785} for address in ("192.168.10.10", "2001:db8:a10::10")]
    one = drill(deployed, tmp_path, "tunnel_block", vpnha_drill_site="hq", vpnha_drill_targets=targets)["tunnel_block"]
    for target in targets:
        assert all(lost(one, "fault", "app-a", {str(target["address"])}))
    assert "swap-issued" not in {event["code"] for event in one["events"]}
    assert one["failback_lost"] == 0
    assert wire() == NONE


def test_a_planned_move_costs_neither_family_anything(deployed: Lab, tmp_path: Path) -> None:
    assert drill(deployed, tmp_path, "planned")["planned"]["packets_lost"] == 0


UNITS = ("vpnha-agent.service", "frr.service", "strongswan.service")  # the agent first: it starts a dead strongSwan


def test_with_tunnels_and_routing_gone_no_packet_leaves_a_gateway_in_clear(
    deployed: Lab, wire: Callable[[], dict[str, int]]
) -> None:
    try:
        for gateway in ("gw-a", "gw-b"):
            deployed.shell(gateway, "systemctl", "stop", *UNITS)
        for target in sorted(FOUR | SIX):
            assert answered(deployed, "app-a", target) == 0
        assert wire() == NONE
    finally:
        for gateway in ("gw-a", "gw-b"):
            deployed.shell(gateway, "systemctl", "start", *reversed(UNITS))
    until = time.monotonic() + 180
    while not all(reaches(deployed, "app-a", target) for target in sorted(FOUR | SIX)):
        assert time.monotonic() < until, "traffic does not flow again"


def test_going_over_to_prefix_lists_costs_neither_family_anything(deployed: Lab, tmp_path: Path) -> None:
    listed = Lab(deployed.env, (*DUAL.play, "-e", json.dumps({"vpnha_sites": LISTED})))
    with steady(deployed, FOUR | SIX) as lost_on_the_way:
        assert listed.play("deploy").code == 0
        assert listed.play("deploy", vpnha_remove_covered_routes=True).code == 0
    assert set(lost_on_the_way.values()) == {0}, lost_on_the_way
    home = app_routes(listed)
    lists = {destination for _table, destination in home}
    assert len(lists) == 2 * len(LISTED) and all(each.startswith("pl-") for each in lists)
    assert_deploy_changes_nothing(listed, vpnha_remove_covered_routes=True)
    one = drill(listed, tmp_path, "gateway_power_off")["gateway_power_off"]
    for targets in (FOUR, SIX):
        assert all(lost(one, "fault", "app-a", targets))
        assert not any(lost(one, "healing", "app-a", targets))
    assert app_routes(listed) == home
