# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that reads a maintenance window."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import maintenance_window
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError


def window(value: Mapping[str, Any], where: str = "window") -> dict[str, str]:
    """What the window amounts to; what is wrong with it stands under ``refused``, which is else empty."""
    # Ansible's strings carry their origin in a subclass
    plain = json.loads(json.dumps(value))
    if not isinstance(plain, dict):
        return {"refused": f"{where}: a mapping with {', '.join(maintenance_window.KEYS)} is needed."}
    try:
        found = maintenance_window.read(plain, where)
    except VpnhaError as error:
        return {"refused": str(error)}
    return {"refused": "", "rule": found.rule, "text": str(found)}


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by name."""
        return {"maintenance_window": window}
