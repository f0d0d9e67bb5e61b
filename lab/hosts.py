# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Debian hosts: systemd-nspawn on an overlay of an image, each in a network namespace made anew at every boot.

A host lives in processes of its own and is found again by its directory and its cgroup, so any process of the lab can
look at it, stop it or destroy it. Only booting needs the caller: ``prepare`` makes the namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lab import cgroups, procs, setns
from lab.errors import LabError
from lab.image import Images
from lab.names import Names
from lab.supervise import REBOOT, wants_boot

State = Literal["absent", "stopped", "booting", "running"]

_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,39}")
_POWER_OFF = signal.SIGRTMIN + 4
_REBOOT = signal.SIGRTMIN + 5
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

log = logging.getLogger(__name__)


class Hosts:
    """All hosts of one lab. Methods may be called from threads; those of one host wait for one another.

    Errors: LabError when a host is not in the state that the call needs, or does not boot.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self._prepare: dict[str, Callable[[], str]] = {}

    # --- Boot and end ------------------------------------------------------------------------------------

    def start(
        self,
        host_id: str,
        *,
        image: str,
        hostname: str,
        prepare: Callable[[], str],
        user_data: str | None = None,
        authorized_key: str | None = None,
        files: Mapping[str, tuple[int, str]] | None = None,
        again: Sequence[str] | None = None,
    ) -> None:
        """Boot a host that is absent or stopped; returns when its boot has been launched (see ``wait``).

        ``image``: ``base`` or ``golden``, used when the host has no disk yet; its disk stays over stop and start.
        ``prepare``: makes the network namespace with its interfaces and returns its path; called at every boot, also
        when the host reboots by itself. ``files``: absolute path on the host to mode and content, written at this boot
        and at each reboot. ``user_data``: a script that the host runs at its first boot.
        ``again``: a command that boots the host after a reboot instead of ``prepare``, for callers that do not stay.
        """
        if not _ID.fullmatch(host_id):
            raise LabError(f"The host id {host_id!r} is not usable: take up to 40 letters, digits and dashes.")
        with self._locked(host_id):
            machine = self._machine(host_id)
            if self._alive(host_id) and not self._gone(host_id, 5.0 if self.ended(host_id) else 0.0):
                raise LabError(f"The host {host_id} is running already: stop it before starting it.")
            for part in ("upper", "work", "root"):
                (machine / part).mkdir(parents=True, exist_ok=True)
            lowers = machine / "lowers.json"
            if not lowers.exists():
                _write(lowers, json.dumps([str(path) for path in Images(self.names).layers(image)]))
            spec: dict[str, Any] = {
                "host_id": host_id,
                "hostname": hostname,
                "lowers": json.loads(lowers.read_text(encoding="utf-8")),
                "user_data": user_data,
                "authorized_key": authorized_key,
                "files": dict(files or {}),
                "again": list(again) if again else None,
            }
            self._prepare[host_id] = prepare
            self._launch(host_id, spec)

    def wait(self, host_id: str, timeout: float = 180.0) -> None:
        """Wait until systemd on the host has finished booting (running or degraded). LabError when it does not."""
        end = time.monotonic() + timeout
        while (state := self.state(host_id)) != "running":
            if state != "booting" or time.monotonic() > end:
                what = "did not finish booting" if state == "booting" else f"is {state}"
                raise LabError(f"The host {host_id} {what}: its console is in {self.console(host_id)}.")
            time.sleep(0.02)

    def stop(self, host_id: str, graceful: bool, timeout: float = 15.0) -> None:
        """Power the host off, or cut its power; its disk stays. No error when it is not running.

        Graceful: asks it to shut down and cuts the power after ``timeout`` seconds. Returns when it has ended.
        """
        if self.state(host_id) == "absent":
            return
        with self._locked(host_id):  # not while a reboot is between its decision and its boot
            self._want(host_id, "off")
        if graceful:
            self._signal_until_ended(host_id, _POWER_OFF, timeout)
        self._cut(host_id)

    def reboot(self, host_id: str, timeout: float = 15.0) -> None:
        """Reboot it (cutting its power when it does not end in time); returns when it has ended, see ``wait``."""
        with self._locked(host_id):
            if not procs.running(self._machine(host_id) / "supervisor"):
                raise LabError(f"The host {host_id} is {self.state(host_id)}: start it instead of rebooting it.")
            self._want(host_id, "reboot")
        if not self._signal_until_ended(host_id, _REBOOT, timeout):
            cgroups.kill(self._cgroup(host_id))

    def destroy(self, host_id: str) -> None:
        """Cut its power and throw its disk away. No error when there is none."""
        self.stop(host_id, graceful=False)
        with self._locked(host_id):
            self._prepare.pop(host_id, None)
            shutil.rmtree(self._machine(host_id), ignore_errors=True)

    # --- Looking at it -----------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """All hosts that have a disk."""
        return sorted(path.name for path in self.names.machines.glob("*") if path.is_dir())

    def state(self, host_id: str) -> State:
        """``running`` means that systemd has finished booting; cheap enough to be asked often."""
        machine = self._machine(host_id)
        if not machine.is_dir():
            return "absent"
        if self._alive(host_id):
            return "running" if (machine / "ready").exists() else "booting"
        with contextlib.suppress(FileNotFoundError, ValueError):
            if wants_boot(machine, int((machine / "exit").read_text(encoding="ascii"))):
                return "booting"
        return "stopped"

    def ended(self, host_id: str) -> bool:
        """Whether its last boot has ended; true also of a host that is about to be booted again after a reboot."""
        return (self._machine(host_id) / "exit").exists()

    def leader(self, host_id: str) -> int:
        """The pid of its systemd as seen from this machine. LabError when it is not running."""
        try:
            text = (self._cgroup(host_id) / "payload/init.scope/cgroup.procs").read_text(encoding="ascii")
            return int(text.split()[0])
        except (FileNotFoundError, IndexError, OSError):
            raise LabError(f"The host {host_id} is {self.state(host_id)}: start it first.") from None

    def enter(self, host_id: str, argv: Sequence[str]) -> list[str]:
        """The command line that runs ``argv`` on the host. LabError when it is not running."""
        return [
            "nsenter", "-t", str(self.leader(host_id)), "-m", "-u", "-i", "-n", "-p", "-C", "--",
            "env", "-i", f"PATH={_PATH}", "HOME=/root", f"TERM={os.environ.get('TERM', 'dumb')}", *argv,
        ]  # fmt: skip

    def run(
        self, host_id: str, argv: Sequence[str], *, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host as root, without ssh. LabError when it fails (with ``check``) or takes too long."""
        try:
            done = subprocess.run(
                self.enter(host_id, argv), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"{argv[0]} on the host {host_id} did not end within {timeout:g} s.") from None
        if check and done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise LabError(f"{' '.join(argv)} failed on the host {host_id}: {reason[-1]}")
        return done

    def console(self, host_id: str) -> Path:
        """The file with what the host wrote to its console."""
        return self.names.logs / f"{host_id}.console"

    # --- Within ------------------------------------------------------------------------------------------

    def _machine(self, host_id: str) -> Path:
        return self.names.machines / host_id

    def _cgroup(self, host_id: str) -> Path:
        return cgroups.path(self.names, f"host.{host_id}")

    def _want(self, host_id: str, wanted: Literal["on", "off", "reboot"]) -> None:
        _write(self._machine(host_id) / "wanted", wanted + "\n")

    def _launch(self, host_id: str, spec: dict[str, Any]) -> None:
        """Boot with a fresh namespace, and watch for the reboot. The caller holds the host's lock."""
        machine = self._machine(host_id)
        spec["netns"] = self._prepare[host_id]()
        _write(machine / "spec.json", json.dumps(spec))
        (machine / "ready").unlink(missing_ok=True)
        # Until its supervisor is there, the host looks like one that reboots: booting, never stopped.
        _write(machine / "exit", f"{REBOOT}\n")
        self._want(host_id, "on")
        try:
            process = procs.detach(
                self.names,
                [sys.executable, "-m", "lab.supervise", str(machine)],
                log=self.console(host_id),
                pid_file=machine / "supervisor",
            )
        except BaseException:
            self._want(host_id, "off")
            raise
        threading.Thread(target=self._watch, args=(host_id, process, spec), name=f"host-{host_id}", daemon=True).start()

    def _watch(self, host_id: str, process: subprocess.Popen[bytes], spec: dict[str, Any]) -> None:
        process.wait()
        machine = self._machine(host_id)
        try:
            with self._locked(host_id):
                mine = not procs.running(machine / "supervisor")  # else somebody has booted it again already
                if mine and not spec["again"] and wants_boot(machine, int((machine / "exit").read_text("ascii"))):
                    self._launch(host_id, spec)
        except FileNotFoundError:
            return  # destroyed meanwhile
        except Exception:
            log.exception("the host %s could not be booted again", host_id)
            self._want(host_id, "off")

    def _alive(self, host_id: str) -> bool:
        running = procs.running(self._machine(host_id) / "supervisor")
        return running is not None or cgroups.populated(self._cgroup(host_id))

    def _gone(self, host_id: str, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while self._alive(host_id):
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def _signal_until_ended(self, host_id: str, number: int, timeout: float) -> bool:
        """Ask its systemd to end until this boot of the host has ended; whether it has within ``timeout``."""
        supervisor = self._machine(host_id) / "supervisor"
        boot = procs.running(supervisor)
        end = time.monotonic() + timeout
        ask_at = 0.0
        while self._alive(host_id) and procs.running(supervisor) == boot:
            now = time.monotonic()
            if now > end:
                return False
            if now >= ask_at:  # once more every second: a systemd that has only just begun does not hear it
                with contextlib.suppress(LabError, ProcessLookupError):
                    os.kill(self.leader(host_id), number)
                    ask_at = now + 1.0
            time.sleep(0.02)
        return True

    def _cut(self, host_id: str) -> None:
        machine = self._machine(host_id)
        cgroups.kill(self._cgroup(host_id))
        with contextlib.suppress(FileNotFoundError):
            setns.unplug(json.loads((machine / "spec.json").read_text(encoding="utf-8"))["netns"])
        # Its supervisor ends once the host has; one that is about to boot it finds it killed, one that hangs is ended.
        end = time.monotonic() + 2.0
        while self._alive(host_id) and time.monotonic() < end:
            cgroups.kill(self._cgroup(host_id))
            time.sleep(0.01)
        procs.end(machine / "supervisor")
        cgroups.remove(self._cgroup(host_id))

    @contextlib.contextmanager
    def _locked(self, host_id: str) -> Iterator[None]:
        """One at a time per host, among threads and processes (flock on a file of its own description)."""
        self.names.machines.mkdir(parents=True, exist_ok=True)
        with (self.names.machines / f".{host_id}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _write(path: Path, content: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(content, encoding="utf-8")
    new.replace(path)
