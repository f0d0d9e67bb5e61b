# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that somebody flushed, and forwarding that is off: seen by the agent, and the former mended by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from agent_world import DEPLOYMENT

from vpnha_agent import dataplane
from vpnha_agent.config import AgentConfig
from vpnha_agent.counters import FilterMissing, ZoneCounters
from vpnha_agent.dataplane import FILTER_MISSING, FORWARDING_OFF, UNIT, DataPlane
from vpnha_agent.service import BoundedLog


class Kernel:
    """What the kernel says, a systemctl that loads the filter if it can, and a clock."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory, self.table = directory, directory / "table"
        self.now, self.forwards = 100.0, {4: "1\n", 6: "1\n"}
        self.table.touch()
        self.systemctl(f"touch {self.table}")
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
        monkeypatch.setattr(ZoneCounters, "read", lambda _self: self._read())
        paths = {version: directory / str(version) for version in (4, 6)}
        monkeypatch.setattr(dataplane, "_FORWARDING", paths)

    def systemctl(self, does: str) -> None:
        program = self._directory / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$*" >> {self._directory}/calls\n{does}\n')
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        path = self._directory / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def _read(self) -> dict[str, int]:
        if not self.table.exists():
            raise FilterMissing("there is no counter")
        return {"zone-a": 7}

    def looks(self, config: AgentConfig, seconds: float, then: Callable[[DataPlane, float], None]) -> None:
        """Looks for so long, and has what is known then looked at."""
        for version, text in self.forwards.items():
            (self._directory / str(version)).write_text(text)

        async def act() -> None:
            loop = asyncio.get_running_loop()
            loop.time = lambda: self.now  # type: ignore[method-assign]
            seen = DataPlane(config, BoundedLog())
            until = self.now + seconds
            while True:
                await seen.look()
                if self.now >= until:
                    break
                self.now += dataplane.COUNTER_SECONDS
            then(seen, self.now)

        asyncio.run(act())


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path, monkeypatch)


def knows(word: str) -> Callable[[DataPlane, float], None]:
    def check(seen: DataPlane, now: float) -> None:
        assert seen.wrong(now) == word
        assert seen.wrong(now + 10.0) == "", "what hangs is no news"

    return check


def test_nothing_is_done_while_all_is_well(kernel: Kernel, config: AgentConfig) -> None:
    kernel.looks(config, 5.0, knows(""))
    assert kernel.calls == []


def test_a_filter_that_is_gone_is_loaded_again_and_once(
    kernel: Kernel, config: AgentConfig, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.table.unlink()
    kernel.looks(config, 0.0, knows(FILTER_MISSING))
    assert kernel.calls == [], "it may just be written"
    kernel.looks(config, 3.0, knows(""))
    assert kernel.calls == [f"reload-or-restart {UNIT}"]
    assert "was gone, as after `nft flush ruleset`: it was loaded again" in caplog.text


def test_a_filter_that_cannot_be_loaded_is_tried_ever_more_rarely(
    kernel: Kernel, config: AgentConfig, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.table.unlink()
    kernel.systemctl("echo broken >&2; exit 1")
    kernel.looks(config, 60.0, knows(FILTER_MISSING))
    assert len(kernel.calls) == 3
    assert "it cannot be loaded: broken" in caplog.text


def test_forwarding_that_is_off_is_said_before_anything_else(kernel: Kernel, config: AgentConfig) -> None:
    kernel.forwards[4] = "0\n"
    kernel.looks(config, 0.0, knows(""))  # once may be a moment
    kernel.table.unlink()
    kernel.systemctl("exit 1")
    kernel.looks(config, 1.0, knows(FORWARDING_OFF))


def test_only_the_versions_that_sites_have_count(kernel: Kernel, config: AgentConfig) -> None:
    kernel.forwards[6] = "0\n"
    kernel.looks(config, 1.0, knows(""))
    site = replace(DEPLOYMENT.sites[0], prefixes=("192.168.10.0/24", "fd00:10::/48"))
    both = replace(config, deployment=replace(config.deployment, sites=(site,)))
    kernel.looks(both, 1.0, knows("ipv6-forwarding-off"))
    kernel.forwards[4] = "0\n"
    kernel.looks(both, 1.0, knows(FORWARDING_OFF))
