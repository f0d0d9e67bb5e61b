# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input as a person would type it: one clear sentence for each fault, and nothing changed.

What is wrong with a description is found before anything is asked of AWS; what is wrong with AWS, before anything is
made there. Several faults share a run where one run tells them all.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from .conftest import Person

Description = dict[str, Any]
SECRET = "sEcret-that-must-not-be-shown"


@pytest.fixture
def nobody_asked(person: Person) -> Iterator[None]:
    """An endpoint that the person's credentials lead to; the test fails if anybody asks it."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        person.environment |= {
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "not-needed-here",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{trap.getsockname()[1]}",
        }
        yield
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()


# --- The description -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nobody_asked")
def test_prefixes_that_cannot_be(person: Person, description: Description) -> None:
    hq, plant = description["vpnha_sites"]
    hq["prefixes"] += ["10.20.5.0/24", "169.254.0.0/16", "192.0.2.0/24", "192.168.20.128/25"]
    description["vpnha_endpoint_url"] = "http://192.0.2.10:4566"
    assert plant["prefixes"] == ["192.168.20.0/24"]
    person.play("deploy", description).refused_with(
        "The deployment's description has 4 problems:",
        "vpnha_sites[0].prefixes[1]: 10.20.5.0/24 overlaps the VPC's 10.20.0.0/16; a site's prefixes lie outside the "
        "VPC.",
        "vpnha_sites[0].prefixes[2]: 169.254.0.0/16 overlaps 169.254.0.0/16, which AWS and the tunnels' inside use",
        "vpnha_sites[0].prefixes[3]: 192.0.2.0/24 covers 192.0.2.10, the monitors' way to the EC2 API "
        "(vpnha_endpoint_url); name smaller prefixes without it.",
        "vpnha_sites[1].prefixes[0]: 192.168.20.0/24 overlaps vpnha_sites[0].prefixes[4] (192.168.20.128/25); "
        "each network belongs to one site.",
    )


@pytest.mark.usefixtures("nobody_asked")
def test_names_and_homes_that_cannot_be(person: Person, description: Description) -> None:
    description["vpnha_gateways"][1]["home_zones"] = ["eu-central-1a", "eu-central-1b"]
    description["vpnha_gateways"].append({"name": "gw-a", "zone": "eu-central-1x", "address": "10.20.0.11"})
    description["vpnha_sites"][1]["name"] = "hq"
    person.play("deploy", description).refused_with(
        "vpnha_gateways[1].home_zones: zone eu-central-1a would have two home gateways, gw-a and gw-b; "
        "name it in one gateway's home_zones only ([] for none).",
        "vpnha_gateways[2].zone: there is no zone 'eu-central-1x' in vpnha_zones; did you mean eu-central-1b?",
        "vpnha_gateways[2].name: 'gw-a' already names a gateway, monitor or application host; choose another name.",
        "vpnha_sites[1].name: 'hq' already names a site; choose another name.",
    )


@pytest.mark.usefixtures("nobody_asked")
def test_keys_that_are_no_good(person: Person, description: Description) -> None:
    tunnels = description["vpnha_sites"][0]["tunnels"]
    tunnels[0]["psk"] = "short"
    tunnels[1]["psk"] = f"{SECRET}\n"
    description["vpnha_heartbeat_key"] = SECRET
    told = person.play("deploy", description)
    told.refused_with(
        "vpnha_sites[0].tunnels[0].psk: the pre-shared key has only 5 characters; take at least 20 random ones.",
        "vpnha_sites[0].tunnels[1].psk: the pre-shared key begins or ends with a line break; strip it, for instance "
        "with the filter trim.",
        f"vpnha_heartbeat_key: the heartbeat key has only {len(SECRET)} characters; take at least 32 random ones.",
    )
    assert SECRET not in told.output


@pytest.mark.usefixtures("nobody_asked")
def test_keys_that_cannot_be_read(person: Person, description: Description) -> None:
    hq, plant = (site["tunnels"] for site in description["vpnha_sites"])
    description["vpnha_heartbeat_key"] = "{{ lookup('ansible.builtin.file', '/nonexistent/key') }}"
    hq[0]["psk"] = "{{ vault_psk }}"
    hq[1]["psk"] = SECRET + "{{ open"
    plant[0]["psk"] = "VAULT"
    vault = "!vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      " + "3132" * 20
    told = person.play("deploy", yaml.safe_dump(description).replace("VAULT", vault))
    told.refused_with(
        "The deployment's description has 4 problems:",
        "vpnha_sites[0].tunnels[0].psk: this cannot be read: 'vault_psk' is undefined.",
        "vpnha_sites[0].tunnels[1].psk: this cannot be read: ",
        "vpnha_sites[1].tunnels[0].psk: this cannot be read: ",
        "vpnha_heartbeat_key: this cannot be read: ",
        "/nonexistent/key",
    )
    assert SECRET not in told.output


@pytest.mark.usefixtures("nobody_asked")
def test_a_replacement_of_what_would_not_configure_itself(person: Person, description: Description) -> None:
    person.play("repair", {**description, "vpnha_broken": "gw-a", "vpnha_replace": True}).refused_with(
        "vpnha_replace needs vpnha_repair to be replace, and a deploy with that"
    )


@pytest.mark.usefixtures("nobody_asked")
def test_a_rotation_without_keys_to_change_to(person: Person, description: Description) -> None:
    description["vpnha_sites"][0]["tunnels"][0]["psk_next"] = ""
    person.play("rotate", description).refused_with(
        "No tunnel in vpnha_sites has a psk_next, the key to change over to, or auth certificate. Nothing was changed."
    )


@pytest.mark.usefixtures("nobody_asked")
@pytest.mark.parametrize("playbook", ["failover", "failover_drill"])
def test_other_playbooks_refuse_it_alike(playbook: str, person: Person, description: Description) -> None:
    description["vpnha_sties"] = []
    person.play(playbook, description, "-e", "vpnha_to=gw-b").refused_with(
        "The deployment's description is wrong. vpnha_sties: this variable is unknown; did you mean vpnha_sites?"
    )


@pytest.mark.usefixtures("nobody_asked")
def test_teardown_without_an_inventory_or_confirmation(person: Person, description: Description) -> None:
    person.play("teardown", {}).refused_with(
        "vpnha_deployment and vpnha_region are not set; give the inventory that describes the deployment with -i. "
        "Nothing was changed."
    )
    person.play("teardown", description).refused_with("say so with -e vpnha_confirm=lab. Nothing was changed.")


@pytest.mark.usefixtures("nobody_asked")
def test_what_only_a_deploy_reads_is_told_with_the_rest(person: Person, description: Description) -> None:
    description |= {"vpnha_admin_cidrs": ["10.0.0.0/99", "{{ looked_up }}"], "vpnha_image": "nonsense"}
    person.play("deploy", {**description, "looked_up": "198.51.100.7/32"}).refused_with(
        "The deployment's description has 2 problems:",
        "vpnha_image: 'nonsense' is no id of an AMI; write one like ami-0123456789abcdef0.",
        "vpnha_admin_cidrs[0]: '10.0.0.0/99' is no IPv4 network; write one like 192.168.10.0/24.",
    )
    # a failover in the night does not depend on it
    person.play("failover", {**description, "vpnha_image": "ami-1"}, "-e", "vpnha_to=gw-x").refused_with(
        "gw-x is no gateway of the deployment; it has gw-a, gw-b."
    )


# --- AWS -----------------------------------------------------------------------------------------------------------


def test_no_credentials(person: Person, description: Description) -> None:
    person.play("deploy", description).refused_with(
        "AWS cannot be asked for its zones: no usable AWS credentials (Unable to locate credentials); set them in the "
        "environment, a profile or a role. Nothing was changed."
    )


def test_an_endpoint_that_nobody_serves(person: Person, description: Description) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    person.environment |= {
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "not-needed-here",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_MAX_ATTEMPTS": "1",
    }
    person.play("deploy", description).refused_with(
        "AWS cannot be asked for its zones: the endpoint cannot be reached: Could not connect to the endpoint URL: "
        f'"http://127.0.0.1:{port}/". Nothing was changed.'
    )


def everything(ec2: Any) -> list[Any]:
    """All that a deploy could make, as EC2 shows it."""
    found = [
        ec2.describe_vpcs()["Vpcs"],
        ec2.describe_subnets()["Subnets"],
        ec2.describe_security_groups()["SecurityGroups"],
        ec2.describe_network_interfaces()["NetworkInterfaces"],
        ec2.describe_route_tables()["RouteTables"],
        ec2.describe_internet_gateways()["InternetGateways"],
        ec2.describe_addresses()["Addresses"],
        ec2.describe_instances()["Reservations"],
    ]
    return [sorted(map(str, each)) for each in found]


def make_vpc(ec2: Any, net: str) -> tuple[str, dict[str, str]]:
    """A VPC with the description's subnets; its id, and theirs by third byte and zone."""
    vpc = ec2.create_vpc(CidrBlock=f"{net}.0.0/16")["Vpc"]["VpcId"]
    subnets = {
        f"{third}{zone}": ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"{net}.{third}.0/24", AvailabilityZone=f"eu-central-1{zone}"
        )["Subnet"]["SubnetId"]
        for third, zone in ((0, "a"), (1, "b"), (16, "a"), (17, "b"))
    }
    return vpc, subnets


