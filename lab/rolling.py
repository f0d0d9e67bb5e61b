# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deploy over a running deployment, shown: other ciphers, other code, other settings, and one that the peers refuse.

``python -m lab.rolling`` starts the lab, deploys, and deploys again and again while packets are counted. It stops the
lab, also when something failed or was interrupted.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.changes import Changes, Part, Played, show_in_the_lab
from lab.matrix.lookout import GATEWAYS, MONITOR
from lab.names import REPOSITORY, Names
from lab.sas import Sa, established

OUTPUT = REPOSITORY / "artifacts" / "rolling"
CIPHER = {"vpnha_gateway_ike_proposals": ["aes256-sha256-modp2048"], "vpnha_gateway_esp_proposals": ["aes256-sha256"]}
CIPHER_SHOWN = "AES_CBC-256/HMAC_SHA2_256_128"
SETTINGS = {"vpnha_gateway_mss": 1350, "vpnha_gateway_bfd_mesh": {"interval_ms": 250, "multiplier": 5}}
DAEMON = {"vpnha_gateway_retransmit": {"timeout": 2.5, "base": 1.5, "tries": 5}}
REFUSED = {**CIPHER, "vpnha_gateway_ike_proposals": ["aes128gcm16-prfsha256-ecp256"], "vpnha_healthy_seconds": 20}
COPIED = ("plugins", "roles", "playbooks", "meta", "galaxy.yml")
TOUCHED = ("roles/gateway/files/vpnha_agent/__init__.py", "roles/monitor/files/vpnha_monitor/__init__.py")


