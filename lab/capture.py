# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What really goes over the wire: tcpdump on the internet or at a host's uplink, and a count of what should not."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from lab import endpoint, procs, registry, siteboot
from lab.errors import LabError
from lab.names import Names
from lab.net import cards, underlay

INTERNET = "internet"


def recording(device: str, file: Path) -> list[str]:
    """The command that records what passes a device, cut at 160 bytes, each packet at once: else the last are lost."""
    much = ("-B", "16384", "-U", "--immediate-mode")
    return ["tcpdump", "-i", device, "-n", "-s", "160", *much, "-Z", "root", "-w", str(file)]


def start(names: Names, where: str, file: Path | None = None) -> Path:
    """Capture at ``internet`` or at a host's uplink into a pcap file until ``stop``; returns the file.

    Packets are cut at 160 bytes. Raises LabError when a capture runs there already, or tcpdump does not start.
    """
    pid_file = _pid(names, where)
    if procs.running(pid_file):
        raise LabError(f"A capture at {where} is running already: stop it first.")
    netns, device, plaintext = _place(names, where)
    file = (file or names.run / f"capture-{where}.pcap").absolute()
    if not file.parent.is_dir():
        raise LabError(f"There is no directory {file.parent}: make it, or give another --file.")
    log = names.run / f"capture-{where}.log"
    log.unlink(missing_ok=True)
    argv = recording(device, file)
    process = procs.detach(names, argv, log=log, pid_file=pid_file, netns=netns)
    _about(names, where).write_text(json.dumps({"file": str(file), "plaintext": plaintext}), encoding="utf-8")
    while "listening on" not in (said := log.read_text(encoding="utf-8", errors="replace")):
        if process.poll() is not None:
            raise LabError(f"tcpdump did not start at {where}: {' '.join(said.split()) or 'no reason given'}")
        time.sleep(0.02)
    return file


def stop(names: Names, where: str) -> dict[str, Any]:
    """End a capture; returns file, packets, packets that the kernel dropped, and plaintext packets of a site."""
    pid_file = _pid(names, where)
    if not _about(names, where).exists():
        raise LabError(f"No capture is running at {where}: running are {', '.join(running(names)) or 'none'}.")
    procs.end(pid_file)
    about = json.loads(_about(names, where).read_text(encoding="utf-8"))
    _about(names, where).unlink()
    said = (names.run / f"capture-{where}.log").read_text(encoding="utf-8", errors="replace")
    dropped = re.search(r"(\d+) packets? dropped by kernel", said)
    return {
        "file": about["file"],
        "packets": count(Path(about["file"])),
        "dropped": int(dropped[1]) if dropped else 0,
        "plaintext": count(Path(about["file"]), about["plaintext"]),
    }


def running(names: Names) -> list[str]:
    """Where captures run."""
    found = [path.name.removeprefix("capture-").removesuffix(".pid") for path in names.run.glob("capture-*.pid")]
    return sorted(where for where in found if procs.running(_pid(names, where)))


def count(file: Path, expression: str = "") -> int:
    """How many packets of a pcap file match tcpdump's expression. Raises LabError when the file is not readable."""
    if not file.exists():
        raise LabError(f"There is no capture in {file}.")
    done = subprocess.run(
        ["tcpdump", "-r", str(file), "-nn", "--count", *([expression] if expression else [])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"(\d+) packets?", done.stdout)
    if done.returncode != 0 or found is None:
        reason = done.stderr.strip().splitlines() or ["no reason given"]
        raise LabError(f"tcpdump cannot read {file}: {reason[-1]}")
    return int(found[1])


def _place(names: Names, where: str) -> tuple[str, str, str]:
    """Namespace, device, and the expression of what must not be seen there.

    At an instance packets of a site may come in clear from its own VPC; it must not send them out towards the site.
    """
    prefixes = siteboot.prefixes(siteboot.deployment_variables(names))
    either = " or ".join(f"net {prefix}" for prefix in prefixes)
    if where == INTERNET:
        return underlay.name(names), underlay.BRIDGE, either
    host_id, entry = registry.find(names, where)
    if entry["kind"] in ("site", "vpn"):
        return entry["netns"], "wan0", either
    for instance in endpoint.instances(names):
        if instance["id"] == host_id:
            eni = instance["interfaces"][0]
            sites = " or ".join(f"dst net {prefix}" for prefix in prefixes)
            return cards.card(names, eni), "r0", f"ether src {cards.card_mac(eni)} and ({sites})"
    raise LabError(f"EC2 has no instance {host_id} any more.")


def _pid(names: Names, where: str) -> Path:
    return names.run / f"capture-{where}.pid"


def _about(names: Names, where: str) -> Path:
    return names.run / f"capture-{where}.json"
