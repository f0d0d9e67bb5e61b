# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command ``vpnha`` does about notification: test targets, check addresses, hand over a drill's result."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.vpnha.aws.plugins.module_utils import tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

from ..config import MonitorConfig
from ..journal import Event, insert, row
from .child import MISSING, UNKNOWN
from .facts import Fact
from .outbox import KEEP_FACT
from .sending import SECONDS, Try, addresses
from .wording import Wording

_LOOK = 0.05  # s


@dataclass(frozen=True)
class Tested:
    """What became of a test message."""

    target: str
    error: str  # empty: the target has taken it


def test(loaded: MonitorConfig) -> list[Tested]:
    """Send a message to each target, all at once. Raises VpnhaError where there is none."""
    targets = addresses(loaded.announcing, loaded.deployment.region, loaded.endpoint_url)
    if not targets:
        raise VpnhaError(
            "Nobody is told: set vpnha_notify_sns_topic or vpnha_notify_apprise, and run the deploy playbook."
        )
    wording = Wording(loaded.deployment.name, loaded.monitor, loaded.announcing.templates)
    message = wording.test(time.time())
    deadline = time.monotonic() + SECONDS
    tries = {target.name: Try(target, message, deadline) for target in targets}
    found: dict[str, str] = {}
    while len(found) < len(tries):
        for name, one in tries.items():
            if name not in found and (said := one.outcome(time.monotonic())) is not None:
                found[name] = said
        time.sleep(_LOOK)
    return [Tested(target.name, found[target.name]) for target in targets]


def problems(loaded: MonitorConfig, where: str) -> list[str]:
    """What Apprise itself says against addresses, one sentence each, without the address."""
    if not loaded.announcing.apprise:
        return []
    try:
        import apprise
    except ImportError:
        return [f"{where}.notify.apprise: {MISSING}."]
    logger = logging.getLogger("apprise")
    logger.handlers[:] = [logging.NullHandler()]  # it would show the address
    logger.propagate = False
    return [
        f"{where}.notify.apprise[{number}]: {UNKNOWN}; compare it with Apprise's documentation."
        for number, url in enumerate(loaded.announcing.apprise)
        if apprise.Apprise.instantiate(url) is None
    ]


def drill_result(
    loaded: MonitorConfig,
    drill: str,
    text: str,
    *,
    passed: bool,
    details: Mapping[str, object] | None = None,
    tell: bool = True,
) -> None:
    """Write what came of a drill into the journal; the monitor tells it, also one that starts later.

    ``details`` are for the journal only; without ``tell`` the rest is, too. Raises VpnhaError.
    """
    evidence = {"passed": passed}
    drill = tags.plain(drill)  # as its mark has it
    fact = Fact(f"drill-result {drill}", time.time(), "drill-result", drill, text, evidence)
    event = Event(fact.wall, time.monotonic(), fact.code, drill, text, {**(details or {}), **evidence})
    try:
        database = sqlite3.connect(f"{loaded.journal.resolve().as_uri()}?mode=rw", uri=True, timeout=5.0)
        try:
            with database:
                insert(database, [row(event)])
                if tell and loaded.announcing.wanted:
                    database.execute(KEEP_FACT, (fact.id, fact.to_json()))
        finally:
            database.close()
    except sqlite3.Error as error:
        raise VpnhaError(
            f"The journal {loaded.journal} cannot be written ({error}); has this version of the monitor run here?"
        ) from error
