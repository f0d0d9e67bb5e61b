#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_health_info
short_description: Show what a gateway's IPsec tunnels are and what they really carry
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Runs on a gateway. Asks charon for every IKE and CHILD SA, and probes every tunnel with small ICMP echo packets,
    from the tunnel's own inside address to the peer's and to the site's probe targets.
  - What the probes say decides the verdict; what charon says gives the reasons. An SA that looks fine and carries
    nothing is down.
  - Fails when nothing can be said, because strongSwan is not installed, its socket is out of reach or probes cannot be
    sent. A charon that is dead or hangs is no failure of the module but a verdict, unless O(wait=true).
extends_documentation_fragment:
  - vpnha.aws.attributes.info
requirements:
  - Python 3.11 or newer on the gateway
  - The Python library C(vici) on the gateway; the role C(vpnha.aws.runtime) has it in C(/opt/vpnha/venv)
options:
  config:
    description:
      - The agent's configuration on the gateway, from which the tunnels are taken. Not read when O(tunnels) is given.
    type: path
    default: /etc/vpnha/agent.json
  tunnels:
    description: The tunnels, on a host that has no agent.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the tunnel, which is that of its connection and of its child in swanctl's configuration.
        type: str
        required: true
      site:
        description: Name of the site that it leads to; by default that of the tunnel.
        type: str
      peer:
        description: The peer's address inside the tunnel, or another that only this tunnel leads to.
        type: str
        required: true
      source:
        description: Our address inside the tunnel; the kernel chooses one if it is not given.
        type: str
        default: ""
      device:
        description: The tunnel's device, such as an XFRM interface; by routing if it is not given.
        type: str
        default: ""
      targets:
        description:
          - Addresses at the site that answer ICMP echo. To one of IPv6 the probes come from the address of IPv6 that
            belongs to the tunnel's O(tunnels[].source).
        type: list
        elements: str
        default: []
  vici_socket:
    description: charon's VICI socket; by default that of O(config), or C(/run/charon.vici).
    type: path
  count:
    description: Probes sent on each path.
    type: int
    default: 10
  interval:
    description: Seconds between two of them.
    type: float
    default: 0.05
  wait:
    description: Look again, once a second, until every tunnel is V(up), and fail when that takes too long.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds to wait at most.
    type: int
    default: 60
  wait_for:
    description: Names of the tunnels that O(wait) waits for; all if empty. A name that no tunnel has is not waited for.
    type: list
    elements: str
    default: []
seealso:
  - module: vpnha.aws.vpn_ha_info
  - module: vpnha.aws.gateway_tunnels
"""

EXAMPLES = r"""
- name: Look at this gateway's tunnels
  vpnha.aws.vpn_health_info:
  vars:
    ansible_python_interpreter: /opt/vpnha/venv/bin/python
  register: health

- name: Say what is wrong, and what to do
  ansible.builtin.debug:
    msg: "{{ item.name }} is {{ item.verdict }}: {{ (item.reasons_text + item.advice) | join(' ') }}"
  loop: "{{ health.tunnels | rejectattr('verdict', 'equalto', 'up') }}"
  loop_control:
    label: "{{ item.name }}"

- name: Go on when all tunnels carry packets
  vpnha.aws.vpn_health_info:
    wait: true
    wait_timeout: 120
  vars:
    ansible_python_interpreter: /opt/vpnha/venv/bin/python

- name: Look at a tunnel on a host that another tool has set up
  vpnha.aws.vpn_health_info:
    tunnels:
      - name: office
        peer: 169.254.20.2
        source: 169.254.20.1
        targets: [192.168.50.10]
"""

RETURN = r"""
healthy:
  description: Whether every tunnel is V(up). So it is on a gateway that is described without any.
  returned: always
  type: bool
certificate_ends:
  description:
    - When the gateway's certificate ends, in seconds since the epoch; null if it has none, or O(tunnels) is given. A
      warning says so from 30 days before.
  returned: always
  type: float
  sample: 1798761600.0
