# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill would do, and what speaks against doing it now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import drill_plan
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Gateway, Monitor, Site, Tunnel, Zone


def tunnel(site: str, gateway: str, peer: str) -> Tunnel:
    return Tunnel(
        f"{site}-{gateway}", site, gateway, peer, peer, gateway, "169.254.1.1", "169.254.1.2", "169.254.1.0/30", 65010
    )


DEPLOYMENT = Deployment(
    name="lab",
    region="eu-central-1",
    vpc_cidrs=("10.20.0.0/16",),
    asn=64512,
    zones=(Zone("a", "10.20.0.0/24", ("10.20.16.0/24",)), Zone("b", "10.20.1.0/24", ("10.20.17.0/24",))),
    gateways=(Gateway("gw-a", "a", "10.20.0.10", ("a",)), Gateway("gw-b", "b", "10.20.1.10", ("b",))),
    sites=(
        Site("hq", ("192.168.10.0/24",), ("192.168.10.10", "192.168.10.11"), "bgp"),
        Site("plant", ("192.168.20.0/24",), ("192.168.20.10",), "bgp"),
    ),
    tunnels=(
        tunnel("hq", "gw-a", "198.51.100.11"),
        tunnel("hq", "gw-b", "198.51.100.12"),
        tunnel("plant", "gw-a", "198.51.100.21"),
    ),
    monitors=(Monitor("mon-a", "b", "10.20.1.20"),),
)
ZONES = {"app-a": "a", "app-b": "b"}


def make(**wish: Any) -> dict[str, Any]:
    given = {"scenarios": ["planned"], "app_hosts": ["app-a", "app-b"], "host_zones": ZONES, **wish}
    return drill_plan.make(DEPLOYMENT, drill_plan.Wish(**given))


def test_the_gateway_broken_is_the_home_of_the_first_application_hosts_zone() -> None:
    assert make()["gateway"] == "gw-a"
    plan = make(app_hosts=["app-b", "app-a"])
    assert (plan["gateway"], plan["moves"], plan["zones"]) == ("gw-b", [{"gateway": "gw-a", "zones": ["b"]}], ["b"])


def test_each_family_of_a_site_is_measured_and_looked_for_in_clear() -> None:
    hq = replace(
        DEPLOYMENT.sites[0],
        prefixes=("192.168.10.0/24", "2001:db8:a10::/48"),
        probe_targets=("192.168.10.10", "192.168.10.11", "2001:db8:a10::10", "2001:db8:a10::11"),
    )
    vpc = ("10.20.0.0/16", "2001:db8:20::/56")
    deployment = replace(DEPLOYMENT, vpc_cidrs=vpc, sites=(hq, DEPLOYMENT.sites[1]))
    plan = drill_plan.make(deployment, drill_plan.Wish(scenarios=["planned"], app_hosts=["app-a"], host_zones=ZONES))
    assert [one["address"] for one in plan["targets"]] == ["192.168.10.10", "2001:db8:a10::10", "192.168.20.10"]
    assert plan["passing"] == [
        {"family": "ip", "targets": ["192.168.10.10", "192.168.20.10"]},
        {"family": "ip6", "targets": ["2001:db8:a10::10"]},
    ]
    assert plan["in_clear"] == [
        {"family": "ip", "sites": ["192.168.10.0/24", "192.168.20.0/24"], "vpc": ["10.20.0.0/16"]},
        {"family": "ip6", "sites": ["2001:db8:a10::/48"], "vpc": ["2001:db8:20::/56"]},
    ]
    assert [one["family"] for one in make()["in_clear"]] == ["ip"]


def test_zone_or_gateway_choose_it() -> None:
    assert make(zone="b")["gateway"] == "gw-b"
    assert make(gateway="gw-b")["gateway"] == "gw-b"


