# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VPC with two VPN gateways as somebody has made it by hand: plain EC2 calls, packages, files of their own.

Nothing of it knows the product. The peers are those of the sites, which are configured for gateways of these names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Zone
from lab import endpoint, sites
from lab.errors import LabError
from lab.hosts import Hosts
from lab.names import Names

VPC_NAME = "production"
IMAGE = "ami-vpnha0base"
SECOND = "gw-b"  # the gateway that the sites take only while the other one is away
PACKAGES = "charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins frr"
BEFORE = "/root/before"  # where the configuration goes that is not used any more
CONNECTIONS = "/etc/swanctl/conf.d/sites.conf"
DAEMON = "/etc/strongswan.d/local.conf"
LEAVING_SECONDS = 5.0  # a person waits so long for the sites to send through the other gateway
_BOOT_SECONDS = 120.0
_INSTALL_SECONDS = 300.0
_ANYTHING = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


class ByHand:
    """That VPC, and what its owner does with it."""

    def __init__(self, names: Names, variables: Mapping[str, Any]) -> None:
        """``variables``: of the deployment that it is to become; addresses, peers and keys are the same."""
        self._variables = variables
        self._deployment = sites.described(variables)
        self.ec2 = endpoint.client(names, "ec2")
        self._hosts = Hosts(names)
        self._subnets: dict[str, str] = {}  # id by CIDR
        self.group = ""
        self.vpc = ""
        self.tables: dict[str, str] = {}  # of the application subnets, by zone
        self.interfaces: dict[str, str] = {}  # by host
        self.instances: dict[str, str] = {}
        self.public: dict[str, str] = {}  # Elastic IPs by gateway

    # --- Making it ---------------------------------------------------------------------------------------

    def make(self) -> None:
        """Make it all, and wait until the gateways work. Raises LabError."""
        self._make_network()
        for gateway in self._deployment.gateways:
            self._launch(gateway.name, self._zone(gateway.zone).gateway_subnet, gateway.address)
            card = self.interfaces[gateway.name]
            self.ec2.modify_network_interface_attribute(NetworkInterfaceId=card, SourceDestCheck={"Value": False})
            address = self.ec2.allocate_address(Domain="vpc")
            self.ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=card)
            self.public[gateway.name] = address["PublicIp"]
        for host in self._variables["vpnha_app_hosts"]:
            self._launch(host["name"], self._zone(host["zone"]).app_subnets[0], host["address"])
        for gateway in self._deployment.gateways:
            self._make_table(self._zone(gateway.zone), self.interfaces[gateway.name])
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._await, self.instances.values()))
            list(pool.map(self._configure, [gateway.name for gateway in self._deployment.gateways]))

    def _make_network(self) -> None:
        ec2 = self.ec2
        self.vpc = ec2.create_vpc(CidrBlock=self._deployment.vpc_cidrs[0])["Vpc"]["VpcId"]
        self.tag([self.vpc], Name=VPC_NAME)
        internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=self.vpc)
        public = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=public, DestinationCidrBlock="0.0.0.0/0", GatewayId=internet)
        made = ec2.create_security_group(GroupName="everything", Description="everything", VpcId=self.vpc)
        self.group = made["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[_ANYTHING])
        for zone in self._deployment.zones:
            for cidr in (zone.gateway_subnet, *zone.app_subnets):
                subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone.name)
                self._subnets[cidr] = subnet["Subnet"]["SubnetId"]
            ec2.associate_route_table(RouteTableId=public, SubnetId=self._subnets[zone.gateway_subnet])

    def _make_table(self, zone: Zone, card: str) -> None:
        """The route table of a zone's application subnets: the sites behind the zone's gateway."""
        table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        for cidr in zone.app_subnets:
            self.ec2.associate_route_table(RouteTableId=table, SubnetId=self._subnets[cidr])
        for site in self._deployment.sites:
            for prefix in site.prefixes:
                self.ec2.create_route(RouteTableId=table, DestinationCidrBlock=prefix, NetworkInterfaceId=card)
        self.tables[zone.name] = table

    def _launch(self, name: str, cidr: str, address: str) -> None:
        card = self.card(cidr, address)
        made = self.ec2.run_instances(
            ImageId=IMAGE, InstanceType="t3.small", MinCount=1, MaxCount=1,
            NetworkInterfaces=[{"NetworkInterfaceId": card, "DeviceIndex": 0}],
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
        )  # fmt: skip
        self.interfaces[name], self.instances[name] = card, str(made["Instances"][0]["InstanceId"])

    def card(self, cidr: str, address: str = "") -> str:
        """Another network interface in a subnet."""
        wanted = {"PrivateIpAddress": address} if address else {}
        made = self.ec2.create_network_interface(SubnetId=self._subnets[cidr], Groups=[self.group], **wanted)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def _await(self, instance: str) -> None:
        end = time.monotonic() + _BOOT_SECONDS
        while self._hosts.state(instance) != "running":
            if time.monotonic() > end:
                raise LabError(f"The instance {instance} has not booted within {_BOOT_SECONDS:g} s.")
            time.sleep(0.2)

    def _configure(self, gateway: str) -> None:
        """Install and configure strongSwan and FRR, as on any server."""
        self.run(gateway, "apt-get", "install", "-qq", "--no-install-recommends", *PACKAGES.split())
        values = values_of(self._variables, self._deployment, gateway)
        self._write(gateway, CONNECTIONS, sites.render("by-hand.swanctl.conf", values), "600")
        self._write(gateway, DAEMON, sites.render("strongswan.conf", {}))
        self._write(gateway, "/etc/sysctl.d/90-by-hand.conf", sites.render("sysctl.conf", {}))
        self._write(gateway, "/etc/frr/daemons", sites.render("daemons", {}))
        self._write(gateway, "/etc/frr/frr.conf", sites.render("by-hand.frr.conf", values))
        for command in ("systemctl restart systemd-sysctl", "systemctl restart frr", "systemctl restart strongswan"):
            self.run(gateway, *command.split())

    # --- What its owner does -----------------------------------------------------------------------------

    def tag(self, resources: Sequence[str], **tags: str) -> None:
        """Set tags; in their names, an underscore stands for a colon."""
        pairs = [{"Key": key.replace("_", ":"), "Value": value} for key, value in tags.items()]
        self.ec2.create_tags(Resources=list(resources), Tags=pairs)

    def untag(self, resource: str, *keys: str) -> None:
        """Take tags away."""
        self.ec2.delete_tags(Resources=[resource], Tags=[{"Key": key} for key in keys])

    def leave_bgp(self, gateway: str) -> None:
        """Have no site send to a gateway any more; its tunnels stay, for what is on its way.

        It is the last choice first: a session that just ends is a gap until the site has found its other way.
        """
        commands = ("configure terminal", f"router bgp {self._deployment.asn}", "bgp graceful-shutdown")
        self.run(gateway, "vtysh", *(word for command in commands for word in ("-c", command)))
        time.sleep(LEAVING_SECONDS)
        self.run(gateway, "systemctl", "stop", "frr")
        time.sleep(LEAVING_SECONDS)

    def stop(self, gateway: str) -> None:
        """Stop its tunnels, and move its configuration away."""
        self.run(gateway, "systemctl", "stop", "strongswan")
        self.run(gateway, "mkdir", "-p", BEFORE)
        self.run(gateway, "cp", "-a", "/etc/frr", BEFORE)
        self.run(gateway, "mv", CONNECTIONS, DAEMON, BEFORE)

    # --- How it stands -----------------------------------------------------------------------------------

    def routes(self) -> dict[str, str]:
        """Where the routes to the sites lead: "zone destination" to a gateway's name, or to what else it is."""
        owners = {card: name for name, card in self.interfaces.items()}
        wanted = {prefix for site in self._deployment.sites for prefix in site.prefixes}
        found = self.ec2.describe_route_tables(RouteTableIds=list(self.tables.values()))["RouteTables"]
        zones = {table: zone for zone, table in self.tables.items()}
        return {
            f"{zones[table['RouteTableId']]} {route['DestinationCidrBlock']}": owners.get(
                route.get("NetworkInterfaceId", ""), "elsewhere"
            )
            for table in found
            for route in table["Routes"]
            if route.get("DestinationCidrBlock") in wanted
        }

    def run(self, host: str, *argv: str, stdin: str = "") -> str:
        """Standard output of a command on a host. Raises LabError."""
        environment = ("env", "DEBIAN_FRONTEND=noninteractive")
        done = self._hosts.run(self.instances[host], [*environment, *argv], stdin=stdin, timeout=_INSTALL_SECONDS)
        return done.stdout

    def _write(self, host: str, path: str, text: str, mode: str = "644") -> None:
        self.run(host, "sh", "-c", 'cat > "$1" && chmod "$2" "$1"', "sh", path, mode, stdin=text)

    def _zone(self, name: str) -> Zone:
        return next(zone for zone in self._deployment.zones if zone.name == name)


def values_of(variables: Mapping[str, Any], deployment: Deployment, gateway: str) -> dict[str, Any]:
    """What a gateway's files are made of."""
    return {
        "tunnels": [tunnel for tunnel in deployment.tunnels if tunnel.gateway == gateway],
        "gateway": deployment.gateway(gateway),
        "prefixes": {site.name: site.prefixes for site in deployment.sites},
        "keys": tunnel_config.psks(variables["vpnha_sites"]),
        "vpc": deployment.vpc_cidrs,
        "asn": deployment.asn,
        "second": gateway == SECOND,
    }
