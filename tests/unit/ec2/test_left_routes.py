# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that are not described any more: new ones go along with them; they are told, and removed where they may."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import covered_routes, left_routes, manual_swap, prefix_lists
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.ec2_view import read_view
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish
from ansible_collections.vpnha.aws.plugins.module_utils.prefix_lists import IPV4, PrefixList
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice
from tests.unit.module_process import run_module

from .conftest import HQ, PLANT, REGION, A, B, World
from .test_prefix_lists import MORE, bind, by_list, by_prefixes, move, routes_of

WIDE = "192.168.8.0/21"  # around HQ and MORE
REMOVED = "the deploy playbook removes it with vpnha_remove_covered_routes"


def told(world: World) -> list[str]:
    """What vpn_ha_info adds to its summary."""
    left = read_view(world.client, world.deployment).left
    made = prefix_lists.sites_of(world.client, world.deployment.name, (one.destination for one in left))
    return left_routes.sentences(left, left_routes.described(world.deployment), made)


def rows(world: World, *, check: bool = False) -> dict[tuple[str, str], str]:
    """The reason to stay, by table and destination."""
    found = covered_routes.clear(world.client, world.deployment, check=check).routes
    return {(row["route_table_id"], row["destination"]): row["reason"] for row in found}


def renamed(world: World, name: str) -> World:
    """The site hq is described by another name, still by a prefix list of the same."""
    hq, plant = world.deployment.sites
    world.deployment = replace(
        world.deployment, sites=(replace(hq, name=name, prefix_list="", prefix_list_ipv6=""), plant)
    )
    world.wanted = replace(world.wanted, prefix_lists=prefix_lists.of_site(name, hq.prefixes))
    return world


@pytest.fixture
def failed_over(world: World) -> World:
    """Two prefixes of hq, and zone A's routes led to gw-b, as a monitor leaves them."""
    by_prefixes(world, HQ, MORE).build()
    move(world, "gw-b", zones=(A,))
    return world


def test_a_wide_prefix_goes_where_the_narrow_ones_are_and_takes_their_place(failed_over: World) -> None:
    world, table = by_prefixes(failed_over, WIDE), failed_over.table(A)
    said = [str(change) for change in world.build().changes]
    assert len(said) == 2 and any(f"{WIDE} -> gw-b" in each for each in said)
    assert routes_of(world, table) == dict.fromkeys((HQ, MORE, WIDE, PLANT), world.eni("gw-b"))
    assert [line.partition(" in ")[0] for line in told(world)] == [f"{HQ} leads to gw-b", f"{MORE} leads to gw-b"]
    assert all(REMOVED in line and f"takes packets of {WIDE} (hq)" in line for line in told(world))
    assert rows(world, check=True) == rows(world)
    assert set(routes_of(world, table)) == set(routes_of(world, world.table(B))) == {WIDE, PLANT}
    assert told(world) == [] and rows(world) == {}
    assert world.build().changes == []


def test_who_empties_a_gateway_is_told_what_stays_there(failed_over: World) -> None:
    world = by_prefixes(failed_over, WIDE)
    world.build()
    wish = Wish(Choice(gateway="gw-a", leaving="gw-b", zones=(A,)))
    report = manual_swap.run(world.client, world.deployment, wish, check=False, wall=time.time())
    assert {row["destination"] for row in report.routes if row["action"] == "swap"} == {WIDE, PLANT}
    assert [line.partition(", and is not described")[0] for line in report.warnings] == [
        f"{destination} leads to gw-b in {', '.join(sorted((world.table(A), world.table(B))))}"
        for destination in (HQ, MORE)
    ]
    wish = Wish(Choice(gateway="gw-b", zones=(A,)))  # who leaves no certain gateway is told nothing
    assert manual_swap.run(world.client, world.deployment, wish, check=False, wall=time.time()).warnings == ()


def test_the_modules_name_them_and_remove_them(failed_over: World, url: str) -> None:
    world = by_prefixes(failed_over, WIDE)
    world.build()
    given = {"deployment": to_dict(world.deployment), "region": REGION, "endpoint_url": url}
    answer = run_module("vpn_ha_info", **given)
    assert answer.code == 0, answer.output
    assert set(told(world)) <= set(answer.result["summary"])
    answer = run_module("covered_routes", **given)
    assert answer.code == 0, answer.output
    assert {row["action"] for row in answer.result["routes"]} == {"remove"} and len(answer.result["routes"]) == 4


def test_a_narrow_route_that_leads_elsewhere_stays_and_is_told(failed_over: World) -> None:
    world, table = by_prefixes(failed_over, WIDE), failed_over.table(A)
    world.client.replace_route(RouteTableId=table, DestinationCidrBlock=HQ, NetworkInterfaceId=failed_over.eni("gw-a"))
    world.build()
    home, other = world.eni("gw-a"), world.eni("gw-b")
    assert routes_of(world, table)[WIDE] == home  # they do not agree, so as ever
    reasons = {destination: why for (found, destination), why in rows(world).items() if found == table}
    assert reasons == {HQ: "", MORE: f"It leads to {other}, and the route to {WIDE} to {home}."}
    [line] = told(world)
    assert line.startswith(f"{MORE} leads to gw-b in {table}, and is not described, so that no monitor moves it")


