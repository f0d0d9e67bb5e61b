# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots the sites' hosts: what lab/sites.py describes becomes namespaces, cables and hosts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from lab import managed_site, registry
from lab.errors import LabError
from lab.hosts import Hosts
from lab.names import REPOSITORY, Names
from lab.net import netns, underlay
from lab.sites import INTERNET, SiteHost, SiteInterface, site_files, site_hosts

SHIPPED = REPOSITORY / "lab" / "inventory" / "group_vars" / "all.yml"


def deployment_variables(names: Names) -> dict[str, Any]:
    """The deployment from which the sites are made: the shipped one, and over it what ``choose`` has noted.

    Raises LabError when a file is not readable.
    """
    noted = read_variables(names.deployment) if names.deployment.exists() else {}
    return {**read_variables(SHIPPED), **noted}


def read_variables(file: Path) -> dict[str, Any]:
    """The variables of a deployment file. Raises LabError when it is not readable, or no mapping."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise LabError(f"The lab's deployment {file} cannot be read: {reason}") from error
    if not isinstance(found, dict):
        raise LabError(f"The lab's deployment {file} cannot be read: it has no variables of Ansible.")
    return dict(found)


def choose(names: Names, variables: Mapping[str, Any] | None, *, fresh: bool) -> None:
    """Note for all later commands what the lab's deployment has otherwise than the shipped one; None: no word on it.

    A lab that runs already keeps its own. Raises LabError when another one is asked for.
    """
    if fresh:
        names.deployment.unlink(missing_ok=True)
        if variables:
            names.state.mkdir(parents=True, exist_ok=True)
            names.deployment.write_text(yaml.safe_dump(dict(variables)), encoding="utf-8")
    elif variables is not None and {**read_variables(SHIPPED), **variables} != deployment_variables(names):
        raise LabError(f"The lab {names.name} runs with another deployment: take it down first.")


def host_id(host: SiteHost) -> str:
    """The host's id, which no instance has."""
    return f"site-{host.name}"


def boot(names: Names, only: str | None = None, *, timeout: float = 180.0) -> list[str]:
    """Boot every host of the sites that is not running, or ``only`` one; returns their names once they are up.

    The internet must exist. Raises LabError when a host does not boot.
    """
    variables = deployment_variables(names)
    hosts, files = Hosts(names), site_files(variables)
    wanted = [each for each in site_hosts(variables) if only in (None, each.name)]
    if not wanted:
        raise LabError(f"No site has a host called {only}.")
    for network in sorted({port.network for each in wanted for port in each.interfaces} - {INTERNET}):
        _make_lan(names, network)

    def start(host: SiteHost) -> None:
        name = host_id(host)
        if hosts.ended(name) or hosts.state(name) in ("absent", "stopped"):
            hosts.start(
                name,
                image="golden",
                hostname=host.name,
                prepare=lambda: wire(names, host),
                files=files[host.name],
                again=[sys.executable, "-m", "lab", "boot-site", host.name],
            )
            registry.write(names, name, name=host.name, netns=names.netns(name), kind="site")
        hosts.wait(name, timeout)

    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        list(pool.map(start, wanted))
    return [host.name for host in wanted]


def addresses(variables: Mapping[str, Any]) -> dict[str, str]:
    """The address of every site host's first interface, by the host's name; those for managed VPN need not exist."""
    hosts = [*site_hosts(variables), *(managed_site.host(each) for each in managed_site.customers(variables).values())]
    return {host.name: host.interfaces[0].address.split("/")[0] for host in hosts}


def count(variables: Mapping[str, Any]) -> int:
    """How many hosts there are once the deployment is there: its own, and the sites'."""
    own = ("vpnha_gateways", "vpnha_monitors", "vpnha_app_hosts")
    return len(site_hosts(variables)) + sum(len(variables.get(each) or ()) for each in own)


def prefixes(variables: Mapping[str, Any]) -> list[str]:
    """The private networks of all sites: packets of theirs have no business on the internet."""
    return [prefix for site in variables["vpnha_sites"] for prefix in site["prefixes"]]


def _make_lan(names: Names, network: str) -> None:
    lan = names.netns(network)
    if netns.exists(lan) and netns.has_link(lan, "br0"):
        return
    netns.delete(lan)
    netns.add(lan)
    netns.ip(lan, "link add br0 type bridge forward_delay 0", "link set br0 up")


def wire(names: Names, host: SiteHost) -> str:
    """Make the host's namespace anew with its interfaces; returns its path. Its site's LAN must exist."""
    from lab import faults  # which finds the sites' addresses here

    here = names.netns(host_id(host))
    netns.delete(here)
    netns.add(here)
    for port in host.interfaces:
        if port.network == INTERNET:
            address = port.address.split("/")[0]
            underlay.plug(names, here, port.ifname, address, gateway=port.gateway)
        else:
            _plug_lan(names.netns(port.network), here, port)
    faults.reapply(names, here)
    return names.netns_path(host_id(host))


def _plug_lan(lan: str, here: str, wanted: SiteInterface) -> None:
    ifname = wanted.ifname
    port = netns.short("p", here, ifname)
    netns.drop_link(lan, port)  # a namespace dies late: the cable of the boot before may still be there
    cable = f"link add {port} type veth peer name {ifname} address {underlay.mac(here, ifname)} netns {here}"
    netns.ip(lan, cable, f"link set {port} master br0 up")
    netns.ip(here, f"address add {wanted.address} dev {ifname}", f"link set {ifname} up")
    if wanted.ipv6:
        netns.ip(here, f"address add {wanted.ipv6} dev {ifname} nodad", ipv6=True)
