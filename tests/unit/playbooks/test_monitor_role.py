# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role monitor's own tasks, with a systemd that only notes what it is asked, and a monitor that is played."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Person, Told, book, copied
from .stub_modules import noting

KEY = "mArKeR-of-all-heartbeats-0123456789"
FRESH = {"release": "new", "unit": "a-hash"}
WELL = {"process": FRESH, "config": {"checksum": "sum", "error": "", "reading": False}}
CARRIES = "vpnha_gateways: gw-c still carries 3 routes."


class Host:
    """A host on which everything is written, and nothing of it is known to be new."""

    def __init__(self, person: Person, directory: Path, address: str) -> None:
        self._person, self._directory = person, directory
        self._collections = directory / "collections"
        here = copied(self._collections, "plugins", "roles", "meta")
        options = ["name", "state", "enabled", "daemon_reload"]
        (here / "plugins" / "modules" / "systemd.py").write_text(noting("systemd", options))
        tasks = here / "roles" / "monitor" / "tasks" / "service.yml"
        tasks.write_text(tasks.read_text().replace("ansible.builtin.systemd_service", "vpnha.aws.systemd"))
        (directory / "answers.json").write_text('{"localhost systemd started": {"changed": false}}')
        (directory / "book.yml").write_text(book("monitor/service", "monitor/healthy"))
        self.runs: dict[str, Any] = WELL
        self.after_restart: dict[str, Any] = WELL
        self.after_reload: dict[str, Any] = WELL
        self.pages: list[str] = []  # that it was asked for
        self.silent = 0  # so many times its loop does not answer
        self.ways: list[dict[str, Any] | None] = []  # what it says of its way to EC2, look by look; the last one stays
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.pages.append(self.path)
                code, status = host.answers()
                body = json.dumps(status).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        everywhere = address == "127.0.0.1"
        self.listen = f"{'0.0.0.0' if everywhere else address}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answers(self) -> tuple[int, dict[str, Any]]:
        """What the monitor says at this moment."""
        if self.silent:
            self.silent -= 1
            return 503, {"healthy": False}
        done = self.done()
        says = self.after_reload if "reloaded" in done else self.runs
        says = self.after_restart if "restarted" in done else says
        if self.ways:
            says = {**says, "api_way": self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]}
        if "process" in says:
            says = {**says, "process": {"listen": self.listen, **says["process"]}}
        return 200, says

    def done(self) -> list[str]:
        """What systemd was asked for, beside starting what runs."""
        path = self._directory / "calls"
        calls = [json.loads(line)[0] for line in path.read_text().splitlines()] if path.exists() else []
        return [call.rpartition(" ")[2] for call in calls if not call.endswith(" started")]

    def look(self, *ways: dict[str, Any] | None, **variables: Any) -> Told:
        """Runs what sees whether its way to EC2 leads through the VPN."""
        self.ways = list(ways)
        given = {"vpnha_monitor_listen": self.listen, **variables}
        path = self._directory / "way.yml"
        path.write_text(book("monitor/way"))
        python = ("-e", f"ansible_python_interpreter={sys.executable}")
        return self._person.play(str(path), given, *python, collections=str(self._collections))

    def deploy(self, *options: str, **variables: Any) -> Told:
        """Runs the tasks, with nothing written anew."""
        given = {
            "vpnha_monitor_listen": self.listen,
            "__vpnha_monitor_files": {"changed_files": [], "checksums": {"/etc/vpnha/monitor.yml": "sum"}},
            "__vpnha_runtime_switch": {"changed": False, "src": "releases/new"},
            **variables,
        }
        self._person.environment |= {"STUBS": str(self._directory), "STUB_HOST": "localhost"}
        more = ("-e", f"ansible_python_interpreter={sys.executable}", "-e", "__vpnha_monitor_unit_hash=a-hash")
        book = str(self._directory / "book.yml")
        return self._person.play(book, given, *more, *options, collections=str(self._collections))


