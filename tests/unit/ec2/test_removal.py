# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a deployment down beside what stays: people's gateways and tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ansible_collections.vpnha.aws.plugins.module_utils import endpoints_build, network_removal, prefix_lists, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

from .conftest import HQ, PLANT, A, B, World
from .test_adoption import Owner
from .test_prefix_lists import HQ6, MORE, bind, by_list, routes_of


def test_taken_down_no_list_is_left_also_where_the_table_is_somebodys(bare: World) -> None:
    by_list(bare, HQ)
    own = bare.new_table(bare.wanted.zones[0].subnets[0], vpnha_deployment=bare.deployment.name, vpnha_table="app")
    bare.build()
    pl = bind(bare)
    assert pl in routes_of(bare, own)
    network_removal.remove(bare.client, bare.deployment.name, check=False)
    assert routes_of(bare, own) == {}
    assert bind(bare) == ""


def test_what_stays_after_the_list_is_gone_has_routes_to_its_entries(bare: World) -> None:
    owner = Owner(bare)  # gateways and tables that stay
    owner.tag()
    for table in (bare.table(A), bare.table(B)):
        bare.client.delete_route(RouteTableId=table, DestinationCidrBlock=HQ)
    by_list(bare, HQ, MORE, HQ6).build()
    tables, others = [bare.table(A), bare.table(B)], bare.new_table()
    pl = bind(bare)
    bare.client.create_route(RouteTableId=others, DestinationPrefixListId=pl, NetworkInterfaceId=owner.cards["gw-b"])
    assert MORE not in routes_of(bare, tables[0]) and pl in routes_of(bare, tables[0])
    would = [str(change) for change in network_removal.remove(bare.client, bare.deployment.name, check=True).changes]
    done = [str(change) for change in network_removal.remove(bare.client, bare.deployment.name, check=False).changes]
    assert done == would
    assert [line for line in done if f"{tables[0]}: {MORE}" in line] == [
        f"route table {tables[0]}: {MORE} -> {owner.cards['gw-a']}"
    ]
    assert routes_of(bare, tables[0]) == dict.fromkeys((HQ, MORE, HQ6, PLANT), owner.cards["gw-a"])
    assert routes_of(bare, others) == dict.fromkeys((HQ, MORE), owner.cards["gw-b"])
    assert prefix_lists.read(bare.client, bare.deployment.name) == {}


class NoRoom:
    """A client whose route tables are full."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.meta = real.meta

    def __getattr__(self, name: str) -> Any:
        if name != "create_route":
            return getattr(self._real, name)

        def refuse(**_given: Any) -> None:
            raise ClientError({"Error": {"Code": "RouteLimitExceeded", "Message": "No room."}}, "CreateRoute")

        return refuse


def test_where_there_is_no_room_for_the_entries_nothing_is_deleted(bare: World) -> None:
    owner = Owner(bare)
    owner.tag()
    by_list(bare, HQ, MORE).build()
    pl, table = bind(bare), bare.table(A)
    with pytest.raises(VpnhaError, match=f"{table} has no room for routes to the entries of {pl}") as caught:
        network_removal.remove(NoRoom(bare.client), bare.deployment.name, check=False)
    assert "No route and no list was deleted" in str(caught.value)
    assert pl in routes_of(bare, table) and bind(bare) == pl


def refused(world: World) -> str:
    with pytest.raises(VpnhaError) as caught:
        network_removal.remove(world.client, world.deployment.name, check=False)
    assert caught.value.args[0].endswith("Nothing was removed.")
    return str(caught.value)


def card(world: World, subnet: str, **tag: str) -> str:
    made = world.client.create_network_interface(SubnetId=subnet, Description="of a lambda")["NetworkInterface"]
    if tag:
        world.tag(made["NetworkInterfaceId"], **tag)
    return str(made["NetworkInterfaceId"])


def test_who_reaches_the_internet_by_our_table_is_in_the_way(bare: World) -> None:
    bare.build()
    subnet = bare.wanted.public_subnets[0]
    other = card(bare, subnet, vpnha_deployment="other", Name="gw-x")
    assert f"{other} in {subnet} (gw-x of the deployment other). Remove them first" in refused(bare)
    table, own = bare.read().table_of(subnet)
    assert own and table is not None and tags.to_dict(table["Tags"])[tags.TABLE] == "public"
    assert len(bare.read().interfaces) == 2
    bare.client.delete_network_interface(NetworkInterfaceId=other)
    assert network_removal.remove(bare.client, bare.deployment.name, check=False).changes


@pytest.mark.parametrize("what", ["vpc", "subnet"])
def test_who_is_in_what_was_made_is_in_the_way(bare: World, what: str) -> None:
    bare.build()
    subnet = bare.wanted.zones[0].subnets[0]
    other = card(bare, subnet)
    bare.tag(bare.vpc if what == "vpc" else subnet, vpnha_made=bare.deployment.name)
    assert f"{other} in {subnet} (of a lambda)" in refused(bare)
    table, _own = bare.read().table_of(subnet)
    assert table is not None and tags.to_dict(table["Tags"])[tags.TABLE] == "app"


def test_who_only_loses_the_sites_and_our_own_endpoints_are_not_in_the_way(
    bare: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints_build, "_PAUSE", 0.0)
    bare.client.modify_vpc_attribute(VpcId=bare.vpc, EnableDnsHostnames={"Value": True})
    first = bare.wanted.interfaces[0]
    monitor = replace(first, name="mon-a", role="monitor", address=first.address[:-2] + "20")
    bare.wanted = replace(bare.wanted, interfaces=(*bare.wanted.interfaces, monitor), endpoints=("ec2",))
    bare.build()
    card(bare, bare.wanted.zones[0].subnets[0])
    assert network_removal.remove(bare.client, bare.deployment.name, check=False).changes
    assert bare.read().interfaces == []
