# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows whose fault is a gateway's: its packets, its instance, its processes."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.vpnha.aws.plugins.module_utils import repair
from ansible_collections.vpnha.aws.plugins.module_utils.model import Timing
from lab.matrix.model import Expect, row
from lab.matrix.stage import GONE_SECONDS, MOVED_SECONDS, Stage, hold_after

GATEWAY_MS = 1200.0  # the longest outage that the design allows when a gateway dies
START_SECONDS = 120.0  # for a start, which is the first step
INTERVAL = Timing().heartbeat_interval
FLAPS, FLAP_SECONDS, FALLEN_SECONDS = 9, 45.0, 10.0
LADDER_SECONDS = 300.0  # for a reboot, then a stop and a start: two calls for a gateway are a minute apart


@row(
    6,
    "10 % of gw-a's packets dropped at random, each way; 45 s",
    Expect(no_flap=True),
)
def ten_percent(stage: Stage) -> None:
    stage.fault("loss", "gw-a", "10")
    stage.watch(45.0)


@row(
    7,
    "40 % of gw-a's packets dropped at random, each way, until its routes have left",
    Expect(leaves="gw-a", told=("gateway-grey", "voluntary-move"), untold=("failover", "gateway-silent")),
)
def forty_percent(stage: Stage) -> None:
    stage.fault("loss", "gw-a", "40")
    began = time.monotonic()
    stage.until_left("gw-a", MOVED_SECONDS)
    stage.fact("its routes stay for 30 s at least", time.monotonic() - began >= 30.0)


@row(
    8,
    "every packet of gw-a dropped for 400 ms; 10 s",
    Expect(no_flap=True, outage_ms=500.0),
)
def blink(stage: Stage) -> None:
    stage.fault("blackout", "gw-a", "400")
    stage.watch(10.0)


@row(
    10,
    "gw-a's instance stopped through EC2, until the monitor has started it again",
    Expect(leaves="gw-a", repairs=("StartInstances",), told=("repair-issued",), outage_ms=GATEWAY_MS, encrypted=True),
)
def stopped_by_someone(stage: Stage) -> None:
    stage.inject("StopInstances gw-a")
    stage.lookout.ec2.stop_instances(InstanceIds=[stage.instance("gw-a")])
    stage.undo("start gw-a", lambda: start(stage, "gw-a"))
    stage.until_left("gw-a")
    stage.until(lambda: stage.state("gw-a") == "stopped", 30.0, "gw-a has stopped")
    stage.until(lambda: stage.state("gw-a") == "running", START_SECONDS, "the monitor has started gw-a again")


@row(
    12,
    "the endpoint calls gw-a's system status check impaired; 15 s",
    Expect(told=("status-check-impaired",), once=("status-check-impaired",), outage_ms=0.0),
)
def impaired_but_fine(stage: Stage) -> None:
    stage.fault("setting", "impaired", json.dumps({stage.instance("gw-a"): "system"}))
    stage.watch(15.0)


@row(
    13,
    "the same, and every packet of gw-a dropped, until the monitor has stopped and started it",
    Expect(
        leaves="gw-a",
        repairs=("RebootInstances", "StopInstances", "StartInstances"),
        told=("gateway-silent", "repair-issued"),
        outage_ms=GATEWAY_MS,
        encrypted=True,
    ),
)
def impaired_and_dead(stage: Stage) -> None:
    stage.fault("blackout", "gw-a")
    stage.fault("setting", "impaired", json.dumps({stage.instance("gw-a"): "system"}))
    stage.undo("start gw-a", lambda: start(stage, "gw-a"))
    stage.until_left("gw-a")
    stage.until(lambda: stage.calls("StartInstances"), LADDER_SECONDS, "the monitor has started gw-a again")


@row(
    17,
    "every packet of gw-a dropped, until its routes have left; 3 s",
    Expect(leaves="gw-a", told=("gateway-silent", "failover"), outage_ms=GATEWAY_MS),
)
def cut_off_from_all(stage: Stage) -> None:
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")
    stage.watch(3.0)


