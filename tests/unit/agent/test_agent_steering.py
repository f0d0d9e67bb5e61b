# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steering FRR: the words for it, and a vtysh that writes down what it is told and answers like FRR 10.3."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from agent_world import AWAY, NEVER, PEER, RUNNING, report, stats

from ansible_collections.vpnha.aws.plugins.module_utils import handover
from ansible_collections.vpnha.aws.plugins.module_utils.model import LossStats
from vpnha_agent import frr
from vpnha_agent.agent import Agent
from vpnha_agent.config import AgentConfig
from vpnha_agent.dataplane import FILTER_MISSING, FORWARDING_OFF
from vpnha_agent.service import BoundedLog
from vpnha_agent.steering import (
    CONFIRM_SECONDS,
    DEAD_HEAL_SECONDS,
    GREY_HEAL_SECONDS,
    GREY_SECONDS,
    RETRY_SECONDS,
    Steering,
)

LEFT_BEHIND = AWAY.replace(" bgp router-id", " bgp graceful-shutdown\n bgp router-id")
VTYSH = """\
#!/bin/sh
printf '%s\\n' "$*" >> "$VTYSH_DIR/calls"
[ ! -e "$VTYSH_DIR/gone" ] || { echo 'Exiting: failed to connect to any daemons.' >&2; exit 1; }
case "$*" in *running-config*) cat "$VTYSH_DIR/running" ;; esac
"""


class Vtysh:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.running(RUNNING)

    def running(self, text: str) -> None:
        (self._directory / "running").write_text(text)

    def gone(self, gone: bool) -> None:
        (self._directory / "gone").touch() if gone else (self._directory / "gone").unlink()

    def told(self) -> list[str]:
        """What it was told since the last time, without what only reads."""
        path = self._directory / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if "running-config" not in line]


