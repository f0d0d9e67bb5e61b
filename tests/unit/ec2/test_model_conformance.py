# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulation's model of EC2 is held to the lab's EC2: the same calls, made by the same code, show the same."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

import pytest
from botocore.exceptions import ReadTimeoutError

from ansible_collections.vpnha.aws.plugins.module_utils import marks, network_problems, pace, tags
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Ec2View,
    Pin,
    Repair,
    RepairMark,
    RouteKey,
    Swap,
)
from ansible_collections.vpnha.aws.plugins.module_utils.routes import STALE, swap_all
from tests.simulation.actuating import Inline
from tests.simulation.ec2_client import Ec2Client
from tests.simulation.ec2_model import WALL, Ec2Model
from vpnha_monitor import repairing

from .conftest import HQ, PLANT, World

A, B = "eu-central-1a", "eu-central-1b"
UNTIL = WALL + 1e9
Shown = dict[str, Any]


class Side(Protocol):
    """An EC2: the calls that the monitor makes, and what others do to it."""

    deployment: Deployment
    client: Any

    def view(self) -> Ec2View:
        """A read."""

    def power(self, call: str, gateway: str) -> None:
        """A person starts or stops a gateway; returns when EC2 says that it is done."""

    def weather(self, what: str) -> None:
        """What becomes of calls that change something from now on."""

    def impair(self, gateway: str, fails: bool) -> None:
        """The system status check of a gateway."""

    def check(self, gateway: str, on: bool) -> None:
        """The source/destination check of a gateway."""

    def point(self, key: RouteKey, target: str) -> None:
        """A person points a route at the "internet" gateway, at an "appliance", or at a gateway."""

    def delete(self, key: RouteKey) -> None:
        """A person deletes a route."""

    def renew(self, gateway: str) -> None:
        """A gateway is rebuilt with another interface."""

    def mark(self, name: str, zone: str, value: Any) -> None:
        """A person pins a table, or pauses a table, a gateway or everything."""


class Lab:
    """The lab's endpoint."""

    def __init__(self, world: World, settings: Callable[..., None]) -> None:
        self.world, self.deployment, self._settings = world, world.deployment, settings
        self.client: Any = world.client  # the monitor's: people have no faults
        self._appliance = ""

    def view(self) -> Ec2View:
        return self.world.view()

    def power(self, call: str, gateway: str) -> None:
        ids = [self.view().instances[gateway].instance_id]
        (self.world.client.start_instances if call == "start" else self.world.client.stop_instances)(InstanceIds=ids)
        self.settle()

    def settle(self) -> None:
        """Wait until no instance is on its way."""
        for _ in range(200):
            if {one.state for one in self.view().instances.values()} <= {"running", "stopped"}:
                return
            time.sleep(0.05)
        raise AssertionError("the endpoint did not get there")

    def weather(self, what: str) -> None:
        self.client = self.world.client if not what else _Weather(self.world.client, what)

    def impair(self, gateway: str, fails: bool) -> None:
        instance = self.view().instances[gateway].instance_id
        self._settings(impaired={instance: "system"} if fails else {})

    def check(self, gateway: str, on: bool) -> None:
        self.world.client.modify_network_interface_attribute(
            NetworkInterfaceId=self.world.eni(gateway), SourceDestCheck={"Value": on}
        )

    def point(self, key: RouteKey, target: str) -> None:
        where: dict[str, str | None] = {"NetworkInterfaceId": self._other() if target == "appliance" else None}
        if target == "internet":
            where = {"GatewayId": self.world.wanted.internet_gateway}
        elif target != "appliance":
            where = {"NetworkInterfaceId": self.world.eni(target)}
        self.world.client.replace_route(RouteTableId=key.table_id, DestinationCidrBlock=key.destination, **where)

    def _other(self) -> str:
        if not self._appliance:
            subnet = self.world.subnets[self.deployment.zones[0].app_subnets[0]]
            made = self.world.client.create_network_interface(SubnetId=subnet)["NetworkInterface"]
            self._appliance = made["NetworkInterfaceId"]
            card = {"DeviceIndex": 0, "NetworkInterfaceId": self._appliance}
            self.world.client.run_instances(ImageId="ami-vpnha0base", MinCount=1, MaxCount=1, NetworkInterfaces=[card])
        return self._appliance

    def delete(self, key: RouteKey) -> None:
        self.world.client.delete_route(RouteTableId=key.table_id, DestinationCidrBlock=key.destination)

    def renew(self, gateway: str) -> None:
        before = self.view().instances[gateway]
        self.world.client.terminate_instances(InstanceIds=[before.instance_id])
        self.world.client.get_waiter("instance_terminated").wait(
            InstanceIds=[before.instance_id], WaiterConfig={"Delay": 0, "MaxAttempts": 2000}
        )
        self.world.client.delete_network_interface(NetworkInterfaceId=before.eni_id)
        self.world.build()
        self.world.launch(gateway)

    def mark(self, name: str, zone: str, value: Any) -> None:
        view = self.view()
        table = next(table for table, its in view.table_zones.items() if its == zone)
        if name == "pin":
            marks.pin(self.world.client, [table], value)
            return
        home = self.deployment.home(zone)
        scope = {"pause table": table, "pause gateway": home.name if home else "", "pause": ""}[name]
        marks.pause(self.world.client, view, self.deployment.name, scope, tags.Pause(value))


