# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two real daemons and their lease store: failure scenarios. mon-b owns the routes of gw-a's zone, mon-a gw-b's."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from monitor_world import World

STORE = ("Query", "PutItem", "DeleteItem")
SECOND = 9785


@pytest.fixture
def pair(world: World) -> World:
    """Both run, mon-a has the lease, and each has heard that the other can act."""
    world.several()
    world.start()
    world.until(lambda: lease(world)["left"] > 0.0)
    world.start_second()
    world.until(lambda: heard(world) and heard(world, SECOND))
    return world


def lease(world: World, port: int = 9784) -> dict[str, Any]:
    status = world.status(port)
    assert status is not None
    return dict(status["lease"])


def heard(world: World, port: int = 9784) -> bool:
    """Whether a monitor has heard the other say that it can act."""
    status = world.status(port)
    return status is not None and all(each["able_age"] is not None for each in status["monitors"])


def swapped(world: World) -> tuple[int, int]:
    """How many swaps mon-a and mon-b have ordered."""
    return len(world.events("swap-issued")), len(world.events("swap-issued", second=True))


def test_the_owner_alone_moves_a_dead_gateways_routes_and_brings_them_home(pair: World) -> None:
    pair.agents["gw-a"].die()
    pair.until(lambda: pair.target(pair.zone_a) == "gw-b")
    pair.agents["gw-a"].start()
    pair.until(lambda: pair.target(pair.zone_a) == "gw-a")
    pair.until(lambda: len(pair.events("swap-accepted", second=True)) == 2)
    assert swapped(pair) == (0, 2)
    assert pair.proxy.begun["ReplaceRoute"] == 2


def test_row_48_the_owner_fails_over_while_the_lease_store_is_away(pair: World) -> None:
    pair.proxy.errors |= dict.fromkeys(STORE, "InternalServerError")
    pair.until(lambda: pair.events("lease-store-unreadable") and pair.events("lease-store-unreadable", second=True))
    pair.until(lambda: pair.events("lease-lost"))
    pair.agents["gw-a"].die()
    pair.until(lambda: pair.target(pair.zone_a) == "gw-b")
    pair.until(lambda: pair.events("swap-accepted", second=True))
    assert swapped(pair) == (0, 1)
    for port in (9784, SECOND):
        assert lease(pair, port)["left"] == 0.0 and lease(pair, port)["errors"] > 0
    pair.until(lambda: pair.events("lease-store-unwritable"))
    pair.proxy.errors.clear()
    pair.until(lambda: [event for event in pair.events("lease-store-unreadable", second=True) if event.resolved])
    pair.until(lambda: lease(pair)["left"] > 0.0 or lease(pair, SECOND)["left"] > 0.0)


def test_row_27_the_lease_acts_for_an_owner_that_stands_still_and_both_agree_afterwards(pair: World) -> None:
    assert pair.second is not None
    os.kill(pair.second.pid, signal.SIGSTOP)
    try:
        time.sleep(1.0)
        pair.agents["gw-a"].die()
        pair.until(lambda: pair.target(pair.zone_a) == "gw-b")
        pair.until(lambda: pair.events("swap-accepted"))
    finally:
        os.kill(pair.second.pid, signal.SIGCONT)
    pair.until(lambda: [event for event in pair.events("monitor-sick", second=True) if event.resolved])
    pair.until(lambda: heard(pair))
    assert pair.target(pair.zone_a) == "gw-b"
    assert swapped(pair) == (1, 0)


def test_18_a_monitor_that_is_told_to_stop_hands_the_lease_over(pair: World) -> None:
    assert pair.process is not None
    first, pair.process = pair.process, pair.second
    first.terminate()
    assert first.wait(20) == 0
    ended = time.monotonic()
    pair.until(lambda: lease(pair, SECOND)["left"] > 0.0)
    assert time.monotonic() - ended < 4.0, "before it could have run out"
    pair.second = first


def test_status_and_metrics_show_who_has_the_lease(pair: World) -> None:
    shown = pair.vpnha("status").stdout
    assert "Lease: mon-a has it, for " in shown
    assert f"Monitor mon-b in {pair.zone_b} said " in shown
    metrics = (pair.get("/metrics") or (0, ""))[1]
    assert "vpnha_lease_held 1.0" in metrics
    assert 'vpnha_monitor_able_age_seconds{monitor="mon-b"}' in metrics
    status = pair.status()
    assert status is not None
    assert {each["name"]: each["owns"] for each in status["monitors"]} == {
        "mon-a": [pair.zone_b], "mon-b": [pair.zone_a]
    }  # fmt: skip


def test_a_single_monitor_asks_no_store(world: World) -> None:
    world.start()
    time.sleep(2.0)
    status = world.status()
    assert status is not None and status["lease"] is None
    assert "Lease" not in world.vpnha("status").stdout
    assert not {*STORE} & set(world.proxy.begun)
    assert "vpnha_lease" not in (world.get("/metrics") or (0, ""))[1]