def tagged(**tags: str) -> list[dict[str, str]]:
    """Tags as boto3 takes them; an underscore stands for the colon."""
    return [{"Key": key.replace("_", ":"), "Value": value} for key, value in tags.items()]


def gateway_of_another_vpc(ec2: Any, deployment: str) -> str:
    """The id of a VPC in which the deployment has gw-a already."""
    other, subnets = make_vpc(ec2, "10.30")
    made = ec2.create_network_interface(SubnetId=subnets["0a"])["NetworkInterface"]["NetworkInterfaceId"]
    ec2.create_tags(Resources=[made], Tags=tagged(Name="gw-a", vpnha_deployment=deployment, vpnha_gateway="gw-a"))
    return other


def test_a_zone_that_the_region_lacks(person: Person, description: Description, account: Callable[..., Any]) -> None:
    ec2 = account()
    before = everything(ec2)
    description["vpnha_zones"][1]["name"] = "eu-central-1x"
    for host in (description["vpnha_gateways"][1], description["vpnha_monitors"][0]):
        host["zone"] = "eu-central-1x"
    person.play("deploy", description).refused_with(
        "vpnha_zones: eu-central-1 has no zone eu-central-1x for this account; it has eu-central-1a, eu-central-1b, "
        "eu-central-1c."
    )
    assert everything(ec2) == before


