# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A managed gateway seen by the monitor: its probes, what AWS says of it, and the real daemon that takes it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from monitor_world import World, deployment

from ansible_collections.vpnha.aws.plugins.module_utils.icmp import EchoReply, parse_reply
from ansible_collections.vpnha.aws.plugins.module_utils.managed_vpn import ManagedConnection, ManagedState
from ansible_collections.vpnha.aws.plugins.module_utils.managed_witness import witness
from ansible_collections.vpnha.aws.plugins.module_utils.model import ManagedGateway, ManagedProbe
from vpnha_monitor.config import MonitorConfig
from vpnha_monitor.managed import ManagedProbing

ADDRESS = "192.168.10.10"


# --- What AWS says -------------------------------------------------------------------------------------------------


def connection(state: ManagedState, number: int = 1) -> ManagedConnection:
    return ManagedConnection(f"vpn-{number}", "vgw-1", "cgw-1", state, "As it is.", (), "available")


UP, DEGRADED, SILENT = ManagedState.UP, ManagedState.DEGRADED, ManagedState.SILENT
DOWN, UNKNOWN = ManagedState.DOWN, ManagedState.UNKNOWN


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ((), "down"),
        ((UP,), "up"),
        ((DEGRADED,), "up"),
        ((DOWN,), "down"),
        ((SILENT,), "down"),
        ((UNKNOWN,), ""),
        ((DOWN, SILENT), "down"),
        ((DOWN, UP), "up"),
        ((DOWN, UNKNOWN), ""),
        ((UNKNOWN, DEGRADED), "up"),
    ],
)
def test_the_witness_says_down_only_of_all_connections(states: tuple[ManagedState, ...], word: str) -> None:
    said = witness(connection(state, number) for number, state in enumerate(states))
    assert said.word == word
    assert said.text.endswith(".")


# --- Probing -------------------------------------------------------------------------------------------------------


