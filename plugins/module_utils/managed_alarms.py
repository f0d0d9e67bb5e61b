# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch alarms for AWS-managed VPN connections: which there shall be. All of it is pure.

A connection has an alarm for each tunnel, one for all of them down, one for silence, and a composite of the last two,
which is the one that notifies: a single tunnel under maintenance wakes nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import managed_vpn, tags
from .alarm_set import COMPOSITE, METRIC, Alarm, own_tags
from .errors import VpnhaError
from .managed_vpn import NAMESPACE

_DAY = 86400  # CloudWatch looks back no further


@dataclass(frozen=True)
class Rules:
    """When the alarms go off and whom they tell."""

    actions: tuple[str, ...] = ()  # ARNs of SNS topics
    notify_tunnels: bool = False  # also when a single tunnel goes down
    period: int = 300  # seconds of one data point
    periods: int = 1  # as many in a row make a state
    silent_periods: int = 3  # and so many make silence

    def check(self) -> None:
        """Raises VpnhaError for what CloudWatch does not take."""
        if self.period < 60 or self.period % 60:
            raise VpnhaError(f"period is {self.period} seconds; CloudWatch takes 60 and its multiples.")
        for name, count in (("periods", self.periods), ("silent_periods", self.silent_periods)):
            if count < 1 or count * self.period > _DAY:
                most = _DAY // self.period
                raise VpnhaError(f"{name} is {count}; with periods of {self.period} seconds it may be 1 to {most}.")


def prefix(deployment: str) -> str:
    """What the names of a deployment's alarms begin with; ids of connections begin with "vpn-"."""
    return f"{deployment}-vpn-"


def wanted(
    deployment: str, connections: Iterable[Mapping[str, Any]], rules: Rules, alone: Collection[str] = ()
) -> list[Alarm]:
    """The alarms of connections as boto3 gives them, alarms before the composites that name them.

    ``alone`` are the tunnels whose metrics carry the tunnel's address and not the connection's id.
    """
    alarms: list[Alarm] = []
    for connection in connections:
        alarms += _of_connection(deployment, connection, rules, alone)
    return sorted(alarms, key=lambda alarm: (alarm.kind == COMPOSITE, alarm.name))


def _of_connection(deployment: str, connection: Mapping[str, Any], rules: Rules, alone: Collection[str]) -> list[Alarm]:
    vpn = str(connection["VpnConnectionId"])
    called = tags.to_dict(connection.get("Tags")).get("Name", "")
    title = f"{vpn} ({called})" if called else vpn
    minutes = rules.period * rules.periods // 60
    quiet = rules.period * rules.silent_periods // 60
    own = managed_vpn.dimensions(vpn, "", (managed_vpn.VPN,))

    def metric(name: str, said: str, told: bool, **arguments: Any) -> Alarm:
        return Alarm(vpn, METRIC, _base(deployment, f"{deployment}-{vpn}-{name}", said, told, rules) | arguments)

    alarms = [
        metric(
            f"tunnel-{address}",
            f"Tunnel {address} of the VPN connection {title} has not been up for {minutes} min.",
            rules.notify_tunnels,
            **_state(
                managed_vpn.dimensions(vpn, address, managed_vpn.FORMS[address in alone]),
                "LessThanThreshold",
                1.0,
                rules,
            ),
        )
        for address in managed_vpn.addresses(connection)
    ]
    # At most 0, not under 1: where one value stands for both tunnels, a fraction of it says that one is up.
    down = metric(
        "all-tunnels",
        f"All tunnels of the VPN connection {title} have been down for {minutes} min.",
        False,
        **_state(own, "LessThanOrEqualToThreshold", 0.0, rules),
    )
    silence = metric(
        "silence",
        f"The VPN connection {title} sends, but has received nothing for {quiet} min.",
        False,
        **_silence(own, rules),
    )
    said = f"The VPN connection {title} carries nothing: all its tunnels are down, or nothing comes back by them."
    both = {
        **_base(deployment, f"{deployment}-{vpn}-connection", said, True, rules),
        "AlarmRule": f'ALARM("{down.name}") OR ALARM("{silence.name}")',
    }
    return [*alarms, down, silence, Alarm(vpn, COMPOSITE, both)]


def _base(deployment: str, name: str, said: str, told: bool, rules: Rules) -> dict[str, Any]:
    actions = list(rules.actions) if told else []
    return {
        "AlarmName": name,
        "AlarmDescription": said,
        "AlarmActions": actions,
        "OKActions": actions,
        "Tags": own_tags(deployment),
    }


def _state(dimensions: list[dict[str, str]], operator: str, threshold: float, rules: Rules) -> dict[str, Any]:
    return {
        "Namespace": NAMESPACE,
        "MetricName": "TunnelState",
        "Dimensions": dimensions,
        "Statistic": "Maximum",
        "Period": rules.period,
        "EvaluationPeriods": rules.periods,
        "DatapointsToAlarm": rules.periods,
        "ComparisonOperator": operator,
        "Threshold": threshold,
        "TreatMissingData": "breaching",
    }


def _silence(dimensions: list[dict[str, str]], rules: Rules) -> dict[str, Any]:
    def bytes_of(name: str, metric: str) -> dict[str, Any]:
        asked = {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions}
        return {
            "Id": name,
            "MetricStat": {"Metric": asked, "Period": rules.period, "Stat": "Sum"},
            "ReturnData": False,
        }

    return {
        "Metrics": [
            {
                "Id": "silence",
                "Expression": "IF(data_out>0 AND data_in==0,1,0)",
                "Label": "silence",
                "ReturnData": True,
            },
            bytes_of("data_in", "TunnelDataIn"),
            bytes_of("data_out", "TunnelDataOut"),
        ],
        "EvaluationPeriods": rules.silent_periods,
        "DatapointsToAlarm": rules.silent_periods,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 1.0,
        "TreatMissingData": "notBreaching",
    }
