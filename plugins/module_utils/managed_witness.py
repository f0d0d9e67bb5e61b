# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second witness of managed gateways: what EC2 and CloudWatch say of all their VPN connections together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .managed_vpn import ManagedConnection, ManagedState, read_connections
from .model import WITNESSED_DOWN, WITNESSED_UP, ManagedGateway

_DOWN = (ManagedState.DOWN, ManagedState.SILENT)
_UP = (ManagedState.UP, ManagedState.DEGRADED)


@dataclass(frozen=True)
class Witness:
    """What is said of one managed gateway; ``word`` is empty where it is nothing certain."""

    word: str
    text: str


def witness(connections: Iterable[ManagedConnection]) -> Witness:
    """The word on a virtual private gateway with these connections.

    It is ``down`` only if each of them is, or sends and gets nothing back: which one leads to which site is not known.
    """
    found = list(connections)
    if not found:
        return Witness(WITNESSED_DOWN, "It has no VPN connection.")
    text = " ".join(f"{each.id} is {each.state.value}: {each.reason}" for each in found)
    if all(each.state in _DOWN for each in found):
        return Witness(WITNESSED_DOWN, text)
    return Witness(WITNESSED_UP if any(each.state in _UP for each in found) else "", text)


def read_witnesses(ec2: Any, cloudwatch: Any, gateways: Iterable[ManagedGateway], now: float) -> dict[str, Witness]:
    """The word on each managed gateway; ``now`` is wall time. Raises Ec2Error."""
    names = {gateway.vpn_gateway: gateway.name for gateway in gateways}
    connections = read_connections(
        ec2, cloudwatch, filters=[{"Name": "vpn-gateway-id", "Values": sorted(names)}], now=now
    )
    return {
        name: witness(each for each in connections if each.vpn_gateway_id == vpn_gateway)
        for vpn_gateway, name in names.items()
    }
