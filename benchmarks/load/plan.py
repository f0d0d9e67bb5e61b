# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment of any number of gateways, and how it stands in EC2."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Gateway, Monitor, Site, Tunnel, Zone

if TYPE_CHECKING:
    from mypy_boto3_ec2.literals import ResourceTypeType
    from mypy_boto3_ec2.type_defs import TagSpecificationTypeDef

REGION = "eu-central-1"
KEY = "a key for this benchmark only, 40 characters"
TABLES_EACH = 10  # route tables per gateway, each with one route per site


def plan_of(gateways: int, sites: int = 2) -> Deployment:
    """A zone with a gateway for each number, and sites with a tunnel to each gateway."""
    zones = tuple(Zone(f"zone-{n:03d}", f"10.20.{n}.0/25", (f"10.20.{n}.128/25",)) for n in range(gateways))
    homes = tuple(Gateway(f"gw-{n:03d}", zone.name, f"10.20.{n}.10", (zone.name,)) for n, zone in enumerate(zones))
    remote = tuple(
        Site(f"site-{n:02d}", (f"192.168.{10 + n}.0/24",), (f"192.168.{10 + n}.10",), "bgp") for n in range(sites)
    )
    tunnels = []
    for number, site in enumerate(remote):
        for n, gateway in enumerate(homes):
            count = number * gateways + n
            net, low = f"169.254.{16 + count // 64}", 4 * (count % 64)
            tunnels.append(
                Tunnel(
                    f"{site.name}-{gateway.name}", site.name, gateway.name, f"198.51.{100 + number}.{n + 1}",
                    f"cgw-{site.name}-{n}", f"{gateway.name}.test", f"{net}.{low + 1}", f"{net}.{low + 2}",
                    f"{net}.{low}/30", 65010 + number, if_id=640 + count,
                )
            )  # fmt: skip
    monitors = (Monitor("mon-a", zones[0].name, "10.20.0.20"),)
    return Deployment("load", REGION, ("10.20.0.0/16",), 64512, zones, homes, remote, tuple(tunnels), monitors)


def build(plan: Deployment, tables: int, url: str) -> dict[str, str]:
    """The deployment's interfaces, instances and route tables at the endpoint; the gateways' ENIs by zone.

    Tables are the zones' in turn, and have a route to each site's prefix that leads home.
    """
    ec2 = boto3.client(
        "ec2", region_name=REGION, endpoint_url=url, aws_access_key_id="lab", aws_secret_access_key="lab",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=8, read_timeout=300),
    )  # fmt: skip
    vpc = ec2.create_vpc(CidrBlock=plan.vpc_cidrs[0])["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=plan.vpc_cidrs[0], AvailabilityZone=f"{REGION}a")["Subnet"]
    enis = {}
    for gateway in plan.gateways:
        given = tags("network-interface", deployment=plan.name, gateway=gateway.name)
        made = ec2.create_network_interface(
            SubnetId=subnet["SubnetId"], PrivateIpAddress=gateway.address, TagSpecifications=given
        )
        eni = enis[gateway.zone] = made["NetworkInterface"]["NetworkInterfaceId"]
        ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
        ec2.run_instances(
            ImageId="ami-vpnha0golden", MinCount=1, MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni}],
            TagSpecifications=tags("instance", deployment=plan.name, gateway=gateway.name, role="gateway"),
        )  # fmt: skip

    def table(number: int) -> None:
        zone = plan.zones[number % len(plan.zones)].name
        given = tags("route-table", deployment=plan.name, table="app", zone=zone)
        made = ec2.create_route_table(VpcId=vpc, TagSpecifications=given)["RouteTable"]["RouteTableId"]
        for site in plan.sites:
            for prefix in site.prefixes:
                ec2.create_route(RouteTableId=made, DestinationCidrBlock=prefix, NetworkInterfaceId=enis[zone])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(table, range(tables)))
    return enis


def tags(kind: ResourceTypeType, **values: str) -> list[TagSpecificationTypeDef]:
    """Tags of ours for a thing that is being made."""
    return [{"ResourceType": kind, "Tags": [{"Key": f"vpnha:{key}", "Value": value} for key, value in values.items()]}]
