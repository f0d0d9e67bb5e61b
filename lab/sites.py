# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other end: on-premises networks with customer gateways, a core router, and a server that answers.

A site has one customer gateway host for each of its peers and one core router, which also holds the server's addresses.
Computed from the deployment's own variables; what the hosts do is plain strongSwan and FRR, as an on-premises
network engineer would set it up. Nothing here starts anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import jinja2

from ansible_collections.vpnha.aws.plugins.module_utils import dual_stack, tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Site, Tunnel
from lab.errors import LabError

INTERNET = "internet"
INTERNET_GATEWAY = "198.51.100.1"
WAN = "wan0"
LAN = "lan0"
CORE_ASN_OFFSET = 9  # the core of a site with peers in AS 65010 is AS 65019
TUNNEL_FILE = "/etc/swanctl/conf.d/site.conf"  # of a customer gateway
STATIC_ASN = 65100  # of a static site's peers towards their core; the gateways never see it

_HERE = Path(__file__).resolve().parent
_RESPONDER = _HERE.parent / "roles" / "drill" / "files" / "responder.py"
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "site_templates"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,
)

File = tuple[int, str]  # mode, content


@dataclass(frozen=True)
class SiteInterface:
    """One interface; ``network`` is "internet" or "lan-<site>", ``address`` has a prefix length."""

    ifname: str
    network: str
    address: str
    gateway: str | None = None  # of the default route
    ipv6: str = ""  # an address of IPv6 besides, with a prefix length


@dataclass(frozen=True)
class SiteHost:
    """One host of a site: ``cgw-<site>-a`` and so on, or ``core-<site>``."""

    name: str
    site: str
    interfaces: tuple[SiteInterface, ...]


def site_hosts(variables: Mapping[str, Any]) -> list[SiteHost]:
    """The hosts of all sites. Raises LabError when the lab cannot play the described peers."""
    deployment = described(variables)
    hosts = []
    for number, site in enumerate(deployment.sites, 1):
        lan, dual = f"lan-{site.name}", bool(dual_stack.ipv6(site.prefixes))
        for position, tunnel in enumerate(_tunnels(deployment, site)):
            wan = SiteInterface(WAN, INTERNET, f"{tunnel.peer_address}/24", INTERNET_GATEWAY)
            inner = SiteInterface(
                LAN, lan, f"{_cgw_address(number, position)}/24", ipv6=_lan_ipv6(number, 11 + position) if dual else ""
            )
            hosts.append(SiteHost(_cgw_name(site, position), site.name, (wan, inner)))
        core = SiteInterface(LAN, lan, f"{core_address(number)}/24", ipv6=_lan_ipv6(number, 1) if dual else "")
        hosts.append(SiteHost(f"core-{site.name}", site.name, (core,)))
    return hosts


def site_files(variables: Mapping[str, Any]) -> dict[str, dict[str, File]]:
    """What has to lie on each host before it boots: host name to absolute path to mode and content."""
    deployment = described(variables)
    keys, others = (tunnel_config.psks(variables["vpnha_sites"], key) for key in ("psk", "psk_next"))
    found: dict[str, dict[str, File]] = {}
    for number, site in enumerate(deployment.sites, 1):
        tunnels = _tunnels(deployment, site)
        same = shared(deployment, site)
        for position, tunnel in enumerate(tunnels):
            view = tunnel_config.gateway_view(deployment, tunnel.gateway, tunnel_config.LIBIPSEC)
            values = {
                **same,
                "tunnel": tunnel,
                "gateway": view,
                "address": _cgw_address(number, position),
                "core": core_address(number),
                "inside6": {
                    "cidr": dual_stack.inside_cidr(tunnel.inside_cidr),
                    "theirs": dual_stack.inside_address(tunnel.peer_inside_address),
                },
            }
            body = peer_connection(deployment, site, tunnel)
            owners = (tunnel.peer_id, tunnel.local_id)
            found[_cgw_name(site, position)] = {
                **common_files("vpnha-site.service frr.service strongswan.service", values, "cgw"),
                "/etc/frr/frr.conf": (0o644, render("cgw.frr.conf", values)),
                "/etc/strongswan.d/site.conf": (0o644, render("strongswan.conf", values)),
                TUNNEL_FILE: (
                    0o600,
                    tunnel_config.swanctl_text(
                        tunnel.name, body, keys.get(tunnel.name, ""), owners, others.get(tunnel.name, "")
                    ),
                ),
            }
            if site.routing == "static":
                routes = [*same["vpc"], *view.home_prefixes, *view.other_prefixes]
                if view.ipv6 and same["prefixes6"]:
                    routes += [*view.ipv6.vpc_cidrs, *view.ipv6.home_prefixes, *view.ipv6.other_prefixes]
                ways = [(tunnel.peer_inside_address, tunnel.inside_address)]
                found[_cgw_name(site, position)] |= track_files(routes, ways, "-c 3 -i 0.1 -W 0.3", 0.1)
        cgws = [(_cgw_name(site, position), _cgw_address(number, position)) for position in range(len(tunnels))]
        services = [f"vpnha-{kind}@{target}.service" for target in site.probe_targets for kind in ("responder", "web")]
        values = {**same, "address": core_address(number), "cgws": cgws, "managed": managed_address(number)}
        found[f"core-{site.name}"] = {
            **common_files(" ".join(["vpnha-site.service", "frr.service", *services]), values, "core"),
            "/etc/frr/frr.conf": (0o644, render("core.frr.conf", values)),
            "/usr/local/lib/vpnha/responder.py": (0o755, _RESPONDER.read_text(encoding="utf-8")),
            "/etc/systemd/system/vpnha-responder@.service": (0o644, render("responder.service", values)),
            "/etc/systemd/system/vpnha-web@.service": (0o644, render("web.service", values)),
            "/etc/systemd/system/strongswan.service.d/vpnha-site.conf": (0o644, render("no-tunnels.conf", values)),
            "/srv/site/index.html": (0o644, f"{site.name}\n"),
        }
    return found