charon:
  description: strongSwan's daemon.
  returned: always
  type: dict
  contains:
    state:
      description: V(alive), V(hung) when it does not answer within 0.3 seconds, or V(dead).
      type: str
      returned: always
      sample: alive
    version:
      description: Its version; empty unless it is alive.
      type: str
      returned: always
      sample: 6.0.1
tunnels:
  description: The tunnels, in the order of the configuration.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the tunnel.
      type: str
      returned: always
      sample: hq-gw-a
    site:
      description: The site it leads to.
      type: str
      returned: always
      sample: hq
    verdict:
      description: V(up), V(grey) when it loses a considerable share of the packets, V(down), or V(unknown).
      type: str
      returned: always
      sample: up
    reasons:
      description: >-
        Codes of the diagnoses, such as V(tunnel-up), V(charon-dead), V(charon-hung), V(ike-sa-missing),
        V(child-sa-missing), V(tunnel-nothing-returns), V(peer-not-answering), V(tunnel-grey).
      type: list
      elements: str
      returned: always
      sample: [tunnel-up]
    reasons_text:
      description: The same in words.
      type: list
      elements: str
      returned: always
      sample: [Tunnel carries packets]
    advice:
      description: What to do about them.
      type: list
      elements: str
      returned: always
      sample: []
    ike:
      description: V(established), V(connecting), V(missing) or V(unknown).
      type: str
      returned: always
      sample: established
    child:
      description: V(installed), V(missing) or V(unknown).
      type: str
      returned: always
      sample: installed
    sas:
      description: Its IKE SAs; several established ones are duplicates.
      type: list
      elements: dict
      returned: always
      contains: &sa
        name:
          description: Name of the connection.
          type: str
          returned: always
        unique_id:
          description: charon's number for it.
          type: str
          returned: always
        state:
          description: charon's word for its state.
          type: str
          returned: always
          sample: ESTABLISHED
        initiator:
          description: Whether this host initiated it.
          type: bool
          returned: always
        remote_host:
          description: The peer's address.
          type: str
          returned: always
        remote_id:
          description: The peer's IKE identity.
          type: str
          returned: always
        established:
          description: How many seconds ago it was established; null if it is not.
          type: int
          returned: always
        answered:
          description: Whether the peer has ever answered.
          type: bool
          returned: always
        tasks:
          description: Exchanges that wait for the peer's answer.
          type: list
          elements: str
          returned: always
        children:
          description: Its CHILD SAs, those left over from a rekeying as well.
          type: list
          elements: dict
          returned: always
          contains:
            name:
              description: Name of the child.
              type: str
              returned: always
            unique_id:
              description: charon's number for it.
              type: str
              returned: always
            state:
              description: charon's word for its state.
              type: str
              returned: always
              sample: INSTALLED
            spi_in:
              description: SPI of packets from the peer, in hexadecimal.
              type: str
              returned: always
            spi_out:
              description: SPI of packets to the peer, in hexadecimal.
              type: str
              returned: always
            packets_in:
              description: Packets from the peer.
              type: int
              returned: always
            packets_out:
              description: Packets to the peer.
              type: int
              returned: always
            bytes_in:
              description: Bytes from the peer.
              type: int
              returned: always
            bytes_out:
              description: Bytes to the peer.
              type: int
              returned: always
            last_in:
              description: Seconds since the last packet from the peer; null if there was none.
              type: int
              returned: always
            last_out:
              description: Seconds since the last packet to the peer; null if there was none.
              type: int
              returned: always
            installed:
              description: Seconds since it was installed.
              type: int
              returned: always
    probe:
      description: The probes to the peer's inside address.
      type: dict
      returned: always
      contains: &probe
        target:
          description: Where they went.
          type: str
          returned: always
        sent:
          description: How many were sent.
          type: int
          returned: always
        received:
          description: How many were answered.
          type: int
          returned: always
        loss:
          description: The share that was not, from 0 to 1.
          type: float
          returned: always
        rtt_ms:
          description: Round trip in milliseconds, as C(min), C(median) and C(max); null without an answer.
          type: dict
          returned: always
        error:
          description: Why probes could not be sent, such as V(ENODEV) when the tunnel's device is missing; else empty.
          type: str
          returned: always
    targets:
      description: The probes to each of the site's probe targets.
      type: list
      elements: dict
      returned: always
      contains: *probe
