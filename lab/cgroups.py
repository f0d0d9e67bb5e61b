# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Process groups that nothing escapes from: one cgroup per host, one for the daemons, one for a running ``up``.

A pid may be reused and a process may start children; a cgroup knows all that is in it, and ends it in one write.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.names import Names


@functools.cache
def root() -> Path:
    """Where the unified hierarchy is mounted. Raises LabError when it is not."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise LabError("No cgroup2 file system is mounted: mount one with `mount -t cgroup2 cgroup2 /sys/fs/cgroup`.")


def path(names: Names, what: str) -> Path:
    """The directory of the lab's cgroup ``what``, which need not exist."""
    return root() / names.cgroup(what)


def ensure(names: Names, what: str) -> Path:
    """The same, made if it is missing."""
    where = path(names, what)
    where.mkdir(exist_ok=True)
    return where


def all_of(names: Names) -> list[Path]:
    """Every cgroup of this lab that exists."""
    return sorted(root().glob(f"{names.name}.*"))


def populated(where: Path) -> bool:
    """Whether any process is in it or below."""
    with _while_there():
        return "populated 1" in (where / "cgroup.events").read_text(encoding="ascii")
    return False


def pids(where: Path) -> list[int]:
    """All processes in it and below."""
    found: list[int] = []
    for each, _below, _files in os.walk(where):  # passes over what goes meanwhile, as when two `down` work at a time
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in Path(each, "cgroup.procs").read_text(encoding="ascii").split()]
    return found


def kill(where: Path) -> None:
    """End everything in it at once, as a power cut does; no error when there is nothing."""
    with _while_there():
        (where / "cgroup.kill").write_text("1", encoding="ascii")


@contextlib.contextmanager
def _while_there() -> Iterator[None]:
    """Passes over a cgroup that is gone, also one that goes between the open and the read or write (ENODEV)."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def wait_empty(where: Path, timeout: float) -> bool:
    """Wait up to ``timeout`` seconds until nothing is in it; says whether that came true."""
    end = time.monotonic() + timeout
    while populated(where):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def remove(where: Path, timeout: float = 10.0) -> None:
    """Kill what is in it and remove it. Raises LabError when the kernel does not let go of it in time."""
    kill(where)
    wait_empty(where, timeout)
    end = time.monotonic() + 1.0
    while where.exists():
        for each, _below, _files in os.walk(where, topdown=False):
            with contextlib.suppress(OSError):
                Path(each).rmdir()
        if where.exists():
            if time.monotonic() > end:
                raise LabError(f"The cgroup {where} cannot be removed: a process in it does not end (see `ps`).")
            time.sleep(0.01)


def enter(where: Path) -> None:
    """Move the calling process into it."""
    (where / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def within(where: Path, argv: Sequence[str]) -> list[str]:
    """A command line that runs ``argv`` inside the cgroup from its first instruction on."""
    script = 'echo 0 > "$1" && shift && exec "$@"'
    return ["/bin/sh", "-c", script, "lab", str(where / "cgroup.procs"), *argv]
