# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances and their hosts: the thread that carries out what the API set, with hosts that do as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.api.machines import Machines
from lab.names import Names


class Host:
    """Remembers what was asked of it; ``hangs`` makes its shutdown wait until it is cut."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = "absent"
        self.fails = self.hangs = False
        self.cut = threading.Event()

    def start(self, host_id: str, *, prepare: Callable[[], str], **_: Any) -> None:
        if self.fails:
            raise OSError("no disk")
        self.asked.append("start")
        prepare()
        self.now = "running"

    def stop(self, host_id: str, graceful: bool) -> None:
        self.asked.append("shut down" if graceful else "cut")
        if not graceful:
            self.cut.set()
        elif self.hangs:
            assert self.cut.wait(10)
        self.now = "stopped"

    def reboot(self, host_id: str) -> None:
        self.asked.append("reboot")

    def destroy(self, host_id: str) -> None:
        self.asked.append("destroy")
        self.now = "absent"

    def state(self, host_id: str) -> str:
        return self.now


class Instance:
    """As much of moto's instance as is needed."""

    id = "i-1"
    image_id = "ami-vpnha0base"
    key_name = user_data = None
    private_dns_name = "ip-10-20-0-10.eu-central-1.compute.internal"

    def __init__(self) -> None:
        self._state = SimpleNamespace(name="running", code=16)
        self.state_reason = SimpleNamespace(code="", message="")
        self.nics: dict[int, Any] = {}
        self.ec2_backend = SimpleNamespace(key_pairs={}, tags={}, addresses=[])

    @property
    def state(self) -> str:
        return str(self._state.name)

    def start(self) -> None:
        self._state.name = "running"

    def stop(self) -> None:
        self._state.name = "stopped"

    def terminate(self) -> None:
        self._state.name = "terminated"


class World:
    def __init__(self, directory: Path) -> None:
        self.host, self.instance = Host(), Instance()
        self.lock = threading.RLock()
        self.powered: list[list[str]] = []  # at each change of the data plane
        plane = SimpleNamespace(boot=lambda instance: "/run/netns/x", forget=lambda instance: None)
        names = Names("machines", directory, 4000)
        self.machines = Machines(
            names, self.host, plane, self.lock, lambda: self.powered.append(self.machines.powered())
        )

    def commit(self) -> None:
        self.powered.append(self.machines.powered())

    def act(self, act: Callable[..., None], **options: Any) -> None:
        """Do as the endpoint does: change under the lock, then make the data plane so."""
        with self.lock:
            act(self.instance, **options)
            self.commit()

    def wait(self, state: str) -> None:
        end = time.monotonic() + 10
        while self.instance.state != state:
            assert time.monotonic() < end, f"the instance is still {self.instance.state}"
            time.sleep(0.01)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.act(made.machines.launch)
    made.wait("running")
    return made


def test_a_shutdown_keeps_power_until_the_host_has_ended(world: World) -> None:
    world.act(world.machines.stop, cut=False)
    assert world.powered[-1] == ["i-1"] or world.instance.state == "stopped"
    world.wait("stopped")
    assert (world.host.asked, world.powered[-1]) == (["start", "shut down"], [])


def test_cut_power_is_gone_before_the_api_answers(world: World) -> None:
    with world.lock:  # nothing but the call itself can have done it
        world.act(world.machines.stop, cut=True)
        assert world.powered[-1] == []
        assert world.instance.state == "stopping"
    world.wait("stopped")
    assert "shut down" not in world.host.asked


def test_power_can_be_cut_in_a_shutdown_that_hangs(world: World) -> None:
    world.host.hangs = True
    world.act(world.machines.stop, cut=False)
    world.act(world.machines.stop, cut=True)
    assert world.powered[-1] == []
    world.wait("stopped")


def test_a_stopped_instance_boots_again(world: World) -> None:
    world.act(world.machines.stop, cut=False)
    world.wait("stopped")
    world.act(world.machines.start)
    world.wait("running")
    assert world.powered[-1] == ["i-1"]


def test_a_host_that_ends_by_itself_stops_its_instance(world: World) -> None:
    world.host.now = "stopped"
    world.wait("stopped")
    assert world.instance.state_reason.code == "Client.InstanceInitiatedShutdown"
    assert world.powered[-1] == []


def test_a_host_that_does_not_boot_says_why(world: World) -> None:
    world.act(world.machines.stop, cut=False)
    world.wait("stopped")
    world.host.fails = True
    world.act(world.machines.start)
    world.wait("stopped")
    assert world.instance.state_reason.message == "Server.InternalError: no disk"


def test_the_end(world: World) -> None:
    world.act(world.machines.terminate, cut=False)
    world.wait("terminated")
    assert world.host.asked == ["start", "shut down", "destroy"]
    assert world.powered[-1] == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [("running", "ok"), ("booting", "initializing"), ("stopped", "impaired"), ("absent", "impaired")],
)
def test_status_checks_look_at_the_host(world: World, host: str, expected: str) -> None:
    world.host.now = host
    assert world.machines.status("i-1") == expected
