#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_ha_info
short_description: Show a VPN deployment as it stands in EC2
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Reads a deployment's gateways, route tables and marks from EC2 in a handful of calls.
  - Says which gateway carries what, what differs from home, what is pinned or paused, and which route tables are not
    looked after and why.
  - It says nothing about the tunnels; M(vpnha.aws.vpn_health_info) on a gateway does.
options:
  subnets:
    description:
      - Whether to return which route table each subnet of the VPC uses, for two more calls.
    type: bool
    default: false
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.info
  - vpnha.aws.deployment
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.vpn_health_info
  - module: vpnha.aws.route_swap
"""

EXAMPLES = r"""
- name: Check the description of the deployment
  vpnha.aws.deployment_check:
    description: "{{ my_deployment }}"
  register: checked

- name: See how it stands
  vpnha.aws.vpn_ha_info:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
  register: standing

- name: Stop here unless every zone uses its home gateway
  ansible.builtin.assert:
    that: standing.at_home
    fail_msg: "{{ standing.summary | join(' ') }}"
"""

RETURN = r"""
vpc_id:
  description: The deployment's VPC; null when EC2 shows nothing of it.
  returned: success
  type: str
  sample: vpc-0a1b2c3d
gateways:
  description: The gateways, in the order of the description.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the gateway.
      type: str
      returned: always
    zone:
      description: The Availability Zone it is in.
      type: str
      returned: always
    address:
      description: Private address of its network interface.
      type: str
      returned: always
    home_zones:
      description: The zones that use it when all is well.
      type: list
      elements: str
      returned: always
    instance_id:
      description: Its instance; null when there is none.
      type: str
      returned: always
    state:
      description: State of the instance in EC2's words, or V(absent).
      type: str
      returned: always
      sample: running
    network_interface_id:
      description: Its network interface; null when there is none.
      type: str
      returned: always
    source_dest_check:
      description: Whether the source/destination check is on, in which case it forwards nothing.
      type: bool
      returned: always
    system_status:
      description: EC2's system status check, as V(ok) or V(impaired).
      type: str
      returned: always
    instance_status:
      description: EC2's instance status check, as V(ok) or V(impaired).
      type: str
      returned: always
    retirement:
      description: When EC2 will retire or stop the instance, if it announced that.
      type: str
      returned: always
      sample: "2026-01-01T00:00:00Z"
    repairs:
      description: When the monitor's last steps of repair began, the oldest first; from the tag C(vpnha:repair).
      type: list
      elements: str
      returned: always
      sample: ["2026-01-01T00:00:00Z"]
    last_repair:
      description: What the last of them was, as V(reboot), V(stop) or V(launch); null where there was none.
      type: str
      returned: always
      sample: reboot
    usable:
      description: Whether routes could be swapped to it, as far as EC2 can tell.
      type: bool
      returned: always
    carries:
      description: The routes that lead to it, each as route table and destination.
      type: list
      elements: str
      returned: always
      sample: ["rtb-0a1b2c3d 192.168.10.0/24"]
managed_gateways:
  description: The managed gateways.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the managed gateway.
      type: str
      returned: always
    vpn_gateway:
      description: Id of its virtual private gateway.
      type: str
      returned: always
    use:
      description: V(last_resort) or V(home).
      type: str
      returned: always
    home_zones:
      description: The zones that use it when all is well.
      type: list
      elements: str
      returned: always
    carries:
      description: The routes that lead to it, each "table destination".
      type: list
      elements: str
      returned: always
      sample: [rtb-0a1b2c3d 192.168.10.0/24]
zones:
  description: The zones, in the order of the description.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the zone.
      type: str
      returned: always
    home_gateway:
      description: The gateway it uses when all is well.
      type: str
      returned: always
    gateways:
      description: The gateways it uses now; V(elsewhere) stands for targets that are none.
      type: list
      elements: str
      returned: always
    route_tables:
      description: Its route tables that are looked after.
      type: list
      elements: str
      returned: always
route_tables:
  description: The route tables that are looked after.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the route table.
      type: str
      returned: always
    zone:
      description: The zone whose subnets use it.
      type: str
      returned: always
    vpc_id:
      description: Its VPC.
      type: str
      returned: always
    routes:
      description: The deployment's routes in it.
      type: list
      elements: dict
      returned: always
      contains:
        destination:
          description: IPv4 CIDR, IPv6 CIDR or id of a prefix list.
          type: str
          returned: always
        site:
          description: Site that the destination belongs to.
          type: str
          returned: always
        gateway:
          description: The gateway that it leads to; null when it leads elsewhere.
          type: str
          returned: always
        target:
          description: What EC2 names as the target.
          type: str
          returned: always
        blackhole:
          description: Whether EC2 says that the target is gone or does not run.
          type: bool
          returned: always
    missing:
      description: The deployment's destinations that it has no route for.
      type: list
      elements: str
      returned: always
    pin:
      description: The pin in force, with RV(route_tables[].pin.gateway), C(expires) and C(by); null if there is none.
      type: dict
      returned: always
      contains:
        gateway:
          description: Where the routes were put.
          type: str
          returned: always
        expires:
          description: When the pin ends.
          type: str
          returned: always
        by:
          description: Who set it.
          type: str
          returned: always
