# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose swap comes first where EC2 takes fewer calls than there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .model import Ec2View, Swap


def ordered(swaps: Iterable[Swap], view: Ec2View, traffic: Mapping[str, float] | None = None) -> list[Swap]:
    """The most urgent first: emergencies, then the tables' priorities, then the zone that sends most.

    ``traffic``: zone -> packets a second, as far as they are known. What is alike stays in its order.
    """
    known = traffic or {}

    def urgency(swap: Swap) -> tuple[bool, int, float]:
        route = view.routes.get(swap.key)
        return swap.voluntary, swap.priority, -known.get(route.zone, 0.0) if route is not None else 0.0

    return sorted(swaps, key=urgency)
