# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports: how they are written, and what their pages share, whose templates lie beside the code that fills them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def write(file: Path, value: Mapping[str, Any]) -> None:
    """Write it in one step: who is interrupted leaves no half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    new.replace(file)


def render(template: Path, *, filters: dict[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """A template filled in; it may include ``report.css``, and shows times of day with ``moment``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=StrictUndefined,
    )  # fmt: skip
    environment.filters.update({"moment": moment, **(filters or {})})
    return environment.get_template(template.name).render(**values)


def moment(wall: float | None) -> str:
    """Seconds since the epoch, for people; empty for None."""
    return "" if wall is None else datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
