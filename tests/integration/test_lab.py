# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: hosts that boot, reboot, lose power and vanish without a trace, in a lab of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import cgroups, faults, lifecycle, procs, registry
from lab.faults import KINDS, Options
from lab.hosts import Hosts
from lab.names import REPOSITORY, Names
from lab.net import netns

pytestmark = pytest.mark.integration

HOST = "h1"
PATIENCE = 120.0  # seconds; nothing here is a measurement


class World:
    """A peer and a host with one cable between them, made anew at each boot of the host."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.hosts = Hosts(names)
        self.peer, self.netns = names.netns("peer"), names.netns(HOST)
        self.boots = 0
        netns.add(self.peer)

    def prepare(self) -> str:
        """What the VPC's router does for an instance: the namespace and its interface."""
        self.boots += 1
        netns.delete(self.netns)
        netns.add(self.netns)
        netns.drop_link(self.peer, "to-host")
        netns.ip(self.peer, f"link add to-host type veth peer name eth0 netns {self.netns}")
        netns.ip(self.peer, "address add 10.9.0.1/24 dev to-host", "link set to-host up")
        netns.ip(self.netns, "address add 10.9.0.2/24 dev eth0", "link set eth0 up")
        return self.names.netns_path(HOST)

    def start(self, **more: object) -> None:
        """Boot the host and wait for it."""
        self.hosts.start(HOST, image="base", hostname="web-1", prepare=self.prepare, **more)  # type: ignore[arg-type]
        registry.write(self.names, HOST, name="web-1", netns=self.netns, kind="site")
        self.hosts.wait(HOST)

    def answers(self) -> bool:
        """Whether one of three echo requests of the peer is answered."""
        ping = [sys.executable, "-c", PING, "10.9.0.2"]
        return subprocess.run(["ip", "netns", "exec", self.peer, *ping], check=False).returncode == 0

    def sh(self, script: str) -> str:
        """Output of a script on the host."""
        return self.hosts.run(HOST, ["sh", "-c", script]).stdout.strip()


# the machine may have no ping
PING = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(1)
body = struct.pack("!HH", 77, 1)
total = 0x0800 + 77 + 1
for _ in range(3):
    s.sendto(struct.pack("!BBH", 8, 0, ~total & 0xFFFF) + body, (sys.argv[1], 0))
    try:
        while True:
            data = s.recv(1500)
            if data[20] == 0 and data[24:26] == b"\\0M":
                sys.exit(0)
    except TimeoutError:
        pass
sys.exit(1)
"""


def until(condition: Callable[[], object]) -> None:
    """Wait for something that has to come true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "this did not come true"
        time.sleep(0.02)


@pytest.fixture
def names() -> Iterator[Names]:
    base = Names.from_env()
    names = Names("vpnhahost", base.dir, 4966)
    lifecycle.build_images(names, print)
    yield names
    lifecycle.down(names, print)
    assert lifecycle.leftovers(names) == []


@pytest.fixture
def world(names: Names) -> Iterator[World]:
    with lifecycle.borrowed(names, print):  # the name is nobody else's meanwhile
        yield World(names)


def test_a_disk_outlives_power_and_a_namespace_does_not_outlive_a_boot(world: World) -> None:
    world.start(
        files={"/opt/hello": (0o755, "#!/bin/sh\necho hello\n")}, user_data="#!/bin/sh\necho x >> /root/first\n"
    )
    assert world.sh("/opt/hello; hostname") == "hello\nweb-1"
    assert world.answers()
    world.sh("echo kept > /root/kept; sysctl -q -w net.ipv4.ip_forward=1; ip address add 10.9.0.3/32 dev eth0")
    world.hosts.stop(HOST, graceful=True)
    assert world.hosts.state(HOST) == "stopped" and not world.answers()
    world.start()
    assert world.sh("cat /root/kept /root/first; cat /proc/sys/net/ipv4/ip_forward") == "kept\nx\n0"
    assert "10.9.0.3" not in world.sh("ip -4 address")


def test_cut_power_silences_a_host_that_would_not_stop(world: World) -> None:
    world.start()
    world.sh("systemctl mask --runtime poweroff.target")
    assert world.answers()
    world.hosts.stop(HOST, graceful=False)
    assert not world.answers()
    assert world.hosts.state(HOST) == "stopped"
    assert not cgroups.populated(cgroups.path(world.names, f"host.{HOST}"))


