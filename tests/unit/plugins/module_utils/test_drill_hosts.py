# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose gateway an application host's packets take: by the route table of its subnet."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.vpnha.aws.plugins.filter.drill import FilterModule
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict

from .test_drill_plan import DEPLOYMENT

ADDRESSES = {"app-a": "10.20.16.50", "app-b": "10.20.17.50"}
DESCRIBED = {"app-a": "a", "app-b": "b"}


def standing(**tables: str) -> dict[str, Any]:
    """What vpn_ha_info returns: the zone of each table, and that of the subnet in zone b."""
    return {
        "route_tables": [{"id": f"rtb-{name}", "zone": zone, "routes": []} for name, zone in tables.items()],
        "subnets": [
            {"id": "subnet-a", "zone": "a", "cidrs": ["10.20.16.0/24", "2001:db8:16::/64"], "route_table_id": "rtb-a"},
            {"id": "subnet-b", "zone": "b", "cidrs": ["10.20.17.0/24"], "route_table_id": "rtb-b"},
        ],
    }


def plan(found: dict[str, Any], **wish: Any) -> dict[str, Any]:
    """What the role asks the filter for."""
    given = {
        "scenarios": ["planned"], "app_hosts": ["app-b"], "host_zones": DESCRIBED, "addresses": ADDRESSES, **wish,
    }  # fmt: skip
    made: dict[str, Any] = FilterModule().filters()["drill_plan"](to_dict(DEPLOYMENT), standing=found, **given)
    assert json.dumps(made)
    return made


def test_the_gateway_broken_is_that_of_the_hosts_route_table() -> None:
    usual = plan(standing(a="a", b="b"))
    assert (usual["gateway"], usual["notes"]) == ("gw-b", [])
    tagged = plan(standing(a="a", b="a"))  # by vpnha:zone, whether it is shared, the main one or somebody's wish
    assert (tagged["gateway"], tagged["zones"]) == ("gw-a", ["a"])
    assert tagged["notes"] == ["app-b is in subnet-b (b), whose route table rtb-b leads to the home gateway of a."]


def test_a_gateway_that_no_hosts_table_leads_to_is_not_broken() -> None:
    refused = plan(standing(a="a", b="a"), zone="b")["refused"]
    assert refused == (
        "No application host's subnet has a route table that leads to gw-b (as those of b do), so breaking it would "
        "show nothing; measure from a host that has, or break another gateway. "
        "app-b is in subnet-b (b), whose route table rtb-b leads to the home gateway of a."
    )


def test_a_table_that_is_not_looked_after_leads_to_no_gateway() -> None:
    refused = plan(standing(a="a"))["refused"]
    assert "route table rtb-b is not looked after, so its packets are taken to use no gateway" in refused
    both = plan(standing(a="a"), app_hosts=["app-b", "app-a"])
    assert (both["refused"], both["gateway"], len(both["notes"])) == ("", "gw-a", 1)


def test_a_host_that_is_not_described_is_found_by_its_address() -> None:
    vm = plan(standing(a="a", b="b"), app_hosts=["vm"], addresses={"vm": "2001:db8:16::7"})
    assert (vm["gateway"], vm["notes"]) == ("gw-a", [])


def test_where_the_subnet_is_not_known_that_is_said_and_the_description_believed() -> None:
    nothing: dict[str, Any] = {"route_tables": [], "subnets": []}
    assert plan(nothing)["gateway"] == "gw-b"
    assert plan(nothing)["notes"] == [
        "The subnet of app-b is not known (10.20.17.50 is in no subnet that EC2 shows of the VPC): it is taken to use "
        "the gateway of b, where it is described."
    ]
    vm = plan(standing(a="a", b="b"), app_hosts=["vm"], addresses={"vm": "vm.example.net"}, gateway="gw-b")
    assert vm["notes"] == [
        "The subnet of vm is not known (vm.example.net is in no subnet that EC2 shows of the VPC): which gateway its "
        "packets use is seen only when they are sent."
    ]
    assert "(no address of it is known)" in plan(nothing, app_hosts=["vm"], gateway="gw-b")["notes"][0]
