# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are shown: the plan, and how far swaps are that wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ansible_collections.vpnha.aws.plugins.module_utils import failover_plan
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from tests.unit.plugins.module_utils.scenario import Play, play
from vpnha_monitor import cli, cli_output, orders
from vpnha_monitor.carrying import Carrying
from vpnha_monitor.status import Daemon, build
from vpnha_monitor.waiting import Progress


@pytest.fixture
def world() -> Play:
    return play()


@pytest.fixture
def asked(world: Play, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The latencies that plans were asked for with."""
    latencies: list[float] = []

    def plan(_loaded: object, latency: float) -> dict[str, Any]:
        latencies.append(latency)
        return failover_plan.plan(world.view, world.plan, latency)

    monkeypatch.setattr(orders, "plan", plan)
    monkeypatch.setattr(cli.config, "load", lambda path: path)
    return latencies


def test_the_plan_for_people(asked: list[float], tmp_path: Path) -> None:
    said = CliRunner().invoke(cli.app, ["plan", "--config", str(tmp_path)])
    assert said.exit_code == 0, said.output
    rows = [line.split() for line in said.stdout.splitlines()]
    assert ["gw-a", "1", "2", "1.07", "s", "0.62", "s", "0.00", "s", "0.15", "s", "0.30", "s"] in rows
    assert "Reckoned with 150 ms for each call, and 45 swaps at once and then 4.8 a second" in said.stdout
    assert asked == [0.15]


def test_the_plan_for_programs(asked: list[float], tmp_path: Path, world: Play) -> None:
    said = CliRunner().invoke(cli.app, ["plan", "--json", "--latency", "80", "--config", str(tmp_path)])
    assert json.loads(said.stdout) == failover_plan.plan(world.view, world.plan, 0.08)
    assert asked == [0.08]


def test_the_status_says_how_far_swaps_are(world: Play) -> None:
    waiting = Progress(500, 380, 110, 0.0, 79.2, 4.8, slowed=False, refusals=3)
    status = build(world.plan, world.state, world.evidence(), Daemon("mon-a", 0.0, progress=waiting), world.now)
    found = status["swaps"]
    assert status["swaps_in_flight"] == 390
    assert found["text"] == (
        "110 of 500 swaps have ended and 380 wait for EC2's limit (4.8 a second): the last begins in about 79 s."
    )
    assert (found["ordered"], found["waiting"], found["ended"], found["refusals"]) == (500, 380, 110, 3)
    idle = build(world.plan, world.state, world.evidence(), Daemon("mon-a", 0.0), world.now)["swaps"]
    assert (idle["text"], idle["waiting"]) == ("", 0)


def test_what_is_written_is_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    """Parts of an IPv6 address may look like the name of an emoji."""
    route = {
        "table": "rtb-1", "destination": "fd00:a:b::/48", "site": "hq", "gateway": "gw-b", "target": "eni-b",
        "home": "gw-a",
    }  # fmt: skip
    out = cli_output.console()
    cli_output.away(out, [route])
    table = cli_output._table("destination")
    table.add_row("2001:o::/32")
    out.print(table)
    said = capsys.readouterr().out
    assert "Away from home: rtb-1 fd00:a:b::/48 uses gw-b, not gw-a" in said
    assert "2001:o::/32" in said


def test_traffic_is_what_the_gateways_count_of_each_zone() -> None:
    carrying = Carrying()
    for second in range(4):
        for gateway, rate in (("gw-a", 100), ("gw-b", 20)):
            report = AgentReport("boot", "agent", "alive", {}, {}, {}, counters={"zone-a": rate * second, "zone-b": 7})
            carrying.saw({gateway: report}, 100.0 + second)
    assert carrying.traffic(103.0) == {"zone-a": pytest.approx(120.0)}
    assert carrying.traffic(162.9) == {"zone-a": pytest.approx(120.0)}  # it is remembered while a gateway is dead
    assert carrying.traffic(163.0) == {}
