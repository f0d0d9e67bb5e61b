# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark has measured so far: written after each step, and gone on with by the next run that is like it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import reports


class Kept:
    """A report that grows."""

    def __init__(self, path: Path, about: Mapping[str, Any], steps: str) -> None:
        """What stands there is gone on with if it is ``about`` the very same. ``steps``: what they are called there."""
        self._path, self._steps = path, steps
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        same = steps in kept and all(kept.get(key) == value for key, value in about.items())
        self.content: dict[str, Any] = kept if same else {**about, steps: []}

    def having(self, **values: Any) -> list[dict[str, Any]]:
        """The steps that have these values."""
        return [one for one in self.content[self._steps] if values.items() <= one.items()]

    def note(self, name: str, what: Mapping[str, Any]) -> None:
        """Keep what is no step, beside the steps and under a name of its own."""
        self.content.setdefault(name, []).append(what)
        reports.write(self._path, self.content)

    def add(self, step: Mapping[str, Any]) -> None:
        """Keep one more."""
        self.content[self._steps].append(step)
        reports.write(self._path, self.content)
