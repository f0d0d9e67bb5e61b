# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus metrics: counters kept as things happen, gauges made from the status when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ansible_collections.vpnha.aws.plugins.module_utils import api_way
from ansible_collections.vpnha.aws.plugins.module_utils.diagnoses import DIAGNOSES
from ansible_collections.vpnha.aws.plugins.module_utils.model import Verdict

_SWAP_BUCKETS = (0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
_VERDICTS = tuple(verdict.value for verdict in Verdict)
_TRAFFIC = {True: "flows", False: "broken", None: "unknown"}
ROOMS = ("cycle", "house", "invariant", "reload")  # that errors are counted of


class Counters:
    """What only grows. What an alert asks for begins at 0: a counter that begins at 1 has not grown for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter("vpnha_events", "Events by diagnosis.", ["code", "resolved"], registry=registry)
        self.errors = Counter("vpnha_errors", "Errors inside the monitor by room.", ["room"], registry=registry)
        self.swaps = Counter("vpnha_swaps", "Swaps by what became of them.", ["result", "reason"], registry=registry)
        self.swap_seconds = Histogram(
            "vpnha_swap_seconds", "From issuing a swap to its acceptance.", buckets=_SWAP_BUCKETS, registry=registry
        )
        self.repairs = Counter(
            "vpnha_repairs", "Repairs by what became of them.", ["result", "rung"], registry=registry
        )
        self.reads = Counter("vpnha_ec2_reads", "Reads of EC2 by result.", ["result"], registry=registry)
        self.managed_reads = Counter(
            "vpnha_managed_reads",
            "Reads of what AWS says of managed gateways, by result.",
            ["result"],
            registry=registry,
        )
        self.puts = Counter(
            "vpnha_cloudwatch_puts", "Signs of life to CloudWatch by result.", ["result"], registry=registry
        )
        self.pauses = Counter("vpnha_loop_pauses", "Times the loop was too late to be trusted.", registry=registry)
        for diagnosis in DIAGNOSES.values():
            if diagnosis.action != "none":
                self.events.labels(diagnosis.code, "false")
        for room in ROOMS:
            self.errors.labels(room)
        for result in ("ok", "failed"):
            self.reads.labels(result)
            self.puts.labels(result)
            self.managed_reads.labels(result)


class StatusCollector(Collector):
    """Gauges out of the status document; none of them when the loop does not answer."""

    def __init__(self, ask: Callable[[], Mapping[str, Any] | None]) -> None:
        self._ask = ask

    def describe(self) -> list[Metric]:
        """Empty: the registry must not ask the loop before it runs."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        status = self._ask()
        yield _single("vpnha_loop_alive", "1 if the monitor's loop answers.", 0.0 if status is None else 1.0)
        if status is not None:
            yield from gauges(status)


def gauges(status: Mapping[str, Any]) -> Iterator[Metric]:
    """All gauges of a status document, in its own units: seconds, shares 0..1, counts."""
    verdict = GaugeMetricFamily("vpnha_gateway_verdict", "1 for the gateway's verdict.", labels=["gateway", "verdict"])
    loss = GaugeMetricFamily("vpnha_gateway_loss_ratio", "Probes lost, grey window.", labels=["gateway", "probe"])
    rtt = GaugeMetricFamily("vpnha_gateway_rtt_seconds", "Round trip of the newest heartbeat.", labels=["gateway"])
    age = GaugeMetricFamily("vpnha_gateway_answer_age_seconds", "Since the last answer.", labels=["gateway"])
    routes = GaugeMetricFamily("vpnha_gateway_routes", "Routes to sites that use the gateway.", labels=["gateway"])
    tunnel = GaugeMetricFamily("vpnha_tunnel_verdict", "1 for the tunnel's verdict.", labels=["tunnel", "verdict"])
    tunnel_loss = GaugeMetricFamily("vpnha_tunnel_loss_ratio", "Probes lost, as the agent says.", labels=["tunnel"])
    tunnel_rtt = GaugeMetricFamily("vpnha_tunnel_rtt_seconds", "Round trip, as the agent says.", labels=["tunnel"])
    site = GaugeMetricFamily(
        "vpnha_path_verdict", "1 for the verdict on the way to a site.", labels=["site", "gateway", "verdict"]
    )
    for gateway in status["gateways"]:
        name = gateway["name"]
        _verdict(verdict, [name], gateway["verdict"])
        loss.add_metric([name, "heartbeat"], gateway["heartbeat"]["slow_loss"])
        loss.add_metric([name, "icmp"], gateway["icmp"]["slow_loss"])
        if gateway["rtt_ms"] is not None:
            rtt.add_metric([name], gateway["rtt_ms"] / 1000)
        if gateway["answer_age"] is not None:
            age.add_metric([name], gateway["answer_age"])
        routes.add_metric([name], gateway["routes"])
    for each in status["managed_gateways"]:
        routes.add_metric([each["name"]], each["routes"])
    for each in status["tunnels"]:
        _verdict(tunnel, [each["name"]], each["verdict"])
        if each["loss"] is not None:
            tunnel_loss.add_metric([each["name"]], each["loss"])
        if each["rtt_ms"] is not None:
            tunnel_rtt.add_metric([each["name"]], each["rtt_ms"] / 1000)
    for each in status["paths"]:
        _verdict(site, [each["site"], each["gateway"]], each["verdict"])
    yield from (verdict, loss, rtt, age, routes, tunnel, tunnel_loss, tunnel_rtt, site)
    yield _certificates(status)
    yield from _traffic(status)
    yield from _managed(status)
    refused = GaugeMetricFamily("vpnha_packets_refused", "Ignored packets since the start.", labels=["reason"])
    for reason, count in status["refused"].items():
        refused.add_metric([reason], count)
    yield refused
    yield _single("vpnha_routes_away_from_home", "Routes to sites not at their home gateway.", len(status["away"]))
    yield _single("vpnha_routes_missing", "Routes to sites that are not there.", len(status["missing_routes"]))
    refused_tables = len(status["refused_tables"])
    yield _single("vpnha_route_tables_refused", "Route tables that are not looked after.", refused_tables)
    yield _single("vpnha_pins", "Route tables with a pin.", len(status["pins"]))
    yield _single("vpnha_pauses", "Pauses in force.", len(status["pauses"]))
    yield from _swaps(status)
    yield from _repairs(status)
    yield from _agreement(status)
    yield from _notification(status)
    yield from _itself(status)


def _itself(status: Mapping[str, Any]) -> Iterator[Metric]:
    """What the monitor says of itself."""
    if status["ec2"]["age"] is not None:
        yield _single("vpnha_ec2_view_age_seconds", "Age of what is known of EC2.", status["ec2"]["age"])
    if status["api_way"] is not None:
        yield _way(status["api_way"]["kind"])
    yield _single("vpnha_clock_skew_seconds", "AWS's clock minus this host's, if it matters.", status["clock_skew"])
    yield _single("vpnha_loop_lag_seconds", "Worst lateness of the loop in the last minute.", status["loop_lag"])
    yield _single("vpnha_journal_failing", "1 while it cannot be written.", float(status["journal"]["failing"]))
    yield _single("vpnha_journal_dropped", "Events lost since the start.", status["journal"]["dropped"])
    yield _single("vpnha_monitor_able", "1 if the monitor can act, and could for some seconds.", float(status["able"]))
    yield _single("vpnha_start_time_seconds", "When the monitor started.", status["started_wall"])


def _way(seen: str) -> Metric:
    """How the monitor's own calls reach EC2."""
    way = GaugeMetricFamily("vpnha_api_way", "1 for the way of the monitor's calls to EC2.", labels=["kind"])
    for kind in (api_way.WITHIN, api_way.PAST, api_way.BEHIND, api_way.UNKNOWN):
        way.add_metric([kind], float(kind == seen))
    return way


def _swaps(status: Mapping[str, Any]) -> Iterator[Metric]:
    yield _single("vpnha_swaps_in_flight", "Swaps under way.", status["swaps_in_flight"])
    yield _single("vpnha_swaps_waiting", "Swaps that wait for EC2's limit.", status["swaps"]["waiting"])
    yield _single("vpnha_swap_refusals", "Calls that EC2 refused for its limit.", status["swaps"]["refusals"])


def _managed(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Of the managed gateways; their verdicts are among those on the ways to sites."""
    labels = ["gateway", "site"]
    loss = GaugeMetricFamily("vpnha_managed_loss_ratio", "Probes lost, grey window.", labels=labels)
    rtt = GaugeMetricFamily("vpnha_managed_rtt_seconds", "Round trip through the managed gateway.", labels=labels)
    age = GaugeMetricFamily("vpnha_managed_answer_age_seconds", "Since the last answer.", labels=labels)
    said = GaugeMetricFamily("vpnha_managed_witness", "1 for what AWS says of it.", labels=["gateway", "word"])
    said_age = GaugeMetricFamily("vpnha_managed_witness_age_seconds", "Since that was read.", labels=["gateway"])
    for each in status["managed_gateways"]:
        for site in each["sites"]:
            place = [each["name"], site["site"]]
            if site["loss"] is not None:
                loss.add_metric(place, site["loss"])
            if site["rtt_ms"] is not None:
                rtt.add_metric(place, site["rtt_ms"] / 1000)
            if site["answer_age"] is not None:
                age.add_metric(place, site["answer_age"])
        for word in ("up", "down", "unknown"):
            said.add_metric([each["name"], word], float(word == (each["witness"] or "unknown")))
        if each["witness_age"] is not None:
            said_age.add_metric([each["name"]], each["witness_age"])
    if status["managed_gateways"]:
        yield from (loss, rtt, age, said, said_age)


def _certificates(status: Mapping[str, Any]) -> Metric:
    ends = GaugeMetricFamily(
        "vpnha_certificate_end_timestamp_seconds", "When the gateway's certificate ends.", labels=["gateway"]
    )
    for gateway in status["gateways"]:
        if gateway["certificate_ends"] is not None:
            ends.add_metric([gateway["name"]], gateway["certificate_ends"])
    return ends


def _traffic(status: Mapping[str, Any]) -> Iterator[Metric]:
    """The question that everybody asks first."""
    traffic = GaugeMetricFamily(
        "vpnha_traffic", "1 for whether a zone's packets get to a site.", labels=["zone", "site", "state"]
    )
    for each in status["traffic"]:
        for flows, state in _TRAFFIC.items():
            traffic.add_metric([each["zone"], each["site"], state], float(each["flows"] is flows))
    down = GaugeMetricFamily("vpnha_site_down", "1 while a site answers through no gateway.", labels=["site"])
    mute = GaugeMetricFamily("vpnha_site_silent", "1 while tunnels carry, but no target answers.", labels=["site"])
    for each in status["sites"]:
        down.add_metric([each["name"]], float(bool(each["down"])))
        mute.add_metric([each["name"]], float(bool(each["silent"])))
    yield from (traffic, down, mute)


def _repairs(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Of every gateway, where the monitor repairs at all."""
    under_way = GaugeMetricFamily("vpnha_repair_under_way", "1 while a gateway is being repaired.", labels=["gateway"])
    steps = GaugeMetricFamily("vpnha_repair_steps", "Steps of its repair within 24 hours.", labels=["gateway"])
    allowed = GaugeMetricFamily("vpnha_repair_steps_allowed", "Steps that it may have.", labels=["gateway"])
    person = GaugeMetricFamily("vpnha_repair_needs_person", "1 when repair ends and it is down.", labels=["gateway"])
    if status["repair"] != "none":
        known = {each["gateway"]: each for each in status["repairs"]}
        for gateway in status["gateways"]:
            name = gateway["name"]
            one = known.get(name, {"under_way": False, "steps": 0, "needs_person": False})
            under_way.add_metric([name], float(one["under_way"]))
            steps.add_metric([name], one["steps"])
            allowed.add_metric([name], status["repair_steps_allowed"])
            person.add_metric([name], float(one["needs_person"]))
    yield from (under_way, steps, allowed, person)


def _agreement(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Of the lease and the other monitors; nothing for a single one."""
    held = status["lease"]
    if held is None:
        return
    mine = float(held["left"] > 0.0)
    yield _single("vpnha_lease_held", "1 while this monitor has the lease.", mine)
    yield _single("vpnha_lease_store_errors", "Calls to the lease store that failed, since the start.", held["errors"])
    if held["store_age"] is not None:
        yield _single("vpnha_lease_store_age_seconds", "Since the lease store was read.", held["store_age"])
    age = GaugeMetricFamily(
        "vpnha_monitor_able_age_seconds", "Since another monitor said that it can act.", labels=["monitor"]
    )
    for each in status["monitors"]:
        if each["name"] != status["monitor"] and each["able_age"] is not None:
            age.add_metric([each["name"]], each["able_age"])
    yield age


def _notification(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Of messages to people, by the target's name, which has nothing of its address but the scheme."""
    if not status["notify"].get("targets"):
        return
    labels = ["target"]
    queued = GaugeMetricFamily("vpnha_notify_queued", "Messages that wait for a target.", labels=labels)
    failing = GaugeMetricFamily("vpnha_notify_failing", "1 while a target takes no messages.", labels=labels)
    sent = CounterMetricFamily("vpnha_notify_sent", "Messages sent since the start.", labels=labels)
    failed = CounterMetricFamily("vpnha_notify_failed", "Tries that failed since the start.", labels=labels)
    dropped = CounterMetricFamily("vpnha_notify_dropped", "Messages given up since the start.", labels=labels)
    for each in status["notify"]["targets"]:
        name = [each["name"]]
        queued.add_metric(name, each["queued"])
        failing.add_metric(name, float(each["failing"]))
        sent.add_metric(name, each["sent"])
        failed.add_metric(name, each["failed"])
        dropped.add_metric(name, each["dropped"])
    yield from (queued, failing, sent, failed, dropped)


def _verdict(family: GaugeMetricFamily, labels: list[str], verdict: str) -> None:
    for each in _VERDICTS:
        family.add_metric([*labels, each], float(each == verdict))


def _single(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
