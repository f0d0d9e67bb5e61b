# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two machines together: switched on, configured by the real role, and asked what they see."""

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
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport, Tunnel
from lab import golden
from lab.errors import LabError
from lab.names import REPOSITORY, Names
from lab.vm import network, peer, traffic
from lab.vm.machine import Machine

INVENTORY = Path(__file__).resolve().parent / "inventory" / "hosts.yml"
PLAYBOOK = Path(__file__).resolve().parent / "gateway.yml"
_PYTHON = "ansible_python_interpreter=/opt/vpnha/venv/bin/python"  # it has vici


@dataclass(frozen=True)
class Played:
    """A run of the playbook: how the gateway's line of the recap counts."""

    ok: int
    changed: int
    failed: int


class Pair:
    """A gateway and a customer gateway, as ``lab/vm/inventory`` describes them."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.variables: dict[str, Any] = yaml.safe_load(
            (INVENTORY.parent / "group_vars" / "all.yml").read_text(encoding="utf-8")
        )
        self.gateway = Machine(names, "gw-a", network.underlay(names), network.GATEWAY)
        self.peer = Machine(names, "cgw-hq", network.underlay(names), network.PEER)

    @property
    def tunnel(self) -> Tunnel:
        """The one tunnel."""
        return parse(self.variables).tunnels[0]

    def boot(self, *, stay: bool = False) -> None:
        """Plug both in and switch them on; returns when both have booted."""
        network.make(self.names)
        files = peer.files(self.variables, network.PEER_ADDRESS)
        # by the main thread: a machine ends with the thread that has started it
        self.peer.start(files, stay=stay)
        self.gateway.start({}, stay=stay)
        for machine in (self.gateway, self.peer):
            machine.wait()

    def configure(self, log: Path) -> Played:
        """Run the playbook with the real role. LabError when it fails; its output is in ``log``."""
        done = self._ansible("ansible-playbook", str(PLAYBOOK))
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
        found = re.search(r"^gw-a\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", done.stdout, re.M)
        if done.returncode != 0 or found is None:
            fatal = [line for line in (done.stdout + done.stderr).splitlines() if "fatal:" in line or "ERROR" in line]
            reason = fatal[-1][:400] if fatal else "no reason given"
            raise LabError(f"The playbook failed ({log} has all of it): {reason}")
        return Played(int(found[1]), int(found[2]), int(found[3]) + int(found[4]))

    def health(self) -> dict[str, Any]:
        """What the module ``vpn_health_info`` returns on the gateway."""
        done = self._ansible("ansible", "gw-a", "-m", "vpnha.aws.vpn_health_info", "-e", _PYTHON)
        start = done.stdout.find("{")
        if done.returncode != 0 or start < 0:
            said = " ".join((done.stdout + done.stderr).split())[-400:]
            raise LabError(f"vpn_health_info failed on the gateway: {said}")
        found: dict[str, Any] = json.loads(done.stdout[start:])
        return found

    def agent(self) -> AgentReport:
        """What the gateway's agent answers a monitor."""
        key = self.variables["vpnha_heartbeat_key"]
        return traffic.agent_report(network.underlay(self.names), network.GATEWAY_ADDRESS, "gw-a", key)

    def bgp(self) -> str:
        """State of the BGP session, as FRR on the gateway calls it."""
        said = json.loads(self.gateway.say("vtysh", "-c", "show bgp summary json"))
        peers: Mapping[str, Any] = said.get("ipv4Unicast", {}).get("peers", {})
        return str(peers.get(self.tunnel.peer_inside_address, {}).get("state", "missing"))

    def bfd(self) -> str:
        """State of the BFD session."""
        for session in json.loads(self.gateway.say("vtysh", "-c", "show bfd peers json")):
            if session.get("peer") == self.tunnel.peer_inside_address:
                return str(session.get("status"))
        return "missing"

    def way(self) -> str:
        """The device by which the gateway sends packets to the site, or "none"."""
        done = self.gateway.run("ip", "-4", "route", "get", network.SITE_ADDRESS, check=False)
        found = re.search(r" dev (\S+)", done.stdout)
        return found[1] if found else "none"

    def esp(self) -> tuple[int, int]:
        """(ESP states, policies) of this tunnel's XFRM interface in the gateway's kernel."""
        mark = f"if_id {self.tunnel.if_id:#x}"
        return self.gateway.say("ip", "xfrm", "state").count(mark), self.gateway.say("ip", "xfrm", "policy").count(mark)

    def unpacking(self) -> dict[str, int]:
        """Counters of the gateway's kernel: UDP packets that found no socket, and ESP that found no state."""
        said = self.gateway.say("sh", "-c", "grep ^Udp: /proc/net/snmp; grep XfrmInNoStates /proc/net/xfrm_stat")
        names, values, states = (line.split() for line in said.splitlines())
        return {"UDP without a socket": int(values[names.index("NoPorts")]), "ESP without a state": int(states[1])}

    def let_peer_reach_gateway(self) -> None:
        """The peer may send IKE and ESP to the gateway's own address, though it is one of the VPC's."""
        self.peer.run("ip", "route", "replace", network.GATEWAY_ADDRESS, "via", network.INTERNET_ROUTER)
        self.peer.run(
            "nft", "insert", "rule", "inet", "site", "output", "ip", "daddr", network.GATEWAY_ADDRESS, "accept"
        )

    def charon(self) -> str:
        """The pid of charon on the gateway; empty when it does not run."""
        return self.gateway.run("pidof", "charon-systemd", check=False).stdout.strip()

    def processor(self) -> dict[str, float]:
        """Seconds of processor that each machine has used, which say more than a clock on a busy machine."""
        return {machine.name: machine.processor() for machine in (self.gateway, self.peer)}

    def _ansible(self, program: str, *argv: str) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ, **self.names.environment(), "ANSIBLE_COLLECTIONS_PATH": golden.collections_path(),
            "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(self.names.run / "ansible"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }  # fmt: skip
        return subprocess.run(
            [str(Path(sys.executable).with_name(program)), *argv, "-i", str(INVENTORY)],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=REPOSITORY, env=env,
        )  # fmt: skip
