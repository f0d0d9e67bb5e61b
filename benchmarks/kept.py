# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark has measured so far: written after each step, and gone on with by the next run that is like it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import reports
from lab.steps import console

FAILED_MOST = 3  # failures of one thing in a row: then it is not by chance


def wanting(done: Sequence[Mapping[str, Any]], runs: int) -> bool:
    """Whether one more is due after these, of which those with an ``error`` are in no figure."""
    return not hopeless(done) and sum(not one["error"] for one in done) < runs


def hopeless(done: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last of these have all failed, and so many that no more are tried."""
    return len(done) >= FAILED_MOST and all(one["error"] for one in done[-FAILED_MOST:])


def said_hopeless(what: Iterable[str]) -> int:
    """Say what has failed so often that no more is tried; the exit code."""
    failed = list(what)
    if failed:
        console.print(
            f"Given up after {FAILED_MOST} failures in a row: {'; '.join(failed)}. The report says why. What was "
            "measured of them before is shown; put the report aside to have them tried again.",
            style="red", markup=False,
        )  # fmt: skip
    return 1 if failed else 0


class Kept:
    """A report that grows. One of something else that stands in its place is put aside, and not lost."""

    def __init__(self, path: Path, about: Mapping[str, Any], steps: str, rule: Mapping[str, Any] | None = None) -> None:
        """What stands there is gone on with if it is ``about`` the very same. ``steps``: what they are called there.

        ``rule``: what is told of how it was measured, and may be another one the next time.
        """
        self._path, self._steps = path, steps
        kept = read(path) or {}
        same = steps in kept and all(kept.get(key) == value for key, value in about.items())
        self.content: dict[str, Any] = (kept if same else {**about, steps: []}) | dict(rule or {})
        self._other = None if same or not path.exists() else str(kept.get("commit", "unreadable"))

    def having(self, **values: Any) -> list[dict[str, Any]]:
        """The steps that have these values."""
        return [one for one in self.content[self._steps] if values.items() <= one.items()]

    def note(self, name: str, what: Mapping[str, Any]) -> None:
        """Keep what is no step, beside the steps and under a name of its own."""
        self.content.setdefault(name, []).append(what)
        self._write()

    def add(self, step: Mapping[str, Any]) -> None:
        """Keep one more."""
        self.content[self._steps].append(step)
        self._write()

    def _write(self) -> None:
        if self._other is not None:
            aside = _free(self._path, self._other)
            self._path.rename(aside)
            console.print(f"{self._path} is of something else: it is {aside.name} now.", markup=False, soft_wrap=True)
            self._other = None
        reports.write(self._path, self.content)


def read(path: Path) -> dict[str, Any] | None:
    """A report; None where there is none, and where it cannot be read, which is said."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    console.print(f"{path} is no report, so it counts for nothing.", style="red", markup=False, soft_wrap=True)
    return None


def _free(path: Path, of: str) -> Path:
    """A name beside it that says what it is of, and that no file has."""
    names = [f"{path.stem}.{of}{path.suffix}", *(f"{path.stem}.{of}.{n}{path.suffix}" for n in range(2, 1000))]
    return next(new for new in map(path.with_name, names) if not new.exists())
