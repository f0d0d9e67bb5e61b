# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's end: what lies on the customer gateway's disk. Plain strongSwan and FRR, with XFRM interfaces as well.

The site's server is an address of the customer gateway itself. Where the site has several peers, they are addresses of
this one machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from ansible_collections.vpnha.aws.plugins.module_utils import dual_stack, tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from ansible_collections.vpnha.aws.plugins.module_utils.model import Tunnel
from lab import sites
from lab.vm.machine import File

IF_ID = 4242  # and on: others than the gateways', and of no meaning to the other end
MTU = 1500  # the site knows nothing of tunnels: what keeps its segments small is the gateways' clamping
BFD = {"interval_ms": 50, "multiplier": 10}  # the role's default
BLOB_BYTES = 1 << 20  # of the file that the site's server has

_HERE = Path(__file__).resolve().parent
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader([_HERE / "templates", _HERE.parent / "site_templates"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,
)


@dataclass(frozen=True)
class End:
    """The customer gateway's end of a tunnel: an interface of its own."""

    tunnel: Tunnel
    device: str
    if_id: int

    @property
    def address_ipv6(self) -> str:
        """Its address of IPv6 inside the tunnel."""
        return dual_stack.inside_address(self.tunnel.peer_inside_address)


def ends(variables: Mapping[str, Any]) -> list[End]:
    """One for each tunnel."""
    return [End(tunnel, f"aws{at}", IF_ID + at) for at, tunnel in enumerate(parse(variables).tunnels)]


def files(variables: Mapping[str, Any]) -> dict[str, File]:
    """The peer's files, from the variables that configure the gateways: absolute path to mode and content."""
    deployment = parse(variables)
    site, found = deployment.sites[0], ends(variables)
    values = {
        **sites.shared(deployment, site),
        "ends": found,
        "asn": found[0].tunnel.peer_asn,
        "gateway_asn": deployment.asn,
        "address": found[0].tunnel.peer_address,
        "mtu": MTU,
        "bfd": variables.get("vpnha_gateway_bfd_site", BFD),
    }
    web = [f"vpnha-web@{target}.service" for target in site.probe_targets]
    wants = " ".join(["vpnha-site.service", "frr.service", "strongswan.service", *web])
    return {
        "/etc/systemd/system/multi-user.target.d/vpnha-site.conf": (0o644, f"[Unit]\nWants={wants}\n"),
        "/etc/systemd/system/vpnha-site.service": (0o644, _render("site.service", values)),
        "/etc/systemd/system/vpnha-web@.service": (0o644, _render("web.service", values)),
        "/srv/site/blob": (0o644, "0123456789abcdef" * (BLOB_BYTES // 16)),
        "/usr/local/lib/vpnha/site": (0o755, _render("peer.sh", values)),
        "/etc/sysctl.d/90-vpnha-site.conf": (0o644, _render("sysctl.conf", values)),
        "/etc/frr/daemons": (0o644, _render("daemons", values)),
        "/etc/frr/frr.conf": (0o644, _render("peer.frr.conf", values)),
        "/etc/strongswan.d/site.conf": (0o644, _render("peer.strongswan.conf", values)),
        **{path: (0o600, text) for path, text in connections(variables).items()},
    }


def connections(variables: Mapping[str, Any]) -> dict[str, str]:
    """swanctl's files, one for each tunnel."""
    deployment = parse(variables)
    keys = tunnel_config.psks(variables["vpnha_sites"])
    found = {}
    for end in ends(variables):
        tunnel = end.tunnel
        # it gives up late: how long a gateway without charon carries is to be seen, and everything is slow here
        body = {**sites.peer_connection(deployment, deployment.sites[0], tunnel), "dpd_delay": "120s"}
        child = {**body["children"][tunnel.name], "if_id_in": str(end.if_id), "if_id_out": str(end.if_id)}
        found[f"/etc/swanctl/conf.d/{tunnel.name}.conf"] = tunnel_config.swanctl_text(
            tunnel.name,
            {**body, "children": {tunnel.name: child}},
            keys[tunnel.name],
            (tunnel.peer_id, tunnel.local_id),
        )
    return found


def _render(template: str, values: Mapping[str, Any]) -> str:
    return _TEMPLATES.get_template(f"{template}.j2").render(values)
