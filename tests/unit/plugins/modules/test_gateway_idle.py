# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until nothing passes a host, on a clock of the test's own, and what the module says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import takeover
from ansible_collections.vpnha.aws.plugins.module_utils.handover import Flow
from ansible_collections.vpnha.aws.plugins.modules import gateway_idle
from tests.unit.fake_clock import Clock
from tests.unit.plugins.module_utils.test_takeover import WATCHED, packet

IN, OUT = packet("192.168.10.10", "10.20.16.50"), packet("10.20.16.50", "192.168.10.10")
OTHER = packet("10.20.16.50", "10.20.17.50")
PARAMS = {
    "name": "gw-a", "address": "10.20.0.10", "vpc_cidrs": ["10.20.0.0/16"], "sites": {"hq": ["192.168.10.0/24"]},
    "peers": ["198.51.100.11"], "quiet_seconds": 1.0, "timeout": 10.0,
}  # fmt: skip


class Packets:
    """A packet every ``pause`` seconds until ``until``."""

    def __init__(self, clock: Clock, *kinds: bytes, until: float, pause: float = 0.05) -> None:
        self._clock, self._kinds, self._until, self._pause, self._sent = clock, kinds, until, pause, 0

    def next(self, seconds: float) -> bytes | None:
        if self._clock.now >= self._until or seconds < self._pause:
            self._clock.sleep(max(seconds, 0.001))
            return None
        self._clock.sleep(self._pause)
        self._sent += 1
        return self._kinds[self._sent % len(self._kinds)]


class Module:
    """A host where commands say what they are told to; of systemctl, the unit that is so, and how: active, enabled."""

    def __init__(self, **said: str) -> None:
        self.params, self._said = PARAMS, said

    def get_bin_path(self, command: str, opt_dirs: list[str]) -> str | None:
        return command if command in self._said else None

    def run_command(self, command: list[str]) -> tuple[int, str, str]:
        if command[0] == "systemctl":
            unit, _, states = self._said["systemctl"].partition(" is ")
            is_so = command[2] == unit and command[1].removeprefix("is-") in states
            return 0, f"{command[1].removeprefix('is-') if is_so else 'not so'}\n", ""
        return 0, self._said[command[0]], ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(1000.0)
    monkeypatch.setattr(gateway_idle, "time", found)
    return found


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory where this host has its files."""
    monkeypatch.setattr(takeover, "PLACES", [str(tmp_path / "swanctl")])
    monkeypatch.setattr(takeover, "BEGUN", tmp_path / "firewall.nft")
    return tmp_path


def passing(packets: Packets) -> list[Flow]:
    return gateway_idle.passing(packets, WATCHED, 1.0, 10.0)


def examine(packets: Packets, **said: str) -> dict[str, Any]:
    return gateway_idle.examine(Module(**said), packets)  # type: ignore[arg-type]


def test_it_waits_a_quiet_second_after_the_last_packet(clock: Clock) -> None:
    assert passing(Packets(clock, IN, until=1003.0)) == []
    assert 1004.0 <= clock.now <= 1004.2


def test_others_packets_do_not_count(clock: Clock) -> None:
    assert passing(Packets(clock, OTHER, until=2000.0)) == []
    assert clock.now <= 1001.1


def test_what_still_passes_in_the_end_is_said(clock: Clock) -> None:
    assert passing(Packets(clock, IN, OUT, OTHER, until=2000.0)) == [Flow("hq", False), Flow("hq", True)]
    assert 1010.0 <= clock.now <= 1010.2


def test_a_host_on_which_nothing_is_left_is_idle(clock: Clock) -> None:
    found = examine(Packets(clock, OTHER, until=0.0), swanctl="", systemctl="none")
    assert found == {"changed": False, "idle": True, "reasons": [], "begun": False}


def test_files_connections_and_daemons_that_are_left_are_named(clock: Clock, host: Path) -> None:
    (host / "swanctl").mkdir()
    (host / "swanctl" / "hq.conf").write_text("remote_addrs = 198.51.100.11\n")
    found = examine(Packets(clock, IN, until=2000.0), swanctl="hq: IKEv2\n", systemctl="ipsec.service is active")
    assert found["idle"] is False
    assert found["reasons"] == [
        "Packets from hq still pass gw-a: have its peers send through another gateway.",
        f"{host}/swanctl/hq.conf names the peer 198.51.100.11: move it away.",
        "ipsec.service is active: disable it and stop it.",
        "strongSwan still has hq loaded: stop it.",
    ]


@pytest.mark.parametrize("states", ["enabled", "active and enabled"])
def test_a_daemon_that_comes_back_at_the_next_boot_is_in_the_way(clock: Clock, states: str) -> None:
    found = examine(Packets(clock, OTHER, until=0.0), systemctl=f"strongswan-starter.service is {states}")
    assert found["reasons"] == [f"strongswan-starter.service is {states}: disable it and stop it."]


def test_a_host_without_these_commands_has_nothing_of_theirs(clock: Clock) -> None:
    assert examine(Packets(clock, OTHER, until=0.0))["idle"] is True


def test_where_the_role_was_cut_off_it_goes_on_whatever_passes(clock: Clock, host: Path) -> None:
    (host / "firewall.nft").write_text("")
    assert examine(Packets(clock, IN, until=2000.0)) == {"changed": False, "idle": True, "reasons": [], "begun": True}
    assert clock.now == 1000.0
