# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real daemon as a process, with agents that speak the real protocol and moto as EC2: failure scenarios."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import yaml
from monitor_world import World, deployment

from ansible_collections.vpnha.aws.plugins.module_utils.model import Monitor
from vpnha_monitor.config import MonitorConfig, load, refuse_reload

PAST_THE_WINDOW = 1.0  # s after the monitor hears everybody, in which it only observes


def running(world: World, **environment: str) -> None:
    """A monitor that may act."""
    world.start(**environment)
    time.sleep(PAST_THE_WINDOW)


def test_gateway_dies_and_comes_back(world: World) -> None:
    """Its routes leave within the window, packets are seen on the other gateway, and it gets them back."""
    running(world)
    before, after = world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    world.until(lambda: world.events("swap-accepted"))
    issued = world.events("swap-issued")[0]
    assert issued.subject == f"{world.tables[world.zone_a]} 192.168.10.0/24"
    assert issued.evidence["reason"] == "gateway-silent"
    # the machine's own lateness is no fault of the monitor's, and is allowed for
    lag = world.status()["loop_lag"]
    assert before + 0.4 < issued.mono < after + 0.5 + 0.15 + lag
    codes = [event.code for event in world.events("gateway-silent", "failover", "swap-accepted")]
    assert sorted(codes) == ["failover", "gateway-silent", "swap-accepted"]
    assert world.target(world.zone_b) == "gw-b"

    world.agents["gw-a"].start()
    world.until(lambda: world.target(world.zone_a) == "gw-a")
    world.until(lambda: world.status()["away"] == [])
    assert world.events("failback")
    assert world.status()["sentence"].startswith("Traffic flows to hq from every zone, and every route is at home")


def test_swapped_route_is_seen_to_carry(world: World) -> None:
    """The gateway that took over counts the zone's packets: told. One that counts none is told as well."""
    world.traffic(world.zone_a, "gw-a")
    running(world)
    world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    world.traffic(world.zone_a, "gw-b")
    world.until(lambda: world.events("carrying"))
    assert world.events("carrying")[0].evidence == {"gateway": "gw-b", "carrying": True}
    assert not world.events("not-carrying")


def test_swapped_route_that_carries_nothing_is_told(world: World) -> None:
    """EC2 says yes, and the packets go nowhere."""
    world.traffic(world.zone_a, "gw-a")
    running(world)
    world.agents["gw-a"].die()
    world.until(lambda: world.events("not-carrying"))
    assert world.target(world.zone_a) == "gw-b"


def test_killed_monitor_finds_its_way(world: World) -> None:
    """Killed without warning; meanwhile a gateway is stopped. The next monitor knows from EC2 what is to be done."""
    running(world)
    world.kill()
    world.stop_instance("gw-a")
    assert world.target(world.zone_a) == "gw-a"
    world.start(wait=False)
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    world.until(lambda: world.events("swap-accepted"))
    assert world.events("gateway-stopped")


def test_a_killed_monitor_has_its_moves_counted(world: World) -> None:
    """What it moved voluntarily stands in the journal: a restart is no way around the limit of an hour."""
    world.deployment = replace(world.deployment, timing=replace(world.deployment.timing, voluntary_moves_per_hour=1))
    world.configure()
    world.point(world.zone_a, "gw-b")
    running(world)
    world.until(lambda: world.target(world.zone_a) == "gw-a" and world.events("swap-accepted"))
    world.kill()
    world.point(world.zone_a, "gw-b")
    world.start()
    world.until(lambda: world.events("moves-limited"))
    assert world.target(world.zone_a) == "gw-b"


def test_never_heard_gateway_is_left_alone(world: World) -> None:
    """A gateway that was silent from the start may be the monitor's fault: nothing is swapped on that alone."""
    world.agents["gw-a"].die()
    world.start(wait=False)
    world.until(lambda: world.events("gateway-unheard"))
    time.sleep(1.0)
    assert world.target(world.zone_a) == "gw-a"
    assert not world.events("swap-issued")


def test_paused_process_swaps_nothing(world: World) -> None:
    """Stopped for two seconds: the silence in it was the monitor's own."""
    process = running(world) or world.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.0)
    process.send_signal(signal.SIGCONT)
    world.until(lambda: world.events("monitor-sick"))
    time.sleep(1.5)
    assert not world.events("swap-issued", "gateway-silent")
    # and it works on
    world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b")


def test_term_during_a_swap(world: World) -> None:
    """The call in flight ends and is told; no other is begun."""
    running(world)
    world.proxy.delays["ReplaceRoute"] = 1.5
    world.agents["gw-a"].die()
    world.until(lambda: world.proxy.begun["ReplaceRoute"] == 1)
    assert world.process is not None
    world.process.send_signal(signal.SIGTERM)
    assert world.process.wait(20) == 0
    assert world.proxy.ended["ReplaceRoute"] == 1
    assert world.target(world.zone_a) == "gw-b"
    assert [event.code for event in world.events("daemon-stopping", "swap-accepted")] == [
        "daemon-stopping",
        "swap-accepted",
    ]


