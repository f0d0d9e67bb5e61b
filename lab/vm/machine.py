# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine under QEMU: its disk from the image ``vm`` and files of its own, its console in a log, ssh to it.

QEMU emulates the processor, so that it runs on machines without KVM. It runs in the underlay's namespace with one
network card, in the lab's cgroup for daemons; unless it is to stay, it ends with the process that has started it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import procs, registry
from lab.errors import LabError
from lab.image import Images, run_logged
from lab.names import REPOSITORY, Names
from lab.net import underlay as wiring
from lab.vm import image
from lab.vm.network import Cable

PROGRAMS = {"mke2fs": "e2fsprogs", "ping": "iputils-ping", "setpriv": "util-linux"}
MEMORY_MB = 768
_PROCESSORS = "2"  # emulated: the agent, FRR and charon take half of one, and Ansible's modules wait for the other half
_DISK_MB = 2048
_BOOT_SECONDS = 900.0  # an emulated machine on a busy one

File = tuple[int, str]  # mode, content

# A disk of an image's layers and the machine's own files. In a mount namespace of its own, so nothing stays mounted.
_DISK = """
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$machine/upper,workdir=$machine/work" "$machine/root"
mke2fs -q -t ext4 -E root_owner=0:0 -d "$machine/root" "$machine/disk" "$size"
"""


def programs() -> dict[str, str]:
    """Programs that virtual machines need beyond those of the lab, and their Debian packages."""
    arch = image.architecture()
    return {**PROGRAMS, arch.qemu: arch.package}


