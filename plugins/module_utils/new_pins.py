# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pins that a person's swap sets before it, and takes back where nothing moved.

A pin keeps the monitors away from a table whatever its routes lead to. Where they are not where the pin says, it would
only keep them from being moved away from a gateway that fails.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import ec2, marks, tags
from .errors import Ec2Error
from .model import Ec2View, Pin, RouteKey
from .routes import Line


@dataclass(frozen=True)
class Undone:
    """What became of new pins where swaps failed."""

    tables: tuple[str, ...] = ()  # that are pinned, or not, as they were before
    told: tuple[str, ...] = ()  # one sentence each


@dataclass
class NewPins:
    """One pin for all of some tables."""

    client: Any
    tables: Sequence[str]
    pin: Pin
    _earlier: dict[str, str] = field(default_factory=dict)  # what it replaces, word for word

    def set(self, view: Ec2View) -> None:
        """Raises Ec2Error."""
        if replaced := [table for table in self.tables if table in view.table_pins]:
            found = ec2.pages(
                self.client, "describe_tags", "Tags", "reading the pins",
                Filters=[{"Name": "resource-id", "Values": replaced}, {"Name": "key", "Values": [tags.PIN]}],
            )  # fmt: skip
            self._earlier = {tag["ResourceId"]: tag["Value"] for tag in found}
        if self.tables:
            marks.pin(self.client, self.tables, self.pin)

    def take_back(self, failed: Sequence[Line], there: Collection[RouteKey]) -> Undone:
        """Puts back what was before in tables with failed routes of which none is ``there``; tells what it did.

        ``there``: routes that lead where they should, or perhaps do.
        """
        ours = [line for line in failed if line.key.table_id in self.tables]
        right = {key.table_id for key in there}
        idle = sorted({line.key.table_id for line in ours} - right)
        told, back = self._put_back(idle)
        held = [f"{line.key} ({_leads_to(line)})" for line in ours if line.key.table_id in right]
        if held:
            until = tags.format_time(self.pin.expires_wall)
            told.append(
                f"The new pin keeps {', '.join(held)} there until {until}, out of the monitors' hands: run this again, "
                "or end the pin."
            )
        return Undone(tuple(sorted(back)), tuple(told))

    def _put_back(self, tables: Sequence[str]) -> tuple[list[str], list[str]]:
        """What there is to say, and the tables where it was done."""
        told, removed, restored = [], [], []
        try:
            if new := [table for table in tables if table not in self._earlier]:
                marks.unpin(self.client, new)
                removed = new
            for table in (table for table in tables if table in self._earlier):
                marks.set_tag(self.client, [table], tags.PIN, self._earlier[table])
                restored.append(table)
        except Ec2Error as error:
            left = ", ".join(table for table in tables if table not in {*removed, *restored})
            told.append(f"No route of {left} moved, but its new pin stays, so end it yourself: {error}")
        if removed:
            told.append(f"No route of {', '.join(removed)} moved, so the new pin was removed.")
        if restored:
            told.append(f"No route of {', '.join(restored)} moved, so the earlier pin was put back.")
        return told, [*removed, *restored]


def _leads_to(line: Line) -> str:
    return f"at {line.route.gateway or line.route.target}" if line.route else "missing"