def test_throttled_swaps_converge(world: World) -> None:
    """EC2 refuses for a while: a bounded number of calls, and in the end the route moves."""
    running(world)
    world.proxy.errors["ReplaceRoute"] = "RequestLimitExceeded"
    world.agents["gw-a"].die()
    world.until(lambda: world.events("swap-throttled"))
    time.sleep(1.0)
    assert world.proxy.begun["ReplaceRoute"] <= 4
    del world.proxy.errors["ReplaceRoute"]
    world.until(lambda: world.target(world.zone_a) == "gw-b")


def test_unreadable_ec2_does_not_stop_a_failover(world: World) -> None:
    """Reading fails, swapping works: probes decide."""
    running(world)
    world.proxy.errors |= dict.fromkeys(("DescribeInstances", "DescribeInstanceStatus"), "InternalError")
    world.until(lambda: (world.status() or {}).get("ec2", {}).get("error"))
    world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    assert "reading the instances" in world.status()["ec2"]["error"]


def test_failover_without_a_journal(world: World) -> None:
    """Where the journal cannot be written, routes move all the same, and the trouble is told."""
    world.configure(journal=str(world.directory / "nowhere" / "journal.sqlite"))
    running(world)
    status = world.status()
    assert status["journal"]["failing"]
    assert "journal-failed" in [event["code"] for event in status["events"]]
    world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b")


def test_full_disk_under_the_journal(world: World) -> None:
    """`vpnha status` says it in one sentence, and routes move all the same."""
    small = world.directory / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "vpnha-test", small], check=True)
    try:
        (small / "ballast").write_bytes(bytes(12 * 1024))
        world.configure(journal=str(small / "journal.sqlite"))
        running(world)
        world.until(lambda: world.status()["journal"]["failing"])
        said = world.vpnha("status")
        assert said.returncode == 0
        assert said.stdout.count(f"The journal {small / 'journal.sqlite'} cannot be written") == 1, said
        assert "full" in said.stdout and "failover works without it" in said.stdout, said
        assert "Traceback" not in said.stdout + said.stderr + world.log.read_text()
        world.agents["gw-a"].die()
        world.until(lambda: world.target(world.zone_a) == "gw-b")
    finally:
        world.kill()
        subprocess.run(["umount", small], check=True)


