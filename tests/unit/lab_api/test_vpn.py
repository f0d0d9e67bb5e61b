# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed VPN as EC2 has it: gateways, connections, tunnels, routes to them. No packets here."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import managed_aws, siteboot
from lab.names import Names

ROUTE = "192.168.10.0/24"


def tags(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def tunnel(inside: str, key: str = "a.secret_key") -> dict[str, Any]:
    return {"TunnelInsideCidr": inside, "PreSharedKey": key}


@dataclass
class Vpn:
    """A connection by static routes, on a gateway that is attached to the test's VPC."""

    ec2: Any
    vpc: Any
    gateway: str
    customer: str
    id: str

    def show(self) -> dict[str, Any]:
        """What EC2 says of the connection."""
        return dict(self.ec2.describe_vpn_connections(VpnConnectionIds=[self.id])["VpnConnections"][0])

    def found(self, **wanted: str) -> list[str]:
        """The connections that fit filters; underscores stand for dashes."""
        filters = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in wanted.items()]
        return [
            each["VpnConnectionId"] for each in self.ec2.describe_vpn_connections(Filters=filters)["VpnConnections"]
        ]


@pytest.fixture
def vpn(vpc: Any) -> Vpn:
    ec2, number = vpc.ec2, int(vpc.id[-4:], 16)
    gateway = ec2.create_vpn_gateway(Type="ipsec.1", TagSpecifications=tags("vpn-gateway", vpc.id))["VpnGateway"]
    ec2.attach_vpn_gateway(VpnGatewayId=gateway["VpnGatewayId"], VpcId=vpc.id)
    address = f"198.51.{number // 256}.{number % 256}"
    customer = ec2.create_customer_gateway(Type="ipsec.1", BgpAsn=65010, IpAddress=address)["CustomerGateway"]
    made = ec2.create_vpn_connection(
        Type="ipsec.1",
        CustomerGatewayId=customer["CustomerGatewayId"],
        VpnGatewayId=gateway["VpnGatewayId"],
        Options={"StaticRoutesOnly": True, "TunnelOptions": [tunnel("169.254.20.0/30"), {}]},
        TagSpecifications=tags("vpn-connection", vpc.id),
    )["VpnConnection"]
    return Vpn(ec2, vpc, gateway["VpnGatewayId"], customer["CustomerGatewayId"], made["VpnConnectionId"])


def test_a_connection_has_two_tunnels_with_what_was_asked_for(vpn: Vpn) -> None:
    shown = vpn.show()
    first, second = shown["Options"]["TunnelOptions"]
    assert (first["TunnelInsideCidr"], first["PreSharedKey"]) == ("169.254.20.0/30", "a.secret_key")
    assert second["TunnelInsideCidr"].endswith("/30") and len(second["PreSharedKey"]) == 32
    assert first["OutsideIpAddress"] != second["OutsideIpAddress"]
    assert shown["Options"]["StaticRoutesOnly"] is True
    assert (shown["State"], shown["Category"]) == ("available", "VPN")
    telemetry = shown["VgwTelemetry"]
    assert [each["OutsideIpAddress"] for each in telemetry] == [first["OutsideIpAddress"], second["OutsideIpAddress"]]
    assert [each["Status"] for each in telemetry] == ["DOWN", "DOWN"]
    assert telemetry[0]["LastStatusChange"].year > 2000


def test_the_customers_configuration_tells_all_that_it_needs(vpn: Vpn) -> None:
    shown = vpn.show()
    root = ET.fromstring(shown["CustomerGatewayConfiguration"])
    assert root.get("id") == vpn.id
    ends = root.findall("ipsec_tunnel")
    options = shown["Options"]["TunnelOptions"]
    assert [each.findtext("ike/pre_shared_key") for each in ends] == [each["PreSharedKey"] for each in options]
    inside = "tunnel_inside_address/ip_address"
    assert ends[0].findtext(f"vpn_gateway/{inside}") == "169.254.20.1"
    assert ends[0].findtext(f"customer_gateway/{inside}") == "169.254.20.2"
    outside = "vpn_gateway/tunnel_outside_address/ip_address"
    assert [each.findtext(outside) for each in ends] == [each["OutsideIpAddress"] for each in options]


