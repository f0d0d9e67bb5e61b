# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows in which people act: routes pointed elsewhere, pins, a deploy at the wrong moment."""

from __future__ import annotations

import time

from lab.matrix.lookout import MONITOR
from lab.matrix.model import Expect, row
from lab.matrix.stage import Stage

ZONE = "eu-central-1a"
PIN_SECONDS = 60.0


@row(
    40,
    "a person points a route at another host's interface; 15 s; then vpnha failback --take-over",
    Expect(told=("route-foreign",), once=("route-foreign",), people_move=True),
)
def route_elsewhere(stage: Stage) -> None:
    route = stage.on("gw-a")[0]
    wanted = [{"Name": "attachment.instance-id", "Values": [stage.instance("app-b")]}]
    found = stage.lookout.ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]
    eni = found[0]["NetworkInterfaceId"]
    stage.inject(f"{route} pointed at {eni}")
    stage.replace_route(route, eni)
    stage.undo("the route", lambda: _home(stage, route))
    stage.watch(15.0)
    stage.fact("the route is left alone", stage.lookout.routes()[route] == eni)
    stage.fact("the monitor has called no ReplaceRoute", len(stage.calls("ReplaceRoute")) == 1)
    stage.run(MONITOR, "vpnha", "failback", "--take-over")
    stage.fact("released, it goes home", stage.lookout.routes()[route] == "gw-a")


@row(
    60,
    "vpnha failover to gw-b, then the deploy playbook, then vpnha failback",
    Expect(told=("pinned",), outage_ms=0.0, people_move=True),
)
def deploy_while_away(stage: Stage) -> None:
    stage.inject("vpnha failover to gw-b")
    stage.undo("home", lambda: stage.run(MONITOR, "vpnha", "failback"))
    stage.run(MONITOR, "vpnha", "failover", "--to", "gw-b", "--zone", ZONE, "--minutes", "30")
    away, began = stage.lookout.routes(), time.time()
    stage.fact("every route of the zone leads to gw-b", set(away.values()) == {"gw-b"})
    stage.play("deploy")
    touched = [call for action in ("ReplaceRoute", "CreateRoute", "DeleteRoute") for call in stage.calls(action, began)]
    stage.fact(f"the deploy calls nothing that moves a route: {len(touched)} calls", not touched)
    stage.fact("the routes are where they were", stage.lookout.routes() == away)


@row(
    61,
    "the failover playbook moves the routes to gw-b, pinned for a minute; until they are home again",
    Expect(told=("pinned",), outage_ms=0.0, people_move=True),
)
def pinned(stage: Stage) -> None:
    stage.inject("playbook failover to gw-b")
    stage.undo("home", lambda: stage.run(MONITOR, "vpnha", "failback"))
    stage.play("failover", vpnha_to="gw-b", vpnha_zones_to_move=[ZONE], vpnha_pin_minutes=1)
    moved = max(call["wall"] for call in stage.calls("ReplaceRoute"))
    home = stage.on("gw-a")
    stage.until(
        lambda: all(stage.lookout.routes()[one] == "gw-a" for one in home), PIN_SECONDS + 40.0, "routes are home"
    )
    back = [call for call in stage.calls("ReplaceRoute", moved + 0.001) if not call["error"]]
    stayed = min(call["wall"] for call in back) - moved
    stage.mark(f"the routes stayed for {stayed:.1f} s")
    stage.fact("they stay until the pin ends", stayed >= PIN_SECONDS - 8.0)  # set before the first of them is moved
    stage.fact("each goes home once", len(back) == len(home))


def _home(stage: Stage, route: str) -> None:
    if stage.lookout.routes().get(route) != "gw-a":
        stage.replace_route(route, stage.lookout.eni("gw-a"))
