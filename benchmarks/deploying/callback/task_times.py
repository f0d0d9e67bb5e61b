# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback for Ansible that writes down how long each task took, and how many modules ran for it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_times
type: aggregate
short_description: How long each task took, as JSON in the file that the environment names
description: Needs TASK_TIMES, the path of the file.
"""
FILE = "TASK_TIMES"


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """One entry for each task, in their order; a loop's items and a retry's tries are runs of their own."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[dict[str, Any]] = []
        self._began = 0.0

    def _begin(self, task: Any) -> None:
        self._end()
        action = str(getattr(task, "resolved_action", None) or task.action)
        self._tasks.append({"name": task.get_name(), "action": action, "seconds": 0.0, "runs": 0})
        self._began = time.monotonic()

    def _end(self) -> None:
        if self._tasks and self._began:
            self._tasks[-1]["seconds"] = round(time.monotonic() - self._began, 3)
        self._began = 0.0

    def _ran(self, result: Any) -> None:
        if self._tasks and "results" not in result._result:  # of a loop, whose items were counted
            self._tasks[-1]["runs"] += 1

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins, so the one before has ended."""
        self._begin(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """The same of a handler."""
        self._begin(task)

    def v2_runner_on_ok(self, result: Any) -> None:
        """A module has run on a host."""
        self._ran(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """The same, in vain."""
        self._ran(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """A module has run for an item of a loop."""
        self._ran(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """The same, in vain."""
        self._ran(result)

    def v2_runner_retry(self, result: Any) -> None:
        """A module has run, and will once more."""
        self._ran(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """All has ended."""
        self._end()
        Path(os.environ[FILE]).write_text(json.dumps(self._tasks), encoding="utf-8")
