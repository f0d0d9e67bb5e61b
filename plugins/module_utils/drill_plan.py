# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill would do, and what speaks against doing it now: pure functions over plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import drill_takers, drill_window, dual_stack, tags
from .errors import VpnhaError
from .model import LAST_RESORT, Deployment, Gateway, ManagedGateway


@dataclass(frozen=True)
class Scenario:
    """One kind of failure."""

    does: str  # to ``{gateway}``, for people
    undone: str  # how it is taken back
    limit_ms: float  # the longest outage allowed unless the user says otherwise
    moves_routes: bool = False  # whether a monitor must move all routes away from the gateway for it


SCENARIOS = {
    "gateway_power_off": Scenario("cut the power of {gateway}", "start {gateway}", 1200.0, True),
    "gateway_stop": Scenario("shut {gateway} down in order", "start {gateway}", 1200.0, True),
    "ipsec_kill": Scenario("kill strongSwan on {gateway}", "see that strongSwan runs on {gateway}", 1200.0),
    "tunnel_block": Scenario(
        "block all packets between {gateway} and its peers", "lift the block on {gateway}", 1200.0
    ),
    "planned": Scenario("move the routes of {gateway} to {other}", "bring the routes home", 0.0),
}
TUNNELS_LOST = ("ipsec_kill", "tunnel_block")  # the gateway lives


@dataclass(frozen=True)
class Wish:
    """What the user asks for; empty strings and sequences mean "choose"."""

    scenarios: Sequence[str]
    zone: str = ""
    gateway: str = ""
    site: str = ""  # for tunnel_block: only its tunnels
    app_hosts: Sequence[str] = ()  # to measure from
    host_zones: Mapping[str, str] | None = None  # by application host, as in `drill_hosts.Placed`
    notes: Sequence[str] = ()  # what is to be said of the hosts
    standing: Mapping[str, Any] | None = None  # what the module vpn_ha_info returns
    targets: Sequence[Mapping[str, Any]] = ()  # address and responder_port; without any, the sites' probe targets
    responder_port: int = 0  # of the chosen targets; 0: none
    limits: Mapping[str, float] | None = None
    repeat: int = 1
    window: Mapping[str, Any] | None = None  # see drill_window; None or empty: at any time
    now: float = 0.0  # wall clock
    run_seconds: float = 0.0  # so long a run may take


