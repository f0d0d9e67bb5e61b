# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that outlive the command that started them, and are never mistaken for others."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import cgroups
from lab.names import REPOSITORY, Names

DAEMONS = "daemons"  # the cgroup of everything that is no host


def start_time(pid: int) -> str | None:
    """When that process began (clock ticks since boot), or None when there is none: tells a reused pid from the old."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields[19]


def detach(
    names: Names,
    argv: Sequence[str],
    *,
    log: Path,
    pid_file: Path,
    env: Mapping[str, str] | None = None,
    netns: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a daemon in a session of its own and in the lab's cgroup for daemons, and note its pid.

    ``netns``: name of a network namespace to run it in. Its output goes to the end of ``log``.
    """
    where = cgroups.ensure(names, DAEMONS)
    log.parent.mkdir(parents=True, exist_ok=True)
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    if netns:
        argv = ["nsenter", f"--net=/run/netns/{netns}", "--", *argv]
    with log.open("ab") as output:
        process = subprocess.Popen(
            cgroups.within(where, argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=REPOSITORY,
            env={**os.environ, **names.environment(), **(env or {})},
        )
    note(pid_file, process.pid)
    return process


def note(pid_file: Path, pid: int) -> None:
    """Note that process as the daemon of that file, in one step."""
    new = pid_file.with_name(f"{pid_file.name}.{os.getpid()}")
    new.write_text(f"{pid} {start_time(pid)}\n", encoding="ascii")
    new.replace(pid_file)


def running(pid_file: Path) -> int | None:
    """The pid of the daemon that noted itself there, or None when it has ended or its pid is another's now."""
    try:
        pid, began = pid_file.read_text(encoding="ascii").split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if start_time(int(pid)) == began else None


def end(pid_file: Path, *, timeout: float = 5.0) -> bool:
    """Terminate that daemon, kill it when it does not end in time; says whether there was one."""
    pid = running(pid_file)
    if pid is not None:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            pid = None
        else:
            _end(handle, pid_file, timeout)
    pid_file.unlink(missing_ok=True)
    return pid is not None


def _end(handle: int, pid_file: Path, timeout: float) -> None:
    import select

    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if running(pid_file) is None:
                return
            try:
                signal.pidfd_send_signal(handle, number)
            except ProcessLookupError:
                return
            select.select([handle], [], [], timeout)
    finally:
        os.close(handle)