def test_narrow_prefixes_go_where_the_wide_one_is(bare: World) -> None:
    world = by_prefixes(bare, WIDE)
    world.build()
    world.launch("gw-a", "gw-b")
    move(world, "gw-b", zones=(A,))
    by_prefixes(world, HQ, MORE).build()
    found = routes_of(world, world.table(A))
    assert found[HQ] == found[MORE] == world.eni("gw-b")
    [line] = [line for line in told(world) if line.startswith(f"{WIDE} leads to gw-b")]
    assert "describe it as a prefix of a site, or delete the route" in line
    assert rows(world) == {}
    assert WIDE in routes_of(world, world.table(A))  # it may be for more than the two


def test_a_list_of_wider_prefixes_takes_the_place_of_narrow_routes(failed_over: World) -> None:
    world = by_list(failed_over, WIDE)
    world.build()
    pl = bind(world)
    assert routes_of(world, world.table(A))[pl] == world.eni("gw-b")
    assert [line.partition(" leads")[0] for line in told(world)] == [HQ, MORE]
    assert set(rows(world).values()) == {""}
    assert set(routes_of(world, world.table(A))) == {pl, PLANT}


def test_the_prefix_of_a_site_that_is_gone_is_told_and_stays(world: World) -> None:
    world.deployment = replace(world.deployment, sites=world.deployment.sites[:1])
    world.wanted = replace(world.wanted, destinations=(HQ,))
    assert world.build().changes == []
    assert {line.partition(" in ")[0] for line in told(world)} == {f"{PLANT} leads to gw-{one}" for one in "ab"}
    assert all("describe it as a prefix of a site, or delete the route" in line for line in told(world))
    assert rows(world) == {}
    assert PLANT in routes_of(world, world.table(A))


def test_a_route_of_somebody_elses_is_nobodys_to_tell(world: World) -> None:
    igw = world.wanted.internet_gateway
    world.client.create_route(RouteTableId=world.table(A), DestinationCidrBlock="192.168.10.0/25", GatewayId=igw)
    assert told(world) == [] and rows(world) == {}


@pytest.fixture
def renamed_by_list(bare: World) -> World:
    """A site that is routed by a list, is failed over in zone A, and then gets another name."""
    by_list(bare, HQ, MORE).build()
    bind(bare)
    bare.launch("gw-a", "gw-b")
    move(bare, "gw-b", zones=(A,))
    return renamed(bare, "head")


def test_a_renamed_sites_list_goes_where_the_former_one_is_and_takes_its_place(renamed_by_list: World) -> None:
    world = renamed_by_list
    former = prefix_lists.read(world.client, world.deployment.name)["hq", IPV4].id
    world.build()
    world.deployment = prefix_lists.bound(world.client, world.deployment)
    new = world.deployment.site("head").prefix_list
    table = world.table(A)
    assert routes_of(world, table) == dict.fromkeys((former, new, PLANT), world.eni("gw-b"))
    assert [line.partition(" in ")[0] for line in told(world)] == [f"{former} (hq) leads to gw-b"]
    assert REMOVED in told(world)[0]
    assert set(rows(world).values()) == {""}
    assert set(routes_of(world, table)) == {new, PLANT}
    assert set(prefix_lists.read(world.client, world.deployment.name)) == {("head", IPV4)}


def test_a_former_list_stays_where_the_new_one_leads_elsewhere(renamed_by_list: World) -> None:
    world = renamed_by_list
    former = prefix_lists.read(world.client, world.deployment.name)["hq", IPV4].id
    world.build()
    world.deployment = prefix_lists.bound(world.client, world.deployment)
    new, table = world.deployment.site("head").prefix_list, world.table(A)
    move(world, "gw-a", zones=(A,))  # moves what is described, and not the former list's route
    assert rows(world)[table, former] == (
        f"It leads to {world.eni('gw-b')}, and the route to {new} to {world.eni('gw-a')}."
    )
    assert ("hq", IPV4) in prefix_lists.read(world.client, world.deployment.name)


def test_two_lists_of_the_same_prefix_both_count() -> None:
    lists = [PrefixList(name, name, IPV4, (HQ,), 1, 1, "create-complete") for name in ("pl-1", "pl-2")]
    assert prefix_lists.beside(lists)[HQ] == ("pl-1", "pl-2")


def test_around_names_what_a_network_is_in() -> None:
    assert left_routes.around("192.168.10.0/24")[:3] == ("192.168.10.0/24", "192.168.10.0/23", "192.168.8.0/22")
    assert left_routes.around("2001:db8::/32")[-1] == "::/0"
