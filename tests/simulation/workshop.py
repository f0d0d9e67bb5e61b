# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the calls of a repair do to a gateway."""

from __future__ import annotations

from collections.abc import Callable

from .faults import LASTING, REPLACED, Fault
from .oracle import Oracle
from .striking import vanish
from .world import World

SHUTS_DOWN = 10.0  # seconds of an orderly stop
BOOTS = (5.0, 20.0)


class Workshop:
    """``mended`` ends a fault before its time."""

    def __init__(self, world: World, oracle: Oracle, mended: Callable[[Fault], None]) -> None:
        self._world, self._oracle, self._mended = world, oracle, mended

    def power(self, call: str, gateway: str) -> None:
        """EC2 has taken a call."""
        getattr(self, f"_{call.replace('-', '_')}")(gateway)

    def inspect(self) -> None:
        """A person starts what still stands still when everything else is well."""
        for gateway in self._world.gateways:
            if self._world.ec2.truth.instances[gateway].state != "running" or gateway in self._world.unpowered:
                self._launched(gateway, "running")
                self._on(gateway, ())

    def _reboot(self, gateway: str) -> None:
        self._off(gateway)
        self._later(gateway, "running", "running", lambda: self._on(gateway, ("host hangs",)))

    def _stop(self, gateway: str) -> None:
        self._off(gateway)
        self._say(gateway, "stopping")
        if not self._world.has(("host hangs hard",), (gateway,)):
            self._world.at(self._world.now + SHUTS_DOWN, lambda: self._stopped(gateway))

    def _power_cut(self, gateway: str) -> None:
        self._off(gateway)
        self._say(gateway, "stopping")
        self._world.at(self._world.now + 1.0, lambda: self._stopped(gateway))

    def _start(self, gateway: str) -> None:
        self._say(gateway, "pending")
        self._later(gateway, "pending", "running", lambda: self._on(gateway, (*LASTING, "stop instance")))

    def _terminate(self, gateway: str) -> None:
        self._off(gateway)
        self._say(gateway, "shutting-down")
        self._world.at(self._world.now + SHUTS_DOWN, lambda: vanish(self._world, gateway))

    def _launch(self, gateway: str) -> None:
        self._off(gateway)
        self._launched(gateway, "pending")
        ends = (*LASTING, *REPLACED, "stop instance")
        self._later(gateway, "pending", "running", lambda: self._on(gateway, ends))

    def _launched(self, gateway: str, state: str) -> None:
        """There is an instance with the interface, if need be another one."""
        instance_id = self._world.ec2.truth.instances[gateway].instance_id or f"i-{gateway}-{self._world.now:.0f}"
        changes = {"state": state, "instance_id": instance_id, "eni_free": False}
        self._world.ec2.change_instance(self._world.now, gateway, **changes)

    def _stopped(self, gateway: str) -> None:
        if self._world.ec2.truth.instances[gateway].state == "stopping":
            self._say(gateway, "stopped")

    def _later(self, gateway: str, state: str, then: str, do: Callable[[], None]) -> None:
        """After it has booted, unless somebody has done something else to it meanwhile."""

        def booted() -> None:
            if self._world.ec2.truth.instances[gateway].state == state:
                self._say(gateway, then)
                do()

        self._world.at(self._world.now + self._world.random.uniform(*BOOTS), booted)

    def _off(self, gateway: str) -> None:
        self._world.unpowered.add(gateway)
        self._world.settle()

    def _on(self, gateway: str, ends: tuple[str, ...]) -> None:
        self._world.unpowered.discard(gateway)
        for fault in [fault for fault in self._world.faults if fault.where == (gateway,) and fault.kind in ends]:
            self._oracle.coverage["ended by a repair"] += 1
            self._mended(fault)
        self._world.settle()

    def _say(self, gateway: str, state: str) -> None:
        self._world.ec2.change_instance(self._world.now, gateway, state=state)
