# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How packets for each site leave this gateway: through its own tunnel, through another gateway, or not at all."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection

from ansible_collections.vpnha.aws.plugins.module_utils.dual_stack import inside_address
from ansible_collections.vpnha.aws.plugins.module_utils.model import Site
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_config import MESH_DEVICE

from .config import AgentConfig
from .netlink import Hop

TUNNEL, NEIGHBOUR, NONE = "tunnel", "neighbour", "none"
_WORST_LAST = (TUNNEL, NEIGHBOUR, NONE)


def addresses(site: Site) -> tuple[str, ...]:
    """One address in each of the site's prefixes, a probe target where there is one."""
    found = []
    for prefix in site.prefixes:
        network = ipaddress.ip_network(prefix)
        inside = [target for target in site.probe_targets if ipaddress.ip_address(target) in network]
        found.append(inside[0] if inside else str(network[min(1, network.num_addresses - 1)]))
    return tuple(found)


def classify(hop: Hop, own: Collection[tuple[str, str]]) -> str:
    """What a next hop means; ``own`` are (device, a peer's address inside) of this gateway's tunnels to the site.

    Tunnels can share one device, so a gateway address must be that of one of the site's own peers.
    """
    if hop.device == MESH_DEVICE:
        return NEIGHBOUR
    if any(hop.device == device and hop.gateway in ("", peer) for device, peer in own):
        return TUNNEL
    return NONE


def site_paths(config: AgentConfig, lookup: Callable[[str], Hop]) -> dict[str, str]:
    """The path of each site by name; of several prefixes the worst."""
    paths = {}
    for site in config.deployment.sites:
        own = [
            (config.device(tunnel), peer)
            for tunnel in config.tunnels
            if tunnel.site == site.name
            for peer in (tunnel.peer_inside_address, inside_address(tunnel.peer_inside_address))
        ]
        ways = [classify(lookup(address), own) for address in addresses(site)]
        paths[site.name] = max(ways, key=_WORST_LAST.index, default=NONE)
    return paths
