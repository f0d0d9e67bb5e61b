# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that are missing on a gateway: installed at once where nothing runs yet, and else in its turn."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils.description import parse, to_dict
from tests.unit.plugins.module_utils.test_description import good

from .conftest import Person, copied
from .stub_modules import noting

MODULES = {
    "config_files": ["files", "unapplied"],
    "gateway_tunnels": ["tunnels", "credentials", "directory"],
}
PLATFORM = """\
- ansible.builtin.set_fact:
    __vpnha_gateway_host:
      {configured: "{{ inventory_hostname == 'gw-a' }}", family: debian, data_plane: xfrm, packages: frr,
       replaceable: true, code_unapplied: false, filtered: true}
"""
PACKAGES = "- ansible.builtin.debug: {msg: '{{ vpnha_name }} gets {{ __vpnha_gateway_missing | length }} packages'}\n"
DUE = "{{ vpnha_name }} has due: {{ vpnha_gateway_turn.due | join(' ') }}; alone {{ vpnha_gateway_turn.alone }}"
PLAY = """\
- hosts: gateways
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: vpnha.aws.gateway, tasks_from: look}
    - ansible.builtin.debug: {msg: "{{ due }}"}
"""


def test_only_before_the_first_configuration_they_are_installed_beside_others(
    person: Person, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("packages")  # not beside the inventory: Ansible would read it all
    ours = copied(directory / "collections", "plugins", "roles", "meta")
    for name, options in MODULES.items():
        (ours / "plugins" / "modules" / f"{name}.py").write_text(noting(name, options))
    gateway, runtime = ours / "roles" / "gateway", ours / "roles" / "runtime" / "tasks"
    (gateway / "meta" / "argument_specs.yml").unlink()  # little is described here
    (gateway / "tasks" / "platform.yml").write_text(PLATFORM)
    (gateway / "tasks" / "packages.yml").write_text(PACKAGES)
    for name in ("install", "look"):
        (runtime / f"{name}.yml").write_text("[]\n")
    (directory / "answers.json").write_text(json.dumps({"one gateway_tunnels": {"up": ["hq-gw-a"]}}))
    (directory / "play.yml").write_text(PLAY)
    hosts = {name: {"vpnha_name": name} for name in ("gw-a", "gw-b")}
    (directory / "gateways.yml").write_text(yaml.safe_dump({"gateways": {"hosts": hosts}}))
    person.environment |= {"STUBS": str(directory), "STUB_HOST": "one"}
    files = {"__vpnha_gateway_written": [], "__vpnha_gateway_agent_written": [], "__vpnha_gateway_tunnels": []}
    inner = {**files, "__vpnha_gateway_credentials": {}, "__vpnha_gateway_python": sys.executable}
    given = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable,
        "vpnha_checked": to_dict(parse(good())), "due": DUE,
    }  # fmt: skip
    told = person.play(
        str(directory / "play.yml"), given, "-i", str(directory / "gateways.yml"), "-e", json.dumps(inner), "--check",
        collections=str(directory / "collections"),
    )  # fmt: skip
    assert told.code == 0
    assert "gw-b gets 10 packages" in told.output and "gw-a gets" not in told.output
    assert "gw-a has due: packages; alone True" in told.output
