# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of managed VPN: what is published of tunnels, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from moto.cloudwatch.models import CloudWatchBackend

from lab.api.limits import Settings
from lab.api.vpn import Managed, Tunnel
from lab.api.vpn_metrics import Metrics

NOW = datetime(2026, 1, 1, 12, 0)


@dataclass
class World:
    """One connection, and a CloudWatch that gets its metrics."""

    settings: Settings = field(default_factory=Settings)
    state: str = "available"

    def __post_init__(self) -> None:
        self.tunnels = [Tunnel(f"192.0.2.{number}", f"169.254.20.{number * 4}/30", "a.secret_key") for number in (1, 2)]
        self.managed = Managed(True, self.tunnels, {})
        self.id = "vpn-1"
        self.vpn_connections: dict[str, Any] = {"vpn-1": self}
        self.cloudwatch = CloudWatchBackend("eu-central-1", "123456789012")
        self.metrics = Metrics(self.settings, lambda: self, lambda: self.cloudwatch)

    def step(self, seconds: float) -> None:
        """Let the time since the beginning be so."""
        self.metrics.step(1000 + seconds, NOW + timedelta(seconds=seconds))

    def seen(self, metric: str, of: str) -> list[float]:
        """The values of a metric, the oldest first."""
        data: list[Any] = self.cloudwatch.metric_data
        return [each.value for each in data if each.name == metric and each.dimensions[0].value == of]


@pytest.fixture
def world() -> World:
    return World()


def test_the_state_is_that_of_each_tunnel_and_the_share_of_the_connection(world: World) -> None:
    world.step(0)
    world.tunnels[0].say(True)
    world.step(10)
    world.tunnels[1].say(True)
    world.step(20)
    assert world.seen("TunnelState", "192.0.2.1") == [0, 1, 1]
    assert world.seen("TunnelState", "192.0.2.2") == [0, 0, 1]
    assert world.seen("TunnelState", "vpn-1") == [0, 0.5, 1]
    assert {each.namespace for each in world.cloudwatch.metric_data} == {"AWS/VPN"}


def test_the_data_are_what_has_passed_since_the_datum_before(world: World) -> None:
    world.tunnels[0].count(100, 200)
    world.step(0)
    world.tunnels[0].count(10, 20)
    world.tunnels[1].count(1, 2)
    world.step(10)
    assert world.seen("TunnelDataIn", "192.0.2.1") == [100, 10]
    assert world.seen("TunnelDataOut", "192.0.2.1") == [200, 20]
    assert world.seen("TunnelDataIn", "vpn-1") == [100, 11]


def test_they_come_once_in_a_period(world: World) -> None:
    world.settings.update({"metrics_period": 5})
    for second in range(10):
        world.step(second)
    assert len(world.seen("TunnelState", "vpn-1")) == 2


def test_they_can_be_late_and_have_the_time_of_what_they_tell(world: World) -> None:
    world.settings.update({"metrics_delay": 120})
    world.step(0)
    world.step(119)
    assert not world.cloudwatch.metric_data
    world.step(120)
    assert {each.timestamp for each in world.cloudwatch.metric_data} == {NOW}


def test_a_deleted_connection_has_none_and_old_ones_go(world: World) -> None:
    world.step(0)
    world.state = "deleted"
    world.step(10)
    assert len(world.seen("TunnelState", "vpn-1")) == 1
    world.state = "available"
    world.step(3700)
    assert {each.timestamp for each in world.cloudwatch.metric_data} == {NOW + timedelta(seconds=3700)}


def test_a_connection_that_is_being_made_has_none_yet(world: World) -> None:
    world.vpn_connections["vpn-2"] = SimpleNamespace(id="vpn-2", state="available")
    world.step(0)
    assert world.seen("TunnelState", "vpn-1") == [0]
    assert world.seen("TunnelState", "vpn-2") == []


@pytest.mark.parametrize("value", [0, 0.1, "often", True])
def test_a_period_that_is_none_is_refused(world: World, value: object) -> None:
    with pytest.raises(ValueError, match="metrics_period is"):
        world.settings.update({"metrics_period": value})
