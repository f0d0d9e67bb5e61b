# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of docs/detector.md: against closed forms, and against the real window, fed with losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import Timing
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import silent
from benchmarks.false_positives import Chain, bursts, independent, often, page, probes, tables
from tests.unit.test_docs import ROOT

TIMING = Timing()
RTT = 0.004
STEP = 0.025  # the monitor's


def test_the_page_has_the_figures_of_the_code() -> None:
    text = (ROOT / "docs" / "detector.md").read_text()
    assert page(text, TIMING) == text, "run `make docs`"
    assert all(table in text for table in tables(TIMING).values())


@pytest.mark.parametrize("length", [3, 9, 40])
def test_independent_loss_is_a_geometric_run(length: int) -> None:
    lost = 1 - 0.9**2
    assert independent(0.1).run_rate(length) == pytest.approx((1 - lost) * lost**length)


@pytest.mark.parametrize("length", [3, 9, 40])
def test_a_burst_lasts_by_chance(length: int) -> None:
    path = bursts(0.001, 0.2, 0.05)
    assert path.better == pytest.approx(0.25)
    assert path.run_rate(length) == pytest.approx(0.001 * 0.25 * 0.75 ** (length - 1))
    assert path.in_run(length) == pytest.approx(0.001 * 0.75 ** (length - 1))


def losses(path: Chain, random: Random) -> Callable[[], bool]:
    """A path's losses, one after the other."""
    bad = random.random() < path.worse / (path.worse + path.better)

    def lost() -> bool:
        nonlocal bad
        bad = random.random() >= path.better if bad else random.random() < path.worse
        return random.random() < (path.lost_bad if bad else path.lost_good)

    return lost


def silences(path: Chain, count: int, seed: int) -> int:
    """How many silences the monitor's own window shows; it looks at a moment of its own after each probe."""
    random = Random(seed)
    lost, phase = losses(path, random), random.random() * STEP
    window = LossWindow(TIMING.window, TIMING.grey_window)
    found, was = 0, False
    for number in range(count):
        now = number * TIMING.heartbeat_interval
        window.sent(number, now)
        events = [(now + phase, False), (now + phase + STEP, False)]
        if not lost():
            events.append((now + RTT, True))
        for at, answer in sorted(events):
            if answer:
                window.answered(number, at)
                continue
            is_silent = silent(window.stats(at), TIMING.window)
            found, was = found + (is_silent and not was), is_silent
    return found


@pytest.mark.parametrize(
    "path",
    [Chain(0.0, 1.0, 0.6, 0.6), bursts(0.05, 0.2, 0.05), Chain(0.02, 0.15, 0.1, 0.9)],
    ids=["independent", "bursts", "both states lose"],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_real_window_is_silent_as_often_as_computed(path: Chain, seed: int) -> None:
    """Between ten lost probes in a row, which always are a silence, and the nine of the page, which may be."""
    count, nine = 150_000, probes(TIMING.window, TIMING.heartbeat_interval)
    assert nine == 9
    least, most = (count * path.run_rate(length) for length in (nine + 1, nine))
    assert least > 100, "often enough to be counted"
    found = silences(path, count, seed)
    assert least - 5 * math.sqrt(least) <= found <= most + 5 * math.sqrt(most)


@pytest.mark.parametrize(
    ("a_day", "said"),
    [
        (0.0, "never"),
        (48.0, "2 an hour"),
        (0.5, "0.5 a day"),
        (0.002, "0.73 a year"),
        (1 / 365.25 / 50, "once in 50 years"),
        (1 / 365.25 / 3e7, "once in 10^7 years"),
    ],
)
def test_rates_in_words(a_day: float, said: str) -> None:
    assert often(a_day) == said
