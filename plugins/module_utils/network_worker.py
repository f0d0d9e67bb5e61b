# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand that makes and removes the network's things in EC2: every change is noted, in check mode only noted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import ec2, tags
from .errors import Ec2Error

NEW = "(new)"  # the id of what check mode did not make


@dataclass(frozen=True)
class Change:
    """One thing that was changed, or would be; for diffs."""

    subject: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.after}" if not self.before else f"{self.subject}: {self.before} -> {self.after}"


def as_result(changes: Sequence[Change]) -> dict[str, Any]:
    """What a module returns of its changes: ``changed``, ``changes`` and ``diff``."""
    return {
        "changed": bool(changes),
        "changes": [str(change) for change in changes],
        "diff": {
            "before": "".join(f"{change.subject}: {change.before or 'absent'}\n" for change in changes),
            "after": "".join(f"{change.subject}: {change.after}\n" for change in changes),
        },
    }


class Worker:
    """Does the changing calls, or in check mode only notes them."""

    def __init__(self, client: Any, check: bool, sleep: Callable[[float], None] = time.sleep) -> None:
        self.client = client
        self.check = check
        self.changes: list[Change] = []
        self.sleep = sleep

    def change(self, subject: str, before: str, after: str, operation: str, **arguments: Any) -> Any:
        """Notes a change and makes it; None in check mode. Raises Ec2Error."""
        self.changes.append(Change(subject, before, after))
        return None if self.check else self.call(f"{subject}: {after}", operation, **arguments)

    def call(self, doing: str, operation: str, **arguments: Any) -> Any:
        """A call; what was made a moment ago may not be found yet, so "not found" is tried again for some seconds."""
        for pause in (0.5, 1.0, 2.0, 4.0, None):
            try:
                with ec2.telling(doing):
                    return getattr(self.client, operation)(**arguments)
            except Ec2Error as error:
                if pause is None or not error.code.endswith(".NotFound"):
                    raise
            self.sleep(pause)
        raise AssertionError("unreachable")

    def tag(self, resource: str, subject: str, have: Mapping[str, str], want: Mapping[str, str]) -> None:
        """Sets the tags that are missing or differ; leaves all others."""
        lacking = {key: value for key, value in want.items() if have.get(key) != value}
        if lacking:
            before = ", ".join(f"{key}={have[key]}" for key in lacking if key in have) or "without tags"
            after = ", ".join(f"{key}={value}" for key, value in lacking.items())
            self.change(subject, before, after, "create_tags", Resources=[resource], Tags=tags.to_list(lacking))
