# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS-managed VPN connections and their tunnels: what EC2 and CloudWatch say of them, and what that amounts to.

EC2's telemetry is fresh and knows two words; CloudWatch's metrics are minutes late, and know fractions and traffic. A
tunnel is ``up`` only if neither objects and the metric has spoken: no data point is never read as up. The verdicts
(`tunnel_verdict`, `connection_verdict`) are pure; `read_connections` makes the calls.

Secrets stay in EC2: of its answer only what is named here is taken, never CustomerGatewayConfiguration or a tunnel's
PreSharedKey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from .ec2 import pages
from .tags import format_time, to_dict

NAMESPACE = "AWS/VPN"
BATCH = 500  # queries in one GetMetricData: CloudWatch's limit
PERIOD = 60  # seconds of a data point that is asked for; where AWS writes fewer, there are fewer
LOOKBACK = 1200.0  # seconds of metrics that are read
STALE = 900.0  # seconds after which the newest data point says nothing any more
SILENT_SPAN = 300.0  # seconds that data points without any byte in must span before they mean silence

GONE = ("deleting", "deleted")  # EC2's words for connections that it lists all the same

# AWS documents both dimensions and not whether a tunnel's metrics carry one or both: what has data counts.
VPN, ADDRESS = "VpnId", "TunnelIpAddress"
FORMS = ((VPN, ADDRESS), (ADDRESS,))
_METRICS = (("TunnelState", "Average"), ("TunnelDataIn", "Sum"), ("TunnelDataOut", "Sum"))


class ManagedState(StrEnum):
    """What is seen of a managed tunnel or connection."""

    UP = "up"
    DEGRADED = "degraded"  # works in part: one tunnel of two, or one that was down for a part of the time
    SILENT = "silent"  # looks up and sends, but nothing comes back
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Telemetry:
    """What EC2 says of one tunnel (VgwTelemetry); all empty if it says nothing."""

    status: str = ""  # UP or DOWN
    message: str = ""  # as "IPSEC IS DOWN"
    since_wall: float | None = None  # when the status last changed
    accepted_routes: int | None = None  # by BGP


@dataclass(frozen=True)
class Point:
    """One data point of a metric."""

    at_wall: float  # begin of its period
    value: float


@dataclass(frozen=True)
class Metrics:
    """What CloudWatch says of one tunnel over `LOOKBACK`, the oldest point first."""

    state: tuple[Point, ...] = ()
    data_in: tuple[Point, ...] = ()
    data_out: tuple[Point, ...] = ()

    @property
    def bytes_in(self) -> int | None:
        """Bytes from the customer gateway; None if there is no data point."""
        return _sum(self.data_in)

    @property
    def bytes_out(self) -> int | None:
        """Bytes to the customer gateway; None if there is no data point."""
        return _sum(self.data_out)

    @property
    def unanswered(self) -> bool:
        """Bytes went out, and none came in by all data points, which span `SILENT_SPAN` at least."""
        if not self.data_in or not self.bytes_out:
            return False
        return self.bytes_in == 0 and self.data_in[-1].at_wall - self.data_in[0].at_wall >= SILENT_SPAN


@dataclass(frozen=True)
class ManagedTunnel:
    """One tunnel of a managed connection with its verdict."""

    address: str  # outside, on AWS's side
    inside_cidr: str
    state: ManagedState
    reason: str  # one sentence
    telemetry: Telemetry
    metrics: Metrics


