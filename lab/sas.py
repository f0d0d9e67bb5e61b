# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's tunnels that are up, read from what ``swanctl --list-sas`` prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TUNNEL = re.compile(r"^(\S+): #(\d+), ESTABLISHED", flags=re.MULTILINE)
_IKE_SUITE = re.compile(r"^ {2}([A-Z0-9_]+-\d+/\S+)$", flags=re.MULTILINE)
_ESP_SUITE = re.compile(r"INSTALLED, \S+, ESP:(\S+)")


@dataclass(frozen=True)
class Sa:
    """An established tunnel, as swanctl shows it."""

    number: str  # of its IKE SA; another one is another negotiation
    ike: str
    esp: str


def established(said: str) -> dict[str, Sa]:
    """The tunnels that are up, by name, in the output of ``swanctl --list-sas``."""
    found = {}
    for one in _TUNNEL.finditer(said):
        text = said[one.start() :]
        end = re.search(r"\n\S", text)
        text = text[: end.start()] if end else text
        ike, esp = _IKE_SUITE.search(text), _ESP_SUITE.search(text)
        found[one[1]] = Sa(one[2], ike[1] if ike else "", esp[1] if esp else "")
    return found
