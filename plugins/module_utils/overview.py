# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment as it stands in EC2, as plain data and in sentences: who carries what, and what differs from home."""

from __future__ import annotations

from typing import Any

from . import failover_plan, tags
from .model import Deployment, Ec2View, Instance, RepairMark, Route, RouteKey
from .repair import DAY
from .routes import preflight


def overview(view: Ec2View, deployment: Deployment, wall: float) -> dict[str, Any]:
    """The return values of the module vpn_ha_info. ``wall``: now; what is over by then is left out."""
    differences = _differences(view, deployment)
    return {
        "vpc_id": view.vpc_id,
        "gateways": [_gateway(view, deployment, view.instances[gateway.name]) for gateway in deployment.gateways],
        "managed_gateways": [
            {
                "name": one.name,
                "vpn_gateway": one.vpn_gateway,
                "use": one.use,
                "home_zones": list(one.home_zones),
                "carries": sorted(str(key) for key, route in view.routes.items() if route.gateway == one.name),
            }
            for one in deployment.managed_gateways
        ],
        "zones": [_zone(view, deployment, zone.name) for zone in deployment.zones],
        "route_tables": [
            _table(view, deployment, table_id, zone, wall) for table_id, zone in sorted(view.table_zones.items())
        ],
        "refused_tables": dict(view.refused_tables),
        "differences": differences,
        "at_home": not differences and not view.refused_tables,
        "pause": _time(view.paused_deployment_until_wall, wall),
        "paused_gateways": _times(view.paused_gateways, wall),
        "paused_tables": _times(view.paused_tables, wall),
        "drill": view.drill,
        "freeze": view.freeze,
        "plan": failover_plan.plan(view, deployment),
        "unreadable_marks": list(view.unreadable_marks),
        "summary": _summary(view, deployment, differences, wall),
    }


def _time(until: float | None, wall: float) -> str | None:
    return tags.format_time(until) if until is not None and until > wall else None


def _times(marks: Any, wall: float) -> dict[str, str]:
    return {key: tags.format_time(until) for key, until in sorted(marks.items()) if until > wall}


def _gateway(view: Ec2View, deployment: Deployment, instance: Instance) -> dict[str, Any]:
    described = deployment.gateway(instance.gateway)
    carries = sorted(str(key) for key, route in view.routes.items() if route.gateway == instance.gateway)
    retirement, mark = instance.retirement_wall, view.repairs.get(instance.gateway, RepairMark())
    return {
        "name": instance.gateway,
        "zone": described.zone,
        "address": described.address,
        "home_zones": list(described.home_zones),
        "instance_id": instance.instance_id,
        "state": instance.state,
        "network_interface_id": instance.eni_id,
        "source_dest_check": instance.source_dest_check,
        "system_status": instance.system_status,
        "instance_status": instance.instance_status,
        "retirement": tags.format_time(retirement) if retirement is not None else None,
        "repairs": [tags.format_time(at) for at in mark.steps_wall],
        "last_repair": mark.rung or None,
        "usable": not preflight(view, instance.gateway, view.table_zones),
        "carries": carries,
    }


def _zone(view: Ec2View, deployment: Deployment, zone: str) -> dict[str, Any]:
    home = deployment.home(zone)
    tables = sorted(table_id for table_id, name in view.table_zones.items() if name == zone)
    using = sorted({route.gateway or "elsewhere" for route in view.routes.values() if route.zone == zone})
    return {"name": zone, "home_gateway": home.name if home else None, "gateways": using, "route_tables": tables}


def _table(view: Ec2View, deployment: Deployment, table_id: str, zone: str, wall: float) -> dict[str, Any]:
    routes = [route for key, route in sorted(view.routes.items()) if key.table_id == table_id]
    pin = view.table_pins.get(table_id)
    return {
        "id": table_id,
        "zone": zone,
        "vpc_id": view.table_vpcs.get(table_id),
        "routes": [_route(deployment, route) for route in routes],
        "missing": sorted(key.destination for key in view.missing_routes if key.table_id == table_id),
        "pin": (
            {"gateway": pin.gateway, "expires": tags.format_time(pin.expires_wall), "by": pin.by}
            if pin is not None and pin.expires_wall > wall
            else None
        ),
    }