class _Weather:
    """The lab's client, whose changes are made or not, and never answered."""

    def __init__(self, real: Any, what: str) -> None:
        self._real, self._what = real, what

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name.startswith("describe") or name == "meta":
            return real

        def call(**arguments: Any) -> Any:
            if self._what == "timeout, applied":
                real(**arguments)
            raise ReadTimeoutError(endpoint_url="http://ec2")

        return call


class Model:
    """The simulation's."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment, self.now = deployment, 1.0
        self.ec2 = Ec2Model(deployment, Random(1))
        self.client: Any = Ec2Client(self.ec2, self._clock, self.power)

    def _clock(self) -> float:
        self.now += 0.01
        return self.now

    def view(self) -> Ec2View:
        view = self.ec2.read(self._clock())
        assert view is not None
        return view

    def power(self, call: str, gateway: str) -> None:
        state = {"start": "running", "reboot": "running"}.get(call, "stopped")
        self.ec2.change_instance(self._clock(), gateway, state=state)

    def weather(self, what: str) -> None:
        self.ec2.writes = what

    def impair(self, gateway: str, fails: bool) -> None:
        self.ec2.impair(self._clock(), gateway, fails)

    def check(self, gateway: str, on: bool) -> None:
        self.ec2.change_instance(self._clock(), gateway, source_dest_check=on)

    def point(self, key: RouteKey, target: str) -> None:
        eni = {"internet": None, "appliance": "eni-person"}.get(target, f"eni-{target}")
        if target in self.ec2.truth.instances:
            eni = self.ec2.truth.instances[target].eni_id
        self.ec2.point(self._clock(), key, eni)

    def delete(self, key: RouteKey) -> None:
        self.ec2.delete_route(self._clock(), key)

    def renew(self, gateway: str) -> None:
        self.ec2.renew(self._clock(), gateway)
        self.ec2.change(self._clock(), paused_gateways={})  # it stood on the interface that is gone

    def mark(self, name: str, zone: str, value: Any) -> None:
        truth, home = self.ec2.truth, self.deployment.home(zone)
        table = f"rtb-{zone}"
        assert home is not None
        changes: dict[str, Any] = {
            "pin": {"table_pins": {**truth.table_pins, table: value}},
            "pause table": {"paused_tables": {**truth.paused_tables, table: value}},
            "pause gateway": {"paused_gateways": {**truth.paused_gateways, home.name: value}},
            "pause": {"paused_deployment_until_wall": value},
        }[name]
        self.ec2.change(self._clock(), **changes)


@pytest.fixture
def sides(world: World, settings: Callable[..., None]) -> tuple[Side, Side]:
    """Both, with all at home."""
    return Lab(world, settings), Model(world.deployment)


def shown(view: Ec2View) -> Shown:
    """What the engine reads, without the ids that differ from one EC2 to the next."""
    owners = {one.eni_id: name for name, one in view.instances.items()}
    zones = view.table_zones or {key.table_id: key.table_id.removeprefix("rtb-") for key in every_route(view)}

    def kind(target: str) -> str:
        return owners.get(target) or target.split("-", maxsplit=1)[0]

    return {
        "routes": {
            (route.zone, key.destination): (route.gateway, kind(route.eni_id or route.target), route.blackhole)
            for key, route in view.routes.items()
        },
        "missing": {(zones[key.table_id], key.destination) for key in view.missing_routes},
        "instances": {
            name: (one.state, one.source_dest_check, one.system_status, one.instance_status)
            for name, one in view.instances.items()
        },
        "pins": {zones[table]: pin for table, pin in view.table_pins.items()},
        "paused": (view.paused_deployment_until_wall, view.paused_gateways),
        "paused tables": {zones[table]: until for table, until in view.paused_tables.items()},
        "repairs": view.repairs,
        "unreadable": view.unreadable_marks,
    }


def every_route(view: Ec2View) -> list[RouteKey]:
    """Those that are there, and those that are missing."""
    return [*view.routes, *view.missing_routes]


def key_of(side: Side, zone: str, destination: str) -> RouteKey:
    """A route's key at this EC2, also of a route that is gone."""
    view = side.view()
    tables = {table for table, its in view.table_zones.items() if its == zone} or {f"rtb-{zone}"}
    return RouteKey(tables.pop(), destination)


