# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS-managed tunnels: what is said of them, how it is asked for, and that no secret of theirs is taken along."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vpnha.aws.plugins.module_utils.errors import Ec2Error
from ansible_collections.vpnha.aws.plugins.module_utils.managed_vpn import (
    BATCH,
    LOOKBACK,
    STALE,
    ManagedState,
    ManagedTunnel,
    Metrics,
    Point,
    Telemetry,
    connection_verdict,
    read_connections,
    tunnel_verdict,
)

NOW = 1_800_000_000.0
ONE, TWO = "203.0.113.1", "203.0.113.2"
UP, DEGRADED, SILENT, DOWN, UNKNOWN = ManagedState
SECRET = "sEcret-of-the-tunnel"
BOTH = ("VpnId", "TunnelIpAddress")
EC2_UP = Telemetry("UP", "IPSEC IS UP", NOW - 86400)
EC2_DOWN = Telemetry("DOWN", "IPSEC IS DOWN", NOW - 60)


def series(*values: float, every: float = 60.0, late: float = 120.0) -> tuple[Point, ...]:
    """Data points, the last one ``late`` seconds ago."""
    newest = NOW - late
    return tuple(Point(newest - every * (len(values) - 1 - n), value) for n, value in enumerate(values))


WELL = Metrics(series(*[1.0] * 11), series(*[500.0] * 11), series(*[700.0] * 11))


# --- One tunnel ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("telemetry", "metrics", "state", "said"),
    [
        (EC2_UP, WELL, UP, "It is up."),
        (Telemetry(), WELL, UP, "It is up."),
        (EC2_DOWN, WELL, DOWN, "down since 2027-01-15T07:59:00Z (IPSEC IS DOWN)"),
        (Telemetry("DOWN"), Metrics(), DOWN, "EC2 says that it is down."),
        (EC2_UP, replace(WELL, state=series(1, 1, 0)), DOWN, "TunnelState was 0 at"),
        (EC2_UP, replace(WELL, state=series(1, 1, 0.4)), DEGRADED, "TunnelState was 0.40 at"),
        (replace(EC2_UP, since_wall=NOW - 5), replace(WELL, state=series(0)), DEGRADED, "not confirmed it yet"),
        (EC2_UP, Metrics(), UNKNOWN, "EC2 says UP, and TunnelState has had no data point in 20 min."),
        (Telemetry(), Metrics(), UNKNOWN, "EC2 says nothing of it, and TunnelState"),
        (EC2_UP, replace(WELL, state=series(1, late=STALE + 1)), UNKNOWN, "no data point since"),
        (EC2_UP, replace(WELL, state=series(1, late=STALE)), UP, "It is up."),
        (EC2_UP, replace(WELL, data_in=series(*[0.0] * 11)), SILENT, "sent 7700 bytes, but got none for 10 min."),
        (EC2_UP, replace(WELL, data_in=series(0, 0, 0, every=300)), SILENT, "for 10 min."),
        (EC2_UP, replace(WELL, data_in=series(*[0.0] * 5)), UP, "It is up."),  # for four minutes only
        (EC2_UP, replace(WELL, data_in=()), UP, "It is up."),  # no figures are no silence
        (EC2_UP, replace(WELL, data_in=series(*[0.0] * 11), data_out=series(*[0.0] * 11)), UP, "It is up."),  # idle
    ],
)
def test_a_tunnel(telemetry: Telemetry, metrics: Metrics, state: ManagedState, said: str) -> None:
    assert tunnel_verdict(telemetry, metrics, NOW)[0] is state
    assert said in tunnel_verdict(telemetry, metrics, NOW)[1]


def test_a_tunnel_whose_answers_come_by_the_other_one_is_up() -> None:
    state, reason = tunnel_verdict(EC2_UP, replace(WELL, data_in=series(*[0.0] * 11)), NOW, answered_elsewhere=True)
    assert state is UP
    assert "answers come by another tunnel" in reason


points = st.lists(
    st.builds(Point, st.floats(NOW - LOOKBACK, NOW), st.sampled_from([0.0, 0.5, 1.0, 900.0])), max_size=6
).map(lambda found: tuple(sorted(found, key=lambda point: point.at_wall)))
telemetries = st.builds(
    Telemetry, st.sampled_from(["", "UP", "DOWN"]), st.just("said"), st.none() | st.floats(NOW - 3600, NOW)
)
figures = st.builds(Metrics, points, points, points)