def test_a_host_that_reboots_by_itself_comes_back(world: World) -> None:
    world.start()
    world.hosts.run(HOST, ["systemctl", "reboot"], check=False)
    until(lambda: world.boots == 2)
    world.hosts.wait(HOST)
    assert world.answers()
    world.hosts.reboot(HOST)
    until(lambda: world.boots == 3)
    world.hosts.wait(HOST)
    world.hosts.run(HOST, ["systemctl", "poweroff"], check=False)
    until(lambda: world.hosts.state(HOST) == "stopped")
    assert world.boots == 3 and not world.answers()


def test_another_process_finds_and_destroys_a_host_whose_supervisor_was_killed(world: World) -> None:
    world.start()
    supervisor = procs.running(world.names.machines / HOST / "supervisor")
    assert supervisor
    os.kill(supervisor, signal.SIGKILL)
    other = Hosts(world.names)
    until(lambda: procs.running(world.names.machines / HOST / "supervisor") is None)
    assert other.state(HOST) == "running"
    assert other.run(HOST, ["hostname"]).stdout == "web-1\n"
    other.destroy(HOST)
    assert other.state(HOST) == "absent" and not world.answers()


def test_ssh_reaches_a_host_whose_network_is_broken(world: World) -> None:
    world.start()
    world.sh("ip link set eth0 down")
    proxy = f"env PYTHONPATH={REPOSITORY} {sys.executable} -m lab connect %h"
    done = subprocess.run(
        ["ssh", "-i", str(world.names.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
         "-o", "LogLevel=ERROR", "-o", f"ProxyCommand={proxy}", "root@web-1.lab.invalid",
         "hostname; head -c 3000000 /dev/zero"],
        env={**os.environ, **world.names.environment()}, capture_output=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"web-1\n" + bytes(3_000_000)


PACKET_FAULTS = {
    "tunnel-block": ["10.9.0.1"],
    "esp-block": ["10.9.0.1"],
    "ike-block": ["10.9.0.1"],
    "cut": ["10.9.0.1"],
    "blackout": [],
    "loss": ["100"],
    "mtu": ["1200"],
}


def test_packet_faults_are_taken_by_the_kernel_and_taken_back(world: World) -> None:
    # those of managed tunnels need a managed VPN, and are tested there
    directed = {
        kind for kind, known in KINDS.items() if "direction" in known.options and known.usage.startswith("HOST")
    }
    assert directed == set(PACKET_FAULTS)
    world.start()
    silencing = {"cut", "blackout", "loss"}  # the others spare an echo request
    for kind, args in PACKET_FAULTS.items():
        for direction in ("both", "in", "out"):
            fault = faults.add(world.names, kind, ["web-1", *args], Options(direction=direction))  # type: ignore[arg-type]
            assert world.answers() is (kind not in silencing), fault.id
            faults.clear(world.names, fault.id)
            assert world.answers(), f"{fault.id} was not taken back"


@pytest.mark.parametrize("moment", ["run/api.pid", "machines/site-core-hq/spec.json", "machines/site-core-hq/ready"])
def test_down_leaves_nothing_of_an_up_that_was_killed(names: Names, moment: str) -> None:
    foreign = f"{names.name}x-foreign"  # another lab's prefix
    netns.add(foreign)
    try:
        up = subprocess.Popen(
            [sys.executable, "-m", "lab", "up"], env={**os.environ, **names.environment()},
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until(lambda: (names.state / moment).exists() or up.poll() is not None)
        up.send_signal(signal.SIGKILL)
        up.wait()
        assert (names.state / moment).exists(), "up ended before that moment"
        assert lifecycle.down(names, print) is True
        assert lifecycle.leftovers(names) == []
        assert not processes_of(names)
        assert netns.exists(foreign)
        assert lifecycle.down(names, print) is False
    finally:
        netns.delete(foreign)


def processes_of(names: Names) -> list[str]:
    """Command lines of all processes that were started for that lab."""
    wanted = f"VPNHA_LAB_NAME={names.name}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (path / "environ").read_bytes().split(b"\0"):
                found.append((path / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_up_takes_everything_back_when_a_step_fails(names: Names) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", names.api_port))
        other.listen()
        env = {**os.environ, **names.environment()}
        up = subprocess.run(
            [sys.executable, "-m", "lab", "up"], env=env, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    assert up.returncode == 1
    assert len(up.stderr.strip().splitlines()) == 1 and f"Port {names.api_port}" in up.stderr
    assert lifecycle.leftovers(names) == []


def test_status_is_json_before_and_after(names: Names) -> None:
    env = {**os.environ, **names.environment()}
    command = [sys.executable, "-m", "lab", "status", "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 3
    status = json.loads(done.stdout)
    assert (status["up"], status["hosts"], status["faults"]) == (False, [], [])
    assert status["images"]["golden"]