def _route(deployment: Deployment, route: Route) -> dict[str, Any]:
    site = deployment.site_of(route.key.destination)
    return {
        "destination": route.key.destination,
        "site": site.name if site else None,
        "gateway": route.gateway,
        "target": route.target,
        "blackhole": route.blackhole,
    }


def _differences(view: Ec2View, deployment: Deployment) -> list[dict[str, Any]]:
    """Every managed route that is not as it would be if all were well."""
    out = []
    for key in sorted({*view.routes, *view.missing_routes}):
        route = view.routes.get(key)
        home = deployment.home(view.table_zones[key.table_id])
        is_there = route is not None and not route.blackhole and home is not None and route.gateway == home.name
        if not is_there:
            out.append(
                {
                    "route_table_id": key.table_id,
                    "destination": key.destination,
                    "zone": view.table_zones[key.table_id],
                    "home_gateway": home.name if home else None,
                    "gateway": route.gateway if route else None,
                    "target": route.target if route else None,
                    "blackhole": bool(route and route.blackhole),
                    "missing": route is None,
                }
            )
    return out


def _repairs(view: Ec2View, wall: float) -> list[str]:
    lines = []
    for name, mark in sorted(view.repairs.items()):
        recent = [at for at in mark.steps_wall if wall - at < DAY]
        if recent:
            steps = f"{len(recent)} step{'s' if len(recent) > 1 else ''}"
            lines.append(f"{name} has had {steps} of repair within 24 hours, the last {tags.format_time(max(recent))}.")
    return lines


def _beside(view: Ec2View, deployment: Deployment) -> list[str]:
    """Routes to prefixes that stand beside the route to their list, while a site goes over to it."""
    lines = []
    for site in deployment.sites:
        for listed, prefixes in site.prefix_lists.items():
            count = sum(key.destination in prefixes for key in view.routes)
            if count:
                lines.append(
                    f"{count} route{'s' if count > 1 else ''} to prefixes of {site.name} stand beside its prefix list "
                    f"{listed} and come before it; the deploy playbook removes them with vpnha_remove_covered_routes."
                )
    return lines


def _summary(view: Ec2View, deployment: Deployment, differences: list[dict[str, Any]], wall: float) -> list[str]:
    """The same for people, one sentence each."""
    lines = []
    for gateway in deployment.gateways:
        lines += preflight(view, gateway.name, view.table_zones)
    for zone in deployment.zones:
        stands = _zone(view, deployment, zone.name)
        if not stands["route_tables"]:
            lines.append(f"{zone.name} has no route table that is looked after.")
            continue
        # Missing routes and blackholes are told below, route by route.
        where = "at home" if stands["gateways"] == [stands["home_gateway"]] else f"home is {stands['home_gateway']}"
        lines.append(f"{zone.name} uses {', '.join(stands['gateways']) or 'no gateway'} ({where}).")
    for each in differences:
        route = deployment.named(RouteKey(each["route_table_id"], each["destination"]))
        if each["missing"]:
            lines.append(f"{route} is missing; the deploy playbook creates it.")
        elif each["blackhole"]:
            lines.append(f"{route} is a blackhole: {each['target']} does not run or is gone.")
        elif each["gateway"] is None:
            lines.append(f"{route} points at {each['target']}, no gateway of the deployment, and is left alone.")
    lines += _beside(view, deployment)
    for table_id, pin in sorted(view.table_pins.items()):
        if pin.expires_wall > wall:
            by = f" by {pin.by}" if pin.by else ""
            lines.append(f"{table_id} is pinned to {pin.gateway}{by} until {tags.format_time(pin.expires_wall)}.")
    if until := _time(view.paused_deployment_until_wall, wall):
        lines.append(f"The monitors are paused until {until}.")
    for scope, until in {**_times(view.paused_gateways, wall), **_times(view.paused_tables, wall)}.items():
        lines.append(f"{scope} is paused until {until}.")
    lines += _repairs(view, wall)
    if view.drill:
        lines.append(f"The drill {view.drill} is running.")
    lines += [f"{view.freeze}."] if view.freeze else []
    return lines + list(view.refused_tables.values()) + list(view.unreadable_marks)
