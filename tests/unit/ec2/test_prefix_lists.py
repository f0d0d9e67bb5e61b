# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites routed by prefix lists: made, kept in step, gone over to and back, and no packet's way changed by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import (
    covered_routes,
    prefix_lists,
    prefix_lists_build,
    tags,
)
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.items import destination_of
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish, run
from ansible_collections.vpnha.aws.plugins.module_utils.model import Pin, RouteKey
from ansible_collections.vpnha.aws.plugins.module_utils.network_worker import Worker
from ansible_collections.vpnha.aws.plugins.module_utils.overview import overview
from ansible_collections.vpnha.aws.plugins.module_utils.prefix_lists import IPV4, IPV6, PrefixList, SiteList
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice

from .conftest import HQ, NOW, PLANT, A, B, World

MORE = "192.168.11.0/24"
HQ6, MORE6 = "2001:db8:10::/48", "2001:db8:11::/48"


def by_list(world: World, *prefixes: str) -> World:
    """The site hq is described as routed by a prefix list of these prefixes."""
    _hq, plant = world.deployment.sites
    hq = replace(_hq, prefixes=prefixes, by_prefix_list=True)
    world.deployment = replace(world.deployment, sites=(hq, plant))
    world.wanted = replace(world.wanted, destinations=(PLANT,), prefix_lists=prefix_lists.of_site("hq", prefixes))
    return world


def by_prefixes(world: World, *prefixes: str) -> World:
    """The site hq is described as routed by its prefixes."""
    hq, plant = world.deployment.sites
    hq = replace(hq, prefixes=prefixes, by_prefix_list=False, prefix_list="", prefix_list_ipv6="")
    world.deployment = replace(world.deployment, sites=(hq, plant))
    world.wanted = replace(world.wanted, destinations=(*prefixes, PLANT), prefix_lists=())
    return world


def bind(world: World) -> str:
    """The deployment learns its lists' ids; that of hq."""
    world.deployment = prefix_lists.bound(world.client, world.deployment)
    return world.deployment.site("hq").prefix_list


def listed(world: World) -> PrefixList:
    return prefix_lists.read(world.client, world.deployment.name)["hq", IPV4]


def routes_of(world: World, table: str) -> dict[str, str]:
    [found] = world.client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {
        destination_of(route): route["NetworkInterfaceId"] for route in found["Routes"] if "NetworkInterfaceId" in route
    }


def move(world: World, gateway: str, **choice: Any) -> list[dict[str, Any]]:
    wish = Wish(Choice(gateway=gateway, **choice))
    report = run(world.client, world.deployment, wish, check=False, wall=NOW)
    assert not report.failure
    return [row for row in report.routes if row["action"] == "swap"]


@pytest.fixture
def routed(bare: World) -> World:
    """A deployment whose site hq is routed by a prefix list from the beginning."""
    outcome = by_list(bare, HQ, MORE).build()
    assert outcome.prefix_lists == {IPV4: {"hq": bind(bare)}, IPV6: {}}
    bare.launch("gw-a", "gw-b")
    return bare


# --- Making and keeping ------------------------------------------------------------------------------------------


def test_a_site_is_one_route_in_each_table(routed: World) -> None:
    pl = bind(routed)
    for zone, gateway in ((A, "gw-a"), (B, "gw-b")):
        eni = routed.eni(gateway)
        assert routes_of(routed, routed.table(zone)) == {pl: eni, PLANT: eni}
    found = listed(routed)
    assert (found.entries, found.size, found.version) == ((HQ, MORE), 2, 1)
    [shown] = routed.client.describe_managed_prefix_lists(PrefixListIds=[pl])["PrefixLists"]
    assert shown["PrefixListName"] == f"{routed.deployment.name}-hq"
    assert tags.to_dict(shown["Tags"]) == {
        "Name": f"{routed.deployment.name}-hq",
        "vpnha:deployment": routed.deployment.name,
        "vpnha:made": routed.deployment.name,
        "vpnha:site": "hq",
    }
    assert routed.build().changes == []