class Wire:
    """A socket whose packets a test answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.error = ""

    def send(self, destination: str, packet: bytes) -> str:
        self.sent.append((destination, packet))
        return self.error

    def reply(self, number: int = -1, sender: str = ADDRESS) -> EchoReply:
        """The answer to a packet that was sent."""
        answer = b"\x45" + bytes(19) + b"\x00" + self.sent[number][1][1:]  # an echo reply in an IPv4 packet
        parsed = parse_reply(answer)
        assert parsed is not None
        return replace(parsed, sender=sender)


def config(*sites: str, **timing: float) -> MonitorConfig:
    plan = deployment(**timing)
    probes = tuple(ManagedProbe(site, ADDRESS) for site in sites)
    managed = ManagedGateway("vgw", "vgw-1", "last_resort", probes=probes)
    return MonitorConfig(
        "mon-a", replace(plan, managed_gateways=(managed,)), ("k" * 40,), Path("/nowhere"), "127.0.0.1", 9784
    )


def play(probing: ManagedProbing, wire: Wire, seconds: float, *, answered: bool, now: float = 100.0) -> float:
    """Let a while pass; the time after it."""
    for _tick in range(round(seconds / 0.025)):
        now += 0.025
        before = len(wire.sent)
        probing.send(wire, Counter(), now)  # type: ignore[arg-type]
        if answered and len(wire.sent) > before:
            probing.on_reply(wire.reply(), now + 0.08)
    return now


def test_answers_and_their_round_trip_are_seen_and_so_is_silence() -> None:
    probing, wire = ManagedProbing(config("hq")), Wire()
    now = play(probing, wire, 4.0, answered=True)
    assert len(wire.sent) == 16, "four a second"
    seen = probing.evidence(now)["vgw"]["hq"]
    assert seen.loss.lost == 0
    assert seen.loss.window_full
    assert seen.rtt == pytest.approx(0.08)
    now = play(probing, wire, 3.5, answered=False, now=now)
    seen = probing.evidence(now)["vgw"]["hq"]
    assert seen.loss.silent
    assert seen.loss.last_answer_age is not None
    assert seen.loss.last_answer_age > 3.0


def test_nobody_elses_answer_counts() -> None:
    probing, wire = ManagedProbing(config("hq")), Wire()
    now = play(probing, wire, 0.3, answered=False)
    probing.on_reply(wire.reply(sender="192.168.10.11"), now)
    probing.on_reply(EchoReply(ADDRESS, b"forged!!", 1), now)
    assert probing.evidence(now)["vgw"]["hq"].loss.last_answer_age is None


def test_a_probe_that_cannot_be_sent_is_lost_and_counted() -> None:
    probing, wire, errors = ManagedProbing(config("hq")), Wire(), Counter[str]()
    wire.error = "EPERM"
    probing.send(wire, errors, 100.0)  # type: ignore[arg-type]
    assert errors == {"icmp EPERM": 1}


def test_a_reload_that_changes_nothing_keeps_what_was_seen() -> None:
    probing, wire = ManagedProbing(config("hq")), Wire()
    now = play(probing, wire, 4.0, answered=True)
    kept = ManagedProbing(config("hq"), probing)
    assert kept.evidence(now) == probing.evidence(now)
    fresh = ManagedProbing(config("hq", managed_window=9.0), probing)
    assert fresh.evidence(now)["vgw"]["hq"].loss.sent == 0
    assert ManagedProbing(config(), probing).evidence(now) == {}


def test_after_a_pause_of_the_monitor_nothing_old_counts() -> None:
    probing, wire = ManagedProbing(config("hq")), Wire()
    now = play(probing, wire, 4.0, answered=True)
    late = wire.reply()
    probing.restart()
    probing.on_reply(late, now)
    assert not probing.evidence(now)["vgw"]["hq"].loss.window_full


# --- The daemon ----------------------------------------------------------------------------------------------------


def hears_the_site(world: World) -> bool:
    status = world.status()
    return status is not None and status["managed_gateways"][0]["sites"][0]["verdict"] == "up"


def test_when_every_gateway_dies_the_daemon_takes_the_last_resort_and_leaves_it_again(world: World) -> None:
    world.take_managed_gateway()
    world.site(answers=True)
    world.traffic(world.zone_a, "gw-a")
    world.start()
    world.until(lambda: hears_the_site(world))
    time.sleep(1.0)
    for agent in world.agents.values():
        agent.die()
    world.until(lambda: world.targets() == {"vgw": 2})
    world.until(lambda: len(world.events("swap-accepted")) == 2)
    flows = "Traffic flows to hq from every zone; 2 of 2 routes are away from home"
    world.until(lambda: (world.status() or {})["sentence"].startswith(flows))
    status = world.status()
    assert status is not None
    [managed] = status["managed_gateways"]
    assert (managed["name"], managed["use"], managed["routes"]) == ("vgw", "last_resort", 2)
    assert managed["sites"][0]["probe"] == ADDRESS
    assert managed["sites"][0]["rtt_ms"] < 1000
    world.until(lambda: (world.status() or {})["managed_gateways"][0]["witness"] == "down")
    assert hears_the_site(world), "what AWS says alone makes nothing down"
    metrics = (world.get("/metrics") or (0, ""))[1]
    for line in (
        'vpnha_gateway_routes{gateway="vgw"} 2.0',
        'vpnha_path_verdict{gateway="vgw",site="hq",verdict="up"} 1.0',
        'vpnha_managed_witness{gateway="vgw",word="down"} 1.0',
        'vpnha_managed_reads_total{result="ok"} ',
        'vpnha_managed_loss_ratio{gateway="vgw",site="hq"} 0.0',
    ):
        assert line in metrics
    shown = world.vpnha("status").stdout
    assert "managed gateway" in shown
    assert "(through vgw)" in shown

    for agent in world.agents.values():
        agent.start()
    world.until(lambda: world.targets() == {"gw-a": 1, "gw-b": 1})
    assert world.events("failback")
    assert not world.events("not-carrying", "invariant-violated")


def test_a_person_may_move_routes_to_it(world: World) -> None:
    world.take_managed_gateway()
    world.site(answers=True)
    world.start()
    world.until(lambda: hears_the_site(world))
    moved = world.vpnha("failover", "--to", "vgw", "--minutes", "5")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert world.targets() == {"vgw": 2}
    assert world.vpnha("failback").returncode == 0
    assert world.targets() == {"gw-a": 1, "gw-b": 1}


def test_what_aws_says_cannot_be_read_and_nothing_else_suffers(world: World) -> None:
    world.site(answers=True)
    world.start()
    world.take_managed_gateway()
    world.deployment = replace(
        world.deployment, timing=replace(world.deployment.timing, managed_read=10.0, managed_window=1.5)
    )
    world.proxy.errors["DescribeVpnConnections"] = "UnauthorizedOperation"
    world.configure()
    assert world.process is not None
    world.process.send_signal(1)  # SIGHUP
    world.until(lambda: world.events("config-reloaded") and hears_the_site(world))
    world.until(lambda: 'vpnha_managed_reads_total{result="failed"}' in (world.get("/metrics") or (0, ""))[1])
    for agent in world.agents.values():
        agent.die()
    world.until(lambda: world.targets() == {"vgw": 2})
