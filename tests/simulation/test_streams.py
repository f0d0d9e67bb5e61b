# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulation's computed streams say what the real ``LossWindow`` says when it is fed with the same probes."""

from __future__ import annotations

from random import Random

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow

from .streams import DUE, EVERY, Stream


@pytest.mark.parametrize("seed", range(12))
def test_a_stream_is_a_loss_window(seed: int) -> None:
    random = Random(seed)
    stream, window = Stream(seed, 0.0), LossWindow(0.5, 10.0, due=DUE)
    changes = sorted(random.uniform(0, 60) for _ in range(8))
    # answers later than a probe is due are settled only afterwards: compared where they come in time
    conditions = [(random.choice((0.0, 0.0, 1.0, 0.2, 0.4)), random.choice((0.002, 0.03))) for _ in changes]
    for at, (loss, rtt) in zip(changes, conditions, strict=True):
        stream.change(at, loss, rtt)
    answers: list[tuple[float, int]] = []
    k = 0 if stream.phase >= 0 else 1
    compared = 0
    while (at := stream.phase + k * EVERY) < 60:
        answers.sort()
        while answers and answers[0][0] <= at:
            when, seq = answers.pop(0)
            window.answered(seq, when)
        now = at - 1e-4
        theirs, ours = window.stats(now), stream.stats(now, 0.5, 10.0)
        assert (ours.lost, ours.sent) == (theirs.lost, theirs.sent), now
        assert ours.last_answer_age == pytest.approx(theirs.last_answer_age)
        if k > 0 and theirs.window_full == ours.window_full:
            compared += 1
        window.sent(k, at)
        segment = stream._segment(k)
        if not segment.is_lost(k):
            answers.append((at + segment.rtt, k))
        k += 1
    assert compared > 1100
