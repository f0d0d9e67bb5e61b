# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a gateway's way to a site has been well, off or bad, and how long it must be well to be gone back to."""

from __future__ import annotations

from dataclasses import replace

from .model import Timing, Verdict
from .state import Health
from .verdicts import Judgement


def remember(health: Health, path: Judgement, now: float, timing: Timing, *, drill: bool = False) -> Health:
    """The health after one more verdict.

    ``suspect`` breaks nothing but being down: it is what random loss looks like. ``unknown`` breaks everything. A fall
    counts as a flap once it has lasted for the patience that its verdict asks for; not while a ``drill`` is running
    or when traffic is handed over on request, since what is done on purpose says nothing of how steady a gateway is.
    """
    if path.verdict is Verdict.UP:
        if health.well_since is not None and health.off_since is None:
            return health
        well_since = now if health.well_since is None else health.well_since
        return replace(health, well_since=well_since, off_since=None, bad_since=None, armed=True)
    if path.verdict is Verdict.SUSPECT:
        return replace(health, bad_since=None) if health.bad_since is not None else health
    if path.verdict is Verdict.UNKNOWN:
        return rested(health)
    off_since = now if health.off_since is None else health.off_since
    bad_since = None
    if path.verdict is Verdict.DOWN:
        bad_since = now if health.bad_since is None else health.bad_since
    if health.well_since is not None or (off_since, bad_since) != (health.off_since, health.bad_since):
        health = replace(health, well_since=None, off_since=off_since, bad_since=bad_since)
    if health.armed and (bad_since is None or now - bad_since >= path.patience):
        if drill or path.on_purpose:
            return replace(health, armed=False)
        again = _remembered(health, now, timing)
        hold = min(2 * hold_down(health, now, timing), timing.hold_down_max) if again else 0.0
        health = replace(health, hold=hold, flapped_at=now, armed=False)
    return health


def rested(health: Health) -> Health:
    """The health with all its clocks to be started afresh; its flaps are not forgotten."""
    if health.well_since is None and health.off_since is None and health.bad_since is None:
        return health
    return replace(health, well_since=None, off_since=None, bad_since=None)


def hold_down(health: Health, now: float, timing: Timing) -> float:
    """How long it must be well before routes go back to it, seconds; doubled by each flap within the memory."""
    if not _remembered(health, now, timing):
        return timing.hold_down
    return max(health.hold, timing.hold_down)


def held(health: Health | None, now: float, timing: Timing) -> bool:
    """Whether it has been well for its hold-down."""
    if health is None or health.well_since is None:
        return False
    return now - health.well_since >= hold_down(health, now, timing)


def _remembered(health: Health, now: float, timing: Timing) -> bool:
    return health.flapped_at is not None and now - health.flapped_at < timing.flap_memory