def test_a_connection_is_found_by_what_it_belongs_to(vpn: Vpn) -> None:
    assert vpn.found(vpn_gateway_id=vpn.gateway) == [vpn.id]
    assert vpn.found(customer_gateway_id=vpn.customer) == [vpn.id]
    assert vpn.found(**{"tag:Name": vpn.vpc.id}, state="available") == [vpn.id]
    assert vpn.found(vpn_connection_id=vpn.id, type="ipsec.1") == [vpn.id]
    assert not vpn.found(**{"tag:Name": vpn.vpc.id}, state="deleted")
    gateways = vpn.ec2.describe_vpn_gateways(Filters=[{"Name": "tag:Name", "Values": [vpn.vpc.id]}])["VpnGateways"]
    assert [each["VpnGatewayId"] for each in gateways] == [vpn.gateway]
    assert gateways[0]["VpcAttachments"] == [{"VpcId": vpn.vpc.id, "State": "attached"}]
    assert gateways[0]["AmazonSideAsn"] == 64512
    vpn.ec2.create_tags(Resources=[vpn.customer], Tags=[{"Key": "of", "Value": vpn.vpc.id}])
    filters = [{"Name": "tag:of", "Values": [vpn.vpc.id]}]
    found = vpn.ec2.describe_customer_gateways(Filters=filters)["CustomerGateways"]
    assert [each["CustomerGatewayId"] for each in found] == [vpn.customer]


def test_a_customer_gateway_that_is_there_is_not_made_again(vpn: Vpn) -> None:
    known = vpn.ec2.describe_customer_gateways(CustomerGatewayIds=[vpn.customer])["CustomerGateways"][0]
    again = vpn.ec2.create_customer_gateway(Type="ipsec.1", BgpAsn=65010, IpAddress=known["IpAddress"])
    assert again["CustomerGateway"]["CustomerGatewayId"] == vpn.customer


@pytest.mark.parametrize(
    "options",
    [
        [tunnel("10.0.0.0/30")],
        [tunnel("169.254.20.0/29")],
        [tunnel("169.254.169.252/30")],
        [tunnel("169.254.21.0/30"), tunnel("169.254.21.0/30")],
        [tunnel("169.254.21.0/30", "short")],
        [tunnel("169.254.21.0/30", "0begins.with.zero")],
        [{"StartupAction": "add"}] * 3,
    ],
)
def test_tunnels_that_cannot_be_are_refused(vpn: Vpn, refused: Any, options: list[dict[str, Any]]) -> None:
    asked = {"Type": "ipsec.1", "CustomerGatewayId": vpn.customer, "VpnGatewayId": vpn.gateway}
    code = refused(vpn.ec2.create_vpn_connection, **asked, Options={"TunnelOptions": options})
    assert code == "InvalidParameterValue"
    assert vpn.found(vpn_gateway_id=vpn.gateway) == [vpn.id]


def test_static_routes_come_and_go(vpn: Vpn, refused: Any) -> None:
    route = {"VpnConnectionId": vpn.id, "DestinationCidrBlock": ROUTE}
    vpn.ec2.create_vpn_connection_route(**route)
    vpn.ec2.create_vpn_connection_route(**route)
    assert vpn.show()["Routes"] == [{"DestinationCidrBlock": ROUTE, "State": "available"}]
    assert vpn.found(**{"route.destination-cidr-block": ROUTE, "vpn-gateway-id": vpn.gateway}) == [vpn.id]
    vpn.ec2.delete_vpn_connection_route(**route)
    assert vpn.show()["Routes"] == []
    assert refused(vpn.ec2.delete_vpn_connection_route, **route) == "InvalidRoute.NotFound"


