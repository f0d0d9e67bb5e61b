# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that makes a gateway's devices, run with tools that only write down what they are told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jinja2
import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from tests.unit.plugins.module_utils.test_description import good

TEMPLATES = Path(__file__).resolve().parents[3] / "roles" / "gateway" / "templates"
Run = Callable[[tunnel_config.GatewayView, set[str]], list[str]]


def view(data_plane: str, **changes: Any) -> tunnel_config.GatewayView:
    return replace(tunnel_config.gateway_view(parse(good()), "gw-a", data_plane), **changes)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the script for a view, on a host that has such devices; the commands that it gave."""
    tools, log = tmp_path / "bin", tmp_path / "log"
    tools.mkdir()
    for tool in ("ip", "nft", "bridge"):
        (tools / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >> {log}\n')
        (tools / tool).chmod(0o755)
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False
    )

    def script(wanted: tunnel_config.GatewayView, present: set[str]) -> list[str]:
        devices = tmp_path / "net"
        for device in present:
            (devices / device).mkdir(parents=True)
        text = env.get_template("dataplane.sh.j2").render(
            __vpnha_gateway_view=asdict(wanted),
            ansible_managed="Ansible managed",
            vpnha_gateway_mesh_mtu=1450,
            vpnha_gateway_tunnel_mtu=1400,
            vpnha_gateway_rule_priority=7000,
        )
        assert "/sys/class/net" in text
        path = {"PATH": f"{tools}:{os.environ['PATH']}"}
        log.unlink(missing_ok=True)
        subprocess.run(["sh", "-c", text.replace("/sys/class/net", str(devices))], env=path, check=True)
        return log.read_text().splitlines()

    return script


def test_each_tunnel_gets_a_device_with_its_if_id(run: Run) -> None:
    wanted = view("xfrm")
    done = run(wanted, set())
    assert wanted.tunnels
    for tunnel in wanted.tunnels:
        assert f"ip link add {tunnel.device} type xfrm if_id {tunnel.if_id}" in done
        assert f"ip link set {tunnel.device} mtu 1400 up" in done


def test_devices_that_are_there_stay_and_those_of_former_tunnels_go(run: Run) -> None:
    wanted = view("xfrm")
    done = run(wanted, {tunnel.device for tunnel in wanted.tunnels} | {"vpnha9", "vpnhavx", "ens5"})
    assert not any("type xfrm" in command for command in done)
    assert [command for command in done if command.startswith("ip link del vpnha")] == [
        "ip link del vpnhavx",
        "ip link del vpnha9",
    ]


def test_a_gateway_without_tunnels_has_no_device_to_remove(run: Run) -> None:
    done = run(view("xfrm", tunnels=(), devices=()), set())
    assert not any("link del" in command and "[" in command for command in done), done


def test_libipsec_makes_its_device_itself(run: Run) -> None:
    assert not any("type xfrm" in command for command in run(view("libipsec"), set()))
