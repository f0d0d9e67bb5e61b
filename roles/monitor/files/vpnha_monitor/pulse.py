# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says in CloudWatch once a minute whether this monitor can act, so that an alarm hears when nobody says so any more.

In a thread of its own, one short call at a time: nothing here ever holds up the loop or a swap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ansible_collections.vpnha.aws.plugins.module_utils import alarms, ec2
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note

from .clients import Client

if TYPE_CHECKING:
    from .daemon import Monitor

FIRST = 10.0  # s after the start: one that dies sooner again and again shall be missed
EVERY = 60.0  # s
RETRY = 15.0  # s after a call that failed
_TOLD_AFTER = 3  # calls that must fail in a row


class Speaker:
    """Calls ``say`` again and again, and hands what was wrong with it, or nothing, to ``said``; both in its thread."""

    def __init__(
        self,
        say: Callable[[], None],
        said: Callable[[str], None],
        first: float = FIRST,
        every: float = EVERY,
        retry: float = RETRY,
    ) -> None:
        self._call, self._said = say, said
        self._first, self._every, self._retry = first, every, retry
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._speak_on, name="cloudwatch", daemon=True)

    def start(self) -> None:
        """Begin, a while from now."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no more calls; one in flight ends by itself."""
        self._stopped.set()

    def _speak_on(self) -> None:
        pause = self._first
        while not self._stopped.wait(pause):
            began, error = time.monotonic(), ""
            try:
                self._call()
            except Exception as caught:  # whatever it is, the monitor goes on, and tells
                error = str(caught) or type(caught).__name__
            if self._stopped.is_set():
                return
            self._said(error)
            pause = self._retry if error else max(0.0, began + self._every - time.monotonic())


class Pulse:
    """Works for one monitor, on its loop; ``said`` is how the speaker's thread calls `said` there."""

    def __init__(self, monitor: Monitor, said: Callable[[str], None]) -> None:
        self._monitor, self._hand_over = monitor, said
        self._speaker: Speaker | None = None
        self._client = Client(monitor, "cloudwatch", pool=1)
        self._failed = 0
        self._told = False

    def suit(self) -> None:
        """Begin or end, as the configuration in force has it; at the start and after a reload."""
        wanted = self._monitor.config.cloudwatch
        if wanted and self._speaker is None:
            self._speaker = Speaker(self._say, self._hand_over)
            self._speaker.start()
        elif not wanted and self._speaker is not None:
            self._speaker.stop()
            self._speaker, self._failed = None, 0
            if self._told:
                self._tell("CloudWatch is told no more.", resolved=True)

    def said(self, error: str) -> None:
        """What was wrong with a call; empty if nothing was."""
        self._monitor.counters.puts.labels("failed" if error else "ok").inc()
        self._failed = self._failed + 1 if error else 0
        if self._failed >= _TOLD_AFTER and not self._told:
            self._tell(f"{error}.")
        elif not error and self._told:
            self._tell("CloudWatch takes it again.", resolved=True)

    def _tell(self, text: str, resolved: bool = False) -> None:
        self._told = not resolved
        self._monitor.note(Note("cloudwatch-unwritable", self._monitor.config.monitor, text, resolved=resolved))

    def _say(self) -> None:
        """One call, in the speaker's thread. Raises Ec2Error."""
        status = self._monitor.status_document()  # None when the loop does not answer: a monitor that hangs says 0
        config = self._monitor.config
        datum = {
            "MetricName": alarms.METRIC,
            "Dimensions": alarms.dimensions(config.deployment.name, config.monitor),
            "Value": 1.0 if status is not None and status["able"] else 0.0,
        }
        client = self._client.get()
        with ec2.telling("saying in CloudWatch whether the monitor can act"):
            client.put_metric_data(Namespace=alarms.NAMESPACE, MetricData=[datum])