def test_check_mode_says_what_would_be_made(bare: World) -> None:
    outcome = by_list(bare, HQ).build(check=True)
    said = [str(change) for change in outcome.changes]
    name = f"{bare.deployment.name}-hq"
    assert f"prefix list {name}: made with {HQ}" in said
    assert any(f"(new) {name} -> gw-a" in each for each in said)
    assert prefix_lists.read(bare.client, bare.deployment.name) == {}


def test_entries_follow_the_site_and_no_route_is_touched(routed: World) -> None:
    before = {zone: routes_of(routed, routed.table(zone)) for zone in (A, B)}
    new = ("192.168.12.0/24", "192.168.13.0/24", HQ)
    outcome = by_list(routed, *new).build()
    assert [change.subject for change in outcome.changes] == [f"prefix list {bind(routed)} (hq)"] * 2  # room first
    found = listed(routed)
    assert (set(found.entries), found.size) == (set(new), 3)
    assert {zone: routes_of(routed, routed.table(zone)) for zone in (A, B)} == before
    by_list(routed, HQ).build()
    found = listed(routed)
    assert (found.entries, found.size) == ((HQ,), 3)  # never made smaller


def test_what_somebody_has_added_is_taken_out_again(routed: World) -> None:
    known = listed(routed)
    routed.client.modify_managed_prefix_list(PrefixListId=known.id, MaxEntries=9)
    worker = Worker(routed.client, check=False)
    prefix_lists_build._settled(worker, known)
    routed.client.modify_managed_prefix_list(
        PrefixListId=known.id, CurrentVersion=known.version, AddEntries=[{"Cidr": "192.168.99.0/24"}]
    )
    assert len(routed.build().changes) == 1  # waits for the other change first
    assert set(listed(routed).entries) == {HQ, MORE}


def test_a_change_that_another_one_has_overtaken_is_made_on_what_is_there_then(routed: World) -> None:
    stale = listed(routed)
    worker = Worker(routed.client, check=False)
    by_list(routed, HQ).build()
    kept = prefix_lists_build.keep(
        worker, routed.deployment.name, (SiteList("hq", IPV4, (HQ, "192.168.12.0/24")),), {stale.key: stale}
    )
    assert set(kept["hq", IPV4].entries) == {HQ, "192.168.12.0/24"}
    assert len(worker.changes) == 1  # what was refused is not told


def test_many_entries_take_several_calls(bare: World) -> None:
    many = tuple(f"10.{100 + n // 256}.{n % 256}.0/24" for n in range(230))
    by_list(bare, *many).build()
    assert set(listed(bare).entries) == set(many)
    other = tuple(f"10.{110 + n // 256}.{n % 256}.0/24" for n in range(230))
    by_list(bare, *other).build()  # all others, in the room that there is
    found = listed(bare)
    assert (set(found.entries), found.size) == (set(other), 230)


class Stuck:
    """An EC2 that has one list, whose state never changes or fails."""

    def __init__(self, *states: str) -> None:
        self.states: Iterator[str] = iter(states)
        self.state = ""

    def describe_managed_prefix_lists(self, **_given: Any) -> dict[str, Any]:
        self.state = next(self.states, self.state)
        shown = {"PrefixListId": "pl-1", "State": self.state, "Version": 1, "MaxEntries": 1, "StateMessage": "No room."}
        return {"PrefixLists": [shown]}

    def get_managed_prefix_list_entries(self, **_given: Any) -> dict[str, Any]:
        return {"Entries": [{"Cidr": HQ}]}

    def modify_managed_prefix_list(self, **_given: Any) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        (["modify-in-progress"], "The prefix list pl-1 of hq is modify-in-progress after 60 s; run this again later."),
        (["create-complete", "modify-failed"], "could not change the prefix list pl-1 (hq): No room. Every"),
        (["create-failed"], "could not make the prefix list pl-1 (hq): No room. Delete it, and run this again."),
    ],
)
def test_a_list_that_ec2_cannot_change_is_told(states: list[str], sentence: str) -> None:
    slept: list[float] = []
    client = Stuck(*states)
    known = prefix_lists.read_one(client, PrefixList("pl-1", "hq", IPV4, (HQ,), 1, 1, "")) if states[1:] else None
    known = known or PrefixList("pl-1", "hq", IPV4, (HQ,), 1, 1, states[0], "No room.")
    with pytest.raises(VpnhaError) as caught:
        prefix_lists_build.keep(
            Worker(client, check=False, sleep=slept.append),
            "d",
            (SiteList("hq", IPV4, (HQ, MORE)),),
            {known.key: known},
        )
    assert sentence in str(caught.value)


