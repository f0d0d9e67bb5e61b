#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_network
short_description: Network interfaces, Elastic IPs, VPC endpoints and route tables of a VPN deployment
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Sees to the network interfaces and Elastic IPs of a deployment's hosts, to the prefix lists of its sites, to the
    route tables of its zones, and to the routes that are missing in them, all in one call.
  - Never moves, changes or deletes a route that is there, wherever it points, but for host routes of its own by which
    managed gateways are probed. While routes are failed over, a run moves nothing.
  - Makes no route where a wider one carries its packets that leads to no gateway of the deployment, nor where a virtual
    private gateway of somebody else's propagates one. A warning names it. Routes for the whole internet do not count.
  - The source/destination check of gateways is switched off, and then read back from EC2.
  - Also sees to the VPC endpoints by which monitors reach AWS's APIs without the internet, and deletes those that it
    has made and that are not wanted any more.
  - Everything that forbids the work is found before anything is changed, and all of it is told at once.
  - "Tags what it makes: C(vpnha:made) (only that is ever deleted), C(vpnha:deployment), C(vpnha:gateway),
    C(vpnha:role), C(vpnha:table), C(vpnha:zone), C(vpnha:site) and C(Name)."
  - An interface with C(vpnha:deployment) and C(Name) that somebody has made is taken over. It keeps its Elastic IP and
    its security groups, those of O(interfaces[].security_groups) come on top, and it does not get C(vpnha:made). Its
    instance needs the same two tags, and gets C(vpnha:role) and C(vpnha:gateway).
options:
  deployment:
    description: Name of the deployment.
    type: str
    required: true
  state:
    description:
      - V(absent) deletes what carries C(vpnha:made) with this deployment's name. Instances must have been terminated.
      - From other route tables with the deployment's tag, the routes to interfaces that are deleted and its tags are
        removed. Interfaces and instances without C(vpnha:made) stay, without its tags and security groups.
      - Nothing is removed while somebody else's interface is in the VPC or a subnet with that tag, or in a subnet on
        the route table that was made for gateways and monitors, since it would be cut off.
      - A route to one of its prefix lists that leads to what stays is replaced by routes to the list's entries, since
        the list goes. Where a table has no room for them, nothing is deleted.
    type: str
    choices: [present, absent]
    default: present
  vpc_id:
    description: The VPC. Needed when O(state=present).
    type: str
  interfaces:
    description: The first network interface of each host. It keeps its addresses when the host is replaced.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the host.
        type: str
        required: true
      role:
        description: What the host is. A V(gateway) has no source/destination check.
        type: str
        choices: [gateway, monitor, app]
        default: gateway
      subnet_id:
        description: Its subnet.
        type: str
        required: true
      address:
        description: Its private IPv4 address.
        type: str
        required: true
      security_groups:
        description: Ids of its security groups.
        type: list
        elements: str
        required: true
      elastic_ip:
        description:
          - Whether it shall have an Elastic IP. One that is associated already stays.
          - An Elastic IP is not taken away by V(false).
        type: bool
        default: true
      ipv6:
        description:
          - Whether it shall have an address of IPv6, whichever EC2 chooses. Its subnet needs a network of IPv6.
          - An address is not taken away by V(false).
        type: bool
        default: false
  zones:
    description: The zones whose route tables lead to a home gateway.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the Availability Zone.
        type: str
        required: true
      subnets:
        description:
          - Ids of the subnets that use the zone's gateway. One without a route table of its own gets one.
        type: list
        elements: str
        required: true
      gateway:
        description: Name of the home gateway, to which missing routes are made.
        type: str
        required: true
  destinations:
    description:
      - The prefixes of the sites that have a route for each of them, as IPv4 CIDR, IPv6 CIDR or prefix list id.
      - Routes to them are made where they are missing, in every route table with the tags C(vpnha:deployment) and
        C(vpnha:table=app), also in those that people have tagged.
      - In a table with a pin, they are made to the gateway of the pin.
      - A route for a prefix whose list a table has a route to is made to where that one leads, since it comes before.
      - Where a table has routes to gateways for parts of a prefix or for more than it, as from an earlier description,
        a new route is made to where these lead, so that no packet goes another way.
    type: list
    elements: str
    default: []
  prefix_lists:
    description:
      - The sites that have one route in each table for each family of addresses, to a prefix list of their prefixes.
        The lists are made, and their entries kept in step, also by removing what is not wanted any more.
      - Routes to them are made as those to O(destinations). Where a table has routes to the entries, the list's is made
        to where these lead, and they stay; see M(vpnha.aws.covered_routes).
      - EC2 counts a list's size against the quota of routes of every table that has a route to it.
    type: list
    elements: dict
    default: []
    suboptions:
      site:
        description: Name of the site.
        type: str
        required: true
      entries:
        description: Its prefixes, as CIDR of either family; each family has a list of its own.
        type: list
        elements: str
        required: true
  public_subnets:
    description: Ids of the subnets of gateways and monitors. One without a way to the internet gets a route table.
    type: list
    elements: str
    default: []
  internet_gateway:
    description: Id of the VPC's internet gateway, for the default route of O(public_subnets).
    type: str
  managed_gateways:
    description:
      - Managed gateways, to which missing routes are made where one of them is the home gateway of a zone.
      - Their virtual private gateways must be attached to the VPC; they are neither made nor changed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the managed gateway.
        type: str
        required: true
      vpn_gateway:
        description: Id of its virtual private gateway.
        type: str
        required: true
      probes:
        description:
          - Addresses of the sites which monitors probe through it. Each gets a host route to it in the route tables
            that the subnets of the O(interfaces) with the role V(monitor) use.
          - The tag C(vpnha:probes:DEPLOYMENT) of such a table names them. What it names and nobody wants is deleted.
        type: list
        elements: str
        default: []
  endpoints:
    description:
      - The services that monitors reach by VPC endpoints. Each but V(dynamodb) gets an interface in each subnet of the
        O(interfaces) with the role V(monitor), private DNS, and a security group that lets the whole VPC in at TCP 443,
        since the service's name then leads there from all of it. V(dynamodb) gets a route in the tables of these
        subnets.
      - An endpoint with private DNS that somebody else has made for a service, or a route to one for V(dynamodb),
        serves as well, and is left as it is.
      - One that was made here and is not wanted any more is deleted, and so is the security group with the last of
        them.
    type: list
    elements: str
    choices: [ec2, sts, monitoring, sns, secretsmanager, ssm, dynamodb]
    default: []
  adopt_route_tables:
    description:
      - What to do with a subnet in O(zones) that uses a route table without the deployment's tags.
      - V(false) refuses it. V(true) tags its table, so that the deployment's routes in it are looked after.
    type: bool
    default: false
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.diff
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.route_swap
    description: Moves routes.
  - module: vpnha.aws.covered_routes
    description: Removes routes that others have made needless.
