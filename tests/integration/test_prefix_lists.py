# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment goes over from prefixes to prefix lists and loses nothing, and then moves a site by one call a table.

The tests are one story, in the order in which they stand. Judged by packets and by EC2's own record of its calls.
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import (
    ROOT,
    Lab,
    Labs,
    Variant,
    app_routes,
    assert_deploy_changes_nothing,
    aws,
    calls,
    drill,
    reaches,
    steady,
)

pytestmark = pytest.mark.integration

_FILE = ROOT / "lab" / "deployments" / "prefix-lists.yml"
LISTED: list[dict[str, Any]] = yaml.safe_load(_FILE.read_text())["vpnha_sites"]
PREFIXES = {site["name"]: site["prefixes"] for site in LISTED}
ROUTE_CALLS = ("CreateRoute", "ReplaceRoute", "DeleteRoute")
TARGETS = ("192.168.10.10", "192.168.20.10")


def by_prefixes() -> list[dict[str, Any]]:
    """The same sites as a deployment has them that knows no prefix lists."""
    return [{key: value for key, value in site.items() if key != "prefix_list"} for site in copy.deepcopy(LISTED)]


# Played as it is, it is a deployment by prefixes; the tests say where it is one by lists.
BEFORE = Variant(up=("--deployment", str(_FILE)), play=("-e", json.dumps({"vpnha_sites": by_prefixes()})))


@pytest.fixture(scope="module")
def before(labs: Labs) -> Lab:
    """The deployment by prefixes, as it was deployed before there were prefix lists."""
    return labs.deployed(BEFORE)


@pytest.fixture(scope="module")
def listed(before: Lab) -> Lab:
    """The same lab, played with sites that are routed by prefix lists."""
    return Lab(before.env, ("-e", json.dumps({"vpnha_sites": LISTED})))


def lists(lab: Lab) -> dict[str, dict[str, Any]]:
    """The deployment's prefix lists by site."""
    found = aws(lab).describe_managed_prefix_lists()["PrefixLists"]
    tagged = [({tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}, each) for each in found]
    return {tag["vpnha:site"]: each for tag, each in tagged if tag.get("vpnha:made") == "lab"}


def entries(lab: Lab, site: str) -> set[str]:
    """What EC2 says is in a site's prefix list."""
    found = aws(lab).get_managed_prefix_list_entries(PrefixListId=lists(lab)[site]["PrefixListId"])["Entries"]
    return {entry["Cidr"] for entry in found}


def test_before_there_is_a_route_for_each_prefix(before: Lab) -> None:
    destinations = sorted(destination for _table, destination in app_routes(before))
    assert destinations == sorted([*PREFIXES["hq"], *PREFIXES["plant"]] * 2)
    assert lists(before) == {}


def test_without_a_word_only_the_lists_and_their_routes_are_made(before: Lab, listed: Lab) -> None:
    home, began = app_routes(before), time.time()
    with steady(listed, TARGETS) as lost:
        assert listed.play("deploy").code == 0
    assert set(lost.values()) == {0}, lost
    assert entries(listed, "hq") == set(PREFIXES["hq"])
    ids = {each["PrefixListId"] for each in lists(listed).values()}
    now = app_routes(listed)
    assert {key: target for key, target in now.items() if key[1] not in ids} == home
    assert {call["action"] for call in calls(listed, began, *ROUTE_CALLS)} == {"CreateRoute"}
    for table in {table for table, _destination in home}:
        assert {target for key, target in now.items() if key[0] == table} == {home[table, PREFIXES["hq"][0]]}


def test_the_routes_to_prefixes_go_and_no_packet_is_lost(listed: Lab) -> None:
    began = time.time()
    with steady(listed, TARGETS) as lost:
        assert listed.play("deploy", vpnha_remove_covered_routes=True).code == 0
    assert set(lost.values()) == {0}, lost
    gone = [call["destination"] for call in calls(listed, began, *ROUTE_CALLS) if call["action"] == "DeleteRoute"]
    assert sorted(gone) == sorted([*PREFIXES["hq"], *PREFIXES["plant"]] * 2)
    ids = {each["PrefixListId"] for each in lists(listed).values()}
    assert {destination for _table, destination in app_routes(listed)} == ids
    assert all(reaches(listed, host, target) for host in ("app-a", "app-b") for target in TARGETS)


def test_a_second_deploy_changes_nothing(listed: Lab) -> None:
    assert_deploy_changes_nothing(listed, vpnha_remove_covered_routes=True)


def test_a_failover_moves_a_site_by_one_call_for_a_table(listed: Lab, tmp_path: Path) -> None:
    home, began = app_routes(listed), time.time()
    one = drill(listed, tmp_path, "gateway_power_off")["gateway_power_off"]
    assert 0 < one["packets_lost"] < one["packets_sent"] and one["failback_lost"] == 0
    assert app_routes(listed) == home
    away = [
        (call["resources"][0], call["destination"])
        for call in calls(listed, began, "ReplaceRoute")
        if home[call["resources"][0], call["destination"]] != call["after"]
    ]
    table = away[0][0]
    assert sorted(away) == sorted((table, each["PrefixListId"]) for each in lists(listed).values())


def test_a_planned_move_loses_nothing(listed: Lab, tmp_path: Path) -> None:
    one = drill(listed, tmp_path, "planned")["planned"]
    assert one["packets_lost"] == 0 and one["failback_lost"] == 0


def test_the_entries_follow_the_description_and_no_route_is_touched(listed: Lab) -> None:
    more = copy.deepcopy(LISTED)
    more[0]["prefixes"] = [PREFIXES["hq"][0], "192.168.12.0/24", "192.168.13.0/24"]
    home, began = app_routes(listed), time.time()
    assert Lab(listed.env, ("-e", json.dumps({"vpnha_sites": more}))).play("deploy").code == 0
    assert entries(listed, "hq") == set(more[0]["prefixes"])
    assert calls(listed, began, *ROUTE_CALLS) == []
    assert app_routes(listed) == home
    assert reaches(listed, "app-a", TARGETS[0])


def test_torn_down_no_list_is_left(listed: Lab) -> None:
    assert listed.play("teardown", vpnha_confirm="lab").code == 0
    assert lists(listed) == {}