@dataclass(frozen=True)
class Machine:
    """One machine, plugged into the namespace ``netns``."""

    names: Names
    name: str
    netns: str
    cable: Cable

    @property
    def mac(self) -> str:
        """The hardware address of its network card."""
        return wiring.mac(self.name, self.cable.ifname)

    @property
    def dir(self) -> Path:
        """Its disk."""
        return self.names.machines / self.name

    @property
    def console(self) -> Path:
        """What it says on its serial console."""
        return self.names.logs / f"{self.name}.console"

    def start(self, files: Mapping[str, File], *, stay: bool = False) -> None:
        """Make the disk and switch the machine on; see ``wait``. ``stay``: it outlives the calling process."""
        shutil.rmtree(self.dir, ignore_errors=True)
        for part in ("upper", "work", "root"):
            (self.dir / part).mkdir(parents=True)
        for path, (mode, content) in {**self._own_files(), **files}.items():
            where = self.dir / "upper" / path.lstrip("/")
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(content, encoding="utf-8")
            where.chmod(mode)
        self.names.logs.mkdir(parents=True, exist_ok=True)
        run_logged(
            ["unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c", _DISK],
            self.names.logs / f"{self.name}.disk", f"Making the disk of {self.name}",
            env={
                "lower": ":".join(str(path) for path in Images(self.names).layers("vm")),
                "machine": str(self.dir), "size": f"{_DISK_MB}M",
            },
        )  # fmt: skip
        registry.write(
            self.names, self.name, name=self.name, netns=self.netns, kind="vm", address=self.cable.addresses[0]
        )
        self.console.unlink(missing_ok=True)
        argv = self.command()
        if not stay:
            argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
        procs.detach(self.names, argv, log=self.names.logs / f"{self.name}.qemu", pid_file=self._pid, netns=self.netns)

    def command(self) -> list[str]:
        """QEMU's command line."""
        arch = image.architecture()
        kernel, initrd = image.boot_files(self.names)
        return [
            "nice", "-n", "10", arch.qemu, "-nodefaults", "-display", "none", "-machine", arch.machine,
            "-accel", "tcg,tb-size=256", "-cpu", arch.cpu, "-smp", _PROCESSORS, "-m", str(MEMORY_MB),
            "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", f"root=/dev/vda rw quiet console={arch.console} mitigations=off panic=-1",
            "-drive", f"file={self.dir / 'disk'},format=raw,if=virtio,cache=unsafe",
            "-netdev", f"tap,id=net0,ifname={self.cable.tap},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=net0,mac={self.mac},romfile=",
            "-device", "virtio-rng-pci", "-serial", f"file:{self.console}",
        ]  # fmt: skip

    def wait(self, timeout: float = _BOOT_SECONDS) -> None:
        """Wait until systemd has finished booting. LabError when it does not."""
        end = time.monotonic() + timeout
        while True:
            if procs.running(self._pid) is None:
                said = (self.names.logs / f"{self.name}.qemu").read_text(encoding="utf-8", errors="replace").split("\n")
                raise LabError(f"QEMU has ended for {self.name}: {' '.join(said[-2:]).strip() or 'no reason given'}")
            # ``--wait`` hands back the state when the boot has ended, in which a unit may have failed
            said_now = self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()
            if said_now in ("running", "degraded"):
                return
            if time.monotonic() > end:
                raise LabError(f"{self.name} did not boot within {timeout:g} s: its console is in {self.console}.")
            time.sleep(1)

    def reboot(self) -> None:
        """Have it shut down in order and boot again; returns when it has booted. LabError when it does not."""
        before, end = self._boot_id(), time.monotonic() + _BOOT_SECONDS
        self.run("systemctl", "reboot", check=False)
        while self._boot_id() in ("", before):
            if time.monotonic() > end:
                raise LabError(
                    f"{self.name} did not reboot within {_BOOT_SECONDS:g} s: its console is in {self.console}."
                )
            time.sleep(1)
        self.wait()

    def run(self, *argv: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on it as root. LabError when it fails (with ``check``)."""
        done = subprocess.run([*self.ssh(), shlex.join(argv)], input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
            raise LabError(f"`{shlex.join(argv)}` failed on {self.name}: {said[-1]}")
        return done

    def say(self, *argv: str) -> str:
        """What a command says."""
        return self.run(*argv).stdout

    def esp_dropped(self) -> Counter[str]:
        """How many packets its kernel's ESP has dropped, by the reason as the kernel names it."""
        lines = self.say("cat", "/proc/net/xfrm_stat").splitlines()
        return Counter({name: int(count) for name, count in map(str.split, lines)})

    def processor(self) -> float:
        """Seconds of processor that QEMU has used; 0 when it does not run."""
        pid = procs.running(self._pid)
        if pid is None:
            return 0.0
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        user, system = stat[stat.rindex(")") + 2 :].split()[11:13]
        return round((int(user) + int(system)) / os.sysconf("SC_CLK_TCK"), 1)

    def ssh(self) -> list[str]:
        """The command line of ssh to it, without a command."""
        variables = {**self.names.environment(), "PYTHONPATH": str(REPOSITORY)}
        connect = shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), sys.executable])
        connect += " -m lab connect %h"
        control = self.names.run / "ssh"
        control.mkdir(parents=True, exist_ok=True)
        return [
            "ssh", "-i", str(self.names.key), "-o", f"ProxyCommand={connect}", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
            "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=60", "-o", "ControlMaster=auto",
            "-o", f"ControlPath={control}/%C", "-o", "ControlPersist=150", f"root@{self.name}{registry.DOMAIN}",
        ]  # fmt: skip

    def _boot_id(self) -> str:
        """Which boot this is; empty while it does not answer."""
        return self.run("cat", "/proc/sys/kernel/random/boot_id", check=False).stdout.strip()

    def _own_files(self) -> dict[str, File]:
        cable = self.cable
        addresses = "".join(f"Address={address}/24\n" for address in cable.addresses)
        network = (
            f"[Match]\nMACAddress={self.mac}\n[Network]\n{addresses}Gateway={cable.router}\n"
            f"LinkLocalAddressing={'ipv6' if cable.ipv6 else 'no'}\nIPv6AcceptRA=no\n"
        )
        if cable.ipv6:
            network += f"Address={cable.ipv6}/64\nGateway={cable.router_ipv6}\n"
        return {
            "/etc/hostname": (0o644, f"{self.name}\n"),
            "/etc/hosts": (0o644, f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n"),
            "/root/.ssh/authorized_keys2": (0o600, self.names.key.with_suffix(".pub").read_text(encoding="utf-8")),
            "/etc/systemd/network/10-uplink.link": (
                0o644, f"[Match]\nMACAddress={self.mac}\n[Link]\nName={self.cable.ifname}\n",
            ),
            "/etc/systemd/network/20-uplink.network": (0o644, network),
            "/etc/systemd/system/multi-user.target.d/vm.conf": (0o644, "[Unit]\nWants=systemd-networkd.service\n"),
            # on a busy machine an emulated processor needs longer for a service or a login than anyone waits by default
            "/etc/systemd/system.conf.d/vm.conf": (0o644, f"[Manager]\nDefaultTimeoutStartSec={_BOOT_SECONDS:.0f}\n"),
            "/etc/ssh/sshd_config.d/vm.conf": (0o644, "LoginGraceTime 0\n"),
            # there is no EC2 to ask what to become, and to ask takes an emulated processor half a minute
            "/etc/systemd/system/vpnha-self-configure.service.d/vm.conf": (
                0o644, "[Unit]\nConditionKernelCommandLine=ec2\n",
            ),
        }  # fmt: skip

    @property
    def _pid(self) -> Path:
        return self.dir / "qemu.pid"
