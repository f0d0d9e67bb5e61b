#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_tunnels
short_description: Load IPsec tunnels into a running strongSwan, one at a time
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Runs on a gateway. Loads each tunnel that differs into the running strongSwan over VICI, and writes it into a file
    of C(swanctl) for the next start only when strongSwan took it.
  - A tunnel that did not change is not touched, whatever happens to the others.
  - A tunnel that strongSwan refuses keeps its former connection and key; the others are done all the same, and then the
    module fails and names the tunnel and the reason.
  - Files C(vpnha-*.conf) of tunnels that are no longer given are removed, and their connections closed. Other files are
    left alone.
extends_documentation_fragment:
  - vpnha.aws.tunnels
requirements:
  - strongSwan 5.9.6 or newer with C(charon-systemd) and C(swanctl)
  - the Python package C(vici) for the interpreter that runs the module
attributes:
  check_mode:
    description: Compares files and connections, and changes nothing.
    support: full
  diff_mode:
    description: Shows the files without their keys.
    support: full
options:
  credentials:
    description:
      - The gateway's certificate with its key, and the CAs that its peers' certificates are of, for tunnels whose
        connection has C(auth=pubkey). They are brought before the tunnels, and interrupt nothing; the next
        authentication uses them. Where strongSwan does not read them, the former ones stay.
      - Without any, those that were brought before are removed.
    type: dict
    default: {}
    suboptions:
      certificate:
        description: The gateway's certificate, in PEM.
        type: str
      private_key:
        description: The key that belongs to it, in PEM, without a passphrase.
        type: str
      authorities:
        description: Certificates of CAs, each in PEM.
        type: list
        elements: str
        default: []
  swanctl:
    description: The program that has strongSwan read O(credentials) anew.
    type: path
    default: /usr/sbin/swanctl
  wait:
    description: How many seconds to wait for strongSwan to answer.
    type: float
    default: 10.0
"""

EXAMPLES = r"""
- name: Load the tunnels of this gateway
  vpnha.aws.gateway_tunnels:
    tunnels: "{{ vpnha_checked | vpnha.aws.gateway_tunnels('gw-a', 'xfrm', vpnha_sites) }}"
  vars:
    ansible_python_interpreter: /opt/vpnha/venv/bin/python

- name: One tunnel, written out
  vpnha.aws.gateway_tunnels:
    tunnels:
      - name: hq-gw-a
        psk: "{{ vault_hq_psk }}"
        owners: [gw-a.prod, 198.51.100.11]
        connection:
          version: "2"
          local_addrs: [10.20.0.10]
          remote_addrs: [198.51.100.11]
          proposals: [aes256gcm16-prfsha384-ecp384]
          local: {auth: psk, id: gw-a.prod}
          remote: {auth: psk, id: 198.51.100.11}
          children:
            hq-gw-a:
              local_ts: [10.20.0.0/16, 169.254.10.0/30]
              remote_ts: [192.168.10.0/24, 169.254.10.0/30]
              esp_proposals: [aes256gcm16-ecp384]
              start_action: trap|start
"""

RETURN = r"""
loaded:
  description: Names of the tunnels that were loaded because they or their keys differ.
  returned: success
  type: list
  elements: str
  sample: [hq-gw-a]
credentials_changed:
  description: Whether O(credentials) were others than those that were there.
  returned: success
  type: bool
  sample: false
removed:
  description: Names of the tunnels that were closed and whose files were removed.
  returned: success
  type: list
  elements: str
  sample: []
up:
  description:
    - Names of all connections that were established before anything was done; empty where strongSwan was not asked, as
      in check mode where it does not run, or without the Python package C(vici).
  returned: success
  type: list
  elements: str
  sample: [hq-gw-a]
resets:
  description:
    - The ones of RV(up) that were closed, or in check mode would be, because their connection changes or is removed.
      Those that are still wanted are opened again at once. A change of the key alone closes nothing.
  returned: success
  type: list
  elements: str
  sample: []
failed_tunnels:
  description: For each tunnel that strongSwan refused, one sentence that says why.
  returned: when strongSwan refused a tunnel
  type: dict
  sample:
    hq-gw-a: "strongSwan refuses the connection hq-gw-a (invalid value for: proposals); nothing was loaded for it."
"""

import importlib.util
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.vpnha.aws.plugins.module_utils import charon, credentials_load, tunnel_arguments
from ansible_collections.vpnha.aws.plugins.module_utils.credentials_load import Credentials
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.quiet_log import QuietLog
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_load import apply

HAS_VICI = importlib.util.find_spec("vici") is not None
ANSWER_SECONDS = 10.0  # a connection that starts at once may take a moment to load


class QuietModule(QuietLog, AnsibleModule):
    """It is given keys."""


CREDENTIALS: dict[str, dict[str, Any]] = {
    "certificate": {"type": "str"},
    "private_key": {"type": "str", "no_log": True},
    "authorities": {"type": "list", "elements": "str", "default": []},
}


def bring(module: QuietModule) -> bool:
    """Bring certificate, key and CAs; whether they differ. Raises VpnhaError."""
    given = module.params["credentials"] or {}

    def reload() -> None:
        code, out, err = module.run_command([module.params["swanctl"], "--load-creds", "--clear", "--noprompt"])
        if code != 0:
            raise VpnhaError(f"strongSwan does not read its certificates anew: {(err or out).strip()[-300:]}")

    wanted = None
    if given.get("certificate"):
        wanted = Credentials(given["certificate"], given["private_key"] or "", tuple(given["authorities"]))
    return credentials_load.apply(Path(module.params["directory"]).parent, wanted, reload, module.check_mode)


def runs(socket: str) -> bool:
    """Whether strongSwan is there to be asked. One that was killed leaves its socket behind."""
    asking = charon.Charon(socket)
    try:
        return asking.state() != "dead"
    finally:
        asking.close()


def main() -> None:
    """Entry point."""
    module = QuietModule(
        argument_spec={
            **tunnel_arguments.ARGUMENTS,
            "credentials": {"type": "dict", "default": {}, "options": CREDENTIALS},
            "swanctl": {"type": "path", "default": "/usr/sbin/swanctl"},
            "wait": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    if not HAS_VICI and not module.check_mode:
        module.fail_json(msg=missing_required_lib("vici"))
    params = module.params
    try:
        asked = HAS_VICI and (not module.check_mode or runs(params["socket"]))
        session = charon.session(params["socket"], ANSWER_SECONDS, params["wait"]) if asked else None
        credentials = bring(module)
        outcome = apply(session, Path(params["directory"]), tunnel_arguments.tunnels(params), check=module.check_mode)
    except VpnhaError as error:
        module.fail_json(msg=str(error))
    result = {
        "changed": bool(outcome.changed or outcome.removed or credentials),
        "credentials_changed": credentials,
        "loaded": outcome.changed,
        "removed": outcome.removed,
        "up": outcome.up,
        "resets": outcome.resets,
        "diff": {"before": outcome.before, "after": outcome.after},
    }
    if outcome.failed:
        module.fail_json(msg=" ".join(outcome.failed.values()), failed_tunnels=outcome.failed, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