"""

EXAMPLES = r"""
- name: Two gateways, and the route tables of their zones
  vpnha.aws.gateway_network:
    deployment: lab
    region: eu-central-1
    vpc_id: vpc-0a1b2c3d
    interfaces:
      - {name: gw-a, subnet_id: subnet-0a, address: 10.20.0.10, security_groups: [sg-0a1b2c3d]}
      - {name: gw-b, subnet_id: subnet-0b, address: 10.20.1.10, security_groups: [sg-0a1b2c3d]}
    zones:
      - {name: eu-central-1a, subnets: [subnet-1a], gateway: gw-a}
      - {name: eu-central-1b, subnets: [subnet-1b], gateway: gw-b}
    destinations: [192.168.10.0/24]
    prefix_lists:
      - {site: plant, entries: [192.168.20.0/24, 192.168.21.0/24]}
    public_subnets: [subnet-0a, subnet-0b]
    internet_gateway: igw-0a1b2c3d

- name: Remove all that was made
  vpnha.aws.gateway_network:
    deployment: lab
    region: eu-central-1
    state: absent
"""

RETURN = r"""
interfaces:
  description: The interfaces by name of their host. Ids of what check mode did not make read V((new\)).
  returned: when O(state=present)
  type: dict
  sample:
    gw-a:
      id: eni-0a1b2c3d
      role: gateway
      address: 10.20.0.10
      subnet_id: subnet-0a
      source_dest_check: false
      instance_id: i-0a1b2c3d
      public_ip: 203.0.113.10
route_tables:
  description: The route tables that are looked after.
  returned: when O(state=present)
  type: list
  elements: dict
  contains:
    id:
      description: Id of the route table.
      type: str
      returned: always
    kind:
      description: V(app) for a zone's table, V(public) for that of the gateways' subnets.
      type: str
      returned: always
    zone:
      description: The zone that uses it; null for V(public).
      type: str
      returned: always
    routes:
      description:
        - The deployment's destinations, and the network interface or virtual private gateway that each leads to, or
          V(elsewhere), which stands also for a route that is not made.
      type: dict
      returned: always
prefix_lists:
  description: The ids of the prefix lists of IPv4 by site.
  returned: when O(state=present)
  type: dict
  sample: {plant: pl-0a1b2c3d}
