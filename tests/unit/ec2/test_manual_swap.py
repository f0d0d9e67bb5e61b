# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's swap: refused in whole sentences before anything changes, pinned before it is swapped, told by route."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ansible_collections.vpnha.aws.plugins.module_utils import manual_swap, pace, prefix_lists, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Report, Wish
from ansible_collections.vpnha.aws.plugins.module_utils.model import RepairMark
from ansible_collections.vpnha.aws.plugins.module_utils.overview import overview
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice
from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import Progress
from tests.tools.policies import alarm_rights

from .conftest import HQ, NOW, PLANT, World

A, B = "eu-central-1a", "eu-central-1b"
TO_B = Choice(gateway="gw-b", zones=(A,))


def run(world: World, wish: Wish, *, check: bool = False, wall: float = NOW, client: Any = None) -> Report:
    return manual_swap.run(client or world.client, world.deployment, wish, check=check, wall=wall)


def carried(world: World) -> dict[tuple[str, str], str | None]:
    return {(route.zone, key.destination): route.gateway for key, route in world.view().routes.items()}


@pytest.mark.parametrize(
    ("calls", "refused", "words"),
    [
        (45, 0, []),
        (92, 0, []),  # not ten seconds
        (141, 0, ["141 swaps take at least 20 s under EC2's limit; prefix lists"]),
        (2, 3, ["EC2 refused 3 calls for its limit"]),
    ],
)
def test_a_person_is_warned_of_what_takes_long(calls: int, refused: int, words: list[str]) -> None:
    found, warnings = manual_swap._swapping(calls, None, refused)
    assert (found["calls"], found["seconds"], found["refused"]) == (calls, None, refused)
    assert len(warnings) == len(words)
    assert all(warning.startswith(word) for warning, word in zip(warnings, words, strict=True))


HOME = {(A, HQ): "gw-a", (A, PLANT): "gw-a", (B, HQ): "gw-b", (B, PLANT): "gw-b"}


def test_away_pinned_and_home_again(world: World) -> None:
    there = run(world, Wish(TO_B, pin_minutes=60, by="jane"))
    assert (there.changed, there.failure) == (True, "")
    assert {(row["before"], row["after"], row["action"], row["accepted"]) for row in there.routes} == {
        ("gw-a", "gw-b", "swap", True)
    }
    assert carried(world) == {**HOME, (A, HQ): "gw-b", (A, PLANT): "gw-b"}
    pin = world.view().table_pins[world.table(A)]
    assert (pin.gateway, pin.expires_wall, pin.by) == ("gw-b", NOW + 3600, "jane")
    assert (there.swapping["calls"], there.swapping["at_least_seconds"], there.swapping["refused"]) == (2, 0.0, 0)
    assert there.swapping["seconds"] > 0 and there.warnings == ()
    back = run(world, Wish(Choice(), unpin=True))
    assert back.changed
    assert carried(world) == HOME
    assert not world.view().table_pins
    assert not run(world, Wish(Choice(), unpin=True)).changed


def test_what_a_swap_started_by_an_alarm_calls_is_what_its_rights_say(world: World) -> None:
    called = {"DescribeInstances"}  # by the playbook itself, to find hosts

    def note(model: Any, **_more: Any) -> None:
        called.add(model.name)

    hq, plant = world.deployment.sites
    listed = replace(world.deployment, sites=(replace(hq, by_prefix_list=True), plant))
    world.new_table(vpnha_deployment=world.deployment.name, vpnha_table="app")  # without a zone: read from its subnets
    world.client.meta.events.register("before-call.ec2", note)
    try:
        prefix_lists.bound(world.client, listed)
        run(world, Wish(TO_B, pin_minutes=60))
        run(world, Wish(TO_B, pin_minutes=120))  # over the earlier pin
        run(world, Wish(TO_B, unpin=True))  # as a pin is taken back
    finally:
        world.client.meta.events.unregister("before-call.ec2", note)
    assert {f"ec2:{name}" for name in called} == alarm_rights("failover")


def test_it_fills_in_how_far_it_is(world: World) -> None:
    how = Progress()
    manual_swap.run(world.client, world.deployment, Wish(TO_B), check=False, wall=NOW, progress=how)
    assert how.sentence == "2 of 2 routes moved."


def test_run_again_at_once_it_changes_nothing(world: World) -> None:
    wish = Wish(TO_B, pin_minutes=60)
    assert run(world, wish).changed
    again = run(world, wish, wall=NOW + 10)
    assert not again.changed
    assert {row["reason"] for row in again.routes} == {"It already is there."}
    assert run(world, wish, wall=NOW + 1800).changed  # half of the time is over: the pin is made new


