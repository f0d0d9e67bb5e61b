# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of the virtual machines: the golden image with a kernel of Debian's, its initrd, udev and AppArmor.

A layer above ``golden`` in the same place and of the same kind, called ``vm``. The packages are what the roles have
installed on the golden image; the kernel is Debian's own, unchanged.
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path

from lab import golden
from lab.errors import LabError
from lab.image import USUAL, Images, Progress, digest, mirror, run_logged, texts
from lab.names import Names

# machine -> Debian's name for it, the program of QEMU and its package, machine, processor (cheap to emulate), console
_ARCHITECTURES = {
    "x86_64": ("amd64", "qemu-system-x86_64", "qemu-system-x86", "q35", "Westmere", "ttyS0"),
    "aarch64": ("arm64", "qemu-system-aarch64", "qemu-system-arm", "virt", "cortex-a72", "ttyAMA0"),
}
# What a host needs to boot by itself, beyond what it needs in a container.
_PACKAGES = "initramfs-tools udev apparmor"
# An initrd with the disk's drivers alone: it is unpacked by an emulated processor.
_INITRD = "virtio_pci virtio_blk ext4"

# Runs in a mount namespace of its own. apt of this machine fetches, that of the image installs.
_BUILD = """
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$new/rootfs,workdir=$new/work" "$new/mnt"
mount -t proc proc "$new/mnt/proc"
mkdir -p "$new/apt/lists/partial" "$new/mnt/etc/initramfs-tools/conf.d"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$new/apt/sources.list"
fetch() {
  apt-get -q -y -o Dir::Etc::sourcelist="$new/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$new/apt/lists" -o Dir::State::status="$new/mnt/var/lib/dpkg/status" \
    -o Dir::Cache="$new/apt" -o Dir::Cache::archives="$new/mnt/var/cache/apt/archives" \
    -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false "$@"
}
fetch update
fetch install --download-only --no-install-recommends $packages
echo MODULES=list > "$new/mnt/etc/initramfs-tools/conf.d/vm"
printf '%s\\n' $initrd > "$new/mnt/etc/initramfs-tools/modules"
DEBIAN_FRONTEND=noninteractive chroot "$new/mnt" sh -c '
  apt-get -q -y -o Dpkg::Options::=--force-unsafe-io install --no-install-recommends /var/cache/apt/archives/*.deb
  apt-get clean
  # to compile the profiles of programs that are not there takes an emulated processor minutes
  cd /etc/apparmor.d && find . -maxdepth 1 -type f ! -name "usr.*" -delete
  # as in an image of a cloud: what the roles start does not run before they do
  systemctl disable frr.service strongswan.service'
umount "$new/mnt/proc" "$new/mnt"
rm -rf "$new/apt" "$new/work" "$new/mnt"
"""


@dataclass(frozen=True)
class Architecture:
    """How this machine's kind of processor is called by Debian and QEMU."""

    debian: str
    qemu: str
    package: str
    machine: str
    cpu: str
    console: str


def architecture() -> Architecture:
    """That of this machine. LabError when it is not known."""
    name = platform.machine()
    if name not in _ARCHITECTURES:
        raise LabError(f"This machine is a {name}, which the virtual machines are not written for: use amd64 or arm64.")
    return Architecture(*_ARCHITECTURES[name])


def build(names: Names, progress: Progress) -> str:
    """Build the image ``vm``, and those below it, unless they are up to date; returns its hash."""
    below = golden.build(names, progress)
    images = Images(names)
    wanted = digest({"golden": below, **texts([Path(__file__)])})
    with images.locked(progress):
        if not images.publish_existing("vm", wanted):
            with images.building(wanted) as new:
                progress("Debian's kernel for the virtual machines, about a minute")
                lower = images.layers("golden")
                names.logs.mkdir(parents=True, exist_ok=True)
                for part in ("rootfs", "work", "mnt"):
                    (new / part).mkdir()
                run_logged(
                    ["unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c", _BUILD],
                    names.logs / "image.log", "Installing a kernel into the virtual machines' image",
                    env={
                        "new": str(new), "lower": ":".join(str(path) for path in lower), "mirror": mirror(),
                        "suite": USUAL.suite, "initrd": _INITRD,
                        "packages": f"linux-image-cloud-{architecture().debian} {_PACKAGES}",
                    },
                )  # fmt: skip
                (new / "lower.json").write_text(json.dumps([path.parent.name for path in lower]), encoding="utf-8")
            images.publish_existing("vm", wanted)
    return wanted


def boot_files(names: Names) -> tuple[Path, Path]:
    """Kernel and initrd of the image ``vm``."""
    boot = Images(names).layers("vm")[0] / "boot"
    kernels, initrds = sorted(boot.glob("vmlinuz-*")), sorted(boot.glob("initrd.img-*"))
    if not kernels or not initrds:
        raise LabError(f"The image of the virtual machines has no kernel in {boot}: remove it and build it again.")
    return kernels[-1], initrds[-1]
