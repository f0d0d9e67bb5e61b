# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills at the wrong moment are refused; what a drill broke whose controller dies in the middle undoes itself.

The tests stand in the order of a night: each begins with what the one before has left behind.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import INVENTORY, Lab, app_routes, aws, reaches
from tests.integration.test_repair import TIMING, events, instance, until

pytestmark = pytest.mark.integration

LOCK_MINUTES = 4
UNDO_SECONDS = 60
SITES = ("192.168.10.10", "192.168.20.10")
NO_RESTART = Path("/run/systemd/system/strongswan.service.d/zz-no-restart.conf")


@pytest.fixture(scope="module")
def calm(deployed: Lab) -> Iterator[Lab]:
    """The deployment with monitors that may start a stopped gateway, and afterwards without."""
    assert deployed.play("deploy", vpnha_repair="restart", vpnha_timing=TIMING).code == 0
    yield deployed
    assert deployed.play("deploy", vpnha_lock_force=True).code == 0


def variables(drill: str, folder: Path, scenario: str, **more: object) -> dict[str, object]:
    return {
        "vpnha_drill_id": drill,
        "vpnha_drill_scenarios": [scenario],
        "vpnha_drill_gateway": "gw-a",
        "vpnha_drill_output": str(folder / drill),
        "vpnha_drill_limits": {scenario: 60_000},
        "vpnha_drill_lock_minutes": LOCK_MINUTES,
        "vpnha_drill_undo_seconds": UNDO_SECONDS,
        **more,
    }


