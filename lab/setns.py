# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entering a network namespace from Python (os.setns is there from Python 3.12 only)."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def call(function: str, *arguments: int) -> None:
    """Call setns or unshare of the C library. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{function}: {os.strerror(error)}")


def enter(netns: str) -> None:
    """Move the calling thread into the namespace: a path, or a name under /run/netns. Raises OSError."""
    handle = os.open(netns if netns.startswith("/") else f"/run/netns/{netns}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        call("setns", handle, _CLONE_NEWNET)
    finally:
        os.close(handle)


def inside(netns: str, work: Callable[[], T]) -> T:
    """Call ``work`` in a thread of its own inside the namespace and hand back what it returns or raises."""
    result: list[T] = []
    failure: list[BaseException] = []

    def runner() -> None:
        try:
            enter(netns)
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=runner)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def unplug(netns: str) -> None:
    """Take every interface of the namespace down, loopback too; no error when it is gone already.

    A namespace answers pings as long as it exists, also when no process is left in it: a host without power does not.
    """
    with contextlib.suppress(FileNotFoundError):
        inside(netns, _links_down)


def _links_down() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for _, name in socket.if_nameindex():
            request = struct.pack("16sh", name.encode(), 0)
            with contextlib.suppress(OSError):  # the interface may vanish at this moment
                (flags,) = struct.unpack_from("16xh", fcntl.ioctl(handle, _SIOCGIFFLAGS, request))
                fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh", name.encode(), flags & ~_IFF_UP))
