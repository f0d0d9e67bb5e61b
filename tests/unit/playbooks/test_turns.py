# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways take turns: the role's own tasks, with modules that note what they are asked and answer as they are told."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.playbooks.conftest import ROOT, Person, Told, copied
from tests.unit.playbooks.stub_modules import noting

ROLE = ROOT / "roles" / "gateway"
MODULES = {
    "gateway_handover": ["state", "seconds", "force", "prefixes", "timeout", "deployed", "keep"],
    "vpn_health_info": ["wait", "wait_for", "wait_timeout"],
    "vpn_ha_info": ["deployment", "region"],
    "gateway_idle": ["name", "address", "vpc_cidrs", "sites", "peers"],
    "deployment_lock": ["deployment", "region", "what", "owner", "by", "minutes", "state"],
    "tunnel_rotate": ["tunnels", "directory"],
}
BRING = """\
- name: Bring what is due
  ansible.builtin.shell: echo '["{{ inventory_hostname }} bring", {}]' >> {{ stubs }}/calls
"""
PLATFORM = """\
- ansible.builtin.set_fact:
    __vpnha_gateway_host: {configured: true}
    __vpnha_gateway_platform: {swanctl_dir: /nowhere}
"""
PREPARE = BRING.replace("bring", "prepare")
PLAY = """\
- hosts: gateways
  gather_facts: false
  strategy: ansible.builtin.free
  tasks:
    - ansible.builtin.fail: {msg: It was beside itself.}
      when: inventory_hostname == broken | default('')
- hosts: gateways
  gather_facts: false
  serial: 1
  environment: {STUBS: "{{ stubs }}", STUB_HOST: "{{ inventory_hostname }}"}
  tasks:
    - ansible.builtin.meta: end_host
      when: not vpnha_gateway_turn.alone
    - ansible.builtin.include_role: {name: vpnha.aws.gateway, tasks_from: turn}
- hosts: gateways
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: and then everything else}
"""
ROTATION = """\
- hosts: gateways
  gather_facts: false
  serial: 1
  environment: {STUBS: "{{ stubs }}", STUB_HOST: "{{ inventory_hostname }}"}
  tasks:
    - ansible.builtin.include_role: {name: vpnha.aws.gateway, tasks_from: rotate}
"""
DUE = {"due": ["tunnels"], "alone": True, "hand_over": True, "frr_restarts": False, "outage": False, "up": ["hq"]}
CHECKED = {
    "region": "eu-central-1",
    "repair": "none",
    "vpc_cidrs": ["10.20.0.0/16"],
    "gateways": [{"name": "gw-a", "address": "10.20.0.10"}, {"name": "gw-b", "address": "10.20.1.10"}],
    "sites": [{"name": "hq", "prefixes": ["192.168.10.0/24"]}],
    "tunnels": [
        {"gateway": "gw-a", "site": "hq", "peer_address": "198.51.100.11"},
        {"gateway": "gw-b", "site": "hq", "peer_address": "198.51.100.12"},
    ],
}
FOUND = {"hand_over": False, "takes_over": True, "up": []}  # a gateway that was there before
HANDED = {"prefixes": ["192.168.10.0/24"]}


