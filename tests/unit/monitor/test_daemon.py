# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real daemon as a process, with agents that speak the real protocol and moto as EC2: failure scenarios."""

from __future__ import annotations

import time

from monitor_world import World

A, B = "eu-central-1a", "eu-central-1b"


def test_gateway_dies_and_comes_back(world: World) -> None:
    """Its routes leave within the window, packets are seen on the other gateway, and it gets them back."""
    world.start()
    time.sleep(1.0)  # past the first window
    died = world.agents["gw-a"].die()
    world.until(lambda: world.target(A) == "gw-b")
    world.until(lambda: world.events("swap-accepted"))
    issued = world.events("swap-issued")[0]
    assert issued.subject == f"{world.tables[A]} 192.168.10.0/24"
    assert issued.mono - died < 0.5 + 0.5, "detection takes the window, and little more"
    print("detect to swap issued after", issued.mono - died)
    assert world.target(B) == "gw-b"
