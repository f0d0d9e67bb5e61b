# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A monitor in each zone: they never fight and lose no route. Judged by packets and by what EC2 shows of the routes.

mon-b, in the zone of gw-b, owns the routes of gw-a's zone, and mon-a those of gw-b's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.conftest import (
    ROOT,
    Lab,
    Labs,
    Variant,
    Watch,
    app_routes,
    aws,
    eni_of,
    instance,
    power_off,
    reaches,
    until,
)

pytestmark = pytest.mark.integration

_FILE = ROOT / "lab" / "deployments" / "two-monitors.yml"
PAIR = Variant(up=("--deployment", str(_FILE)), play=("-e", f"@{_FILE}"))
SERVICE = "vpnha-monitor"


@pytest.fixture(scope="module")
def deployed(labs: Labs) -> Lab:
    """The deployment with two monitors, built by the playbook that users run."""
    return labs.deployed(PAIR)


@pytest.fixture
def pair(deployed: Lab) -> Iterator[Lab]:
    """Both monitors hear each other, one has the lease, and every route is at home; so it is again afterwards.

    They are started anew, so that what earlier tests have broken does not prolong the hold-down.
    """
    for monitor in ("mon-a", "mon-b"):
        deployed.shell(monitor, "systemctl", "restart", SERVICE)
    settle(deployed)
    yield deployed
    for fault in json.loads(deployed.command("fault", "list", "--json").stdout):
        deployed.command("fault", "clear", fault["id"])
    for host in ("gw-a", "mon-a"):
        if instance(deployed, host)["State"]["Name"] != "running":
            aws(deployed).start_instances(InstanceIds=[instance(deployed, host)["InstanceId"]])
    settle(deployed)


def settle(lab: Lab) -> None:
    """Wait until the monitors agree that all is well."""

    def well() -> bool:
        found = [status(lab, monitor) for monitor in ("mon-a", "mon-b")]
        heard = all(each["able_age"] is not None for one in found if one for each in one["monitors"])
        held = [one["lease"]["left"] > 0.0 for one in found if one]
        home = all(one["routes"] and not one["away"] and one["healthy"] for one in found if one)
        return all(found) and heard and sum(held) == 1 and home

    until(well, 240, "both monitors say that all is well")


def status(lab: Lab, monitor: str) -> dict[str, Any] | None:
    """A monitor's status; None while it cannot be asked."""
    done = lab.command("shell", monitor, "vpnha", "status", "--json")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else None


