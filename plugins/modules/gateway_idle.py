#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_idle
short_description: Whether a host on which somebody has set a VPN up can be taken over without loss
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Runs on a host that is to become a gateway of a deployment, and on which somebody has set up a VPN of whatever kind.
  - Looks whether packets between the sites and the VPC still pass it, on all of its network interfaces, and whether
    files or daemons are left that would open tunnels to the same peers, now or after the next boot.
  - Is content at once where the role P(vpnha.aws.gateway#role) has begun its work already, which may have been cut off.
    What passes then passes our own tunnels.
  - Changes nothing, and does not fail when the host is not idle.
attributes:
  check_mode:
    description: Changes nothing anyway.
    support: full
  diff_mode:
    description: Nothing changes.
    support: none
options:
  name:
    description: The gateway's name, for the sentences.
    type: str
    required: true
  address:
    description: Its private IPv4 address. Packets from and to it do not count.
    type: str
    required: true
  vpc_cidrs:
    description: The CIDRs of the VPC.
    type: list
    elements: str
    required: true
  sites:
    description: The sites by name, each with its prefixes as CIDR.
    type: dict
    required: true
  peers:
    description: The public addresses of the peers to which the gateway will have tunnels.
    type: list
    elements: str
    default: []
  quiet_seconds:
    description: For how long no packet may have passed.
    type: float
    default: 1.0
  timeout:
    description: How many seconds to wait for that.
    type: float
    default: 10.0
seealso:
  - module: vpnha.aws.gateway_handover
    description: Has a gateway of the deployment idle for a while.
"""

EXAMPLES = r"""
- name: See whether gw-a can be taken over
  vpnha.aws.gateway_idle:
    name: gw-a
    address: 10.20.0.10
    vpc_cidrs: [10.20.0.0/16]
    sites:
      hq: [192.168.10.0/24]
    peers: [198.51.100.11]
"""

RETURN = r"""
idle:
  description: Whether nothing depends on the host any more, and nothing is left on it that would stand in the way.
  returned: always
  type: bool
reasons:
  description: Why not, one sentence each.
  returned: always
  type: list
  elements: str
  sample: ["Packets from hq still pass gw-a: have its peers send through another gateway."]
begun:
  description: Whether the role has begun its work there.
  returned: always
  type: bool
"""

import select
import socket
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vpnha.aws.plugins.module_utils import takeover
from ansible_collections.vpnha.aws.plugins.module_utils.handover import Flow

ETH_P_ALL = 0x0003
HEADER_BYTES = 64


class Packets:
    """What passes this host, of all interfaces and in both directions."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))

    def next(self, seconds: float) -> bytes | None:
        """The next packet from its network header on; None when there is none for so long."""
        ready, _writable, _failed = select.select([self._socket], [], [], max(0.0, seconds))
        return self._socket.recv(HEADER_BYTES) if ready else None

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


def passing(packets: Any, watched: takeover.Watched, quiet_seconds: float, timeout: float) -> list[Flow]:
    """Wait until no packet has passed for so long; what still passes when the time is over."""
    classify = takeover.classifier(watched)
    began = time.monotonic()
    last: dict[Flow, float] = {}
    while True:
        now = time.monotonic()
        left = max(last.values(), default=began) + quiet_seconds - now
        if left <= 0:
            return []
        if now - began >= timeout:
            return sorted(
                (flow for flow, at in last.items() if now - at < quiet_seconds),
                key=lambda flow: (flow.site, flow.outwards),
            )
        packet = packets.next(min(left, 0.1))
        flow = classify(packet) if packet else None
        if flow:
            last[flow] = time.monotonic()


def examine(module: AnsibleModule, packets: Any) -> dict[str, Any]:
    """The module's result."""
    given = module.params
    if takeover.BEGUN.exists():
        return {"changed": False, "idle": True, "reasons": [], "begun": True}
    watched = takeover.Watched(given["address"], given["vpc_cidrs"], given["sites"])
    found = takeover.reasons(
        given["name"],
        passing(packets, watched, given["quiet_seconds"], given["timeout"]),
        takeover.naming(given["peers"], [Path(place) for place in takeover.PLACES]),
        takeover.loaded(said(module, "swanctl", "--list-conns")),
        daemons(module),
    )
    return {"changed": False, "idle": not found, "reasons": found, "begun": False}


def daemons(module: AnsibleModule) -> dict[str, str]:
    """The daemons that keep IKE's ports, or would from the next boot on, each with the state that it is in."""
    found = {}
    for unit in takeover.DAEMONS:
        states = [said(module, "systemctl", question, unit).strip() for question in ("is-active", "is-enabled")]
        if in_the_way := [state for state in states if state in ("active", "enabled")]:
            found[unit] = " and ".join(in_the_way)
    return found


def said(module: AnsibleModule, command: str, *arguments: str) -> str:
    """What a command prints; nothing where it is not installed, or has nobody to ask."""
    path = module.get_bin_path(command, opt_dirs=["/usr/sbin", "/sbin"])
    return str(module.run_command([path, *arguments])[1]) if path else ""


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "vpc_cidrs": {"type": "list", "elements": "str", "required": True},
            "sites": {"type": "dict", "required": True},
            "peers": {"type": "list", "elements": "str", "default": []},
            "quiet_seconds": {"type": "float", "default": 1.0},
            "timeout": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    try:
        packets = Packets()
    except OSError as error:
        module.fail_json(
            msg=f"What passes {module.params['name']} cannot be seen ({error.strerror}): run this as root."
        )
        return
    try:
        module.exit_json(**examine(module, packets))
    finally:
        packets.close()


if __name__ == "__main__":
    main()
