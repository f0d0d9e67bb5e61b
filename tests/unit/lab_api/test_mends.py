# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each place where moto is unlike EC2 and a test would lie: one test that fails without its mend."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

SITE = "192.168.10.0/24"


def swap(vpc: Any, eni: str, **more: Any) -> None:
    vpc.ec2.replace_route(RouteTableId=vpc.table, DestinationCidrBlock=SITE, NetworkInterfaceId=eni, **more)


def create(vpc: Any, **target: Any) -> None:
    vpc.ec2.create_route(RouteTableId=vpc.table, DestinationCidrBlock=SITE, **target)


# --- Calls in general -------------------------------------------------------------------------------------


def test_dry_run_changes_nothing(vpc: Any, refused: Any) -> None:
    old, new = vpc.eni(), vpc.eni()
    create(vpc, NetworkInterfaceId=old)
    assert refused(swap, vpc=vpc, eni=new, DryRun=True) == "DryRunOperation"
    assert vpc.routes()[SITE]["NetworkInterfaceId"] == old


def test_an_unknown_action_is_an_error_of_ec2(ec2: Any, refused: Any) -> None:
    assert refused(ec2.describe_local_gateways) == "Unsupported"


def test_a_filter_that_is_not_there_is_an_error_of_ec2(vpc: Any, refused: Any) -> None:
    vpc.eni()
    filters = [{"Name": "no-such-thing", "Values": ["x"]}]
    assert refused(vpc.ec2.describe_network_interfaces, Filters=filters) == "Unsupported"


def test_a_client_token_makes_a_call_once(vpc: Any, refused: Any) -> None:
    once = {"SubnetId": vpc.subnets[1], "ClientToken": vpc.id}
    first = vpc.ec2.create_network_interface(**once)["NetworkInterface"]["NetworkInterfaceId"]
    again = vpc.ec2.create_network_interface(**once)["NetworkInterface"]["NetworkInterfaceId"]
    assert first == again
    other = {**once, "SubnetId": vpc.subnets[0]}
    assert refused(vpc.ec2.create_network_interface, **other) == "IdempotentParameterMismatch"


def test_a_failing_data_plane_is_an_internal_error(ec2: Any, refused: Any) -> None:
    try:
        assert refused(ec2.create_vpc, CidrBlock="172.29.0.0/16") == "InternalError"
    finally:
        broken = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["172.29.0.0/16"]}])["Vpcs"][0]["VpcId"]
        ec2.delete_vpc(VpcId=broken)  # and the next call is fine again


# --- Routes -----------------------------------------------------------------------------------------------


def test_a_route_to_what_does_not_run_is_a_blackhole(vpc: Any) -> None:
    eni = vpc.eni()
    create(vpc, NetworkInterfaceId=eni)
    assert vpc.routes()[SITE]["State"] == "blackhole"
    instance = vpc.run_with(eni)
    vpc.wait(instance, "running")
    assert vpc.routes()[SITE]["State"] == "active"
    vpc.ec2.stop_instances(InstanceIds=[instance])
    assert vpc.routes()[SITE]["State"] == "blackhole"
    vpc.wait(instance, "stopped")
    vpc.ec2.terminate_instances(InstanceIds=[instance])
    vpc.wait(instance, "terminated")
    vpc.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert vpc.routes()[SITE]["State"] == "blackhole"


def test_a_route_shows_its_instance_and_its_interface(vpc: Any) -> None:
    eni = vpc.eni()
    instance = vpc.run_with(eni)
    create(vpc, InstanceId=instance)
    by_instance = vpc.routes()[SITE]
    swap(vpc, eni)
    by_interface = vpc.routes()[SITE]
    for route in (by_instance, by_interface):
        assert (route["InstanceId"], route["NetworkInterfaceId"]) == (instance, eni)


def test_an_existing_route_is_not_created_again(vpc: Any, refused: Any) -> None:
    old, new = vpc.eni(), vpc.eni()
    create(vpc, NetworkInterfaceId=old)
    assert refused(create, vpc=vpc, NetworkInterfaceId=new) == "RouteAlreadyExists"
    assert vpc.routes()[SITE]["NetworkInterfaceId"] == old


