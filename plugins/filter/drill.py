# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role ``drill``: what it would do, and what speaks against doing it now."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vpnha.aws.plugins.module_utils import drill_hosts, drill_plan, drill_window
from ansible_collections.vpnha.aws.plugins.module_utils.description import from_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError


def plan(checked: Mapping[str, Any], standing: Any = None, addresses: Any = None, **wish: Any) -> dict[str, Any]:
    """``drill_plan.make``; what is wrong with the wish stands under ``refused``, which is else empty.

    With ``standing`` the hosts are placed by their ``addresses`` and the route tables that EC2 shows.
    """
    # Ansible's strings carry their origin in a subclass; the description is read by exact types
    checked, standing, addresses, wish = json.loads(json.dumps([checked, standing, addresses, wish]))
    if standing is not None:
        hosts, described = wish.get("app_hosts") or (), wish.get("host_zones") or {}
        placed = drill_hosts.place(hosts, addresses or {}, described, standing)
        wish |= {"host_zones": placed.zones, "notes": placed.notes, "standing": standing}
    try:
        return {"refused": "", **drill_plan.make(from_dict(checked), drill_plan.Wish(**wish))}
    except VpnhaError as error:
        return {"refused": str(error)}


def objections(status: Mapping[str, Any], drill: str = "") -> list[str]:
    """``drill_plan.objections`` of a monitor's status document."""
    try:
        return drill_plan.objections(status, drill)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"This is no status document of a monitor: {error} is missing.") from error


def window(given: Any, now: float, seconds: float) -> str:
    """``drill_window.objection`` of a window that the plan has found good."""
    return drill_window.objection(drill_window.parse(json.loads(json.dumps(given))), now, seconds)


def schedule(given: Any) -> dict[str, str]:
    """The window in words, and the rule of a schedule that begins with it; what is wrong stands under ``refused``."""
    try:
        found = drill_window.parse(json.loads(json.dumps(given)))
    except VpnhaError as error:
        return {"refused": str(error), "rule": "", "text": ""}
    return {"refused": "", "rule": found.rule if found else "", "text": str(found) if found else ""}


class FilterModule:
    """Ansible's way to find the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "drill_plan": plan,
            "drill_objections": objections,
            "drill_standing": drill_plan.standing_objections,
            "drill_window": window,
            "drill_schedule": schedule,
            "drill_left_behind": drill_plan.left_behind,
        }