@dataclass(frozen=True)
class ManagedConnection:
    """One managed VPN connection with its verdict; ``vpn_gateway_id`` is empty where a transit gateway has it."""

    id: str
    vpn_gateway_id: str
    customer_gateway_id: str
    state: ManagedState
    reason: str  # one sentence
    tunnels: tuple[ManagedTunnel, ...]
    ec2_state: str  # pending, available, deleting or deleted
    transit_gateway_id: str = ""
    static_routes_only: bool = False
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Its tag Name; empty if it has none."""
        return dict(self.tags).get("Name", "")

    @property
    def title(self) -> str:
        """Its id, and its name where it has one."""
        return f"{self.id} ({self.name})" if self.name else self.id


# --- Verdicts: pure ------------------------------------------------------------------------------------------------


def tunnel_verdict(
    telemetry: Telemetry, metrics: Metrics, now: float, *, answered_elsewhere: bool = False
) -> tuple[ManagedState, str]:
    """The verdict on one tunnel with its reason.

    ``answered_elsewhere``: another tunnel of the connection has data in. AWS may send by one tunnel while the peer
    answers by the other, so nothing in here is then no silence.
    """
    latest = metrics.state[-1] if metrics.state else None
    if telemetry.status == "DOWN":
        since = f" since {format_time(telemetry.since_wall)}" if telemetry.since_wall is not None else ""
        message = f" ({telemetry.message})" if telemetry.message else ""
        return ManagedState.DOWN, f"EC2 says that it is down{since}{message}."
    if latest is None or now - latest.at_wall > STALE:
        ec2 = f"EC2 says {telemetry.status}" if telemetry.status else "EC2 says nothing of it"
        newest = f"since {format_time(latest.at_wall)}" if latest is not None else f"in {LOOKBACK / 60:.0f} min"
        return ManagedState.UNKNOWN, f"{ec2}, and TunnelState has had no data point {newest}."
    if latest.value <= 0.0:
        if telemetry.status == "UP" and telemetry.since_wall is not None and telemetry.since_wall > latest.at_wall:
            back = f"EC2 says that it is up since {format_time(telemetry.since_wall)}"
            return ManagedState.DEGRADED, f"{back}; TunnelState has not confirmed it yet."
        return ManagedState.DOWN, f"TunnelState was 0 at {format_time(latest.at_wall)}."
    if latest.value < 1.0:
        return ManagedState.DEGRADED, f"TunnelState was {latest.value:.2f} at {format_time(latest.at_wall)}."
    if metrics.unanswered and not answered_elsewhere:
        minutes = (metrics.data_in[-1].at_wall - metrics.data_in[0].at_wall) / 60
        return ManagedState.SILENT, f"It is up and sent {metrics.bytes_out} bytes, but got none for {minutes:.0f} min."
    if metrics.unanswered:
        return ManagedState.UP, "It is up; answers come by another tunnel of the connection."
    return ManagedState.UP, "It is up."


def connection_verdict(ec2_state: str, tunnels: Sequence[ManagedTunnel]) -> tuple[ManagedState, str]:
    """The verdict on a connection with its reason."""
    if ec2_state in GONE:
        return ManagedState.DOWN, f"The connection is {ec2_state}."
    if not tunnels:
        return ManagedState.UNKNOWN, f"EC2 shows no tunnel of it (it is {ec2_state or 'in no known state'})."
    states = {tunnel.state for tunnel in tunnels}
    told = " ".join(f"{tunnel.address}: {tunnel.reason}" for tunnel in tunnels if tunnel.state is not ManagedState.UP)
    if states == {ManagedState.UP}:
        return ManagedState.UP, "All its tunnels are up." if len(tunnels) > 1 else "Its tunnel is up."
    if ManagedState.SILENT in states:
        return ManagedState.SILENT, told
    if states == {ManagedState.DOWN}:
        return ManagedState.DOWN, told
    if states & {ManagedState.UP, ManagedState.DEGRADED}:
        return ManagedState.DEGRADED, told
    return ManagedState.UNKNOWN, told


def judge(connection: Mapping[str, Any], metrics: Mapping[tuple[str, str], Metrics], now: float) -> ManagedConnection:
    """A connection as boto3 gives it, judged with the metrics of tunnels by connection id and outside address."""
    vpn = str(connection["VpnConnectionId"])
    options = connection.get("Options") or {}
    inside = {
        str(each["OutsideIpAddress"]): str(each.get("TunnelInsideCidr") or "")
        for each in options.get("TunnelOptions") or ()
        if each.get("OutsideIpAddress")
    }
    telemetry = {address: _telemetry(each) for address, each in _telemetries(connection)}
    own = {address: metrics.get((vpn, address), Metrics()) for address in addresses(connection)}
    tunnels = []
    for address, figures in own.items():
        elsewhere = any(other.bytes_in for name, other in own.items() if name != address)
        said = telemetry.get(address, Telemetry())
        state, reason = tunnel_verdict(said, figures, now, answered_elsewhere=elsewhere)
        tunnels.append(ManagedTunnel(address, inside.get(address, ""), state, reason, said, figures))
    ec2_state = str(connection.get("State") or "")
    state, reason = connection_verdict(ec2_state, tunnels)
    return ManagedConnection(
        id=vpn,
        vpn_gateway_id=str(connection.get("VpnGatewayId") or ""),
        customer_gateway_id=str(connection.get("CustomerGatewayId") or ""),
        state=state,
        reason=reason,
        tunnels=tuple(tunnels),
        ec2_state=ec2_state,
        transit_gateway_id=str(connection.get("TransitGatewayId") or ""),
        static_routes_only=bool(options.get("StaticRoutesOnly")),
        tags=tuple(sorted(to_dict(connection.get("Tags")).items())),
    )


def addresses(connection: Mapping[str, Any]) -> list[str]:
    """The outside addresses of a connection's tunnels, each once, as EC2 orders them."""
    options = (connection.get("Options") or {}).get("TunnelOptions") or ()
    named = [str(each["OutsideIpAddress"]) for each in options if each.get("OutsideIpAddress")]
    return list(dict.fromkeys([*named, *(address for address, _each in _telemetries(connection))]))


