#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tunnel_rotate
short_description: Change IPsec tunnels over to their next pre-shared keys
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Runs on a gateway. Changes one tunnel after the other over to O(tunnels[].psk_next), which
    M(vpnha.aws.gateway_tunnels) has loaded beside the key in use.
  - Both ends authenticate anew with the next key alone, which builds a new IKE SA in the place of the old one. Where
    packets must not be lost, whatever strongSwan and the peer do meanwhile, hand the gateway's traffic over before it
    with M(vpnha.aws.gateway_handover).
  - A tunnel whose peer does not use the next key yet keeps its key and goes on as before. It is named in RV(waiting),
    which is no failure of the module.
  - A tunnel that has been changed over, or has no next key, is left alone. Who is interrupted runs it again.
extends_documentation_fragment:
  - vpnha.aws.tunnels
requirements:
  - strongSwan 5.9.6 or newer with C(charon-systemd) and C(swanctl)
  - the Python package C(vici) for the interpreter that runs the module
attributes:
  check_mode:
    description: Says which tunnels would be changed over if their peers are ready.
    support: full
  diff_mode:
    description: A diff would have nothing to show but keys.
    support: none
options:
  timeout:
    description: How many seconds both ends may take to authenticate.
    type: float
    default: 15.0
seealso:
  - module: vpnha.aws.gateway_tunnels
  - module: vpnha.aws.gateway_handover
"""

EXAMPLES = r"""
- name: Change the tunnels over whose peers are ready
  vpnha.aws.tunnel_rotate:
    tunnels: "{{ vpnha_checked | vpnha.aws.gateway_tunnels('gw-a', 'xfrm', vpnha_sites) }}"
  vars:
    ansible_python_interpreter: /opt/vpnha/venv/bin/python
  register: rotation

- name: Say which peers have to be changed first
  ansible.builtin.debug:
    msg: "{{ rotation.waiting | join(', ') }}"
"""

RETURN = r"""
rotated:
  description: Names of the tunnels that were changed over; in check mode, of all that have not been.
  returned: success
  type: list
  elements: str
  sample: [hq-gw-a]
waiting:
  description: Names of the tunnels that keep their key, since their peers do not use the next one yet.
  returned: success
  type: list
  elements: str
  sample: []
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.vpnha.aws.plugins.module_utils import charon, tunnel_arguments
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.quiet_log import QuietLog
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_rotation import PROVING_SECONDS, Rotation

try:
    from vici.exception import CommandException

    HAS_VICI = True
except ImportError:
    HAS_VICI = False

ANSWER_SECONDS = 30.0  # charon answers a listing when it has done with each security association


class QuietModule(QuietLog, AnsibleModule):
    """It is given keys."""


def main() -> None:
    """Entry point."""
    module = QuietModule(
        argument_spec={
            **tunnel_arguments.ARGUMENTS,
            "timeout": {"type": "float", "default": PROVING_SECONDS},
        },
        supports_check_mode=True,
    )
    if not HAS_VICI:
        module.fail_json(msg=missing_required_lib("vici"))
    params = module.params
    rotated, waiting = [], []
    try:
        session = charon.session(params["socket"], ANSWER_SECONDS)
        rotation = Rotation(session, Path(params["directory"]), params["timeout"])
        for wanted in tunnel_arguments.tunnels(params):
            if rotation.due(wanted):
                done = module.check_mode or rotation.change_over(wanted)
                (rotated if done else waiting).append(wanted.name)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        what = error.filename or "VICI"
        module.fail_json(msg=f"Changing the tunnels over stopped ({what}: {error.strerror or error}).")
    except CommandException as error:
        module.fail_json(msg=f"strongSwan refuses a command: {error}.")
    module.exit_json(changed=bool(rotated), rotated=rotated, waiting=waiting)


if __name__ == "__main__":
    main()