def test_a_failed_replacement_changes_nothing(vpc: Any, refused: Any) -> None:
    gateway = vpc.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    vpc.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc.id)
    create(vpc, GatewayId=gateway)
    assert refused(swap, vpc=vpc, eni="eni-0123456789abcdef0") == "InvalidNetworkInterfaceID.NotFound"
    assert vpc.routes()[SITE]["GatewayId"] == gateway


def test_host_bits_of_a_destination_are_dropped(vpc: Any, refused: Any) -> None:
    eni = vpc.eni()
    vpc.ec2.create_route(RouteTableId=vpc.table, DestinationCidrBlock="192.168.10.7/24", NetworkInterfaceId=eni)
    assert list(vpc.routes()) == [SITE]
    wrong = {"RouteTableId": vpc.table, "DestinationCidrBlock": "192.168.10.0", "NetworkInterfaceId": eni}
    assert refused(vpc.ec2.create_route, **{**wrong, "DestinationCidrBlock": "no"}) == "InvalidParameterValue"


def test_a_route_of_ipv6_is_kept_as_ec2_writes_it_and_goes_where_it_is_told(vpc: Any, refused: Any) -> None:
    old, new = vpc.eni(), vpc.eni()
    way = {"RouteTableId": vpc.table, "DestinationIpv6CidrBlock": "2001:DB8:A10:0::7/48"}
    vpc.ec2.create_route(**way, NetworkInterfaceId=old)
    assert refused(vpc.ec2.create_route, **way, NetworkInterfaceId=new) == "RouteAlreadyExists"
    vpc.ec2.replace_route(**way, NetworkInterfaceId=new)
    [table] = vpc.ec2.describe_route_tables(RouteTableIds=[vpc.table])["RouteTables"]
    [route] = [each for each in table["Routes"] if "DestinationIpv6CidrBlock" in each]
    assert (route["DestinationIpv6CidrBlock"], route["NetworkInterfaceId"]) == ("2001:db8:a10::/48", new)
    wrong = {**way, "DestinationIpv6CidrBlock": "2001:db8::/129"}
    assert refused(vpc.ec2.create_route, **wrong, NetworkInterfaceId=old) == "InvalidParameterValue"