# --- The view, swaps, what people read ---------------------------------------------------------------------------


def test_one_swap_for_a_table_moves_the_whole_site(routed: World) -> None:
    pl = bind(routed)
    rows = move(routed, "gw-b", zones=(A,), sites=("hq",))
    assert [(row["destination"], row["site"], row["accepted"]) for row in rows] == [(pl, "hq", True)]
    assert routes_of(routed, routed.table(A))[pl] == routed.eni("gw-b")
    assert routes_of(routed, routed.table(A))[PLANT] == routed.eni("gw-a")


def test_a_list_whose_id_is_not_known_hides_no_route_to_a_prefix(world: World) -> None:
    by_list(world, HQ)
    assert bind(world) == ""  # described, and not deployed yet
    view = world.view()
    assert {key.destination for key in view.routes} == {HQ, PLANT} and not view.missing_routes
    assert {row["destination"] for row in move(world, "gw-b", zones=(A,))} == {HQ, PLANT}


def test_a_missing_route_to_a_list_is_named_by_its_site(routed: World) -> None:
    pl, table = bind(routed), routed.table(A)
    routed.client.delete_route(RouteTableId=table, DestinationPrefixListId=pl)
    view = routed.view()
    assert view.missing_routes == {RouteKey(table, pl)}
    assert (
        f"{table} {pl} (hq) is missing; the deploy playbook creates it."
        in overview(view, routed.deployment, NOW)["summary"]
    )


def test_the_list_of_another_deployment_is_not_ours(routed: World) -> None:
    other = replace(routed.deployment, name=f"{routed.deployment.name}x")
    assert prefix_lists.bound(routed.client, other).site("hq").prefix_list == ""
    assert prefix_lists.read(routed.client, other.name) == {}


# --- From prefixes to a list, and back ---------------------------------------------------------------------------


def test_the_route_to_a_new_list_is_made_beside_and_to_where_the_prefixes_lead(world: World) -> None:
    move(world, "gw-b", zones=(A,))  # failed over, and not pinned
    outcome = by_list(world, HQ).build()
    pl = bind(world)
    assert routes_of(world, world.table(A)) == {key: world.eni("gw-b") for key in (HQ, PLANT, pl)}
    assert routes_of(world, world.table(B)) == {key: world.eni("gw-b") for key in (HQ, PLANT, pl)}
    assert len(outcome.changes) == 3
    view = world.view()
    assert {key.destination for key in view.routes} == {HQ, PLANT, pl} and not view.missing_routes
    said = overview(view, world.deployment, NOW)["summary"]
    assert any("2 routes to prefixes of hq stand beside" in line for line in said)
    assert {row["destination"] for row in move(world, "gw-a", zones=(A,))} == {HQ, PLANT, pl}


def test_covered_routes_go_and_the_list_remains(world: World) -> None:
    by_list(world, HQ).build()
    pl = bind(world)
    shown = covered_routes.clear(world.client, world.deployment, check=True)
    assert HQ in routes_of(world, world.table(A))
    cleared = covered_routes.clear(world.client, world.deployment, check=False)
    assert [str(one) for one in cleared.changes] == [str(one) for one in shown.changes]
    assert {row["action"] for row in cleared.routes} == {"remove"} and len(cleared.routes) == 2
    assert set(routes_of(world, world.table(A))) == {pl, PLANT}
    assert not world.view().missing_routes
    assert world.build().changes == []
    assert covered_routes.clear(world.client, world.deployment, check=False).routes == []


