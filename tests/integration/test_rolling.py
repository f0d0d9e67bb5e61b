# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deploy over a running deployment costs no packet: other ciphers on every tunnel, and some that the peers refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from lab.changes import problems
from lab.names import Names
from lab.rolling import Rolling
from tests.integration.conftest import Lab

pytestmark = pytest.mark.integration


@pytest.fixture
def rolling(deployed: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rolling]:
    """Parts of ``make rolling`` in the tests' lab, which has its own ciphers again in the end."""
    for name in ("VPNHA_LAB_NAME", "VPNHA_LAB_PORT"):
        monkeypatch.setenv(name, deployed.env[name])
    found = Rolling(Names.from_env(), deployed.env, tmp_path)
    found.well()
    yield found
    assert deployed.play("deploy").code == 0
    found.well()


def test_other_ciphers_and_refused_ones_cost_no_packet(rolling: Rolling) -> None:
    for part in (rolling.cipher, rolling.again, rolling.refused, rolling.mended):
        seen = rolling.changes.carry_out(part.__name__, part.__name__, part)
        assert problems(asdict(seen)) == []
        assert seen.passed
