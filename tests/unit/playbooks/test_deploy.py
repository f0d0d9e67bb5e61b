# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook deploy when some hosts have failed and others have not, with roles and modules that only note it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Person, Told, copied
from .stub_modules import noting

MODULES = {"vpn_ha_info": ["deployment", "region"], "vpn_health_info": ["wait", "wait_timeout", "wait_for"]}
NOTES = """\
- ansible.builtin.shell: echo {{ inventory_hostname }} %s >> {{ notes }}
- ansible.builtin.fail: {msg: Woe.}
  when: inventory_hostname ~ ' %s' in broken
"""
CHECKED = "- ansible.builtin.set_fact: {vpnha_checked: {region: eu-central-1, sites: [], tunnels: []}}\n"
LOOK = """\
- ansible.builtin.set_fact:
    vpnha_gateway_turn:
      {due: [files], alone: true, hand_over: false, frr_restarts: false, outage: false, up: [], text: It is due.}
"""
STUBBED = {
    "network": ("main", "prolong", "covered", "unlock"),
    "runtime": ("pack",),
    "gateway": ("bring",),
    "monitor": ("main", "healthy", "way", "alarms"),
}
GROUPS = {"vpnha_gateways": ("gw-a",), "vpnha_monitors": ("mon-a", "mon-b"), "vpnha_app_hosts": ("app-a",)}


class Deploy:
    """A gateway, two monitors and an application host, on this machine."""

    def __init__(self, person: Person, directory: Path) -> None:
        self._person, self._directory = person, directory
        ours = copied(directory / "collections", "plugins", "roles", "meta", "playbooks")
        for name, options in MODULES.items():
            (ours / "plugins" / "modules" / f"{name}.py").write_text(noting(name, options))
        for role, entries in STUBBED.items():
            (ours / "roles" / role / "meta" / "argument_specs.yml").unlink()  # little is described here
            for entry in entries:
                (ours / "roles" / role / "tasks" / f"{entry}.yml").write_text(NOTES % (entry, entry))
        (ours / "roles" / "network" / "tasks" / "check.yml").write_text(CHECKED)
        (ours / "roles" / "gateway" / "tasks" / "look.yml").write_text(LOOK)
        book = ours / "playbooks" / "deploy.yml"
        python = "ansible_python_interpreter: /opt/vpnha/venv/bin/python"
        book.write_text(book.read_text().replace(python, f"ansible_python_interpreter: {sys.executable}"))

    def run(self, *broken: str, **variables: Any) -> Told:
        """``broken``: which host fails where, such as "mon-a main"."""
        standing = {"at_home": True, "summary": ["All is at home."]}
        (self._directory / "answers.json").write_text(json.dumps({"localhost vpn_ha_info": standing}))
        played = {"ansible_connection": "local", "ansible_become": False}
        hosts = {
            group: {"hosts": {name: {**played, "vpnha_name": name} for name in names}}
            for group, names in GROUPS.items()
        }
        (self._directory / "hosts.yml").write_text(yaml.safe_dump(hosts))
        given = {
            "vpnha_deployment": "prod", "vpnha_region": "eu-central-1", "vpnha_sites": [], "broken": broken,
            "vpnha_heartbeat_key": "0123456789" * 4, "notes": str(self._directory / "notes"), **variables,
        }  # fmt: skip
        more = {"ansible_python_interpreter": sys.executable, "__vpnha_gateway_python": sys.executable}
        self._person.environment |= {
            "STUBS": str(self._directory), "STUB_HOST": "localhost", "ANSIBLE_SHOW_CUSTOM_STATS": "1",
        }  # fmt: skip
        return self._person.play(
            "deploy", given, "-i", str(self._directory / "hosts.yml"), "-e", json.dumps(more),
            collections=str(self._directory / "collections"),
        )  # fmt: skip

    def noted(self) -> list[str]:
        """What was done, and by whom."""
        return (self._directory / "notes").read_text().splitlines()


@pytest.fixture
def deploy(person: Person, tmp_path_factory: pytest.TempPathFactory) -> Deploy:
    return Deploy(person, tmp_path_factory.mktemp("deploy"))  # not beside the inventory: Ansible would read it all


def test_no_gateway_has_its_turn_after_a_monitor_has_failed(deploy: Deploy) -> None:
    told = deploy.run("mon-b main")
    assert told.code != 0 and "mon-a main" in deploy.noted()
    assert not {"gw-a bring", "localhost unlock"}.intersection(deploy.noted())
    words = "gw-a could not be taken out of the traffic, and was not touched: mon-b failed before it, as said above."
    assert words in " ".join(told.readable.split())


def test_who_insists_goes_on_and_is_told_at_the_end_who_has_failed(deploy: Deploy) -> None:
    told = deploy.run("mon-b main", vpnha_force=True, vpnha_remove_covered_routes=True)
    text = " ".join(told.readable.split())
    assert told.code != 0 and "gw-a bring" in deploy.noted()
    assert "prod is not deployed as it is described: mon-b failed, as said above." in text
    assert "prod is deployed" not in text and '"vpnha_deploy_traffic_flows": false' in text
    assert not {"localhost covered", "localhost unlock"}.intersection(deploy.noted())  # a failed run keeps its lock
