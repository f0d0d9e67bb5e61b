# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that turn a checked deployment into the lists that the role ``network`` hands to its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.vpnha.aws.plugins.module_utils import as_described, group_rules
from ansible_collections.vpnha.aws.plugins.module_utils.listening import PORT

Plain = Mapping[str, Any]


def network_plan(
    checked: Plain,
    gateways: Sequence[Plain] = (),
    monitors: Sequence[Plain] = (),
    app_hosts: Sequence[Plain] = (),
    admin_cidrs: Sequence[str] = (),
    *,
    elastic_ips: Sequence[str] = ("gateways", "monitors"),
    monitor_port: int = PORT,
) -> dict[str, list[dict[str, Any]]]:
    """``subnets``, ``groups`` (security groups) and ``hosts`` of a deployment, see the filter's documentation."""
    return {
        "subnets": list(_subnets(checked)),
        "groups": group_rules.groups(checked, admin_cidrs, monitor_port),
        "hosts": [
            # An application host is reached through the VPC or the VPN, like those that it stands for.
            {**_host(checked, host, role), "elastic_ip": f"{role}s" in elastic_ips}
            for role, hosts in (("gateway", gateways), ("monitor", monitors), ("app", app_hosts))
            for host in hosts
        ],
    }


def _subnets(checked: Plain) -> Iterable[dict[str, Any]]:
    for zone in checked["zones"]:
        for cidr, ipv6 in _networks(zone).items():
            kind = "gateway" if cidr == zone["gateway_subnet"] else "app"
            yield {"cidr": cidr, "zone": zone["name"], "kind": kind, **({"ipv6_cidr": ipv6} if ipv6 else {})}


def _networks(zone: Plain) -> dict[str, str]:
    """A zone's subnets, the gateways' first, each with its network of IPv6, or none."""
    own = zone.get("app_subnets_ipv6") or [""] * len(zone["app_subnets"])
    found = {zone["gateway_subnet"]: zone.get("gateway_subnet_ipv6", "")}
    return found | dict(zip(zone["app_subnets"], own, strict=True))


def _host(checked: Plain, host: Plain, role: str) -> dict[str, Any]:
    zone = next((each for each in checked["zones"] if each["name"] == host["zone"]), None)
    if zone is None:
        raise AnsibleFilterError(f"{host['name']} is in {host['zone']}, which is no zone of the deployment.")
    cidrs = zone["app_subnets"] if role == "app" else [zone["gateway_subnet"]]
    cidr = next((each for each in cidrs if ip_address(str(host["address"])) in ip_network(each)), None)
    if cidr is None:
        raise AnsibleFilterError(
            f"{host['name']} has the address {host['address']}, which is in none of {zone['name']}'s subnets for it "
            f"({', '.join(cidrs)})."
        )
    return {
        "name": host["name"],
        "role": role,
        "zone": host["zone"],
        "cidr": cidr,
        "address": host["address"],
        "instance_type": host.get("instance_type") or ("t3.micro" if role == "app" else "t3.small"),
        "ansible_host": host.get("ansible_host") or "",
        # whatever sends packets of IPv6 or passes them on; nobody asks a monitor by it
        "ipv6": role != "monitor" and bool(_networks(zone)[cidr]),
    }


def network_request(
    checked: Plain, hosts: Sequence[Plain], subnets: Plain, groups: Plain, endpoints: Sequence[str] = ()
) -> dict[str, Any]:
    """The lists that ``gateway_network`` takes. ``subnets``: ids by CIDR; ``groups``: ids by role.

    ``endpoints`` are the services that the user names; a single monitor asks DynamoDB for nothing. What is in a subnet
    that has no id yet is left out. Where no host has an Elastic IP, no subnet is public.
    """
    internet = any(host["elastic_ip"] for host in hosts)
    managed = checked["managed_gateways"]
    homes = {zone: gateway["name"] for gateway in [*checked["gateways"], *managed] for zone in gateway["home_zones"]}
    return {
        "interfaces": [
            {
                **{key: host[key] for key in ("name", "role", "address", "elastic_ip", "ipv6")},
                "subnet_id": subnets[host["cidr"]],
                "security_groups": [groups[host["role"]]] if host["role"] in groups else [],
            }
            for host in hosts
            if host["cidr"] in subnets
        ],
        "zones": [
            {
                "name": zone["name"],
                "subnets": [subnets[cidr] for cidr in zone["app_subnets"] if cidr in subnets],
                "gateway": homes[zone["name"]],
            }
            for zone in checked["zones"]
        ],
        "destinations": [
            prefix for site in checked["sites"] if not site["by_prefix_list"] for prefix in site["prefixes"]
        ],
        "prefix_lists": [
            {"site": site["name"], "entries": site["prefixes"]} for site in checked["sites"] if site["by_prefix_list"]
        ],
        "public_subnets": [
            subnets[zone["gateway_subnet"]]
            for zone in checked["zones"]
            if internet and zone["gateway_subnet"] in subnets
        ],
        "managed_gateways": [
            {
                "name": gateway["name"],
                "vpn_gateway": gateway["vpn_gateway"],
                "probes": [probe["address"] for probe in gateway["probes"]],
            }
            for gateway in managed
        ],
        "endpoints": [each for each in endpoints if each != "dynamodb" or len(checked["monitors"]) > 1],
    }


def with_prefix_lists(
    checked: Plain, ids: Mapping[str, str], ids_ipv6: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The checked deployment with the ids, by site, of the prefix lists that its sites are routed by."""
    of_ipv6 = ids_ipv6 or {}
    sites = [
        {**site, "prefix_list": ids.get(site["name"], ""), "prefix_list_ipv6": of_ipv6.get(site["name"], "")}
        for site in checked["sites"]
    ]
    return {**checked, "sites": sites}


class FilterModule:
    """Ansible's way to find the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "network_plan": network_plan,
            "network_request": network_request,
            "with_prefix_lists": with_prefix_lists,
            "groups_unlike": as_described.groups_unlike,
        }
