# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option that names the deployment a module works on."""

from __future__ import annotations


class ModuleDocFragment:
    """The option O(deployment) of modules that must know the whole deployment."""

    DOCUMENTATION = r"""
options:
  deployment:
    description:
      - The deployment, as M(vpnha.aws.deployment_check) returns it in RV(vpnha.aws.deployment_check#module:deployment).
      - In EC2 everything is found by the tag C(vpnha:deployment) with its name.
    type: dict
    required: true
"""
