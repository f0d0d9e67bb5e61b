# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every daemon needs of its surroundings: the service manager's ear, a log with a bound, commands with an end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

LOG = logging.getLogger("vpnha.agent")
COMMAND_SECONDS = 5.0
KILLED_SECONDS = 1.0  # for a command that was killed to be gone


def notify(message: str) -> None:
    """Tell the service manager (sd_notify); nothing happens where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


class BoundedLog:
    """Says each kind of thing at most once per ``interval`` seconds, and how often it was left unsaid."""

    def __init__(self, interval: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._clock = interval, clock
        self._said: dict[str, tuple[float, int]] = {}  # kind -> when, how often unsaid since
        self.counts: dict[str, int] = {}

    def say(self, kind: str, text: str, level: int = logging.WARNING) -> None:
        """Log ``text`` unless something of this kind was logged lately; count it in any case."""
        now = self._clock()
        self.counts[kind] = self.counts.get(kind, 0) + 1
        said_at, unsaid = self._said.get(kind, (None, 0))
        if said_at is not None and now - said_at < self._interval:
            self._said[kind] = (said_at, unsaid + 1)
            return
        self._said[kind] = (now, 0)
        LOG.log(level, "%s%s", text, f" ({unsaid} more since the last time)" if unsaid else "")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | None  # None: it could not be started, or took too long and was killed
    output: str
    error: str


async def run(*command: str, seconds: float = COMMAND_SECONDS) -> Ended:
    """Run a command without a shell, for so long at most, and KILLED_SECONDS; never raises OSError."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as exc:
        return Ended(None, "", f"{command[0]}: {exc.strerror}")
    try:
        output, error = await asyncio.wait_for(process.communicate(), seconds)
    except (TimeoutError, asyncio.CancelledError) as exc:
        await _kill(process)
        if isinstance(exc, asyncio.CancelledError):
            raise
        return Ended(None, "", f"{command[0]} did not end within {seconds:g} s")
    return Ended(process.returncode, output.decode("utf-8", "replace"), error.decode("utf-8", "replace").strip())


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill it, and do not wait for ever: it may hang in the kernel, or a child of its own may hold its output open."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    try:
        await asyncio.wait_for(process.wait(), KILLED_SECONDS)
    except TimeoutError:
        pass
    finally:
        process._transport.close()  # type: ignore[attr-defined]  # nothing public closes the pipes