@pytest.fixture
def vtysh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vtysh:
    program = tmp_path / "vtysh"
    program.write_text(VTYSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("VTYSH_DIR", str(tmp_path))
    return Vtysh(tmp_path)


def update(steering: Steering, now: float, loss: float = 0.0, plant_silent: bool = False) -> None:
    plant = report("plant-gw-a", stats(age=0.5, silent=True) if plant_silent else stats())
    asyncio.run(steering.update([report("hq-gw-a", stats(loss=loss)), plant], now))


def lossy_since(steering: Steering, start: float) -> None:
    """Let the first tunnel lose packets until it has become the last choice."""
    update(steering, start, loss=0.5)
    update(steering, start + GREY_SECONDS, loss=0.5)


def test_what_an_earlier_agent_left_behind_is_undone_at_the_start(config: AgentConfig, vtysh: Vtysh) -> None:
    vtysh.running(LEFT_BEHIND)
    update(Steering(config, BoundedLog()), 0.0)
    told = vtysh.told()
    assert any(
        f"neighbor {PEER} route-map TO-SITES out -c neighbor {PEER} route-map FROM-hq in" in line for line in told
    )
    assert any("no bgp graceful-shutdown" in line for line in told)
    assert any("ip route 192.168.20.0/24 169.254.20.2 vpnha20 tag 7784" in line for line in told)


PLANT = "ip route 192.168.20.0/24 169.254.20.2 vpnha20"


def observe(steering: Steering, now: float, *, hq: LossStats | None = None, plant: LossStats | None = None) -> None:
    """With targets that say nothing."""
    reports = [report("hq-gw-a", hq, target=NEVER), report("plant-gw-a", plant, target=NEVER, bgp="static")]
    asyncio.run(steering.update(reports, now))


def test_what_an_earlier_agent_saw_dead_stays_the_last_choice_until_there_are_answers(
    config: AgentConfig, vtysh: Vtysh
) -> None:
    vtysh.running(f"{PLANT} 221\n{RUNNING}")
    steering = Steering(config, BoundedLog())
    for now in range(60):
        observe(steering, float(now), plant=NEVER)
    assert not any(f"{PLANT} tag" in line for line in vtysh.told())
    for now in (60.0, 60.0 + DEAD_HEAL_SECONDS):
        observe(steering, now)
    assert any(f"{PLANT} tag 7784" in line for line in vtysh.told())


def test_what_an_earlier_agent_saw_lossy_waits_for_a_window_free_of_loss(config: AgentConfig, vtysh: Vtysh) -> None:
    vtysh.running(AWAY)
    steering = Steering(config, BoundedLog())
    observe(steering, 0.0, hq=replace(stats(), slow_full=False))
    assert steering.away == {"hq-gw-a"}
    assert not any("TO-SITES" in line for line in vtysh.told())
    observe(steering, 10.0)
    assert any(f"neighbor {PEER} route-map TO-SITES out" in line for line in vtysh.told())


def test_what_was_handed_over_comes_back_at_the_start_without_answers(config: AgentConfig, vtysh: Vtysh) -> None:
    """Nobody may ever answer there, and there was no sign that it was dead: an upgrade's turn hands over first."""
    vtysh.running(f"{PLANT} 220\n{LEFT_BEHIND}")
    observe(Steering(config, BoundedLog()), 0.0, hq=NEVER, plant=NEVER)
    told = vtysh.told()
    assert any(f"{PLANT} tag 7784" in line for line in told)
    assert any(f"neighbor {PEER} route-map TO-SITES out" in line for line in told)


def test_under_a_request_what_was_seen_dead_comes_after_what_is_handed_over(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    steering.hand_over("100.0")
    update(steering, 0.0)
    assert any(f"{PLANT} 220" in line for line in vtysh.told())
    update(steering, 0.1, plant_silent=True)
    assert any(f"{PLANT} 221" in line for line in vtysh.told())


def test_what_was_left_behind_is_asked_for_again_when_frr_did_not_answer(config: AgentConfig, vtysh: Vtysh) -> None:
    vtysh.running(f"{PLANT} 221\n{RUNNING}")
    steering = Steering(config, BoundedLog())
    vtysh.gone(True)
    observe(steering, 0.0, plant=NEVER)
    vtysh.gone(False)
    observe(steering, RETRY_SECONDS, plant=NEVER)
    told = vtysh.told()
    assert any(f"{PLANT} 221" in line for line in told) and not any(f"{PLANT} tag" in line for line in told)


@pytest.mark.parametrize("done", [AWAY.replace(frr.AWAY_IN, ""), AWAY.replace(frr.AWAY_OUT, "")])
def test_what_was_made_the_last_choice_one_way_only_is_completed(config: AgentConfig, vtysh: Vtysh, done: str) -> None:
    """vtysh takes its commands one by one, and may be killed between them."""
    steering = Steering(config, BoundedLog())
    lossy_since(steering, 20.0 - GREY_SECONDS)
    vtysh.told()
    vtysh.running(done)
    update(steering, 20.0 + CONFIRM_SECONDS, loss=0.5)
    told = "\n".join(vtysh.told())
    assert f"neighbor {PEER} route-map {frr.AWAY_OUT}TO-SITES out" in told
    assert f"neighbor {PEER} route-map {frr.AWAY_IN}FROM-hq in" in told


def test_at_rest_nothing_is_told(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    update(steering, 0.0)
    vtysh.told()
    for now in range(1, 60):
        update(steering, float(now))
    assert vtysh.told() == []


def test_a_lossy_tunnel_becomes_the_last_choice_and_comes_back(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    update(steering, 0.0)
    vtysh.told()
    lossy_since(steering, 20.0 - GREY_SECONDS)
    told = vtysh.told()
    assert any(
        "call TO-SITES" in line
        and "set as-path prepend 64512 64512 64512 64512" in line
        and "set community graceful-shutdown additive" in line
        and f"neighbor {PEER} route-map {frr.AWAY_OUT}TO-SITES out" in line
        and "call FROM-hq" in line
        and "set local-preference 50" in line
        and f"neighbor {PEER} route-map {frr.AWAY_IN}FROM-hq in" in line
        for line in told
    )
    assert not any(f"{PLANT} 22" in line for line in told)  # the other tunnel is well
    vtysh.running(AWAY)
    update(steering, 20.5)
    assert vtysh.told() == []
    update(steering, 21.0 + GREY_HEAL_SECONDS)
    assert any(f"neighbor {PEER} route-map TO-SITES out" in line for line in vtysh.told())


def test_what_is_away_is_told_again_when_frr_forgot_it(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    lossy_since(steering, 20.0 - GREY_SECONDS)
    vtysh.told()
    vtysh.running(RUNNING)  # FRR was restarted
    update(steering, 20.0 + CONFIRM_SECONDS, loss=0.5)
    assert any(f"{frr.AWAY_OUT}TO-SITES out" in line for line in vtysh.told())


def test_without_frr_it_is_tried_again_with_patience(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    vtysh.gone(True)
    for step in range(int(RETRY_SECONDS * 4)):
        update(steering, step / 4)
    vtysh.gone(False)
    update(steering, RETRY_SECONDS)
    assert any("ip route 192.168.20.0/24" in line for line in vtysh.told())


def test_a_dead_static_tunnels_route_steps_behind_the_neighbours(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    update(steering, 0.0)
    vtysh.told()
    update(steering, 1.0, plant_silent=True)
    assert "ip route 192.168.20.0/24 169.254.20.2 vpnha20 221" in vtysh.told()[0]  # at once: nobody else sees to it


def test_a_static_route_does_not_wait_for_a_lossy_tunnel_of_bgp(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    lossy_since(steering, 20.0 - GREY_SECONDS)
    vtysh.told()
    update(steering, 20.5, loss=0.5, plant_silent=True)
    told = vtysh.told()
    assert "ip route 192.168.20.0/24 169.254.20.2 vpnha20 221" in told[0]
    assert any(f"{frr.AWAY_OUT}TO-SITES out" in line for line in told[1:])


def test_draining_sends_everything_another_way_and_steers_no_more(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    asyncio.run(steering.drain())
    told = "\n".join(vtysh.told())
    assert f"neighbor {PEER} route-map {frr.AWAY_OUT}TO-SITES out" in told
    assert "-c router bgp 64512 -c bgp graceful-shutdown" in told
    assert "ip route 192.168.20.0/24 169.254.20.2 vpnha20 220" in told
    update(steering, 100.0)
    assert vtysh.told() == []


def test_on_request_all_tunnels_are_the_last_choice_and_come_back(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    update(steering, 0.0)
    vtysh.told()
    steering.hand_over("100.0")
    update(steering, 0.1)
    told = "\n".join(vtysh.told())
    assert f"neighbor {PEER} route-map {frr.AWAY_OUT}TO-SITES out" in told
    assert "ip route 192.168.20.0/24 169.254.20.2 vpnha20 220" in told
    vtysh.running(AWAY)
    update(steering, 0.2)
    assert vtysh.told() == []
    steering.hand_over("")
    update(steering, 0.3)
    told = "\n".join(vtysh.told())
    assert f"neighbor {PEER} route-map TO-SITES out" in told
    assert "ip route 192.168.20.0/24 169.254.20.2 vpnha20 tag 7784" in told


def test_another_request_has_frr_told_again_at_once(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    steering.hand_over("100.0")
    update(steering, 0.0)
    vtysh.told()
    vtysh.running(RUNNING)  # FRR was reloaded, and its file knows nothing of it
    steering.hand_over("101.0")
    update(steering, 0.1)
    assert any(f"{frr.AWAY_OUT}TO-SITES out" in line for line in vtysh.told())


def test_an_agent_that_starts_while_there_is_a_request_takes_nothing_back(config: AgentConfig, vtysh: Vtysh) -> None:
    vtysh.running(AWAY)
    steering = Steering(config, BoundedLog())
    steering.hand_over("100.0")
    update(steering, 0.0)
    told = "\n".join(vtysh.told())
    assert "route-map TO-SITES out" not in told and "tag 7784" not in told


def test_what_is_lossy_stays_the_last_choice_after_a_request(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    lossy_since(steering, 20.0 - GREY_SECONDS)
    steering.hand_over("100.0")
    update(steering, 20.1, loss=0.5)
    steering.hand_over("")
    vtysh.running(AWAY)
    vtysh.told()
    update(steering, 20.2, loss=0.5)
    assert steering.away == {"hq-gw-a"}
    assert not any(f"neighbor {PEER} route-map TO-SITES out" in line for line in vtysh.told())


def test_a_request_is_told_in_the_reports_while_it_is_in_force(
    config: AgentConfig, vtysh: Vtysh, nft: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    nft(0)
    requests = iter(["", "100.0", ""])
    monkeypatch.setattr(handover, "requested", lambda: next(requests))
    agent = Agent(config)

    async def reported() -> list[bool]:
        found = []
        for _ in range(4):
            await agent._tick()
            assert agent._report is not None
            found.append(agent._report.handed_over)
            if len(found) < 4:
                await agent._steer()
        return found

    assert asyncio.run(reported()) == [False, False, True, False]
    assert any(frr.AWAY_OUT in line for line in vtysh.told())


def test_who_forwards_nothing_has_the_sites_send_through_the_neighbours(
    config: AgentConfig, vtysh: Vtysh, nft: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    nft(0)
    monkeypatch.setattr(handover, "requested", lambda: "")
    agent, found = Agent(config), []

    async def act() -> None:
        for wrong in (FILTER_MISSING, FORWARDING_OFF, ""):
            monkeypatch.setattr(agent._dataplane, "wrong", lambda _now, word=wrong: word)
            await agent._tick()
            await agent._steer()
            assert agent._report is not None
            found.append((agent._report.dataplane, agent._report.handed_over, agent._steering.away != set()))

    asyncio.run(act())
    assert found == [(FILTER_MISSING, False, False), (FORWARDING_OFF, False, True), ("", False, False)]
    assert any(frr.AWAY_OUT in line for line in vtysh.told())


def test_why_vtysh_could_not_is_told(vtysh: Vtysh) -> None:
    vtysh.gone(True)
    with pytest.raises(frr.FrrError, match=r"'show version': .*failed to connect"):
        asyncio.run(frr.vtysh("show version"))


def test_what_frr_does_not_have_yet_is_looked_at_again_soon(config: AgentConfig, vtysh: Vtysh) -> None:
    steering = Steering(config, BoundedLog())
    lossy_since(steering, 100.0)
    vtysh.running("router bgp 64512\nexit\n")  # it was restarted, and reads its file
    vtysh.told()
    update(steering, 200.0, loss=0.2)
    assert not any("neighbor" in line for line in vtysh.told())
    vtysh.running(RUNNING)
    update(steering, 200.0 + RETRY_SECONDS, loss=0.2)
    assert any(f"neighbor {PEER} route-map {frr.AWAY_OUT}TO-SITES out" in line for line in vtysh.told())
