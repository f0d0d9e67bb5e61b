# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole drill: the role's own tasks, with hosts that are this machine, and an EC2 and packets that are made up.

A gateway that is off loses packets for so long as the test says; the hosts' clock may differ from the controller's. The
application host is in zone b, and its subnet's route table has the tag of zone a.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict
from tests.unit.playbooks.conftest import Person, Told, copied
from tests.unit.playbooks.stub_modules import stub
from tests.unit.plugins.module_utils.test_drill_plan import DEPLOYMENT, status

EC2 = """\
path = Path(os.environ["STUBS"], "ec2.json")
ec2 = json.loads(path.read_text())
{body}
path.write_text(json.dumps(ec2))
"""
MODULES = {
    "deployment_lock": (
        ["deployment", "region", "what", "owner", "by", "minutes", "force", "state"],
        'answer |= {"changed": False, "taken_from": "", "by": "jane"}',
    ),
    "deployment_mark": (
        ["deployment", "region", "mark", "drill_id", "minutes", "state"],
        'ec2["drill"] = given["drill_id"] if "state" not in given else None',
    ),
    "instance_power": (
        ["deployment", "region", "gateway", "state", "wait_timeout"],
        """
starting = given["state"] == "running"
if starting and ec2["refusals"]:
    ec2["refusals"] -= 1
    answer["msg"] = "EC2 has no capacity for it (InsufficientInstanceCapacity)."
else:
    ec2["state"] = "running" if starting else "stopped"
    ec2["cut"] = ec2["cut"] or time.time()
    answer["called_wall"] = ec2["cut"]
""",
    ),
    "vpn_ha_info": (
        ["deployment", "region", "subnets"],
        """
on = ec2["state"] == "running"
home = {"name": "gw-a", "state": ec2["state"], "usable": on, "carries": ["rtb-a 192.168.10.0/24"] if on else []}
if not on and ec2["unread"]:
    ec2["unread"] -= 1
    answer["msg"] = "reading the route tables: timeout: no answer in time."
else:
    answer |= {
        "changed": False, "gateways": [home], "at_home": on, "differences": [], "refused_tables": {}, "pause": None,
        "route_tables": [{"id": "rtb-a", "zone": "a", "pin": None, "routes": []}], "paused_gateways": {},
        "paused_tables": {}, "drill": ec2["drill"], "freeze": None,
        "subnets": [{"id": "subnet-b", "zone": "b", "cidrs": ["10.20.17.0/24"], "route_table_id": "rtb-a"}],
    }
""",
    ),
}
PACKETS = """\
import json, os, time
from dataclasses import dataclass
from pathlib import Path
from .traffic_record import ANSWERED, ENTRY, SENT, Header, StreamId, read
MAX_SECONDS = 3600
@dataclass
class Target:
    address: str
    responder_port: int = None
@dataclass
class Plan:
    name: str
    targets: tuple
    interval_ms: float
    max_seconds: int
def _file(path):
    return Path(os.environ["STUBS"]) / Path(path).name
def start(plan, path):
    _file(path).write_text(str(time.time()))
def running(path):
    return _file(path).exists()
def stop(path, discard=False):
    _file(path).unlink(missing_ok=True)
    return True
def load(path):
    began, cut = float(_file(path).read_text()), json.loads((Path(os.environ["STUBS"]) / "ec2.json").read_text())["cut"]
    stamp = began - float(os.environ["BEHIND"])
    body = bytearray()
    for tick in range(int((time.time() - began) * 100)):
        body += ENTRY.pack(SENT, 0, tick, tick * 10_000_000, 0)
        if cut is None or not 0 <= began + tick / 100 - cut < float(os.environ["OUTAGE"]):
            body += ENTRY.pack(ANSWERED, 0, tick, tick * 10_000_000 + 1, 0)
    header = Header("d", 1, 10_000_000, 0, int(stamp * 1e9), 900, (StreamId("192.168.10.10", "icmp"),))
    return read(header.line() + body)
"""
DATE = """\
#!{python}
import os, sys, time
print(sys.argv[1][1:].replace("%s.%N", str(time.time() - float(os.environ["BEHIND"]))))
time.sleep(0.7)  # a slow connection
"""
VPNHA = """\
#!{python}
import sys
print({{"status": {status!r}, "events": "[]"}}.get(sys.argv[1], ""))
"""
NFT = """\
#!{python}
import os, sys
if "list" in sys.argv:
    print('{{"nftables": [{{"counter": {{"name": "passed", "packets": %s}}}}]}}' % os.environ["PASSED"])
"""
SSH = """\
#!/bin/sh
echo "$@" >> "$STUBS/ssh.log"
for command; do :; done
exec /bin/sh -c "$command"
"""
PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: vpnha.aws.drill, tasks_from: "{{ entry }}"}
"""
FRESH: dict[str, Any] = {"state": "running", "drill": None, "cut": None, "refusals": 0, "unread": 0}


class Drill:
    """A controller, and around it what a drill needs."""

    def __init__(self, person: Person, directory: Path) -> None:
        self._person, self._directory = person, directory
        self._collections = directory / "collections"
        here = copied(self._collections, "plugins", "roles/drill", "meta")
        for name, (options, body) in MODULES.items():
            (here / "plugins" / "modules" / f"{name}.py").write_text(stub(options, EC2.format(body=body)))
        (here / "plugins" / "module_utils" / "traffic.py").write_text(PACKETS)
        commands = directory / "bin"
        commands.mkdir()
        for name, text in (("date", DATE), ("vpnha", VPNHA), ("nft", NFT), ("ssh", SSH)):
            (commands / name).write_text(text.format(python=sys.executable, status=json.dumps(status())))
            (commands / name).chmod(0o755)
        for tasks in (here / "roles" / "drill" / "tasks").glob("*.yml"):
            tasks.write_text(tasks.read_text().replace("/usr/local/bin/vpnha", str(commands / "vpnha")))
        (directory / "play.yml").write_text(PLAY)
        person.environment |= {"PATH": f"{commands}:/usr/sbin:/usr/bin:/sbin:/bin", "STUBS": str(directory)}
        self.ec2 = FRESH

    @property
    def ec2(self) -> dict[str, Any]:
        """How EC2 stands."""
        found: dict[str, Any] = json.loads((self._directory / "ec2.json").read_text())
        return found

    @ec2.setter
    def ec2(self, stands: dict[str, Any]) -> None:
        (self._directory / "ec2.json").write_text(json.dumps(stands))

    def run(
        self,
        entry: str = "main",
        *,
        outage: float = 0.5,
        behind: float = 0.0,
        repair: str = "none",
        repeat: int = 1,
        passed: int = 10,
        gateway: dict[str, str] | None = None,
    ) -> Told:
        """``outage``: so many seconds packets are lost; ``behind``: so far is the hosts' clock behind.

        ``passed``: so many packets the gateway counts before it is broken; a host sends twenty and more.
        ``gateway``: its variables in the inventory.
        """
        self._person.environment |= {"OUTAGE": str(outage), "BEHIND": str(behind), "PASSED": str(passed)}
        hosts = {"vpnha_gateways": ["gw-a"], "vpnha_monitors": ["mon-a"], "vpnha_app_hosts": ["app-a"]}
        inventory = self._directory / "deployment.yml"
        groups = {group: {"hosts": dict.fromkeys(names)} for group, names in hosts.items()}
        groups["vpnha_gateways"]["hosts"]["gw-a"] = gateway
        inventory.write_text(yaml.safe_dump(groups))
        given = {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False,
            "vpnha_checked": to_dict(replace(DEPLOYMENT, repair=repair)),
            "vpnha_app_hosts": [{"name": "app-a", "zone": "b", "address": "10.20.17.50"}],
            "vpnha_drill_id": "d-7", "vpnha_drill_repeat": repeat,
            "vpnha_drill_output": str(self._directory), "vpnha_drill_count_plaintext": False,
            "vpnha_drill_steady_seconds": 0.2, "vpnha_drill_hold_seconds": 0.6,
        }  # fmt: skip
        extra = {"entry": entry, "__vpnha_drill_start_retries": 3, "__vpnha_drill_start_delay": 0}
        play = str(self._directory / "play.yml")
        options = ("-i", str(inventory), "-e", json.dumps(extra))
        return self._person.play(play, given, *options, collections=str(self._collections))

    def report(self) -> dict[str, Any]:
        """The only run's report."""
        (run,) = self.whole_report()["scenarios"][0]["runs"]
        found: dict[str, Any] = run
        return found

    def calls_by_ssh(self) -> list[str]:
        """The arguments of ssh, once for each time that it was to run something."""
        lines = (self._directory / "ssh.log").read_text().splitlines()
        return [line for line in lines if "/bin/sh -c" in line]

    def whole_report(self) -> dict[str, Any]:
        """The report of all runs."""
        found: dict[str, Any] = json.loads((self._directory / "report.json").read_text())
        return found


