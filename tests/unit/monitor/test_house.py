# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the housekeeping tells of, and when that is over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import ec2
from ansible_collections.vpnha.aws.plugins.module_utils.model import Note
from vpnha_monitor.daemon import Monitor
from vpnha_monitor.house import House
from vpnha_monitor.log import Log


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ec2.Clock:
    one = ec2.Clock()
    monkeypatch.setattr(ec2, "CLOCK", one)
    return one


def test_a_skew_near_the_tolerance_is_told_once(clock: ec2.Clock) -> None:
    """Every answer's Date is cut to whole seconds, so that half of them show more than the tolerance, half less."""
    notes: list[Note] = []
    house = House(cast(Monitor, SimpleNamespace(note=notes.append)), cast(Log, None))
    for second in range(3600):
        clock.skew = 30.3 if second % 2 else 0.0
        house._clock(float(second))
    assert [(note.code, note.resolved, note.text) for note in notes] == [
        ("clock-skewed", False, "AWS's clock is +30 s from this host's."),
    ]
    clock.skew = 0.0
    for second in range(3600, 7200):
        house._clock(float(second))
    assert [(note.resolved, note.text) for note in notes[1:]] == [(True, "This host's clock is right again.")]
    clock.skew = -3600.0
    house._clock(7200.0)
    assert [note.resolved for note in notes] == [False, True, False], "another one is another matter"


def test_a_clock_that_was_set_right_is_told_after_minutes(clock: ec2.Clock) -> None:
    notes: list[Note] = []
    house = House(cast(Monitor, SimpleNamespace(note=notes.append)), cast(Log, None))
    clock.skew = 90.0
    house._clock(100.0)
    clock.skew = 0.0
    house._clock(399.0)
    assert len(notes) == 1
    house._clock(400.0)
    assert [note.resolved for note in notes] == [False, True]
