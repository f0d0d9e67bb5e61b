# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of route_swap: shows how far it is, since a module itself says nothing before its end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ansible.constants import DEFAULT_LOCAL_TMP
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import repeating

SHOW_SECONDS = 5.0  # between two sentences; what takes less shows none


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module. On the controller it shows meanwhile how many routes are moved, and how long the rest takes."""

    TRANSFERS_FILES = False
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, here = dict(self._task.args), self._connection.transport == "local"
        if not here or self._task.async_val or self._task.check_mode or given.get("progress_file") is not None:
            return result | self._swap(given, task_vars)
        # of Ansible's own directory, which goes with the run also when this process is killed
        with tempfile.TemporaryDirectory(dir=DEFAULT_LOCAL_TMP, ignore_cleanup_errors=True) as directory:
            file = Path(directory) / "progress"
            # the standard output may be somebody's JSON
            with followed(file, partial(Display().display, stderr=True)):
                return result | self._swap({**given, "progress_file": str(file)}, task_vars)

    def _swap(self, given: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        wrap = bool(self._task.async_val and not self._connection.has_native_async)
        return dict(
            self._execute_module(
                module_name="vpnha.aws.route_swap", module_args=given, task_vars=task_vars, wrap_async=wrap
            )
        )


def followed(file: Path, show: Callable[[str], Any], seconds: float = SHOW_SECONDS) -> AbstractContextManager[None]:
    """Shows what a file says, whenever it says something else, every so many seconds at most."""
    last = ""

    def look() -> None:
        nonlocal last
        try:
            said = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):  # nothing is said yet
            return
        if said != last:
            last = said
            show(said)

    return repeating(seconds, look)
