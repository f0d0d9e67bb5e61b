# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints docs/diagnoses.md from the engine's closed list: `make docs` writes it, a test compares it."""

from __future__ import annotations

from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES

_ACTIONS = {
    "swap": "routes move at once",
    "move": "routes move after a delay",
    "told": "people are told",
    "none": "recorded",
}


def page() -> str:
    """The page, as Markdown."""
    lines = [
        "# Diagnoses",
        "",
        "Every name that the log, the journal, `vpnha status` and the metrics use, from `module_utils/diagnoses.py`.",
        "",
        "| code | what it means | then | what to do |",
        "| --- | --- | --- | --- |",
    ]
    for one in DIAGNOSES.values():
        lines.append(
            f"| `{one.code}` | {one.title}. {one.text} | {_ACTIONS[one.action]} | {one.what_to_do or 'Nothing.'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