class Rolling:
    """The parts of the report."""

    def __init__(self, names: Names, env: Mapping[str, str], output: Path = OUTPUT) -> None:
        self.changes = Changes("A deploy over a running deployment", output, names, env)
        self._lookout, self.well = self.changes.lookout, self.changes.well
        self._output = output
        self._variables: dict[str, Any] = {}
        self._version: dict[str, str] = {}  # where the other version is, once it is in use

    def all(self) -> Changes:
        """Carry all parts out."""
        self.well()
        self.changes.carry_out("cipher", "other ciphers for IKE and ESP", self.cipher)
        self.changes.carry_out("again", "the same once more", self.again)
        self.changes.carry_out("code", "other code, FRR's and the filter's settings", self.code)
        self.changes.carry_out("daemon", "settings that restart strongSwan", self.daemon)
        self.changes.carry_out("refused", "ciphers that the peers refuse", self.refused)
        self.changes.carry_out("mended", "the former ciphers again", self.mended)
        return self.changes

    def sas(self, gateway: str) -> dict[str, Sa]:
        """A gateway's tunnels that are up."""
        return established(self._lookout.run(gateway, "swanctl", "--list-sas"))

    def _deploy(self, part: Part, **variables: Any) -> Played:
        return self.changes.play("deploy", part, env=self._version, **variables)

    def cipher(self, part: Part) -> None:
        """Other proposals, which the peers accept as well."""
        before = {gateway: self.sas(gateway) for gateway in GATEWAYS}
        self._variables = dict(CIPHER)
        played = self._deploy(part, **self._variables)
        part.fact("the deploy succeeds", played.code == 0)
        for gateway in GATEWAYS:
            now = self.sas(gateway)
            for tunnel in before[gateway]:
                sa = now.get(tunnel, Sa("", "", ""))
                part.fact(f"{tunnel} uses {sa.ike} and {sa.esp}", sa.esp == CIPHER_SHOWN and "MODP_2048" in sa.ike)

    def again(self, part: Part) -> None:
        """The same variables once more."""
        before = {gateway: self.sas(gateway) for gateway in GATEWAYS}
        played = self._deploy(part, **self._variables)
        part.fact("the deploy succeeds and changes nothing", played.code == 0 and not any(played.changed.values()))
        part.fact("no tunnel was opened anew", self._same(before))

    def code(self, part: Part) -> None:
        """Another version of the daemons, other settings of FRR and the filter."""
        before = {gateway: self.sas(gateway) for gateway in GATEWAYS}
        releases, starts = self._releases(), self._starts()
        self._version = {"ANSIBLE_COLLECTIONS_PATH": str(another_version(self._output / "collections"))}
        self._variables |= SETTINGS
        played = self._deploy(part, **self._variables)
        part.fact("the deploy succeeds", played.code == 0)
        for host, release in self._releases().items():
            part.fact(f"{host} runs another release", release != releases[host])
        for host, start in self._starts().items():
            part.fact(f"{host}'s daemon was started anew", start != starts[host])
        part.fact("no tunnel was opened anew", self._same(before))
        self.well()

    def daemon(self, part: Part) -> None:
        """Settings that strongSwan reads at its start only."""
        self._variables |= DAEMON
        played = self._deploy(part, **self._variables)
        part.fact("the deploy succeeds", played.code == 0)
        part.fact("every tunnel is up", all(len(self.sas(gateway)) == 2 for gateway in GATEWAYS))
        self.well()

    def refused(self, part: Part) -> None:
        """Proposals that no peer accepts: the first gateway does not come back."""
        before = self.sas("gw-b")
        played = self._deploy(part, **{**self._variables, **REFUSED})
        part.said = stopped(played.output)
        words = " ".join(part.said)
        part.fact("the rollout stops at gw-a, in a sentence", played.code != 0 and "gw-a was changed" in words)
        part.fact("the sentence says that gw-b is as before", "gw-b is still as before" in words)
        part.fact("gw-a has no tunnel", not self.sas("gw-a"))
        part.fact("gw-b's tunnels are the same as before", self.sas("gw-b") == before)

    def mended(self, part: Part) -> None:
        """What was in force before: the broken gateway is configured first."""
        played = self._deploy(part, **self._variables)
        part.fact("the deploy succeeds", played.code == 0)
        part.fact("every tunnel is up", all(len(self.sas(gateway)) == 2 for gateway in GATEWAYS))
        self.well()

    def _same(self, before: Mapping[str, Mapping[str, Sa]]) -> bool:
        return all(self.sas(gateway) == before[gateway] for gateway in GATEWAYS)

    def _releases(self) -> dict[str, str]:
        return {host: self._lookout.run(host, "readlink", "/opt/vpnha/lib").strip() for host in (*GATEWAYS, MONITOR)}

    def _starts(self) -> dict[str, str]:
        units = {**dict.fromkeys(GATEWAYS, "vpnha-agent"), MONITOR: "vpnha-monitor"}
        asked = ("systemctl", "show", "-p", "ExecMainPID")
        return {host: self._lookout.run(host, *asked, unit).strip() for host, unit in units.items()}


def stopped(output: str) -> list[str]:
    """The sentence with which a rollout stops, in a playbook's output."""
    found = re.findall(r'"msg": "((?:[^"\\]|\\.)* Mend what is said of (?:[^"\\]|\\.)*)"', output)
    return [sentence.replace('\\"', '"') for sentence in dict.fromkeys(found)]


def another_version(directory: Path) -> Path:
    """A copy of the collection whose agent and monitor are other code; returns the path of collections."""
    shutil.rmtree(directory, ignore_errors=True)
    here = directory / "ansible_collections" / "vpnha" / "aws"
    here.mkdir(parents=True)
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, here / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, here / name)
    for name in TOUCHED:
        with (here / name).open("a", encoding="utf-8") as file:
            file.write("# another version\n")
    return directory


def main(
    keep: Annotated[bool, typer.Option(help="Leave the lab up in the end.")] = False,
) -> None:
    """Deploy over a running deployment in the lab; exit code 0: no packet was lost and all is as it must be."""
    try:
        raise typer.Exit(show_in_the_lab(OUTPUT, lambda names, env: Rolling(names, env).all(), keep=keep))
    finally:
        shutil.rmtree(OUTPUT / "collections", ignore_errors=True)


if __name__ == "__main__":
    typer.run(main)
