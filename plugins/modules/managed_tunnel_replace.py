#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
---
module: managed_tunnel_replace
short_description: Replace a tunnel of an AWS-managed VPN connection
version_added: 0.1.0
description:
  - Has EC2 give one tunnel of a Site-to-Site VPN connection a new endpoint (C(ReplaceVpnTunnel)), and waits until the
    connection's telemetry calls it up.
  - It is refused unless another tunnel of the connection is up, and while the last replacement is not long enough ago.
    The time of the last one stands in the tag C(vpnha:tunnel-replaced) of the connection. What EC2 has refused does not
    count.
  - A tunnel that is up is left as it is, unless O(also_when_up=true).
options:
  connection:
    description:
      - Id of the VPN connection.
    type: str
    required: true
  tunnel:
    description:
      - Outside address of AWS's end of the tunnel. Without it, the tunnel that is down.
    type: str
    default: ""
  also_when_up:
    description:
      - Replace the tunnel even if it is up, as for maintenance that is due. It needs O(tunnel).
    type: bool
    default: false
  apply_pending_maintenance:
    description:
      - Have the new endpoint bring maintenance of AWS that waits for it.
    type: bool
    default: false
  down_seconds:
    description:
      - How many seconds a tunnel must have been down by EC2's word. That is waited for; should the tunnel come up
        meanwhile, nothing is replaced. Check mode does not wait, and says that nothing would be replaced yet.
    type: float
    default: 0.0
  hours_between:
    description:
      - How many hours must lie between two replacements of the same connection; at least 1.
    type: float
    default: 24.0
  wait_timeout:
    description:
      - How many seconds to wait until the tunnel is up; with V(0), do not wait.
    type: float
    default: 1800.0
author:
  - the vpnha.aws contributors (@vpnha)
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.diff
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Replace the tunnel that is down
  vpnha.aws.managed_tunnel_replace:
    region: eu-central-1
    connection: vpn-0123456789abcdef0

- name: Let AWS do now what it would do at a time of its own
  vpnha.aws.managed_tunnel_replace:
    region: eu-central-1
    connection: vpn-0123456789abcdef0
    tunnel: 203.0.113.10
    also_when_up: true
    apply_pending_maintenance: true
"""

RETURN = r"""
connection:
  description: Id of the VPN connection.
  returned: always
  type: str
  sample: vpn-0123456789abcdef0
tunnel:
  description: The tunnel that was meant; null where none is down.
  returned: always
  type: str
  sample: 203.0.113.10
replaced:
  description: Whether it was replaced, or in check mode would be.
  returned: always
  type: bool
before:
  description: Its status before, in EC2's words.
  returned: always
  type: str
  sample: DOWN
after:
  description: Its status after; null where that was not waited for.
  returned: always
  type: str
  sample: UP
last_replaced:
  description: When a tunnel of the connection was replaced last; null if none was.
  returned: always
  type: str
  sample: "2026-01-01T00:00:00Z"
seconds:
  description: How long it took from the call until the tunnel was up.
  returned: always
  type: float
  sample: 184.2
text:
  description: The same as a sentence.
  returned: always
  type: str
  sample: 203.0.113.10 of vpn-0123456789abcdef0 was replaced, and is up after 184 s.
"""

from dataclasses import asdict
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, managed_tunnel
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError


def wish(given: dict[str, Any]) -> managed_tunnel.Wish:
    """What the options say; VpnhaError when they say nothing that could be meant."""
    if given["also_when_up"] and not given["tunnel"]:
        raise VpnhaError("also_when_up needs tunnel: name the tunnel that shall be replaced although it is up.")
    if given["hours_between"] < 1:
        raise VpnhaError(f"hours_between is {given['hours_between']:g}; give at least 1.")
    return managed_tunnel.Wish(
        given["connection"],
        given["tunnel"],
        given["also_when_up"],
        given["apply_pending_maintenance"],
        given["down_seconds"],
        given["hours_between"],
        given["wait_timeout"],
    )


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "connection": {"type": "str", "required": True},
            "tunnel": {"type": "str", "default": ""},
            "also_when_up": {"type": "bool", "default": False},
            "apply_pending_maintenance": {"type": "bool", "default": False},
            "down_seconds": {"type": "float", "default": 0.0},
            "hours_between": {"type": "float", "default": 24.0},
            "wait_timeout": {"type": "float", "default": 1800.0},
        },
        supports_check_mode=True,
    )
    try:
        client = ec2.of_module(module, patient=True)
        result = managed_tunnel.replace(client, wish(module.params), check=module.check_mode)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    diff = {"before": {"status": result.before}, "after": {"status": result.after}}
    module.exit_json(changed=result.replaced, diff=diff, **asdict(result))


if __name__ == "__main__":
    main()
