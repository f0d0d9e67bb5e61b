# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that dies between writing and applying: the next one makes up for it. The role's own tasks, on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.playbooks.conftest import Person, Told, copied
from tests.unit.playbooks.stub_modules import stub
from tests.unit.playbooks.test_turns import CHECKED
from tests.unit.plugins.modules.test_config_files import OWNER

SYSTEMD = """\
said = f"{given['name']} {given.get('state')}"
if said == os.environ.get("DIES_AT"):
    answer["msg"] = "It died."
else:
    with open(os.environ["STUBS"] + "/systemd", "a") as calls:
        calls.write(said + "\\n")
    answer["changed"] = not said.endswith("started")
"""
OPTIONS = ("name", "state", "enabled", "daemon_reload")
PLAY = """\
- hosts: localhost
  gather_facts: false
  environment: {STUBS: "{{ stubs }}", DIES_AT: "{{ dies_at | default('') }}"}
  tasks:
    - ansible.builtin.include_role: {name: vpnha.aws.gateway, tasks_from: bring}
"""
HOST = {"configured": True, "handed_over": False, "code_unapplied": False, "filtered": True, "running": []}
AGENT = "vpnha-agent.service"
DATA_PLANE = "vpnha-dataplane.service reloaded"
RESTARTED = ("strongswan.service restarted", f"{AGENT} restarted")


class Host:
    """A gateway on this machine, whose systemd notes what it is asked."""

    def __init__(self, person: Person, directory: Path) -> None:
        self._person, self._directory = person, directory
        self.notes = directory / "run" / "unapplied"
        here = copied(directory / "collections", "plugins", "roles", "meta")
        (here / "plugins" / "modules" / "systemd_stub.py").write_text(stub(OPTIONS, SYSTEMD))
        for path in (here / "roles" / "gateway").glob("*/*.yml"):
            path.write_text(path.read_text().replace("ansible.builtin.systemd_service", "vpnha.aws.systemd_stub"))

    def deploy(self, text: str, **variables: Any) -> Told:
        """Brings files and agent's configuration with that text."""
        etc, python = self._directory / "etc", sys.executable
        written = [{**OWNER, "path": str(etc / name), "content": text} for name in ("firewall.nft", "strongswan.conf")]
        given = {
            "__vpnha_gateway_written": written,
            "__vpnha_gateway_agent_written": [{**OWNER, "path": str(etc / "agent.json"), "content": text}],
            "__vpnha_gateway_unapplied": str(self.notes),
            "__vpnha_gateway_data_plane_files": [str(etc / "firewall.nft")],
            "__vpnha_gateway_host": HOST,
            "__vpnha_gateway_platform": {"strongswan_conf": str(etc / "strongswan.conf")},
            "vpnha_gateway_turn": {"due": ["files", "agent"], "hand_over": False},
            "vpnha_name": "gw-a", "vpnha_checked": CHECKED, "vpnha_sites": [], "vpnha_heartbeat_key": "0123456789" * 4,
            "ansible_python_interpreter": python, "stubs": str(self._directory), **variables,
        }  # fmt: skip
        (self._directory / "play.yml").write_text(yaml.safe_dump(yaml.safe_load(PLAY)))
        collections = str(self._directory / "collections")
        return self._person.play(
            str(self._directory / "play.yml"), {}, "-e", json.dumps(given), collections=collections
        )

    def asked(self) -> list[str]:
        """What systemd was asked since the last time, besides that units run."""
        path = self._directory / "systemd"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if not line.endswith(" started")]


@pytest.fixture
def host(person: Person, tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(person, tmp_path_factory.mktemp("host"))


def test_what_interrupted_runs_have_left_is_made_up_for_once(host: Host) -> None:
    steps = [DATA_PLANE, *RESTARTED]
    for number, step in enumerate(steps):
        assert host.deploy("one", dies_at=step).code != 0
        assert host.asked() == steps[number - 1 : number] and host.notes.exists()
    assert host.deploy("one").code == 0
    assert host.asked() == steps[-1:] and not host.notes.exists()
    again = host.deploy("one")
    assert again.code == 0 and again.changed == 0 and host.asked() == []
    # and an agent that was not started with the code that is there
    assert host.deploy("one", __vpnha_gateway_host={**HOST, "code_unapplied": True}).code == 0
    assert host.asked() == [f"{AGENT} restarted"]


def test_a_filter_that_something_has_flushed_is_loaded_once(host: Host) -> None:
    flushed = {**HOST, "filtered": False}
    assert host.deploy("one", __vpnha_gateway_host=flushed).code == 0
    assert host.asked().count(DATA_PLANE) == 1, "by the file that was written"
    assert host.deploy("one", __vpnha_gateway_host=flushed).code == 0
    assert host.asked() == [DATA_PLANE]
