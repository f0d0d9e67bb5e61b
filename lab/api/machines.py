# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances' hosts: boots, stops and ends them, and keeps what the API says in step with what they do.

Calls of the API only set what is wanted; each instance has a thread that carries it out, so that a boot delays
nobody. Power is the exception: cut power is gone before the API answers.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Literal, Protocol

from lab import registry
from lab.names import Names

_LOG = logging.getLogger(__name__)

# AMI id -> image of the lab. That of Debian 12 has to be built first: `python -m lab image --release bookworm`
AMIS = {"ami-vpnha0base": "base", "ami-vpnha0golden": "golden", "ami-vpnha0bookworm": "golden-bookworm"}

Status = Literal["ok", "initializing", "impaired"]

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class HostsLike(Protocol):
    """What is needed of lab.hosts.Hosts."""

    def start(
        self,
        host_id: str,
        *,
        image: str,
        hostname: str,
        prepare: Callable[[], str],
        user_data: str | None = None,
        authorized_key: str | None = None,
    ) -> None: ...

    def stop(self, host_id: str, graceful: bool) -> None: ...

    def reboot(self, host_id: str) -> None: ...

    def destroy(self, host_id: str) -> None: ...

    def state(self, host_id: str) -> str: ...


class DataPlane(Protocol):
    """What is needed of lab.net.kernel.Kernel."""

    def boot(self, instance: str) -> str: ...

    def forget(self, instance: str) -> None: ...


class Machine:
    """One instance and its host."""

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.powered = False
        self.name = ""
        self.work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def say(self, state: str) -> None:
        """Set the state that the API shows."""
        self.instance._state.name, self.instance._state.code = state, _CODES[state]


class Machines:
    """All instances. The calls that change something are made with the endpoint's lock held."""

    def __init__(
        self, names: Names, hosts: HostsLike, plane: DataPlane, lock: threading.RLock, commit: Callable[[], None]
    ) -> None:
        """``commit``: makes the data plane what the backend says; called with ``lock`` held."""
        self._names, self._hosts, self._plane, self._lock, self._commit = names, hosts, plane, lock, commit
        self._machines: dict[str, Machine] = {}

    def powered(self) -> list[str]:
        """Ids of the instances whose hosts have power."""
        return [instance_id for instance_id, machine in self._machines.items() if machine.powered]

    def status(self, instance_id: str) -> Status:
        """What an instance's status check finds at its host."""
        state = self._hosts.state(instance_id)
        return "ok" if state == "running" else "initializing" if state == "booting" else "impaired"

    def launch(self, instance: Any) -> None:
        """Boot the host of a new instance."""
        machine = self._machines[instance.id] = Machine(instance)
        threading.Thread(target=self._run, args=(machine,), name=instance.id, daemon=True).start()
        self._power_on(machine)

    def start(self, instance: Any) -> None:
        """Boot a stopped instance's host again."""
        instance.start()
        self._power_on(self._machines[instance.id])

    def stop(self, instance: Any, *, cut: bool) -> None:
        """Shut the host down; ``cut``: its power goes at once, also in the middle of a shutdown."""
        machine = self._machines[instance.id]
        under_way = instance.state == "stopping"
        machine.say("stopping")
        if cut:
            machine.powered = False
            threading.Thread(target=self._hosts.stop, args=(instance.id, False), daemon=True).start()
        if not under_way:
            machine.work.put(lambda: self._stop(machine, graceful=not cut))

    def reboot(self, instance: Any) -> None:
        """Reboot the host; the instance stays running."""
        self._machines[instance.id].work.put(lambda: self._hosts.reboot(instance.id))

    def terminate(self, instance: Any, *, cut: bool) -> None:
        """End the host and throw its disk away; ENIs are freed once it has ended."""
        machine = self._machines[instance.id]
        running = instance.state in ("pending", "running")
        machine.say("shutting-down")
        if cut:
            machine.powered = False
        machine.work.put(lambda: self._terminate(machine, graceful=running and not cut))

    def register(self) -> None:
        """Let ``NAME.lab.invalid`` lead to the hosts by the tags that they have now."""
        for instance_id, machine in self._machines.items():
            tags = machine.instance.ec2_backend.tags.get(instance_id, {})
            name = tags.get("Name") or instance_id
            if machine.powered and name != machine.name:
                netns = self._names.netns(instance_id)
                registry.write(self._names, instance_id, name=name, netns=netns, kind="ec2")
                machine.name = name

    # --- In the machine's own thread -----------------------------------------------------------------------

    def _run(self, machine: Machine) -> None:
        while True:
            try:
                work = machine.work.get(timeout=0.5)
            except queue.Empty:
                self._watch(machine)
                continue
            if work is None:
                return
            with self._lock:  # the call that asked for it has been applied to the data plane
                pass
            try:
                work()
            except Exception as error:
                _LOG.exception("%s: %s", machine.instance.id, error)

    def _power_on(self, machine: Machine) -> None:
        machine.powered = True
        machine.say("pending")
        machine.work.put(lambda: self._boot(machine))

    def _boot(self, machine: Machine) -> None:
        instance = machine.instance
        key = instance.ec2_backend.key_pairs.get(instance.key_name)
        try:
            self._hosts.start(
                instance.id,
                image=AMIS.get(instance.image_id, "base"),
                hostname=instance.private_dns_name.split(".")[0],
                prepare=lambda: self._plane.boot(instance.id),
                user_data=instance.user_data.decode() if instance.user_data else None,
                authorized_key=key.public_key.strip() if key else None,
            )
        except Exception as error:
            _LOG.exception("%s does not boot", instance.id)
            self._stopped(machine, "Server.InternalError", f"Server.InternalError: {error}")
            return
        with self._lock:
            if instance.state == "pending":
                machine.say("running")

    def _stop(self, machine: Machine, *, graceful: bool) -> None:
        self._hosts.stop(machine.instance.id, graceful)
        self._stopped(machine, "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")

    def _stopped(self, machine: Machine, code: str, message: str) -> None:
        instance = machine.instance
        with self._lock:
            if instance.state != "shutting-down":
                instance.stop()
            instance.state_reason.code, instance.state_reason.message = code, message
            machine.powered = False
            self._commit()
            self._plane.forget(instance.id)

    def _terminate(self, machine: Machine, *, graceful: bool) -> None:
        instance = machine.instance
        self._hosts.stop(instance.id, graceful)
        self._hosts.destroy(instance.id)
        with self._lock:
            self._free(instance)
            machine.powered = False
            self._commit()
            self._plane.forget(instance.id)
            registry.remove(self._names, instance.id)
            del self._machines[instance.id]
        machine.work.put(None)

    @staticmethod
    def _free(instance: Any) -> None:
        """Let go of what a terminated instance had. It keeps its own view of its ENIs: AWS still describes it."""
        kept = [eni for eni in instance.nics.values() if not eni.delete_on_termination]
        instance.terminate()
        for eni in kept:
            eni.instance = eni.attachment_id = eni.attach_time = eni.device_index = None
            eni.status = "available"
        for address in instance.ec2_backend.addresses:
            if address.instance is instance:
                address.instance = None
            if address.eni in instance.nics.values() and address.eni not in kept:
                address.eni = address.association_id = None

    def _watch(self, machine: Machine) -> None:
        """A host that powered itself off, or died, stops its instance."""
        if machine.instance.state == "running" and self._hosts.state(machine.instance.id) in ("stopped", "absent"):
            reason = "Client.InstanceInitiatedShutdown"
            self._stopped(machine, reason, f"{reason}: Instance initiated shutdown")