def make(deployment: Deployment, wish: Wish) -> dict[str, Any]:
    """The plan. VpnhaError with one sentence for everything that is wrong with the wish."""
    problems = [
        f"{name} is no scenario of the drill; it knows {', '.join(SCENARIOS)}."
        for name in dict.fromkeys([*wish.scenarios, *(wish.limits or {})])
        if name not in SCENARIOS
    ]
    if not wish.scenarios:
        problems.append(f"No scenario is given; the drill knows {', '.join(SCENARIOS)}.")
    if not 1 <= wish.repeat <= 100:
        problems.append(f"The drill cannot be repeated {wish.repeat} times; choose from 1 to 100.")
    window = _window(wish, problems)
    gateway = _gateway(deployment, wish, problems)
    if wish.site and wish.site not in {site.name for site in deployment.sites}:
        problems.append(f"{wish.site} is no site of the deployment; it has {_names(deployment.sites)}.")
    if not wish.app_hosts:
        problems.append(
            "There is no application host to measure from; describe some in vpnha_app_hosts, which deploy makes, or "
            "name hosts of the inventory in vpnha_drill_app_hosts."
        )
    if problems or gateway is None:
        raise VpnhaError(" ".join(problems))
    zones = [zone.name for zone in deployment.zones if deployment.home(zone.name) == gateway]
    measured = _measured_zones(wish)
    if measured and not set(measured) & set(zones):
        reason = (
            f"No application host's subnet has a route table that leads to {gateway.name} (as those of "
            f"{', '.join(zones)} do), so breaking it would show nothing; measure from a host that has, or break "
            "another gateway."
        )
        raise VpnhaError(" ".join([reason, *wish.notes]))
    moves = drill_takers.moves(drill_takers.takers(deployment, gateway.name, wish.standing or {}))
    if not moves:
        raise VpnhaError("The deployment has one gateway only, so nothing could take over; add another one first.")
    targets = [dict(target) for target in wish.targets] or [
        {"address": address, **({"responder_port": wish.responder_port} if wish.responder_port else {})}
        for site in deployment.sites
        for family in (dual_stack.ipv4(site.probe_targets), dual_stack.ipv6(site.probe_targets))
        for address in family[:1]
    ]
    if not targets:
        raise VpnhaError("No site has a probe target, so there is nothing to send packets to; set vpnha_drill_targets.")
    blocked = [one for one in deployment.tunnels if one.gateway == gateway.name and wish.site in ("", one.site)]
    if "tunnel_block" in wish.scenarios and not blocked:
        raise VpnhaError(
            f"{gateway.name} has no tunnel{wish.site and f' to {wish.site}'}, so tunnel_block would break nothing; "
            "choose another gateway or vpnha_drill_site."
        )
    moving = sum(wish.repeat for name in wish.scenarios if _costs_moves(deployment, gateway, name, wish.site))
    most = deployment.timing.voluntary_moves_per_hour
    if moving > most:
        raise VpnhaError(
            f"{moving} runs would have the monitors bring routes home {moving} times, but they do so {most} times "
            "an hour at most (vpnha_timing.voluntary_moves_per_hour); ask for fewer runs."
        )
    limits = {name: float((wish.limits or {}).get(name, SCENARIOS[name].limit_ms)) for name in wish.scenarios}
    runs = [name for name in wish.scenarios for _number in range(wish.repeat)]
    return {
        "not_now": drill_window.objection(window, wish.now, wish.run_seconds * len(runs)),
        "gateway": gateway.name,
        "moves": moves,
        "zones": zones,
        "hosts": list(wish.app_hosts),
        "notes": list(wish.notes),
        "targets": targets,
        "passing": [
            {"family": family, "targets": list(dict.fromkeys(found))}
            for family, of in (("ip", dual_stack.ipv4), ("ip6", dual_stack.ipv6))
            if (found := of(target["address"] for target in targets))
        ],
        "peers": sorted({tunnel.peer_address for tunnel in blocked}),
        "in_clear": [
            {
                "family": family,
                "sites": sorted({prefix for site in deployment.sites for prefix in of(site.prefixes)}),
                "vpc": list(of(deployment.vpc_cidrs)),
            }
            for family, of in (("ip", dual_stack.ipv4), ("ip6", dual_stack.ipv6))
            if any(of(site.prefixes) for site in deployment.sites)
        ],
        "runs": [
            _run(name, number, gateway.name, drill_takers.text(moves), limits) for number, name in enumerate(runs, 1)
        ],
    }


def _costs_moves(deployment: Deployment, gateway: Gateway, name: str, site: str) -> bool:
    """Whether the monitors move routes for a scenario, and home again: for lost tunnels only where no BGP does it."""
    if name not in TUNNELS_LOST:
        return SCENARIOS[name].moves_routes
    static = {one.name for one in deployment.sites if one.routing == "static"}
    static &= {site} if site and name == "tunnel_block" else static
    return any(tunnel.gateway == gateway.name and tunnel.site in static for tunnel in deployment.tunnels)


def _window(wish: Wish, problems: list[str]) -> drill_window.Window | None:
    try:
        return drill_window.parse(wish.window)
    except VpnhaError as error:
        problems.append(str(error))
        return None


def _run(name: str, number: int, gateway: str, other: str, limits: Mapping[str, float]) -> dict[str, Any]:
    scenario = SCENARIOS[name]
    return {
        **asdict(scenario),
        "name": name,
        "number": number,
        "limit_ms": limits[name],
        "does": scenario.does.format(gateway=gateway, other=other),
        "undone": scenario.undone.format(gateway=gateway),
    }


def _gateway(deployment: Deployment, wish: Wish, problems: list[str]) -> Gateway | None:
    """The gateway to break."""
    zones = {zone.name for zone in deployment.zones}
    if wish.zone and wish.zone not in zones:
        problems.append(f"{wish.zone} is no zone of the deployment; it has {', '.join(sorted(zones))}.")
        return None
    if wish.gateway:
        found = next((one for one in deployment.gateways if one.name == wish.gateway), None)
        if found is None:
            problems.append(f"{wish.gateway} is no gateway of the deployment; it has {_names(deployment.gateways)}.")
        elif not found.home_zones:
            problems.append(f"{wish.gateway} is the home gateway of no zone, so no packet would miss it.")
        return found
    zone = wish.zone or next((name for name in _measured_zones(wish) if name in zones), deployment.zones[0].name)
    home = deployment.home(zone)
    if home is None:
        problems.append(f"Zone {zone} has no home gateway; name the gateway to break in vpnha_drill_gateway.")
    if isinstance(home, ManagedGateway):
        problems.append(
            f"The home of zone {zone} is {home.name}, a managed gateway, which a drill cannot break; name another "
            "gateway in vpnha_drill_gateway."
        )
        return None
    return home


