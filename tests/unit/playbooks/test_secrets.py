# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys as the documentation has people give them: from a vault, from Secrets Manager, from Parameter Store, and files.

They reach swanctl's files, which only root can read, and nothing else that is said or written.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.plugins.module_utils.fake_vici import serve_loading, served

from .conftest import ROOT, Person

Description = dict[str, Any]

PASSWORD = "the-word-that-opens-the-vault"
MARKER = "mArKeR"  # in every secret of these tests, and nowhere else
VAULT = f"{MARKER}-of-the-vault-0123456789"
MANAGER = f"{MARKER}-of-secrets-manager-0123456789"
STORE = f"{MARKER}-of-parameter-store-0123456789"
NEXT = f"{MARKER}-of-the-next-key-0123456789"
HEARTBEAT = f"{MARKER}-of-all-heartbeats-0123456789"
BOOK = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: vpnha.aws.network
        tasks_from: check
    - vpnha.aws.gateway_tunnels:
        tunnels: "{{ vpnha_checked | vpnha.aws.gateway_tunnels(item, 'libipsec', vpnha_sites) }}"
        directory: "{{ playbook_dir }}/swanctl-{{ item }}"
        socket: "{{ playbook_dir }}/charon.vici"
      loop: [gw-a, gw-b]
"""
CERTIFIED = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: vpnha.aws.network
        tasks_from: check
    - ansible.builtin.file:
        path: "{{ playbook_dir }}/swanctl/conf.d"
        state: directory
        mode: "0700"
    - vpnha.aws.gateway_tunnels:
        tunnels: []
        credentials: "{{ vpnha_gateways | vpnha.aws.gateway_credentials('gw-a', vpnha_peer_ca) }}"
        swanctl: /bin/true
        directory: "{{ playbook_dir }}/swanctl/conf.d"
        socket: "{{ playbook_dir }}/charon.vici"
"""


def documented(heading: str) -> list[str]:
    """The values of ``psk`` and ``vpnha_heartbeat_key`` in the examples of a section of docs/secrets.md."""
    text = (ROOT / "docs" / "secrets.md").read_text(encoding="utf-8")
    section = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", text, flags=re.M | re.S)
    assert section, heading
    found = re.findall(r'^ *(?:psk|vpnha_heartbeat_key): ("\{\{.*\}\}")', section[1], flags=re.M)
    assert found, f"{heading}: no example"
    return [yaml.safe_load(value) for value in found]


@pytest.fixture
def stored(person: Person, account: Callable[..., Any]) -> Iterator[None]:
    """The secrets where the documentation's examples look for them."""
    manager, store = account("secretsmanager"), account("ssm")
    plain = manager.create_secret(Name="vpn/prod/hq-gw-b", SecretString=MANAGER)
    keyed = manager.create_secret(Name="vpn/prod/psks", SecretString=json.dumps({"hq-gw-b": MANAGER}))
    store.put_parameter(Name="/vpn/prod/plant-gw-a", Value=STORE, Type="SecureString")
    # what Ansible keeps in files is looked at as well
    person.environment |= {"HOME": str(person.directory), "ANSIBLE_PIPELINING": "false"}
    yield
    for secret in (plain, keyed):
        manager.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
    store.delete_parameter(Name="/vpn/prod/plant-gw-a")


def vaulted(directory: Path, secret: str) -> str:
    """A variable's value as ``ansible-vault encrypt_string`` makes it."""
    (directory / "password").write_text(PASSWORD)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-vault"), "encrypt_string", "--vault-password-file", "password"],
        input=secret,
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def holders(directory: Path, secret: str) -> set[Path]:
    """The files below a directory in which a secret stands, as it is or in hexadecimal."""
    needles = secret.encode(), secret.encode().hex().encode()
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path for path in files if any(needle in path.read_bytes() for needle in needles)}