def by_hand(side: Side, zone: str, destination: str, target: str) -> None:
    """A person points a route elsewhere, or deletes it; there is nothing to do where it is gone already."""
    key = key_of(side, zone, destination)
    if key in side.view().routes:
        if target:
            side.point(key, target)
        else:
            side.delete(key)


def swap(side: Side, zone: str, destination: str, gateway: str, eni_id: str | None = None) -> tuple[Any, ...]:
    """A swap by the engine, and what it says of it."""
    eni = eni_id or side.view().instances[gateway].eni_id or ""
    one = Swap(key_of(side, zone, destination), gateway, eni, "manual")
    [result] = swap_all(
        side.client, [one], bucket=pace.TokenBucket(), pool=Inline(), deadline=time.monotonic() + 60,
        sleep=lambda _seconds: None,
    )  # fmt: skip
    return result.accepted, result.error


def repair(side: Side, gateway: str, rung: str, steps: int = 0) -> tuple[Any, ...]:
    """A repair by the monitor, and what it says of it; ``steps``: that its tag tells, none for no tag."""
    instance = side.view().instances[gateway]
    mark = RepairMark(tuple(WALL + n for n in range(steps)), rung) if steps else None
    one = Repair(gateway, rung, "gateway-silent", instance.instance_id or "", instance.eni_id or "", mark)
    result = repairing.carry_out(side.client, one, pace.TokenBucket(), lambda: False)
    if isinstance(side, Lab):
        side.settle()
    return result.marked, result.accepted, result.error


Act = Callable[[Side], Any]