def test_a_route_that_leads_elsewhere_than_its_list_stays(world: World) -> None:
    by_list(world, HQ).build()
    pl, table = bind(world), world.table(A)
    world.client.replace_route(RouteTableId=table, DestinationPrefixListId=pl, NetworkInterfaceId=world.eni("gw-b"))
    cleared = covered_routes.clear(world.client, world.deployment, check=False)
    rows = {row["route_table_id"]: row for row in cleared.routes}
    assert rows[table]["reason"] == f"It leads to {world.eni('gw-a')}, and the route to {pl} to {world.eni('gw-b')}."
    assert rows[world.table(B)]["action"] == "remove"
    assert HQ in routes_of(world, table)


def test_a_route_that_the_list_does_not_cover_stays(world: World) -> None:
    by_list(world, HQ).build()
    bind(world)
    known = listed(world)
    prefix_lists_build.keep(
        Worker(world.client, check=False), world.deployment.name, (SiteList("hq", IPV4, (MORE,)),), {known.key: known}
    )
    rows = covered_routes.clear(world.client, world.deployment, check=False).routes
    assert {row["reason"] for row in rows} == {f"{known.id} does not have {HQ} yet."}


def test_back_to_prefixes_nothing_moves_either(routed: World) -> None:
    pl = bind(routed)
    move(routed, "gw-b", zones=(A,))
    by_prefixes(routed, HQ, MORE).build()
    assert routes_of(routed, routed.table(A)) == {key: routed.eni("gw-b") for key in (HQ, MORE, PLANT, pl)}
    cleared = covered_routes.clear(routed.client, routed.deployment, check=False)
    assert [row["destination"] for row in cleared.routes] == [pl, pl]
    assert set(routes_of(routed, routed.table(A))) == {HQ, MORE, PLANT}
    assert prefix_lists.read(routed.client, routed.deployment.name) == {}  # nothing refers to it any more


def test_back_to_prefixes_the_list_stays_until_each_entry_has_a_route(routed: World) -> None:
    pl = bind(routed)
    by_prefixes(routed, HQ).build()
    rows = covered_routes.clear(routed.client, routed.deployment, check=False).routes
    assert {row["reason"] for row in rows} == {f"There is no route to {MORE}."}
    assert pl in routes_of(routed, routed.table(A)) and listed(routed)


def test_a_prefix_whose_list_leads_elsewhere_gets_no_route(routed: World) -> None:
    pl, table = bind(routed), routed.table(A)
    eni = routed.client.create_network_interface(SubnetId=routed.wanted.public_subnets[0])["NetworkInterface"]
    routed.client.replace_route(
        RouteTableId=table, DestinationPrefixListId=pl, NetworkInterfaceId=eni["NetworkInterfaceId"]
    )
    outcome = by_prefixes(routed, HQ).build()
    [shown] = [each["routes"] for each in outcome.route_tables if each["id"] == table]
    assert shown[HQ] == "elsewhere" and HQ not in routes_of(routed, table)
    assert routes_of(routed, routed.table(B))[HQ] == routed.eni("gw-b")


def test_a_pin_counts_for_a_new_list(world: World) -> None:
    world.client.delete_route(RouteTableId=world.table(A), DestinationCidrBlock=HQ)
    world.tag(world.table(A), vpnha_pin=tags.format_pin(Pin("gw-b", NOW + 600)))
    by_list(world, HQ).build()
    assert routes_of(world, world.table(A))[bind(world)] == world.eni("gw-b")


# --- Both families -----------------------------------------------------------------------------------------------


