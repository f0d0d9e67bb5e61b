# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints docs/diagnoses.md from the engine's closed list: `make docs` writes it, a test compares it."""

from __future__ import annotations

from ansible_collections.vpnha.aws.plugins.module_utils.announced import kind_of
from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES, Diagnosis

_ACTIONS = {
    "swap": "routes move at once",
    "move": "routes move after a delay",
}
_OF_A_TUNNEL = (  # a gateway may have another one, or hand packets over
    "tunnel-nothing-returns", "ike-sa-missing", "child-sa-missing", "peer-not-answering", "charon-dead", "charon-hung",
    "bgp-down",
)  # fmt: skip
_BY_CODE = {
    **dict.fromkeys(_OF_A_TUNNEL, "routes move at once, unless another tunnel or a neighbour gateway carries the site"),
    "managed-silent": "routes move after `managed_patience`",
}


def _then(one: Diagnosis) -> str:
    told = "people are told" if kind_of(one.code) else "recorded"
    return _BY_CODE.get(one.code) or _ACTIONS.get(one.action, told)


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
        lines.append(f"| `{one.code}` | {one.title}. {one.text} | {_then(one)} | {one.what_to_do or 'Nothing.'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