@given(telemetries, figures, st.booleans())
def test_only_a_fresh_data_point_above_zero_makes_a_tunnel_up(
    telemetry: Telemetry, metrics: Metrics, elsewhere: bool
) -> None:
    state, reason = tunnel_verdict(telemetry, metrics, NOW, answered_elsewhere=elsewhere)
    fresh = [point for point in metrics.state if NOW - point.at_wall <= STALE]
    if state in (UP, SILENT):
        assert fresh and fresh[-1].value >= 1.0 and telemetry.status != "DOWN"
    if not fresh:
        assert state in (UNKNOWN, DOWN)
        assert (state is DOWN) == (telemetry.status == "DOWN")
    if state is SILENT:
        assert metrics.bytes_in == 0 and metrics.bytes_out and not elsewhere
    assert reason.endswith(".")


# --- A connection --------------------------------------------------------------------------------------------------


def tunnels(*states: ManagedState) -> list[ManagedTunnel]:
    return [
        ManagedTunnel(f"203.0.113.{n}", "", state, f"It is {state}.", Telemetry(), Metrics())
        for n, state in enumerate(states, 1)
    ]


@pytest.mark.parametrize(
    ("states", "state", "said"),
    [
        ((UP, UP), UP, "All its tunnels are up."),
        ((UP,), UP, "Its tunnel is up."),
        ((UP, DOWN), DEGRADED, "203.0.113.2: It is down."),
        ((DEGRADED, DOWN), DEGRADED, "203.0.113.1: It is degraded. 203.0.113.2: It is down."),
        ((UP, UNKNOWN), DEGRADED, "203.0.113.2: It is unknown."),
        ((DOWN, DOWN), DOWN, "203.0.113.1: It is down. 203.0.113.2: It is down."),
        ((DOWN, UNKNOWN), UNKNOWN, "203.0.113.2: It is unknown."),
        ((UNKNOWN, UNKNOWN), UNKNOWN, "203.0.113.1: It is unknown."),
        ((SILENT, UP), SILENT, "203.0.113.1: It is silent."),
        ((SILENT, DOWN), SILENT, "203.0.113.2: It is down."),
        ((), UNKNOWN, "EC2 shows no tunnel of it (it is available)."),
    ],
)
def test_a_connection(states: Sequence[ManagedState], state: ManagedState, said: str) -> None:
    assert connection_verdict("available", tunnels(*states))[0] is state
    assert said in connection_verdict("available", tunnels(*states))[1]
    assert connection_verdict("available", tunnels(*states)[::-1])[0] is state


@given(st.lists(st.sampled_from(list(ManagedState)), min_size=1, max_size=3))
def test_a_connection_is_up_only_if_all_are_and_never_better_than_its_best_tunnel(states: list[ManagedState]) -> None:
    state, _reason = connection_verdict("available", tunnels(*states))
    assert (state is UP) == (set(states) == {UP})
    assert (state is DOWN) == (set(states) == {DOWN})
    if not set(states) & {UP, DEGRADED, SILENT}:
        assert state in (DOWN, UNKNOWN)


def test_a_connection_that_is_gone_is_down() -> None:
    assert connection_verdict("deleted", tunnels(UP, UP)) == (DOWN, "The connection is deleted.")


# --- Calls ---------------------------------------------------------------------------------------------------------


def connection(number: int = 1, *outside: str, **more: Any) -> dict[str, Any]:
    """A connection as EC2 answers it, secrets and all."""
    outside = outside or (f"203.0.{number}.1", f"203.0.{number}.2")
    return {
        "VpnConnectionId": f"vpn-{number:04}",
        "VpnGatewayId": "vgw-1",
        "CustomerGatewayId": "cgw-1",
        "State": "available",
        "CustomerGatewayConfiguration": f"<pre_shared_key>{SECRET}</pre_shared_key>",
        "Options": {
            "StaticRoutesOnly": True,
            "TunnelOptions": [
                {"OutsideIpAddress": each, "TunnelInsideCidr": "169.254.10.0/30", "PreSharedKey": SECRET}
                for each in outside
            ],
        },
        "VgwTelemetry": [
            {
                "OutsideIpAddress": each,
                "Status": "UP",
                "StatusMessage": "IPSEC IS UP",
                "LastStatusChange": datetime.fromtimestamp(NOW - 3600, UTC),
                "AcceptedRouteCount": 2,
            }
            for each in outside
        ],
        "Tags": [{"Key": "Name", "Value": f"office-{number}"}],
        **more,
    }


