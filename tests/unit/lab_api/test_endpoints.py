# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VPC endpoints of the lab's EC2: one test for each thing in which moto is unlike EC2."""

from __future__ import annotations

from typing import Any

import pytest

EC2, DYNAMODB = "com.amazonaws.eu-central-1.ec2", "com.amazonaws.eu-central-1.dynamodb"


@pytest.fixture
def interface(vpc: Any) -> dict[str, Any]:
    vpc.ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": True})
    made = vpc.ec2.create_vpc_endpoint(
        VpcId=vpc.id, VpcEndpointType="Interface", ServiceName=EC2, SubnetIds=vpc.subnets[:1], PrivateDnsEnabled=True
    )
    return dict(made["VpcEndpoint"])


def listed(vpc: Any) -> list[dict[str, Any]]:
    return list(vpc.ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc.id]}])["VpcEndpoints"])


def test_it_comes_after_a_while_with_an_interface_in_its_subnet(vpc: Any, interface: dict[str, Any]) -> None:
    assert interface["State"] == "pending"
    assert [listed(vpc)[0]["State"] for _ in range(2)] == ["pending", "available"]
    [eni] = interface["NetworkInterfaceIds"]
    assert vpc.interface(eni)["SubnetId"] == vpc.subnets[0]
    assert vpc.address(eni).startswith("10.20.0.")
    vpc.ec2.modify_vpc_endpoint(
        VpcEndpointId=interface["VpcEndpointId"], AddSubnetIds=vpc.subnets[1:], RemoveSubnetIds=vpc.subnets[:1]
    )
    [one] = listed(vpc)
    assert one["SubnetIds"] == vpc.subnets[1:]
    [other] = one["NetworkInterfaceIds"]
    assert other != eni and vpc.interface(other)["SubnetId"] == vpc.subnets[1]


def test_it_goes_after_a_while_and_keeps_its_subnet_until_then(
    vpc: Any, refused: Any, interface: dict[str, Any]
) -> None:
    assert vpc.ec2.delete_vpc_endpoints(VpcEndpointIds=[interface["VpcEndpointId"]])["Unsuccessful"] == []
    assert refused(vpc.ec2.delete_subnet, SubnetId=vpc.subnets[0]) == "DependencyViolation"
    assert [each["State"] for each in listed(vpc)] == ["deleting"]
    assert listed(vpc) == []
    vpc.ec2.delete_subnet(SubnetId=vpc.subnets[0])
    [failed] = vpc.ec2.delete_vpc_endpoints(VpcEndpointIds=[interface["VpcEndpointId"]])["Unsuccessful"]
    assert failed["Error"]["Code"] == "InvalidVpcEndpointId.NotFound"


def test_two_with_the_same_name_two_in_a_zone_and_unknown_services_are_refused(
    vpc: Any, refused: Any, interface: dict[str, Any]
) -> None:
    make = vpc.ec2.create_vpc_endpoint
    given = {"VpcId": vpc.id, "VpcEndpointType": "Interface", "SubnetIds": vpc.subnets[:1]}
    assert interface["PrivateDnsEnabled"] is True
    assert refused(make, **given, ServiceName=EC2, PrivateDnsEnabled=True) == "InvalidParameter"
    assert refused(make, **given, ServiceName=f"{EC2}x") == "InvalidServiceName"
    beside = vpc.ec2.create_subnet(VpcId=vpc.id, CidrBlock="10.20.9.0/24", AvailabilityZone="eu-central-1a")
    two = [vpc.subnets[0], beside["Subnet"]["SubnetId"]]
    given |= {"SubnetIds": two, "PrivateDnsEnabled": False}
    assert refused(make, **given, ServiceName=EC2) == "DuplicateSubnetsInSameZone"
    assert len(listed(vpc)) == 1


def test_private_dns_needs_the_vpcs_names(vpc: Any, refused: Any) -> None:
    given = {"VpcId": vpc.id, "VpcEndpointType": "Interface", "ServiceName": EC2, "SubnetIds": vpc.subnets[:1]}
    assert refused(vpc.ec2.create_vpc_endpoint, **given, PrivateDnsEnabled=True) == "InvalidParameter"
    assert listed(vpc) == []
    made = vpc.ec2.create_vpc_endpoint(**given, PrivateDnsEnabled=False)["VpcEndpoint"]
    later = {"VpcEndpointId": made["VpcEndpointId"], "PrivateDnsEnabled": True}
    assert refused(vpc.ec2.modify_vpc_endpoint, **later) == "InvalidParameter"
    vpc.ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": True})
    vpc.ec2.modify_vpc_endpoint(**later)
    assert listed(vpc)[0]["PrivateDnsEnabled"] is True


def test_a_gateway_endpoint_is_a_route_in_each_of_its_tables(vpc: Any, refused: Any) -> None:
    given = {"VpcId": vpc.id, "VpcEndpointType": "Gateway", "ServiceName": DYNAMODB}
    made = vpc.ec2.create_vpc_endpoint(**given)["VpcEndpoint"]["VpcEndpointId"]
    assert vpc.routes() == {}
    vpc.ec2.modify_vpc_endpoint(VpcEndpointId=made, AddRouteTableIds=[vpc.table])
    [route] = vpc.routes().values()
    assert (route["GatewayId"], route["State"]) == (made, "active")
    assert refused(vpc.ec2.create_vpc_endpoint, **given, RouteTableIds=[vpc.table]) == "RouteAlreadyExists"
    assert len(listed(vpc)) == 1
    vpc.ec2.modify_vpc_endpoint(VpcEndpointId=made, RemoveRouteTableIds=[vpc.table])
    assert vpc.routes() == {}
    vpc.ec2.modify_vpc_endpoint(VpcEndpointId=made, AddRouteTableIds=[vpc.table])
    vpc.ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    assert vpc.routes() == {}
