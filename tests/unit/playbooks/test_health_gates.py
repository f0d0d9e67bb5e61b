# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes go only where somebody says that packets pass: the gates of failover and repair, with played monitors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Person, Told, copied
from .stub_modules import noting

MODULES = {
    "deployment_mark": ["deployment", "region", "mark", "state", "scope", "minutes", "by"],
    "instance_power": ["deployment", "region", "gateway", "state", "wait_timeout"],
    "route_swap": [
        "deployment", "region", "gateway", "route_tables", "pin_minutes", "timeout", "unpin", "by", "progress_file",
    ],
    "vpn_ha_info": ["deployment", "region"],
    "vpn_health_info": [],
}  # fmt: skip
HOSTS = """\
- ansible.builtin.add_host:
    name: "{{ item }}"
    groups: [vpnha_gateways]
    ansible_connection: local
    ansible_become: false
  changed_when: false
  loop: [gw-a, gw-b]
"""
GATE = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: vpnha.aws.network, tasks_from: "{{ entry }}"}
    - ansible.builtin.debug: {msg: it went on}
"""
PLAYED = {"ansible_connection": "local", "ansible_become": False}
DROPS_OUT = {
    "ansible_connection": "{{ 'ssh' if hostvars['localhost'].vpnha_monitor_statuses is defined else 'local' }}",
    "ansible_become": False,
    "ansible_host": "127.0.0.1",
    "ansible_port": 1,
}
CHECKED = {"sites": [{"name": "hq"}, {"name": "plant"}]}
STANDING = {
    "gateways": [{"name": "gw-a", "carries": ["rtb-1 192.168.10.0/24"]}, {"name": "gw-b", "carries": []}],
    "route_tables": [{"id": "rtb-1", "zone": "eu-central-1a", "pin": None}],
}


def says(**verdicts: str) -> dict[str, Any]:
    """A monitor's status: of gateway_site, with _ for -, the verdict."""
    pairs = {tuple(pair.split("__")): verdict for pair, verdict in verdicts.items()}
    return {
        "paths": [
            {"gateway": gateway.replace("_", "-"), "site": site, "verdict": verdict, "text": f"It is {verdict}."}
            for (gateway, site), verdict in pairs.items()
        ]
    }


WELL = says(gw_b__hq="up", gw_b__plant="grey")


class Gates:
    """The collection with modules that note what they are asked, and monitors that say what they are told to."""

    def __init__(self, person: Person, directory: Path) -> None:
        self._person, self.here = person, directory
        self.drop_out: set[str] = set()  # the monitors that cannot be reached any more once all were asked
        self._collections = directory / "collections"
        ours = copied(self._collections, "plugins", "roles", "meta", "playbooks")
        for name, options in MODULES.items():
            (ours / "plugins" / "modules" / f"{name}.py").write_text(noting(name, options))
        tasks = ours / "roles" / "network" / "tasks"
        (tasks / "inventory.yml").write_text(HOSTS)
        for path in [*tasks.glob("*.yml"), *(ours / "playbooks").glob("*.yml")]:
            path.write_text(path.read_text().replace("/usr/local/bin/vpnha status", f"cat {directory}/status.json #"))
        (directory / "gate.yml").write_text(GATE)

    def run(
        self,
        name: str,
        monitors: list[str],
        status: Any = None,
        answers: dict[str, Any] | None = None,
        **variables: Any,
    ) -> Told:
        """``status``: what each monitor says; without one it does not answer."""
        if status is not None:
            (self.here / "status.json").write_text(json.dumps(status))
        (self.here / "answers.json").write_text(json.dumps({"localhost vpn_ha_info": STANDING, **(answers or {})}))
        inventory = self.here / "monitors.yml"
        hosts = {name: DROPS_OUT if name in self.drop_out else PLAYED for name in monitors}
        inventory.write_text(yaml.safe_dump({"vpnha_monitors": {"hosts": hosts}}))
        self._person.environment |= {"STUBS": str(self.here), "STUB_HOST": "localhost"}
        python = f"ansible_python_interpreter={sys.executable}"
        book = str(self.here / "gate.yml") if name == "gate" else name
        return self._person.play(
            book, variables, "-i", str(inventory), "-e", python, collections=str(self._collections)
        )

    def calls(self) -> list[str]:
        """What was asked, in its order."""
        path = self.here / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)[0].removeprefix("localhost ") for line in lines]


@pytest.fixture
def gates(person: Person, tmp_path_factory: pytest.TempPathFactory) -> Gates:
    return Gates(person, tmp_path_factory.mktemp("gates"))  # not beside the inventory: Ansible would read it all


def healthy(gates: Gates, monitors: list[str], status: Any = None, **variables: Any) -> Told:
    return gates.run(
        "gate", monitors, status, entry="healthy", vpnha_checked=CHECKED, vpnha_targets=["gw-b"], **variables
    )


@pytest.mark.parametrize(
    ("monitors", "status", "words"),
    [
        ([], None, "pass gw-b to hq, gw-b to plant: there is no monitor to be asked."),
        (["mon-a"], None, "pass gw-b to hq, gw-b to plant: no answer from mon-a."),
        (["mon-a"], says(gw_b__hq="up"), "pass gw-b to plant: mon-a does not know of that."),
    ],
)
def test_a_gateway_of_which_nobody_says_anything_is_refused(
    gates: Gates, monitors: list[str], status: Any, words: str
) -> None:
    healthy(gates, monitors, status).refused_with(
        f"Nobody says whether packets would {words} Nothing was changed. Mend that first, or insist with "
        "vpnha_force=true."
    )


