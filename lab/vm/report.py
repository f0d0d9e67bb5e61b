# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was looked at, what was found, and whether that is what is wanted; kept as JSON for whoever wants to cite it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    observed: Any


@dataclass
class Report:
    """All of a run; ``about`` says on what the figures were measured."""

    about: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""  # why the run ended before its end

    @property
    def passed(self) -> bool:
        """Whether there are checks, all are passed, and nothing ended the run."""
        return bool(self.checks) and not self.error and all(check.passed for check in self.checks)

    def check(self, name: str, passed: bool, observed: Any) -> bool:
        """Note one check; hands back whether it is passed."""
        self.checks.append(Check(name, passed, observed))
        return passed

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note how long the block takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] = round(time.monotonic() - began, 1)

    def write(self, path: Path) -> None:
        """Put it there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"passed": self.passed, **asdict(self)}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
