# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a row of the matrix records, made by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

HQ, PLANT, OTHER = "rtb-1 192.168.10.0/24", "rtb-1 192.168.20.0/24", "rtb-2 192.168.10.0/24"
HOME = {
    HQ: {"gateway": "gw-a", "site": "hq"},
    PLANT: {"gateway": "gw-a", "site": "plant"},
    OTHER: {"gateway": "gw-b", "site": "hq"},
}


def change(route: str, *way: str, by: str = "monitor") -> list[dict[str, Any]]:
    """Changes of a route along a way of gateways."""
    return [{"wall": 1.0, "route": route, "from": a, "to": b, "by": by} for a, b in pairwise(way)]


def event(code: str, subject: str = "gw-a", resolved: bool = False) -> dict[str, Any]:
    """A line of the journal."""
    return {"wall": 1.0, "code": code, "subject": subject, "text": f"{code}.", "resolved": resolved}


def observation(**more: Any) -> dict[str, Any]:
    """A row in which nothing happened."""
    return {
        "started": 0.0, "injected": 0.5, "healed": 10.0, "ended": 20.0, "commit": "abc", "home": HOME,
        "changes": [], "repairs": [], "tries": 0, "calls": {}, "refused": {}, "events": [], "facts": [], "marks": [],
        "sent": 1000, "lost": 0, "outage_ms": 0.0, "lost_healing": 0, "streams": [], "flaps": 0, "plaintext": None,
        "act_problem": "", "recovery_problem": "", **more,
    }  # fmt: skip
