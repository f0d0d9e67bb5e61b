# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs of the machine, each lack said in one sentence before anything is made."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.names import Names

# program -> Debian's package
_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "tcpdump": "tcpdump",
    "dpkg-deb": "dpkg",
}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SPACE = 300_000_000  # bytes that the hosts' disks and logs need
_WATCHES = 6  # inotify instances that a host takes: each systemd has several
_PROC = Path("/proc")


def root() -> None:
    """Refuse anybody else."""
    if os.geteuid() != 0:
        raise LabError("The lab boots hosts and makes network namespaces, which needs root: run it with sudo.")


def missing_packages(more: Mapping[str, str] | None = None) -> list[str]:
    """Debian packages that have to be installed before the lab runs; ``more``: further programs and their packages."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    wanted = {**_PROGRAMS, **(more or {})}
    missing = {package for program, package in wanted.items() if shutil.which(program, path=path) is None}
    if not _KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def packages() -> None:
    """Refuse a machine that lacks a program."""
    if missing := missing_packages():
        raise LabError(f"This machine lacks {', '.join(missing)}: run `python -m lab deps` to install them with apt.")


def install(more: Mapping[str, str] | None = None) -> list[str]:
    """Install what is missing with apt-get; returns the packages. Raises LabError with apt's reason."""
    missing = missing_packages(more)
    if not missing:
        return []
    if shutil.which("apt-get") is None:
        raise LabError(f"This machine has no apt-get: install what provides {', '.join(missing)} by its own means.")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update -qq", "apt-get install -y -qq --no-install-recommends " + " ".join(missing)):
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False, env=env)
        if done.returncode != 0:
            reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no reason given"]
            raise LabError(f"`{command}` failed: {reason[0]}")
    return missing


def kernel() -> None:
    """Refuse a kernel that lacks what no package brings."""
    if not Path("/dev/net/tun").exists():
        raise LabError("There is no /dev/net/tun, which the gateways' tunnels need: load the kernel module tun.")
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        raise LabError("The kernel has no overlay file system, which the hosts' disks need: load the module overlay.")


def inotify(hosts: int) -> None:
    """Refuse a machine whose root has too few inotify instances left: hosts would stop in the middle of booting."""
    wanted = _WATCHES * hosts
    limit = int((_PROC / "sys/fs/inotify/max_user_instances").read_text(encoding="ascii"))
    used = sum(map(_inotify_instances, _PROC.glob("[0-9]*")))
    if limit - used < wanted:
        raise LabError(
            f"Of root's {limit} inotify instances {max(limit - used, 0)} are free, and this lab takes about {wanted}: "
            f"allow more with `sysctl fs.inotify.max_user_instances={max(512, 2 * limit)}`, or stop another lab."
        )


def _inotify_instances(process: Path) -> int:
    """How many a process of ours has open; 0 for others, and for one that has just ended."""
    found = 0
    with suppress(OSError):
        if process.stat().st_uid == os.geteuid():
            for descriptor in (process / "fd").iterdir():
                with suppress(FileNotFoundError):
                    found += str(descriptor.readlink()) == "anon_inode:inotify"
    return found


def state_directory(names: Names) -> None:
    """Refuse a directory that cannot hold the lab's state."""
    if any(letter in str(names.dir) for letter in ":,\\\n"):
        raise LabError(f"VPNHA_LAB_DIR is {str(names.dir)!r}: use a path without colon, comma and backslash.")
    try:
        names.dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"The directory {names.dir} cannot be made ({error.strerror}): set VPNHA_LAB_DIR.") from None
    free = shutil.disk_usage(names.dir).free
    if free < _SPACE:
        raise LabError(
            f"The disk of {names.dir} is full ({free / 1e6:.0f} MB free, {_SPACE / 1e6:.0f} MB needed): make room, "
            "or set VPNHA_LAB_DIR to a directory on a larger disk."
        )


def ports(wanted: Iterable[int]) -> None:
    """Refuse ports of 127.0.0.1 on which somebody listens."""
    for port in wanted:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise LabError(
                    f"Port {port} of 127.0.0.1 is in use: end what listens there, or set VPNHA_LAB_PORT to the first "
                    "of two free ports."
                ) from None
