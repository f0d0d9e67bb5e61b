# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of a deployment together: switched on, and configured by the real role."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from lab import golden
from lab.errors import LabError
from lab.names import REPOSITORY, Names
from lab.vm import peer
from lab.vm.gateway import Gateway
from lab.vm.machine import Machine
from lab.vm.network import PEER, Network

_HERE = Path(__file__).resolve().parent
PAIR, MESH = (_HERE / "deployments" / f"{name}.yml" for name in ("pair", "mesh"))
_INVENTORY = _HERE / "inventory" / "hosts.yml"
_PLAYBOOK = _HERE / "gateways.yml"
_PYTHON = "ansible_python_interpreter=/opt/vpnha/venv/bin/python"  # it has vici
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Played:
    """A run of the playbook: how a gateway's line of the recap counts."""

    ok: int
    changed: int
    failed: int


class Machines:
    """The gateways of a deployment, and the customer gateway of its site."""

    def __init__(self, names: Names, description: Path) -> None:
        self.names = names
        self._description = description
        self.variables: dict[str, Any] = yaml.safe_load(description.read_text(encoding="utf-8"))
        deployment = parse(self.variables)
        self.network = Network(names, deployment)
        key = str(self.variables["vpnha_heartbeat_key"])
        self.gateways = tuple(
            Gateway(Machine(names, name, self.network.underlay, cable), deployment, self.network, key)
            for name, cable in self.network.gateways.items()
        )
        self.peer = Machine(names, PEER, self.network.underlay, self.network.peer)

    @property
    def all(self) -> dict[str, Machine]:
        """Every machine by name."""
        return {machine.name: machine for machine in (self.peer, *(gateway.machine for gateway in self.gateways))}

    def boot(self, *, stay: bool = False) -> None:
        """Plug all in and switch them on; returns when all have booted."""
        self.network.make()
        files = {PEER: peer.files(self.variables)}
        # by the main thread: a machine ends with the thread that has started it
        for name, machine in self.all.items():
            machine.start(files.get(name, {}), stay=stay)
        for machine in self.all.values():
            machine.wait()

    def configure(self, log: Path, only: Gateway | None = None) -> dict[str, Played]:
        """Run the playbook with the real role on the gateways, or one of them. LabError when it fails.

        Its output is in ``log``. What is in ``variables`` goes before what is described.
        """
        sites = ["-e", json.dumps({"vpnha_sites": self.variables["vpnha_sites"]})]
        hosts = ",".join(["localhost", *([only.name] if only else self.network.gateways)])
        done = self._ansible("ansible-playbook", str(_PLAYBOOK), [*sites, "-l", hosts])
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        found = {
            name: Played(int(ok), int(changed), int(unreachable) + int(failed))
            for name, ok, changed, unreachable, failed in _RECAP.findall(done.stdout)
            if name in self.network.gateways
        }
        if done.returncode != 0 or not found:
            fatal = [line for line in (done.stdout + done.stderr).splitlines() if "fatal:" in line or "ERROR" in line]
            reason = fatal[-1][:400] if fatal else "no reason given"
            raise LabError(f"The playbook failed ({log} has all of it): {reason}")
        return found

    def health(self, gateway: Gateway) -> dict[str, Any]:
        """What the module ``vpn_health_info`` returns on a gateway."""
        done = self._ansible("ansible", gateway.name, ["-m", "vpnha.aws.vpn_health_info", "-e", _PYTHON])
        start = done.stdout.find("{")
        if done.returncode != 0 or start < 0:
            said = " ".join((done.stdout + done.stderr).split())[-400:]
            raise LabError(f"vpn_health_info failed on {gateway.name}: {said}")
        found: dict[str, Any] = json.loads(done.stdout[start:])
        return found

    def let_peer_reach(self, gateway: Gateway) -> None:
        """The peer may send IKE and ESP to the gateway's own address, though it is one of the VPC's."""
        address = gateway.machine.cable.addresses[0]
        self.peer.run("ip", "route", "replace", address, "via", self.network.peer.router)
        self.peer.run("nft", "insert", "rule", "inet", "site", "output", "ip", "daddr", address, "accept")

    def processor(self) -> Mapping[str, float]:
        """Seconds of processor that each machine has used, which say more than a clock on a busy machine."""
        return {name: machine.processor() for name, machine in self.all.items()}

    def _ansible(self, program: str, what: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ, **self.names.environment(), "ANSIBLE_COLLECTIONS_PATH": golden.collections_path(),
            "ANSIBLE_CONFIG": str(_HERE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(self.names.run / "ansible"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }  # fmt: skip
        described = ["-i", str(_INVENTORY), "-e", f"@{self._description}"]
        return subprocess.run(
            [str(Path(sys.executable).with_name(program)), what, *described, *argv],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=REPOSITORY, env=env,
        )  # fmt: skip
