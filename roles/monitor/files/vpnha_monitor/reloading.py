# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGHUP: reads the configuration again, beside the loop, and takes it if it is good."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.vpnha.aws.plugins.module_utils.decision import reload_problems
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note

from . import config
from .notify.room import Settings
from .observe import Observer

if TYPE_CHECKING:
    from .daemon import Monitor


class Reloading:
    """Works for one monitor, on its loop."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._asked = 0

    def ask(self) -> None:
        """Begin to read."""
        self._asked += 1
        self._monitor.config_reading = True
        reading = asyncio.get_running_loop().run_in_executor(None, config.read, self._monitor.path)
        reading.add_done_callback(partial(self._took, self._asked))

    def _took(self, number: int, reading: asyncio.Future[config.Read]) -> None:
        if number != self._asked:
            return  # another was asked for since, and may have read a newer file
        monitor, found = self._monitor, reading.result()
        monitor.config_checksum, monitor.config_reading = found.checksum, False
        try:
            fresh = found.config()
            sentences = config.refuse_reload(monitor.config, fresh)
            sentences += reload_problems(monitor.mind.state, fresh.deployment)
        except DescriptionError as error:
            sentences = list(error.sentences)
        except Exception as error:
            monitor.recorder.error("reload", error)
            sentences = [f"{monitor.path} could not be loaded: {error}."]
        if sentences:
            monitor.config_error = " ".join(sentences)
            monitor.note(
                Note("config-refused", str(monitor.path), f"The old configuration stays: {monitor.config_error}")
            )
            return
        resolved, monitor.config_error = bool(monitor.config_error), ""
        monitor.observer = Observer(fresh, monitor.observer)
        monitor.config = fresh
        monitor.mind.reload(fresh.deployment)
        monitor.agreement.suit()
        monitor.witnesses.suit()
        monitor.notifications.reload(Settings(fresh.monitor, fresh.deployment, fresh.announcing, fresh.endpoint_url))
        monitor.reader.interval = fresh.deployment.timing.ec2_interval
        monitor.pulse.suit()
        monitor.way.suit()
        monitor.reader.request()
        if resolved:
            monitor.note(Note("config-refused", str(monitor.path), "The configuration is good again.", resolved=True))
        monitor.note(Note("config-reloaded", str(monitor.path), f"The configuration {monitor.path} is in force."))
