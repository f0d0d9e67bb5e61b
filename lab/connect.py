# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``lab connect NAME.lab.invalid``: stdin and stdout become a connection to the sshd of that host.

ssh runs it as ProxyCommand for every connection, so it imports little. It steps into the host's network namespace and
talks to its loopback: that works when a tunnel or a role has broken the host's routing, and nothing leaves the machine.
"""

from __future__ import annotations

import os
import select
import socket
import sys

from lab import registry, setns
from lab.errors import LabError
from lab.names import Names


def main(name: str) -> int:
    """Pump until either side ends; the exit code of the ProxyCommand. Says in one sentence why it cannot connect."""
    try:
        names = Names.from_env()
        host_id, entry = registry.find(names, name)
        connection = _connect(host_id, entry["netns"], entry["address"])
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    with connection:
        _pump(connection)
    return 0


def _connect(host_id: str, netns: str, address: str) -> socket.socket:
    try:
        setns.enter(netns)
        connection = socket.create_connection((address, 22), timeout=10)
    except PermissionError:
        raise LabError("The lab needs root: run this as root or with sudo.") from None
    except OSError as error:
        raise LabError(f"The host {host_id} does not answer on its ssh port ({error.strerror or error}).") from None
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _pump(connection: socket.socket) -> None:
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(connection, select.POLLIN)
    while True:
        for handle, _ in poll.poll():
            try:
                data = os.read(handle, 262144)
                if handle == 0 and data:
                    connection.sendall(data)
                elif handle == 0:
                    connection.shutdown(socket.SHUT_WR)
                    poll.unregister(0)
                elif data:
                    _write(data)
                else:
                    return
            except OSError:  # the other side has gone: ssh says so itself
                return


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
