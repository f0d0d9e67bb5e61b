# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gateways and peers know each other by, keys and certificates, and how inventory and peers are told of it."""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_config import psks
from lab.names import REPOSITORY
from lab.siteboot import SHIPPED
from lab.sites import TUNNEL_FILE, described, site_files
from lab.steps import run

EXAMPLE = REPOSITORY / "docs" / "examples" / "certificates.yml"
CERTIFICATE_TUNNEL_FILE = TUNNEL_FILE.replace("site.conf", "site-certificate.conf")


class Keys:
    """The tunnels' keys before and after, and where the inventory finds them."""

    def __init__(self, sites: Iterable[Mapping[str, Any]]) -> None:
        self._sites = [dict(site) for site in sites]
        self.old = psks(self._sites)
        self.new = {tunnel: secrets.token_urlsafe(30) for tunnel in self.old}

    def store(self, client: Any) -> None:
        """Put them into Secrets Manager, a secret for each."""
        for tunnel in self.old:
            for version, key in (("old", self.old[tunnel]), ("new", self.new[tunnel])):
                client.create_secret(Name=f"vpn/lab/{tunnel}/{version}", SecretString=key)

    def inventory(self, psk: str, psk_next: str = "") -> list[dict[str, Any]]:
        """``vpnha_sites`` with lookups of "old" or "new" keys."""
        look = "{{{{ lookup('amazon.aws.secretsmanager_secret', 'vpn/lab/{}/{}', region=vpnha_region) }}}}"
        return self._with(
            lambda tunnel: {
                "psk": look.format(tunnel, psk),
                **({"psk_next": look.format(tunnel, psk_next)} if psk_next else {}),
            }
        )

    def peers(self, psk: str, other: str = "") -> list[dict[str, Any]]:
        """``vpnha_sites`` with the keys themselves, for the sites' hosts: the one that signs, and one known besides."""
        of = {"old": self.old, "new": self.new}
        return self._with(lambda tunnel: {"psk": of[psk][tunnel], **({"psk_next": of[other][tunnel]} if other else {})})

    def _with(self, keys: Any) -> list[dict[str, Any]]:
        sites = copy.deepcopy(self._sites)
        for site in sites:
            for tunnel in site["tunnels"]:
                tunnel.update(keys(f"{site['name']}-{tunnel['gateway']}"))
        return sites


class Certificates:
    """A CA's directory with keys and certificates, made as docs/examples has it, and the inventory that finds them."""

    def __init__(self, directory: Path, variables: Mapping[str, Any]) -> None:
        self._directory, self._variables = directory, variables
        self._deployment = described(variables)

    def make(self, env: Mapping[str, str], renewed: Iterable[str] = ()) -> None:
        """Make what is missing, and those of ``renewed`` anew. Raises StepFailed."""
        identities = list(renewed) or sorted(
            {identity for tunnel in self._deployment.tunnels for identity in (tunnel.local_id, tunnel.peer_id)}
        )
        given = {"directory": str(self._directory), "identities": identities, "renew": bool(renewed)}
        argv = ["ansible-playbook", str(EXAMPLE), "--inventory", str(SHIPPED.parents[1] / "hosts.yml")]
        run("Certificates", [*argv, "--extra-vars", json.dumps(given)], env)

    def identity(self, gateway: str) -> str:
        """As which a gateway comes."""
        return next(tunnel.local_id for tunnel in self._deployment.tunnels if tunnel.gateway == gateway)

    def inventory(self, lookups: bool = True) -> dict[str, Any]:
        """The variables of a deployment by certificate, with lookups or with the files' content."""
        gateways = copy.deepcopy(self._variables["vpnha_gateways"])
        for gateway in gateways:
            identity = self.identity(gateway["name"])
            for key, suffix in (("certificate", "pem"), ("private_key", "key")):
                gateway[key] = self._content(f"{identity}.{suffix}", lookups)
        sites = copy.deepcopy(self._variables["vpnha_sites"])
        for tunnel in (tunnel for site in sites for tunnel in site["tunnels"]):
            tunnel["auth"] = "certificate"
            del tunnel["psk"]
        return {"vpnha_gateways": gateways, "vpnha_sites": sites, "vpnha_peer_ca": self._content("ca.pem", lookups)}

    def peer_files(self) -> dict[str, dict[str, str]]:
        """What the customer gateways need for it beside what they have: host to path to content."""
        variables = {**self._variables, **self.inventory(lookups=False)}
        files = {host: there for host, there in site_files(variables).items() if TUNNEL_FILE in there}
        found = {}
        for host, there in files.items():
            text = there[TUNNEL_FILE][1]
            tunnel = next(one for one in self._deployment.tunnels if f"\n  {one.name} {{\n" in text)
            found[host] = {
                # strongSwan takes the connection whose method the gateway comes with
                CERTIFICATE_TUNNEL_FILE: text.replace(f"\n  {tunnel.name} {{\n", f"\n  {tunnel.name}-certificate {{\n"),
                "/etc/swanctl/x509/site.pem": self._content(f"{tunnel.peer_id}.pem", lookups=False),
                "/etc/swanctl/private/site.pem": self._content(f"{tunnel.peer_id}.key", lookups=False),
                "/etc/swanctl/x509ca/site.pem": self._content("ca.pem", lookups=False),
            }
        return found

    def needles(self) -> list[str]:
        """A line of each private key."""
        return [path.read_text().splitlines()[2] for path in sorted(self._directory.glob("*.key"))]

    def _content(self, name: str, lookups: bool) -> str:
        path = self._directory / name
        return f"{{{{ lookup('ansible.builtin.file', '{path}') }}}}" if lookups else path.read_text(encoding="ascii")