def test_a_vpc_gets_a_range_of_ipv6_that_is_for_documentation_and_a_subnet_says_what_it_has(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.66.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    [found] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
    network = ipaddress.IPv6Network(found["Ipv6CidrBlock"])
    assert network.subnet_of(ipaddress.IPv6Network("2001:db8::/32")) and network.prefixlen == 56
    wanted = f"{network[0]}/64"
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.66.0.0/24", Ipv6CidrBlock=wanted)["Subnet"]["SubnetId"]
    named = [{"Name": "ipv6-cidr-block-association.ipv6-cidr-block", "Values": [wanted]}]
    [subnet] = ec2.describe_subnets(Filters=named)["Subnets"]
    [has] = subnet["Ipv6CidrBlockAssociationSet"]
    assert (subnet["SubnetId"], has["Ipv6CidrBlock"], has["Ipv6CidrBlockState"]["State"]) == (
        made,
        wanted,
        "associated",
    )


def test_a_prefix_list_route_keeps_its_destination(vpc: Any, refused: Any) -> None:
    made = vpc.ec2.create_managed_prefix_list(
        PrefixListName="hq", MaxEntries=2, AddressFamily="IPv4", Entries=[{"Cidr": SITE}]
    )
    listed = made["PrefixList"]["PrefixListId"]
    old, new = vpc.eni(), vpc.eni()
    way = {"RouteTableId": vpc.table, "DestinationPrefixListId": listed}
    vpc.ec2.create_route(NetworkInterfaceId=old, **way)
    vpc.ec2.replace_route(NetworkInterfaceId=new, **way)
    assert vpc.routes()[listed]["NetworkInterfaceId"] == new
    assert refused(vpc.ec2.create_route, NetworkInterfaceId=old, **way) == "RouteAlreadyExists"
    vpc.ec2.delete_route(**way)
    assert vpc.routes() == {}


def test_an_associated_subnet_is_not_associated_elsewhere(vpc: Any, refused: Any) -> None:
    other = vpc.ec2.create_route_table(VpcId=vpc.id)["RouteTable"]["RouteTableId"]
    vpc.ec2.associate_route_table(RouteTableId=vpc.table, SubnetId=vpc.subnets[0])
    code = refused(vpc.ec2.associate_route_table, RouteTableId=other, SubnetId=vpc.subnets[0])
    assert code == "Resource.AlreadyAssociated"


def test_tables_are_found_by_state_and_by_any_of_their_values(vpc: Any) -> None:
    for subnet in vpc.subnets:
        vpc.ec2.associate_route_table(RouteTableId=vpc.table, SubnetId=subnet)
    create(vpc, NetworkInterfaceId=vpc.eni())

    def found(**filters: list[str]) -> list[str]:
        listed = [{"Name": name.replace("__", ".").replace("_", "-"), "Values": each} for name, each in filters.items()]
        tables = vpc.ec2.describe_route_tables(Filters=[*listed, {"Name": "vpc-id", "Values": [vpc.id]}])["RouteTables"]
        return [table["RouteTableId"] for table in tables]

    assert found(route__state=["blackhole"]) == [vpc.table]
    assert found(association__subnet_id=[vpc.subnets[0], "subnet-00000000"]) == [vpc.table]
    assert found(association__subnet_id=["subnet-00000000"]) == []


def test_tables_come_in_pages(vpc: Any, refused: Any) -> None:
    made = {vpc.ec2.create_route_table(VpcId=vpc.id)["RouteTable"]["RouteTableId"] for _ in range(11)}
    asked = {"Filters": [{"Name": "route-table-id", "Values": sorted(made)}]}
    pages = list(vpc.ec2.get_paginator("describe_route_tables").paginate(**asked, PaginationConfig={"PageSize": 5}))
    assert [len(page["RouteTables"]) for page in pages] == [5, 5, 1]
    assert {table["RouteTableId"] for page in pages for table in page["RouteTables"]} == made
    assert len(vpc.ec2.describe_route_tables(**asked)["RouteTables"]) == 11
    assert refused(vpc.ec2.describe_route_tables, **asked, MaxResults=101) == "InvalidParameterValue"


def test_stale_reads_show_either_state_for_a_while(vpc: Any, settings: Any) -> None:
    old, new = vpc.eni(), vpc.eni()
    create(vpc, NetworkInterfaceId=old)
    settings(stale_reads=60)
    swap(vpc, new)
    seen = {vpc.routes()[SITE]["NetworkInterfaceId"] for _ in range(60)}
    assert seen == {old, new}
    settings(stale_reads=0)
    assert {vpc.routes()[SITE]["NetworkInterfaceId"] for _ in range(20)} == {new}


# --- Addresses and interfaces -----------------------------------------------------------------------------


def test_private_addresses_are_the_lowest_free(vpc: Any, refused: Any) -> None:
    enis = [vpc.eni(subnet=0) for _ in range(11)]  # all of a /28
    assert [vpc.address(eni) for eni in enis] == [f"10.20.0.{number}" for number in range(4, 15)]
    assert refused(vpc.ec2.create_network_interface, SubnetId=vpc.subnets[0]) == "InsufficientFreeAddressesInSubnet"
    vpc.ec2.delete_network_interface(NetworkInterfaceId=enis[3])
    instance = vpc.run(SubnetId=vpc.subnets[0])
    assert vpc.instance(instance)["PrivateIpAddress"] == "10.20.0.7"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.20.1.3", "InvalidParameterValue"),
        ("10.20.1.255", "InvalidParameterValue"),
        ("10.20.2.10", "InvalidParameterValue"),
        ("10.20.1.50", "InvalidIPAddress.InUse"),
    ],
)
def test_an_address_that_cannot_be_had_is_refused(vpc: Any, refused: Any, address: str, code: str) -> None:
    vpc.eni("10.20.1.50")
    asked = {"SubnetId": vpc.subnets[1], "PrivateIpAddress": address}
    assert refused(vpc.ec2.create_network_interface, **asked) == code