def _measured_zones(wish: Wish) -> list[str]:
    known = wish.host_zones or {}
    return [known[host] for host in wish.app_hosts if host in known]


def _names(things: Sequence[Any]) -> str:
    return ", ".join(thing.name for thing in things)


def objections(status: Mapping[str, Any], drill: str = "") -> list[str]:
    """What speaks against breaking something now, in sentences, by a monitor's status document.

    ``drill``: id of the drill that asks; its own mark is no objection. The same list, once empty again, says that
    everything has recovered.
    """
    found = [f"{status['monitor']}: {reason}" for reason in status["reasons"]]
    for word, things in (("Gateway", status["gateways"]), ("Tunnel", status["tunnels"])):
        found += [
            f"{word} {one['name']} is {one['verdict']}: {one['text']}" for one in things if one["verdict"] != "up"
        ]
    resorts = {one["name"] for one in status.get("managed_gateways", ()) if one["use"] == LAST_RESORT}
    paths = [one for one in status["paths"] if one["gateway"] not in resorts]  # nothing is to go there in a drill
    found += [
        f"{one['gateway']} reaches {one['site']} {one['verdict']}: {one['text']}"
        for one in paths
        if one["verdict"] != "up"
    ]
    for site in status["sites"]:
        ways = [one for one in paths if one["site"] == site["name"] and one["verdict"] == "up"]
        if len(ways) < 2:
            found.append(f"Site {site['name']} is reached through {len(ways)} of the gateways; two are needed.")
    if status["away"]:
        found.append(f"Routes away from home: {len(status['away'])}; run the failback playbook.")
    if status["missing_routes"]:
        found.append(f"Routes are missing: {', '.join(status['missing_routes'])}; run the deploy playbook.")
    found += [f"Table {pin['table']} is pinned to {pin['gateway']}." for pin in status["pins"]]
    found += [
        f"Actions are paused ({pause['scope']} {pause['name']}).".replace(" )", ")") for pause in status["pauses"]
    ]
    if status["drill"] and status["drill"] != tags.plain(drill):
        found.append(_running(status["drill"]))
    if status["swaps_in_flight"]:
        found.append("The monitor is moving routes.")
    return found


def _running(drill: str) -> str:
    return (
        f"The drill {drill} is running; should it be over, take back what it left behind "
        f"(-e vpnha_drill_undo=true -e vpnha_drill_id={drill})."
    )


def left_behind(standing: Mapping[str, Any], drill: str) -> dict[str, Any]:
    """What EC2 shows of a drill that died in the middle: ``standing`` is what the module vpn_ha_info returns.

    A gateway counts only while the drill's own mark stands: later, somebody may have stopped it.
    """
    marked = standing["drill"] == tags.plain(drill)
    by = tags.plain(f"drill {drill}")
    stopped = [one["name"] for one in standing["gateways"] if one["state"] in ("stopping", "stopped")]
    return {
        "marked": marked,
        "stopped": stopped if marked else [],
        "pinned": [one["id"] for one in standing["route_tables"] if one["pin"] and one["pin"]["by"] == by],
    }


def standing_objections(standing: Mapping[str, Any], drill: str = "") -> list[str]:
    """The same by what EC2 itself shows: ``standing`` is what the module vpn_ha_info returns."""
    found = [
        f"Gateway {one['name']} is {one['state']} and cannot take routes."
        for one in standing["gateways"]
        if not one["usable"]
    ]
    if not standing["at_home"]:
        away = [f"{one['route_table_id']} {one['destination']}" for one in standing["differences"]]
        found.append(f"Not everything is at home ({', '.join([*away, *standing['refused_tables'].values()])}).")
    found += [
        f"Table {table['id']} is pinned to {table['pin']['gateway']} until {table['pin']['expires']}."
        for table in standing["route_tables"]
        if table["pin"]
    ]
    paused = {"The deployment": standing["pause"], **standing["paused_gateways"], **standing["paused_tables"]}
    found += [f"{what} is paused until {until}." for what, until in paused.items() if until]
    if standing["freeze"]:
        found.append(f"{standing['freeze']}.")
    if standing["drill"] and standing["drill"] != tags.plain(drill):
        found.append(_running(standing["drill"]))
    return found