def test_check_mode_tells_and_does_not(world: World) -> None:
    report = run(world, Wish(TO_B, pin_minutes=60), check=True)
    assert report.changed
    assert {(row["before"], row["after"], row["accepted"]) for row in report.routes} == {("gw-a", "gw-b", None)}
    assert carried(world) == HOME
    assert not world.view().table_pins


def test_one_site_of_one_table(world: World) -> None:
    run(world, Wish(Choice(gateway="gw-b", tables=(world.table(A),), sites=("hq",))))
    assert carried(world) == {**HOME, (A, HQ): "gw-b"}


def test_only_what_leads_to_a_gateway_leaves_it(world: World) -> None:
    moved = run(world, Wish(Choice(gateway="gw-b", leaving="gw-a"), pin_minutes=60))
    assert moved.tables == [world.table(A)]
    assert {row["zone"] for row in moved.routes} == {A}
    assert carried(world) == dict.fromkeys(HOME, "gw-b")
    assert list(world.view().table_pins) == [world.table(A)]  # what stays is not pinned
    again = run(world, Wish(Choice(gateway="gw-b", leaving="gw-a"), pin_minutes=60))
    assert (again.changed, again.tables, again.routes) == (False, [], [])


def test_a_route_elsewhere_in_the_same_table_stays(world: World) -> None:
    run(world, Wish(replace(TO_B, sites=("hq",))))
    run(world, Wish(Choice(gateway="gw-a", leaving="gw-b", zones=(A,))))
    assert carried(world) == HOME


def test_a_pin_holds_against_a_swap_without_one(world: World) -> None:
    run(world, Wish(TO_B, pin_minutes=60))
    report = run(world, Wish(Choice()))
    assert not report.changed
    assert {row["reason"] for row in report.routes if row["zone"] == A} == {
        "Its table is pinned; set a new pin or clear it along with the swap."
    }
    run(world, Wish(Choice()), wall=NOW + 3601)
    assert carried(world) == HOME


def test_somebodys_route_is_left_unless_taken_over(world: World) -> None:
    world.client.replace_route(
        RouteTableId=world.table(A), DestinationCidrBlock=HQ, GatewayId=world.wanted.internet_gateway
    )
    report = run(world, Wish(TO_B))
    [row] = [row for row in report.routes if row["destination"] == HQ]
    assert (row["action"], row["before"], row["after"]) == ("none", *[world.wanted.internet_gateway] * 2)
    assert carried(world)[A, HQ] is None
    run(world, Wish(replace(TO_B, take_over=True)))
    assert carried(world)[A, HQ] == "gw-b"


def test_a_missing_route_is_only_made_when_told_so(world: World) -> None:
    world.client.delete_route(RouteTableId=world.table(A), DestinationCidrBlock=HQ)
    report = run(world, Wish(TO_B))
    [row] = [row for row in report.routes if row["destination"] == HQ]
    why = "There is no such route; the deploy playbook creates it, or failback with vpnha_take_over=true."
    assert (row["action"], row["reason"]) == ("none", why)
    assert (A, HQ) not in carried(world)
    report = run(world, Wish(TO_B, create_missing=True))
    [row] = [row for row in report.routes if row["destination"] == HQ]
    assert (row["action"], row["before"], row["after"], row["accepted"]) == ("create", None, "gw-b", True)
    assert carried(world)[A, HQ] == "gw-b"


class Refusing:
    """An EC2 client that refuses to swap one destination, one table's or any, or leaves open what it did."""

    def __init__(self, real: Any, destination: str = "", table: str = "", code: str = "UnauthorizedOperation") -> None:
        self._real, self._destination, self._table, self._code = real, destination, table, code

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def replace_route(self, **arguments: Any) -> Any:
        here = self._destination in ("", arguments["DestinationCidrBlock"])
        if here and self._table in ("", arguments["RouteTableId"]):
            raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, "ReplaceRoute")
        return self._real.replace_route(**arguments)


def test_where_nothing_moves_no_pin_stays(world: World) -> None:
    table = world.table(A)
    report = run(world, Wish(TO_B, pin_minutes=60), client=Refusing(world.client))
    assert report.failure.startswith("2 of 2 routes were not changed: ")
    assert report.failure.endswith(f" No route of {table} moved, so the new pin was removed.")
    assert (report.changed, report.pins_taken_back) == (False, (table,))
    assert carried(world) == HOME
    assert not world.view().table_pins


