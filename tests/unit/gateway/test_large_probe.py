# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of the agent's large probes: that of the largest packet that the role lets into a tunnel."""

from __future__ import annotations

import re
from typing import Any

import jinja2
import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils.description import parse, to_dict
from tests.unit.gateway.test_dataplane import ROLE, rendered, view
from tests.unit.plugins.module_utils.test_description import good
from vpnha_agent import config
from vpnha_agent.agent import Agent

IPSEC0 = 1400  # the MTU that libipsec gives its device


def written(data_plane: str, **settings: Any) -> config.AgentConfig:
    """The agent's configuration as the role writes it."""
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    known = {**yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8")), **settings}
    known["__vpnha_gateway_data_plane"] = data_plane
    known["__vpnha_gateway_libipsec_mtu"] = variables["__vpnha_gateway_libipsec_mtu"]
    size = jinja2.Template(variables["__vpnha_gateway_large_bytes"], undefined=jinja2.StrictUndefined).render(known)
    text = rendered(
        "agent.json.j2",
        view(data_plane),
        **known,
        __vpnha_gateway_large_bytes=size,
        vpnha_name="gw-a",
        vpnha_checked=to_dict(parse(good())),
        vpnha_heartbeat_key="k" * 32,
    )
    return config.parse(yaml.safe_load(text), "agent.json")


@pytest.mark.parametrize("data_plane", ["xfrm", "libipsec"])
@pytest.mark.parametrize(("mss", "mtu"), [(1360, 1400), ("1350", 1400), (1360, 1240), (1460, 1500)])
def test_a_large_probe_is_the_largest_packet_that_the_role_lets_pass(data_plane: str, mss: Any, mtu: int) -> None:
    settings = {"vpnha_gateway_mss": mss, "vpnha_gateway_tunnel_mtu": mtu}
    (clamped,) = re.findall(r"maxseg size set (\d+)", rendered("firewall.nft.j2", view(data_plane), **settings))
    mtus = re.findall(r"ip link set vpnha\d+ mtu (\d+)", rendered("dataplane.sh.j2", view(data_plane), **settings))
    assert bool(mtus) == (data_plane == "xfrm")
    largest = min(int(clamped) + 40, *map(int, mtus or [IPSEC0]))
    agent = Agent(written(data_plane, **settings))
    for probe in agent._probes.values():
        sizes = {len(probe.peer.next_packet(number * 0.05)) + 20 for number in range(20)}
        assert max(sizes) == largest and len(sizes) == 2


@pytest.mark.parametrize(("mss", "mtu", "size"), [(500, 1400, 576), (1360, 500, 576), (9460, 9500, 9000)])
def test_its_size_is_one_that_the_agent_takes(mss: int, mtu: int, size: int) -> None:
    assert written("xfrm", vpnha_gateway_mss=mss, vpnha_gateway_tunnel_mtu=mtu).large_bytes == size
