# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypothesis finds no schedule that breaks a promise, and shrinks one that a planted bug breaks to a few steps."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import Machine
from .mutants import MUTANTS, planted
from .violation import Violation

# Derandomized and without a deadline: the same on every machine, however slow it is.
BOUNDED = settings(
    max_examples=100,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
SHRINKING = settings(BOUNDED, max_examples=200, phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False)


def test_no_schedule_breaks_a_promise() -> None:
    run_state_machine_as_test(Machine, settings=BOUNDED)


@pytest.mark.parametrize(
    ("name", "kinds", "promise"),
    [
        ("no one leaves a dead gateway", ("power off", "tunnel cut", "monitor paused"), 0),
        ("a gateway that others hear is down", ("monitor cut from gateway", "tunnel cut", "power off"), 13),
        ("no hold-down", ("power off", "tunnel cut", "monitor restarted"), 12),
    ],
)
def test_what_a_planted_bug_breaks_shrinks_to_few_steps(name: str, kinds: Sequence[str], promise: int) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    machine = type("Few", (Machine,), {"kinds": kinds})
    with planted(mutant), pytest.raises(Violation) as caught:
        run_state_machine_as_test(machine, settings=SHRINKING)
    assert caught.value.number == promise
    shown = "\n".join(getattr(caught.value, "__notes__", ()))
    steps = re.findall(r"state\.(strike|mend|wait)\(", shown)
    assert 1 <= len(steps) <= 5, shown
