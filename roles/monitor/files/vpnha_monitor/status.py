# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status document: what /status, /healthz, /metrics and ``vpnha status`` show.

Pure: made from the verdicts and the evidence of one moment. Times are seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import lease, owners
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Deployment,
    Ec2View,
    Evidence,
    GatewayEvidence,
    LossStats,
    ManagedEvidence,
    ManagedGateway,
    Route,
)
from ansible_collections.vpnha.aws.plugins.module_utils.repair import history, under_way
from ansible_collections.vpnha.aws.plugins.module_utils.state import State
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import Judgement, Verdicts

from . import flowing
from .waiting import Progress

_NO_LOSS = LossStats()


@dataclass(frozen=True)
class Daemon:
    """What the status says of the monitor itself."""

    monitor: str
    started_wall: float
    loop_lag: float = 0.0
    journal: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    send_errors: Mapping[str, int] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    actions: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Mapping[str, Any]] = ()
    ec2_error: str = ""
    api_way: Mapping[str, Any] | None = None  # see api_way.Way; None before it was first looked at
    clock_skew: float = 0.0
    store_error: str = ""
    store_errors: int = 0
    process: Mapping[str, str] = field(default_factory=dict)  # what only a restart changes
    # the checksum of the file that was read last, why it was refused, and whether another one is being read
    config: Mapping[str, Any] = field(default_factory=lambda: {"checksum": "", "error": "", "reading": False})
    rtt: Mapping[str, float | None] = field(default_factory=dict)  # by gateway, seconds
    notify: Mapping[str, Any] = field(default_factory=dict)  # see notify.room


def build(deployment: Deployment, state: State, evidence: Evidence, daemon: Daemon, now: float) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    view, verdicts = evidence.ec2, state.verdicts
    routes = [_route(deployment, route) for _key, route in sorted(view.routes.items())] if view else []
    traffic = flowing.rows(deployment, verdicts, view)
    away = [route for route in routes if not route["at_home"]]
    reasons = flowing.attention(deployment, evidence, verdicts)
    carry = carried(view)
    return {
        "monitor": daemon.monitor,
        "deployment": deployment.name,
        "region": deployment.region,
        "wall": evidence.wall,
        "started_wall": daemon.started_wall,
        "sentence": flowing.sentence_of(deployment, traffic, len(away), view, reasons),
        "healthy": not reasons,
        "able": not reasons and owners.word(state, evidence, "", now).able,  # and has been for some seconds
        "reasons": reasons,
        "traffic": traffic,
        "gateways": [
            _gateway(deployment, gateway.name, verdicts, evidence, daemon) | {"routes": carry.get(gateway.name, 0)}
            for gateway in deployment.gateways
        ],
        "managed_gateways": [
            _managed(one, verdicts, evidence) | {"routes": carry.get(one.name, 0)}
            for one in deployment.managed_gateways
        ],
        "tunnels": [
            {"name": tunnel.name, "site": tunnel.site, "gateway": tunnel.gateway}
            | _judged(verdicts.tunnels.get(tunnel.name))
            | _tunnel_figures(tunnel.name, evidence.gateways.get(tunnel.gateway))
            for tunnel in deployment.tunnels
        ],
        "paths": [
            {"gateway": gateway, "site": site} | _judged(judgement)
            for (gateway, site), judgement in sorted(verdicts.paths.items())
        ],
        "sites": [
            {
                "name": site.name,
                "prefixes": list(site.prefixes),
                "down": verdicts.sites_down.get(site.name, ""),
                "silent": verdicts.sites_silent.get(site.name, ""),
            }
            for site in deployment.sites
        ],
        "routes": routes,
        "away": away,
        "missing_routes": [deployment.named(key) for key in sorted(view.missing_routes)] if view else [],
        "refused_tables": dict(view.refused_tables) if view else {},
        "pins": _pins(view, evidence.aws_wall),
        "pauses": pauses(view, evidence.aws_wall),
        "drill": view.drill if view else None,
        "lease": _lease(state, evidence, daemon, now),
        "monitors": _monitors(state, evidence),
        "repair": deployment.repair,
        "repair_steps_allowed": deployment.timing.repairs_per_day,
        "repairs": _repairs(state, view, evidence.aws_wall, now),
        "ec2": {"age": _rounded(evidence.ec2_age), "error": daemon.ec2_error},
        "api_way": None if daemon.api_way is None else dict(daemon.api_way),
        "loop_lag": round(daemon.loop_lag, 4),
        "clock_skew": daemon.clock_skew,
        "process": dict(daemon.process),
        "config": dict(daemon.config),
        "journal": dict(daemon.journal),
        "notify": dict(daemon.notify),
        "refused": dict(daemon.refused),
        "send_errors": dict(daemon.send_errors),
        "swaps_in_flight": daemon.progress.under_way,
        "swaps": _progress(daemon.progress),
        "actions": list(daemon.actions),
        "events": list(daemon.events),
    }


