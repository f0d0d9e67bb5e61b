# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of modules that work on a gateway's tunnels in strongSwan."""

from __future__ import annotations


class ModuleDocFragment:
    """What ``module_utils/tunnel_arguments.py`` takes."""

    DOCUMENTATION = r"""
options:
  tunnels:
    description: All tunnels that this gateway shall have, in the order in which they are loaded.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the connection.
        type: str
        required: true
      connection:
        description: The connection as VICI's C(load-conn) takes it, the same keys as in C(swanctl.conf).
        type: dict
        required: true
      psk:
        description: The pre-shared key. A tunnel without one authenticates by certificate.
        type: str
        default: ""
      psk_next:
        description:
          - Another one that the peer may use as well, while the key is being changed. strongSwan goes on signing with
            O(tunnels[].psk).
          - A tunnel that M(vpnha.aws.tunnel_rotate) has changed over to this key has it in the place of
            O(tunnels[].psk) from then on, and accepts no other.
        type: str
        default: ""
      owners:
        description: The IKE identities that the keys belong to, ours and the peer's.
        type: list
        elements: str
        required: true
  directory:
    description: Where C(swanctl) reads its files. Certificates and keys lie in directories beside it.
    type: path
    default: /etc/swanctl/conf.d
  socket:
    description: VICI's socket.
    type: path
    default: /run/charon.vici
"""
