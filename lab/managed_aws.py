# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed VPN that a deployment finds, as a company has it before: made in the lab's EC2 by ``lab up``.

The deployment's file asks for it with ``lab_managed_vpn``, a list of sites. It gets the VPC, a virtual private gateway
that is attached to it, and a customer gateway and a VPN connection with static routes for each site; all with the tag
``Name=vpnha-lab-managed``. What is there already is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab import endpoint, managed_site, sites
from lab.errors import LabError
from lab.names import Names

VARIABLE = "lab_managed_vpn"
NAME = "vpnha-lab-managed"
_FIRST_INSIDE = 200  # 169.254.200.0/30 and 169.254.200.4/30 are inside the first site's tunnels


def ensure(names: Names, variables: Mapping[str, Any], wanted: Sequence[str]) -> None:
    """Make what is missing. Raises LabError when the deployment cannot have it."""
    deployment = sites.described(variables)
    known = {customer.site: customer for customer in managed_site.customers(variables).values()}
    if unknown := [site for site in wanted if site not in known]:
        raise LabError(f"{VARIABLE} has the site {unknown[0]}, but vpnha_sites has {', '.join(known)}.")
    if len(deployment.vpc_cidrs) != 1:
        raise LabError(f"{VARIABLE} needs one range in vpnha_vpc.cidr, for the VPC that the lab makes.")
    ec2 = endpoint.client(names, "ec2")
    vpc = _vpc(ec2, deployment.vpc_cidrs[0])
    gateway = _gateway(ec2, vpc)
    for site in wanted:
        customer = known[site]
        number = list(known).index(site)
        asn = sites.shared(deployment, deployment.site(site))["asn"]
        _connection(ec2, gateway, customer, asn, number)


def _tagged(kind: str, **more: str) -> list[dict[str, Any]]:
    tags = [{"Key": key, "Value": value} for key, value in {"Name": NAME, **more}.items()]
    return [{"ResourceType": kind, "Tags": tags}]


_OURS = {"Name": "tag:Name", "Values": [NAME]}
_AVAILABLE = {"Name": "state", "Values": ["available"]}


def _vpc(ec2: Any, cidr: str) -> str:
    found = ec2.describe_vpcs(Filters=[_OURS])["Vpcs"]
    made = found[0] if found else ec2.create_vpc(CidrBlock=cidr, TagSpecifications=_tagged("vpc"))["Vpc"]
    return str(made["VpcId"])


def _gateway(ec2: Any, vpc: str) -> str:
    found = ec2.describe_vpn_gateways(Filters=[_OURS, _AVAILABLE])["VpnGateways"]
    made = (
        found[0]
        if found
        else ec2.create_vpn_gateway(Type="ipsec.1", TagSpecifications=_tagged("vpn-gateway"))["VpnGateway"]
    )
    if not any(each["State"] == "attached" for each in made.get("VpcAttachments", [])):
        ec2.attach_vpn_gateway(VpnGatewayId=made["VpnGatewayId"], VpcId=vpc)
    return str(made["VpnGatewayId"])


def _connection(ec2: Any, gateway: str, customer: managed_site.Customer, asn: int, number: int) -> None:
    side = ec2.create_customer_gateway(  # EC2 answers with the one that is there
        Type="ipsec.1",
        IpAddress=customer.address,
        BgpAsn=asn,
        TagSpecifications=_tagged("customer-gateway", site=customer.site),
    )["CustomerGateway"]["CustomerGatewayId"]
    filters = [_AVAILABLE, {"Name": "customer-gateway-id", "Values": [side]}]
    if ec2.describe_vpn_connections(Filters=filters)["VpnConnections"]:
        return
    inside = [f"169.254.{_FIRST_INSIDE + number}.{first}/30" for first in (0, 4)]
    key = f"lab.only.key.of.{customer.site.replace('-', '_')}"
    made = ec2.create_vpn_connection(
        Type="ipsec.1",
        CustomerGatewayId=side,
        VpnGatewayId=gateway,
        Options={
            "StaticRoutesOnly": True,
            "TunnelOptions": [{"TunnelInsideCidr": cidr, "PreSharedKey": key} for cidr in inside],
        },
        TagSpecifications=_tagged("vpn-connection", site=customer.site),
    )["VpnConnection"]["VpnConnectionId"]
    for prefix in customer.prefixes:
        ec2.create_vpn_connection_route(VpnConnectionId=made, DestinationCidrBlock=prefix)
