# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person orders: pauses, freezes, failover, failback. Written to EC2, where every monitor sees it."""

from __future__ import annotations

import os
import pwd
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, failover_plan, manual_swap, marks, tags
from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError
from ansible_collections.vpnha.aws.plugins.module_utils.manual_swap import Wish
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.routes import Choice, read_view
from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import Progress

from .config import MonitorConfig

_GOOD = (Verdict.UP.value, Verdict.GREY.value)


@dataclass(frozen=True)
class Which:
    """The routes that are meant; nothing given means all."""

    zones: Sequence[str] | None = None
    tables: Sequence[str] | None = None
    sites: Sequence[str] | None = None


@dataclass(frozen=True)
class Done:
    """What came of an order: one sentence, and details for programs."""

    text: str
    changed: bool
    failed: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


def plan(loaded: MonitorConfig, latency: float) -> dict[str, Any]:
    """How long a failover of each gateway takes at worst, by what EC2 shows now. Raises VpnhaError."""
    return failover_plan.plan(read_view(_client(loaded), loaded.deployment), loaded.deployment, latency)


def pause(loaded: MonitorConfig, scope: str, minutes: int) -> Done:
    """Pause a scope (see marks.pause_place). Raises VpnhaError."""
    client = _client(loaded)
    view = read_view(client, loaded.deployment)
    until = ec2.CLOCK.now() + minutes * 60
    resource = marks.pause(client, view, loaded.deployment.name, scope, tags.Pause(until, _me()))
    text = f"{_named(scope)} is paused until {tags.format_time(until)}; `vpnha resume{_option(scope)}` ends it."
    return Done(text, True, details={"resource": resource, "until": until})


def resume(loaded: MonitorConfig, scope: str) -> Done:
    """End a scope's pause. Raises VpnhaError."""
    client = _client(loaded)
    view = read_view(client, loaded.deployment)
    paused = _paused(view.paused_deployment_until_wall, view.paused_gateways, view.paused_tables, scope)
    resource = marks.resume(client, view, loaded.deployment.name, scope)
    text = f"{_named(scope)} is no longer paused." if paused else f"{_named(scope)} was not paused."
    return Done(text, paused, details={"resource": resource})


def freeze(loaded: MonitorConfig, minutes: int, reason: str) -> Done:
    """Let no drill begin for a while. Raises VpnhaError."""
    mark = marks.Mark("freeze", True, seconds=minutes * 60, by=_me(), reason=reason)
    done = marks.apply(_client(loaded), loaded.deployment, mark, check=False, wall=time.time())
    until = ec2.CLOCK.now() + minutes * 60
    text = f"No drill begins until {tags.format_time(until)}; `vpnha unfreeze` ends that."
    return Done(text, done.changed, details={"resource": done.resources[0], "until": until})


def unfreeze(loaded: MonitorConfig) -> Done:
    """Let drills begin again. Raises VpnhaError."""
    mark = marks.Mark("freeze", False)
    done = marks.apply(_client(loaded), loaded.deployment, mark, check=False, wall=time.time())
    text = "Drills may begin again." if done.changed else "There was no freeze."
    return Done(text, done.changed, details={"resource": done.resources[0]})


def failover(
    loaded: MonitorConfig,
    status: Mapping[str, Any] | None,
    which: Which,
    *,
    to: str,
    minutes: int,
    seconds: float,
    force: bool,
    progress: Progress | None = None,
) -> Done:
    """Move routes to a gateway and pin them. ``status`` is the running monitor's, if one runs. Raises VpnhaError.

    ``progress`` is filled meanwhile.
    """
    if not force:
        _refuse_ailing(loaded.deployment, status, which, [to])
    wish = Wish(_choice(which, to), pin_minutes=minutes, by=_me(), seconds=seconds)
    client = _client(loaded)
    report = manual_swap.run(client, loaded.deployment, wish, check=False, wall=time.time(), progress=progress)
    return _said(report, f"at {to}, pinned for {minutes} minutes; `vpnha failback` ends that")


def failback(
    loaded: MonitorConfig,
    status: Mapping[str, Any] | None,
    which: Which,
    *,
    take_over: bool,
    seconds: float,
    force: bool,
    progress: Progress | None = None,
) -> Done:
    """Move routes home and clear their pins. ``status`` is the running monitor's, if one runs. Raises VpnhaError.

    ``progress`` is filled meanwhile.
    """
    deployment = loaded.deployment
    client = _client(loaded)
    if not force:
        tables = read_view(client, deployment).table_zones
        zones = {zone for table, zone in tables.items() if not which.tables or table in which.tables}
        homes = {deployment.home(zone) for zone in zones if not which.zones or zone in which.zones}
        _refuse_ailing(deployment, status, which, sorted(home.name for home in homes if home))
    wish = Wish(_choice(which, None, take_over), unpin=True, by=_me(), seconds=seconds)
    report = manual_swap.run(client, deployment, wish, check=False, wall=time.time(), progress=progress)
    return _said(report, "at their home gateways, without a pin")


def _refuse_ailing(
    deployment: Deployment, status: Mapping[str, Any] | None, which: Which, gateways: Sequence[str]
) -> None:
    """Raises VpnhaError if the monitor says that one of the gateways would not carry what is meant."""
    if status is None:
        return
    meant = set(which.sites or [site.name for site in deployment.sites])
    for path in status["paths"]:
        if path["gateway"] in gateways and path["site"] in meant and path["verdict"] not in _GOOD:
            raise VpnhaError(
                f"Nothing was changed, because {path['gateway']} is {path['verdict']} for {path['site']}: "
                f"{path['text']} Mend that first, or insist with --force."
            )


def _choice(which: Which, gateway: str | None, take_over: bool = False) -> Choice:
    return Choice(gateway, tuple(which.zones or ()), tuple(which.tables or ()), tuple(which.sites or ()), take_over)


def _said(report: manual_swap.Report, where: str) -> Done:
    details = {"routes": report.routes, "route_tables": report.tables, "swapping": report.swapping}
    if report.failure:
        return Done(report.failure, report.changed, failed=True, details=details)
    moved = sum(row["action"] == "swap" for row in report.routes)
    left = [row for row in report.routes if row["action"] == "none" and not row["reason"].startswith("It already")]
    text = f"{moved} route(s) moved; {len(report.routes) - len(left)} of {len(report.routes)} are now {where}."
    return Done(" ".join([text, *report.warnings]), report.changed, details=details)


def _client(loaded: MonitorConfig) -> Any:
    return ec2.make_client(region=loaded.deployment.region, endpoint_url=loaded.endpoint_url)


def _me() -> str:
    """Who gives the order, for those who meet the mark later."""
    name = os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    return f"{name}@{socket.gethostname()}"


def _paused(deployment: float | None, gateways: Mapping[str, float], tables: Mapping[str, float], scope: str) -> bool:
    until = {**gateways, **tables}.get(scope) if scope else deployment
    return until is not None and until > ec2.CLOCK.now()


def _named(scope: str) -> str:
    return scope or "The deployment"


def _option(scope: str) -> str:
    if not scope:
        return ""
    return f" --table {scope}" if scope.startswith("rtb-") else f" --gateway {scope}"
