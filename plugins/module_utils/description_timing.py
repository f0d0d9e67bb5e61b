# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The delays of a description: each within the range in which the promises hold."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .description_fields import Section, shown
from .model import Timing

# least and most, in the field's own unit (seconds, a share, or moves an hour)
RANGES: dict[str, tuple[float, float]] = {
    "heartbeat_interval": (0.01, 1.0),
    "window": (0.2, 30.0),
    "tunnel_window": (0.2, 30.0),
    "bgp_grace": (0.0, 60.0),
    "grey_loss": (0.02, 0.9),
    "grey_window": (2.0, 600.0),
    "voluntary_delay": (1.0, 3600.0),
    "hold_down": (1.0, 3600.0),
    "hold_down_max": (1.0, 86400.0),
    "flap_memory": (1.0, 86400.0),
    "voluntary_moves_per_hour": (1, 1000),
    "loop_lag": (0.05, 5.0),
    "ec2_interval": (1.0, 300.0),
    "agent_silence_warning": (1.0, 3600.0),
    "managed_interval": (0.05, 10.0),
    "managed_window": (1.0, 300.0),
    "managed_patience": (1.0, 3600.0),
    "managed_read": (10.0, 600.0),
    "repair_after": (5.0, 3600.0),
    "repair_interval": (30.0, 86400.0),
    "repairs_per_day": (1, 10),  # their times must fit into a tag
}
_WHOLE = ("voluntary_moves_per_hour", "repairs_per_day")
_PROBES_LEAST = 5  # in a window; fewer make false alarms likely (see the documentation's arithmetic)


def timing(section: Section) -> Timing:
    """The defaults with the user's overrides; problems are noted in the section."""
    section = Section(section.problems, section.where, section.value, tuple(field.name for field in fields(Timing)))
    values: dict[str, Any] = {}
    for key, (least, most) in RANGES.items():
        value = section.value.get(key)
        if isinstance(value, str):
            value = _number(value)
        if value is None and section.value.get(key) is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            section.problem(key, f"{shown(section.value[key])} is no number; write one from {least:g} to {most:g}.")
        elif not least <= value <= most:
            section.problem(key, f"{value:g} is out of range; write a number from {least:g} to {most:g}.")
        elif key in _WHOLE:
            values[key] = int(value)
        else:
            values[key] = float(value)
    result = Timing(**values)
    windows = {
        "window": "heartbeat_interval",
        "tunnel_window": "heartbeat_interval",
        "managed_window": "managed_interval",
    }
    for window, name in windows.items():
        interval = getattr(result, name)
        if getattr(result, window) < _PROBES_LEAST * interval:
            section.problem(
                window,
                f"{getattr(result, window):g} holds fewer than {_PROBES_LEAST} probes; "
                f"make it at least {_PROBES_LEAST} times {name} ({interval:g}).",
            )
    if result.hold_down_max < result.hold_down:
        section.problem("hold_down_max", f"it is below hold_down ({result.hold_down:g}); raise it or lower hold_down.")
    if result.grey_window < result.window:
        section.problem("grey_window", f"it is below window ({result.window:g}); raise it.")
    return result


def _number(text: str) -> float | None:
    try:
        return float(text)  # Ansible hands templated numbers over as strings
    except ValueError:
        return None