subnets:
  description:
    - The subnets of the VPC, and the route table that each of them uses, also where that is not the deployment's.
    - Empty when EC2 shows nothing of the deployment, or shows it in several VPCs.
  returned: when O(subnets=true)
  type: list
  elements: dict
  contains:
    id:
      description: Id of the subnet.
      type: str
      returned: always
    zone:
      description: The Availability Zone it is in. Its route table may be looked after as that of another zone.
      type: str
      returned: always
    cidrs:
      description: Its networks, that of IPv4 first.
      type: list
      elements: str
      returned: always
    route_table_id:
      description: The route table that it uses.
      type: str
      returned: always
    associated:
      description: Whether it is associated with that table. V(false) means that it uses it as the VPC's main one.
      type: bool
      returned: always
refused_tables:
  description: Route tables with the deployment's tags that are not looked after, with the reason.
  returned: success
  type: dict
  sample: {"rtb-0a1b2c3d": "rtb-0a1b2c3d is shared by subnets of eu-central-1a and eu-central-1b; …"}
differences:
  description: Every route that is not as it would be if all were well.
  returned: success
  type: list
  elements: dict
  contains:
    route_table_id:
      description: Id of the route table.
      type: str
      returned: always
    destination:
      description: Destination of the route.
      type: str
      returned: always
    zone:
      description: Zone of the route table.
      type: str
      returned: always
    home_gateway:
      description: Where it would lead.
      type: str
      returned: always
    gateway:
      description: The gateway that it leads to; null when it leads elsewhere, or is missing.
      type: str
      returned: always
    target:
      description: What EC2 names as the target; null when it is missing.
      type: str
      returned: always
    blackhole:
      description: Whether it is a blackhole.
      type: bool
      returned: always
    missing:
      description: Whether there is no such route.
      type: bool
      returned: always
at_home:
  description: Whether every route leads to its zone's home gateway, and no route table is refused.
  returned: success
  type: bool
pause:
  description: Until when the monitors' actions are paused; null if they are not.
  returned: success
  type: str
paused_gateways:
  description: Gateways whose actions are paused, with the end of the pause.
  returned: success
  type: dict
paused_tables:
  description: Route tables whose actions are paused, with the end of the pause.
  returned: success
  type: dict
freeze:
  description: Why no drill may begin, and until when; null if one may.
  returned: success
  type: str
  sample: Changes are frozen until 2026-01-07T00:00:00Z by jane (year-end)
drill:
  description: Id of the drill that is running; null if there is none.
  returned: success
  type: str
plan:
  description:
    - How long the failover of each gateway takes at worst, if EC2 takes 150 ms to answer a call.
    - The command C(vpnha plan) on a monitor shows the same for people, for another latency if given one.
  returned: success
  type: dict
  contains:
    latency_ms:
      description: The milliseconds that each call is reckoned with.
      type: float
      returned: always
    at_once:
      description: Calls that are made at once. It is somewhat below RV(plan.ec2_at_once).
      type: float
      returned: always
    a_second:
      description: Calls that are made each second after these. It is somewhat below RV(plan.ec2_a_second).
      type: float
      returned: always
    ec2_at_once:
      description: What EC2 documents as its limit at once.
      type: float
      returned: always
    ec2_a_second:
      description: What EC2 documents as its limit for each second.
      type: float
      returned: always
    gateways:
      description: The gateways and managed gateways, by what they carry when all is well, or now if that is more.
      type: list
      elements: dict
      returned: always
      contains:
        name:
          description: Name of the gateway.
          type: str
          returned: always
        tables:
          description: Route tables that have to be changed.
          type: int
          returned: always
        calls:
          description: Calls to EC2, one for each destination in each table.
          type: int
          returned: always
        carries_now:
          description: Routes that lead to it now.
          type: int
          returned: always
        seconds:
          description: From its death until two reads of EC2 agree on the last route.
          type: float
          returned: always
        seconds_after_another:
          description: The same where another failover that has just ended, or the monitor's start, has left no call.
          type: float
          returned: always
        detect_seconds:
          description: The part of it until the gateway is found dead.
          type: float
          returned: always
        limit_seconds:
          description: The part of it that EC2's limit costs.
          type: float
          returned: always
        answer_seconds:
          description: The part of it until the last call is answered.
          type: float
          returned: always
        read_back_seconds:
          description: The part of it for the two reads.
          type: float
          returned: always
        text:
          description: The same in one sentence.
          type: str
          returned: always
        priorities:
          description: The same for the tables of each priority and those before; empty if all have the same.
          type: list
          elements: dict
          returned: always
        shorter:
          description: What would make it shorter, each with C(by), C(calls), C(seconds) and C(text).
          type: list
          elements: dict
          returned: always
    everything:
      description: The same for a gateway that has taken over every route.
      type: dict
      returned: always
unreadable_marks:
  description: Pins and pauses that count although their tag cannot be read in full, one sentence each.
  returned: success
  type: list
  elements: str
summary:
  description:
    - The same for people, one sentence each.
    - Also names the routes to gateways for what is not described, which no monitor moves.
  returned: success
  type: list
  elements: str
  sample: ["eu-central-1a uses gw-a (at home).", "eu-central-1b uses gw-a (home is gw-b)."]
"""


from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, left_routes, prefix_lists, subnet_tables
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.ec2_view import read_view
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.overview import overview


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "dict", "required": True},
            "subnets": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        client = ec2.of_module(module, patient=True)
        deployment = prefix_lists.bound(client, from_dict(module.params["deployment"]))
        view = read_view(client, deployment)
        made = prefix_lists.sites_of(client, deployment.name, (one.destination for one in view.left))
        subnets = subnet_tables.read(client, view.vpc_id) if module.params["subnets"] and view.vpc_id else []
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    told = overview(view, deployment, ec2.CLOCK.now())
    told["summary"] += left_routes.sentences(view.left, left_routes.described(deployment), made)
    if module.params["subnets"]:
        told["subnets"] = subnets
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