def test_a_tunnels_options_change_and_its_endpoint_is_replaced(vpn: Vpn, refused: Any) -> None:
    first, second = (each["OutsideIpAddress"] for each in vpn.show()["Options"]["TunnelOptions"])
    named = {"VpnConnectionId": vpn.id, "VpnTunnelOutsideIpAddress": first}
    changed = {"PreSharedKey": "another.key", "DPDTimeoutSeconds": 40, "StartupAction": "start"}
    vpn.ec2.modify_vpn_tunnel_options(**named, TunnelOptions=changed)
    options = {each["OutsideIpAddress"]: each for each in vpn.show()["Options"]["TunnelOptions"]}
    assert options[first]["PreSharedKey"] == "another.key"
    assert (options[first]["DpdTimeoutSeconds"], options[second]["DpdTimeoutSeconds"]) == (40, 30)
    assert options[first]["StartupAction"] == "start"
    assert vpn.ec2.replace_vpn_tunnel(**named)["Return"] is True
    status = vpn.ec2.get_vpn_tunnel_replacement_status(**named)
    assert (status["VpnGatewayId"], status["VpnTunnelOutsideIpAddress"]) == (vpn.gateway, first)
    named["VpnTunnelOutsideIpAddress"] = "192.0.2.1"
    assert refused(vpn.ec2.replace_vpn_tunnel, **named) == "InvalidParameterValue"


def test_a_route_to_the_gateway_reads_blackhole_once_it_is_detached(vpn: Vpn, calls: Any) -> None:
    route = {"RouteTableId": vpn.vpc.table, "DestinationCidrBlock": ROUTE}
    eni = vpn.vpc.eni()
    vpn.ec2.create_route(**route, NetworkInterfaceId=eni)
    vpn.ec2.replace_route(**route, GatewayId=vpn.gateway)
    shown = vpn.vpc.routes()[ROUTE]
    assert (shown["GatewayId"], shown["State"]) == (vpn.gateway, "active")
    assert "NetworkInterfaceId" not in shown
    moved = next(call for call in calls() if call["action"] == "ReplaceRoute")
    assert (moved["before"], moved["after"]) == (eni, vpn.gateway)
    vpn.ec2.detach_vpn_gateway(VpnGatewayId=vpn.gateway, VpcId=vpn.vpc.id)
    assert vpn.vpc.routes()[ROUTE]["State"] == "blackhole"
    vpn.ec2.attach_vpn_gateway(VpnGatewayId=vpn.gateway, VpcId=vpn.vpc.id)
    assert vpn.vpc.routes()[ROUTE]["State"] == "active"


def test_a_route_leads_to_the_gateway_of_its_own_vpc_only(vpn: Vpn, refused: Any) -> None:
    route = {"RouteTableId": vpn.vpc.table, "DestinationCidrBlock": ROUTE, "GatewayId": vpn.gateway}
    vpn.ec2.detach_vpn_gateway(VpnGatewayId=vpn.gateway, VpcId=vpn.vpc.id)
    assert refused(vpn.ec2.create_route, **route) == "InvalidParameterValue"
    assert ROUTE not in vpn.vpc.routes()


def test_what_is_in_use_is_not_deleted(vpn: Vpn, refused: Any) -> None:
    ec2 = vpn.ec2
    assert refused(ec2.delete_vpn_gateway, VpnGatewayId=vpn.gateway) == "IncorrectState"
    ec2.detach_vpn_gateway(VpnGatewayId=vpn.gateway, VpcId=vpn.vpc.id)
    assert refused(ec2.delete_vpn_gateway, VpnGatewayId=vpn.gateway) == "IncorrectState"
    assert refused(ec2.delete_customer_gateway, CustomerGatewayId=vpn.customer) == "IncorrectState"
    ec2.delete_vpn_connection(VpnConnectionId=vpn.id)
    shown = vpn.show()
    assert (shown["State"], shown["VgwTelemetry"]) == ("deleted", [])
    assert "CustomerGatewayConfiguration" not in shown
    assert refused(ec2.delete_vpn_connection, VpnConnectionId=vpn.id) == "InvalidVpnConnectionID.NotFound"
    ec2.delete_vpn_gateway(VpnGatewayId=vpn.gateway)
    ec2.delete_customer_gateway(CustomerGatewayId=vpn.customer)
    code = refused(ec2.attach_vpn_gateway, VpnGatewayId=vpn.gateway, VpcId=vpn.vpc.id)
    assert code == "InvalidVpnGatewayID.NotFound"