@row(
    42,
    "gw-a's instance terminated and its interface deleted; the deploy playbook makes both anew",
    Expect(leaves="gw-a", told=("failover",), outage_ms=GATEWAY_MS, most_tries=12, encrypted=True),
)
def new_interface(stage: Stage) -> None:
    old, instance, ec2 = stage.lookout.eni("gw-a"), stage.instance("gw-a"), stage.lookout.ec2
    stage.inject("TerminateInstances gw-a")
    ec2.terminate_instances(InstanceIds=[instance])
    stage.until_left("gw-a")
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    ec2.delete_network_interface(NetworkInterfaceId=old)
    stage.play("deploy")
    fresh = stage.lookout.eni("gw-a")
    stage.fact("gw-a has another interface", fresh != old)
    home = stage.on("gw-a")
    stage.until(lambda: all(stage.lookout.routes()[one] == "gw-a" for one in home), 60.0, "the routes are home")
    used = {call["after"] for call in stage.calls("ReplaceRoute")}
    stage.fact("no route was pointed at the old interface", old not in used)
    stage.fact("the routes came home to the new one", fresh in used)


@row(
    43,
    "the source/destination check of gw-a's interface switched on, until its routes have left",
    Expect(leaves="gw-a", told=("source-dest-check-on",)),
)
def source_dest_check(stage: Stage) -> None:
    eni = stage.lookout.eni("gw-a")

    def switch(on: bool) -> None:
        stage.lookout.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": on})

    stage.inject("source/destination check of gw-a on")
    switch(True)
    stage.undo("check off", lambda: switch(False))
    stage.until_left("gw-a")


@row(
    44,
    "every packet of gw-a dropped for 10 s of every 45 s, nine times; until its routes are home",
    Expect(leaves="gw-a", most_changes=12, told=("flapping",)),
)
def flapping(stage: Stage) -> None:
    moved, home = [], stage.on("gw-a")
    for _ in range(FLAPS):
        began = time.time()
        cut = stage.fault("blackout", "gw-a")
        stage.watch(FALLEN_SECONDS)
        stage.clear(cut)
        stage.watch(FLAP_SECONDS - FALLEN_SECONDS)
        moved.append(len(stage.calls("ReplaceRoute", began)))
    stage.mark(f"ReplaceRoute calls of each cycle: {moved}")
    stage.fact("in the first cycle the routes go and come back", moved[0] >= 2 * len(home))
    stage.fact("in the last two cycles they stay on the steady gateway", moved[-2:] == [0, 0])
    hold = hold_after(FLAPS, FLAP_SECONDS, stage.timing)  # a part of it is over: the gateway is well already
    stage.until(
        lambda: all(stage.lookout.routes()[one] == "gw-a" for one in home), hold + GONE_SECONDS, "routes are home"
    )


@row(
    53,
    "SIGKILL to gw-a's agent, 5 s; then the agent stopped for 40 s",
    Expect(told=("agent-silent",), outage_ms=0.0),
)
def agent_away(stage: Stage) -> None:
    stage.inject("SIGKILL to the agent of gw-a")
    stage.run("gw-a", "systemctl", "kill", "--signal=SIGKILL", "vpnha-agent")
    stage.watch(5.0)
    stage.fact(
        "the agent runs again by itself",
        "active" in stage.run("gw-a", "systemctl", "is-active", "vpnha-agent", check=False),
    )
    stage.fault("unit-stop", "gw-a", "vpnha-agent")
    stage.watch(40.0)


@row(
    54,
    "gw-a's agent gets the processor for 60 ms of every 360 ms; 20 s",
    Expect(outage_ms=0.0),
)
def overloaded(stage: Stage) -> None:
    stage.inject("agent of gw-a starved")
    oldest = 0.0
    with ThreadPoolExecutor(1) as aside:
        starving = aside.submit(starve, stage, "gw-a", "vpnha-agent", 55)
        while not starving.done():
            seen = next(one for one in stage.lookout.status()["gateways"] if one["name"] == "gw-a")
            oldest = max(oldest, seen["answer_age"] or 0.0)
            stage.watch(0.05)
        starving.result()
    stage.fact(f"its answers were late: the newest was up to {oldest * 1e3:.0f} ms old", oldest > 3 * INTERVAL)


