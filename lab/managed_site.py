# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The customer's end of a managed VPN: one more customer gateway of a site, configured from what EC2's API says.

It has both tunnels, and is the site's last resort: the core prefers every way through the deployment's own gateways.
What comes in by a managed tunnel is answered all the same, by whichever way is the best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.dual_stack import ipv4
from lab import sites
from lab.errors import LabError
from lab.net.desired import Leg
from lab.sites import File, SiteHost, SiteInterface

_PRIORITY = 1000  # of the first tunnel's packets; libipsec takes the lowest that it has


@dataclass(frozen=True)
class Customer:
    """A site's customer gateway for managed VPN, which exists while a connection names its address."""

    site: str
    address: str  # public
    lan: str
    vpc: tuple[str, ...]
    prefixes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its host."""
        return f"cgw-{self.site}-m"


def customers(variables: Mapping[str, Any]) -> dict[str, Customer]:
    """The customer gateway that each site has for managed VPN, by its public address. LabError when a peer has it."""
    deployment = sites.described(variables)
    found = {}
    for number, site in enumerate(deployment.sites, 1):
        address = f"198.51.100.{200 + number}"
        if any(tunnel.peer_address == address for tunnel in deployment.tunnels):
            raise LabError(
                f"{address} is a peer of {site.name}, but the lab needs it for managed VPN: take another one."
            )
        lan = sites.managed_address(number)
        # a virtual private gateway carries no IPv6
        found[address] = Customer(site.name, address, lan, ipv4(deployment.vpc_cidrs), ipv4(site.prefixes))
    return found


def host(customer: Customer) -> SiteHost:
    """Its host."""
    wan = SiteInterface(sites.WAN, sites.INTERNET, f"{customer.address}/24", sites.INTERNET_GATEWAY)
    lan = SiteInterface(sites.LAN, f"lan-{customer.site}", f"{customer.lan}/24")
    return SiteHost(customer.name, customer.site, (wan, lan))


def files(variables: Mapping[str, Any], customer: Customer, legs: tuple[Leg, ...]) -> dict[str, File]:
    """What has to lie on it before it boots."""
    deployment = sites.described(variables)
    number, site = next((n, s) for n, s in enumerate(deployment.sites, 1) if s.name == customer.site)
    values = {
        **sites.shared(deployment, site),
        "address": customer.lan,
        "core": sites.core_address(number),
        "legs": legs,
    }
    found = sites.common_files("vpnha-site.service frr.service strongswan.service vpnha-track.service", values, "cgw")
    found |= {
        "/etc/frr/frr.conf": (0o644, sites.render("managed.frr.conf", values)),
        "/etc/strongswan.d/site.conf": (0o644, sites.render("strongswan.conf", {"timeout": 1.0, "tries": 3})),
    }
    ways = [(leg.customer, leg.amazon) for leg in legs]
    found |= sites.track_files(customer.vpc, ways, "-c 2 -i 0.2 -W 0.5", 1)
    for position, leg in enumerate(legs, 1):
        name = f"aws-{position}"
        text = tunnel_config.swanctl_text(
            name, connection(customer, leg, position), leg.key, (customer.address, leg.outside)
        )
        found[f"/etc/swanctl/conf.d/{name}.conf"] = (0o600, text)
    return found


def connection(customer: Customer, leg: Leg, position: int) -> dict[str, Any]:
    """A tunnel as its strongSwan is told: it begins, as AWS's end only waits, and begins again after a silence."""
    child = {
        "local_ts": [*customer.prefixes, leg.network],
        "remote_ts": [*customer.vpc, leg.network],
        "esp_proposals": list(tunnel_config.ESP_PROPOSALS),
        "start_action": "start",
        "dpd_action": "restart",
        "close_action": "none",
        "priority": str(_PRIORITY * position),
    }
    return {
        "version": "2",
        "local_addrs": [customer.address],
        "remote_addrs": [leg.outside],
        "proposals": list(tunnel_config.IKE_PROPOSALS),
        "mobike": "no",
        "unique": "replace",
        "keyingtries": "0",
        "reauth_time": "0",
        "dpd_delay": "5s",
        "local": {"auth": "psk", "id": customer.address},
        "remote": {"auth": "psk", "id": leg.outside},
        "children": {f"aws-{position}": child},
    }
