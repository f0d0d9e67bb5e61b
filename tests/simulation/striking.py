# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What faults do beyond the conditions that follow from their being there: to EC2, to the monitor, by people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ansible_collections.vpnha.aws.plugins.module_utils.model import Pin, RouteKey

from .ec2_model import WALL
from .faults import LASTING, REPLACED, Fault
from .world import World


class Process(Protocol):
    """A monitor, as far as faults can do something to it."""

    running: bool

    def pause(self) -> None:
        """It stands still."""

    def resume(self) -> None:
        """It goes on."""

    def start_again(self) -> None:
        """A fresh one."""


Doing = Callable[[World, Fault], None]


def strike(world: World, monitor: Process, fault: Fault) -> None:
    """A fault begins."""
    if fault.kind == "monitor paused":
        monitor.pause()
    elif fault.kind == "monitor restarted":
        monitor.running = False
    elif fault.kind in _STRIKES:
        _STRIKES[fault.kind](world, fault)


def mend(world: World, monitor: Process, fault: Fault) -> None:
    """A fault is over; one of the same kind may still last."""
    if fault.kind == "monitor paused" and not world.has((fault.kind,)):
        monitor.resume()
    elif fault.kind == "monitor restarted" and not world.has((fault.kind,)):
        monitor.start_again()
    elif fault.kind in _MENDS:
        _MENDS[fault.kind](world, fault)


def _writes(mode: str) -> Doing:
    def do(world: World, _fault: Fault) -> None:
        world.ec2.writes = mode

    return do


def _full(full: bool) -> Doing:
    def do(world: World, _fault: Fault) -> None:
        world.ec2.full = full

    return do


def _reads(stale: float, fail: bool) -> Doing:
    def do(world: World, _fault: Fault) -> None:
        world.ec2.stale, world.ec2.reads_fail = stale, fail

    return do


def _set_wall_clock(world: World, _fault: Fault) -> None:
    world.skew = world.random.choice((-1.0, 1.0)) * world.random.uniform(60.0, 7200.0)


def _set_wall_clock_right(world: World, _fault: Fault) -> None:
    world.skew = 0.0


def _instance(**changes: object) -> Doing:
    def do(world: World, fault: Fault) -> None:
        world.ec2.change_instance(world.now, fault.where[0], **changes)

    return do


def _impair(fails: bool) -> Doing:
    def do(world: World, fault: Fault) -> None:
        world.ec2.impair(world.now, fault.where[0], fails)

    return do


def _stop(world: World, fault: Fault) -> None:
    """EC2 says stopping first, and stopped when the host is gone."""
    if world.ec2.truth.instances[fault.where[0]].state in ("shutting-down", "absent"):
        return  # there is nothing to stop
    world.ec2.change_instance(world.now, fault.where[0], state="stopping")

    def stopped() -> None:
        if fault in world.faults:
            world.ec2.change_instance(world.now, fault.where[0], state="stopped")

    world.at(world.now + 10.0, stopped)


def _terminate(world: World, fault: Fault) -> None:
    """EC2 says shutting-down first, and shows nothing when the host is gone."""
    world.ec2.change_instance(world.now, fault.where[0], state="shutting-down")
    world.at(world.now + 10.0, lambda: vanish(world, fault.where[0]))


def vanish(world: World, gateway: str) -> None:
    """A terminated instance is gone; its interface is free, unless that takes its time."""
    if world.ec2.truth.instances[gateway].state == "shutting-down":
        free = not world.has(("interface stays busy",), (gateway,))
        world.ec2.change_instance(world.now, gateway, state="absent", instance_id=None, eni_free=free)


def _free(world: World, fault: Fault) -> None:
    if world.ec2.truth.instances[fault.where[0]].state == "absent":
        world.ec2.change_instance(world.now, fault.where[0], eni_free=True)


def _start(world: World, fault: Fault) -> None:
    """A person switches it on, or makes another, whatever was done to it meanwhile."""
    name = fault.where[0]
    world.unpowered.discard(name)
    instance_id = world.ec2.truth.instances[name].instance_id or f"i-{name}-{world.now:.0f}"
    world.ec2.change_instance(world.now, name, state="running", instance_id=instance_id, eni_free=False)
    world.settle()


