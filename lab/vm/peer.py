# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's end: what lies on the customer gateway's disk. Plain strongSwan and FRR, with an XFRM interface as well.

The site's server is an address of the customer gateway itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from lab import sites
from lab.vm.machine import File

DEVICE = "aws0"
IF_ID = 4242  # another one than the gateway's: it means nothing to the other end

_HERE = Path(__file__).resolve().parent
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader([_HERE / "templates", _HERE.parent / "site_templates"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,
)


def files(variables: Mapping[str, Any], address: str) -> dict[str, File]:
    """The peer's files, from the variables that configure the gateway: absolute path to mode and content."""
    deployment = parse(variables)
    tunnel, site = deployment.tunnels[0], deployment.sites[0]
    # it gives up late: how long a gateway without charon carries is to be seen, and everything is slow here
    body = {**sites.peer_connection(deployment, site, tunnel), "dpd_delay": "120s"}
    child = {**body["children"][tunnel.name], "if_id_in": str(IF_ID), "if_id_out": str(IF_ID)}
    key = tunnel_config.psks(variables["vpnha_sites"])[tunnel.name]
    values = {
        **sites.shared(deployment, site),
        "tunnel": tunnel,
        "asn": tunnel.peer_asn,
        "gateway_asn": deployment.asn,
        "address": address,
        "device": DEVICE,
        "if_id": IF_ID,
    }
    web = [f"vpnha-web@{target}.service" for target in site.probe_targets]
    wants = " ".join(["vpnha-site.service", "frr.service", "strongswan.service", *web])
    return {
        "/etc/systemd/system/multi-user.target.d/vpnha-site.conf": (0o644, f"[Unit]\nWants={wants}\n"),
        "/etc/systemd/system/vpnha-site.service": (0o644, _render("site.service", values)),
        "/etc/systemd/system/vpnha-web@.service": (0o644, _render("web.service", values)),
        "/srv/site/blob": (0o644, "0123456789abcdef" * 65536),
        "/usr/local/lib/vpnha/site": (0o755, _render("peer.sh", values)),
        "/etc/sysctl.d/90-vpnha-site.conf": (0o644, _render("sysctl.conf", values)),
        "/etc/frr/daemons": (0o644, _render("daemons", values)),
        "/etc/frr/frr.conf": (0o644, _render("peer.frr.conf", values)),
        "/etc/strongswan.d/site.conf": (0o644, _render("peer.strongswan.conf", values)),
        "/etc/swanctl/conf.d/site.conf": (
            0o600,
            tunnel_config.swanctl_text(
                tunnel.name, {**body, "children": {tunnel.name: child}}, key, (tunnel.peer_id, tunnel.local_id)
            ),
        ),
    }


def _render(template: str, values: Mapping[str, Any]) -> str:
    return _TEMPLATES.get_template(f"{template}.j2").render(values)