class Rollout:
    """Two gateways on this machine, and what is due on them."""

    def __init__(self, person: Person, directory: Path) -> None:
        self._person, self._directory = person, directory
        self._collections = directory / "collections"
        here = copied(self._collections, "plugins", "roles", "meta")
        for name, options in MODULES.items():
            (here / "plugins" / "modules" / f"{name}.py").write_text(noting(name, options))
        (here / "roles" / "gateway" / "tasks" / "bring.yml").write_text(BRING)
        (here / "roles" / "gateway" / "tasks" / "prepare.yml").write_text(PREPARE)
        (here / "roles" / "gateway" / "tasks" / "platform.yml").write_text(PLATFORM)

    def run(
        self,
        answers: Mapping[str, Any] | None = None,
        *options: str,
        first: Mapping[str, Any] | None = None,
        book: str = PLAY,
        **variables: Any,
    ) -> Told:
        """``answers``: of the modules by "HOST MODULE STATE". ``first``: what is due on gw-a, if not the same."""
        (self._directory / "play.yml").write_text(book)
        handed = {f"{name} gateway_handover handed_over": HANDED for name in ("gw-a", "gw-b")}
        (self._directory / "answers.json").write_text(json.dumps({**handed, **(answers or {})}))
        hosts = {
            name: {
                "vpnha_name": name,
                "vpnha_gateway_turn": {**DUE, **((first or {}) if name == "gw-a" else {}), "text": f"{name} is due."},
            }
            for name in ("gw-a", "gw-b")
        }
        inventory = self._directory / "gateways.yml"
        inventory.write_text(yaml.safe_dump({"gateways": {"hosts": hosts}}))
        given = {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "stubs": str(self._directory),
            "vpnha_checked": CHECKED, "vpnha_sites": [],
            "vpnha_heartbeat_key": "0123456789" * 4, **variables,
        }  # fmt: skip
        play = str(self._directory / "play.yml")
        python = f"__vpnha_gateway_python={sys.executable}"  # a variable of the role, which wins over the inventory
        more = ("-i", str(inventory), "-e", python, *options)
        return self._person.play(play, given, *more, collections=str(self._collections))

    def calls(self) -> list[str]:
        """What was asked, in its order."""
        return [call for call, _said in self._log()]

    def asked(self, call: str) -> dict[str, Any]:
        """With which options."""
        return next(said for name, said in self._log() if name == call)

    def _log(self) -> list[list[Any]]:
        path = self._directory / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def rollout(person: Person, tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    return Rollout(person, tmp_path_factory.mktemp("rollout"))  # not beside the inventory: Ansible would read it all


def whole(name: str) -> list[str]:
    steps = ("gateway_handover handed_over", "bring", "vpn_health_info", "gateway_handover given_back")
    return [f"{name} {step}" for step in steps]


def test_each_is_handed_over_changed_seen_well_and_given_back_before_the_next(rollout: Rollout) -> None:
    told = rollout.run()
    assert told.code == 0 and "and then everything else" in told.output
    assert rollout.calls() == [*whole("gw-a"), *whole("gw-b")]
    assert rollout.asked("gw-a vpn_health_info")["wait_for"] == ["hq"]
    assert rollout.asked("gw-a gateway_handover given_back")["prefixes"] == ["192.168.10.0/24"]


def test_it_is_told_what_stays_and_what_of_that_it_reaches_by_tunnels_of_its_own(rollout: Rollout) -> None:
    sites = [*CHECKED["sites"], {"name": "plant", "prefixes": ["192.168.20.0/24", "192.168.21.0/24"]}]
    tunnels = [*CHECKED["tunnels"], {"gateway": "gw-b", "site": "plant", "peer_address": "198.51.100.22"}]
    assert rollout.run(vpnha_checked={**CHECKED, "sites": sites, "tunnels": tunnels}).code == 0
    every = ["192.168.10.0/24", "192.168.20.0/24", "192.168.21.0/24"]
    for name, kept in (("gw-a", every[:1]), ("gw-b", every)):
        asked = rollout.asked(f"{name} gateway_handover handed_over")
        assert (asked["deployed"], asked["keep"]) == (every, kept)
        assert rollout.asked(f"{name} gateway_handover given_back")["keep"] == kept


LOCKED = {"__vpnha_network_lock": {"resource": "sg-1"}, "vpnha_lock_minutes": "90"}  # as lock.yml leaves it
LOST = {"gw-b deployment_lock kept": {"msg": "This deploy has lost the deployment's lock."}}


def test_no_turn_begins_once_the_lock_is_lost(rollout: Rollout) -> None:
    told = rollout.run(LOST, **LOCKED)
    assert told.code != 0 and "and then everything else" not in told.output
    assert rollout.calls() == ["gw-a deployment_lock kept", *whole("gw-a"), "gw-b deployment_lock kept"]
    asked = rollout.asked("gw-a deployment_lock kept")
    assert (asked["what"], asked["minutes"], asked["region"]) == ("deploy", "90", "eu-central-1")
    words = "This deploy has lost the deployment's lock. gw-b was not touched: run this again when nothing else works"
    assert words in " ".join(told.readable.split())


def test_a_check_prolongs_no_lock(rollout: Rollout) -> None:
    assert rollout.run(None, "--check", **LOCKED).code == 0
    assert not [call for call in rollout.calls() if "deployment_lock" in call]


def test_no_key_is_changed_once_the_lock_is_lost(rollout: Rollout) -> None:
    due = {f"{name} tunnel_rotate": {"rotated": ["hq"], "waiting": [], "changed": False} for name in ("gw-a", "gw-b")}
    told = rollout.run(LOST | due, "-e", '{"__vpnha_gateway_tunnels": []}', book=ROTATION, **LOCKED)
    assert told.code != 0
    changed = ["tunnel_rotate", "deployment_lock kept", "gateway_handover handed_over", "tunnel_rotate"]
    assert rollout.calls() == [
        *(f"gw-a {step}" for step in [*changed, "gateway_handover given_back"]),
        *(f"gw-b {step}" for step in changed[:2]),
    ]


def test_one_on_which_nothing_is_due_is_left_out(rollout: Rollout) -> None:
    assert rollout.run(first={"due": [], "alone": False}).code == 0
    assert rollout.calls() == whole("gw-b")


def test_what_closes_no_tunnel_is_brought_without_handing_over_and_bgp_is_waited_for(rollout: Rollout) -> None:
    assert rollout.run(first={"hand_over": False}).code == 0
    assert rollout.calls() == [*whole("gw-a"), *whole("gw-b")]
    noted = rollout.asked("gw-a gateway_handover handed_over")  # nothing more than looked at, whatever the others have
    assert noted["_check"] and noted["force"] and noted["deployed"] == noted["keep"] == HANDED["prefixes"]
    assert rollout.asked("gw-a gateway_handover given_back")["prefixes"] == HANDED["prefixes"]
    assert "_check" not in rollout.asked("gw-b gateway_handover handed_over")


@pytest.mark.parametrize("noted", [{"prefixes": []}, {"msg": "vtysh -d on gw-a: Exiting: failed to connect."}])
def test_bgp_is_not_waited_for_where_there_was_none(rollout: Rollout, noted: dict[str, Any]) -> None:
    assert rollout.run({"gw-a gateway_handover handed_over": noted}, first={"hand_over": False}).code == 0
    assert rollout.calls() == [*whole("gw-a")[:3], *whole("gw-b")]


def test_a_session_that_other_settings_of_frr_keep_down_stops_it_before_the_next(rollout: Rollout) -> None:
    woe = {"gw-a gateway_handover given_back": {"msg": "gw-a does not reach 192.168.10.0/24."}}
    told = rollout.run(woe, first={"due": ["files"], "hand_over": False})
    assert told.code != 0 and rollout.calls() == whole("gw-a")
    assert "gw-b is still as before, and carries the traffic." in " ".join(told.output.split())


@pytest.mark.parametrize(
    ("step", "words", "done"),
    [
        ("gateway_handover handed_over", "gw-a could not be taken out of the traffic, and was not touched: Woe.", 1),
        ("vpn_health_info", "gw-a was changed and did not come back: Woe.", 3),
        ("gateway_handover given_back", "gw-a was changed and did not come back: Woe.", 4),
    ],
)
def test_one_that_does_not_come_back_stops_it_and_the_others_are_not_touched(
    rollout: Rollout, step: str, words: str, done: int
) -> None:
    told = rollout.run({f"gw-a {step}": {"msg": "Woe."}})
    assert told.code != 0 and "and then everything else" not in told.output
    assert rollout.calls() == whole("gw-a")[:done]
    text = " ".join(told.output.split())
    assert f"{words} gw-b is still as before, and carries the traffic. Mend what is said of gw-a" in text


@pytest.mark.parametrize("force", [False, True])
def test_after_a_failure_beside_the_turns_no_gateway_is_touched(rollout: Rollout, force: bool) -> None:
    told = rollout.run(broken="gw-a", vpnha_force=force)
    assert told.code != 0
    if force:
        assert rollout.calls() == whole("gw-b")
    else:
        assert rollout.calls() == []
        words = "gw-b could not be taken out of the traffic, and was not touched: gw-a failed before it"
        assert words in " ".join(told.output.split())


def test_the_last_one_that_does_not_come_back_has_nobody_waiting(rollout: Rollout) -> None:
    told = rollout.run({"gw-b vpn_health_info": {"msg": "Woe."}})
    assert told.code != 0 and "No other gateway was to be changed." in " ".join(told.output.split())
    assert rollout.calls() == [*whole("gw-a"), *whole("gw-b")[:3]]


def test_the_only_gateway_is_changed_and_the_outage_is_told(rollout: Rollout) -> None:
    told = rollout.run(first={"hand_over": False, "outage": True})
    assert told.code == 0 and "Nothing passed gw-a for at most" in told.output


@pytest.mark.parametrize("force", [False, True])
def test_frr_is_not_restarted_where_packets_come_in(rollout: Rollout, force: bool) -> None:
    standing = {"gateways": [{"name": "gw-a", "carries": ["rtb-1 192.168.10.0/24"]}, {"name": "gw-b", "carries": []}]}
    first = {"frr_restarts": True}
    told = rollout.run({"gw-a vpn_ha_info": standing}, first=first, vpnha_force=force)
    if force:
        assert told.code == 0 and rollout.calls()[1:] == [*whole("gw-a"), *whole("gw-b")]
    else:
        assert told.code != 0 and rollout.calls() == ["gw-a vpn_ha_info"]
        assert "while 1 routes lead to gw-a. Move them with the playbook failover (vpnha_from=gw-a)" in " ".join(
            told.output.split()
        )


def test_frr_is_restarted_where_no_route_leads(rollout: Rollout) -> None:
    standing = {"gateways": [{"name": "gw-a", "carries": []}, {"name": "gw-b", "carries": ["rtb-1 192.168.10.0/24"]}]}
    assert rollout.run({"gw-a vpn_ha_info": standing}, first={"frr_restarts": True}).code == 0
    assert rollout.calls() == ["gw-a vpn_ha_info", *whole("gw-a"), *whole("gw-b")]


def standing(*carried: str) -> dict[str, Any]:
    return {"gateways": [{"name": "gw-a", "carries": list(carried)}, {"name": "gw-b", "carries": []}]}


def test_one_on_which_nothing_depends_any_more_is_taken_over(rollout: Rollout) -> None:
    answers = {"gw-a vpn_ha_info": standing(), "gw-a gateway_idle": {"idle": True, "reasons": []}}
    assert rollout.run(answers, first=FOUND).code == 0
    steps = ["vpn_ha_info", "gateway_idle", "prepare", "bring", "vpn_health_info"]
    assert rollout.calls() == [*(f"gw-a {step}" for step in steps), *whole("gw-b")]
    assert rollout.asked("gw-a gateway_idle") == {
        "name": "gw-a", "address": "10.20.0.10", "vpc_cidrs": ["10.20.0.0/16"], "peers": ["198.51.100.11"],
        "sites": {"hq": ["192.168.10.0/24"]},
    }  # fmt: skip
    assert rollout.asked("gw-a vpn_health_info")["wait_for"] == []  # all of its tunnels


@pytest.mark.parametrize(
    ("carried", "reasons", "words"),
    [
        (
            ["rtb-1 192.168.10.0/24"],
            [],
            "Routes lead to it (rtb-1 192.168.10.0/24): move them with the playbook failover",
        ),
        ([], ["Packets from hq still pass gw-a: woe."], "Packets from hq still pass gw-a: woe. Then deploy again"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_one_that_is_in_use_is_left_and_the_others_have_their_turns(
    rollout: Rollout, carried: list[str], reasons: list[str], words: str, force: bool
) -> None:
    idle = {"idle": not reasons, "reasons": reasons}
    told = rollout.run(
        {"gw-a vpn_ha_info": standing(*carried), "gw-a gateway_idle": idle}, first=FOUND, vpnha_force=force
    )
    assert told.code == 0 and "and then everything else" in told.output
    text = " ".join(told.output.split())
    asked = ["gw-a vpn_ha_info", "gw-a gateway_idle"]
    if force:
        assert rollout.calls() == [*asked, "gw-a prepare", "gw-a bring", "gw-a vpn_health_info", *whole("gw-b")]
    else:
        assert rollout.calls() == [*asked, *whole("gw-b")]
        assert "gw-a is left as somebody has set it up, and was not touched." in text and words in text


def test_a_turn_changes_nothing_in_ec2_so_pins_pauses_and_failovers_stand() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    group = [name for name in runtime["action_groups"]["aws"] if isinstance(name, str)]
    reads_or_keeps = {"vpn_ha_info", "gateway_bundle"}  # the bundle is what a replacement is configured from
    for name in ("turn", "takeover", "prepare", "bring", "configure", "tunnels", "agent", "bundle"):
        text = (ROLE / "tasks" / f"{name}.yml").read_text()
        used = {module for module in group if f"vpnha.aws.{module}:" in text}
        assert used <= reads_or_keeps and "amazon.aws." not in text, name
