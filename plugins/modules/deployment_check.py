#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
module: deployment_check
version_added: "0.1.0"
short_description: Check the description of a deployment before anything is changed
author: the vpnha.aws contributors (@vpnha)
description:
  - Reads the C(vpnha_) variables that describe a deployment and returns them normalised, with defaults filled in and
    without secrets.
  - Fails with one sentence for each thing that is wrong, all of them at once, saying what, where and how to mend it.
  - A variable that cannot be read at all, because the file or vault that it comes from cannot be, is named with its
    place and the reason, before anything else is looked at.
  - Calls nothing and changes nothing; it is the first task of every playbook and role of this collection.
options:
  description:
    description:
      - The variables, each under its own name, like V(vpnha_deployment), V(vpnha_zones) or V(vpnha_sites).
      - If it is left out, the play's own variables are read.
      - Names that begin with C(vpnha_) and are not part of a description are ignored, unless they look misspelt.
      - Never logged as a whole; pre-shared keys, the heartbeat key, the addresses of C(vpnha_notify_apprise) and
        V(vpnha_pip_index_url) appear in no message and no result.
    type: dict
  deploying:
    description:
      - Whether V(vpnha_admin_cidrs) and V(vpnha_gateway_ssh_sources) are read as well. They may be looked up anew each
        time, so that they are read only where they are needed.
    type: bool
    default: false
  vpc:
    description:
      - What EC2 says of the VPC, in the form of V(vpnha_vpc), and taken instead of it.
    type: dict
requirements:
  - Python 3.11 or newer
attributes:
  check_mode:
    description: Can run in check mode without difference, because it changes nothing.
    support: full
  diff_mode:
    description: Nothing is changed, so there is no difference to show.
    support: N/A
"""

EXAMPLES = r"""
- name: Check the deployment that the play's variables describe
  vpnha.aws.deployment_check:
  delegate_to: localhost
  run_once: true
  register: vpnha_checked

- name: Check one that is put together
  vpnha.aws.deployment_check:
    description:
      vpnha_deployment: "{{ vpnha_deployment }}"
      vpnha_region: "{{ vpnha_region }}"
      vpnha_vpc: "{{ vpnha_vpc }}"
      vpnha_zones: "{{ vpnha_zones }}"
      vpnha_gateways: "{{ vpnha_gateways }}"
      vpnha_monitors: "{{ vpnha_monitors }}"
      vpnha_sites: "{{ vpnha_sites }}"
      vpnha_heartbeat_key: "{{ vpnha_heartbeat_key }}"
  delegate_to: localhost
  run_once: true
  register: vpnha_checked

- name: Show the sites' tunnels as the gateways will have them
  ansible.builtin.debug:
    var: vpnha_checked.deployment.tunnels
"""

RETURN = r"""
deployment:
  description:
    - The deployment, normalised; the form in which the monitor and the agents get it. It has no secrets.
  returned: success
  type: dict
  contains:
    name:
      description: The deployment's name.
      type: str
      sample: lab
    region:
      description: The AWS region.
      type: str
      sample: eu-central-1
    vpc_cidrs:
      description: >-
        The VPC's networks of IPv4 and IPv6; of IPv4 the subnets named in V(vpnha_zones) where the VPC's are not given.
      type: list
      elements: str
      sample: [10.20.0.0/16]
    asn:
      description: The BGP AS number of the gateways.
      type: int
      sample: 64512
    zones:
      description: >-
        Each zone's C(name), C(gateway_subnet), C(app_subnets), C(near), C(gateway_subnet_ipv6) and C(app_subnets_ipv6).
      type: list
      elements: dict
    gateways:
      description:
        - Each gateway's C(name), C(zone), C(address), C(home_zones), C(capacity) and C(certificate_ends).
      type: list
      elements: dict
    sites:
      description:
        - Each site's C(name), C(prefixes), C(probe_targets), C(routing), C(by_prefix_list), C(prefix_list) and
          C(prefix_list_ipv6).
        - The last two are the ids of the site's prefix lists, which are not known here; see
          P(vpnha.aws.with_prefix_lists#filter).
      type: list
      elements: dict
    tunnels:
      description:
        - Each tunnel's C(name), C(site), C(gateway), C(peer_address), C(peer_id), C(local_id), C(inside_address),
          C(peer_inside_address), C(inside_cidr), C(peer_asn), C(initiate), C(if_id) and C(auth).
      type: list
      elements: dict
    monitors:
      description: Each monitor's C(name), C(zone) and C(address).
      type: list
      elements: dict
    managed_gateways:
      description: Each managed gateway's C(name), C(vpn_gateway), C(use), C(home_zones) and C(probes).
      type: list
      elements: dict
    timing:
      description: Every delay in seconds, with the defaults filled in.
      type: dict
    spread:
      description: Where the zones of a lost gateway go first, V(distance) or V(capacity).
      type: str
    repair:
      description: What the monitor may do to a gateway that stays down, V(none), V(reboot), V(restart) or V(replace).
      type: str
remarks:
  description: What is allowed but probably not meant, one sentence each; also shown as warnings.
  returned: success
  type: list
  elements: str
  sample: ["Site plant has tunnels to gw-a only: if that gateway fails, it is cut off."]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vpnha.aws.plugins.module_utils import description, group_rules
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError

_SECRETS = (
    "psk", "psk_next", "private_key", "vpnha_heartbeat_key", "vpnha_heartbeat_other_keys", "vpnha_notify_apprise",
    "vpnha_pip_index_url",
)  # fmt: skip


def main() -> None:
    """Check the description, and return it normalised."""
    module = AnsibleModule(
        argument_spec={
            "description": {"type": "dict", "no_log": True},
            "deploying": {"type": "bool", "default": False},  # for the action plugin
            "vpc": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    variables = dict(module.params["description"] or {})
    if module.params["vpc"] is not None:
        variables["vpnha_vpc"] = module.params["vpc"]
    # no_log on the whole would also blank every name and address in the result: hide the secrets only
    module.no_log_values = set(_secrets(variables))
    try:
        deployment = description.parse(variables)
    except DescriptionError as error:
        module.fail_json(msg=error.message)
    checked = description.to_dict(deployment)
    remarks = [*description.remarks(deployment), *group_rules.crowded(checked)]
    for remark in remarks:
        module.warn(remark)
    module.exit_json(changed=False, deployment=checked, remarks=remarks)


def _secrets(value: Any, secret: bool = False) -> list[str]:
    """Every string and number under a key that names a secret."""
    if isinstance(value, dict):
        return [found for key, member in value.items() for found in _secrets(member, secret or key in _SECRETS)]
    if isinstance(value, list):
        return [found for member in value for found in _secrets(member, secret)]
    return [str(value)] if secret and value not in (None, "") and not isinstance(value, bool) else []


if __name__ == "__main__":
    main()