@pytest.mark.skipif(os.geteuid() != 0, reason="the role gives what it writes to root")
def test_why_a_configuration_is_refused_is_said_without_its_secrets(
    person: Person, description: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    work = tmp_path_factory.mktemp("work")
    tasks = copied(work / "collections", "plugins", "roles", "meta") / "roles" / "monitor" / "tasks" / "configure.yml"
    text = tasks.read_text()
    places = {
        "/opt/vpnha/venv/bin/python": sys.executable,
        "/opt/vpnha/lib": f"{ROOT}/.build/collections:{ROOT}/roles/monitor/files",
        "/etc/": f"{work}/etc/", "/usr/": f"{work}/usr/", "group: vpnha": "group: root",
    }  # fmt: skip
    for place, here in places.items():
        text = text.replace(place, here)
    writing = [task for task in yaml.safe_load(text) if {"vpnha.aws.config_files", "ansible.builtin.file"} & {*task}]
    tasks.write_text(yaml.safe_dump(writing))
    (work / "etc").mkdir()
    (work / "book.yml").write_text(book("network/check", "monitor/configure"))
    python = ("-e", f"ansible_python_interpreter={sys.executable}")

    def write(address: str, *options: str) -> Told:
        given = {"vpnha_heartbeat_key": KEY, "vpnha_notify_apprise": [address], "vpnha_name": "mon-a"}
        book = str(work / "book.yml")
        return person.play(book, description | given, *python, *options, collections=str(work / "collections"))

    told = write("slacks://mArKeR/and/more", "-vvv", "--diff")
    assert told.code != 0 and not (work / "etc" / "systemd").exists()
    assert f"{work}/etc/vpnha/monitor.yml.notify.apprise[0]: " in " ".join(told.readable.split())
    assert "mArKeR" not in told.output and KEY not in told.output
    told = write("json://mArKeR.example.com", "-vvv", "--diff")
    file = work / "etc" / "vpnha" / "monitor.yml"
    assert (told.code, told.changed, file.stat().st_mode & 0o777) == (0, 1, 0o640)
    assert "mArKeR" in file.read_text() and "mArKeR" not in told.output and KEY not in told.output
    assert sha1(file.read_bytes()).hexdigest() in told.output
    assert write("json://mArKeR.example.com").changed == 0


@pytest.fixture
def host(person: Person, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Host]:
    """``param``: the address on which its monitor listens."""
    made = Host(person, tmp_path_factory.mktemp("host"), getattr(request, "param", "127.0.0.1"))
    yield made
    made.server.shutdown()
    made.server.server_close()


def configured(checksum: str = "sum", error: str = "", **process: str) -> dict[str, Any]:
    """A monitor's status that differs from what is on the host in this."""
    return {"process": FRESH | process, "config": {"checksum": checksum, "error": error, "reading": False}}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"], ids=["everywhere", "one address"], indirect=True)
def test_a_monitor_that_runs_as_it_should_is_left_alone(host: Host) -> None:
    told = host.deploy()
    assert (told.code, told.changed, host.done()) == (0, 0, [])
    assert host.pages == ["/status", "/status", "/healthz"]


@pytest.mark.parametrize(
    ("runs", "done"),
    [
        (configured(release="old"), ["restarted"]),
        (configured(unit="another"), ["restarted"]),
        (configured(listen="10.20.1.20:9784"), ["restarted"]),
        ({"config": {"checksum": "sum", "error": ""}}, ["restarted"]),  # a release that does not say which it is
        (configured(checksum="of before"), ["reloaded"]),
        (configured(error=CARRIES), ["reloaded"]),
        (configured(checksum="of before", release="old"), ["restarted"]),
    ],
)
def test_what_an_earlier_run_left_unapplied_is_applied(host: Host, runs: dict[str, Any], done: list[str]) -> None:
    host.runs = runs
    told = host.deploy()
    assert (told.code, told.changed, host.done()) == (0, 1, done)


def test_what_would_be_applied_is_said_beforehand(host: Host) -> None:
    host.runs = configured(release="old")
    told = host.deploy("--check")
    assert (told.code, told.changed) == (0, 1)


def test_a_monitor_that_does_not_answer_is_started_anew(host: Host) -> None:
    host.server.shutdown()
    host.server.server_close()
    told = host.deploy("--check")
    assert (told.code, told.changed, host.done()) == (0, 1, ["restarted"])


def test_a_monitor_that_is_busy_for_a_moment_goes_on(host: Host) -> None:
    host.silent = 2
    told = host.deploy()
    assert told.code == 0 and "restarted" not in host.done()


def test_what_is_refused_still_is_said(host: Host) -> None:
    host.runs = host.after_reload = configured(error=CARRIES)
    told = host.deploy()
    assert told.code != 0 and host.done() == ["reloaded"]
    assert f"The monitor goes on with its old configuration: {CARRIES}" in told.readable


# --- The way to EC2 ------------------------------------------------------------------------------------------------

PAST = {"kind": "past", "text": "EC2's API is called by the route 0.0.0.0/0 of rtb-1 to igw-1.", "warnings": {}}
BEHIND = {"kind": "behind", "text": "EC2's API is called through gw-a.", "warnings": {}}
UNKNOWN = {"kind": "unknown", "text": "No network interface in EC2 has the tags of mon-a.", "warnings": {}}


def test_a_way_past_the_vpn_is_no_word_worth(host: Host) -> None:
    told = host.look(PAST)
    assert (told.code, host.pages) == (0, ["/status"]) and "skipped=1 " in told.output


def test_a_way_through_the_vpn_fails_the_run_with_its_sentence(host: Host) -> None:
    told = host.look(BEHIND, vpnha_healthy_seconds=4)
    assert host.pages == ["/status"] * 2
    told.refused_with(
        "EC2's API is called through gw-a. Give the monitor's subnet a way of its own: vpnha_endpoints with ec2, or a "
        "route to an internet or NAT gateway; then run this again."
    )


def test_an_endpoint_that_has_just_been_made_is_waited_for(host: Host) -> None:
    assert host.look(None, BEHIND, PAST).code == 0
    assert host.pages == ["/status"] * 3


def test_what_cannot_be_known_fails_no_run_and_is_said(host: Host) -> None:
    told = host.look(UNKNOWN | {"warnings": {"SNS": "SNS is called through gw-b."}})
    assert told.code == 0 and "SNS is called through gw-b." in told.output
    assert f"that the way to EC2's API does not lead through the VPN: {UNKNOWN['text']}" in told.output
    told = host.look(None, vpnha_healthy_seconds=4)
    assert told.code == 0 and "the monitor has not found it out in time" in told.output


def test_deploy_asks_every_monitor_for_its_way() -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / "deploy.yml").read_text(encoding="utf-8"))
    asked = [
        play["hosts"]
        for play in plays
        for task in play["tasks"]
        if task.get("ansible.builtin.include_role", {}).get("tasks_from") == "way"
    ]
    assert asked == ["vpnha_monitors"]