def test_an_unknown_scenario_is_refused_with_the_known_ones() -> None:
    with pytest.raises(VpnhaError) as refused:
        make(scenarios=["gateway_poweroff", "planned"])
    assert str(refused.value) == (
        "gateway_poweroff is no scenario of the drill; it knows gateway_power_off, gateway_stop, ipsec_kill, "
        "tunnel_block, planned."
    )


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"scenarios": []}, "No scenario is given"),
        ({"limits": {"plannned": 3}}, "plannned is no scenario"),
        ({"zone": "c"}, "c is no zone of the deployment; it has a, b."),
        ({"gateway": "gw-c"}, "gw-c is no gateway of the deployment; it has gw-a, gw-b."),
        ({"site": "moon"}, "moon is no site of the deployment; it has hq, plant."),
        ({"app_hosts": []}, "There is no application host to measure from"),
        (
            {"app_hosts": ["app-b"], "zone": "a"},
            "No application host's subnet has a route table that leads to gw-a (as those of a do)",
        ),
        ({"repeat": 0}, "cannot be repeated 0 times"),
        (
            {"scenarios": ["gateway_stop", "gateway_power_off"], "repeat": 7},
            "14 times, but they do so 12 times an hour",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(wish: dict[str, Any], sentence: str) -> None:
    with pytest.raises(VpnhaError) as refused:
        make(**wish)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("scenario", ["tunnel_block", "ipsec_kill"])
@pytest.mark.parametrize("repeat", [12, 13])
def test_lost_tunnels_move_routes_where_no_bgp_does(scenario: str, repeat: int) -> None:
    static = replace(DEPLOYMENT, sites=(DEPLOYMENT.sites[0], replace(DEPLOYMENT.sites[1], routing="static")))
    wish = drill_plan.Wish(scenarios=[scenario], repeat=repeat, app_hosts=["app-a"], host_zones=ZONES)
    assert len(drill_plan.make(DEPLOYMENT, wish)["runs"]) == repeat  # with BGP no route moves
    if repeat == 12:
        assert len(drill_plan.make(static, wish)["runs"]) == repeat
    else:
        with pytest.raises(VpnhaError, match="13 times, but they do so 12 times an hour at most"):
            drill_plan.make(static, wish)


def test_only_the_sites_meant_count_as_moving() -> None:
    static = replace(DEPLOYMENT, sites=(DEPLOYMENT.sites[0], replace(DEPLOYMENT.sites[1], routing="static")))

    def runs(scenario: str, **wish: Any) -> int:
        given = {"app_hosts": ["app-a", "app-b"], "host_zones": ZONES, "repeat": 13, **wish}
        return len(drill_plan.make(static, drill_plan.Wish(scenarios=[scenario], **given))["runs"])

    assert runs("tunnel_block", site="hq") == 13
    assert runs("tunnel_block", gateway="gw-b") == 13  # it has no tunnel to the static site
    with pytest.raises(VpnhaError, match="13 times"):
        runs("tunnel_block", site="plant")
    with pytest.raises(VpnhaError, match="13 times"):
        runs("ipsec_kill", site="hq")  # it takes all tunnels, whatever site is named


def test_a_block_of_no_tunnel_is_refused() -> None:
    with pytest.raises(VpnhaError) as refused:
        make(scenarios=["tunnel_block"], gateway="gw-b", site="plant")
    assert str(refused.value) == (
        "gw-b has no tunnel to plant, so tunnel_block would break nothing; choose another gateway or vpnha_drill_site."
    )
    bare = replace(DEPLOYMENT, tunnels=())
    wish = drill_plan.Wish(scenarios=["tunnel_block"], app_hosts=["app-a"], host_zones=ZONES)
    with pytest.raises(VpnhaError, match="gw-a has no tunnel, so tunnel_block would break nothing"):
        drill_plan.make(bare, wish)
    assert make(gateway="gw-b", site="plant")["peers"] == []  # no matter for other scenarios


def test_hosts_whose_zone_is_not_known_are_trusted() -> None:
    assert make(app_hosts=["elsewhere"], gateway="gw-b")["hosts"] == ["elsewhere"]


def test_targets_are_each_sites_first_unless_given() -> None:
    assert make(responder_port=7785)["targets"] == [
        {"address": "192.168.10.10", "responder_port": 7785},
        {"address": "192.168.20.10", "responder_port": 7785},
    ]
    assert make(targets=[{"address": "192.0.2.1"}])["targets"] == [{"address": "192.0.2.1"}]


def test_a_block_hits_the_gateways_own_peers_or_one_sites() -> None:
    assert make()["peers"] == ["198.51.100.11", "198.51.100.21"]
    assert make(site="plant")["peers"] == ["198.51.100.21"]


def test_every_run_says_what_it_does_and_its_limit() -> None:
    runs = make(scenarios=["gateway_power_off", "planned"], repeat=2, limits={"planned": 20})["runs"]
    assert [(one["number"], one["name"], one["limit_ms"]) for one in runs] == [
        (1, "gateway_power_off", 1200.0),
        (2, "gateway_power_off", 1200.0),
        (3, "planned", 20.0),
        (4, "planned", 20.0),
    ]
    assert (runs[0]["does"], runs[0]["undone"]) == ("cut the power of gw-a", "start gw-a")
    assert runs[2]["does"] == "move the routes of gw-a to gw-b"


def status(**more: Any) -> dict[str, Any]:
    def up(**names: str) -> dict[str, str]:
        return {**names, "verdict": "up", "text": ""}

    return {
        "monitor": "mon-a", "reasons": [], "away": [], "missing_routes": [], "pins": [], "pauses": [], "drill": None,
        "swaps_in_flight": 0, "gateways": [up(name="gw-a"), up(name="gw-b")], "tunnels": [up(name="hq-gw-a")],
        "paths": [up(gateway="gw-a", site="hq"), up(gateway="gw-b", site="hq")], "sites": [{"name": "hq"}], **more,
    }  # fmt: skip


def test_nothing_speaks_against_breaking_what_is_well() -> None:
    assert drill_plan.objections(status()) == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"reasons": ["EC2 has not been read since the start."]}, "mon-a: EC2 has not been read since the start."),
        ({"gateways": [{"name": "gw-a", "verdict": "grey", "text": "It loses."}]}, "Gateway gw-a is grey: It loses."),
        ({"tunnels": [{"name": "t", "verdict": "down", "text": "Gone."}]}, "Tunnel t is down: Gone."),
        (
            {"paths": [{"gateway": "gw-a", "site": "hq", "verdict": "up"}]},
            "Site hq is reached through 1 of the gateways",
        ),
        ({"away": [{}]}, "Routes away from home: 1;"),
        ({"missing_routes": ["rtb-1 192.168.10.0/24"]}, "Routes are missing: rtb-1 192.168.10.0/24"),
        ({"pins": [{"table": "rtb-1", "gateway": "gw-b"}]}, "Table rtb-1 is pinned to gw-b."),
        ({"pauses": [{"scope": "deployment", "name": ""}]}, "Actions are paused (deployment)."),
        (
            {"drill": "other"},
            "other is running; should it be over, take back what it left behind (-e vpnha_drill_undo=true",
        ),
        ({"swaps_in_flight": 1}, "The monitor is moving routes."),
    ],
)
def test_each_thing_that_is_not_well_is_told(more: dict[str, Any], sentence: str) -> None:
    assert any(sentence in one for one in drill_plan.objections(status(**more), drill="mine"))


