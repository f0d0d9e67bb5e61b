# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is broken of gw-a, from outside of everything that could know it, and how it is mended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from lab import faults
from lab.matrix.lookout import Lookout
from lab.matrix.stage import tunnels_of

BROKEN = "gw-a"
MARK = "bench-outage-"  # what the ids of our faults begin with


@dataclass(frozen=True)
class Break:
    """One scenario: ``now`` breaks it, and gives back what mends it."""

    name: str
    says: str
    now: Callable[[Lookout], Callable[[], object]]


def drop(lookout: Lookout, pairs: Sequence[tuple[str, str]], name: str) -> Callable[[], object]:
    """Drop every packet between some pairs of hosts; what takes that back."""
    stack = ExitStack()
    for number, (host, peer) in enumerate(pairs):
        made = f"{MARK}{name}-{number}"
        faults.add(lookout.names, "blackout", [host], faults.Options(peer=peer), made)
        stack.callback(faults.clear, lookout.names, made)
    return stack.close


def _power_off(lookout: Lookout) -> Callable[[], object]:
    [instance] = [known for known, name in lookout.hosts().items() if name == BROKEN]
    lookout.ec2.stop_instances(InstanceIds=[instance], Force=True, SkipOsShutdown=True)

    def start() -> None:
        lookout.ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
        lookout.ec2.start_instances(InstanceIds=[instance])

    return start


BREAKS = (
    Break("gateway_power_off", "gw-a loses its power", _power_off),
    Break(
        "tunnel_block",
        "every packet between gw-a and all its peers is dropped",
        lambda lookout: drop(lookout, tunnels_of(BROKEN), "tunnels"),
    ),
)
