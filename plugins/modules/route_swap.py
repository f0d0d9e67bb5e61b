#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: route_swap
short_description: Point a deployment's routes at a chosen gateway, or at the home gateways
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Swaps the routes to the deployment's sites in chosen zones or route tables, all side by side in one call.
  - Route tables are found by their tags. Only routes to the prefixes of the deployment's sites are touched.
  - Refuses, before anything is changed, a gateway that does not run, whose source/destination check is on, or that is
    in another VPC.
  - A swap counts as done when two reads of EC2 agree. When some routes could not be swapped, the others are all the
    same, the module fails, and says for each route what became of it.
  - Route tables with the deployment's tags that are not looked after, such as one that subnets of several zones use and
    that has no tag C(vpnha:zone), are left as they are. A warning names each, and says why; one that is given in
    O(route_tables) is refused.
  - It does not look at tunnels; the playbook C(vpnha.aws.failover) does before it calls this module.
options:
  gateway:
    description:
      - Name of the gateway or managed gateway that the routes shall use.
      - V(home) means the home gateway of each zone.
    type: str
    default: home
  zones:
    description: Swap in the route tables of these zones only.
    type: list
    elements: str
    default: []
  route_tables:
    description: Swap in these route tables only, given by id.
    type: list
    elements: str
    default: []
  sites:
    description: Swap the prefixes of these sites only.
    type: list
    elements: str
    default: []
  leaving:
    description:
      - Swap only routes that lead to this gateway now. Where none does, nothing is done.
    type: str
    default: ""
  pin_minutes:
    description:
      - Pin the route tables for so many minutes before swapping, so that no monitor moves their routes meanwhile.
      - A pin holds all routes of a table, also those of sites that are not in O(sites).
      - Where none of a table's routes could be swapped, its pin is taken back and an earlier one is put back; see
        RV(pins_taken_back). Where some were, it stays, and the message names the routes that it holds elsewhere.
    type: int
  unpin:
    description:
      - Clear the pins of the route tables after every swap went well.
    type: bool
    default: false
  by:
    description: Who does it, to be seen in the pin.
    type: str
    default: ansible
  take_over:
    description:
      - Also swap routes that point at no gateway of the deployment. Somebody put them there on purpose, so by default
        they are left alone.
    type: bool
    default: false
  create_missing:
    description: Create routes that are missing. By default no route is ever created.
    type: bool
    default: false
  monitor_url:
    description:
      - Where a monitor of the deployment answers over HTTP, as in C(http://10.20.1.10:9784), to measure whether the
        zones' packets follow. It is asked before the swap and, for up to 5 seconds, after it.
      - A monitor that does not answer hinders no swap; RV(routes[].carrying) is null then, and a warning says why.
      - Without this option, RV(routes[].carrying) is null. The playbooks C(vpnha.aws.failover) and
        C(vpnha.aws.failback) need no way to the monitor's port, since they ask on the monitor itself over SSH.
    type: str
  timeout:
    description:
      - No call is begun after so many seconds. EC2 allows about 50 swaps at once and then 5 a second.
      - Swaps begin in the order of the tag C(vpnha:priority) of their route tables, V(1) first and V(9) last. A table
        without it counts as V(5).
      - When the swaps take longer at that rate, they are refused before anything is changed, in check mode too. A
        warning says so when they take more than 10 seconds. RV(swapping) says how long, in check mode too.
    type: int
    default: 120
  progress_file:
    description:
      - A file on the host that the module runs on, in which it writes once a second how far it is, in one sentence.
      - Where that host is the controller, the collection gives one by itself and shows the sentence every five seconds,
        on the standard error. Not so with C(become) to somebody who may not write there, and not with C(async).
      - One that cannot be written hinders no swap.
    type: path
notes:
  - Without O(pin_minutes) a monitor is free to move the routes again as soon as it sees a reason.
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.diff
  - vpnha.aws.deployment
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.vpn_ha_info
  - module: vpnha.aws.deployment_mark
"""

EXAMPLES = r"""
- name: Let zone eu-central-1a use gw-b for an hour
  vpnha.aws.route_swap:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    zones: [eu-central-1a]
    gateway: gw-b
    pin_minutes: 60
    by: jane
    monitor_url: http://10.20.1.10:9784

- name: Bring everything home
  vpnha.aws.route_swap:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    gateway: home
    unpin: true

- name: See what moving one site would do
  vpnha.aws.route_swap:
    deployment: "{{ checked.deployment }}"
    region: eu-central-1
    sites: [hq]
    gateway: gw-b
  check_mode: true
  diff: true
"""

RETURN = r"""
routes:
  description: Every route that was meant, also those that were left as they are. Also returned when the module fails.
  returned: when nothing was refused
  type: list
  elements: dict
  contains:
    route_table_id:
      description: Id of the route table.
      type: str
      returned: always
    destination:
      description: IPv4 CIDR, IPv6 CIDR or id of a prefix list.
      type: str
      returned: always
    zone:
      description: Zone of the route table.
      type: str
      returned: always
    site:
      description: Site that the destination belongs to.
      type: str
      returned: always
    before:
      description: The gateway that it led to, or what EC2 names as its target; null if it was missing.
      type: str
      returned: always
    after:
      description: The same after the run, or in check mode as it would be.
      type: str
      returned: always
    action:
      description: What was done, or in check mode would be; one of V(swap), V(create) and V(none).
      type: str
      returned: always
    reason:
      description: Why nothing was done.
      type: str
      returned: always
    accepted:
      description:
        - V(true) when two reads agree, V(false) when EC2 refused.
        - Null when nothing was done, in check mode, or when it is not known whether EC2 applied it.
      type: bool
      returned: always
    carrying:
      description:
        - Whether the new gateway's agent counts packets of the zone, as the monitor at O(monitor_url) hears it.
        - V(false) when it counted none although the zone sent some.
        - Null when nothing was done, when the zone sent nothing or was moved only in part (packets are counted by
          zone), and when no monitor answers.
      type: bool
      returned: always
    milliseconds:
      description: From the first call to EC2's answer for this route, waiting for EC2's rate limit included.
      type: float
      returned: always
    error:
      description: What went wrong, in one sentence; empty if nothing did.
      type: str
      returned: always
followed:
  description: What was seen of each moved zone's packets, one sentence each; empty without a monitor.
  returned: when nothing was refused
  type: list
  elements: str
swapping:
  description: How many calls the swaps are, and how long they take.
  returned: when nothing was refused
  type: dict
  contains:
    calls:
      description: Swaps, of which each is a call to EC2.
      type: int
      returned: always
    at_least_seconds:
      description: What EC2's limit costs, which takes about 50 at once and then 5 a second; also in check mode.
      type: float
      returned: always
    seconds:
      description: What all of it took, reading back included; null in check mode.
      type: float
      returned: always
    refused:
      description: Calls that EC2 refused because something else uses up its limit as well. They were tried again.
      type: int
      returned: always
pins_taken_back:
  description:
    - Ids of the route tables of which no route could be swapped, so that the pin of O(pin_minutes) is not left on them.
    - They have the pin that they had before, or none.
  returned: when nothing was refused
  type: list
  elements: str
route_tables:
  description: Ids of the route tables that were meant.
  returned: when nothing was refused
  type: list
  elements: str
"""

import contextlib
import json
import time
from pathlib import Path

from ansible.module_utils.urls import open_url

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, prefix_lists
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.followed import follow, with_carrying
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish, run
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice
from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import Progress, telling

_TELL_SECONDS = 1.0


def diff(routes: list) -> dict:
    return {
        side: "".join(f"{row['route_table_id']} {row['destination']} -> {row[side] or 'nothing'}\n" for row in routes)
        for side in ("before", "after")
    }


def progress_in(file: str | None, how: Progress) -> contextlib.AbstractContextManager[None]:
    """Has the file say how far it is; a reader finds it whole or not at all."""

    def tell(sentence: str) -> None:
        new = Path(f"{file}.new")
        new.write_text(sentence, encoding="utf-8")
        new.replace(str(file))

    return telling(how, _TELL_SECONDS, tell) if file else contextlib.nullcontext()


def status(url: str) -> dict:
    """What a monitor says of the deployment. Raises VpnhaError if none answers."""
    try:
        with open_url(f"{url.rstrip('/')}/status", timeout=3) as answer:
            found: dict = json.load(answer)
        if not isinstance(found, dict) or not {"gateways", "routes"} <= found.keys():
            raise ValueError("what answers there is no monitor")
        return found
    except (OSError, ValueError) as error:
        raise VpnhaError(f"Whether packets follow is not known, since {url} gives no status: {error}.") from error


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "deployment": {"type": "dict", "required": True},
            "gateway": {"type": "str", "default": "home"},
            "zones": {"type": "list", "elements": "str", "default": []},
            "route_tables": {"type": "list", "elements": "str", "default": []},
            "sites": {"type": "list", "elements": "str", "default": []},
            "leaving": {"type": "str", "default": ""},
            "pin_minutes": {"type": "int"},
            "unpin": {"type": "bool", "default": False},
            "by": {"type": "str", "default": "ansible"},
            "take_over": {"type": "bool", "default": False},
            "create_missing": {"type": "bool", "default": False},
            "monitor_url": {"type": "str"},
            "timeout": {"type": "int", "default": 120},
            "progress_file": {"type": "path"},
        },
        mutually_exclusive=[("pin_minutes", "unpin")],
        supports_check_mode=True,
    )
    given = module.params
    if given["pin_minutes"] is not None and given["pin_minutes"] < 1:
        module.fail_json(msg="pin_minutes must be 1 or more; leave it out to set no pin.")
    choice = Choice(
        gateway=None if given["gateway"] == "home" else given["gateway"],
        zones=tuple(given["zones"]),
        tables=tuple(given["route_tables"]),
        sites=tuple(given["sites"]),
        leaving=given["leaving"],
        take_over=given["take_over"],
    )
    wish = Wish(
        choice, given["pin_minutes"] or 0, given["unpin"], given["by"], given["create_missing"], given["timeout"]
    )
    before, seen = None, []
    if given["monitor_url"] and not module.check_mode:
        try:
            before = status(given["monitor_url"])
        except VpnhaError as error:
            module.warn(str(error))
    try:
        client = ec2.of_module(module)
        deployment = prefix_lists.bound(client, from_dict(given["deployment"]))
        how = Progress()
        with progress_in(given["progress_file"], how):
            report = run(client, deployment, wish, check=module.check_mode, wall=time.time(), progress=how)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    for warning in report.warnings:
        module.warn(warning)
    if before is not None:
        try:
            seen = follow(before, report.routes, lambda: status(given["monitor_url"]))
        except VpnhaError as error:
            module.warn(str(error))
    result = {
        "changed": report.changed,
        "routes": with_carrying(report.routes, seen),
        "followed": [one.text for one in seen],
        "swapping": report.swapping,
        "route_tables": report.tables,
        "pins_taken_back": list(report.pins_taken_back),
        "diff": diff(report.routes),
    }
    if report.failure:
        module.fail_json(msg=report.failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