@pytest.fixture
def drill(person: Person, tmp_path_factory: pytest.TempPathFactory) -> Drill:
    return Drill(person, tmp_path_factory.mktemp("drill"))  # not beside the inventory: Ansible would read it all


def test_a_host_measures_by_its_own_clock_and_what_ec2_refused_is_tried_again(drill: Drill) -> None:
    drill.ec2 = {**FRESH, "refusals": 2, "unread": 1}
    told = drill.run(outage=1.3, behind=1.5)
    assert told.code != 0 and "The outage of 1300 ms is above the limit of 1200 ms." in " ".join(told.output.split())
    found = drill.report()
    assert (found["outage_ms"], found["failback_lost"], len(found["problems"])) == (1300.0, 0, 1)
    assert (drill.ec2["state"], drill.ec2["drill"]) == ("running", None)


def test_a_gateway_that_stays_off_is_known_to_the_undoing(drill: Drill) -> None:
    drill.ec2 = {**FRESH, "refusals": 99}
    assert drill.run().code != 0
    assert (drill.ec2["state"], drill.ec2["drill"]) == ("stopped", "d-7")
    assert drill.report()["problems"] == [
        "gw-a could not be started again (EC2 has no capacity for it (InsufficientInstanceCapacity)), so the mark that "
        "the drill is running stands; mend that, and take the drill back with the playbook failover_drill "
        "(-e vpnha_drill_undo=true -e vpnha_drill_id=d-7)."
    ]
    drill.ec2 = {**FRESH, "refusals": 99}
    assert drill.run(repair="restart").code != 0
    assert drill.ec2["drill"] is None, "the monitors are not kept from starting it"
    assert "the monitors go on with that" in drill.report()["problems"][0]
    drill.ec2 = {**drill.ec2, "refusals": 2, "drill": "d-7"}
    undone = drill.run("undo")
    assert undone.code == 0 and "was taken back: gw-a started" in " ".join(undone.output.split())
    assert (drill.ec2["state"], drill.ec2["drill"]) == ("running", None)


