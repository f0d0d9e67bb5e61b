# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``lab up`` and ``lab down``: from nothing to an EC2 with two sites around it, and back to nothing.

``up`` first notes in /run whose lab this is; ``down`` removes only what belongs to a lab of that note, and finds it by
prefix and cgroup, not by what some process remembers: so it works after ``kill -9`` of anything at any moment.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab import cgroups, endpoint, golden, preflight, procs
from lab.errors import LabError
from lab.hosts import Hosts
from lab.image import USUAL, Images, Release
from lab.names import Names

Progress = Callable[[str], None]

_NOTES = Path("/run/vpnha-lab")
_NSPAWN = Path("/run/systemd/nspawn")
_UP = "up"  # the cgroup of a running ``up`` and all that it starts


def up(names: Names, progress: Progress, *, sites_only: bool = False, deployment: Path | None = None) -> None:
    """Build the images if needed, start the endpoint and boot the sites; what runs already stays as it is.

    ``sites_only``: without the EC2 endpoint. ``deployment``: a file of variables that differ from the shipped ones.
    Raises LabError; what this call has started is then gone again.
    """
    from lab import siteboot  # it needs the engine, which a lab that only goes down does not

    _preflight(names)
    variables = siteboot.read_variables(deployment) if deployment is not None else None
    fresh = True
    try:
        with _alone(names, progress):
            fresh = not (endpoint.serving(names) or (sites_only and "running" in states(names).values()))
            if fresh:
                _sweep(names)  # the state of EC2 died with its process: what is left of it has no owner
                if not sites_only:
                    preflight.ports((names.endpoint_port, names.api_port))
            siteboot.choose(names, variables, fresh=fresh)
            if fresh:
                preflight.inotify(siteboot.count(siteboot.deployment_variables(names)))
            golden.build(names, progress)
            _start(names, progress, sites_only=sites_only)
    except BaseException:
        if fresh:
            down(names, lambda _: progress("taking back what was started"))
        raise


@contextlib.contextmanager
def borrowed(names: Names, progress: Progress, *, keep: bool = False) -> Iterator[None]:
    """A lab of this name with nothing in it, for hosts of another kind; all that the block made is removed at its end.

    ``keep``: leave it there until ``down``.
    """
    _preflight(names)
    try:
        with _alone(names, progress):
            _sweep(names)
            yield
    finally:
        if not keep:
            down(names, progress)


def build_images(names: Names, progress: Progress, release: Release = USUAL) -> str:
    """Build a release's two images; returns the golden one's hash. The name is free afterwards if it was before."""
    _preflight(names)
    with _claimed(names, progress):
        try:
            with _to_be_found(names):
                return golden.build(names, progress, release)
        finally:
            if _vacant(names):  # else there is a lab, whose images these are
                shutil.rmtree(names.state, ignore_errors=True)
                _note(names).unlink(missing_ok=True)


def down(names: Names, progress: Progress) -> bool:
    """Remove everything of this lab but its images, its key and its logs; says whether there was anything.

    Raises LabError when something of it cannot be removed, or when a lab of that name belongs to another directory.
    """
    preflight.root()
    if _owner(names) is None and not names.state.exists():
        return False
    _refuse_others(names)
    progress("ending hosts and daemons, removing namespaces")
    _sweep(names)
    cgroups.remove(cgroups.path(names, _UP))
    shutil.rmtree(names.state, ignore_errors=True)
    Images(names).drop_unfinished()
    if left := leftovers(names):
        raise LabError(f"Something of the lab {names.name} cannot be removed: {', '.join(left)}.")
    _note(names).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        _NOTES.rmdir()
    return True


def leftovers(names: Names) -> list[str]:
    """Everything on this machine that belongs to the lab: cgroups, namespaces, mounts, state."""
    found = [str(path) for path in cgroups.all_of(names)]
    found += [str(path) for path in _namespaces(names)]
    found += _mounts(names)
    found += [str(path) for kind in ("propagate", "unix-export") for path in _NSPAWN.glob(f"{kind}/{names.name}-*")]
    return found + ([str(names.state)] if names.state.exists() else [])


def _vacant(names: Names) -> bool:
    """Whether nothing of the lab is there but files, and the cgroup of an ``up``."""
    ours = {str(names.state), str(cgroups.path(names, _UP))}
    return set(leftovers(names)) <= ours


# --- Up ----------------------------------------------------------------------------------------------------


def _preflight(names: Names) -> None:
    preflight.root()
    preflight.packages()
    preflight.kernel()
    preflight.state_directory(names)
    _refuse_others(names)


