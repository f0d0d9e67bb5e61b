#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_vpn_info
short_description: Show AWS-managed VPN connections and the health of their tunnels
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Reads AWS-managed VPN connections with their tunnels, EC2's telemetry of these, and the CloudWatch metrics
    C(TunnelState), C(TunnelDataIn) and C(TunnelDataOut) of the last 20 minutes.
  - Says for each tunnel and each connection how it is, and why. A tunnel without data points is never called up.
  - Pre-shared keys and the configuration of the customer gateway are neither read nor returned.
  - CloudWatch is asked for 500 metrics at once, which is 41 connections of two tunnels. It bills each metric asked for.
options:
  connection_ids:
    description: Only these VPN connections. One that was deleted is then shown as well while EC2 still lists it.
    type: list
    elements: str
    default: []
  filters:
    description:
      - Only VPN connections that match these filters of C(DescribeVpnConnections), each a value or a list of values.
      - C(tag:NAME) finds them by a tag.
    type: dict
    default: {}
extends_documentation_fragment:
  - vpnha.aws.attributes
  - vpnha.aws.attributes.info
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: vpnha.aws.managed_vpn_alarms
  - module: vpnha.aws.vpn_health_info
    description: The same for the tunnels of a gateway.
"""

EXAMPLES = r"""
- name: Look at all AWS-managed VPN connections of the region
  vpnha.aws.managed_vpn_info:
    region: eu-central-1
  register: managed

- name: Stop here unless the office's connections are up with both tunnels
  vpnha.aws.managed_vpn_info:
    region: eu-central-1
    filters:
      "tag:site": office
  register: office
  failed_when: office.connections | rejectattr('state', 'equalto', 'up') | length > 0
"""

RETURN = r"""
connections:
  description: The VPN connections, by id.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the connection.
      type: str
      returned: always
      sample: vpn-0a1b2c3d
    name:
      description: Its tag C(Name); empty if it has none.
      type: str
      returned: always
    state:
      description:
        - V(up) if all its tunnels are.
        - V(degraded) if one of them is, or only in part.
        - V(silent) if one of them looks up and sends, but nothing comes back by any.
        - V(down) if none is up, or the connection is deleted.
        - V(unknown) if not enough is known.
      type: str
      returned: always
      sample: degraded
    reason:
      description: Why, in one or two sentences.
      type: str
      returned: always
    ec2_state:
      description: State of the connection in EC2's words, as V(available).
      type: str
      returned: always
    vpn_gateway_id:
      description: Its virtual private gateway; empty if it has none.
      type: str
      returned: always
    transit_gateway_id:
      description: Its transit gateway; empty if it has none.
      type: str
      returned: always
    customer_gateway_id:
      description: Its customer gateway.
      type: str
      returned: always
    static_routes_only:
      description: Whether it does without BGP.
      type: bool
      returned: always
    tags:
      description: Its tags.
      type: dict
      returned: always
    tunnels:
      description: Its tunnels.
      type: list
      elements: dict
      returned: always
      contains:
        address:
          description: The outside address on AWS's side.
          type: str
          returned: always
          sample: 203.0.113.1
        inside_cidr:
          description: The range of its inside addresses; empty if EC2 does not say.
          type: str
          returned: always
        state:
          description: V(up), V(degraded), V(silent), V(down) or V(unknown).
          type: str
          returned: always
        reason:
          description: Why, in one sentence.
          type: str
          returned: always
        status:
          description: What EC2's telemetry says, V(UP) or V(DOWN); empty if nothing.
          type: str
          returned: always
        status_message:
          description: EC2's message with it, as V(IPSEC IS DOWN).
          type: str
          returned: always
        status_since:
          description: When that status began; null if EC2 does not say.
          type: str
          returned: always
          sample: "2026-01-01T00:00:00Z"
        accepted_routes:
          description: How many routes were accepted by BGP; null if EC2 does not say.
          type: int
          returned: always
        tunnel_state:
          description: The newest data point of C(TunnelState), 0 to 1; null if there is none.
          type: float
          returned: always
        tunnel_state_at:
          description: Begin of the minute that it is of; null if there is none.
          type: str
          returned: always
          sample: "2026-01-01T00:00:00Z"
        bytes_in:
          description: Bytes received from the customer gateway in the last 20 minutes; null if nothing is known.
          type: int
          returned: always
        bytes_out:
          description: Bytes sent to it, likewise.
          type: int
          returned: always
summary:
  description: The same for people, one sentence or two for each connection.
  returned: success
  type: list
  elements: str
  sample: ["vpn-0a1b2c3d (office) is up. All its tunnels are up."]
"""

import time

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.transformation import ansible_dict_to_boto3_filter_list
from ansible_collections.vpnha.aws.plugins.module_utils import ec2, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.managed_vpn import (
    ManagedConnection,
    ManagedTunnel,
    read_connections,
)


def _time(wall: float | None) -> str | None:
    return None if wall is None else tags.format_time(wall)


def shown_tunnel(tunnel: ManagedTunnel) -> dict[str, object]:
    """A tunnel as the module returns it."""
    said, metrics = tunnel.telemetry, tunnel.metrics
    newest = metrics.state[-1] if metrics.state else None
    return {
        "address": tunnel.address,
        "inside_cidr": tunnel.inside_cidr,
        "state": str(tunnel.state),
        "reason": tunnel.reason,
        "status": said.status,
        "status_message": said.message,
        "status_since": _time(said.since_wall),
        "accepted_routes": said.accepted_routes,
        "tunnel_state": newest.value if newest else None,
        "tunnel_state_at": _time(newest.at_wall) if newest else None,
        "bytes_in": metrics.bytes_in,
        "bytes_out": metrics.bytes_out,
    }


def shown(connection: ManagedConnection) -> dict[str, object]:
    """A connection as the module returns it."""
    return {
        "id": connection.id,
        "name": connection.name,
        "state": str(connection.state),
        "reason": connection.reason,
        "ec2_state": connection.ec2_state,
        "vpn_gateway_id": connection.vpn_gateway_id,
        "transit_gateway_id": connection.transit_gateway_id,
        "customer_gateway_id": connection.customer_gateway_id,
        "static_routes_only": connection.static_routes_only,
        "tags": dict(connection.tags),
        "tunnels": [shown_tunnel(tunnel) for tunnel in connection.tunnels],
    }


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "connection_ids": {"type": "list", "elements": "str", "default": []},
            "filters": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        found = read_connections(
            ec2.of_module(module, patient=True),
            ec2.of_module(module, patient=True, service="cloudwatch"),
            connection_ids=module.params["connection_ids"],
            filters=ansible_dict_to_boto3_filter_list(module.params["filters"]),
            now=time.time(),
        )
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    summary = [f"{each.title} is {each.state}. {each.reason}" for each in found]
    module.exit_json(changed=False, connections=[shown(each) for each in found], summary=summary)


if __name__ == "__main__":
    main()
