# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules are given a gateway's tunnels; described in ``doc_fragments/tunnels.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import charon
from .tunnel_load import Wanted

ARGUMENTS: dict[str, dict[str, Any]] = {
    "tunnels": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "connection": {"type": "dict", "required": True},
            "psk": {"type": "str", "default": "", "no_log": True},
            "psk_next": {"type": "str", "default": "", "no_log": True},
            "owners": {"type": "list", "elements": "str", "required": True},
        },
    },
    "directory": {"type": "path", "default": "/etc/swanctl/conf.d"},
    "socket": {"type": "path", "default": charon.SOCKET},
}


def tunnels(params: Mapping[str, Any]) -> list[Wanted]:
    """The tunnels in a module's parameters."""
    return [Wanted(**one) for one in params["tunnels"]]
