# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent makes of what it has observed and looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.icmp import EchoReply
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from ansible_collections.vpnha.aws.plugins.module_utils.report_wire import from_wire, to_wire
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_probe import EchoStream
from ansible_collections.vpnha.aws.plugins.module_utils.vici_health import SaTracker, TunnelSas
from vpnha_agent.agent import COUNTER_SECONDS, FRR_SECONDS, Agent
from vpnha_agent.config import AgentConfig
from vpnha_agent.looked_up import TURNS

T = TypeVar("T")


def at(act: Callable[[float], T]) -> T:
    """What comes of it on a loop, which is told its time."""

    async def run() -> T:
        return act(asyncio.get_running_loop().time())

    return asyncio.run(run())


def probed(stream: EchoStream, now: float, answered: bool) -> None:
    """Two seconds of probes up to now."""
    for step in range(40, 0, -1):
        stream.next_packet(now - step / 20)
        if answered:
            stream.on_reply(EchoReply(stream.target, stream.token, stream._seq), now - step / 20 + 0.01)


def test_a_tunnel_carries_by_the_sites_answers_as_well(config: AgentConfig) -> None:
    def carrying(peers: bool, targets: bool) -> bool:
        def act(now: float) -> bool:
            agent = Agent(config)
            for probe in agent._probes.values():
                probed(probe.peer, now, peers)
                for stream in probe.targets:
                    probed(stream, now, targets)
            return agent._carrying()

        return at(act)

    assert carrying(peers=True, targets=False)
    assert carrying(peers=False, targets=True)
    assert not carrying(peers=False, targets=False)


def test_a_tunnel_that_is_observed_afresh_may_carry(config: AgentConfig) -> None:
    def act(now: float) -> bool:
        agent = Agent(config)
        for probe in agent._probes.values():
            probed(probe.peer, now, True)
            probe.restart()
            probe.peer.next_packet(now)
        return agent._carrying()

    assert at(act)


def test_the_tunnels_sas_are_put_together_once_a_tick(config: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    tunnels = SaTracker.tunnels

    def counted(tracker: SaTracker) -> dict[str, TunnelSas]:
        asked.append(tracker)
        return tunnels(tracker)

    monkeypatch.setattr(SaTracker, "tunnels", counted)
    at(Agent(config)._publish)
    assert len(asked) == 1


def test_what_was_looked_up_too_long_ago_is_not_told(config: AgentConfig) -> None:
    """A turn may hang while the heartbeats go on."""

    def act(now: float) -> list[AgentReport]:
        agent = Agent(config)
        [mesh] = agent._mesh.values()
        agent._bgp.take({"169.254.10.2": "established", mesh: "down"})
        agent._paths.take({"hq": "tunnel"})
        agent._dataplane._counters.take({"eu-central-1a": 7})
        found = []
        for age in (0.1, TURNS * COUNTER_SECONDS + 0.2, TURNS * FRR_SECONDS + 0.2):
            agent._publish(now + age)
            assert agent._report is not None
            found.append(agent._report)
        return found

    fresh, older, stale = at(act)
    assert (fresh.tunnels["hq-gw-a"].bgp, fresh.paths, fresh.counters) == (
        "established",
        {"hq": "tunnel"},
        {"eu-central-1a": 7},
    )
    assert (older.tunnels["hq-gw-a"].bgp, older.paths, older.counters) == ("established", {"hq": "tunnel"}, {})
    assert (stale.tunnels["hq-gw-a"].bgp, stale.paths, stale.counters) == ("unknown", {}, {})
    assert stale.tunnels["plant-gw-a"].bgp == "static"
    assert from_wire(to_wire(stale)).paths == {}
    assert from_wire(to_wire(fresh)).mesh_down == fresh.mesh_down == ("gw-b",)
    assert from_wire(to_wire(stale)).mesh_down == ()