@pytest.mark.parametrize("manager", [0, 1], ids=["a secret for each key", "one secret with all keys"])
@pytest.mark.usefixtures("stored")
def test_every_documented_source_reaches_the_tunnels_and_nothing_else(
    person: Person, description: Description, manager: int
) -> None:
    hq, plant = (site["tunnels"] for site in description["vpnha_sites"])
    hq[0]["psk"] = "{{ vault_psk_hq_a }}"
    assert hq[0]["psk"] in documented("Ansible Vault")
    hq[1]["psk"] = documented("AWS Secrets Manager")[manager]
    plant[0]["psk"] = documented("SSM Parameter Store")[0]
    plant[0]["psk_next"] = "{{ vault_psk_next }}"
    description["vpnha_heartbeat_key"] = "{{ vault_heartbeat_key }}"
    assert description["vpnha_heartbeat_key"] in documented("Ansible Vault")
    secrets = f"vault_psk_hq_a: {vaulted(person.directory, VAULT)}\n"
    secrets += f"vault_heartbeat_key: {vaulted(person.directory, HEARTBEAT)}\n"
    secrets += f"vault_psk_next: {vaulted(person.directory, NEXT)}\n"
    book = person.directory / "book.yml"
    book.write_text(BOOK)
    for gateway in ("gw-a", "gw-b"):
        (person.directory / f"swanctl-{gateway}").mkdir()
    options = ("--vault-password-file", "password", "-vvv", "--diff")
    with served(person.directory / "charon.vici", serve_loading):
        told = person.play(str(book), yaml.safe_dump(description) + secrets, *options)
    assert told.code == 0, told.output
    files = {
        VAULT: person.directory / "swanctl-gw-a" / "vpnha-hq-gw-a.conf",
        MANAGER: person.directory / "swanctl-gw-b" / "vpnha-hq-gw-b.conf",
        STORE: person.directory / "swanctl-gw-a" / "vpnha-plant-gw-a.conf",
        NEXT: person.directory / "swanctl-gw-a" / "vpnha-plant-gw-a.conf",
        HEARTBEAT: None,
    }
    for secret, file in files.items():
        assert secret not in told.output and secret.encode().hex() not in told.output
        assert holders(person.directory, secret) == ({file} if file else set())
        assert file is None or file.stat().st_mode & 0o777 == 0o600
    assert "(not shown)" in told.output  # the diff was there to look at


@pytest.mark.usefixtures("account")
def test_a_secret_that_is_not_there_is_named_with_its_place(person: Person, description: Description) -> None:
    hq, plant = (site["tunnels"] for site in description["vpnha_sites"])
    hq[0]["psk"] = documented("AWS Secrets Manager")[0]
    plant[0]["psk"] = documented("SSM Parameter Store")[0]
    person.play("deploy", description).refused_with(
        "The deployment's description has 2 problems:",
        "vpnha_sites[0].tunnels[0].psk: this cannot be read: ",
        "Failed to find secret vpn/prod/hq-gw-b",
        "vpnha_sites[1].tunnels[0].psk: this cannot be read: ",
        "Failed to find SSM parameter /vpn/prod/plant-gw-a",
    )


def test_the_documented_way_to_certificates_makes_some_that_are_good(person: Person, description: Description) -> None:
    tunnels = [tunnel for site in description["vpnha_sites"] for tunnel in site["tunnels"]]
    for number, tunnel in enumerate(tunnels):
        tunnel.update(auth="certificate", peer_id=f"peer-{number}.example", psk="")
    for gateway in description["vpnha_gateways"]:
        for key, suffix in (("certificate", "pem"), ("private_key", "key")):
            path = person.directory / "certificates" / f"{gateway['name']}.lab.{suffix}"
            gateway[key] = f"{{{{ lookup('ansible.builtin.file', '{path}') }}}}"
    description["vpnha_peer_ca"] = (
        f"{{{{ lookup('ansible.builtin.file', '{person.directory / 'certificates' / 'ca.pem'}') }}}}"
    )
    identities = ["gw-a.lab", "gw-b.lab", tunnels[0]["peer_id"]]
    given = {"identities": identities, "directory": str(person.directory / "certificates")}
    example = str(ROOT / "docs" / "examples" / "certificates.yml")
    made = person.play(example, {}, "-e", json.dumps(given))
    assert made.code == 0, made.output
    again = person.play(example, {}, "-e", json.dumps(given))
    assert (again.code, again.changed) == (0, 0)
    keys = sorted((person.directory / "certificates").glob("*.key"))
    assert len(keys) == len(identities) + 1 and {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    book = person.directory / "book.yml"
    book.write_text(CERTIFIED)
    with served(person.directory / "charon.vici", serve_loading):
        told = person.play(str(book), description, "-vvv")
    assert told.code == 0, told.output
    assert "BEGIN CERTIFICATE" in told.output and "PRIVATE KEY" not in told.output
    assert not any(key.read_text().splitlines()[1] in told.output for key in keys)
    private = person.directory / "swanctl" / "private" / "vpnha-gateway.pem"
    assert private.read_text() == (person.directory / "certificates" / "gw-a.lab.key").read_text()
    assert private.stat().st_mode & 0o777 == 0o600
