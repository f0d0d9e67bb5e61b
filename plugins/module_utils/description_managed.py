# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The managed gateways of a description: what is read, and what must be right."""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import dual_stack
from .description_fields import Problems, Section, kind, nearest, shown
from .model import HOME, LAST_RESORT, Deployment, ManagedGateway, ManagedProbe

PROBES_MOST = 16  # of all managed gateways together: they are remembered in one tag
_ID = re.compile(r"vgw-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_KEYS = ("name", "vpn_gateway", "use", "home_zones", "probes")


def managed_gateways(top: Section) -> tuple[ManagedGateway, ...]:
    """What ``vpnha_managed_gateways`` says."""
    found = []
    for section in top.sections("vpnha_managed_gateways", _KEYS):
        vpn_gateway = section.text("vpn_gateway", None, "the id of the virtual private gateway, like vgw-0a1b2c3d")
        if vpn_gateway and not _ID.fullmatch(vpn_gateway):
            section.problem("vpn_gateway", f"{shown(vpn_gateway)} is no id of a virtual private gateway (vgw-...).")
        use = section.text("use", None, f"{LAST_RESORT} or {HOME}")
        if use and use not in (LAST_RESORT, HOME):
            section.problem("use", f"{shown(use)} is unknown; write {LAST_RESORT} or {HOME}.")
        homes = tuple(str(member) for _where, member in section.items("home_zones"))
        if use == LAST_RESORT and homes:
            section.problem("home_zones", f"a {LAST_RESORT} is nobody's home; remove this, or write use: {HOME}.")
        if use == HOME and not homes:
            section.problem("home_zones", "this is missing; name the zones whose home it is.")
        found.append(ManagedGateway(section.name(), vpn_gateway, use, homes, _probes(section)))
    return tuple(found)


def _probes(section: Section) -> tuple[ManagedProbe, ...]:
    value = section.value.get("probes")
    if value in (None, "", {}):
        section.problem("probes", "this is missing; give an address that answers ICMP for each site that it leads to.")
        return ()
    if not isinstance(value, Mapping):
        section.problem("probes", f"{kind(value)} stands where a dictionary is needed; write site: address.")
        return ()
    inner = Section(section.problems, section.at("probes"), value)
    return tuple(ManagedProbe(str(site), str(inner.address(str(site)) or "")) for site in value)


def check_managed(problems: Problems, deployment: Deployment) -> None:
    """Note every contradiction between the managed gateways and the rest."""
    sites = {site.name: site for site in deployment.sites}
    for n, one in enumerate(deployment.managed_gateways):
        where = f"vpnha_managed_gateways[{n}]"
        if n:
            problems.add(where, "a VPC has at most one virtual private gateway; name one managed gateway only.")
        for probe in one.probes:
            _check_probe(problems, f"{where}.probes.{probe.site}", probe, deployment)
        probed = {probe.site for probe in one.probes}
        for site in sites if one.use == HOME and one.probes else ():
            if site not in probed:
                problems.add(f"{where}.probes", f"a home needs a probe for each site, and {shown(site)} has none.")
        addresses = [probe.address for probe in one.probes if probe.address]
        if len(addresses) > PROBES_MOST:
            problems.add(f"{where}.probes", f"these are {len(addresses)}, and {PROBES_MOST} are possible.")


def _check_probe(problems: Problems, where: str, probe: ManagedProbe, deployment: Deployment) -> None:
    """A probe may be one of the site's probe_targets, and best is: the monitor's route to it concerns nobody else."""
    sites = {site.name: site for site in deployment.sites}
    site = sites.get(probe.site)
    if site is None:
        hint = nearest(probe.site, sites)
        mend = f"did you mean {hint}?" if hint else f"there are {', '.join(sites)}."
        problems.add(where, f"there is no site {shown(probe.site)} in vpnha_sites; {mend}")
        return
    if probe.address and all(site.prefixes):
        prefixes = ", ".join(site.prefixes)
        if not dual_stack.within(probe.address, site.prefixes):
            problems.add(where, f"{probe.address} lies outside the site's prefixes ({prefixes}); choose one inside.")
