# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a drill from beginning at the wrong moment, as a person who runs the playbooks sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Person
from .test_bad_input import everything, make_vpc, tagged

Description = dict[str, Any]
LATER = "2099-12-31T00:00:00Z"
LOCK_BOOK = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: vpnha.aws.network, tasks_from: check}
    - ansible.builtin.include_role: {name: vpnha.aws.network, tasks_from: "{{ item }}"}
      loop: "{{ entries }}"
"""


def deployed(ec2: Any, description: Description, name: str) -> str:
    """A VPC that has the interface of the deployment's first gateway; the VPC's id."""
    vpc, subnets = make_vpc(ec2, "10.20")
    description |= {"vpnha_deployment": name, "vpnha_vpc": {"id": vpc}}
    gateway = description["vpnha_gateways"][0]
    made = ec2.create_network_interface(SubnetId=subnets["0a"], PrivateIpAddress=gateway["address"])
    ec2.create_tags(
        Resources=[made["NetworkInterface"]["NetworkInterfaceId"]],
        Tags=tagged(Name="gw-a", vpnha_deployment=name, vpnha_gateway="gw-a"),
    )
    return vpc


def lock(ec2: Any, vpc: str, name: str, value: str) -> None:
    tag = {"Key": "vpnha:lock", "Value": value}
    ec2.create_security_group(
        GroupName=f"vpnha:lock:{name}",
        Description="lock",
        VpcId=vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": [tag]}],
    )


def locked(ec2: Any, name: str) -> str:
    found = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [f"vpnha:lock:{name}"]}])
    return " ".join(tag["Value"] for group in found["SecurityGroups"] for tag in group["Tags"])


def drill(person: Person, description: Description, **variables: Any) -> Any:
    given = {"vpnha_drill_app_hosts": ["app-a"], "vpnha_drill_zone": "eu-central-1a", **variables}
    return person.play("failover_drill", description, "-e", json.dumps(given))


def test_no_drill_outside_its_window(person: Person, description: Description, account: Callable[..., Any]) -> None:
    account()
    # a minute is too short for any drill, so it is the wrong time at all times
    short = {"days": ["tue"], "from": "02:00", "to": "02:01", "timezone": "Europe/Berlin"}
    told = drill(person, description, vpnha_drill_window=short)
    told.refused_with("It is open for 1 min only, so ask for fewer runs or make it longer. Nothing was touched.")
    assert "next one begins on Tuesday, 20" in told.readable


def test_no_drill_while_the_inventory_is_frozen(
    person: Person, description: Description, account: Callable[..., Any]
) -> None:
    account()
    drill(person, {**description, "vpnha_drill_freeze": True}).refused_with(
        "Drills are frozen by the inventory (vpnha_drill_freeze). Nothing was touched."
    )


def test_a_window_that_cannot_be(person: Person, description: Description, account: Callable[..., Any]) -> None:
    account()
    drill(person, description, vpnha_drill_window={"from": "02:00", "to": "4", "timezone": "Berlin"}).refused_with(
        'vpnha_drill_window.to: 4 is no time of day; write it in quotes, like "22:00".',
        "vpnha_drill_window.timezone: this controller knows no time zone Berlin;",
    )


def test_no_deploy_beside_a_drill(person: Person, description: Description, account: Callable[..., Any]) -> None:
    ec2 = account()
    vpc = deployed(ec2, description, "busy")
    lock(ec2, vpc, "busy", f"what=drill owner=d-1/7 until={LATER} by=jane@box")
    before = everything(ec2)
    person.play("deploy", description).refused_with(
        f"The drill d-1/7 of jane@box has the deployment's lock until {LATER}; wait until that is over, or if it has "
        "died take the lock with -e vpnha_lock_force=true."
    )
    assert everything(ec2) == before


def test_a_deploy_s_lock_is_no_change_and_goes_with_it(
    person: Person, description: Description, account: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    ec2 = account()
    deployed(ec2, description, "free")
    book = tmp_path_factory.mktemp("book") / "book.yml"
    book.write_text(LOCK_BOOK)
    for entries, value in ((["lock"], "what=deploy owner=jane "), (["lock", "unlock"], "")):
        given = json.dumps({"entries": entries, "vpnha_lock_owner": "jane"})
        told = person.play(str(book), description, "-e", given)
        assert (told.code, told.changed) == (0, 0)
        assert locked(ec2, "free").startswith(value)
    assert locked(ec2, "free") == ""
