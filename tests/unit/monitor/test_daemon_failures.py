# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong around the real daemon: killed at any point, clocks that jump, credentials, rights.

Failover works all the same, or the reason is said and it works as soon as that is gone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from monitor_world import World
from test_daemon import repairing, running

SITECUSTOMIZE = """
import time
from pathlib import Path

_real, _offset = time.time, Path({offset!r})


def _shown():
    try:
        return _real() + float(_offset.read_text())
    except (OSError, ValueError):
        return _real()


time.time = _shown
"""


@pytest.mark.parametrize("moment", ["before EC2 does it", "before EC2 answers", "before it is read back"])
def test_killed_during_a_swap(world: World, moment: str) -> None:
    """The next monitor finds from EC2 what is done and what is left, whatever became of the call."""
    running(world)
    proxy = world.proxy
    if moment == "before EC2 does it":
        proxy.delays["ReplaceRoute"] = 1.0
    elif moment == "before EC2 answers":
        proxy.answers_late["ReplaceRoute"] = 1.0
    world.stop_instance("gw-a")
    counted = proxy.begun if moment == "before EC2 does it" else proxy.ended
    world.until(lambda: counted["ReplaceRoute"] == 1)
    world.kill()
    proxy.delays.clear()
    proxy.answers_late.clear()
    world.start(wait=False)
    world.until(lambda: world.targets() == {"gw-b": 2})
    world.until(lambda: (world.status() or {}).get("away"))
    assert world.target(world.zone_b) == "gw-b"


def test_killed_after_some_of_many_routes(world: World) -> None:
    """Three of six were moved: the next monitor moves the others, and none back."""
    world.add_tables(world.zone_a, "gw-a", 5)
    running(world)
    world.proxy.most["ReplaceRoute"] = 3
    world.stop_instance("gw-a")
    world.until(lambda: world.proxy.ended["ReplaceRoute"] >= 6)
    assert world.targets() == {"gw-a": 3, "gw-b": 4}
    world.kill()
    world.proxy.most.clear()
    done = world.proxy.begun["ReplaceRoute"]
    world.start(wait=False)
    world.until(lambda: world.targets() == {"gw-b": 7})
    assert world.proxy.begun["ReplaceRoute"] - done == 3, "what was moved is not moved again"


@pytest.mark.parametrize("action", ["CreateTags", "StartInstances"])
@pytest.mark.parametrize("carried_out", [True, False])
def test_killed_during_a_repair(world: World, action: str, carried_out: bool) -> None:
    """While the tag is written, or the instance started: one step of the budget at most, and it runs in the end."""
    repairing(world)
    if carried_out:
        world.proxy.answers_late[action] = 2.0
    else:
        world.proxy.most[action] = 0
    world.stop_instance("gw-a")
    world.until(lambda: world.proxy.ended[action] >= 1)
    world.kill()
    world.proxy.answers_late.clear()
    world.proxy.most.clear()
    world.start(wait=False)
    world.until(lambda: world.state("gw-a") == "running")
    assert world.repair_tag("gw-a").count("Z") == 1, "one step"
    world.until(lambda: world.target(world.zone_a) == "gw-b")


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_wall_clock_jumps(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """By an hour, either way: told, nothing is swapped for it, and a failover works."""
    offset = tmp_path / "clock" / "offset"
    offset.parent.mkdir()
    (offset.parent / "sitecustomize.py").write_text(SITECUSTOMIZE.format(offset=str(offset)), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(offset.parent), *sys.path])  # becomes the daemon's PYTHONPATH
    running(world)
    offset.write_text(str(jump), encoding="utf-8")
    world.until(lambda: world.events("clock-skewed"))
    (told,) = world.events("clock-skewed")
    assert abs(float(str(told.evidence["skew"])) + jump) < 60.0
    assert not world.events("swap-issued", "failover")
    world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    offset.write_text("0", encoding="utf-8")
    world.until(lambda: (world.status() or {}).get("clock_skew") == 0.0)


def test_iam_denies_swaps(world: World) -> None:
    """Told by its own name, no storm of calls, and the route moves once the right is there."""
    running(world)
    world.proxy.errors["ReplaceRoute"] = "UnauthorizedOperation"
    world.agents["gw-a"].die()
    world.until(lambda: world.events("swap-forbidden"))
    (told,) = world.events("swap-forbidden")
    time.sleep(3.0)
    assert world.proxy.begun["ReplaceRoute"] == 1, "tried again after half a minute only"
    assert "UnauthorizedOperation" in told.text
    assert world.target(world.zone_a) == "gw-a"
    del world.proxy.errors["ReplaceRoute"]
    world.until(lambda: world.target(world.zone_a) == "gw-b", seconds=60.0)


def test_credentials_that_expired(world: World) -> None:
    """EC2 refuses everything: the reason is said, and the route moves as soon as they are good again."""
    running(world)
    world.proxy.errors["*"] = "RequestExpired"
    world.until(lambda: "RequestExpired" in (world.status() or {}).get("ec2", {}).get("error", ""))
    world.agents["gw-a"].die()
    world.until(lambda: world.events("swap-failed"))
    assert "RequestExpired" in world.events("swap-failed")[0].text
    calls = world.proxy.begun["ReplaceRoute"]
    time.sleep(2.0)
    assert world.proxy.begun["ReplaceRoute"] - calls <= 4, "one try and one retry each round, rounds further apart"
    world.proxy.errors.clear()
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    world.until(lambda: (world.status() or {}).get("ec2", {}).get("error") == "")
