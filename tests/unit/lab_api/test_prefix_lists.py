# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Customer-managed prefix lists of the lab's EC2: one test for each thing in which moto is unlike EC2."""

from __future__ import annotations

from typing import Any

import pytest

SITE, OTHER = "192.168.10.0/24", "192.168.20.0/24"


def state(vpc: Any, listed: str) -> dict[str, Any]:
    return dict(vpc.ec2.describe_managed_prefix_lists(PrefixListIds=[listed])["PrefixLists"][0])


def settled(vpc: Any, listed: str) -> dict[str, Any]:
    assert state(vpc, listed)["State"].endswith("-in-progress")
    return state(vpc, listed)


@pytest.fixture
def listed(vpc: Any) -> str:
    made = vpc.ec2.create_managed_prefix_list(
        PrefixListName="hq", MaxEntries=1, AddressFamily="IPv4", Entries=[{"Cidr": SITE}]
    )
    assert made["PrefixList"]["State"] == "create-in-progress"
    assert settled(vpc, made["PrefixList"]["PrefixListId"])["State"] == "create-complete"
    return str(made["PrefixList"]["PrefixListId"])


def test_while_one_change_is_made_another_one_is_refused(vpc: Any, refused: Any, listed: str) -> None:
    modify = vpc.ec2.modify_managed_prefix_list
    modify(PrefixListId=listed, MaxEntries=3)
    assert refused(modify, PrefixListId=listed, MaxEntries=4) == "IncorrectState"
    assert settled(vpc, listed)["MaxEntries"] == 3


def test_entries_need_the_version_and_room_and_a_call_of_their_own(vpc: Any, refused: Any, listed: str) -> None:
    modify, add = vpc.ec2.modify_managed_prefix_list, {"PrefixListId": listed, "AddEntries": [{"Cidr": OTHER}]}
    assert refused(modify, **add, CurrentVersion=1) == "PrefixListMaxEntriesExceeded"
    assert refused(modify, **add, CurrentVersion=1, MaxEntries=2) == "InvalidParameterCombination"
    modify(PrefixListId=listed, MaxEntries=2)
    settled(vpc, listed)
    assert refused(modify, **add, CurrentVersion=7) == "PrefixListVersionMismatch"
    modify(**add, CurrentVersion=1)
    found = settled(vpc, listed)
    assert (found["Version"], found["PrefixListName"]) == (2, "hq")
    entries = vpc.ec2.get_managed_prefix_list_entries(PrefixListId=listed)["Entries"]
    assert {entry["Cidr"] for entry in entries} == {SITE, OTHER}


def test_a_list_in_use_is_not_deleted(vpc: Any, refused: Any, listed: str) -> None:
    way = {"RouteTableId": vpc.table, "DestinationPrefixListId": listed}
    vpc.ec2.create_route(NetworkInterfaceId=vpc.eni(), **way)
    assert refused(vpc.ec2.delete_managed_prefix_list, PrefixListId=listed) == "DependencyViolation"
    vpc.ec2.delete_route(**way)
    vpc.ec2.delete_managed_prefix_list(PrefixListId=listed)
    unknown = {"PrefixListId": "pl-0", "MaxEntries": 2}
    assert refused(vpc.ec2.modify_managed_prefix_list, **unknown) == "InvalidPrefixListID.NotFound"


def test_a_call_takes_a_hundred_entries(vpc: Any, refused: Any) -> None:
    entries = [{"Cidr": f"10.9.{n}.0/24"} for n in range(101)]
    given = {"PrefixListName": "hq", "AddressFamily": "IPv4", "MaxEntries": 200}
    assert refused(vpc.ec2.create_managed_prefix_list, Entries=entries, **given) == "InvalidParameterValue"
    few = {**given, "MaxEntries": 1}
    assert refused(vpc.ec2.create_managed_prefix_list, Entries=entries[:2], **few) == "PrefixListMaxEntriesExceeded"
