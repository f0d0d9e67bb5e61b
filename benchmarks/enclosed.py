# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark's own network, mounts and processes. All of it is gone with the benchmark, also if that is killed.

The benchmark is the first process of a PID namespace: the kernel ends whatever it has started when it ends, and the
namespaces of mounts and of the network have nobody left in them. Its temporary files lie in memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

INSIDE = "--inside"
INTERRUPTED = 130
ROOM = Path("/dev/shm")  # where nobody's checkout lies: inside, it is a fresh one
_NETNS = Path("/run/netns")
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def run(module: str, argv: Sequence[str]) -> int:
    """Run ``python -m module --inside argv`` enclosed; its exit code. Ctrl-C and SIGTERM end it and all it has started.

    Raises SystemExit for anybody but root.
    """
    if os.geteuid() != 0:
        raise SystemExit("This needs root: it has network namespaces of its own.")
    started: list[subprocess.Popen[bytes]] = []
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        for each in started:
            each.kill()

    # the kernel kills unshare when this process ends, and the enclosed one with it
    command = ("setpriv", "--pdeathsig", "KILL", *_UNSHARE, sys.executable, "-m", module, INSIDE, *argv)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        started.append(subprocess.Popen(command))
        if stopped:  # before there was anything to kill
            started[0].kill()
        code = started[0].wait()
        return INTERRUPTED if stopped else code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def furnish() -> None:
    """Make the inside habitable: room for files, network namespaces that are named for us only, loopback."""
    _NETNS.mkdir(exist_ok=True)
    for place in (ROOM, _NETNS):
        subprocess.run(["mount", "-t", "tmpfs", "vpnha-bench", str(place)], check=True)
    (ROOM / "tmp").mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(ROOM / "tmp")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