def test_the_own_mark_is_no_objection() -> None:
    assert drill_plan.objections(status(drill="mine"), drill="mine") == []
    assert drill_plan.standing_objections(standing(drill="mine"), drill="mine") == []


def standing(**more: Any) -> dict[str, Any]:
    return {
        "gateways": [{"name": "gw-a", "state": "running", "usable": True}], "at_home": True, "differences": [],
        "refused_tables": {}, "route_tables": [{"id": "rtb-1", "pin": None}], "pause": None, "paused_gateways": {},
        "paused_tables": {}, "drill": None, "freeze": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"gateways": [{"name": "gw-a", "state": "stopped", "usable": False}]}, "Gateway gw-a is stopped"),
        (
            {"at_home": False, "differences": [{"route_table_id": "rtb-1", "destination": "192.168.10.0/24"}]},
            "Not everything is at home (rtb-1 192.168.10.0/24).",
        ),
        (
            {"route_tables": [{"id": "rtb-1", "pin": {"gateway": "gw-b", "expires": "2026-01-01T00:00:00Z"}}]},
            "Table rtb-1 is pinned to gw-b until 2026-01-01T00:00:00Z.",
        ),
        ({"pause": "2026-01-01T00:00:00Z"}, "The deployment is paused until 2026-01-01T00:00:00Z."),
        ({"paused_gateways": {"gw-a": "2026-01-01T00:00:00Z"}}, "gw-a is paused until"),
        (
            {"drill": "other"},
            "other is running; should it be over, take back what it left behind (-e vpnha_drill_undo=true",
        ),
        ({"freeze": "Changes are frozen (year-end)"}, "Changes are frozen (year-end)."),
    ],
)
def test_ec2s_own_word_is_heard_too(more: dict[str, Any], sentence: str) -> None:
    assert drill_plan.standing_objections(standing()) == []
    assert any(sentence in one for one in drill_plan.standing_objections(standing(**more)))


