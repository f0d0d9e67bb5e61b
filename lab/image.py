# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that hosts are cloned from: ``base`` (plain Debian) and ``golden`` (with what the roles install).

An image is ``<images>/<hash>/rootfs`` with ``lower.json`` (the hashes of the images below it); the links ``base`` and
``golden`` point to those in use, ``base-bookworm`` and ``golden-bookworm`` to those of an older Debian. The hash covers
everything that goes into the image, so an image is never changed.
Packages come from an apt repository and a wheelhouse inside the image: a host needs no network to install them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.names import REPOSITORY, Names


@dataclass(frozen=True)
class Release:
    """A release of Debian, and what its images are called."""

    suite: str
    version: str
    python: str
    base: str
    golden: str


USUAL = Release("trixie", "13", "3.13", "base", "golden")
RELEASES = {
    release.suite: release for release in (USUAL, Release("bookworm", "12", "3.11", "base-bookworm", "golden-bookworm"))
}
_ROOM = 1_500_000_000  # bytes free for an image and what building it needs
_PUBLIC_MIRROR = "http://deb.debian.org/debian"

# On every host, as in a cloud image.
_BASE = (
    "systemd systemd-sysv dbus openssh-server python3 python3-apt iproute2 iputils-ping ca-certificates kmod procps "
    "sudo"
)
# In the image's apt repository only, with all they need: the roles install them.
_PACKAGES = (
    "charon-systemd strongswan-swanctl strongswan-pki libstrongswan-standard-plugins libstrongswan-extra-plugins "
    "libcharon-extra-plugins libcharon-extauth-plugins frr frr-pythontools tcpdump nftables python3-venv "
    "python3-packaging python3-pip"
)
_DEBS = "/var/cache/vpnha/debs"
_WHEELS = "/var/cache/vpnha/wheels"

# Fast boot: nothing that waits, nothing on a timer, no login on a console that does not exist.
_MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer "
    "motd-news.timer systemd-networkd-wait-online.service systemd-timesyncd.service console-getty.service getty.target "
    "systemd-pcrlock-make-policy.service systemd-journal-catalog-update.service ldconfig.service"
)
_FILES = {
    "/etc/apt/sources.list": f"deb [trusted=yes] file:{_DEBS} ./\n",
    "/etc/apt/apt.conf.d/99lab": 'Acquire::Languages "none";\nAcquire::Retries "0";\n',
    "/etc/pip.conf": f"[global]\nno-index = true\nfind-links = {_WHEELS}\ndisable-pip-version-check = true\n",
    "/etc/ssh/sshd_config.d/lab.conf": "HostKey /etc/ssh/ssh_host_ed25519_key\nMaxStartups 100\nMaxSessions 100\n",
    "/etc/systemd/system/ssh.service.d/lab.conf": (
        "# Clones of one image must not share a host key.\n[Service]\nExecStartPre=\n"
        "ExecStartPre=/bin/sh -c 'test -s /etc/ssh/ssh_host_ed25519_key"
        ' || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key\'\n'
    ),
    "/etc/systemd/system/user-data.service": (
        "[Unit]\nDescription=The user data of RunInstances, once\n"
        "ConditionPathExists=/var/lib/cloud/instance/user-data.txt\n"
        "ConditionPathExists=!/var/lib/cloud/instance/user-data.done\n"
        "[Service]\nType=oneshot\nExecStartPre=/bin/touch /var/lib/cloud/instance/user-data.done\n"
        "ExecStart=/var/lib/cloud/instance/user-data.txt\n[Install]\nWantedBy=multi-user.target\n"
    ),
}

Progress = Callable[[str], None]


