# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is broken of gw-a, from outside of everything that could know it, and how it is repaired: as in a drill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from lab import faults
from lab.matrix.lookout import Lookout, until
from lab.matrix.stage import tunnels_of

from .undo import Undo

BROKEN = "gw-a"
BOOT_SECONDS = 120.0


@dataclass(frozen=True)
class Scenario:
    """One of the drill's: broken within ``caused``, and repaired at its end."""

    name: str
    says: str
    caused: Callable[[Lookout], AbstractContextManager[None]]


@contextmanager
def _gateway_power_off(lookout: Lookout) -> Iterator[None]:
    instance = lookout.host_id(BROKEN)

    def start() -> None:
        lookout.ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
        lookout.ec2.start_instances(InstanceIds=[instance])
        until(lambda: lookout.machines.state(instance) == "running", BOOT_SECONDS, f"{BROKEN} has booted")

    with Undo() as stack:
        lookout.ec2.stop_instances(InstanceIds=[instance], Force=True, SkipOsShutdown=True)
        stack.callback(start)
        yield


@contextmanager
def _tunnel_block(lookout: Lookout) -> Iterator[None]:
    with Undo() as stack:
        for gateway, peer in tunnels_of(BROKEN):
            fault = faults.add(lookout.names, "tunnel-block", [gateway, peer], faults.Options())
            stack.callback(faults.clear, lookout.names, fault.id)
        yield


SCENARIOS = (
    Scenario("gateway_power_off", "the power of gw-a is cut; repaired: it is started", _gateway_power_off),
    Scenario(
        "tunnel_block",
        "IKE and ESP between gw-a and all its peers are dropped, both ways; repaired: they pass again",
        _tunnel_block,
    ),
)
