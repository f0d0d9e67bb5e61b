# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows whose fault is the monitor's: what it hears, how it runs, what it writes and reads."""

from __future__ import annotations

import time
from typing import Any

import yaml

from lab.matrix.forgery import overheard, replay, spoiled
from lab.matrix.lookout import MONITOR
from lab.matrix.model import Expect, row
from lab.matrix.rows_gateways import GATEWAY_MS, starve
from lab.matrix.stage import MONITOR_UNIT, Stage

CONFIG = "/etc/vpnha/monitor.yml"
STATE = "/var/lib/vpnha"


@row(
    14,
    "every packet between the monitor and gw-a dropped; 10 s",
    Expect(told=("monitor-cut-off-from-gateway",), once=("monitor-cut-off-from-gateway",), outage_ms=0.0),
)
def cut_off_from_one(stage: Stage) -> None:
    stage.fault("cut", MONITOR, "gw-a")
    stage.watch(10.0)


@row(
    15,
    "every packet of the monitor dropped; 10 s",
    Expect(told=("monitor-isolated",), once=("monitor-isolated",), outage_ms=0.0),
)
def cut_off_from_all(stage: Stage) -> None:
    stage.fault("blackout", MONITOR)
    stage.watch(10.0)


@row(
    27,
    "SIGSTOP to the monitor for 1 s, 5 s and 15 s, then SIGCONT; 4 s after each",
    Expect(told=("monitor-sick",), outage_ms=0.0),
)
def paused(stage: Stage) -> None:
    for seconds in (1.0, 5.0, 15.0):
        with stage.monitor_paused():
            stage.watch(seconds)
        stage.watch(4.0)