class Images:
    """The images of one state directory. Errors: LabError with what to do."""

    def __init__(self, names: Names) -> None:
        self.dir = names.images
        self.names = names

    def layers(self, which: str) -> list[Path]:
        """The root file systems that make up an image such as ``golden``, uppermost first."""
        link = self.dir / which
        if not (link / "lower.json").exists():
            suite = next((each.suite for each in RELEASES.values() if which in (each.base, each.golden)), USUAL.suite)
            raise LabError(f"There is no image {which!r} in {self.dir}: run `python -m lab image --release {suite}`.")
        image = link.resolve()
        below = json.loads((image / "lower.json").read_text(encoding="utf-8"))
        return [image / "rootfs", *(self.dir / each / "rootfs" for each in below)]

    def current(self, which: str, digest: str) -> bool:
        """Whether that image is there and was made from just this content."""
        return (self.dir / which / "lower.json").exists() and (self.dir / which).resolve().name == digest

    def base_digest(self, release: Release = USUAL) -> str:
        """The content hash that the base image has when it is up to date."""
        made_of = texts([Path(__file__), *requirements_files()])
        return digest({"arch": platform.machine(), "suite": release.suite, **made_of})

    def build_base(self, progress: Progress, release: Release = USUAL) -> str:
        """Build the base image unless it is there; returns its hash. Takes about a minute."""
        wanted = self.base_digest(release)
        with self.locked(progress):
            if not self.publish_existing(release.base, wanted):
                with self.building(wanted) as new:
                    log = self.names.logs / "image.log"
                    log.parent.mkdir(parents=True, exist_ok=True)
                    log.write_bytes(b"")
                    _bootstrap(new, release, log, progress)
                    progress("Python packages for the hosts")
                    _wheelhouse(new / "rootfs", release, log)
                    _configure(new / "rootfs", log)
                    (new / "lower.json").write_text("[]", encoding="ascii")
                self.publish_existing(release.base, wanted)
        return wanted

    def ensure_key(self) -> None:
        """Make the lab's ssh key unless it is there."""
        if not self.names.key.with_suffix(".pub").exists():
            self.names.dir.mkdir(parents=True, exist_ok=True)
            self.names.key.unlink(missing_ok=True)
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vpnha lab", "-f", str(self.names.key)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    # --- For whoever builds an image: also lab/golden.py ---------------------------------------------------

    @contextlib.contextmanager
    def locked(self, progress: Progress) -> Iterator[None]:
        """One builder at a time. Its children hold the lock too: it is free once nobody writes any more."""
        self.dir.mkdir(parents=True, exist_ok=True)
        with (self.dir / ".lock").open("w") as handle:
            os.set_inheritable(handle.fileno(), True)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another process that is building an image")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def building(self, wanted: str) -> Iterator[Path]:
        """A directory to build in, which becomes the image in one step at the end. The caller holds the lock."""
        self._drop_unfinished()
        if (free := shutil.disk_usage(self.dir).free) < _ROOM:
            raise LabError(
                f"An image needs {_ROOM / 1e9:.1f} GB in {self.dir}, where {free / 1e9:.1f} GB are free: make room, "
                "or set VPNHA_LAB_DIR to a directory on a larger disk."
            )
        new = self.dir / f"{wanted}.new"
        new.mkdir()
        try:
            yield new
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        new.replace(self.dir / wanted)

    def publish_existing(self, which: str, wanted: str) -> bool:
        """Let ``which`` mean the image of that hash if it is there, and drop images that nothing uses any more."""
        if not (self.dir / wanted / "lower.json").exists():
            return False
        link = self.dir / f".{which}.new"
        link.unlink(missing_ok=True)
        link.symlink_to(wanted)
        link.replace(self.dir / which)
        self._drop_unused()
        return True

    def drop_unfinished(self) -> None:
        """Remove what a killed builder left, unless somebody is building."""
        if self.dir.is_dir():
            with (self.dir / ".lock").open("w") as handle, contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._drop_unfinished()

    def _drop_unfinished(self) -> None:
        for stale in self.dir.glob("[!.]*.new"):
            shutil.rmtree(stale)

    def _drop_unused(self) -> None:
        used: set[str] = set()
        for link in self.dir.iterdir():
            if link.is_symlink() and (link / "lower.json").exists():
                used |= {link.resolve().name, *json.loads((link / "lower.json").read_text(encoding="utf-8"))}
        for lowers in self.names.dir.glob("*/machines/*/lowers.json"):
            used |= {Path(each).parent.name for each in json.loads(lowers.read_text(encoding="utf-8"))}
        for image in self.dir.iterdir():
            if image.is_dir() and not image.is_symlink() and image.name not in used:
                shutil.rmtree(image)


def digest(content: Mapping[str, str]) -> str:
    """A short hash of named texts."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def texts(paths: Iterable[Path]) -> dict[str, str]:
    """Files of the repository by their name in it, with what they say."""
    return {str(path.relative_to(REPOSITORY)): path.read_text(encoding="utf-8") for path in paths}


def requirements_files() -> list[Path]:
    """What the roles' virtual environments are made of."""
    return sorted(REPOSITORY.glob("roles/*/files/**/requirements*.txt"))


