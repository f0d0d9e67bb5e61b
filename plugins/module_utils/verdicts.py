# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge hands to the decision, and the few readings of loss figures that all of it shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from .model import LossStats, Verdict

Pair = tuple[str, str]  # gateway, site

_BEST_FIRST = (
    Verdict.UP,
    Verdict.GREY,
    Verdict.VIA_NEIGHBOUR,
    Verdict.SUSPECT,
    Verdict.UNKNOWN,
    Verdict.DOWN,
)
_EPSILON = 0.002  # reports carry times in whole milliseconds


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason."""

    verdict: Verdict
    code: str  # of a diagnosis
    text: str  # one sentence for people
    patience: float = 0.0  # seconds that a ``down`` must last without a break before routes leave for it
    gateway_wide: bool = False  # the reason is the gateway's, not one tunnel's
    on_purpose: bool = False  # somebody has asked for it, so it says nothing of how steady a gateway is

    @property
    def rank(self) -> int:
        """0 for the best verdict."""
        return _BEST_FIRST.index(self.verdict)


@lru_cache(maxsize=4096)
def good(code: str, text: str, *names: str) -> Judgement:
    """An ``up``; ``text`` has a place for each of the names. Nearly all judgements are: each is made once."""
    return Judgement(Verdict.UP, code, text.format(*names))


@dataclass(frozen=True)
class Remark:
    """Something to tell that is no verdict."""

    code: str
    subject: str
    text: str
    delay: float = 0.0  # seconds it must last before it is told


@dataclass(frozen=True)
class Verdicts:
    """Everything that the evidence of one moment amounts to."""

    gateways: Mapping[str, Judgement] = field(default_factory=dict)
    tunnels: Mapping[str, Judgement] = field(default_factory=dict)
    paths: Mapping[Pair, Judgement] = field(default_factory=dict)  # every (gateway, site)
    sites_down: Mapping[str, str] = field(default_factory=dict)  # site -> what is seen of it
    sites_silent: Mapping[str, str] = field(default_factory=dict)  # tunnels carry, but no target answers; likewise
    sites_dark: frozenset[str] = frozenset()  # no tunnel to them carries packets, but a managed gateway may
    sites_quiet: frozenset[str] = frozenset()  # of these, those silent through it as well for a moment
    isolated: bool = False  # the monitor hears nobody
    sick: bool = False  # the monitor itself was late
    remarks: tuple[Remark, ...] = ()


def fresh(stats: LossStats, window: float, older: float = 0.0) -> bool:
    """Answered within half a window; ``older`` is how old the figures themselves are, in seconds."""
    return stats.last_answer_age is not None and stats.last_answer_age + older <= window / 2


def silent(stats: LossStats, window: float, older: float = 0.0) -> bool:
    """Nothing came back over one full window: neither answers to its probes nor late ones to older probes."""
    if not stats.lost or not stats.silent:
        return False
    return stats.last_answer_age is None or stats.last_answer_age + older >= window - _EPSILON


def one_way_loss(stats: LossStats) -> float:
    """The share of packets lost each way, 0 to 1, if both ways lose alike.

    A probe is lost if either of its two packets is: at 10 % each way 19 % of the probes are, which is no reason
    yet to leave a gateway.
    """
    return 1.0 - math.sqrt(1.0 - min(1.0, max(0.0, stats.slow_loss)))


def grey(stats: LossStats, threshold: float) -> bool:
    """Loses more than the threshold over the long window."""
    # fewer packets are lost each way than probes are: where few probes are, no root need be drawn
    return stats.slow_full and stats.slow_loss >= threshold and one_way_loss(stats) >= threshold