def _renew(world: World, fault: Fault) -> None:
    world.ec2.renew(world.now, fault.where[0])


def _pause_deployment(world: World, fault: Fault) -> None:
    world.ec2.change(world.now, paused_deployment_until_wall=WALL + fault.end)


def _pause_gateway(world: World, fault: Fault) -> None:
    paused = {**world.ec2.truth.paused_gateways, fault.where[0]: WALL + fault.end}
    world.ec2.change(world.now, paused_gateways=paused)


def _pause_table(world: World, fault: Fault) -> None:
    paused = {**world.ec2.truth.paused_tables, _table(world, fault): WALL + fault.end}
    world.ec2.change(world.now, paused_tables=paused)


def _fail_over(world: World, fault: Fault) -> None:
    """A person moves a zone's routes to another gateway, and pins them."""
    ec2, table = world.ec2, _table(world, fault)
    other = next(gateway for gateway in world.gateways if gateway != fault.where[0])
    ec2.change(world.now, table_pins={**ec2.truth.table_pins, table: Pin(other, WALL + fault.end, "ops")})
    for key in [key for key in ec2.truth.routes if key.table_id == table]:
        ec2.point(world.now, key, ec2.truth.instances[other].eni_id)


def _delete_route(world: World, fault: Fault) -> None:
    world.ec2.delete_route(world.now, RouteKey(*fault.where))


def _point_elsewhere(world: World, fault: Fault) -> None:
    if RouteKey(*fault.where) in world.ec2.truth.routes:
        world.ec2.point(world.now, RouteKey(*fault.where), "eni-person")


def _point_back(world: World, fault: Fault) -> None:
    route = world.ec2.truth.routes.get(RouteKey(*fault.where))
    if route is not None and route.gateway is None:
        home = world.plan.home(route.zone)
        world.ec2.point(world.now, route.key, world.ec2.truth.instances[home.name].eni_id if home else None)


def _move_route(world: World, fault: Fault) -> None:
    if RouteKey(*fault.where) in world.ec2.truth.routes:
        eni_id = world.ec2.truth.instances[world.random.choice(world.gateways)].eni_id
        world.ec2.point(world.now, RouteKey(*fault.where), eni_id)


def _table(world: World, fault: Fault) -> str:
    return f"rtb-{world.plan.gateway(fault.where[0]).zone}"


_STRIKES: dict[str, Doing] = {
    "stop instance": _stop,
    "stopped by somebody": _stop,
    "terminated by somebody": _terminate,
    "no capacity": _full(True),
    "source/dest check": _instance(source_dest_check=True),
    "status impaired": _impair(True),
    "new interface": _renew,
    "wall clock set": _set_wall_clock,
    "writes throttled": _writes("throttle"),
    "writes fail": _writes("error"),
    "writes time out, applied": _writes("timeout, applied"),
    "writes time out, not applied": _writes("timeout, not applied"),
    "writes fail now and then": _writes("mixed"),
    "reads fail": _reads(0.0, True),
    "reads stale": _reads(8.0, False),
    "pause of deployment": _pause_deployment,
    "pause of gateway": _pause_gateway,
    "pause of table": _pause_table,
    "person fails over with a pin": _fail_over,
    "person deletes route": _delete_route,
    "person points route elsewhere": _point_elsewhere,
    "person moves route": _move_route,
}
_MENDS: dict[str, Doing] = {
    **dict.fromkeys(("stop instance", *LASTING, *REPLACED), _start),
    "interface stays busy": _free,
    "no capacity": _full(False),
    "source/dest check": _instance(source_dest_check=False),
    "status impaired": _impair(False),
    "wall clock set": _set_wall_clock_right,
    "person points route elsewhere": _point_back,
    **dict.fromkeys([kind for kind in _STRIKES if kind.startswith("writes")], _writes("")),
    **dict.fromkeys([kind for kind in _STRIKES if kind.startswith("reads")], _reads(0.0, False)),
}