def run_logged(argv: Sequence[str], log: Path, doing: str, env: Mapping[str, str] | None = None) -> None:
    """Run a step of a build with its output in ``log``. LabError with its last words when it fails."""
    with log.open("ab") as output:
        output.write(f"+ {' '.join(argv)}\n".encode())
        output.flush()
        begin = output.tell()
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, close_fds=False,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
    if done.returncode != 0:
        said = log.read_bytes()[begin:].decode(errors="replace").strip()
        if os.strerror(errno.ENOSPC) in said:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(log.parent))
        errors = [line for line in said.splitlines() if line.startswith(("E:", "ERROR", "fatal:"))] or said.splitlines()
        raise LabError(f"{doing} failed ({log} has all of it): {errors[-1] if errors else f'exit {done.returncode}'}")


def mirror() -> str:
    """The Debian mirror that this machine itself installs from, else the public one."""
    release = platform.freedesktop_os_release()
    if release.get("ID") == "debian":
        fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
        command = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for line in listed.splitlines():
            uri, _, rest = line.partition(" ")
            if rest == f"{release.get('VERSION_CODENAME')} main":
                return uri
    return _PUBLIC_MIRROR


def _bootstrap(new: Path, release: Release, log: Path, progress: Progress) -> None:
    progress(f"Debian {release.version} ({release.suite}) and the packages that the roles install, about a minute")
    hook = new / "download.sh"
    hook.write_text(
        "#!/bin/sh\n# apt of this machine with the image's settings: the image needs no network of its own.\nset -eu\n"
        'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"\napt-get clean\n'
        f"apt-get install -qq -y --download-only --no-install-recommends {_PACKAGES}\n"
        f'install -d "$1{_DEBS}"\nmv "$1"/var/cache/apt/archives/*.deb "$1{_DEBS}/"\n',
        encoding="utf-8",
    )
    hook.chmod(0o755)
    # In a mount namespace of its own: what mmdebstrap mounts in the image goes away when it is killed.
    run_logged(
        ["unshare", "--mount", "--propagation", "private",
         "mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase", f"--include={','.join(_BASE.split())}",
         '--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Check-Valid-Until "false"',
         '--aptopt=Acquire::Check-Date "false"', f"--customize-hook={hook}",
         release.suite, str(new / "rootfs"), mirror()],
        log, "Installing Debian with mmdebstrap",
    )  # fmt: skip
    hook.unlink()


def _wheelhouse(rootfs: Path, release: Release, log: Path) -> None:
    wheels = rootfs / _WHEELS.lstrip("/")
    wheels.mkdir(parents=True)
    files = requirements_files()
    if files:
        platforms = [f"manylinux{version}_{platform.machine()}" for version in ("2014", "_2_17", "_2_28")]
        run_logged(
            [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(wheels), "--only-binary=:all:",
             "--implementation", "cp", "--python-version", release.python,
             *(f"--platform={each}" for each in platforms), *(f"--requirement={path}" for path in files)],
            log, "Downloading the roles' Python packages",
        )  # fmt: skip


def _configure(rootfs: Path, log: Path) -> None:
    for name in ("etc/hostname", "etc/resolv.conf", "var/lib/dbus/machine-id"):
        (rootfs / name).unlink(missing_ok=True)
    for stale in (*rootfs.glob("etc/apt/sources.list.d/*"), *rootfs.glob("etc/ssh/ssh_host_*")):
        stale.unlink()
    (rootfs / "etc/machine-id").write_bytes(b"")
    for name, content in _FILES.items():
        path = rootfs / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    units = rootfs / "etc/systemd/system"
    for unit in _MASKED.split():
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "user-data.service").symlink_to("/etc/systemd/system/user-data.service")
    debs = rootfs / _DEBS.lstrip("/")
    (debs / "Packages").write_text("\n".join(_package(deb) for deb in sorted(debs.glob("*.deb"))), encoding="utf-8")
    run_logged(["chroot", str(rootfs), "apt-get", "update"], log, "Reading the image's own apt repository")


def _package(deb: Path) -> str:
    """A stanza of an apt repository's index."""
    command = ["dpkg-deb", "--field", str(deb)]
    fields = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip()
    content = deb.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    return f"{fields}\nFilename: ./{deb.name}\nSize: {len(content)}\nSHA256: {checksum}\n"
