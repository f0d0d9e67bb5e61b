# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people are shown: the plan, and how far swaps are that wait."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ansible_collections.vpnha.aws.plugins.module_utils import failover_plan, pace
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Report
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import Progress as OfAPerson
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
    seconds = ("1.07", "0.62", "0.00", "0.15", "0.30", "1.49")
    assert ["gw-a", "1", "2", *(word for each in seconds for word in (each, "s"))] in rows
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


@pytest.fixture
def swapping(world: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's swap of 500 routes that stands still after three of them."""

    def run(*_given: object, progress: OfAPerson, **_more: object) -> Report:
        client = progress.watch(SimpleNamespace(replace_route=lambda **_arguments: {}), 500, pace.TokenBucket(level=0))
        for number in range(3):
            client.replace_route(RouteTableId=f"rtb-{number}")
        time.sleep(0.5)
        return Report(True, [], [])

    monkeypatch.setattr(cli_output, "_LINE_SECONDS", 0.05)
    monkeypatch.setattr(orders.manual_swap, "run", run)
    monkeypatch.setattr(orders, "read_view", lambda *_given: world.view)
    monkeypatch.setattr(orders, "_client", lambda _loaded: None)
    loaded = SimpleNamespace(deployment=world.plan, url="http://127.0.0.1:1")
    monkeypatch.setattr(cli.config, "load", lambda _path: loaded)


@pytest.mark.usefixtures("swapping")
@pytest.mark.parametrize("order", [["failover", "--to", "gw-b"], ["failback"]])
def test_a_person_sees_how_far_the_swaps_are(order: list[str]) -> None:
    said = CliRunner().invoke(cli.app, order)
    assert said.exit_code == 0, said.output
    # 497 at 4.8 a second
    assert said.stderr.startswith("3 of 500 routes moved; the last swap begins in about 10")
    assert said.stdout.startswith("0 route(s) moved") and "of 500" not in said.stdout
    programs = CliRunner().invoke(cli.app, [*order, "--json"])
    assert json.loads(programs.stdout)["changed"] and not programs.stderr


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
