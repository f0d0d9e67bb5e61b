# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What many schedules have shown so far: kept on disk, so that a long run can be stopped and goes on where it was."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .schedule import Outcome

ROOT = Path(__file__).resolve().parents[2]
OURS = tuple(ROOT / room for room in ("plugins", "roles", "tests"))


@dataclass
class Progress:
    """Sums over the first ``done`` schedules from ``seed`` on."""

    seed: int
    code: str  # that played them
    done: int = 0
    seconds: float = 0.0  # of all runs together
    steps: int = 0
    swaps: int = 0
    virtual_seconds: float = 0.0
    failing_seeds: list[dict[str, object]] = field(default_factory=list)
    coverage: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Take the next schedule's outcome in."""
        self.done += 1
        self.steps += outcome.steps
        self.swaps += outcome.swaps
        self.virtual_seconds += outcome.virtual_seconds
        self.coverage.update(outcome.coverage)
        if outcome.violation:
            self.failing_seeds.append({"seed": outcome.seed, "violation": outcome.violation})

    def save(self, path: Path) -> None:
        """Keep it; whoever is stopped in the middle of that finds the one before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(vars(self)) + "\n", encoding="utf-8")
        fresh.replace(path)


def resume(path: Path, seed: int, schedules: int) -> Progress:
    """What a run of the same schedules by the same code has left; a fresh one if there is none."""
    fresh = Progress(seed, code())
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = Progress(**{**kept, "coverage": Counter(kept["coverage"])})
    except (OSError, ValueError, TypeError, KeyError):
        return fresh
    same = (found.seed, found.code) == (fresh.seed, fresh.code) and found.done <= schedules
    return found if same else fresh


def code() -> str:
    """A name for the code that plays schedules: for what is imported of ours, as whatever is not decides no outcome."""
    files = {
        Path(file).resolve() for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    }
    digest = hashlib.sha256()
    for file in sorted(files):
        if any(room in file.parents for room in OURS):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
