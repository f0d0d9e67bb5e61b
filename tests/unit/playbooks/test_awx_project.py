# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository that docs/awx.md describes, used as a controller uses it.

A controller exports the project's inventory, without anybody's vault password, and gives its jobs a program that prints
what came of that. A job then runs one of the project's own playbooks.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from .conftest import ROOT, Person
from .test_peers import elastic_ip

VAULTED = "a heartbeat key that only the job can read"


def blocks() -> list[str]:
    """The YAML of the documentation, in its order."""
    return re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "awx.md").read_text(), re.MULTILINE | re.DOTALL)


def tool(name: str, *arguments: object, given: str | None = None) -> str:
    """What a tool of Ansible's prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    done = subprocess.run(
        [Path(sys.executable).with_name(name), *map(str, arguments)],
        env=environment, input=given, text=True, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    return done.stdout


def test_a_job_knows_the_description_by_the_projects_inventory(
    person: Person, account: Callable[..., Any], description: dict[str, Any], tmp_path_factory: Any
) -> None:
    elastic_ip(account(), "shown", "gw-a")
    project, runner = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("runner")
    password = runner / "password"
    password.write_text("of the vault\n")
    playbook, hosts = blocks()[:2]
    (project / "inventory" / "group_vars").mkdir(parents=True)
    (project / "inventory" / "hosts.yml").write_text(hosts)
    encrypted = tool(
        "ansible-vault", "encrypt_string", "--vault-password-file", password, "--stdin-name", "vault_key", given=VAULTED
    )
    described = description | {"vpnha_deployment": "shown", "vpnha_heartbeat_key": "{{ vault_key }}"}
    (project / "inventory" / "group_vars" / "vpnha.yml").write_text(f"{yaml.safe_dump(described)}{encrypted}\n")
    (project / "playbooks").mkdir()
    (project / "playbooks" / "peers.yml").write_text(playbook.replace("vpnha.aws.deploy", "vpnha.aws.peers"))

    defaults = yaml.safe_load((ROOT / "roles" / "awx" / "defaults" / "main.yml").read_text())
    exported = tool("ansible-inventory", "-i", project / defaults["vpnha_awx_inventory"], "--list", "--export")
    assert VAULTED not in exported
    (runner / "exported.json").write_text(exported)
    program = runner / "hosts"
    program.write_text(f"#!/bin/sh\ncat {runner}/exported.json\n")
    program.chmod(0o700)

    job = [
        "-i", str(program), "--vault-password-file", str(password),
        "-e", f"vpnha_peers_file={runner}/peers.json",
    ]  # fmt: skip
    told = person.play(str(project / "playbooks" / "peers.yml"), None, *job)
    assert told.code == 0
    assert VAULTED not in told.output
    # gateways are no hosts of the inventory: they are put into its groups while the job runs
    found = json.loads((runner / "peers.json").read_text())
    assert [each["tunnel"] for each in found] == ["hq-gw-a", "hq-gw-b", "plant-gw-a", "plant-gw-b"]

    unknown = person.play(str(project / "playbooks" / "peers.yml"), None, *job[:2])
    assert unknown.code != 0 and "vpnha_heartbeat_key: this cannot be read" in unknown.readable
