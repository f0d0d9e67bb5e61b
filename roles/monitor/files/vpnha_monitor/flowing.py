# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether traffic flows: for each zone and site, and as the sentence that the status begins with. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import lease
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Ec2View, Evidence, Route, Verdict
from ansible_collections.vpnha.aws.plugins.module_utils.verdicts import Judgement, Verdicts

UNJUDGED = Judgement(Verdict.UNKNOWN, "monitor-observing", "Not judged yet.")
_FLOWS = (Verdict.UP, Verdict.VIA_NEIGHBOUR, Verdict.GREY, Verdict.SUSPECT)
_NOWHERE = "no gateway"


def sentence(deployment: Deployment, verdicts: Verdicts, evidence: Evidence) -> str:
    """One sentence that answers whether traffic flows; by far cheaper than the whole document."""
    view = evidence.ec2
    away = sum(not at_home(deployment, route) for route in view.routes.values()) if view else 0
    reasons = attention(deployment, evidence, verdicts)
    return sentence_of(deployment, rows(deployment, verdicts, view), away, view, reasons)


def sentence_of(
    deployment: Deployment,
    traffic: Sequence[Mapping[str, Any]],
    away: int,
    view: Ec2View | None,
    reasons: Sequence[str],
) -> str:
    """The sentence of what is known already; ``away`` is how many routes are."""
    if view is None:
        return "Routes are not known yet: EC2 has not been read."
    broken = [f"{each['site']} from {each['zone']}" for each in traffic if each["flows"] is False]
    unknown = [f"{each['site']} from {each['zone']}" for each in traffic if each["flows"] is None]
    if broken:
        said = f"Traffic does not flow to {_listed(broken)}"
    elif unknown:
        said = f"It is not known whether traffic flows to {_listed(unknown)}"
    elif not traffic:
        said = "The deployment has no route to a site"
    else:
        said = f"Traffic flows to {_reached(deployment, traffic)}"
    if away:
        said += f"; {away} of {len(view.routes)} routes are away from home"
    elif view.routes and not view.missing_routes:
        said += ", and every route is at home"
    if view.missing_routes:
        count = len(view.missing_routes)
        said += f"; {count} route{' is' if count == 1 else 's are'} missing"
    if view.refused_tables:
        count = len(view.refused_tables)
        said += f"; {count} route table{' is' if count == 1 else 's are'} not looked after"
    if reasons:
        said += f"; the monitor needs attention: {reasons[0]}"
    return said.rstrip(".") + "."


def at_home(deployment: Deployment, route: Route) -> bool:
    """Whether a route leads to the home of its zone."""
    home = deployment.home(route.zone)
    return home is not None and route.gateway == home.name


def rows(deployment: Deployment, verdicts: Verdicts, view: Ec2View | None) -> list[dict[str, Any]]:
    """For each zone and site whether packets get there, by the gateways that the routes really name."""
    if view is None:
        return []
    ways: dict[tuple[str, str], dict[str, bool | None]] = {}
    for key, route in view.routes.items():
        site = deployment.site_of(key.destination)
        if site is not None:
            known = ways.setdefault((route.zone, site.name), {})
            name = _NOWHERE if route.blackhole else route.gateway or route.target
            if name not in known:
                known[name] = _flows(verdicts, route, site.name)
    for key in view.missing_routes:
        site, zone = deployment.site_of(key.destination), view.table_zones.get(key.table_id)
        if site is not None and zone is not None:
            known = ways.setdefault((zone, site.name), {})
            known[_NOWHERE] = None if key in view.carried_elsewhere and known.get(_NOWHERE) is None else False
    found = []
    for (zone, site_name), known in sorted(ways.items()):
        states = known.values()
        flows = False if False in states else None if None in states else True
        found.append({"zone": zone, "site": site_name, "gateways": sorted(known), "flows": flows})
    return found


def _flows(verdicts: Verdicts, route: Route, site: str) -> bool | None:
    if route.blackhole:
        return False
    if route.gateway is None:
        return None  # somebody has pointed it at what is none of ours, and nobody here sees what that does
    path = verdicts.paths.get((route.gateway, site), UNJUDGED)
    verdict = path.verdict
    if verdict is Verdict.UNKNOWN:
        return None  # also where the others have lost the site
    if site in verdicts.sites_silent and path.code == "managed-silent":
        return None  # judged by the targets alone
    if verdict not in _FLOWS or site in verdicts.sites_down:
        return False
    return None if site in verdicts.sites_silent else True  # its targets may be off, or all of it


def _reached(deployment: Deployment, traffic: Sequence[Mapping[str, Any]]) -> str:
    """The sites and zones that have routes; of others nothing is said."""
    sites = [site.name for site in deployment.sites if any(each["site"] == site.name for each in traffic)]
    zones = [zone.name for zone in deployment.zones if any(each["zone"] == zone.name for each in traffic)]
    if len(traffic) < len(sites) * len(zones):
        return _listed([f"{each['site']} from {each['zone']}" for each in traffic])
    return f"{_listed(sites)} from {'every zone' if len(zones) == len(deployment.zones) else _listed(zones)}"


def _listed(names: Sequence[str], most: int = 4) -> str:
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def attention(deployment: Deployment, evidence: Evidence, verdicts: Verdicts) -> list[str]:
    """Why the monitor could not do its work now, one sentence each; empty when it could."""
    reasons = []
    limit = max(3 * deployment.timing.ec2_interval, 15.0)
    if evidence.ec2_age is None:
        reasons.append("EC2 has not been read since the start.")
    elif evidence.ec2_age > limit:
        reasons.append(f"EC2 was last read {evidence.ec2_age:.0f} s ago.")
    if lease.needed(deployment) and (evidence.store.age is None or evidence.store.age > limit):
        reasons.append("The lease store cannot be read.")
    if verdicts.isolated:
        reasons.append("No gateway answers the monitor.")
    return reasons