def test_elastic_ips_come_from_the_pool_and_are_released_last(vpc: Any, refused: Any) -> None:
    specification = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "Name", "Value": vpc.id}]}]
    address = vpc.ec2.allocate_address(Domain="vpc", TagSpecifications=specification)
    assert address["PublicIp"].startswith("203.0.113.")
    tags = vpc.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [address["AllocationId"]]}])["Tags"]
    assert tags[0]["ResourceType"] == "elastic-ip"
    eni = vpc.eni()
    vpc.ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=eni)
    assert refused(vpc.ec2.release_address, AllocationId=address["AllocationId"]) == "InvalidIPAddress.InUse"


def test_interfaces_are_found_by_their_attachment(vpc: Any) -> None:
    free, held = vpc.eni(), vpc.eni()
    vpc.run_with(held)

    def found(status: str) -> list[str]:
        filters = [{"Name": "attachment.status", "Values": [status]}, {"Name": "vpc-id", "Values": [vpc.id]}]
        enis = vpc.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return [eni["NetworkInterfaceId"] for eni in enis]

    assert (found("attached"), found("detached")) == ([held], [free])


def test_an_interface_is_given_once_and_deleted_only_when_free(vpc: Any, refused: Any) -> None:
    eni = vpc.eni()
    instance = vpc.run_with(eni)
    other = vpc.run(SubnetId=vpc.subnets[1])
    assert refused(vpc.run_with, eni=eni) == "InvalidNetworkInterface.InUse"
    attach = {"NetworkInterfaceId": eni, "InstanceId": other, "DeviceIndex": 1}
    assert refused(vpc.ec2.attach_network_interface, **attach) == "InvalidNetworkInterface.InUse"
    assert refused(vpc.ec2.delete_network_interface, NetworkInterfaceId=eni) == "InvalidParameterValue"
    assert refused(vpc.ec2.delete_subnet, SubnetId=vpc.subnets[1]) == "DependencyViolation"
    assert vpc.interface(eni)["Attachment"]["InstanceId"] == instance


def test_terminating_frees_what_was_given_and_deletes_what_was_made(vpc: Any, refused: Any) -> None:
    given = vpc.eni("10.20.1.10")
    first, second = vpc.run_with(given), vpc.run(SubnetId=vpc.subnets[1])
    made = vpc.instance(second)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    vpc.ec2.terminate_instances(InstanceIds=[first, second])
    for instance in (first, second):
        vpc.wait(instance, "terminated")
    assert vpc.interface(given)["Status"] == "available"
    assert "Attachment" not in vpc.interface(given)
    code = refused(vpc.ec2.describe_network_interfaces, NetworkInterfaceIds=[made])
    assert code == "InvalidNetworkInterfaceID.NotFound"
    assert vpc.instance(vpc.run_with(given))["PrivateIpAddress"] == "10.20.1.10"


# --- Instances --------------------------------------------------------------------------------------------


def test_an_instance_is_in_the_zone_of_the_interface_it_got(vpc: Any) -> None:
    assert vpc.instance(vpc.run_with(vpc.eni(subnet=1)))["Placement"]["AvailabilityZone"] == "eu-central-1b"


def test_instances_are_found_by_their_interface(vpc: Any) -> None:
    eni = vpc.eni()
    instance = vpc.run_with(eni)
    filters = [{"Name": "network-interface.network-interface-id", "Values": [eni]}]
    found = vpc.ec2.describe_instances(Filters=filters)["Reservations"]
    assert [each["Instances"][0]["InstanceId"] for each in found] == [instance]


def test_what_does_not_exist_cannot_be_launched(vpc: Any, refused: Any) -> None:
    assert refused(vpc.run, SubnetId=vpc.subnets[1], ImageId="ami-00000000") == "InvalidAMIID.NotFound"
    assert refused(vpc.run, SubnetId=vpc.subnets[1], KeyName="nobody's") == "InvalidKeyPair.NotFound"