def fault(lab: Lab, *argv: str) -> str:
    """Bring a fault into force; its id."""
    done = lab.command("fault", "add", *argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def all_at(lab: Lab, eni: str) -> Callable[[], bool]:
    return lambda: set(app_routes(lab).values()) == {eni}


def flows(lab: Lab) -> bool:
    return all(
        reaches(lab, host, target) for host in ("app-a", "app-b") for target in ("192.168.10.10", "192.168.20.10")
    )


def test_a_second_deploy_changes_nothing(pair: Lab) -> None:
    before = app_routes(pair)
    again = pair.play("deploy")
    assert again.code == 0
    assert {host: counts["changed"] for host, counts in again.recap.items()} == dict.fromkeys(again.recap, 0)
    assert app_routes(pair) == before


def test_rows_29_and_48_the_lease_store_is_cut_and_a_gateway_dies(pair: Lab) -> None:
    """The owner fails over, once, and brings the routes home, all without the store."""
    gone, left = eni_of(pair, "gw-a"), eni_of(pair, "gw-b")
    fault(pair, "api-reset", "--action", "dynamodb:", "--id", "store")
    until(lambda: (found := status(pair, "mon-a")) and found["lease"]["left"] == 0.0, 30, "the lease has run out")
    watch = Watch(pair)
    power_off(pair, "gw-a")
    until(all_at(pair, left), 30, "gw-a's routes have left")
    assert flows(pair)
    time.sleep(5.0)
    watch.expect({gone: 1, left: 0})
    until(lambda: instance(pair, "gw-a")["State"]["Name"] == "stopped", 60, "gw-a is stopped")
    aws(pair).start_instances(InstanceIds=[instance(pair, "gw-a")["InstanceId"]])
    until(lambda: app_routes(pair) == watch.home, 180, "gw-a has its routes back")
    time.sleep(5.0)
    watch.expect({gone: 2, left: 0})
    assert flows(pair)


def test_rows_27_and_30_the_owner_stands_still_in_the_middle_of_a_swap(pair: Lab) -> None:
    """Its calls are on their way when it stands still for 15 s; the other acts for it, and nobody takes it back."""
    gone, left = eni_of(pair, "gw-a"), eni_of(pair, "gw-b")
    fault(pair, "api-latency", "1500", "--action", "ReplaceRoute", "--id", "slow")
    watch = Watch(pair)
    power_off(pair, "gw-a")
    time.sleep(1.2)
    still = fault(pair, "signal", "mon-b", SERVICE, "STOP", "--id", "still")
    until(all_at(pair, left), 30, "gw-a's routes have left")
    assert flows(pair)
    time.sleep(15.0)
    assert pair.command("fault", "clear", still).returncode == 0
    time.sleep(10.0)
    assert all_at(pair, left)()
    watch.expect({gone: 1, left: 0})
    assert flows(pair)


def test_row_28_the_owner_is_killed_between_two_routes(pair: Lab) -> None:
    """One of the zone's two swaps is done and the other hangs when the owner is killed: no route is lost."""
    gone, left = eni_of(pair, "gw-a"), eni_of(pair, "gw-b")
    fault(pair, "api-timeout", "8000", "--action", "ReplaceRoute", "--times", "1", "--side", "hosts", "--id", "hangs")
    watch = Watch(pair)
    power_off(pair, "gw-a")
    until(lambda: 1 in watch.turns(gone), 30, "the first route has left")
    fault(pair, "signal", "mon-b", SERVICE, "KILL", "--id", "killed")
    until(all_at(pair, left), 60, "the other monitor, or the next one, has completed it")
    assert flows(pair)
    watch.expect({gone: 1, left: 0})


def test_row_55_zones_that_are_cut_from_each_other_swap_nothing(pair: Lab) -> None:
    watch = Watch(pair)
    for one, other in (("gw-a", "gw-b"), ("gw-a", "mon-b"), ("gw-b", "mon-a")):
        fault(pair, "cut", one, other, "--id", f"cut-{one}-{other}")
    until(
        lambda: "cut-off" in verdict(pair, "mon-a", "gw-b") and "cut-off" in verdict(pair, "mon-b", "gw-a"),
        30,
        "each monitor knows that only its own way to the other zone is cut",
    )
    time.sleep(20.0)
    assert flows(pair)
    for one, other in (("gw-a", "gw-b"), ("gw-a", "mon-b"), ("gw-b", "mon-a")):
        assert pair.command("fault", "clear", f"cut-{one}-{other}").returncode == 0
    time.sleep(10.0)
    assert {len(its) for its in watch.seen().values()} == {1}, "no route has ever led elsewhere"


def verdict(lab: Lab, monitor: str, gateway: str) -> str:
    """The code of a monitor's verdict on a gateway."""
    found = status(lab, monitor)
    return next(each["code"] for each in found["gateways"] if each["name"] == gateway) if found else ""


def test_row_45_a_zone_is_lost_with_its_gateway_and_its_monitor(pair: Lab) -> None:
    """The monitor of the other zone waits for no lease."""
    gone, left = eni_of(pair, "gw-a"), eni_of(pair, "gw-b")
    watch = Watch(pair)
    power_off(pair, "gw-a", "mon-a")
    until(all_at(pair, left), 30, "the lost zone's routes have left")
    watch.expect({gone: 1, left: 0})
    assert reaches(pair, "app-b", "192.168.10.10") and reaches(pair, "app-b", "192.168.20.10")
    for name in ("gw-a", "mon-a"):
        until(lambda name=name: instance(pair, name)["State"]["Name"] == "stopped", 60, f"{name} is stopped")
