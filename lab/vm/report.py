# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was looked at, what was found, and whether that is what is wanted; kept for whoever wants to cite it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab import reports
from lab.steps import commit

# All that a run writes into its directory: the report, and a log of each time that the role runs.
WRITTEN = ("report.json", "report.html", "role.log", "role-again.log", "role-one-tunnel.log")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    observed: Any
    part: str = ""  # of the run


@dataclass
class Report:
    """All of a run; ``about`` says on what the figures were measured."""

    commit: str = field(default_factory=commit)  # of what is run
    about: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""  # why the run ended before its end
    part: str = field(default="", repr=False)  # which the next checks belong to

    @property
    def passed(self) -> bool:
        """Whether there are checks, all are passed, and nothing ended the run."""
        return bool(self.checks) and not self.error and all(check.passed for check in self.checks)

    def check(self, name: str, passed: bool, observed: Any) -> bool:
        """Note one check; hands back whether it is passed."""
        self.checks.append(Check(name, passed, observed, self.part))
        return passed

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note how long the block takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[what] = round(time.monotonic() - began, 1)

    @staticmethod
    def remove(directory: Path) -> None:
        """Remove what an earlier run has left there, and nothing else: the directory may have files of other people."""
        for name in WRITTEN:
            (directory / name).unlink(missing_ok=True)

    def write(self, directory: Path, title: str) -> Path:
        """Put it there, for programs and for people; returns the file for programs."""
        file = directory / "report.json"
        reports.write(file, self._content())
        file.with_suffix(".html").write_text(self._page(title), encoding="utf-8")
        return file

    def _content(self) -> dict[str, Any]:
        content = asdict(self)
        del content["part"]
        return {"passed": self.passed, **content}

    def _page(self, title: str) -> str:
        parts: dict[str, list[Check]] = {}
        for check in self.checks:
            parts.setdefault(check.part, []).append(check)
        return reports.render(
            Path(__file__).with_name("report.html.j2"), filters={"told": told},
            title=title, written=time.time(), report=self, parts=parts,
        )  # fmt: skip


def told(observed: Any) -> str:
    """What was seen, for people: no brackets, no quotes."""
    if isinstance(observed, Mapping):
        return "; ".join(f"{key}: {told(value)}" for key, value in observed.items())
    if isinstance(observed, list | tuple):
        return ", ".join(told(value) for value in observed)
    if isinstance(observed, bool):
        return "yes" if observed else "no"
    return str(observed)
