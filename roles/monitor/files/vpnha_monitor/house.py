# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Housekeeping, once a second: signs of life, warm connections, and trouble of the monitor's own to tell."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, lease, owners
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note

from . import RELEASE, flowing, status
from .log import Log
from .observe import SUSPICIOUS

if TYPE_CHECKING:
    from .daemon import Monitor

_EVERY = 1.0  # s
_WAITING_AFTER = 2.0  # s that swaps must have waited for EC2's limit before that is told...
_WAITING_EVERY = 10.0  # ...and between two times
_WARM_EVERY = 10.0  # s; servers close connections that are quiet for long
_LAG_MEMORY = 60  # s
_REJECTED_AT_LEAST = 5  # suspicious packets within a minute: one may be a duplicate of the network's
_REJECTED_MEMORY = 60.0  # s without another one until it is over
_SKEW_MEMORY = 300.0  # s; the Date has whole seconds only, so that a skew near the tolerance comes and goes


class House:
    """Works for one monitor, on its loop."""

    def __init__(self, monitor: Monitor, lines: Log) -> None:
        self._monitor = monitor
        self._lines = lines
        self._due = 0.0
        self._warm_due = 0.0
        self._alive_due = 0.0
        self._lags: deque[float] = deque([0.0], maxlen=_LAG_MEMORY)
        self._worst = 0.0
        self._rejected: deque[tuple[float, int]] = deque()
        self._told_rejected = False
        self._skewed: float | None = None  # when a skew that was told was last seen
        self._told_ping = False
        self._sentence = ""
        self._told_credentials = False
        self._drill = ""
        self._told_waiting: float | None = None  # when that was told last

    def keep(self, now: float, late: float) -> None:
        """Called at every tick."""
        self._worst = max(self._worst, late)
        interval = self._monitor.notifier.watchdog_interval
        if interval is not None and now >= self._alive_due:
            self._alive_due = now + interval / 2
            self._monitor.notifier.send("WATCHDOG=1")
        if now < self._due:
            return
        self._due = now + _EVERY
        self._lags.append(self._worst)
        self._worst = 0.0
        self._packets(now)
        self._clock(now)
        self._ping()
        self._renewal()
        self._drills()
        self._swaps(now)
        self._monitor.notifications.leads = self._leads(now)
        self._monitor.agreement.keep(now)
        if now >= self._warm_due:
            self._warm_due = now + _WARM_EVERY
            self.warm()
        self._say()

    def warm(self) -> None:
        """Keep connections for swaps open."""
        view = self._monitor.mind.view
        key = next(iter(view.routes), None) if view else None
        self._monitor.actuator.warm(key.table_id if key else None)

    def daemon(self) -> status.Daemon:
        """The monitor's own part of the status."""
        monitor, store = self._monitor, self._monitor.agreement.store
        return status.Daemon(
            monitor=monitor.config.monitor,
            started_wall=monitor.started_wall,
            loop_lag=max(self._worst, *self._lags),
            journal={
                "path": str(monitor.journal.path),
                "failing": monitor.journal.failing,
                "error": monitor.journal.error,
                "dropped": monitor.journal.dropped + self._lines.dropped,
            },
            refused=monitor.observer.refused,
            send_errors=monitor.observer.errors,
            progress=monitor.actuator.progress(),
            actions=tuple(monitor.recorder.actions),
            events=tuple(event.to_dict() for event in monitor.recorder.recent),
            ec2_error=monitor.ec2_error,
            api_way=monitor.way.status(),
            clock_skew=ec2.CLOCK.skew,
            store_error=store.read_error or store.write_error if store else "",
            store_errors=store.errors if store else 0,
            process={
                "release": RELEASE,
                "unit": os.environ.get("VPNHA_UNIT", ""),
                "listen": f"{monitor.config.host}:{monitor.config.port}",
            },
            config={
                "checksum": monitor.config_checksum,
                "error": monitor.config_error,
                "reading": monitor.config_reading,
            },
            notify=monitor.notifications.status(),
            rtt={name: watch.asker.rtt for name, watch in monitor.observer.watches.items()},
        )

    def _say(self) -> None:
        mind = self._monitor.mind
        sentence = flowing.sentence(mind.deployment, mind.state.verdicts, mind.evidence)
        if sentence != self._sentence:
            self._sentence = sentence
            self._monitor.notifier.status(sentence)

    def _packets(self, now: float) -> None:
        refused = self._monitor.observer.refused
        total = sum(refused[reason] for reason in SUSPICIOUS)
        self._rejected.append((now, total))
        while self._rejected[0][0] < now - _REJECTED_MEMORY:
            self._rejected.popleft()
        grown = total - self._rejected[0][1]
        counts = {reason: refused[reason] for reason in SUSPICIOUS if refused[reason]}
        if grown >= _REJECTED_AT_LEAST and not self._told_rejected:
            self._told_rejected = True
            self._monitor.note(
                Note("heartbeats-rejected", "", f"{grown} packets were ignored as no answers of ours.", counts)
            )
        elif grown == 0 and self._told_rejected:
            self._told_rejected = False
            self._monitor.note(Note("heartbeats-rejected", "", "No more such packets arrive.", counts, resolved=True))

    def _clock(self, now: float) -> None:
        skew = ec2.CLOCK.skew
        if skew:
            if self._skewed is None:
                text = f"AWS's clock is {skew:+.0f} s from this host's."
                self._monitor.note(Note("clock-skewed", "", text, {"skew": skew}))
            self._skewed = now
        elif self._skewed is not None and now - self._skewed >= _SKEW_MEMORY:
            self._skewed = None
            text = "This host's clock is right again."
            self._monitor.note(Note("clock-skewed", "", text, {"skew": skew}, resolved=True))

    def _ping(self) -> None:
        denied = self._monitor.observer.errors["icmp EPERM"]
        if denied and not self._told_ping:
            self._told_ping = True
            text = "The monitor may not send ICMP echo requests: its process lacks CAP_NET_RAW."
            self._monitor.note(Note("gateway-no-second-sign", "", text, {"errors": denied}))

    def _drills(self) -> None:
        view = self._monitor.mind.view
        drill = (view.drill or "") if view else self._drill
        if drill == self._drill:
            return
        if self._drill:
            self._monitor.note(Note("drill-running", self._drill, f"The drill {self._drill} is over.", resolved=True))
        if drill:
            self._monitor.note(Note("drill-running", drill, f"The drill {drill} is running."))
        self._drill = drill

    def _swaps(self, now: float) -> None:
        """Tell how far swaps are that wait for EC2's limit, now and then, and when none waits any more."""
        how = self._monitor.actuator.progress()
        facts = asdict(how)
        if how.waiting and now - how.began >= _WAITING_AFTER:
            if self._told_waiting is None or now - self._told_waiting >= _WAITING_EVERY:
                self._told_waiting = now
                self._monitor.note(Note("swaps-waiting", "", how.sentence, facts))
        elif not how.waiting and self._told_waiting is not None:
            self._told_waiting = None
            self._monitor.note(Note("swaps-waiting", "", "No swap waits for EC2's limit any more.", facts, True))

    def _leads(self, now: float) -> bool:
        """Whether this monitor tells what every one sees: it has the lease, or nobody is known to have it and see.

        Without the holder's word of a moment ago, that it is able to act, it may be blind while it renews its lease.
        """
        mind = self._monitor.mind
        store = mind.evidence.store
        blind = store.age is None or store.age > lease.SECONDS
        unable = store.words.get(store.holder, float("inf")) > lease.SECONDS
        has_it = owners.lease_left(mind.state, mind.evidence, now) > 0.0
        return not lease.needed(mind.deployment) or blind or unable or has_it

    def _renewal(self) -> None:
        trouble = self._monitor.renewal.trouble()
        if bool(trouble) != self._told_credentials:
            self._told_credentials = bool(trouble)
            text = f"AWS credentials could not be renewed: {trouble}." if trouble else "They were renewed."
            self._monitor.note(Note("credentials-expiring", "", text, resolved=not trouble))
