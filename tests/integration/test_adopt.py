# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways that somebody has made by hand are taken over, one after the other, and go on after a teardown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from lab.adopt import GIVEN, Adoption
from lab.changes import problems
from lab.names import Names
from tests.integration.conftest import Labs, Variant

pytestmark = pytest.mark.integration

BY_HAND = Variant(play=("-e", json.dumps(GIVEN)))


@pytest.fixture
def adoption(labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adoption]:
    """Parts of ``make adopt`` in the tests' lab, which has a VPC made by hand and nothing else."""
    lab = labs.up(BY_HAND)
    for name in ("VPNHA_LAB_NAME", "VPNHA_LAB_PORT"):
        monkeypatch.setenv(name, lab.env[name])
    found = Adoption(Names.from_env(), lab.env, tmp_path)
    found.make()
    yield found


def test_one_gateway_after_the_other_is_taken_over_and_no_packet_is_lost(adoption: Adoption) -> None:
    for part in (
        adoption.contradicting,
        adoption.check,
        adoption.first,
        adoption.move_a,
        adoption.stop_a,
        adoption.take_a,
        adoption.stop_b,
        adoption.take_b,
        adoption.home,
        adoption.back,
    ):
        seen = adoption.changes.carry_out(part.__name__, part.__name__, part)
        assert problems(asdict(seen)) == []
        assert seen.passed