@pytest.mark.parametrize("insisting", ["vpnha_force", "vpnha_without_monitor"])
def test_who_insists_goes_on_without_a_word(gates: Gates, insisting: str) -> None:
    told = healthy(gates, ["mon-a"], **{insisting: True})
    assert told.code == 0 and "it went on" in told.output


def test_a_gateway_that_a_monitor_calls_fit_passes(gates: Gates) -> None:
    assert healthy(gates, ["mon-a"], WELL).code == 0
    assert healthy(gates, ["mon-a"], says(gw_b__hq="up"), vpnha_sites_to_move=["hq"]).code == 0


def test_whoever_does_without_monitors_is_still_told_of_a_gateway_that_is_down(gates: Gates) -> None:
    status = says(gw_b__hq="down")
    healthy(gates, ["mon-a"], status, vpnha_without_monitor=True).refused_with("gw-b is down for hq: It is down.")


def repair(
    gates: Gates, description: dict[str, Any], monitors: list[str], status: Any = None, *answers: Any, **more: Any
) -> Told:
    given = {**description, "vpnha_broken": "gw-a", "vpnha_healthy_seconds": 4, **more}
    return gates.run("repair", monitors, status, *answers, **given)


PAUSED = ["vpn_ha_info", "deployment_mark"]
AWAY = [*PAUSED, "route_swap", "instance_power stopped", "instance_power running"]
BACK = ["route_swap", "deployment_mark absent", "deployment_mark absent"]


def test_a_repair_that_cannot_move_the_routes_takes_its_pause_back(gates: Gates, description: dict[str, Any]) -> None:
    told = repair(gates, description, ["mon-a"], WELL, {"localhost route_swap": {"msg": "Woe."}})
    assert told.code != 0
    assert "Woe. gw-a was not touched, and its pause was taken back." in " ".join(told.readable.split())
    assert gates.calls() == [*PAUSED, "route_swap", "deployment_mark absent"]


def test_a_repair_awaits_the_monitors_word_for_every_site(gates: Gates, description: dict[str, Any]) -> None:
    """As good a status as any, but of the gateway that is back it says nothing yet."""
    told = repair(gates, description, ["mon-a"], WELL)
    assert told.code != 0 and "gw-a is not healthy after 4 s, by the word of mon-a." in " ".join(told.readable.split())
    assert gates.calls() == AWAY
    (gates.here / "calls").unlink()
    both = {"paths": WELL["paths"] + says(gw_a__hq="up", gw_a__plant="up")["paths"]}
    assert repair(gates, description, ["mon-a"], both).code == 0
    assert gates.calls() == [*AWAY, *BACK]


@pytest.mark.parametrize(
    ("by", "ended"), [("jane:repair-of-gw-a", True), ("jane", False), ("jane:repair-of-gw-aa", False)]
)
def test_a_repair_brings_home_what_one_before_it_left_pinned(
    gates: Gates, description: dict[str, Any], by: str, ended: bool
) -> None:
    """The first one died between its swap and its end; a person's own pin stays."""
    pinned = {
        "gateways": [{"name": "gw-a", "carries": []}, {"name": "gw-b", "carries": ["rtb-1 192.168.10.0/24"]}],
        "route_tables": [{"id": "rtb-1", "zone": "eu-central-1a", "pin": {"gateway": "gw-b", "by": by}}],
    }
    up = {"paths": says(gw_a__hq="up", gw_a__plant="up")["paths"]}
    told = repair(gates, description, ["mon-a"], up, {"localhost vpn_ha_info": pinned})
    assert told.code == 0
    moved = [call for call in AWAY if call != "route_swap"]
    assert gates.calls() == [*moved, *(BACK if ended else ["deployment_mark absent"])]
    said = "carried the routes of 1 tables; they lead home again." if ended else "No route led to it:"
    assert said in " ".join(told.readable.split())


@pytest.mark.parametrize("is_healthy", [True, False])
def test_a_repair_goes_by_the_gateway_s_own_word_where_no_monitor_answers(
    gates: Gates, description: dict[str, Any], is_healthy: bool
) -> None:
    answers = {"localhost vpn_health_info": {"healthy": is_healthy, "changed": False}}
    told = repair(gates, description, ["mon-a"], None, answers, vpnha_force=True)
    if is_healthy:
        assert told.code == 0
        assert gates.calls() == [*AWAY, "vpn_health_info", *BACK]
    else:
        assert told.code != 0 and set(gates.calls()) == {*AWAY, "vpn_health_info"}
        words = "by the word of its own tunnels, as no monitor answers. Its routes stay where they are"
        assert words in " ".join(told.readable.split())


def recovered(gates: Gates, status: Any, *drop_out: str, **answers: Any) -> Told:
    gates.drop_out = set(drop_out)
    given = {"vpnha_checked": CHECKED, "vpnha_recovering": "gw-b", "vpnha_recovery_seconds": 4}
    return gates.run("gate", ["mon-a", "mon-b"], status, answers, entry="recovered", **given)


def test_a_monitor_that_drops_out_leaves_the_word_to_the_others(gates: Gates) -> None:
    told = recovered(gates, WELL, "mon-a")
    assert told.code == 0 and "it went on" in told.output
    told = recovered(gates, says(gw_b__hq="up"), "mon-a")
    assert told.code != 0 and "gw-b is not healthy after 4 s, by the word of mon-b." in " ".join(told.readable.split())


def test_where_all_monitors_drop_out_the_gateway_s_own_word_counts(gates: Gates) -> None:
    told = recovered(gates, WELL, "mon-a", "mon-b", **{"localhost vpn_health_info": {"healthy": True}})
    assert told.code == 0 and "it went on" in told.output
    assert gates.calls() == ["vpn_health_info"]