def test_outside_the_window_nothing_begins() -> None:
    window = {"days": ["mon"], "from": "02:00", "to": "04:00", "timezone": "UTC"}
    monday = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
    asked = drill_plan.Wish(scenarios=["planned", "tunnel_block"], app_hosts=["app-a"], window=window, run_seconds=1800)
    wish = replace(asked, now=monday + 3 * 3600)
    assert drill_plan.make(DEPLOYMENT, wish)["not_now"] == ""
    late = drill_plan.make(DEPLOYMENT, replace(wish, now=monday + 3 * 3600 + 1))["not_now"]
    assert "ends in 59 min, and this may take 60 min; the next one begins on Monday, 2026-01-12 02:00" in late
    with pytest.raises(VpnhaError, match=r"vpnha_drill_window\.to: this is missing"):
        drill_plan.make(DEPLOYMENT, replace(wish, window={key: window[key] for key in ("from", "timezone")}))


def test_what_a_drill_left_behind_is_only_its_own() -> None:
    standing: dict[str, Any] = {
        "drill": "awx-7",
        "gateways": [{"name": "gw-a", "state": "stopped"}, {"name": "gw-b", "state": "running"}],
        "route_tables": [
            {"id": "rtb-a", "pin": {"by": "drill-awx-7"}},
            {"id": "rtb-b", "pin": {"by": "anna"}},
            {"id": "rtb-c", "pin": None},
        ],
    }
    left = drill_plan.left_behind(standing, "awx-7")
    assert left == {"marked": True, "stopped": ["gw-a"], "pinned": ["rtb-a"]}
    assert drill_plan.left_behind(standing, "awx-8") == {"marked": False, "stopped": [], "pinned": []}
    assert drill_plan.left_behind({**standing, "drill": None}, "awx-7")["stopped"] == []


def test_a_drill_knows_its_mark_whatever_its_name() -> None:
    assert drill_plan.objections(status(drill="night-drill"), "night drill") == []
    marked = standing(drill="night-drill")
    assert drill_plan.standing_objections(marked, "night drill") == []
    marked |= {"route_tables": [{"id": "rtb-a", "pin": {"by": "drill-night-drill"}}]}
    assert drill_plan.left_behind(marked, "night drill") == {"marked": True, "stopped": [], "pinned": ["rtb-a"]}