def _progress(how: Progress) -> dict[str, Any]:
    return {
        "ordered": how.ordered,
        "waiting": how.waiting,
        "ended": how.ended,
        "seconds_left": round(how.seconds_left, 1),
        "a_second": round(how.pace, 2),
        "slowed": how.slowed,
        "refusals": how.refusals,
        "text": how.sentence if how.waiting else "",
    }


def pauses(view: Ec2View | None, wall: float) -> list[dict[str, Any]]:
    """The pauses in force."""
    if view is None:
        return []
    found = [("deployment", "", view.paused_deployment_until_wall or 0.0)]
    found += [("gateway", name, until) for name, until in sorted(view.paused_gateways.items())]
    found += [("table", table, until) for table, until in sorted(view.paused_tables.items())]
    return [{"scope": scope, "name": name, "until": until} for scope, name, until in found if until > wall]


def carried(view: Ec2View | None) -> dict[str, int]:
    """How many managed routes each gateway carries."""
    counts: dict[str, int] = {}
    for route in view.routes.values() if view else ():
        if route.gateway is not None:
            counts[route.gateway] = counts.get(route.gateway, 0) + 1
    return counts


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def _judged(judgement: Judgement | None) -> dict[str, Any]:
    known = judgement or flowing.UNJUDGED
    return {"verdict": known.verdict.value, "code": known.code, "text": known.text}


def _route(deployment: Deployment, route: Route) -> dict[str, Any]:
    home = deployment.home(route.zone)
    site = deployment.site_of(route.key.destination)
    return {
        "table": route.key.table_id,
        "destination": route.key.destination,
        "zone": route.zone,
        "site": site.name if site else None,
        "gateway": route.gateway,
        "home": home.name if home else None,
        "at_home": flowing.at_home(deployment, route),
        "target": route.target,
        "blackhole": route.blackhole,
    }


def _gateway(
    deployment: Deployment, name: str, verdicts: Verdicts, evidence: Evidence, daemon: Daemon
) -> dict[str, Any]:
    gateway = deployment.gateway(name)
    seen = evidence.gateways.get(name)
    instance = evidence.ec2.instances.get(name) if evidence.ec2 else None
    rtt = daemon.rtt.get(name)
    figures = seen or GatewayEvidence(_NO_LOSS, _NO_LOSS)
    return {
        "name": name,
        "zone": gateway.zone,
        "address": gateway.address,
        "certificate_ends": gateway.certificate_ends,
        **_judged(verdicts.gateways.get(name)),
        "heartbeat": asdict(figures.heartbeat),
        "icmp": asdict(figures.icmp),
        "answer_age": _rounded(figures.heartbeat.last_answer_age),
        "rtt_ms": None if rtt is None else round(rtt * 1000, 2),
        "report_age": _rounded(figures.report_age),
        "charon": figures.report.charon if figures.report else None,
        "counters": dict(figures.report.counters) if figures.report else None,
        "instance": None if instance is None else asdict(instance),
    }


