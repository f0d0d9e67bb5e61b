# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each try to send is a process of its own: whatever a target or a library does, it ends when its time is over.

A thread that hangs can be neither ended nor counted on; a process is killed. There is at most one for each target.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from ansible_collections.vpnha.aws.plugins.module_utils.announced import Announcing, scheme_of

from .facts import Message

SECONDS = 30.0  # that a try may take
TIMED_OUT = f"no answer within {SECONDS:g} s"
_CHILD = (sys.executable, "-P", "-m", "vpnha_monitor.notify.child")


@dataclass(frozen=True)
class Address:
    """Where a target's messages go. Only ``name`` may be shown."""

    name: str  # "sns", or like "apprise-1-slack": the place in the list and the scheme
    options: Mapping[str, str] = field(repr=False)


def addresses(announcing: Announcing, region: str, endpoint_url: str) -> list[Address]:
    """All targets of a configuration."""
    found = []
    if announcing.sns_topic:
        # the topic says its region; another endpoint is for all of AWS, as with the lease store
        region = announcing.sns_topic.split(":")[3] or region
        options = {"topic": announcing.sns_topic, "region": region, "endpoint_url": endpoint_url}
        found.append(Address("sns", options))
    for number, url in enumerate(announcing.apprise, 1):
        found.append(Address(f"apprise-{number}-{scheme_of(url)}", {"url": url}))
    return found


class Try:
    """One try, under way."""

    def __init__(self, address: Address, message: Message, deadline: float, command: Sequence[str] = _CHILD) -> None:
        self.deadline = deadline  # monotonic
        self._killed = False
        # the address goes through a pipe: arguments and environment can be read by others
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        order = json.dumps({**address.options, "message": json.loads(message.to_json())})
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended already, which is seen below
            self._process.stdin.write(order.encode())  # fits into the pipe, so this does not wait
            self._process.stdin.close()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def outcome(self, mono: float) -> str | None:
        """Why it failed, empty if it did not; None while it is under way. Past the deadline its process is killed."""
        if self._process.poll() is None:
            if mono >= self.deadline:
                self.kill()
            if self._process.poll() is None:
                return None
        if self._killed:
            said = TIMED_OUT
        else:
            assert self._process.stdout is not None
            said = _said(self._process.stdout)
        self._close()
        return said

    def kill(self) -> None:
        """End it, with all that it has begun."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _said(pipe: IO[bytes]) -> str:
    """What a child that has ended says: it has sent the message, or why it has not."""
    try:
        os.set_blocking(pipe.fileno(), False)  # whoever else has the pipe open does not hold us
        found: Any = json.loads(os.read(pipe.fileno(), 4096))
        return str(found["error"])[:200]
    except (OSError, ValueError, KeyError, TypeError):
        return "the process that sends ended without a word"
