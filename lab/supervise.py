# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that looks after one boot of one host: ``python -m lab.supervise MACHINE_DIR``.

It has a mount namespace of its own, so the host's disk is unmounted by the kernel whatever kills it. It ends with
the host, after it has taken the host's interfaces down and noted how the host ended.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import cgroups, procs, setns
from lab.names import REPOSITORY, Names

_CLONE_NEWNS = 0x20000
REBOOT = 133  # how systemd-nspawn ends with --keep-unit when the host asks for a reboot


def main(machine: Path) -> int:
    """Boot the host of that directory once; returns how systemd-nspawn ended."""
    names = Names.from_env()
    spec = json.loads((machine / "spec.json").read_text(encoding="utf-8"))
    code = 1
    procs.note(machine / "supervisor", os.getpid())  # before the mark goes that stands for us until now
    (machine / "exit").unlink(missing_ok=True)
    outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _mount(machine, spec["lowers"])
        _write_files(machine / "root", _files(names, spec))
        where = cgroups.path(names, f"host.{spec['host_id']}")
        if where.exists():
            cgroups.remove(where)
        where.mkdir()
        code = _boot(names, machine, spec, where)
    finally:
        setns.unplug(spec["netns"])
        (machine / "exit").write_text(f"{code}\n", encoding="ascii")
        cgroups.remove(cgroups.path(names, f"host.{spec['host_id']}"))
        if spec["again"] and wants_boot(machine, code):
            setns.call("setns", outside, _CLONE_NEWNS)
            subprocess.Popen(spec["again"], cwd=REPOSITORY, start_new_session=True)
    return code


def wants_boot(machine: Path, code: int) -> bool:
    """Whether a host that ended with ``code`` shall be booted again (``wanted`` is on, off or reboot)."""
    wanted = (machine / "wanted").read_text(encoding="ascii").strip()
    return wanted == "reboot" or (wanted == "on" and code == REBOOT)


def _mount(machine: Path, lowers: list[str]) -> None:
    setns.call("unshare", _CLONE_NEWNS)
    # systemd-nspawn decides by /sys/fs/cgroup which hierarchy the host gets; Debian 13's systemd wants a unified one.
    options = f"lowerdir={':'.join(lowers)},upperdir={machine}/upper,workdir={machine}/work"
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["umount", "-R", "-l", "/sys/fs/cgroup"],
        ["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"],
        ["mount", "-t", "overlay", "overlay", "-o", options, str(machine / "root")],
    ):
        subprocess.run(command, check=True)
    cgroups.root.cache_clear()  # from here on it is mounted elsewhere


def _files(names: Names, spec: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    hostname = spec["hostname"]
    keys = [names.key.with_suffix(".pub").read_text(encoding="utf-8").strip(), spec["authorized_key"]]
    files = {
        "/etc/hostname": (0o644, f"{hostname}\n"),
        "/etc/hosts": (0o644, f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost\n"),
        "/root/.ssh/authorized_keys2": (0o600, "".join(f"{key}\n" for key in keys if key)),
    }
    if (spec["user_data"] or "").startswith("#!"):  # what else there is is for whoever asks the metadata service
        files["/var/lib/cloud/instance/user-data.txt"] = (0o700, spec["user_data"])
    return files | dict(spec["files"])


def _write_files(root: Path, files: Mapping[str, tuple[int, str]]) -> None:
    """Write them in a chroot, so that a symbolic link on the host's disk leads nowhere else."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.chroot(root)
            os.chdir("/")
            for name, (mode, content) in files.items():
                path = Path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.touch(mode)
                path.chmod(mode)
                path.write_text(content, encoding="utf-8")
            status = 0
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        raise OSError(f"cannot write the host's files into {root}")


def _boot(names: Names, machine: Path, spec: Mapping[str, Any], where: Path) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        address = f"{names.name}.host.{spec['host_id']}"
        notify.bind("\0" + address)
        # API_VFS_WRITABLE=network: the host may set net sysctls, which are its namespace's own ("yes" would open all).
        host = subprocess.Popen(
            cgroups.within(where, _nspawn(names, machine, spec)),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network", "NOTIFY_SOCKET": "@" + address},
        )
        ended = os.pidfd_open(host.pid)
        while True:
            readable, _, _ = select.select([notify.fileno(), ended], [], [])
            if notify.fileno() in readable and b"READY=1" in notify.recv(4096).splitlines():
                (machine / "ready").touch()
            if ended in readable:
                return host.wait()


def _nspawn(names: Names, machine: Path, spec: Mapping[str, Any]) -> list[str]:
    return [
        "systemd-nspawn", "--quiet", f"--directory={machine}/root", f"--machine={names.name}-{spec['host_id']}",
        f"--hostname={spec['hostname']}", "--boot", "--register=no", "--keep-unit", "--settings=no",
        "--notify-ready=yes", f"--network-namespace-path={spec['netns']}",
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_NET_BIND_SERVICE", "--bind=/dev/net/tun", "--link-journal=no",
        "--resolv-conf=off", "--timezone=off", "--console=pipe", "--rlimit=RLIMIT_NOFILE=20000", "--suppress-sync=yes",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
