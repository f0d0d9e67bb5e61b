# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook status tells of what the monitors say, with played monitors."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Person
from .test_health_gates import STANDING, Gates

STANDS = {"localhost vpn_ha_info": {**STANDING, "at_home": True, "differences": [], "summary": ["All is at home."]}}
WAIT = "110 of 500 swaps have ended and 380 wait for EC2's limit (4.8 a second): the last begins in about 79 s."


def status(**more: Any) -> dict[str, Any]:
    return {"sentence": "Traffic flows.", "gateways": [], "tunnels": [], **more}


def test_swaps_that_wait_are_told_with_the_name_of_their_monitor(
    person: Person, description: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    gates = Gates(person, tmp_path_factory.mktemp("gates"))

    def told(said: dict[str, Any]) -> str:
        """By two monitors that say the same."""
        found = gates.run("status", ["mon-a", "mon-b"], said, STANDS, **description)
        assert found.code == 0, found.output
        assert "Traffic flows." in found.readable and "All is at home." in found.readable
        return " ".join(found.readable.split())

    waiting = told(status(swaps={"text": WAIT}))
    assert f"mon-a: {WAIT}" in waiting and f"mon-b: {WAIT}" in waiting
    assert "mon-a:" not in told(status(swaps={"text": ""}))
    assert "mon-a:" not in told(status())  # of an earlier release
