# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the fault matrix: a line for each row, and below it what was seen of those that were run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.matrix.results import AS_EXPECTED, LEFT_OUT, NOT_AS_EXPECTED, NOT_STARTED

_TEMPLATES = Path(__file__).resolve().parent
_CLASSES = {AS_EXPECTED: "yes", NOT_AS_EXPECTED: "no", NOT_STARTED: "no", LEFT_OUT: "soft"}


def page(report: Mapping[str, Any]) -> str:
    """The report (as ``results.report`` makes it) as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    environment.filters.update(moment=_moment, numbers=_numbers, style=lambda verdict: _CLASSES.get(verdict, ""))
    return environment.get_template("page.html.j2").render(report=report)


def _moment(wall: float | None) -> str:
    return "" if wall is None else datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _numbers(values: list[int]) -> str:
    """1, or 1 to 3 where repetitions differ."""
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