def test_hosts_that_nobody_could_log_in_to(
    person: Person, description: Description, account: Callable[..., Any]
) -> None:
    ec2 = account()
    before = everything(ec2)
    person.play("deploy", {**description, "vpnha_key_name": "mispelt"}).refused_with(
        "vpnha_key_name: eu-central-1 has no key pair mispelt, and gw-a, gw-b, mon-a, app-a would be launched with it; "
        "correct the name, or give vpnha_public_key to import it."
    )
    assert everything(ec2) == before
    told = person.play("deploy", description, "--check")
    assert "gw-a, gw-b, mon-a, app-a will be launched without a key pair" in " ".join(told.output.split())


def test_a_gateway_in_another_vpc_is_told_before_a_new_vpc_is_made(
    person: Person, description: Description, account: Callable[..., Any]
) -> None:
    ec2 = account()
    description["vpnha_deployment"] = "new"
    other = gateway_of_another_vpc(ec2, "new")
    before = everything(ec2)
    person.play("deploy", description).refused_with(
        f"is in {other}, not in a new one; tear that down first, or give this deployment another name."
    )
    assert everything(ec2) == before


def test_what_stands_in_the_way_in_an_existing_vpc(
    person: Person, description: Description, account: Callable[..., Any]
) -> None:
    """A gateway in another VPC, and a route table that subnets of two zones share without ``vpnha:zone``."""
    ec2 = account()
    description["vpnha_deployment"] = "adopted"
    vpc, subnets = make_vpc(ec2, "10.20")
    description["vpnha_vpc"] = {"id": vpc}
    other = gateway_of_another_vpc(ec2, "adopted")
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    for subnet in ("16a", "17b"):
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[subnet])
    ec2.create_tags(Resources=[table], Tags=tagged(vpnha_deployment="adopted", vpnha_table="app"))
    before = everything(ec2)
    person.play("deploy", description).refused_with(
        "2 things stand in the way:",
        f"is in {other}, not in {vpc}; tear that down first, or give this deployment another name.",
        f"{table} is shared by subnets of eu-central-1a and eu-central-1b; tag it vpnha:zone with the zone whose home "
        "gateway it shall use.",
    )
    assert everything(ec2) == before


def test_a_gateway_that_the_deployment_has_not(
    person: Person, description: Description, account: Callable[..., Any]
) -> None:
    account()
    person.play("failover", description).refused_with("Say where to with -e vpnha_to=GATEWAY;")
    person.play("failover", description, "-e", "vpnha_to=gw-x").refused_with(
        "gw-x is no gateway of the deployment; it has gw-a, gw-b."
    )
