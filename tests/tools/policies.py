# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IAM policies that pages of the documentation show."""

from __future__ import annotations

import json
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
POLICY_PAGE = DOCS / "first-steps-aws.md"


def allowed_actions(page: str) -> set[str]:
    """Every action that the policies of a page allow; there are no wildcards in them."""
    documents = [json.loads(text) for text in re.findall(r"```json\n(\{.*?\n\})\n```", page, flags=re.S)]
    statements = [each for document in documents for each in document["Statement"]]
    return {action for each in statements if each["Effect"] == "Allow" for action in _list(each["Action"])}


def alarm_rights(playbook: str) -> set[str]:
    """The actions that the page on events says a playbook needs."""
    rows = (DOCS / "event-driven.md").read_text().splitlines()
    [row] = [row for row in rows if row.startswith(f"| `{playbook}` |")]
    return set(re.findall(r"`(\w+:\w+\*?)`", row))


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