def test_states_follow_the_host(vpc: Any, refused: Any) -> None:
    instance = vpc.run(SubnetId=vpc.subnets[1])
    vpc.wait(instance, "running")
    assert refused(vpc.ec2.reboot_instances, InstanceIds=["i-0123456789abcdef0"]) == "InvalidInstanceID.NotFound"
    change = vpc.ec2.stop_instances(InstanceIds=[instance], Force=True, SkipOsShutdown=True)["StoppingInstances"][0]
    assert change["PreviousState"]["Name"] == "running"
    vpc.wait(instance, "stopped")
    assert vpc.ec2.start_instances(InstanceIds=[instance])["StartingInstances"][0]["CurrentState"]["Name"] == "pending"
    vpc.wait(instance, "running")
    vpc.ec2.terminate_instances(InstanceIds=[instance])
    vpc.wait(instance, "terminated")
    assert refused(vpc.ec2.start_instances, InstanceIds=[instance]) == "IncorrectInstanceState"


def test_status_checks_and_their_filters(vpc: Any, settings: Any) -> None:
    instance = vpc.run(SubnetId=vpc.subnets[1])
    vpc.wait(instance, "running")

    def impaired(which: str) -> list[str]:
        filters = [{"Name": f"{which}-status.status", "Values": ["impaired"]}]
        found = vpc.ec2.describe_instance_status(Filters=filters)["InstanceStatuses"]
        return [each["InstanceId"] for each in found]

    assert instance not in impaired("system")
    settings(impaired={instance: "system"})
    assert instance in impaired("system")
    assert instance not in impaired("instance")


def test_groups_of_an_instance_are_those_of_its_interface(vpc: Any, refused: Any) -> None:
    one, two = (
        vpc.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc.id)["GroupId"] for name in "ab"
    )
    instance = vpc.run(SubnetId=vpc.subnets[1], SecurityGroupIds=[one])
    eni = vpc.instance(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    vpc.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=[two])
    assert [group["GroupId"] for group in vpc.instance(instance)["SecurityGroups"]] == [two]
    assert refused(vpc.ec2.delete_security_group, GroupId=two) == "DependencyViolation"
    vpc.ec2.delete_security_group(GroupId=one)


def test_the_check_of_an_instance_is_that_of_its_interface(vpc: Any) -> None:
    eni = vpc.eni()
    instance = vpc.run_with(eni)
    vpc.ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    assert vpc.interface(eni)["SourceDestCheck"] is False
    vpc.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": True})
    assert vpc.instance(instance)["SourceDestCheck"] is True


def test_security_groups_take_protocols_without_ports(vpc: Any) -> None:
    group = vpc.ec2.create_security_group(GroupName="gw", Description="gw", VpcId=vpc.id)["GroupId"]
    ranges = [{"CidrIp": "198.51.100.0/24"}]
    permissions = [{"IpProtocol": "50", "IpRanges": ranges}, {"IpProtocol": "-1", "IpRanges": ranges}]
    vpc.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    found = vpc.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert sorted(each["IpProtocol"] for each in found) == ["-1", "50"]
    assert not any("FromPort" in each for each in found)


def test_a_launch_template_keeps_its_own_tags_to_itself(vpc: Any) -> None:
    vpc.ec2.create_launch_template(
        LaunchTemplateName=vpc.id,
        LaunchTemplateData={"ImageId": "ami-vpnha0base"},
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    versions = vpc.ec2.describe_launch_template_versions(LaunchTemplateName=vpc.id)["LaunchTemplateVersions"]
    assert versions[0]["LaunchTemplateData"] == {"ImageId": "ami-vpnha0base"}
    template = vpc.ec2.describe_launch_templates(LaunchTemplateNames=[vpc.id])["LaunchTemplates"][0]
    assert template["Tags"] == [{"Key": "a", "Value": "b"}]


def test_a_table_of_dynamodb_has_an_id_and_another_one_when_it_is_made_again(client: Any, vpc: Any) -> None:
    dynamodb, name = client("dynamodb"), f"{vpc.id}-monitors"

    def make() -> str:
        made = dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "item", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "item", "AttributeType": "S"}],
        )
        assert dynamodb.describe_table(TableName=name)["Table"]["TableId"] == made["TableDescription"]["TableId"]
        return str(made["TableDescription"]["TableId"])

    first = make()
    dynamodb.delete_table(TableName=name)
    assert make() != first
