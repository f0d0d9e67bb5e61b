# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role awx, by the real modules of awx.awx, against a stand-in for the controller."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils.drill_plan import SCENARIOS

from .awx_api import Controller, served
from .conftest import ROOT, Person

PLAYBOOKS = [f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml")]
WINDOW = {"days": ["sun"], "from": "02:00", "to": "04:00", "timezone": "Europe/Berlin"}
TYPES = {
    "str": ("text", "multiplechoice"),
    "bool": ("multiplechoice",),
    "list": ("multiselect",),
    "int": ("integer",),
}
SECRET = "sEcret-that-must-not-be-shown"

Description = dict[str, Any]


@pytest.fixture
def controller() -> Iterator[Controller]:
    """A controller with an organization, a credential and an execution environment."""
    fresh = Controller(PLAYBOOKS)
    fresh.add("organizations", name="Default")
    machine = fresh.add("credential_types", name="Machine")
    fresh.add("credentials", name="gateways' key", credential_type=machine["id"], organization=None)
    fresh.add("execution_environments", name="vpnha EE", organization=None)
    with served(fresh) as running:
        yield running


@pytest.fixture
def wish(description: Description, controller: Controller) -> Description:
    """A good wish, to be spoiled: the deployment's description and the controller's."""
    return description | {
        "vpnha_awx_host": controller.url,
        "vpnha_awx_token": SECRET,
        "vpnha_awx_project_url": "https://git.example/network.git",
        "vpnha_awx_credentials": [{"name": "gateways' key"}],
        "vpnha_awx_execution_environment": {"name": "vpnha EE"},
        "vpnha_drill_window": WINDOW,
    }


def test_the_first_run_makes_everything_and_the_second_changes_nothing(
    person: Person, wish: Description, controller: Controller
) -> None:
    wish |= {
        "vpnha_awx_credential_type": "vpnha secrets",
        "vpnha_awx_approval_minutes": 30,
        "vpnha_awx_status_minutes": 15,
        "vpnha_awx_notifications": [
            {"name": "night", "on": ["error"], "type": "webhook", "configuration": {"url": "https://chat.example/"}}
        ],
    }
    wish["vpnha_awx_credentials"] += [
        {"name": "secrets", "type": "vpnha secrets", "inputs": {"heartbeat_key": f"{SECRET}-2", "psk": f"{SECRET}-3"}}
    ]
    told = person.play("awx", wish, "--check")
    assert told.code == 0
    assert told.changed > 0
    assert not controller.writes

    told = person.play("awx", wish, "-v")
    assert told.code == 0
    assert SECRET not in told.output
    _everything_is_there(controller)
    secrets = controller.all("credentials")["secrets"]
    assert controller.secrets[secrets["id"]] == {"heartbeat_key": f"{SECRET}-2", "psk": f"{SECRET}-3"}

    controller.writes.clear()
    told = person.play("awx", wish)
    assert (told.code, told.changed) == (0, 0)
    assert not controller.writes


LAUNCH = """\
- hosts: localhost
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - awx.awx.job_launch:
        name: vpnha failover drill
        job_type: check
        extra_vars: "{{ answers }}"
        controller_host: "{{ vpnha_awx_host }}"
        controller_oauthtoken: "{{ vpnha_awx_token }}"
"""


def test_the_drill_is_launched_with_a_survey_s_answers(
    person: Person,
    wish: Description,
    controller: Controller,
    account: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """As a person does it, who first wants to see the plan; then what the job would run is run."""
    account()
    beside = tmp_path_factory.mktemp("beside")  # the inventory, which is read whole
    _there_by_the_export(person, wish, controller, beside / "awx.json")
    book = beside / "launch.yml"
    book.write_text(LAUNCH)
    answers = {
        "vpnha_drill_scenarios": ["tunnel_block", "planned"],
        "vpnha_drill_gateway": "gw-a",
        "vpnha_drill_site": "hq",
    }
    wrong = person.play(str(book), wish, "-e", json.dumps({"answers": answers | {"vpnha_drill_gateway": "gw-z"}}))
    assert wrong.code != 0 and "expected to be one of" in wrong.output
    assert person.play(str(book), wish, "-e", json.dumps({"answers": answers})).code == 0
    [job] = controller.kinds["jobs"].values()
    assert job["job_type"] == "check"
    given = json.loads(job["extra_vars"])
    assert given == answers | {
        "vpnha_drill_id": "awx-{{ awx_workflow_job_id | default(awx_job_id) }}", "vpnha_drill_repeat": 1,
        "vpnha_lock_force": "false",
    }  # fmt: skip
    of_awx = {"awx_job_id": 4711, "awx_user_name": "anna", "vpnha_drill_app_hosts": ["app-a"]}
    planned = person.play("failover_drill", wish, "--check", "-e", json.dumps(given | of_awx))
    assert planned.code == 0
    assert "block all packets between gw-a and its peers" in planned.readable
    assert "move the routes of gw-a to gw-b" in planned.readable


def _there_by_the_export(person: Person, wish: Description, controller: Controller, file: Path) -> None:
    """The drill's template and its survey."""
    assert person.play("awx", wish | {"vpnha_awx_export": str(file)}).code == 0
    [found] = [one for one in json.loads(file.read_text())["job_templates"] if one["name"] == "vpnha failover drill"]
    project = controller.add("projects", name="vpnha", organization=1, status="successful")
    template = {key: found[key] for key in ("name", "playbook", "description")}
    template |= {
        "project": project["id"],
        "extra_vars": json.dumps(found["extra_vars"]),
        "ask_job_type_on_launch": True,
    }
    _status, made = controller.answer("POST", "/api/v2/job_templates/", template | {"survey_enabled": True})
    survey = {"name": "", "description": "", "spec": found["survey"]}
    controller.answer("POST", f"/api/v2/job_templates/{made['id']}/survey_spec/", survey)


def _everything_is_there(controller: Controller) -> None:
    templates = controller.all("job_templates")
    assert set(templates) == {
        f"vpnha {name}"
        for name in ("deploy", "rotate", "status", "failover", "failback", "failover drill", "drill restore", "repair")
    }
    drill = templates["vpnha failover drill"]
    assert drill["playbook"] == "playbooks/failover_drill.yml"
    assert json.loads(drill["extra_vars"]) == {"vpnha_drill_id": "awx-{{ awx_workflow_job_id | default(awx_job_id) }}"}
    assert controller.associated(drill, "credentials") == ["gateways' key", "secrets"]
    assert controller.associated(drill, "notification_templates_error") == ["night"]
    assert [each["variable"] for each in controller.surveys[drill["id"]]["spec"]] == [
        "vpnha_drill_scenarios", "vpnha_drill_repeat", "vpnha_drill_gateway", "vpnha_drill_site", "vpnha_lock_force",
    ]  # fmt: skip
    to = controller.surveys[templates["vpnha failover"]["id"]]["spec"][0]
    assert (to["variable"], to["required"], to["choices"]) == ("vpnha_to", True, ["gw-a", "gw-b"])
    for name in ("failover", "failback", "repair"):
        asked = controller.surveys[templates[f"vpnha {name}"]["id"]]["spec"]
        (swapping,) = [each for each in asked if each["variable"] == "vpnha_swap_seconds"]
        assert (swapping["type"], swapping["default"]) == ("integer", 900)

    sources = controller.all("inventory_sources")
    described = sources["vpnha description"]
    assert (described["source_path"], described["source_project"]) == (
        "inventory/hosts.yml", controller.all("projects")["vpnha"]["id"],
    )  # fmt: skip
    assert (described["overwrite"], described["overwrite_vars"]) == (False, True)
    running = sources["vpnha EC2"]
    assert (running["overwrite"], running["overwrite_vars"]) == (True, True)
    filters = json.loads(running["source_vars"])["filters"]
    assert filters == {"tag:vpnha:deployment": "lab", "instance-state-name": "running"}

    asking = [name for name, each in templates.items() if each["ask_variables_on_launch"]]
    assert asking == ["vpnha drill restore"]

    workflow = controller.all("workflow_job_templates")["vpnha drill, restore and tell"]
    given = json.loads(workflow["extra_vars"])
    assert given == {"vpnha_drill_scenarios": ["planned"], "vpnha_drill_window": WINDOW}
    nodes = controller.all("workflow_job_template_nodes")
    edges = {
        (name, association, other)
        for name, node in nodes.items()
        for association in ("success_nodes", "failure_nodes", "always_nodes")
        for other in controller.associated(node, association)
    }
    assert edges == {
        ("approval", "success_nodes", "drill"),
        ("drill", "success_nodes", "status"),
        ("drill", "failure_nodes", "restore"),
        ("restore", "always_nodes", "status"),
    }
    assert nodes["restore"]["unified_job_template"] == templates["vpnha drill restore"]["id"]
    assert controller.all("workflow_approval_templates")["vpnha may drill"]["timeout"] == 1800
    assert {name: each["rrule"] for name, each in controller.all("schedules").items()} == {
        "vpnha drill": "DTSTART;TZID=Europe/Berlin:20260111T020000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SU",
        "vpnha status": "DTSTART;TZID=UTC:20260105T000000 RRULE:FREQ=MINUTELY;INTERVAL=15",
    }


def _fields_match_the_specs(templates: list[dict[str, Any]]) -> None:
    """Every question of a survey is an option of the playbook's or its role's argument specs."""
    of_playbooks = yaml.safe_load((ROOT / "playbooks/meta/argument_specs.yml").read_text())["argument_specs"]
    drill = yaml.safe_load((ROOT / "roles/drill/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    for template in templates:
        playbook = ROOT / template["playbook"]
        assert playbook.exists()
        options = {**of_playbooks[playbook.stem]["options"]}
        if playbook.stem == "failover_drill":
            options |= drill["options"]
        assert set(template.get("extra_vars", {})) <= set(options)
        for question in template["survey"]:
            option = options[question["variable"]]
            assert question["type"] in TYPES[option["type"]], question
            assert question["required"] == option.get("required", False), question
            default = option.get("default")
            if question["type"] == "multiselect":
                assert question.get("default", "").splitlines() == default, question
            elif option["type"] == "bool":
                assert question["choices"] == ["false", "true"]
                assert question["default"] == str(default).lower(), question
            else:
                assert question.get("default", "") == (default or ""), question
            if question["variable"] == "vpnha_drill_scenarios":
                assert question["choices"] == list(SCENARIOS)


def test_the_specs_say_what_the_playbooks_do() -> None:
    specs = yaml.safe_load((ROOT / "playbooks/meta/argument_specs.yml").read_text())["argument_specs"]
    for playbook, spec in specs.items():
        text = (ROOT / "playbooks" / f"{playbook}.yml").read_text()
        for name, option in spec["options"].items():
            if option.get("required"):
                assert re.search(rf"^#.* {name}\b", text, re.MULTILINE), (playbook, name)
                continue
            written = {
                value or other for value, other in re.findall(rf"{name} \| default\((?:'(.*?)'|(.*?))[,)]", text)
            }
            default = str(option["default"])
            assert written <= {default, default.lower(), ""}, (playbook, name, written)
            read_by_roles = ("vpnha_force", "vpnha_lock_force", "vpnha_without_monitor")
            assert written or name in read_by_roles, (playbook, name)


def test_the_whole_configuration_without_a_controller(person: Person, wish: Description, tmp_path: Path) -> None:
    wish["vpnha_awx_host"] = ""
    wish["vpnha_awx_credentials"] = [{"name": "secrets", "type": "Machine", "inputs": {"password": SECRET}}]
    wish["vpnha_managed_gateways"] = [{"name": "vgw", "id": "vgw-1"}]
    wish["vpnha_awx_reports"] = "/shared/reports"
    told = person.play("awx", wish | {"vpnha_awx_export": "awx.yml"})  # where the person is
    assert told.code == 0
    text = (tmp_path / "awx.yml").read_text()
    assert SECRET not in text
    found = yaml.safe_load(text)
    assert len(found["job_templates"]) == 8
    assert found["needed"]["execution_environments"] == ["vpnha EE"]
    assert [node["identifier"] for node in found["workflow_nodes"]] == ["drill", "restore", "status"]
    # no host that is not described: the playbooks put hosts into groups
    assert not {"groups", "keyed_groups"} & set(found["inventory_sources"][1]["source_vars"])
    _fields_match_the_specs(found["job_templates"])
    [drill] = [each for each in found["job_templates"] if each["name"] == "vpnha failover drill"]
    assert drill["extra_vars"]["vpnha_drill_output"] == "/shared/reports/{{ vpnha_drill_id }}"
    asked = {
        (template["name"], question["variable"]): question["choices"]
        for template in found["job_templates"]
        for question in template["survey"]
        if question["variable"] in ("vpnha_to", "vpnha_from", "vpnha_broken", "vpnha_drill_gateway")
    }
    assert {where: choices[2:] for where, choices in asked.items() if choices[2:]} == {
        ("vpnha failover", "vpnha_to"): ["vgw"],
        ("vpnha failover", "vpnha_from"): ["vgw"],
    }


def test_a_window_that_makes_no_sense_is_told_before_the_controller_is_asked(
    person: Person, wish: Description, controller: Controller
) -> None:
    wish["vpnha_drill_window"] = {"days": ["sun"], "from": "02:00", "timezone": "Europe/Berlyn"}
    wish["vpnha_awx_project_url"] = ""
    wish["vpnha_awx_scenarios"] = ["earthquake"]
    wish["vpnha_awx_execution_environment"] = {"image": "registry.example/vpnha"}
    person.play("awx", wish).refused_with(
        'vpnha_drill_window.to: this is missing; write it in quotes, like "22:00".',
        "vpnha_drill_window.timezone: this controller knows no time zone Europe/Berlyn;",
        "vpnha_awx_project_url is not set; it is the repository with the playbooks.",
        "vpnha_awx_scenarios: the drill does not know earthquake.",
        "vpnha_awx_execution_environment has no name.",
    )
    assert controller.reads == 0


def test_what_the_controller_does_not_have_is_told_before_anything_is_changed(
    person: Person, wish: Description, controller: Controller
) -> None:
    wish["vpnha_awx_aws_credential"] = "aws"
    del wish["vpnha_awx_execution_environment"]  # the controller's default
    wish["vpnha_awx_notifications"] = [{"name": "night", "on": ["error"]}]
    person.play("awx", wish).refused_with(
        "The controller has no credential aws; make it, or have it made.",
        "The controller has no notification template night; make it, or have it made. Nothing was changed.",
    )
    assert not controller.writes