@pytest.mark.parametrize("value", ["gateway=gw-a expires=2099-01-01T00:00:00Z by=jane", "hands off, says jane"])
def test_where_nothing_moves_the_earlier_pin_is_there_again_word_for_word(world: World, value: str) -> None:
    table = world.table(A)
    world.client.create_tags(Resources=[table], Tags=[{"Key": tags.PIN, "Value": value}])
    report = run(world, Wish(TO_B, pin_minutes=60), client=Refusing(world.client))
    assert report.failure.endswith(f" No route of {table} moved, so the earlier pin was put back.")
    assert (report.changed, report.pins_taken_back) == (False, (table,))
    [tag] = world.client.describe_tags(Filters=[{"Name": "key", "Values": [tags.PIN]}, of(table)])["Tags"]
    assert tag["Value"] == value


def of(resource: str) -> dict[str, Any]:
    return {"Name": "resource-id", "Values": [resource]}


def test_a_table_that_moved_in_part_keeps_its_pin_and_what_it_holds_elsewhere_is_named(world: World) -> None:
    table = world.table(A)
    report = run(world, Wish(TO_B, pin_minutes=60), client=Refusing(world.client, HQ))
    assert report.failure.endswith(
        f" The new pin keeps {table} {HQ} (at gw-a) there until {tags.format_time(NOW + 3600)}, out of the monitors' "
        "hands: run this again, or end the pin."
    )
    assert (report.changed, report.pins_taken_back) == (True, ())
    assert list(world.view().table_pins) == [table]


def test_each_table_has_its_own_word(world: World) -> None:
    """The one has moved, the other has not."""
    world.client.replace_route(
        RouteTableId=world.table(B), DestinationCidrBlock=HQ, NetworkInterfaceId=world.eni("gw-a")
    )
    refusing = Refusing(world.client, table=world.table(A))
    report = run(world, Wish(Choice(gateway="gw-b"), pin_minutes=60), client=refusing)
    assert (report.changed, report.pins_taken_back) == (True, (world.table(A),))
    assert list(world.view().table_pins) == [world.table(B)]


def test_the_pin_stays_where_it_is_not_known_whether_a_route_moved(world: World) -> None:
    report = run(world, Wish(TO_B, pin_minutes=60), client=Refusing(world.client, code="InternalError"))
    assert {row["accepted"] for row in report.routes} == {None}
    assert (report.changed, report.pins_taken_back) == (True, ())
    assert list(world.view().table_pins) == [world.table(A)]


class Keeping(Refusing):
    """One that takes no tag away either."""

    def delete_tags(self, **_arguments: Any) -> Any:
        raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "not that"}}, "DeleteTags")


def test_a_pin_that_cannot_be_taken_back_is_told_with_the_routes(world: World) -> None:
    report = run(world, Wish(TO_B, pin_minutes=60), client=Keeping(world.client))
    assert report.failure.startswith("2 of 2 routes were not changed: ")
    assert f"No route of {world.table(A)} moved, but its new pin stays, so end it yourself: " in report.failure
    assert (report.changed, report.pins_taken_back) == (True, ())


def test_partial_failure_is_told_by_route_and_keeps_the_pin(world: World) -> None:
    run(world, Wish(TO_B, pin_minutes=60))
    report = run(world, Wish(Choice(), unpin=True), client=Refusing(world.client, HQ))
    assert report.failure.startswith(f"1 of 2 routes were not changed: {world.table(A)} {HQ}: ")
    assert {row["destination"]: row["accepted"] for row in report.routes if row["zone"] == A} == {
        HQ: False,
        PLANT: True,
    }
    assert carried(world) == {**HOME, (A, HQ): "gw-b"}
    assert world.table(A) in world.view().table_pins


# --- Refused before anything changes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (Choice(gateway="gw-b", leaving="gw-y"), "gw-y is no gateway of the deployment; it has gw-a, gw-b."),
        (Choice(gateway="gw-x"), "gw-x is no gateway of the deployment; it has gw-a, gw-b."),
        (Choice(zones=("mars",)), "mars is no zone of the deployment; it has eu-central-1a, eu-central-1b."),
        (Choice(sites=("moon",)), "moon is no site of the deployment; it has hq, plant."),
        (Choice(tables=("rtb-0",)), "rtb-0 is no route table of the deployment."),
    ],
)
def test_what_does_not_exist_is_refused(world: World, choice: Choice, sentence: str) -> None:
    with pytest.raises(VpnhaError) as told:
        run(world, Wish(choice, pin_minutes=60))
    assert str(told.value) == sentence
    assert not world.view().table_pins


