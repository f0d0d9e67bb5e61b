# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows whose fault is EC2's: its API, what it says of routes, and the credentials for it."""

from __future__ import annotations

import json
import time

from lab.matrix.lookout import MONITOR
from lab.matrix.model import Expect, row
from lab.matrix.rows_gateways import GATEWAY_MS
from lab.matrix.stage import MONITOR_UNIT, Stage

ENDPOINT = "192.0.2.10"  # of EC2's API, as the hosts see it
METADATA = "169.254.169.254"
SWAP = {"action": "ReplaceRoute", "side": "hosts"}


@row(
    16,
    "every packet between the monitor and the API dropped, and every packet of gw-a; after 25 s the API is back",
    Expect(leaves="gw-a", told=("ec2-unreadable", "swap-failed"), once=("ec2-unreadable",)),
)
def no_api(stage: Stage) -> None:
    cut = stage.fault("cut", MONITOR, ENDPOINT)
    stage.fault("blackout", "gw-a")
    stage.watch(25.0)
    stage.fact("the monitor decides: swaps are ordered", _told(stage, "swap-issued"))
    issued = len(_told(stage, "swap-issued"))
    most = 8 * len(stage.on("gw-a"))  # rounds 1, 2, 4 … s apart, each with jitter
    stage.fact(f"it tries again with a bound: {issued} orders, at most {most}", issued <= most)
    stage.fact("no call of the monitor has reached EC2", not _reached(stage))
    stage.clear(cut)
    stage.until_left("gw-a", 40.0)


@row(
    18,
    "every packet of gw-a dropped; the first 12 ReplaceRoute calls are answered RequestLimitExceeded",
    Expect(leaves="gw-a", told=("swap-throttled",), most_tries=24),
)
def throttled(stage: Stage) -> None:
    stage.fault("api-throttle", times=12, **SWAP)
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")


@row(
    19,
    "every packet of gw-a dropped; the first three ReplaceRoute calls answered 500, the next three held; not applied",
    Expect(leaves="gw-a", most_tries=12),
)
def not_applied(stage: Stage) -> None:
    stage.fault("api-timeout", "3000", times=3, **SWAP)
    stage.fault("api-error", "InternalError", "500", times=3, **SWAP)
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")
    stage.watch(3.0)


@row(
    20,
    "every packet of gw-a dropped; six ReplaceRoute calls applied, their answers lost",
    Expect(leaves="gw-a", most_tries=12),
)
def applied(stage: Stage) -> None:
    stage.fault("api-abort", times=6, **SWAP)
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")
    stage.watch(5.0)
    done = [call for call in stage.calls("ReplaceRoute") if not call["error"]]
    changed = [call for call in done if call["before"] != call["after"]]
    stage.mark(f"{len(done)} calls were applied, {len(changed)} of them changed a route")
    stage.fact("each route was changed once", len(changed) == len(stage.on("gw-a")))


@row(
    21,
    "reads show old or new routes by turns for 8 s after a change; every packet of gw-a dropped; 12 s",
    Expect(leaves="gw-a", told=("failover",)),
)
def stale_reads(stage: Stage) -> None:
    stage.fault("setting", "stale_reads", "8")
    stage.fault("blackout", "gw-a")
    stage.until(lambda: stage.calls("ReplaceRoute"), 20.0, "the routes are swapped")
    stage.watch(12.0)
    changed = [call for call in stage.calls("ReplaceRoute") if not call["error"] and call["before"] != call["after"]]
    stage.fact("each route was changed once", len(changed) == len(stage.on("gw-a")))


