# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where packets to a site go before there is a route to it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.network_ways import Ways

HQ, PLANT = "192.168.10.0/24", "192.168.20.0/24"


def ways(**entries: tuple[str, ...]) -> Ways:
    return Ways(
        {"gw-a": "eni-a"}, ("gw-a", "eni-a"), {}, {name.replace("_", "-"): each for name, each in entries.items()}
    )


def way(destination: str, target: str, **more: str) -> dict[str, str]:
    kind = "DestinationPrefixListId" if destination.startswith("pl-") else "DestinationCidrBlock"
    return {kind: destination, "TransitGatewayId" if target.startswith("tgw") else "GatewayId": target, **more}


PROPAGATED = {"Origin": "EnableVgwRoutePropagation"}


@pytest.mark.parametrize(
    ("routes", "target"),
    [
        ([way("192.168.0.0/16", "tgw-1")], "tgw-1"),
        ([way(PLANT, "vgw-1", **PROPAGATED)], "vgw-1"),
        (
            [
                way("192.168.0.0/16", "tgw-1"),
                {"DestinationCidrBlock": "192.168.16.0/20", "NetworkInterfaceId": "eni-a"},
            ],
            "",
        ),
        ([way("192.168.0.0/16", "tgw-1", State="blackhole")], ""),
        ([way("0.0.0.0/0", "tgw-1")], ""),
        ([way("10.0.0.0/8", "tgw-1")], ""),
    ],
)
def test_what_carries_packets_without_a_route_is_the_narrowest_around(routes: list[Any], target: str) -> None:
    table = {"RouteTableId": "rtb-1", "Routes": routes}
    listed = ways(pl_plant=(PLANT,))
    for destination in (PLANT, "pl-plant"):
        said = listed.carried(destination, table)
        assert f"packets to {PLANT} go to {target} by" in said if target else said == ""


def test_a_lists_entry_that_has_a_route_of_its_own_stays_where_it_goes() -> None:
    table = {"RouteTableId": "rtb-1", "Routes": [way(PLANT, "tgw-1"), way("192.168.0.0/16", "tgw-1")]}
    assert ways(pl_plant=(PLANT,)).carried("pl-plant", table) == ""
    assert f"packets to {HQ} go to tgw-1" in ways(pl_plant=(PLANT, HQ)).carried("pl-plant", table)
