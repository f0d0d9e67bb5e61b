# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that talk to AWS promise alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules in the action group C(aws)."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Set options for this module and those of amazon.aws by C(group/vpnha.aws.aws) in C(module_defaults).
    support: full
    membership:
      - vpnha.aws.aws
  check_mode:
    description: Can run in C(check_mode) and say what would be changed, without changing anything.
    support: full
"""

    DIFF = r"""
options: {}
attributes:
  diff_mode:
    description: Says in diff mode what was changed, or in check mode what would be.
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Only reads, in C(check_mode) as well.
    support: full
  diff_mode:
    description: Changes nothing that could differ.
    support: N/A
"""