def test_a_gateway_is_attached_to_one_vpc_and_a_vpc_has_one(vpn: Vpn, refused: Any) -> None:
    other = vpn.ec2.create_vpc(CidrBlock="10.21.0.0/16")["Vpc"]["VpcId"]
    code = refused(vpn.ec2.attach_vpn_gateway, VpnGatewayId=vpn.gateway, VpcId=other)
    assert code == "VpnGatewayAttachmentLimitExceeded"
    second = vpn.ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    assert refused(vpn.ec2.attach_vpn_gateway, VpnGatewayId=second, VpcId=vpn.vpc.id) == "InvalidVpcState"


def test_a_role_needs_permission_for_the_new_calls(vpn: Vpn, client: Any, refused: Any) -> None:
    import json

    iam, name = client("iam"), f"role-{vpn.id}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:ReplaceVpnTunnel"], "Resource": "*"}
    may["Condition"] = {"StringEquals": {"aws:ResourceTag/Name": vpn.vpc.id}}
    see = {"Effect": "Allow", "Action": "ec2:DescribeVpnConnections", "Resource": "*"}
    documents = [json.dumps({"Version": "2012-10-17", "Statement": each}) for each in ([trust], [may, see])]
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=documents[0])["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="vpn", PolicyDocument=documents[1])
    keys = client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    ec2 = client("ec2", keys)
    named = {"VpnConnectionId": vpn.id, "VpnTunnelOutsideIpAddress": vpn.show()["VgwTelemetry"][0]["OutsideIpAddress"]}
    assert ec2.describe_vpn_connections(VpnConnectionIds=[vpn.id])["VpnConnections"]
    assert ec2.replace_vpn_tunnel(**named)["Return"] is True
    vpn.ec2.delete_tags(Resources=[vpn.id], Tags=[{"Key": "Name"}])
    assert refused(ec2.replace_vpn_tunnel, **named) == "UnauthorizedOperation"
    assert refused(ec2.delete_vpn_connection, VpnConnectionId=vpn.id) == "UnauthorizedOperation"


def test_the_managed_vpn_that_lab_up_makes_is_made_once(
    url: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names("t1", tmp_path, int(url.rpartition(":")[2]) - 1)
    variables = siteboot.read_variables(siteboot.SHIPPED)
    with monkeypatch.context() as environment:
        environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # where nobody listens
        managed_aws.ensure(names, variables, ["hq"])
        managed_aws.ensure(names, variables, ["hq", "plant"])
    ours = {"Filters": [{"Name": "tag:Name", "Values": [managed_aws.NAME]}]}
    ec2 = client("ec2")
    [gateway] = ec2.describe_vpn_gateways(**ours)["VpnGateways"]
    [network] = ec2.describe_vpcs(**ours)["Vpcs"]
    assert [each["VpcId"] for each in gateway["VpcAttachments"]] == [network["VpcId"]]
    connections = ec2.describe_vpn_connections(**ours)["VpnConnections"]
    assert [[route["DestinationCidrBlock"] for route in each["Routes"]] for each in connections] == [
        ["192.168.10.0/24"],
        ["192.168.20.0/24"],
    ]
    assert {each["VpnGatewayId"] for each in connections} == {gateway["VpnGatewayId"]}
    assert len(ec2.describe_customer_gateways(**ours)["CustomerGateways"]) == 2
