# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites that are routed by prefix lists, in the monitor's configuration and in what a person reads."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from gateway_agents import KEY
from monitor_world import deployment
from rich.console import Console

from ansible_collections.vpnha.aws.plugins.module_utils.description import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment
from vpnha_monitor import cli_output, config


def listed(list_id: str) -> Deployment:
    plan = deployment()
    first, *others = plan.sites
    return replace(plan, sites=(replace(first, by_prefix_list=True, prefix_list=list_id), *others))


def test_a_list_whose_id_is_not_known_is_no_configuration() -> None:
    value = {"monitor": "mon-a", "keys": [KEY]}
    with pytest.raises(DescriptionError, match="is routed by a prefix list whose id is not here; write the file anew"):
        config.parse({**value, "deployment": to_dict(listed(""))}, "monitor.yml")
    assert config.parse({**value, "deployment": to_dict(listed("pl-1"))}, "monitor.yml").deployment == listed("pl-1")


def test_a_list_of_ipv6_is_needed_where_the_site_has_ipv6() -> None:
    value = {"monitor": "mon-a", "keys": [KEY]}
    plan = listed("pl-1")
    first, *others = plan.sites
    both = replace(plan, sites=(replace(first, prefixes=(*first.prefixes, "2001:db8:10::/48")), *others))
    with pytest.raises(DescriptionError, match="is routed by a prefix list whose id is not here"):
        config.parse({**value, "deployment": to_dict(both)}, "monitor.yml")
    known = replace(both, sites=(replace(both.sites[0], prefix_list_ipv6="pl-6"), *others))
    assert config.parse({**value, "deployment": to_dict(known)}, "monitor.yml").deployment == known


def test_a_route_away_from_home_is_named_by_its_site() -> None:
    route = {
        "table": "rtb-1",
        "destination": "pl-1",
        "site": "hq",
        "gateway": "gw-b",
        "home": "gw-a",
        "target": "eni-b",
    }
    plain = {**route, "destination": "192.168.10.0/24"}
    said = io.StringIO()
    cli_output.away(Console(file=said, width=200), [route, plain])
    assert said.getvalue().splitlines() == [
        "Away from home: rtb-1 pl-1 (hq) uses gw-b, not gw-a",
        "Away from home: rtb-1 192.168.10.0/24 uses gw-b, not gw-a",
    ]