def _managed(gateway: ManagedGateway, verdicts: Verdicts, evidence: Evidence) -> dict[str, Any]:
    seen = evidence.managed.get(gateway.name, ManagedEvidence())
    sites = []
    for probe in gateway.probes:
        known = seen.probes.get(probe.site)
        sites.append(
            {
                "site": probe.site,
                "probe": probe.address,
                **_judged(verdicts.paths.get((gateway.name, probe.site))),
                "loss": round(known.loss.slow_loss, 4) if known else None,
                "answer_age": _rounded(known.loss.last_answer_age) if known else None,
                "rtt_ms": round(known.rtt * 1000, 2) if known and known.rtt is not None else None,
            }
        )
    return {
        "name": gateway.name,
        "vpn_gateway": gateway.vpn_gateway,
        "use": gateway.use,
        "home_zones": list(gateway.home_zones),
        "witness": seen.witness,
        "witness_age": _rounded(seen.witness_age),
        "witness_text": seen.witness_text,
        "sites": sites,
    }


def _tunnel_figures(name: str, seen: GatewayEvidence | None) -> dict[str, Any]:
    report = seen.report.tunnels.get(name) if seen and seen.report else None
    if report is None:
        return {"ike": None, "child": None, "bgp": None, "rtt_ms": None, "loss": None}
    return {
        "ike": report.ike,
        "child": report.child,
        "bgp": report.bgp,
        "rtt_ms": report.rtt_ms,
        "loss": round(report.probe.slow_loss, 4),
    }


def _pins(view: Ec2View | None, wall: float) -> list[dict[str, Any]]:
    return [
        {"table": table, "gateway": pin.gateway, "until": pin.expires_wall, "by": pin.by}
        for table, pin in (sorted(view.table_pins.items()) if view else ())
        if pin.expires_wall > wall
    ]


def _repairs(state: State, view: Ec2View | None, wall: float, now: float) -> list[dict[str, Any]]:
    """Gateways that are being repaired, wait for it, or have used up some of their steps."""
    if view is None or state.deployment.repair == "none":
        return []
    begun = dict(under_way(state, view, wall, now))
    found = []
    for gateway in state.deployment.gateways:
        name = gateway.name
        past = history(state, view, name, wall, now)
        words = state.repairs.lost.get(name) or state.repairs.failed.get(name) or state.repairs.waiting.get(name, "")
        if past.used or words:
            found.append(
                {
                    "gateway": name,
                    "under_way": name in begun,
                    "rung": past.rung,
                    "steps": past.used,
                    "steps_allowed": state.deployment.timing.repairs_per_day,
                    "last": max(past.walls, default=None),
                    "needs_person": name in state.repairs.lost,
                    "text": words,
                }
            )
    return found


def _lease(state: State, evidence: Evidence, daemon: Daemon, now: float) -> dict[str, Any] | None:
    """Who has the lease; None for a single monitor, which needs none."""
    if not lease.needed(state.deployment):
        return None
    return {
        "holder": evidence.store.holder,
        "left": _rounded(max(0.0, owners.lease_left(state, evidence, now))),  # of this monitor's
        "store_age": _rounded(evidence.store.age),
        "error": daemon.store_error,
        "errors": daemon.store_errors,
    }


def _monitors(state: State, evidence: Evidence) -> list[dict[str, Any]]:
    """The monitors, whose routes they own, and how long ago the others have said that they can act."""
    zones = {zone.name: owners.owner_of(state.deployment, zone.name) for zone in state.deployment.zones}
    several = lease.needed(state.deployment)
    return [
        {
            "name": monitor.name,
            "zone": monitor.zone,
            "owns": [zone for zone, owner in zones.items() if not several or owner == monitor.name],
            "able_age": 0.0 if monitor.name == state.monitor else _rounded(evidence.store.words.get(monitor.name)),
        }
        for monitor in state.deployment.monitors
    ]