def peer_connection(deployment: Deployment, site: Site, tunnel: Tunnel) -> dict[str, Any]:
    """The peer's end of a tunnel: the gateway's, mirrored, and waiting for the gateway to start it."""
    ours = tunnel_config.connection(deployment, tunnel, tunnel_config.LIBIPSEC)
    theirs = ours["children"][tunnel.name]
    child = {
        **theirs,
        "local_ts": theirs["remote_ts"],
        "remote_ts": theirs["local_ts"],
        "start_action": "none",
        "dpd_action": "clear",
    }
    return {
        **ours,
        "local_addrs": [tunnel.peer_address],
        "remote_addrs": ["%any"],  # the gateway's Elastic IP is known when it has been allocated, not now
        "local": ours["remote"],
        "remote": ours["local"],
        "children": {tunnel.name: child},
    }


def shared(deployment: Deployment, site: Site) -> dict[str, Any]:
    """What the templates of all hosts of a site need."""
    peers = (tunnel.peer_asn for tunnel in deployment.tunnels if tunnel.site == site.name)
    asn = next((each for each in peers if each), STATIC_ASN)
    prefixes6 = dual_stack.ipv6(site.prefixes)
    return {
        "site": site,
        "prefixes": dual_stack.ipv4(site.prefixes),
        "prefixes6": prefixes6,
        "vpc": dual_stack.ipv4(deployment.vpc_cidrs),
        "vpc6": dual_stack.ipv6(deployment.vpc_cidrs) if prefixes6 else (),
        "asn": asn,
        "core_asn": asn + CORE_ASN_OFFSET,
    }


def common_files(units: str, values: Mapping[str, Any], role: str) -> dict[str, File]:
    """What every host of a site has; ``role``: "cgw" or "core"."""
    # a drop-in instead of symlinks: files are all that has to be put on a host
    wants = f"[Unit]\nWants={units}{' vpnha-track.service' if _tracked(values, role) else ''}\n"
    return {
        "/etc/systemd/system/multi-user.target.d/vpnha-site.conf": (0o644, wants),
        "/etc/systemd/system/vpnha-site.service": (0o644, render("site.service", values)),
        "/usr/local/lib/vpnha/site": (0o755, render(f"{role}.sh", values)),
        "/etc/sysctl.d/90-vpnha-site.conf": (0o644, render("sysctl.conf", values)),
        "/etc/frr/daemons": (0o644, render("daemons", values)),
    }


def track_files(routes: Sequence[str], ways: Sequence[tuple[str, str]], echoes: str, pause: float) -> dict[str, File]:
    """The service that has those routes while one of the ways, from an address to an address, answers ``echoes``."""
    peer = ways[0][1]
    words = [
        f"ipv6 route {cidr} {dual_stack.inside_address(peer)}"
        if dual_stack.is_ipv6(cidr)
        else f"ip route {cidr} {peer}"
        for cidr in routes
    ]
    values = {"routes": words, "ways": ways, "echoes": echoes, "pause": pause}
    return {
        "/etc/systemd/system/vpnha-track.service": (0o644, render("track.service", values)),
        "/usr/local/lib/vpnha/track": (0o755, render("track.sh", values)),
    }


def _tracked(values: Mapping[str, Any], role: str) -> bool:
    return role == "cgw" and values["site"].routing == "static"


def render(template: str, values: Mapping[str, Any]) -> str:
    """A file of a template."""
    return _TEMPLATES.get_template(f"{template}.j2").render(values)


def described(variables: Mapping[str, Any]) -> Deployment:
    """The deployment of those variables. Raises LabError when it is none."""
    try:
        return parse(variables)
    except DescriptionError as error:
        raise LabError(f"The lab's deployment is not usable: {error}") from error


def _tunnels(deployment: Deployment, site: Site) -> list[Tunnel]:
    tunnels = [tunnel for tunnel in deployment.tunnels if tunnel.site == site.name]
    addresses = [tunnel.peer_address for tunnel in tunnels]
    for tunnel in tunnels:
        if not tunnel.initiate:
            raise LabError(
                f"The tunnel {tunnel.name} has initiate: false, but the lab's peers only wait: leave it out."
            )
    for address in addresses:
        if addresses.count(address) > 1:
            raise LabError(
                f"Site {site.name} has several tunnels to the peer {address}: the lab's customer gateways have one "
                "tunnel each, so give each tunnel a peer address of its own."
            )
    return tunnels


def _cgw_name(site: Site, position: int) -> str:
    return f"cgw-{site.name}-{ascii_lowercase[position]}"


def _cgw_address(site_number: int, position: int) -> str:
    return f"172.30.{site_number}.{11 + position}"


def _lan_ipv6(site_number: int, host: int) -> str:
    return f"fd00:30:{site_number}::{host}/64"


def core_address(site_number: int) -> str:
    """The core's address in its LAN."""
    return f"172.30.{site_number}.1"


def managed_address(site_number: int) -> str:
    """That of the customer gateway for managed VPN."""
    return f"172.30.{site_number}.99"
