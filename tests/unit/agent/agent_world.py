# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's configuration for the agent's tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import description
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Gateway,
    LossStats,
    Monitor,
    Site,
    Tunnel,
    TunnelReport,
    Zone,
)
from vpnha_agent import frr
from vpnha_agent.config import AgentConfig, parse

KEY = "k" * 32
PEER = "169.254.10.2"
RUNNING = """\
router bgp 64512
 bgp router-id 10.20.0.10
 neighbor 169.254.10.2 remote-as 65010
 neighbor 169.254.10.2 bfd profile vpnha-site
 !
 address-family ipv4 unicast
  neighbor 169.254.10.2 activate
  neighbor 169.254.10.2 route-map FROM-hq in
  neighbor 169.254.10.2 route-map TO-SITES out
  neighbor 169.254.255.2 route-map MESH in
 exit-address-family
exit
"""
AWAY = RUNNING.replace("map FROM", f"map {frr.AWAY_IN}FROM").replace("map TO", f"map {frr.AWAY_OUT}TO")


def tunnel(site: str, number: int, asn: int | None) -> Tunnel:
    return Tunnel(
        name=f"{site}-gw-a",
        site=site,
        gateway="gw-a",
        peer_address=f"198.51.100.{number}",
        peer_id=f"198.51.100.{number}",
        local_id="gw-a.lab",
        inside_address=f"169.254.{number}.1",
        peer_inside_address=f"169.254.{number}.2",
        inside_cidr=f"169.254.{number}.0/30",
        peer_asn=asn,
        if_id=number,
    )


DEPLOYMENT = Deployment(
    name="lab",
    region="eu-central-1",
    vpc_cidrs=("10.20.0.0/16",),
    asn=64512,
    zones=(Zone("eu-central-1a", "10.20.0.0/24", ("10.20.16.0/24",)),),
    gateways=(
        Gateway("gw-a", "eu-central-1a", "10.20.0.10", ("eu-central-1a",)),
        Gateway("gw-b", "eu-central-1a", "127.0.0.1", ()),
    ),
    sites=(
        Site("hq", ("192.168.10.0/24", "192.168.11.0/24"), ("192.168.10.10",), "bgp"),
        Site("plant", ("192.168.20.0/24",), ("192.168.20.10",), "static"),
    ),
    tunnels=(tunnel("hq", 10, 65010), tunnel("plant", 20, None)),
    monitors=(Monitor("mon-a", "eu-central-1a", "10.20.0.20"),),
)


def settings(**changes: object) -> dict[str, object]:
    """What the role writes."""
    raw = {"gateway": "gw-a", "deployment": description.to_dict(DEPLOYMENT), "keys": [KEY], "data_plane": "xfrm"}
    return {**raw, **changes}


@pytest.fixture
def config() -> AgentConfig:
    return parse(settings(), "agent.json")


@pytest.fixture
def nft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Puts an nft first on the PATH that notes what it is told and ends with a code; gives back where the notes are."""

    def put(code: int) -> Path:
        (tmp_path / "nft").write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> {tmp_path}/calls\nexit {code}\n")
        (tmp_path / "nft").chmod(0o755)
        return tmp_path / "calls"

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return put


def stats(age: float | None = 0.05, silent: bool = False, loss: float = 0.0) -> LossStats:
    return LossStats(
        sent=10, lost=10 if silent else 0, window_full=True, last_answer_age=age, slow_loss=loss, slow_full=True
    )


NEVER = stats(age=None, silent=True)  # answered since the start


def report(name: str = "hq-gw-a", probe: LossStats | None = None, **changes: object) -> TunnelReport:
    """The site's answers are as good as the peer's, unless that one has never answered, or they are said to differ."""
    probe = probe or stats()
    target = stats() if probe.last_answer_age is None else probe
    values = {"ike": "established", "child": "installed", "probe": probe, "target": target, **changes}
    return TunnelReport(name, **values)  # type: ignore[arg-type]
