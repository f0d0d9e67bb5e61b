# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service manager's protocol: ready, alive, and one sentence of status."""

from __future__ import annotations

import os
import socket


class Notifier:
    """Sends sd_notify messages; does nothing where no service manager asked for them."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            if self._address.startswith("@"):
                self._address = "\0" + self._address[1:]

    @property
    def watchdog_interval(self) -> float | None:
        """How often the service manager wants a sign of life, seconds, halved as it advises; None: never."""
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        return int(microseconds) / 2e6 if self._socket and microseconds.isdigit() else None

    def send(self, *lines: str) -> None:
        """Send assignments such as "READY=1"; a service manager that does not listen is no reason to fail."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return

    def status(self, sentence: str) -> None:
        """The sentence that ``systemctl status`` shows."""
        self.send(f"STATUS={' '.join(sentence.split())}")