@row(
    56,
    "gw-a's power cut while the monitor is stopped; then the monitor started, until the routes have left gw-a",
    Expect(leaves="gw-a", told=("daemon-started", "failover"), encrypted=True),
)
def dead_before_the_start(stage: Stage) -> None:
    stage.fault("unit-stop", "mon-a", "vpnha-monitor")
    instance = stage.instance("gw-a")
    stage.mark("power of gw-a cut")
    stage.undo("start gw-a", lambda: start(stage, "gw-a"))
    stage.lookout.ec2.stop_instances(InstanceIds=[instance], Force=True, SkipOsShutdown=True)
    stage.watch(4.0)
    stage.fact("nobody moved a route meanwhile", not stage.calls("ReplaceRoute"))
    stage.run("mon-a", "systemctl", "start", "vpnha-monitor")
    stage.until_left("gw-a")
    started = [event for event in stage.lookout.events(stage.injected or 0.0) if event["code"] == "daemon-started"]
    first = min(call["wall"] for call in stage.calls("ReplaceRoute"))
    after = first - started[-1]["wall"]
    stage.mark(f"first swap {after:.1f} s after the monitor's start")
    stage.fact("the first swap comes after a full window and within 5 s of the start", 0.5 <= after <= 5.0)


@row(
    57,
    "gw-a's instance stopped through EC2; the first StartInstances is answered InsufficientInstanceCapacity",
    Expect(
        leaves="gw-a",
        repairs=("StartInstances",),
        told=("repair-failed", "failover"),
        outage_ms=GATEWAY_MS,
        encrypted=True,
    ),
)
def no_capacity(stage: Stage) -> None:
    stage.fault("api-error", "InsufficientInstanceCapacity", "500", times=1, action="StartInstances", side="hosts")
    stage.inject("StopInstances gw-a")
    stage.lookout.ec2.stop_instances(InstanceIds=[stage.instance("gw-a")])
    stage.undo("start gw-a", lambda: start(stage, "gw-a"))
    stage.until_left("gw-a")
    stage.until_told("repair-failed", START_SECONDS)
    stage.until(lambda: stage.state("gw-a") == "running", START_SECONDS, "the monitor has started gw-a at a second try")
    (failed,) = [one for one in stage.lookout.events(stage.injected or 0.0) if one["code"] == "repair-failed"]
    stage.fact(f"it is told why: {failed['text']}", "InsufficientInstanceCapacity" in failed["text"])
    (started,) = stage.calls("StartInstances")
    after = started["wall"] - failed["wall"]
    stage.mark(f"the second call came {after:.0f} s after the refusal")
    stage.fact("the second call waits for a minute", after >= repair.CALL_AGAIN - 2.0)


@row(
    58,
    "the endpoint announces that gw-a's instance retires in an hour, until its routes have left",
    Expect(leaves="gw-a", told=("gateway-retiring",), outage_ms=0.0),
)
def retiring(stage: Stage) -> None:
    stage.fault("setting", "retiring", json.dumps({stage.instance("gw-a"): time.time() + 3600.0}))
    stage.until_left("gw-a", MOVED_SECONDS)


def start(stage: Stage, gateway: str) -> None:
    """Start a gateway's instance, unless it runs or the monitor has begun that."""
    if stage.state(gateway) in ("running", "pending"):
        return
    stage.until(lambda: stage.state(gateway) != "stopping", 30.0, f"{gateway} has stopped")
    if stage.state(gateway) == "stopped":
        stage.lookout.ec2.start_instances(InstanceIds=[stage.instance(gateway)])


def starve(stage: Stage, host: str, unit: str, rounds: int) -> None:
    """Let a service's processes run for 60 ms of every 360 ms."""
    stage.undo("go on", lambda: stage.run(host, "systemctl", "kill", "--signal=SIGCONT", unit))
    stage.shell(
        host,
        f'pids=$(cat /sys/fs/cgroup/system.slice/{unit}.service/cgroup.procs) && [ -n "$pids" ] || exit 1; '
        f"i=0; while [ $i -lt {rounds} ]; do "
        "kill -STOP $pids; sleep 0.3; kill -CONT $pids; sleep 0.06; i=$((i+1)); done",
    )