def test_nothing_more_is_broken_after_a_run_that_failed(drill: Drill) -> None:
    drill.ec2 = {**FRESH, "refusals": 4}  # the first run gives up, a second one would find it willing
    told = drill.run(repeat=2)
    report = drill.whole_report()
    assert told.code != 0 and [len(scenario["runs"]) for scenario in report["scenarios"]] == [1]
    assert not report["passed"] and "gw-a could not be started again" in report["aborted"]
    assert "The drill was broken off: gateway_power_off: gw-a could not" in " ".join(told.output.split())


def test_a_gateway_is_asked_by_new_connections_that_go_the_way_of_the_inventory(drill: Drill) -> None:
    """Options of a delegated connection know the gateway's variables, and nothing that was set on localhost."""
    by_ssh = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "ansible_ssh_extra_args": "-J bastion"}
    told = drill.run(gateway=by_ssh)
    assert told.code == 0, told.output
    counted = [call for call in drill.calls_by_ssh() if "-o ControlPath=none" in call]
    assert counted and all("-o ControlPath=none -J bastion" in call for call in counted)


def test_a_gateway_that_the_packets_do_not_pass_is_not_broken(drill: Drill) -> None:
    told = drill.run(passed=9)
    assert told.code != 0
    assert (
        "gw-a has passed on 9 packets to 192.168.10.10, 192.168.20.10, and one application host alone has sent 10 or "
        "more: their packets take another way, so breaking it would show nothing."
    ) in " ".join(told.output.split())
    assert drill.ec2["cut"] is None