prefix_lists_ipv6:
  description: The ids of the prefix lists of IPv6 by site.
  returned: when O(state=present)
  type: dict
  sample: {plant: pl-4e5f6a7b}
endpoints:
  description: The ids of the VPC endpoints by service, also those that somebody else has made.
  returned: when O(state=present)
  type: dict
  sample: {ec2: vpce-0a1b2c3d}
changes:
  description: What was changed, or in check mode would be, one sentence each.
  returned: always
  type: list
  elements: str
  sample: ["route table lab-app-eu-central-1a: 192.168.10.0/24 -> gw-a (eni-0a1b2c3d)"]
"""


from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import (
    ec2,
    network,
    network_build,
    network_problems,
    network_removal,
    prefix_lists,
)
from ansible_collections.vpnha.aws.plugins.module_utils.endpoints import SERVICES
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.network_worker import as_result

INTERFACE = {
    "name": {"type": "str", "required": True},
    "role": {"type": "str", "choices": ["gateway", "monitor", "app"], "default": "gateway"},
    "subnet_id": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "security_groups": {"type": "list", "elements": "str", "required": True},
    "elastic_ip": {"type": "bool", "default": True},
    "ipv6": {"type": "bool", "default": False},
}
MANAGED = {
    "name": {"type": "str", "required": True},
    "vpn_gateway": {"type": "str", "required": True},
    "probes": {"type": "list", "elements": "str", "default": []},
}
SITE_LIST = {
    "site": {"type": "str", "required": True},
    "entries": {"type": "list", "elements": "str", "required": True},
}
ZONE = {
    "name": {"type": "str", "required": True},
    "subnets": {"type": "list", "elements": "str", "required": True},
    "gateway": {"type": "str", "required": True},
}


def wanted(given: dict) -> network.Network:
    return network.Network(
        deployment=given["deployment"],
        vpc_id=given["vpc_id"],
        interfaces=tuple(
            network.Interface(**{**each, "security_groups": tuple(each["security_groups"])})
            for each in given["interfaces"]
        ),
        zones=tuple(network.ZoneTables(z["name"], tuple(z["subnets"]), z["gateway"]) for z in given["zones"]),
        destinations=tuple(given["destinations"]),
        prefix_lists=tuple(
            one for each in given["prefix_lists"] for one in prefix_lists.of_site(each["site"], each["entries"])
        ),
        public_subnets=tuple(given["public_subnets"]),
        internet_gateway=given["internet_gateway"],
        adopt=given["adopt_route_tables"],
        endpoints=tuple(dict.fromkeys(given["endpoints"])),
        managed=tuple(
            network.Managed(each["name"], each["vpn_gateway"], tuple(each["probes"]))
            for each in given["managed_gateways"]
        ),
    )


def run(module: AnsibleAWSModule) -> network_build.Outcome:
    client = ec2.of_module(module, patient=True)
    if module.params["state"] == "absent":
        return network_removal.remove(client, module.params["deployment"], module.check_mode)
    want = wanted(module.params)
    found = network.read(client, want)
    if problems := network_problems.problems(want, found):
        lines = "".join(f"\n- {problem}" for problem in problems)
        raise VpnhaError(problems[0] if len(problems) == 1 else f"{len(problems)} things stand in the way:{lines}")
    return network_build.build(client, want, found, module.check_mode, ec2.CLOCK.now())


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "vpc_id": {"type": "str"},
            "interfaces": {"type": "list", "elements": "dict", "default": [], "options": INTERFACE},
            "zones": {"type": "list", "elements": "dict", "default": [], "options": ZONE},
            "destinations": {"type": "list", "elements": "str", "default": []},
            "prefix_lists": {"type": "list", "elements": "dict", "default": [], "options": SITE_LIST},
            "public_subnets": {"type": "list", "elements": "str", "default": []},
            "internet_gateway": {"type": "str"},
            "managed_gateways": {"type": "list", "elements": "dict", "default": [], "options": MANAGED},
            "endpoints": {"type": "list", "elements": "str", "default": [], "choices": list(SERVICES)},
            "adopt_route_tables": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["vpc_id"])],
        supports_check_mode=True,
    )
    try:
        outcome = run(module)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    for sentence in outcome.left:
        module.warn(sentence)
    module.exit_json(
        interfaces=outcome.interfaces,
        route_tables=outcome.route_tables,
        prefix_lists=outcome.prefix_lists.get(prefix_lists.IPV4, {}),
        prefix_lists_ipv6=outcome.prefix_lists.get(prefix_lists.IPV6, {}),
        endpoints=outcome.endpoints,
        **as_result(outcome.changes),
    )


if __name__ == "__main__":
    main()