def _start(names: Names, progress: Progress, *, sites_only: bool) -> None:
    from lab import faults, managed_aws, siteboot  # they need the engine, which a lab that only goes down does not
    from lab.net import underlay

    underlay.make(names)
    if not sites_only and not endpoint.serving(names):
        progress("starting the EC2 endpoint")
        endpoint.start_server(names)
    progress("booting the sites' hosts")
    siteboot.boot(names)
    if not sites_only:
        progress("waiting for the EC2 endpoint")
        endpoint.wait(names)
        endpoint.start_proxies(names)
        faults.push_api_faults(names)
        variables = siteboot.deployment_variables(names)
        if managed_sites := variables.get(managed_aws.VARIABLE):
            progress("making the managed VPN that the deployment finds")
            managed_aws.ensure(names, variables, managed_sites)


@contextlib.contextmanager
def _alone(names: Names, progress: Progress) -> Iterator[None]:
    """One ``up`` at a time; it and all its children can be found by ``down``."""
    with _claimed(names, progress), _to_be_found(names):
        yield


@contextlib.contextmanager
def _to_be_found(names: Names) -> Iterator[None]:
    """Have a ``down`` find this process and all its children."""
    names.run.mkdir(parents=True, exist_ok=True)
    before = _own_cgroup()
    cgroups.enter(cgroups.ensure(names, _UP))
    try:
        yield
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        with contextlib.suppress(OSError):  # something of ours may still be ending in it; ``down`` removes it
            cgroups.path(names, _UP).rmdir()


@contextlib.contextmanager
def _claimed(names: Names, progress: Progress) -> Iterator[None]:
    """Note that the lab of this name is ours, and hold the note locked."""
    note = _note(names)
    while True:
        _NOTES.mkdir(mode=0o755, exist_ok=True)
        with note.open("a+", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another `lab up` of this lab")
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not note.exists() or note.stat().st_ino != os.fstat(handle.fileno()).st_ino:
                continue  # a ``down`` has removed it meanwhile
            _refuse_others(names)
            handle.truncate(0)
            handle.write(f"{names.dir}\n")
            handle.flush()
            yield
            return


def _own_cgroup() -> Path:
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::/"):
            return cgroups.root() / line.removeprefix("0::/")
    return cgroups.root()


def _note(names: Names) -> Path:
    return _NOTES / names.name


def _owner(names: Names) -> Path | None:
    try:
        owner = _note(names).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    return Path(owner) if owner else names.dir


def _refuse_others(names: Names) -> None:
    owner = _owner(names)
    if owner is not None and owner != names.dir:
        raise LabError(
            f"A lab called {names.name} belongs to {owner}: set VPNHA_LAB_NAME to another name, "
            "or VPNHA_LAB_DIR to that directory."
        )


# --- Down --------------------------------------------------------------------------------------------------


def _sweep(names: Names) -> None:
    """End every process and remove every kernel object of the lab, and the hosts' disks."""
    _end_other_ups(names)
    for where in [cgroups.path(names, procs.DAEMONS), *cgroups.all_of(names)]:  # who would boot hosts again goes first
        if where != cgroups.path(names, _UP):
            cgroups.remove(where)
    for mount in sorted(_mounts(names), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    for path in _namespaces(names):
        subprocess.run(["ip", "netns", "delete", path.name], check=False, capture_output=True)
        path.unlink(missing_ok=True)  # one that was killed between making the file and mounting the namespace on it
    for kind in ("propagate", "unix-export"):
        for path in _NSPAWN.glob(f"{kind}/{names.name}-*"):
            shutil.rmtree(path, ignore_errors=True)
    for where in (names.machines, names.registry, names.run):
        shutil.rmtree(where, ignore_errors=True)
    names.run.mkdir(parents=True, exist_ok=True)


def _end_other_ups(names: Names) -> None:
    where = cgroups.path(names, _UP)
    end = time.monotonic() + 5.0
    while others := [pid for pid in cgroups.pids(where) if pid != os.getpid()]:
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        if time.monotonic() > end:
            raise LabError(f"Processes of an interrupted `lab up` do not end: {others}.")
        time.sleep(0.02)


def _namespaces(names: Names) -> list[Path]:
    return sorted(Path("/run/netns").glob(f"{names.name}-*"))


def _mounts(names: Names) -> list[str]:
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    return [where for where in mounted if Path(where).is_relative_to(names.state)]


def states(names: Names) -> dict[str, str]:
    """Every host's state by its id."""
    hosts = Hosts(names)
    return {host_id: hosts.state(host_id) for host_id in hosts.ids()}
