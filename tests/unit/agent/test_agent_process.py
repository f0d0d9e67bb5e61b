# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as a process, on a host that has neither strongSwan nor FRR: it answers all the same, and says so."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent_world import KEY, settings

from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import HeartbeatAsker, KeyRing
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport

PATIENCE = 60.0  # seconds; only a broken agent takes so long
ROOT = Path(__file__).parents[3]


class Running:
    """An agent, and a monitor's end of its heartbeats."""

    def __init__(self, directory: Path, wrapper: tuple[str, ...] = (), path: str = "/nonexistent") -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(directory / "notify"))
        self._notify.settimeout(PATIENCE)
        config = directory / "agent.json"
        config.write_text(
            json.dumps(settings(listen="127.0.0.1", port=self.port, vici_socket=str(directory / "charon.vici")))
        )
        self.log = directory / "log"
        environment = {
            "PATH": path,
            "NOTIFY_SOCKET": str(directory / "notify"),
            "PYTHONPATH": f"{ROOT}/.build/collections:{ROOT}/roles/gateway/files",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "vpnha_agent", "--config", str(config)], env=environment, stderr=log
            )
        self.asker = HeartbeatAsker(KeyRing([KEY]), "mon-a", "gw-a", lambda: LossWindow(0.5, 10.0))
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.settimeout(0.2)

    def told(self) -> str:
        """The next message to the service manager."""
        return self._notify.recv(100).decode()

    def send(self, packet: bytes) -> bytes | None:
        self._sock.sendto(packet, ("127.0.0.1", self.port))
        try:
            return self._sock.recv(65536)
        except (TimeoutError, ConnectionRefusedError):
            return None

    def report_when(self, wanted: Callable[[AgentReport], bool]) -> AgentReport:
        """Ask until a report is as wanted."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            answer = self.send(self.asker.next_request(time.monotonic()))
            report = self.asker.on_packet(answer, time.monotonic()) if answer else None
            if report is not None and wanted(report):
                return report
            time.sleep(0.02)
        raise AssertionError(f"no such report; the last was {self.asker.report}; log: {self.log.read_text()}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._sock.close()
        self._notify.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    assert running.told() == "READY=1", running.log.read_text()
    yield running
    running.close()


def test_it_answers_without_anything_to_lean_on(agent: Running) -> None:
    report = agent.report_when(lambda report: report.tunnels["hq-gw-a"].probe.silent)
    assert report.charon == "dead"
    assert set(report.tunnels) == {"hq-gw-a", "plant-gw-a"}
    assert (report.tunnels["hq-gw-a"].ike, report.tunnels["plant-gw-a"].bgp) == ("unknown", "static")
    assert report.paths == {"hq": "none", "plant": "none"}
    assert report.peers == {"gw-b": None}
    assert report.stopping == "" and report.agent_id and report.boot_id
    assert agent.process.poll() is None


def test_it_lives_on_and_keeps_the_watchdog_content(agent: Running) -> None:
    assert [agent.told() for _ in range(3)] == ["WATCHDOG=1"] * 3
    assert "failed and is tried again" not in agent.log.read_text()


def test_nonsense_is_ignored_and_told(agent: Running) -> None:
    agent.report_when(lambda _: True)
    for packet in (b"", b"x", b"VH" + bytes(100), os.urandom(1400)):
        assert agent.send(packet) is None
    until = time.monotonic() + PATIENCE
    while agent.send(request := agent.asker.next_request(time.monotonic())) is None:
        assert time.monotonic() < until, agent.log.read_text()
    agent.send(request)  # replayed
    agent.report_when(lambda _: True)
    while "refused so far as replayed" not in agent.log.read_text():
        assert time.monotonic() < until, agent.log.read_text()
        time.sleep(0.1)


def test_sigterm_is_announced_before_it_ends(agent: Running) -> None:
    agent.report_when(lambda _: True)
    agent.process.send_signal(signal.SIGTERM)
    assert agent.report_when(lambda report: report.stopping != "").stopping == "agent"
    assert agent.process.wait(PATIENCE) == 0


def test_the_host_going_down_is_announced_as_such(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    systemctl = programs / "systemctl"
    systemctl.write_text("#!/bin/sh\n[ $1 != is-system-running ] || { echo stopping; exit 1; }\n")
    systemctl.chmod(0o755)
    running = Running(tmp_path, path=str(programs))
    try:
        running.report_when(lambda _: True)
        running.process.send_signal(signal.SIGTERM)
        assert running.report_when(lambda report: report.stopping != "").stopping == "host"
        assert running.process.wait(PATIENCE) == 0
    finally:
        running.close()


def test_a_pause_makes_it_observe_afresh(agent: Running) -> None:
    agent.report_when(lambda report: report.tunnels["hq-gw-a"].probe.silent)
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(1.0)
    agent.process.send_signal(signal.SIGCONT)
    agent.report_when(lambda report: not report.tunnels["hq-gw-a"].probe.window_full)
    assert "begins to observe afresh" in agent.log.read_text()


def test_a_taken_port_is_one_sentence(tmp_path: Path, agent: Running) -> None:
    config = tmp_path / "agent.json"
    again = subprocess.run(
        [sys.executable, "-m", "vpnha_agent", "--config", str(config)],
        env={"PYTHONPATH": f"{ROOT}/.build/collections:{ROOT}/roles/gateway/files"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 1
    assert again.stderr == f"UDP port {agent.port} on 127.0.0.1 cannot be had: Address already in use.\n"


def test_a_bad_configuration_is_refused_by_exit_code_and_sentence(tmp_path: Path) -> None:
    config = tmp_path / "agent.json"
    config.write_text("{")
    checked = subprocess.run(
        [sys.executable, "-m", "vpnha_agent", "--check", "--config", str(config)],
        env={"PYTHONPATH": f"{ROOT}/.build/collections:{ROOT}/roles/gateway/files"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 78
    assert "this is not JSON" in checked.stderr and "Traceback" not in checked.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root for a network namespace")
def test_routes_and_probes_follow_the_kernel(tmp_path: Path) -> None:
    """In a network namespace: a tunnel's device appears, with a peer behind it that answers."""
    script = """
        set -e
        ip link set lo up
        unshare -n sleep 1000 & peer=$!
        sleep 0.2
        ip link add vpnha10 type veth peer name tun netns $peer
        ip addr add 169.254.10.1/30 dev vpnha10; ip link set vpnha10 up
        nsenter -t $peer -n sh -c 'ip link set lo up; ip addr add 169.254.10.2/30 dev tun; ip link set tun up
          ip addr add 192.168.10.10/32 dev lo; ip addr add 192.168.11.1/32 dev lo'
        ip route add 192.168.10.0/24 via 169.254.10.2; ip route add 192.168.11.0/24 via 169.254.10.2
    """
    driver = Path(__file__).parent / "in_namespace.py"
    done = subprocess.run(
        [
            *("unshare", "-n", "--kill-child", "sh", "-c", f"trap 'kill $peer' EXIT\n{script}\n\"$@\"", "sh"),
            *(sys.executable, str(driver), str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
