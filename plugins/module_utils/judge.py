# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence becomes verdicts. Pure: the same evidence always gives the same verdicts, with their reasons."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .judge_gateway import gateway_remarks, hears_nobody, judge_gateway, mesh_remarks
from .judge_managed import managed_ways
from .judge_paths import judge_paths, judge_tunnels, tunnel_remarks
from .model import Deployment, Evidence, Verdict
from .verdicts import Judgement, Remark, Verdicts

__all__ = ["Judgement", "Verdicts", "judge"]


def judge(
    deployment: Deployment, evidence: Evidence, pingable: Collection[str], sites_down: Mapping[str, str]
) -> Verdicts:
    """Verdicts on every gateway, tunnel and (gateway, site) of the deployment.

    ``pingable`` are the gateways that have answered ICMP at some time, ``sites_down`` the sites that the last verdicts
    called down. A monitor that was late, or hears nobody, calls everything ``unknown``: what it saw proves nothing.
    """
    timing = deployment.timing
    if evidence.loop_lag > timing.loop_lag:
        return _blind(deployment, "monitor-sick", f"The monitor was {evidence.loop_lag:.2f} s late.", sick=True)
    if hears_nobody(evidence, timing):
        return _blind(deployment, "monitor-isolated", "No gateway answers the monitor.", isolated=True)
    gateways = {
        gateway.name: judge_gateway(gateway.name, evidence, timing, gateway.name in pingable)
        for gateway in deployment.gateways
    }
    judged = judge_tunnels(deployment, gateways, evidence.gateways)
    managed = managed_ways(deployment, evidence.managed)
    paths, down, mute, dark, quiet = judge_paths(
        deployment, gateways, judged, managed, evidence.gateways, were_down=sites_down
    )
    remarks: list[Remark] = []
    for name, judgement in gateways.items():
        remarks += gateway_remarks(name, judgement, evidence, timing)
    remarks += mesh_remarks(gateways, evidence, timing)
    for one in judged:
        if one.carries:
            remarks += tunnel_remarks(one, evidence.gateways.get(one.tunnel.gateway))
    tunnels = {one.tunnel.name: one.judgement for one in judged}
    return Verdicts(gateways, tunnels, paths, down, mute, dark, quiet, remarks=tuple(remarks))


def _blind(deployment: Deployment, code: str, text: str, isolated: bool = False, sick: bool = False) -> Verdicts:
    unknown = Judgement(Verdict.UNKNOWN, code, text, gateway_wide=True)
    return Verdicts(
        gateways={gateway.name: unknown for gateway in deployment.gateways},
        tunnels={tunnel.name: unknown for tunnel in deployment.tunnels},
        paths={(gateway.name, site.name): unknown for gateway in deployment.targets for site in deployment.sites},
        isolated=isolated,
        sick=sick,
    )
