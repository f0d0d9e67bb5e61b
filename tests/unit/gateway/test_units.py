# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role tells systemd of programs that are others', and when its own start."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.gateway.test_dataplane import ROLE, rendered, view

# What such units say about their order on EC2's images of Debian and Ubuntu.
CLOUD_IMAGE = {
    "cloud-init-local.service": "After=systemd-remount-fs.service\nBefore=network-pre.target sysinit.target",
    "cloud-init-network.service": "After=systemd-networkd-wait-online.service\nBefore=sysinit.target",
    "systemd-networkd-wait-online.service": "After=systemd-networkd.service\nBefore=network-online.target",
    "systemd-networkd.service": "After=network-pre.target systemd-sysctl.service\nBefore=network.target",
    "nftables.service": "Before=network-pre.target",
    "systemd-remount-fs.service": "Before=local-fs.target",
    "systemd-modules-load.service": "Before=sysinit.target",
    "systemd-sysctl.service": "After=systemd-modules-load.service\nBefore=sysinit.target",
    "frr.service": "After=sysinit.target network-pre.target\nBefore=network.target",
    "strongswan.service": "After=sysinit.target network-online.target",
}
TARGETS = ("sysinit", "basic", "multi-user", "local-fs", "network-pre", "network", "network-online", "shutdown")


def test_a_charon_that_does_not_go_is_killed_soon() -> None:
    """Restarting one that hangs is an outage until the old one has gone, for which systemd waits 90 s by default."""
    text = rendered(
        "strongswan.service.conf.j2", view("xfrm"), __vpnha_gateway_platform={"swanctl": "/usr/sbin/swanctl"}
    )
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string(text)
    assert 2 <= float(unit["Service"]["TimeoutStopSec"]) <= 10


def words(text: str, key: str) -> set[str]:
    """What a unit has under a key, which may be there several times."""
    return {word for line in text.splitlines() if line.startswith(f"{key}=") for word in line.partition("=")[2].split()}


def test_what_comes_before_the_network_does_not_wait_for_sysinit() -> None:
    """cloud-init, which needs the network, is a part of sysinit.target on Debian and Ubuntu."""
    units = {path.name: path.read_text(encoding="utf-8") for path in (ROLE / "files").glob("*.service")}
    units |= {path.name: path.read_text(encoding="utf-8") for path in (ROLE / "templates").glob("*.service*.j2")}
    early = {name: text for name, text in units.items() if "network-pre.target" in words(text, "Before")}
    assert list(early) == ["vpnha-dataplane.service.j2"]  # forwarding is on before it: no interface may be up yet
    for text in early.values():
        assert words(text, "DefaultDependencies") == {"no"}
        assert "shutdown.target" in words(text, "Conflicts") & words(text, "Before")
        waited_for = words(text, "After") | words(text, "Requires") | words(text, "Wants")
        assert not waited_for & {"sysinit.target", "basic.target", "network.target", "network-online.target"}


def circles(units: Path) -> list[str]:
    """What systemd says of circles when it is to start vpnha-dataplane.service among such units."""
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": str(units), "SYSTEMD_LOG_COLOR": "0"}
    command = ["systemd-analyze", "verify", "--man=no", str(units / "vpnha-dataplane.service")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if "cycle" in line]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze; the test before needs nothing")
def test_systemd_finds_no_circle_on_a_host_with_cloud_init(tmp_path: Path) -> None:
    ours = rendered("vpnha-dataplane.service.j2", view("xfrm")).replace("/usr/local/lib/vpnha/dataplane", "/bin/true")
    for target in TARGETS:
        (tmp_path / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    (tmp_path / "sysinit.target").write_text(f"[Unit]\nDefaultDependencies=no\nWants={' '.join(CLOUD_IMAGE)}\n")
    for name, order in CLOUD_IMAGE.items():
        unit = f"[Unit]\nDefaultDependencies=no\n{order}\n[Service]\nType=oneshot\nExecStart=/bin/true\n"
        (tmp_path / name).write_text(unit)
    (tmp_path / "vpnha-dataplane.service").write_text(f"{ours}\n[Unit]\nWants=sysinit.target\n")
    assert circles(tmp_path) == []
    by_default = ours.replace("DefaultDependencies=no\n", "") + "\n[Unit]\nWants=sysinit.target\n"
    (tmp_path / "vpnha-dataplane.service").write_text(by_default)
    assert circles(tmp_path)  # so that the silence above means something
