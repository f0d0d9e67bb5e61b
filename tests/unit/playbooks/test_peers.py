# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook peers tells those who look after the far ends, while EC2 has the Elastic IP of one gateway only."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.unit.plugins.module_utils.certificates import Authority
from tests.unit.plugins.module_utils.test_description import KEY, PSK

from .conftest import Person
from .test_there_before import tagged


def elastic_ip(ec2: Any, deployment: str, gateway: str) -> str:
    """The public address of a gateway's interface, which is made."""
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/24", AvailabilityZone="eu-central-1a")["Subnet"]
    eni = ec2.create_network_interface(
        SubnetId=subnet["SubnetId"], PrivateIpAddress="10.20.0.10",
        TagSpecifications=tagged("network-interface", vpnha_deployment=deployment, Name=gateway),
    )["NetworkInterface"]["NetworkInterfaceId"]  # fmt: skip
    made = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=made["AllocationId"], NetworkInterfaceId=eni)
    return str(made["PublicIp"])


def test_what_the_far_ends_must_be_set_to(
    person: Person, account: Callable[..., Any], description: dict[str, Any]
) -> None:
    address = elastic_ip(account(), "shown", "gw-a")
    authority = Authority(datetime.now(UTC))
    certificate, key = authority.issue("gw-b.shown")
    description["vpnha_sites"][1]["tunnels"][1] |= {"auth": "certificate", "psk": "", "peer_id": "cgw.example"}
    description["vpnha_gateways"][1] |= {"certificate": certificate, "private_key": key}
    description |= {"vpnha_deployment": "shown", "vpnha_peer_ca": authority.pem}
    description["vpnha_gateway_bfd_site"] = {"interval_ms": 100, "multiplier": 5}
    (person.directory / "host_vars").mkdir()
    (person.directory / "host_vars" / "gw-b.yml").write_text("vpnha_gateway_ike_proposals: [aes256-sha256-modp2048]\n")

    told = person.play("peers", description, "-e", f"vpnha_peers_file={person.directory}/peers.json")
    assert told.code == 0
    text = " ".join(told.output.split())
    assert f"own 198.51.100.11; remote {address}, an Elastic IP" in text
    assert "own 198.51.100.22; remote EC2 has no Elastic IP for gw-b yet: deploy makes it" in text
    assert "authentication: certificate; IKE version 2; started by the gateway" in text
    for secret in (PSK, KEY, *key.splitlines()[1:-1]):
        assert secret not in told.output

    found = {each["tunnel"]: each for each in json.loads((person.directory / "peers.json").read_text())}
    assert list(found) == ["hq-gw-a", "hq-gw-b", "plant-gw-a", "plant-gw-b"]
    first, last = found["hq-gw-a"], found["plant-gw-b"]
    assert (first["gateway_address"], first["gateway_address_kind"]) == (address, "elastic_ip")
    assert (last["gateway_address"], last["gateway_address_kind"]) == ("", "none_yet")
    assert (first["authentication"], last["authentication"]) == ("psk", "certificate")
    assert (last["peer_id"], last["gateway_id"]) == ("cgw.example", "gw-b.shown")
    assert last["ike_proposals"] == ["aes256-sha256-modp2048"], "a variable of that gateway alone"
    assert (first["bfd_interval_ms"], first["bfd_multiplier"]) == (100, 5)