@pytest.fixture
def dual(bare: World) -> World:
    """The same with prefixes of both families, from the beginning."""
    outcome = by_list(bare, HQ, HQ6).build()
    bind(bare)
    hq = bare.deployment.site("hq")
    assert outcome.prefix_lists == {IPV4: {"hq": hq.prefix_list}, IPV6: {"hq": hq.prefix_list_ipv6}}
    bare.launch("gw-a", "gw-b")
    return bare


def test_each_family_has_a_list_and_a_route_in_each_table(dual: World) -> None:
    hq, eni = dual.deployment.site("hq"), dual.eni("gw-a")
    assert hq.prefix_lists == {hq.prefix_list: (HQ,), hq.prefix_list_ipv6: (HQ6,)}
    assert routes_of(dual, dual.table(A)) == {hq.prefix_list: eni, hq.prefix_list_ipv6: eni, PLANT: eni}
    shown = dual.client.describe_managed_prefix_lists(PrefixListIds=list(hq.prefix_lists))["PrefixLists"]
    assert {each["PrefixListId"]: (each["AddressFamily"], each["PrefixListName"]) for each in shown} == {
        hq.prefix_list: (IPV4, f"{dual.deployment.name}-hq"),
        hq.prefix_list_ipv6: (IPV6, f"{dual.deployment.name}-hq-ipv6"),
    }
    assert dual.build().changes == []
    rows = move(dual, "gw-b", zones=(A,), sites=("hq",))
    assert {row["destination"] for row in rows} == set(hq.prefix_lists)
    assert set(routes_of(dual, dual.table(A)).values()) == {eni, dual.eni("gw-b")}


def test_a_site_that_gets_ipv6_keeps_its_list_of_ipv4(routed: World) -> None:
    pl, eni = bind(routed), routed.eni("gw-a")
    by_list(routed, HQ, MORE, HQ6)
    bind(routed)
    view = routed.view()
    assert {key.destination for key in view.missing_routes} == {HQ6}  # until its list is made
    routed.build()
    assert bind(routed) == pl
    hq = routed.deployment.site("hq")
    assert hq.destinations == (pl, hq.prefix_list_ipv6)
    assert routes_of(routed, routed.table(A)) == {pl: eni, hq.prefix_list_ipv6: eni, PLANT: eni}
    assert not routed.view().missing_routes


def test_both_families_go_over_to_lists_and_back(world: World) -> None:
    by_prefixes(world, HQ, HQ6).build()
    by_list(world, HQ, HQ6).build()
    bind(world)
    lists = set(world.deployment.site("hq").prefix_lists)
    assert set(routes_of(world, world.table(A))) == {HQ, HQ6, PLANT, *lists}
    said = overview(world.view(), world.deployment, NOW)["summary"]
    assert sum("2 routes to prefixes of hq stand beside" in line for line in said) == 2
    rows = covered_routes.clear(world.client, world.deployment, check=False).routes
    assert {(row["destination"], row["action"]) for row in rows} == {(HQ, "remove"), (HQ6, "remove")}
    assert set(routes_of(world, world.table(A))) == {PLANT, *lists}
    by_prefixes(world, HQ, HQ6).build()
    covered_routes.clear(world.client, world.deployment, check=False)
    assert set(routes_of(world, world.table(A))) == {HQ, HQ6, PLANT}
    assert prefix_lists.read(world.client, world.deployment.name) == {}


def test_a_site_without_ipv6_any_more_leaves_its_list_empty_and_then_gone(dual: World) -> None:
    gone = dual.deployment.site("hq").prefix_list_ipv6
    by_list(dual, HQ).build()
    pl = bind(dual)
    assert dual.deployment.site("hq").destinations == (pl,)
    assert prefix_lists.read(dual.client, dual.deployment.name)["hq", IPV6].entries == ()
    rows = covered_routes.clear(dual.client, dual.deployment, check=False).routes
    assert [(row["destination"], row["action"]) for row in rows] == [(gone, "remove")] * 2
    assert set(prefix_lists.read(dual.client, dual.deployment.name)) == {("hq", IPV4)}
    assert set(routes_of(dual, dual.table(A))) == {pl, PLANT}