class Ec2:
    def __init__(self, *connections: dict[str, Any]) -> None:
        self.connections = connections
        self.asked: list[dict[str, Any]] = []

    def describe_vpn_connections(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        return {"VpnConnections": list(self.connections)}


class CloudWatch:
    """Answers each query with the points that ``values`` has for it, a part of them in each of ``pages``."""

    def __init__(
        self, values: Callable[[str, str, str], Sequence[float]], pages: int = 1, named_by: Sequence[str] = BOTH
    ) -> None:
        self.values, self.pages, self.named_by = values, pages, named_by
        self.asked: list[dict[str, Any]] = []

    def get_metric_data(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        page = int(asked.get("NextToken", "0"))
        results = []
        for query in asked["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            named = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            assert metric["Namespace"] == "AWS/VPN"
            vpn, address = named.get("VpnId", ""), named["TunnelIpAddress"]
            exists = list(named) == list(self.named_by)
            all_points = series(*self.values(vpn, address, metric["MetricName"])) if exists else ()
            mine = [point for number, point in enumerate(reversed(all_points)) if number % self.pages == page]
            results.append(
                {
                    "Id": query["Id"],
                    "StatusCode": "Complete" if page == self.pages - 1 else "PartialData",
                    "Timestamps": [datetime.fromtimestamp(point.at_wall, UTC) for point in mine],
                    "Values": [point.value for point in mine],
                }
            )
        more = {"NextToken": str(page + 1)} if page < self.pages - 1 else {}
        return {"MetricDataResults": results, **more}


def busy(_connection: str, _address: str, metric: str) -> Sequence[float]:
    return [1.0] * 11 if metric == "TunnelState" else [100.0] * 11


def test_both_tunnels_are_read_with_telemetry_and_metrics() -> None:
    ec2, cloudwatch = Ec2(connection(7)), CloudWatch(busy)
    filters = [{"Name": "tag:vpnha:deployment", "Values": ["lab"]}]
    [found] = read_connections(ec2, cloudwatch, connection_ids=["vpn-0007"], filters=filters, now=NOW)
    assert ec2.asked == [{"VpnConnectionIds": ["vpn-0007"], "Filters": filters}]
    assert (found.id, found.name, found.vpn_gateway_id, found.customer_gateway_id, found.ec2_state) == (
        "vpn-0007", "office-7", "vgw-1", "cgw-1", "available",
    )  # fmt: skip
    assert (found.state, found.reason) == (UP, "All its tunnels are up.")
    assert [tunnel.address for tunnel in found.tunnels] == ["203.0.7.1", "203.0.7.2"]
    assert found.tunnels[0].telemetry == Telemetry("UP", "IPSEC IS UP", NOW - 3600, 2)
    assert found.tunnels[0].metrics.bytes_in == 1100
    assert found.tunnels[0].metrics.state == series(*[1.0] * 11)
    [asked] = cloudwatch.asked
    assert len(asked["MetricDataQueries"]) == 12


def test_metrics_that_carry_the_tunnels_address_alone_are_found_too() -> None:
    cloudwatch = CloudWatch(busy, named_by=["TunnelIpAddress"])
    [found] = read_connections(Ec2(connection()), cloudwatch, now=NOW)
    assert found.state is UP
    assert [tunnel.metrics.bytes_in for tunnel in found.tunnels] == [1100, 1100]


def test_each_tunnel_gets_its_own_figures() -> None:
    def values(connection: str, address: str, metric: str) -> Sequence[float]:
        if metric == "TunnelState":
            return [0.0] if address == "203.0.2.1" else [1.0]
        return [int(connection[-1]) * 10 + int(address[-1]) + (0.0 if metric == "TunnelDataIn" else 100.0)]

    one, two = read_connections(Ec2(connection(2), connection(1)), CloudWatch(values), now=NOW)
    assert [one.id, two.id] == ["vpn-0001", "vpn-0002"]
    assert (one.state, two.state) == (UP, DEGRADED)
    assert [(each.metrics.bytes_in, each.metrics.bytes_out) for each in two.tunnels] == [(21, 121), (22, 122)]
    assert [each.state for each in two.tunnels] == [DOWN, UP]


@pytest.mark.parametrize("pages", [1, 3])
def test_more_metrics_than_one_call_takes_are_asked_for_in_several(pages: int) -> None:
    """100 connections are 1200 queries; each answer may come in pages, and every query keeps its figures."""

    def values(connection: str, address: str, metric: str) -> Sequence[float]:
        number = int(connection[-4:]) * 10 + int(address[-1])
        return [1.0] * 11 if metric == "TunnelState" else [float(number)] * 11

    cloudwatch = CloudWatch(values, pages)
    found = read_connections(Ec2(*(connection(n) for n in range(1, 101))), cloudwatch, now=NOW)
    sizes = [len(asked["MetricDataQueries"]) for asked in cloudwatch.asked]
    assert sizes == [BATCH] * 2 * pages + [200] * pages
    assert {each.state for each in found} == {UP}
    for number, tunnel in itertools.product(range(1, 101), (1, 2)):
        metrics = found[number - 1].tunnels[tunnel - 1].metrics
        assert metrics.bytes_in == metrics.bytes_out == 11 * (number * 10 + tunnel)
        assert len(metrics.state) == 11


def test_an_answer_by_the_other_tunnel_is_no_silence_but_none_at_all_is() -> None:
    def one_way(_connection: str, address: str, metric: str) -> Sequence[float]:
        if metric == "TunnelState":
            return [1.0] * 11
        return [100.0 if (metric == "TunnelDataOut") == address.endswith(".1") else 0.0] * 11

    [found] = read_connections(Ec2(connection()), CloudWatch(one_way), now=NOW)
    assert (found.state, [each.state for each in found.tunnels]) == (UP, [UP, UP])
    nothing = CloudWatch(lambda *asked: one_way(*asked) if asked[2] != "TunnelDataIn" else [0.0] * 11)
    [found] = read_connections(Ec2(connection()), nothing, now=NOW)
    assert (found.state, [each.state for each in found.tunnels]) == (SILENT, [SILENT, UP])


def test_no_data_points_are_never_read_as_up() -> None:
    [found] = read_connections(Ec2(connection()), CloudWatch(lambda *_: []), now=NOW)
    assert (found.state, {each.state for each in found.tunnels}) == (UNKNOWN, {UNKNOWN})


def test_no_secret_is_taken_along() -> None:
    [found] = read_connections(Ec2(connection()), CloudWatch(busy), now=NOW)
    assert SECRET not in repr(found)


def test_deleted_connections_are_left_out_unless_asked_for() -> None:
    ec2 = Ec2(connection(1, State="deleted"), connection(2, State="pending", VgwTelemetry=[], Options={}))
    [found] = read_connections(ec2, CloudWatch(busy), now=NOW)
    assert (found.id, found.state) == ("vpn-0002", UNKNOWN)
    gone, _other = read_connections(ec2, CloudWatch(busy), connection_ids=["vpn-0001", "vpn-0002"], now=NOW)
    assert (gone.state, gone.reason) == (DOWN, "The connection is deleted.")


def test_without_connections_cloudwatch_is_not_asked() -> None:
    cloudwatch = CloudWatch(busy)
    assert read_connections(Ec2(), cloudwatch, now=NOW) == []
    assert cloudwatch.asked == []


def test_a_call_that_fails_says_what_was_being_done() -> None:
    from botocore.exceptions import ClientError

    class Refuses(CloudWatch):
        def get_metric_data(self, **asked: Any) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricData")

    with pytest.raises(Ec2Error, match=r"reading the tunnels' metrics: AccessDenied: .* lack a permission"):
        read_connections(Ec2(connection()), Refuses(busy), now=NOW)