SEQUENCES: dict[str, list[Act]] = {
    "swap there and back": [
        lambda side: swap(side, A, HQ, "gw-b"),
        lambda side: swap(side, A, HQ, "gw-b"),
        lambda side: swap(side, A, HQ, "gw-a"),
    ],
    "a stopped gateway's routes are blackholes, and may be swapped to": [
        lambda side: side.power("stop", "gw-a"),
        lambda side: swap(side, A, HQ, "gw-b"),
        lambda side: swap(side, B, HQ, "gw-a"),
        lambda side: side.power("start", "gw-a"),
        lambda side: swap(side, B, HQ, "gw-b"),
    ],
    "a route that is gone is refused": [
        lambda side: by_hand(side, A, HQ, ""),
        lambda side: swap(side, A, HQ, "gw-b"),
        lambda side: swap(side, A, PLANT, "gw-b"),
    ],
    "an interface that is none is refused": [
        lambda side: swap(side, A, HQ, "gw-b", "eni-00000000000000000"),
    ],
    "a person's targets": [
        lambda side: by_hand(side, A, HQ, "internet"),
        lambda side: by_hand(side, A, PLANT, "appliance"),
        lambda side: by_hand(side, B, HQ, "gw-a"),
        lambda side: swap(side, A, HQ, "gw-b"),
        lambda side: swap(side, A, PLANT, "gw-a"),
    ],
    "timed out": [
        lambda side: side.weather("timeout, applied"),
        lambda side: swap(side, A, HQ, "gw-b"),
        lambda side: repair(side, "gw-a", "reboot", 1),
        lambda side: side.weather("timeout, not applied"),
        lambda side: swap(side, A, HQ, "gw-a"),
        lambda side: swap(side, A, HQ, "gw-b"),
        lambda side: repair(side, "gw-a", "reboot", 2),
        lambda side: side.weather(""),
    ],
    "checks": [
        lambda side: side.check("gw-a", True),
        lambda side: side.impair("gw-b", True),
        lambda side: side.power("stop", "gw-b"),
        lambda side: side.power("start", "gw-b"),
        lambda side: side.impair("gw-b", False),
        lambda side: side.check("gw-a", False),
    ],
    "another interface": [
        lambda side: side.renew("gw-a"),
        lambda side: swap(side, A, HQ, "gw-a"),
        lambda side: swap(side, A, PLANT, "gw-b"),
    ],
    "repairs": [
        lambda side: repair(side, "gw-a", "reboot", 1),
        lambda side: repair(side, "gw-a", "start"),
        lambda side: repair(side, "gw-a", "stop", 2),
        lambda side: repair(side, "gw-a", "stop"),
        lambda side: repair(side, "gw-a", "power-cut", 3),
        lambda side: repair(side, "gw-a", "reboot"),
        lambda side: repair(side, "gw-a", "start", 1),
        lambda side: repair(side, "gw-b", "power-cut", 1),
        lambda side: repair(side, "gw-b", "start"),
    ],
    "marks": [
        lambda side: side.mark("pin", A, Pin("gw-b", UNTIL, "ops")),
        lambda side: side.mark("pause table", B, UNTIL),
        lambda side: side.mark("pause gateway", B, UNTIL),
        lambda side: side.mark("pause", A, UNTIL),
        lambda side: side.mark("pin", A, Pin("gw-a", UNTIL + 60, "ops")),
        lambda side: swap(side, A, HQ, "gw-b"),  # EC2 does not know what a pin is
    ],
}


def play(sides: tuple[Side, Side], acts: list[Act]) -> None:
    """Do the same to both: each act has the same outcome, and after each both show the same."""
    lab, model = sides
    assert shown(model.view()) == shown(lab.view())
    for number, act in enumerate(acts, 1):
        assert act(model) == act(lab), f"the outcome of act {number}"
        assert shown(model.view()) == shown(lab.view()), f"after act {number}"


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_same_calls_show_the_same(sides: tuple[Side, Side], name: str) -> None:
    play(sides, SEQUENCES[name])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_calls_in_any_order(sides: tuple[Side, Side], seed: int) -> None:
    rebuilt = "another interface"  # it undoes more than the model knows of: deleted routes, tags
    acts = list(itertools.chain.from_iterable(acts for name, acts in SEQUENCES.items() if name != rebuilt))
    play(sides, Random(seed).sample(acts, 25))


def test_stale_reads_show_either_state_until_they_end(sides: tuple[Side, Side], settings: Callable[..., None]) -> None:
    settings(stale_reads=60)
    lab, model = sides
    assert isinstance(model, Model)
    random.seed(1)
    model.ec2.stale = 8.0

    def leads_to(side: Side) -> str | None:
        return side.view().routes[key_of(side, A, HQ)].gateway

    for side in (lab, model):
        accepted, error = swap(side, A, HQ, "gw-b")
        assert (accepted, error) in ((True, ""), (None, STALE)), "never called failed"
        assert {leads_to(side) for _ in range(60)} == {"gw-a", "gw-b"}
    settings(stale_reads=0)
    model.ec2.stale = 0.0
    assert leads_to(lab) == leads_to(model) == "gw-b"


def test_throttled(sides: tuple[Side, Side], settings: Callable[..., None]) -> None:
    lab, model = sides
    key = key_of(lab, A, HQ)
    settings(throttle=True)
    for _ in range(50):  # all that its bucket holds; it never fills here
        lab.point(key, "internet")
    model.point(key_of(model, A, HQ), "internet")
    model.weather("throttle")
    assert swap(model, A, HQ, "gw-b") == swap(lab, A, HQ, "gw-b") == (False, "RequestLimitExceeded")
    settings(throttle=False)
    assert shown(model.view()) == shown(lab.view())


def test_what_the_builder_makes_is_what_the_model_begins_with(world: World) -> None:
    assert network_problems.problems(world.wanted, world.read()) == []
    assert shown(Model(world.deployment).view()) == shown(world.view())