@contextmanager
def drilling(lab: Lab, folder: Path, drill: str, scenario: str, **more: object) -> Iterator[subprocess.Popen[bytes]]:
    """A drill that stays in its fault; at the end its controller dies, with everything that it has started."""
    given = variables(drill, folder, scenario, vpnha_drill_hold_seconds=900, vpnha_drill_failover_timeout=1200, **more)
    argv = ["ansible-playbook", "vpnha.aws.failover_drill", "-i", str(INVENTORY), *lab.options, "-e", json.dumps(given)]
    with (folder / f"{drill}.log").open("wb") as log:
        controller = subprocess.Popen(
            argv, env=dict(lab.env), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield controller
    finally:
        ended = controller.poll()
        if ended is None:
            os.killpg(controller.pid, signal.SIGKILL)
            controller.wait()
        print((folder / f"{drill}.log").read_text())
    assert ended is None, f"the drill {drill} ended before it was killed"


def until_broken(controller: subprocess.Popen[bytes], condition: Callable[[], object], what: str) -> None:
    """Awaits what a drill breaks."""
    until(lambda: condition() or controller.poll() is not None, 300, what)
    assert controller.poll() is None, f"the drill ended before this: {what}"


def refused(lab: Lab, folder: Path, sentence: str, **more: object) -> None:
    """A drill that is refused with that sentence."""
    played = lab.play("failover_drill", **variables("refused", folder, "planned", **more))
    assert played.code != 0 and sentence in " ".join(played.output.split())
    assert "Traceback" not in played.output


def whole(lab: Lab) -> bool:
    """Whether all traffic passes, and monitors and EC2 have nothing against a drill but the mark of the dead one."""
    status = json.loads(lab.shell("mon-a", "vpnha", "status", "--json"))
    ways = {one["verdict"] for one in status["paths"]}
    passes = all(reaches(lab, host, site) for host in ("app-a", "app-b") for site in SITES)
    return passes and ways == {"up"} and not status["away"]


def is_blocked(lab: Lab) -> bool:
    return lab.command("shell", "gw-a", "nft", "list", "table", "inet", "vpnha_drill").returncode == 0


def charon_runs(lab: Lab) -> bool:
    return lab.command("shell", "gw-a", "systemctl", "is-active", "--quiet", "strongswan").returncode == 0


def marked_until(lab: Lab) -> float:
    """When the mark that a drill is running ends, by its tag on the VPC."""
    found = aws(lab).describe_tags(Filters=[{"Name": "key", "Values": ["vpnha:drill:lab"]}])["Tags"]
    until_text = found[0]["Value"].partition("until=")[2].split()[0]
    return datetime.strptime(until_text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def drills(lab: Lab) -> dict[str, dict[str, Any]]:
    """What `vpnha drills` lists, by the drill."""
    return {one["drill"]: one for one in json.loads(lab.shell("mon-a", "vpnha", "drills", "--json"))}


def test_outside_the_window_nothing_begins(calm: Lab, tmp_path: Path) -> None:
    before, soon = app_routes(calm), datetime.now(UTC) + timedelta(hours=2)
    window = {"from": f"{soon:%H:%M}", "to": f"{soon + timedelta(hours=1):%H:%M}", "timezone": "UTC"}
    refused(calm, tmp_path, "Now is outside the window for drills", vpnha_drill_window=window)
    assert app_routes(calm) == before


def test_during_a_freeze_nothing_begins(calm: Lab, tmp_path: Path) -> None:
    before = app_routes(calm)
    calm.shell("mon-a", "vpnha", "freeze", "--minutes", "60", "--reason", "year-end")
    try:
        refused(calm, tmp_path, "(year-end). Nothing was touched.")
    finally:
        calm.shell("mon-a", "vpnha", "unfreeze")
    assert app_routes(calm) == before


def test_a_block_undoes_itself_and_the_dead_drill_s_lock_ends(calm: Lab, tmp_path: Path) -> None:
    with drilling(calm, tmp_path, "calm-block", "tunnel_block", vpnha_drill_undo_seconds=240) as controller:
        until_broken(controller, lambda: is_blocked(calm), "the tunnels of gw-a are blocked")
        held = "The drill calm-block of "
        refused(calm, tmp_path, held)
        deploy = calm.play("deploy")
        assert deploy.code != 0 and held in " ".join(deploy.output.split())
        assert sum(host["changed"] for host in deploy.recap.values()) == 0
        assert is_blocked(calm), "it was the drill's to take back"
    until(lambda: not is_blocked(calm), 300, "the timer on gw-a lifts the block")
    until(lambda: whole(calm), 120, "all is as before")
    until(lambda: "calm-block" in drills(calm) and drills(calm)["calm-block"]["state"] == "died", 300, "the mark ends")
    telling = replace(calm, env={**calm.env, "ANSIBLE_SHOW_CUSTOM_STATS": "1"})
    after = telling.play("failover_drill", **variables("calm-after", tmp_path, "planned"))
    assert after.code == 0
    artifacts = after.output.partition("CUSTOM STATS")[2]
    assert '"vpnha_drill_passed": true' in artifacts and '"vpnha_drill_verdict": "' in artifacts
    assert json.loads(re.findall(r'"vpnha_drill_outage_ms": (\{.*?\})', artifacts, re.S)[0]) == {"planned": 0.0}
    assert f'"vpnha_drill_report": "{tmp_path}/calm-after/report.json"' in artifacts
    assert "has left the deployment's lock behind, which ended at" in " ".join(after.output.split())


def test_a_killed_charon_is_started_and_a_dead_lock_taken_by_force(calm: Lab, tmp_path: Path) -> None:
    # as where systemd has given up: only the drill's own timer can help
    override = f"mkdir -p {NO_RESTART.parent} && printf '[Service]\\nRestart=no\\n' > {NO_RESTART}"
    calm.shell("gw-a", "sh", "-c", f"{override} && systemctl daemon-reload")
    try:
        with drilling(calm, tmp_path, "calm-kill", "ipsec_kill") as controller:
            until_broken(controller, lambda: not charon_runs(calm), "charon is killed")
        until(lambda: charon_runs(calm), UNDO_SECONDS + 60, "the timer on gw-a starts it")
        until(lambda: whole(calm), 120, "all is as before")
    finally:
        calm.shell("gw-a", "sh", "-c", f"rm -f {NO_RESTART}; systemctl daemon-reload; systemctl start strongswan")
    refused(calm, tmp_path, "The drill calm-kill of ")
    forced = calm.play("failover_drill", **variables("calm-forced", tmp_path, "planned", vpnha_lock_force=True))
    assert forced.code == 0


def test_a_gateway_without_power_is_started_by_the_monitor(calm: Lab, tmp_path: Path) -> None:
    home = app_routes(calm)
    with drilling(calm, tmp_path, "calm-power", "gateway_power_off") as controller:
        until_broken(controller, lambda: instance(calm, "gw-a")["State"]["Name"] == "stopped", "gw-a has no power")
        until(lambda: len(set(app_routes(calm).values())) == 1, 60, "every route leads to the other gateway")
    ends = marked_until(calm)
    assert all(reaches(calm, host, site) for host in ("app-a", "app-b") for site in SITES)
    # nothing may be broken where there is no second gateway, also by who has taken the lock
    refused(calm, tmp_path, "Gateway gw-a is stopped and cannot take routes.", vpnha_lock_force=True)
    until(lambda: app_routes(calm) == home, 60 * LOCK_MINUTES + 300, "gw-a runs again and has its routes back")
    until(lambda: whole(calm), 120, "all is as before")
    issued = events(calm, ends - 60 * LOCK_MINUTES, "repair-issued")
    assert [(event["subject"], event["evidence"]["rung"]) for event in issued] == [("gw-a", "start")]
    assert issued[0]["wall"] >= ends, "while a drill may still run, nobody repairs what it broke"


def test_the_history_has_those_that_ended_and_those_that_died(calm: Lab) -> None:
    found = drills(calm)
    states = {drill: found[drill]["state"] for drill in found if drill.startswith("calm-")}
    assert states == {
        "calm-block": "died",
        "calm-after": "passed",
        "calm-kill": "died",
        "calm-forced": "passed",
        "calm-power": "died",
    }
    assert found["calm-after"]["by"] and found["calm-after"]["outages_ms"] == {"planned": 0.0}
    assert found["calm-after"]["report"].endswith("calm-after/report.html")
    shown = calm.shell("mon-a", "vpnha", "drills")
    assert "calm-block did not end" in shown and "calm-after by " in shown
