# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the fault matrix: a line for each row, and below it what was seen of those that were run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.matrix.results import AS_EXPECTED, LEFT_OUT, NOT_AS_EXPECTED, NOT_STARTED
from lab.reports import render

_CLASSES = {AS_EXPECTED: "yes", NOT_AS_EXPECTED: "no", NOT_STARTED: "no", LEFT_OUT: "soft"}


def page(report: Mapping[str, Any]) -> str:
    """The report (as ``results.report`` makes it) as HTML."""
    filters = {"numbers": _numbers, "style": lambda verdict: _CLASSES.get(verdict, "")}
    return render(Path(__file__).with_name("page.html.j2"), filters=filters, report=report)


def _numbers(values: list[int]) -> str:
    """1, or 1 to 3 where repetitions differ."""
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