@row(
    28,
    "every packet of gw-a dropped, three of six swaps held; SIGKILL to the monitor after the others",
    Expect(leaves="gw-a", told=("daemon-started", "failover")),
)
def killed_half_way(stage: Stage) -> None:
    routes = len(stage.on("gw-a"))
    stage.fault("api-timeout", "3000", action="ReplaceRoute", side="hosts", times=routes // 2)
    stage.fault("blackout", "gw-a")
    stage.until(lambda: _done(stage), 10.0, "the first swap is done")
    stage.run(MONITOR, "systemctl", "kill", "--signal=SIGKILL", MONITOR_UNIT)
    done = len(_done(stage))
    stage.mark(f"monitor killed after {done} of {routes} swaps")
    stage.fact("the monitor was killed between its first swap and its last", 0 < done < routes)
    stage.until_left("gw-a")


@row(
    31,
    "the journal overwritten with garbage; then its disk full, and every packet of gw-a dropped",
    Expect(leaves="gw-a", told=(), outage_ms=GATEWAY_MS),
)
def journal_broken(stage: Stage) -> None:
    stage.inject("journal overwritten")
    stage.shell(MONITOR, f"for f in {STATE}/journal.sqlite*; do head -c 65536 /dev/urandom >$f; done")
    stage.run(MONITOR, "systemctl", "reload", MONITOR_UNIT)  # so that there is something to write
    stage.until_told("journal-failed", 20.0)
    stage.until(lambda: not stage.lookout.status()["journal"]["failing"], 20.0, "a new journal is written")
    stage.mark("disk filled")
    stage.shell(MONITOR, f"mount -t tmpfs -o size=300k tmpfs {STATE} && chown vpnha:vpnha {STATE}")
    stage.undo("monitor with its own journal", lambda: stage.run(MONITOR, "systemctl", "restart", MONITOR_UNIT))
    stage.undo("disk", lambda: stage.run(MONITOR, "umount", "--lazy", STATE))
    stage.run(MONITOR, "systemctl", "restart", MONITOR_UNIT)
    stage.until(lambda: not stage.lookout.objections(), 30.0, "the monitor is well with the small disk")
    stage.shell(MONITOR, f"dd if=/dev/zero of={STATE}/full bs=1k 2>/dev/null; true")
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")
    stage.until_told("journal-failed", 20.0)
    stage.fact("the status says that the journal cannot be written", stage.lookout.status()["journal"]["failing"])


@row(
    32,
    "SIGHUP with a configuration that is no YAML, then with one that lacks its sites; 5 s",
    Expect(told=("config-refused",), outage_ms=0.0),
)
def invalid_configuration(stage: Stage) -> None:
    before = stage.lookout.status()["sites"]

    def without_sites(config: dict[str, Any]) -> None:
        del config["deployment"]["sites"]

    _reload(stage, "monitor: [mon-a\n")
    broken = stage.lookout.status()["config"]["error"]
    stage.fact(f"the error says what is no YAML: {broken}", "this is not YAML" in broken)
    _reload(stage, _changed(stage, without_sites))
    lacking = stage.lookout.status()["config"]["error"]
    stage.fact(f"the error says what lacks: {lacking}", "sites" in lacking)
    stage.watch(5.0)
    stage.fact("the old configuration is in force", stage.lookout.status()["sites"] == before)
    stage.fact("the monitor finds all well", not stage.lookout.objections())


@row(
    33,
    "SIGHUP with a configuration without gw-a, whose routes are in use; 5 s",
    Expect(told=("config-refused",), outage_ms=0.0),
)
def gateway_removed(stage: Stage) -> None:
    def without_gateway(config: dict[str, Any]) -> None:
        deployment = config["deployment"]
        deployment["gateways"] = [one for one in deployment["gateways"] if one["name"] != "gw-a"]
        deployment["tunnels"] = [one for one in deployment["tunnels"] if one["gateway"] != "gw-a"]
        for gateway in deployment["gateways"]:
            gateway["home_zones"] = [zone["name"] for zone in deployment["zones"]]

    _reload(stage, _changed(stage, without_gateway))
    status = stage.lookout.status()
    stage.fact(f"the error names the gateway: {status['config']['error']}", "gw-a" in status["config"]["error"])
    stage.fact("the monitor still looks after gw-a", "gw-a" in [one["name"] for one in status["gateways"]])
    stage.watch(5.0)


@row(
    38,
    "every packet of gw-a dropped, each swap delayed by 2 s; the monitor stopped while the swaps are under way",
    Expect(leaves="gw-a", told=("daemon-stopping",), most_tries=6),
)
def stopped_in_a_swap(stage: Stage) -> None:
    slow = stage.fault("api-latency", "2000", action="ReplaceRoute", side="hosts")
    stage.fault("blackout", "gw-a")
    stage.until(lambda: stage.lookout.status()["swaps_in_flight"], 10.0, "swaps are under way")
    stage.fact("no swap is done when the monitor is told to stop", not _done(stage))
    stage.undo("start the monitor", lambda: stage.run(MONITOR, "systemctl", "start", MONITOR_UNIT))
    stage.run(MONITOR, "systemctl", "stop", MONITOR_UNIT)
    stopped = time.time()
    stage.clear(slow)
    stage.fact("the swaps in flight are done when it has stopped", stage.lookout.left(stage.home, "gw-a"))
    stage.watch(5.0)
    stage.fact("no call came later", not [call for call in stage.calls("ReplaceRoute", stopped) if not call["error"]])


@row(
    46,
    "the monitor gets the processor for 60 ms of every 360 ms; 20 s",
    Expect(told=("monitor-sick",), outage_ms=0.0),
)
def starved(stage: Stage) -> None:
    stage.inject("monitor starved")
    starve(stage, MONITOR, MONITOR_UNIT, rounds=55)


@row(
    47,
    "answers of both agents recorded on the wire; sent again to the monitor, and once more with a byte changed",
    Expect(told=("heartbeats-rejected",), outage_ms=0.0),
)
def forged(stage: Stage) -> None:
    packets = overheard(stage.names, MONITOR, 2.0)
    stage.fact(f"answers were recorded: {len(packets)}", len(packets) > 20)
    stage.watch(5.0)  # until they are stale
    before = sum(stage.lookout.status()["refused"].values())
    stage.inject("recorded answers sent again")
    replay(stage.names, "gw-a", packets)
    stage.mark("recorded answers sent with a byte changed")
    replay(stage.names, "gw-a", [spoiled(packet) for packet in packets])
    stage.watch(3.0)
    refused = sum(stage.lookout.status()["refused"].values()) - before
    stage.fact(f"the monitor counts them as refused: {refused} of {2 * len(packets)}", refused >= 2 * len(packets) - 5)


@row(
    52,
    "the name server of monitor and gateways answers nothing; every packet of gw-a dropped",
    Expect(leaves="gw-a", told=("failover",), outage_ms=GATEWAY_MS),
)
def no_dns(stage: Stage) -> None:
    back = "rm -f /etc/resolv.conf; cp -a /run/resolv.before /etc/resolv.conf 2>/dev/null; true"
    for host in (MONITOR, "gw-a", "gw-b"):
        stage.shell(host, "cp -a /etc/resolv.conf /run/resolv.before 2>/dev/null; rm -f /etc/resolv.conf; true")
        stage.undo("resolv.conf", lambda host=host: stage.shell(host, back))  # type: ignore[misc]
        stage.run(host, "tee", "/etc/resolv.conf", stdin="nameserver 192.0.2.53\n")
    stage.mark("no name server answers")
    stage.watch(3.0)
    stage.fault("blackout", "gw-a")
    stage.until_left("gw-a")
    asked = stage.shell(MONITOR, "timeout 2 getent hosts ec2.eu-central-1.amazonaws.com", check=False)
    stage.fact("the monitor's host resolves no name", not asked)


def _done(stage: Stage) -> list[dict[str, Any]]:
    """The swaps that EC2 has done in this row."""
    return [call for call in stage.calls("ReplaceRoute") if not call["error"]]


def _changed(stage: Stage, change: Any) -> str:
    """The monitor's configuration with a change."""
    config = yaml.safe_load(
        stage.run(MONITOR, "cat", f"{CONFIG}.matrix", check=False) or stage.run(MONITOR, "cat", CONFIG)
    )
    change(config)
    return str(yaml.safe_dump(config))


def _reload(stage: Stage, text: str) -> None:
    """Write another configuration, tell the monitor, and wait until it has read it; the old one is put back later."""

    def put_back() -> None:
        stage.shell(MONITOR, f"[ ! -e {CONFIG}.matrix ] || mv {CONFIG}.matrix {CONFIG}")
        stage.run(MONITOR, "systemctl", "reload", MONITOR_UNIT)

    before = stage.lookout.status()["config"]["checksum"]
    stage.shell(MONITOR, f"[ -e {CONFIG}.matrix ] || cp -a {CONFIG} {CONFIG}.matrix")
    stage.undo("the monitor's configuration", put_back)
    stage.inject("another configuration, SIGHUP")
    stage.run(MONITOR, "cp", "/dev/stdin", CONFIG, stdin=text)
    stage.run(MONITOR, "systemctl", "reload", MONITOR_UNIT)
    stage.until(lambda: stage.lookout.status()["config"]["checksum"] != before, 10.0, "the monitor has read it")
