# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake the golden image: boot the base image once, let the roles install their packages on it, keep the result.

The roles do it by the very tasks that install on a host that lacks the packages, over ssh, as one bakes an AMI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from lab import registry
from lab.errors import LabError
from lab.hosts import Hosts
from lab.image import USUAL, Images, Progress, Release, digest, run_logged, texts
from lab.names import REPOSITORY, Names

ROLES = ("runtime", "gateway", "monitor")
_PLAYBOOK = REPOSITORY / "lab" / "golden.yml"
_HOST = "golden"
# What belongs to the host that was booted, and not to the image made of it.
_OWN = (
    "etc/hostname etc/hosts etc/ssh/ssh_host_* etc/.pwd.lock root/.ansible root/.cache root/.ssh tmp/* var/tmp/* "
    "var/log/* var/lib/systemd/random-seed var/lib/systemd/timers/* var/lib/cloud run/*"
)


def golden_digest(base: str) -> str:
    """The content hash that the golden image on that base has when up to date. LabError when a role is missing."""
    return digest({"base": base, **texts([Path(__file__), _PLAYBOOK, *_install_files()])})


def build(names: Names, progress: Progress, release: Release = USUAL) -> str:
    """Build a release's two images unless they are up to date; returns the golden one's hash. Takes a few minutes."""
    images = Images(names)
    images.ensure_key()
    base = images.build_base(progress, release)
    wanted = golden_digest(base)
    with images.locked(progress):
        if not images.publish_existing(release.golden, wanted):
            with images.building(wanted) as new:
                progress("The roles install their packages on a host of the base image, a minute or two")
                _bake(names, release, new / "rootfs")
                (new / "lower.json").write_text(f'["{base}"]', encoding="ascii")
            images.publish_existing(release.golden, wanted)
    return wanted


def _install_files() -> Iterable[Path]:
    for role in ROLES:
        root = REPOSITORY / "roles" / role
        if not (root / "tasks" / "install.yml").exists():
            raise LabError(f"The golden image cannot be baked: {root / 'tasks' / 'install.yml'} does not exist.")
        patterns = ("tasks/install*.yml", "vars/*.yml", "files/*.sh", "files/**/requirements*.txt")
        for pattern in (*patterns, "files/self_configure.py", "files/*.service"):
            yield from sorted(root.glob(pattern))


def _bake(names: Names, release: Release, rootfs: Path) -> None:
    hosts = Hosts(names)
    netns = names.netns(_HOST)

    def prepare() -> str:
        _drop_netns(netns)
        for command in (["ip", "netns", "add", netns], ["ip", "-n", netns, "link", "set", "lo", "up"]):
            subprocess.run(command, check=True)
        return names.netns_path(_HOST)

    hosts.destroy(_HOST)
    try:
        hosts.start(_HOST, image=release.base, hostname="golden", prepare=prepare)
        registry.write(names, _HOST, name="golden", netns=netns, kind="site")
        hosts.wait(_HOST)
        run_logged(
            [str(Path(sys.executable).with_name("ansible-playbook")), str(_PLAYBOOK), "-i", "golden,",
             "-i", str(REPOSITORY / "lab" / "inventory" / "hosts.yml")],
            names.logs / "image.log", "Baking the golden image with the roles' install tasks",
            env={
                **names.environment(), "ANSIBLE_COLLECTIONS_PATH": collections_path(), "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(names.run / "ssh"), "ANSIBLE_HOME": str(names.run / "ansible"),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
        )  # fmt: skip
        hosts.stop(_HOST, graceful=True)
        upper = names.machines / _HOST / "upper"
        _forget_host(upper)
        upper.rename(rootfs)
    finally:
        registry.remove(names, _HOST)
        hosts.destroy(_HOST)
        _drop_netns(netns)


def collections_path() -> str:
    """Where this checkout is found under the name that Ansible knows the collection by; made unless it is there."""
    tree = REPOSITORY / ".build" / "collections"
    link = tree / "ansible_collections" / "vpnha" / "aws"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(REPOSITORY, link.parent))
    return str(tree)


def _forget_host(upper: Path) -> None:
    for pattern in _OWN.split():
        for path in upper.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif not path.is_char_device():  # a whiteout says that the base image's file was removed: keep it
                path.unlink()
    if (upper / "etc" / "machine-id").exists():
        (upper / "etc" / "machine-id").write_bytes(b"")


def _drop_netns(netns: str) -> None:
    subprocess.run(["ip", "netns", "delete", netns], check=False, stderr=subprocess.DEVNULL)