sites:
  description: The sites, as seen through this gateway.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the site.
      type: str
      returned: always
    verdict:
      description: The verdict on its best tunnel.
      type: str
      returned: always
    tunnels:
      description: Its tunnels on this gateway.
      type: list
      elements: str
      returned: always
    loss:
      description: Share of probes lost, to the probe target that answers best.
      type: float
      returned: always
    rtt_ms:
      description: Round trip to it in milliseconds, as C(min), C(median) and C(max); null without an answer.
      type: dict
      returned: always
other_sas:
  description: IKE SAs that belong to none of the tunnels.
  returned: always
  type: list
  elements: dict
  contains: *sa
summary:
  description: One sentence for each tunnel.
  returned: always
  type: list
  elements: str
  sample: ["hq-gw-a: Tunnel carries packets"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vpnha.aws.plugins.module_utils import charon, vpn_health
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

TUNNEL_SPEC: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "site": {"type": "str"},
    "peer": {"type": "str", "required": True},
    "source": {"type": "str", "default": ""},
    "device": {"type": "str", "default": ""},
    "targets": {"type": "list", "elements": "str", "default": []},
}
SPEC: dict[str, dict[str, Any]] = {
    "config": {"type": "path", "default": "/etc/vpnha/agent.json"},
    "tunnels": {"type": "list", "elements": "dict", "options": TUNNEL_SPEC},
    "vici_socket": {"type": "path"},
    "count": {"type": "int", "default": 10},
    "interval": {"type": "float", "default": 0.05},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 60},
    "wait_for": {"type": "list", "elements": "str", "default": []},
}


def what_to_examine(params: dict[str, Any]) -> vpn_health.Examination:
    """The module's parameters as the engine takes them. Raises VpnhaError."""
    if not 1 <= params["count"] <= 1000 or not 0.01 <= params["interval"] <= 10:
        raise VpnhaError("count has to be from 1 to 1000, and interval from 0.01 to 10 seconds.")
    if params["tunnels"] is None:
        subjects, socket, grey_loss = vpn_health.from_agent_config(params["config"])
    else:
        socket, grey_loss = charon.SOCKET, vpn_health.GREY_LOSS
        subjects = tuple(vpn_health.subject(tunnel) for tunnel in params["tunnels"])
    if not subjects and params["tunnels"] is not None:
        raise VpnhaError(
            "'tunnels' is empty: give it some, or leave it out on a gateway, whose agent knows its tunnels."
        )
    return vpn_health.Examination(
        subjects, params["vici_socket"] or socket, params["count"], params["interval"], grey_loss
    )


def main() -> None:
    """The module's entry point."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        what = what_to_examine(module.params)
        seconds = module.params["wait_timeout"] if module.params["wait"] else 0
        result = vpn_health.examine_until_healthy(what, seconds, module.params["wait_for"])
        ends, remark = None, ""
        if module.params["tunnels"] is None:
            ends, remark = vpn_health.certificate_remark(module.params["config"])
    except VpnhaError as exc:
        module.fail_json(msg=str(exc))
        return
    result["certificate_ends"] = ends
    if remark:
        module.warn(remark)
    ailing = vpn_health.ailing(result, module.params["wait_for"])
    if module.params["wait"] and ailing:
        sick = [f"{tunnel['name']}: {', '.join(tunnel['reasons_text'])}." for tunnel in ailing]
        module.fail_json(msg=f"After {seconds} s not every tunnel is up. {' '.join(sick)}", changed=False, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