@row(
    22,
    "every packet of gw-a dropped; the first nine ReplaceRoute calls answered 500, so that three of six succeed",
    Expect(leaves="gw-a", told=("swap-failed",), most_tries=18),
)
def three_of_six(stage: Stage) -> None:
    routes = len(stage.on("gw-a"))
    stage.fault("api-error", "InternalError", "500", times=routes + routes // 2, **SWAP)
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")
    done = sorted(call["wall"] for call in stage.calls("ReplaceRoute") if not call["error"])
    first_round = [wall for wall in done if wall - done[0] < 0.7]
    stage.mark(f"{len(first_round)} of {routes} swaps succeeded in the first round")
    stage.fact("some succeeded in the first round, and the rest later", len(first_round) < routes == len(done))


@row(
    36,
    "credentials that end in 21 minutes, their renewal cut off until that is told; then every packet of gw-a dropped",
    Expect(leaves="gw-a", told=("credentials-expiring", "failover"), outage_ms=GATEWAY_MS),
)
def credentials_expire(stage: Stage) -> None:
    # renewed is what ends within a quarter of an hour, and botocore takes what ends within 20 minutes for longer-lived
    stage.fault("setting", "credential_seconds", "1260")
    stage.run(MONITOR, "systemctl", "restart", MONITOR_UNIT)
    stage.until(lambda: not stage.lookout.objections(), 30.0, "the monitor is well with the new credentials")
    stage.fault("cut", MONITOR, METADATA)
    stage.until_told("credentials-expiring", 450.0)
    age = stage.lookout.status()["ec2"]["age"]
    stage.fact(f"EC2 is still read with the old ones (age {age} s)", age is not None and age < 10.0)
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")


@row(
    37,
    "ReplaceRoute taken from the monitor's IAM policy, every packet of gw-a dropped; 8 s later given back",
    Expect(leaves="gw-a", told=("swap-forbidden",), untold=("swap-throttled",)),
)
def forbidden(stage: Stage) -> None:
    stage.policy(lambda statement: "ec2:ReplaceRoute" not in str(statement["Action"]))
    stage.fault("blackout", "gw-a")
    stage.watch(8.0)
    denied = [call for call in stage.calls("ReplaceRoute") if call["error"] == "UnauthorizedOperation"]
    routes = len(stage.on("gw-a"))
    stage.fact(f"one try and one retry per route at most: {len(denied)} calls", routes <= len(denied) <= 2 * routes)
    stage.undo_now("policy")
    stage.until_left("gw-a", 40.0)


@row(
    39,
    "a person deletes one of the managed routes; 15 s",
    Expect(told=("route-missing",), once=("route-missing",)),
)
def route_deleted(stage: Stage) -> None:
    route, eni = stage.on("gw-a")[0], stage.lookout.eni("gw-a")
    table, destination = route.split()
    stage.inject(f"route {route} deleted")
    stage.lookout.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=destination)

    def make() -> None:
        stage.lookout.ec2.create_route(RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=eni)

    stage.undo("the route", make)
    stage.watch(15.0)
    stage.fact("the route was not made again", route not in stage.lookout.routes())


@row(
    41,
    "the routes to gw-a's interface read blackhole, and are, until they have left",
    Expect(leaves="gw-a", told=("route-blackhole",)),
)
def blackhole(stage: Stage) -> None:
    stage.fault("setting", "blackholes", json.dumps([stage.lookout.eni("gw-a")]))
    stage.until_left("gw-a")


@row(
    59,
    "DescribeInstances answers 500, every packet of gw-a dropped",
    Expect(leaves="gw-a", told=("failover",), outage_ms=GATEWAY_MS),
)
def instances_unreadable(stage: Stage) -> None:
    stage.fault("api-error", "InternalError", "500", action="DescribeInstances", side="hosts")
    stage.watch(6.0)  # a read has failed before the gateway dies
    stage.mark("gw-a is cut off")
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")


def _told(stage: Stage, code: str) -> list[object]:
    return [event for event in stage.lookout.events(stage.injected or 0.0) if event["code"] == code]


def _reached(stage: Stage) -> list[object]:
    """Calls of the monitor since a second after the row began."""
    begin = (stage.injected or time.time()) + 1.0
    monitor = stage.instance(MONITOR)
    return [call for call in stage.all_calls(begin) if call["caller"] == monitor]
