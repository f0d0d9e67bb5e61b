# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: a world for the real daemon, in a network namespace that ends with the test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one

from gateway_agents import own_network
from monitor_world import World

from vpnha_monitor import journal


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two gateways with their agents, a site, and an EC2 that has their routes; no monitor runs yet."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the test has a network namespace of its own")
    with own_network():
        made = World(tmp_path)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty journal's file."""
    made = tmp_path / "journal.sqlite"
    journal._open(made).close()
    return made