def test_corrupt_journal_is_put_aside(world: World) -> None:
    """A broken file is kept under another name, and a new one begun."""
    world.journal.write_bytes(b"this is no database" * 1000)
    world.start()
    world.until(lambda: world.events("journal-failed"))
    (aside,) = world.directory.glob("journal.sqlite.corrupt-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert world.events("daemon-started")


def test_forged_packets_are_counted_and_ignored(world: World) -> None:
    """Random, truncated and forged packets change nothing, and are told once."""
    running(world)
    before = world.status()
    world.agents["gw-a"].forge([os.urandom(size) for size in range(47)])
    world.until(lambda: world.events("heartbeats-rejected"))
    after = world.status()
    assert sum(after["refused"].values()) - sum(before["refused"].values()) >= 46  # an empty one may not count
    assert [gateway["verdict"] for gateway in after["gateways"]] == ["up", "up"]
    assert not world.events("swap-issued")
    assert len(world.events("heartbeats-rejected")) == 1


def test_reload(world: World) -> None:
    """A good configuration is taken; a broken one, and one without a gateway in use, is refused with its reason."""
    running(world)
    assert world.process is not None
    good = world.config.read_text(encoding="utf-8")

    world.config.write_text("monitor: [mon-a\n", encoding="utf-8")
    world.process.send_signal(signal.SIGHUP)
    world.until(lambda: world.events("config-refused"))
    assert "line 2" in world.status()["config"]["error"]

    value = yaml.safe_load(good)
    value["deployment"]["gateways"] = value["deployment"]["gateways"][1:]
    value["deployment"]["tunnels"] = value["deployment"]["tunnels"][1:]
    world.configure(deployment=value["deployment"])
    world.process.send_signal(signal.SIGHUP)
    world.until(lambda: "gw-a still carries 1 routes" in world.status()["config"]["error"])
    assert len(world.status()["gateways"]) == 2
    assert world.status()["process"] == {"release": "files", "unit": "", "listen": "127.0.0.1:9784"}

    world.config.write_text(good, encoding="utf-8")
    world.process.send_signal(signal.SIGHUP)
    world.until(lambda: world.events("config-reloaded"))
    assert world.status()["config"] == {"checksum": load(world.config).checksum, "error": "", "reading": False}
    assert [event.resolved for event in world.events("config-refused")] == [False, False, True]
    world.agents["gw-a"].die()
    world.until(lambda: world.target(world.zone_a) == "gw-b")


def test_the_endpoint_of_several_monitors_changes_with_a_restart_only() -> None:
    """The lease of one and the same deployment must not be held in two stores; a single monitor has none."""
    monitors = tuple(Monitor(f"mon-{letter}", f"zone-{letter}", f"10.77.1.1{letter}") for letter in "12")
    plan = replace(deployment(), monitors=monitors[:1])
    old = MonitorConfig("mon-1", plan, (), Path("journal.db"), "127.0.0.1", 9411)
    assert refuse_reload(old, replace(old, endpoint_url="http://127.0.0.1:1")) == []
    old = replace(old, deployment=replace(plan, monitors=monitors))
    (told,) = refuse_reload(old, replace(old, endpoint_url="http://127.0.0.1:1"))
    assert told == "endpoint_url changes from AWS: with several monitors, restart them for that."


def test_pages(world: World) -> None:
    """Health, metrics and status, while all is well and while EC2 cannot be read."""
    running(world)
    code, text = world.get("/healthz") or (0, "")
    assert code == 200 and '"healthy": true' in text
    code, metrics = world.get("/metrics") or (0, "")
    assert code == 200
    for line in (
        'vpnha_gateway_verdict{gateway="gw-a",verdict="up"} 1.0',
        'vpnha_gateway_routes{gateway="gw-a"} 1.0',
        'vpnha_tunnel_verdict{tunnel="hq-gw-a",verdict="up"} 1.0',
        "vpnha_routes_away_from_home 0.0",
        "vpnha_loop_alive 1.0",
    ):
        assert line in metrics
    assert (world.get("/nothing") or (0, ""))[0] == 404


def test_port_in_use(world: World) -> None:
    """One sentence, no traceback."""
    world.start()
    first = world.process
    try:
        second = world.start(wait=False)
        assert second.wait(20) == 1
        assert "Cannot listen on 127.0.0.1:9784" in world.log.read_text()
        assert "Traceback" not in world.log.read_text()
    finally:
        world.process = first


def repairing(world: World) -> None:
    """A monitor that repairs after five seconds."""
    timing = replace(world.deployment.timing, repair_after=5.0, repair_interval=300.0)
    world.deployment = replace(world.deployment, repair="restart", timing=timing)
    world.configure()
    running(world)


def test_stopped_gateway_is_started_and_gets_its_routes_back(world: World) -> None:
    """Somebody stops its instance: the tag is written, the instance is started, and its routes go home."""
    repairing(world)
    world.stop_instance("gw-a")
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    world.until(lambda: world.state("gw-a") == "running")
    world.until(lambda: world.events("repair-accepted"))
    issued, accepted = world.events("repair-issued", "repair-accepted")
    assert (issued.code, issued.subject, issued.evidence["rung"]) == ("repair-issued", "gw-a", "start")
    assert accepted.mono > issued.mono > world.events("swap-accepted")[0].mono
    assert world.repair_tag("gw-a").startswith("rung=start steps=")
    status = world.status()
    assert status is not None
    (told,) = status["repairs"]
    assert (told["gateway"], told["under_way"], told["steps"], told["steps_allowed"]) == ("gw-a", True, 1, 3)
    shown = world.vpnha("status").stdout
    assert "Repair of gw-a: under way, 1 of 3 steps of this day used (last: start," in shown
    metrics = (world.get("/metrics") or (0, ""))[1]
    assert 'vpnha_repair_under_way{gateway="gw-a"} 1.0' in metrics
    assert 'vpnha_repairs_total{result="accepted",rung="start"} 1.0' in metrics
    world.until(lambda: world.events("repair-under-way"))
    world.agents["gw-a"].start()
    world.until(lambda: world.target(world.zone_a) == "gw-a")
    world.until(lambda: [event for event in world.events("repair-under-way") if event.resolved])
    assert len(world.events("repair-issued")) == 1 and world.proxy.begun["StartInstances"] == 1


def test_monitor_killed_between_the_tag_and_the_call_spends_one_step(world: World) -> None:
    """The next monitor carries the step out that the tag tells of; it begins no second one."""
    world.proxy.errors["StartInstances"] = "ServiceUnavailable"
    repairing(world)
    world.stop_instance("gw-a")
    world.until(lambda: world.proxy.begun["StartInstances"] == 1)
    world.kill()
    tag = world.repair_tag("gw-a")
    assert tag.startswith("rung=start steps=") and world.state("gw-a") == "stopped"
    world.proxy.errors.clear()
    world.start(wait=False)
    world.until(lambda: world.state("gw-a") == "running")
    assert world.repair_tag("gw-a") == tag