@pytest.mark.parametrize("check", [False, True])
def test_more_swaps_than_there_is_time_for_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    monkeypatch.setattr(pace, "seconds_for", lambda calls: 47.2 * calls)
    with pytest.raises(VpnhaError) as told:
        run(world, Wish(TO_B, pin_minutes=60, seconds=60.0), check=check)
    assert str(told.value) == (
        "2 swaps take at least 95 s under EC2's limit, and no call is begun after 60 s: allow more time, or move fewer "
        "routes at once. Nothing was changed."
    )
    assert carried(world) == HOME
    assert not world.view().table_pins


def test_a_gateway_that_does_not_run_is_refused(world: World) -> None:
    world.stop("gw-b")
    with pytest.raises(VpnhaError, match="gw-b is not running: EC2 says its instance is stopped"):
        run(world, Wish(TO_B, pin_minutes=60))
    assert carried(world) == HOME
    assert not world.view().table_pins


def test_a_gateway_whose_check_is_on_is_refused(world: World) -> None:
    eni = world.eni("gw-b")
    world.client.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": True})
    with pytest.raises(VpnhaError, match=f"gw-b: the source/destination check of {eni} is on"):
        run(world, Wish(TO_B))
    assert carried(world) == HOME


def test_a_gateway_in_another_vpc_is_refused(world: World) -> None:
    other = world.client.create_vpc(CidrBlock="10.253.0.0/16")["Vpc"]["VpcId"]
    table = world.client.create_route_table(VpcId=other)["RouteTable"]["RouteTableId"]
    world.tag(table, vpnha_deployment=world.deployment.name, vpnha_table="app", vpnha_zone=A)
    with pytest.raises(VpnhaError, match=f"gw-b is in {world.vpc}, and a route cannot lead into .*{table} in {other}"):
        run(world, Wish(TO_B))
    assert carried(world) == HOME


# --- How it stands ---------------------------------------------------------------------------------------------------


def test_the_overview_at_home(world: World) -> None:
    shown = overview(world.view(), world.deployment, NOW)
    assert shown["at_home"]
    assert shown["differences"] == []
    assert shown["summary"] == [f"{A} uses gw-a (at home).", f"{B} uses gw-b (at home)."]
    assert [gateway["usable"] for gateway in shown["gateways"]] == [True, True]
    assert len(shown["gateways"][0]["carries"]) == 2


def test_the_overview_away_from_home(world: World) -> None:
    run(world, Wish(TO_B, pin_minutes=60, by="jane"))
    world.stop("gw-a")
    shown = overview(world.view(), world.deployment, NOW)
    table = world.table(A)
    assert not shown["at_home"]
    assert {(each["zone"], each["gateway"], each["home_gateway"]) for each in shown["differences"]} == {
        (A, "gw-b", "gw-a")
    }
    assert f"{A} uses gw-b (home is gw-a)." in shown["summary"]
    assert "gw-a is not running: EC2 says its instance is stopped." in shown["summary"]
    assert any(line.startswith(f"{table} is pinned to gw-b by jane until ") for line in shown["summary"])
    assert [gateway["usable"] for gateway in shown["gateways"]] == [False, True]
    later = overview(world.view(), world.deployment, NOW + 3601)
    assert all(each["pin"] is None for each in later["route_tables"])
    assert not any("pinned" in line for line in later["summary"])


def test_the_overview_of_a_blackhole_and_of_a_missing_route(world: World) -> None:
    world.client.delete_route(RouteTableId=world.table(B), DestinationCidrBlock=HQ)
    world.stop("gw-a")
    shown = overview(world.view(), world.deployment, NOW)
    assert {
        (each["destination"], each["zone"], each["missing"], each["blackhole"]) for each in shown["differences"]
    } == {
        (HQ, B, True, False),
        (HQ, A, False, True),
        (PLANT, A, False, True),
    }
    assert f"{world.table(B)} {HQ} is missing; the deploy playbook creates it." in shown["summary"]


def test_the_overview_of_repairs(world: World) -> None:
    assert overview(world.view(), world.deployment, NOW)["gateways"][0]["repairs"] == []
    eni_id = world.view().instances["gw-a"].eni_id
    assert eni_id is not None
    mark = RepairMark((NOW - 90_000.0, NOW - 700.0, NOW - 60.0), "stop")
    world.tag(eni_id, vpnha_repair=tags.format_repair(mark))
    shown = overview(world.view(), world.deployment, NOW)
    assert shown["gateways"][0]["repairs"] == [tags.format_time(at) for at in mark.steps_wall]
    assert (shown["gateways"][0]["last_repair"], shown["gateways"][1]["last_repair"]) == ("stop", None)
    last = tags.format_time(NOW - 60.0)
    assert f"gw-a has had 2 steps of repair within 24 hours, the last {last}." in shown["summary"]
    later = overview(world.view(), world.deployment, NOW + 90_000)
    assert not any("repair" in line for line in later["summary"])