def _telemetries(connection: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    telemetry = connection.get("VgwTelemetry") or ()
    return [(str(each["OutsideIpAddress"]), each) for each in telemetry if each.get("OutsideIpAddress")]


def _telemetry(item: Mapping[str, Any]) -> Telemetry:
    changed = item.get("LastStatusChange")
    return Telemetry(
        status=str(item.get("Status") or "").upper(),
        message=str(item.get("StatusMessage") or ""),
        since_wall=changed.timestamp() if isinstance(changed, datetime) else None,
        accepted_routes=item.get("AcceptedRouteCount"),
    )


def _sum(points: Sequence[Point]) -> int | None:
    return round(sum(point.value for point in points)) if points else None


# --- Calls ---------------------------------------------------------------------------------------------------------


def read_connections(
    ec2: Any,
    cloudwatch: Any,
    *,
    connection_ids: Sequence[str] = (),
    filters: Sequence[Mapping[str, Any]] = (),
    now: float,
) -> list[ManagedConnection]:
    """Reads connections with both tunnels and judges them: one call to EC2, and one to CloudWatch for each 500 metrics.

    ``filters`` are EC2's (Name, Values). Connections that are deleted stay listed in EC2 for a while; they are left
    out unless they are asked for by id. ``now`` is wall time. Raises Ec2Error, also for an id that EC2 does not know.
    """
    found = describe(ec2, connection_ids=connection_ids, filters=filters)
    metrics = read_metrics(cloudwatch, [(each["VpnConnectionId"], addresses(each)) for each in found], now)
    return [judge(each, metrics, now) for each in found]


def describe(
    ec2: Any, *, connection_ids: Sequence[str] = (), filters: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """The connections as boto3 gives them, by id; see `read_connections`. Raises Ec2Error."""
    asked: dict[str, Any] = {}
    if connection_ids:
        asked["VpnConnectionIds"] = list(connection_ids)
    if filters:
        asked["Filters"] = [dict(each) for each in filters]
    found = pages(ec2, "describe_vpn_connections", "VpnConnections", "reading the VPN connections", **asked)
    kept = [each for each in found if connection_ids or each.get("State") not in GONE]
    return sorted(kept, key=lambda each: str(each["VpnConnectionId"]))


def read_metrics(
    cloudwatch: Any, tunnels: Iterable[tuple[str, Sequence[str]]], now: float
) -> dict[tuple[str, str], Metrics]:
    """The metrics of tunnels, given as connection id and outside addresses; by these two. Raises Ec2Error."""
    asked = [
        (connection, address, form, metric)
        for connection, outside in tunnels
        for address in outside
        for form in FORMS
        for metric, _statistic in _METRICS
    ]
    queries = [_query(f"q{number}", *each) for number, each in enumerate(asked)]
    points: dict[str, list[Point]] = {}
    for start in range(0, len(queries), BATCH):
        for each in _get(cloudwatch, queries[start : start + BATCH], now):
            pairs = zip(each.get("Timestamps") or (), each.get("Values") or (), strict=False)
            points.setdefault(each["Id"], []).extend(Point(at.timestamp(), float(value)) for at, value in pairs)
    series = {
        key: tuple(sorted(points.get(f"q{number}", ()), key=lambda point: point.at_wall))
        for number, key in enumerate(asked)
    }
    result: dict[tuple[str, str], Metrics] = {}
    for connection, address, form, _metric in asked:
        found = Metrics(*(series[(connection, address, form, metric)] for metric, _statistic in _METRICS))
        if found.state or (connection, address) not in result:
            result[(connection, address)] = found
    return result


def dimensions(connection: str, address: str, form: Sequence[str]) -> list[dict[str, str]]:
    """The dimensions of a tunnel's metrics in one of the `FORMS`."""
    values = {VPN: connection, ADDRESS: address}
    return [{"Name": name, "Value": values[name]} for name in form]


def _query(name: str, connection: str, address: str, form: Sequence[str], metric: str) -> dict[str, Any]:
    named = {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions(connection, address, form)}
    return {"Id": name, "MetricStat": {"Metric": named, "Period": PERIOD, "Stat": dict(_METRICS)[metric]}}


def _get(cloudwatch: Any, queries: list[dict[str, Any]], now: float) -> list[dict[str, Any]]:
    # whole periods: a part of one would count fewer bytes, and an end cut to seconds on the wire may miss the newest
    end = (int(now) // PERIOD + 1) * PERIOD
    return pages(
        cloudwatch, "get_metric_data", "MetricDataResults", "reading the tunnels' metrics",
        MetricDataQueries=queries, StartTime=datetime.fromtimestamp(end - PERIOD - LOOKBACK, UTC),
        EndTime=datetime.fromtimestamp(end, UTC), ScanBy="TimestampDescending",
    )  # fmt: skip
