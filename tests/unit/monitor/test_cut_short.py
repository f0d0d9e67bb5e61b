# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A failover of many routes whose monitor ends in the middle, before an EC2 with its token buckets."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from monitor_world import World
from test_pacing import QUIET, Ec2, crowded
from virtual_time import VirtualTime

from ansible_collections.vpnha.aws.plugins.module_utils import decision
from ansible_collections.vpnha.aws.plugins.module_utils.model import SwapResult
from lab.api.limits import Buckets
from tests.unit.plugins.module_utils.scenario import Play, Probe
from vpnha_monitor.actuator import Actuator


class Monitor:
    """A monitor's engine and actuator before the world's EC2: what is decided is done, paced, and answered."""

    def __init__(self, world: Play, ec2: Ec2) -> None:
        self.world, self.ec2 = world, ec2
        self.results: list[SwapResult] = []
        self.actuator = Actuator(
            lambda: ec2, self.results.extend, lambda result: None, clock=ec2.time, sleep=ec2.time.sleep,
            threads=ec2.time.threads,
        )  # fmt: skip
        world.answer = lambda swap: None

    def run(self, tick: float = 0.05) -> None:
        """Let time pass, in the world and before EC2."""
        ordered = len(self.world.swaps)
        self.ec2.time.sleep(tick)
        self.world.results += self.results
        self.results.clear()
        self.world.run(tick)
        self.actuator.swap([swap for _at, swap in self.world.swaps[ordered:]])

    def end(self, killed: bool) -> None:
        """Killed, calls in flight reach EC2, and nobody hears the answers; stopped, it waits for them."""
        if killed:
            self.actuator._stopped.set()
        else:
            assert self.actuator.stop(3600.0)

    def start_again(self) -> Monitor:
        """Another process on the same world: it has heard nobody yet, and knows of EC2 what EC2 says."""
        world = self.world
        world.results = []
        for gateway in world.gateways.values():
            gateway.heard, gateway.report = False, None
            gateway.heartbeat, gateway.icmp = (
                Probe(works=one.works, watched_since=world.now) for one in (gateway.heartbeat, gateway.icmp)
            )
        world.state = decision.start(world.plan, world.now)
        return Monitor(world, self.ec2)


def before_ec2(world: Play) -> Ec2:
    """The world's EC2, with full buckets and in the same time."""
    clock = VirtualTime(world.now)
    ec2 = Ec2(clock)
    ec2.targets = {key: route.target for key, route in world.view.routes.items()}
    ec2.changed = world.point
    return ec2


@pytest.mark.parametrize("begun", [10, 60])  # while the first burst is in flight, and once EC2's bucket is empty
@pytest.mark.parametrize("killed", [True, False])
def test_the_next_life_does_the_rest_at_its_pace_and_nothing_twice(killed: bool, begun: int) -> None:
    world = crowded(20, 5)
    ec2 = before_ec2(world)
    died, mine = world.now, {key for key, route in world.view.routes.items() if route.gateway == "gw-a"}
    assert len(mine) == 100
    monitor = Monitor(world, ec2)
    ec2.time.sleep(QUIET)
    world.gateways["gw-a"].power_off()
    while len(ec2.begun) < begun:
        monitor.run()
    monitor.end(killed)
    assert len(ec2.begun) < 70
    monitor = monitor.start_again()
    while {world.view.routes[key].gateway for key in mine} != {"gw-b"}:
        monitor.run()
        assert ec2.time.now < QUIET + died + 300.0
    for _ in range(5):
        monitor.run(1.0)
    assert Counter(key for _at, key in ec2.begun) == dict.fromkeys(mine, 1)
    assert not ec2.refused


def test_a_killed_process_that_starts_again_does_the_rest_at_its_pace_and_nothing_twice(world: World) -> None:
    """Its former life has used up EC2's bucket, which fills a little faster than a monitor calls."""
    count, first, proxy = 32, 12, world.proxy
    world.add_tables(world.zone_a, "gw-a", count - 1)
    world.start()
    time.sleep(1.0)  # past the time in which it only observes
    proxy.most["ReplaceRoute"] = first  # however fast it is, it does not get further
    world.stop_instance("gw-a")
    world.until(lambda: proxy.ended["ReplaceRoute"] > first)
    world.kill()
    assert world.targets() == {"gw-a": count - first, "gw-b": 1 + first}
    del proxy.most["ReplaceRoute"]
    before = proxy.begun["ReplaceRoute"]
    proxy.buckets = Buckets()
    proxy.empty("ReplaceRoute")
    world.start(wait=False)
    world.until(lambda: proxy.ended["ReplaceRoute"] - before - proxy.refused["ReplaceRoute"] >= count - first)
    world.until(lambda: (status := world.status()) is not None and status["swaps_in_flight"] == 0)
    assert world.targets() == {"gw-b": count + 1}
    refused = proxy.refused["ReplaceRoute"]
    assert refused <= 3
    assert proxy.begun["ReplaceRoute"] - before - refused == count - first
