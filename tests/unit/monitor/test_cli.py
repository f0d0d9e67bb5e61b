# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``vpnha``, run as a person runs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from monitor_world import World, deployment
from typer.testing import CliRunner

from ansible_collections.vpnha.aws.plugins.module_utils import description
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError, VpnhaError
from vpnha_monitor import cli, journal
from vpnha_monitor.cli_time import since
from vpnha_monitor.config import MonitorConfig, elsewhere, parse


def test_person_pauses_and_moves(world: World) -> None:
    """Pause holds a failover back, resume lets it go; failover pins, failback clears; all as sentences and as JSON."""
    world.start()
    time.sleep(1.0)

    said = world.vpnha("pause", "--gateway", "gw-a", "--minutes", "5")
    assert said.returncode == 0 and said.stdout.startswith("gw-a is paused until"), said
    world.until(lambda: world.status()["pauses"])
    world.agents["gw-a"].die()
    world.until(lambda: world.status()["gateways"][0]["verdict"] == "down")
    time.sleep(1.0)
    assert world.target(world.zone_a) == "gw-a"
    shown = world.vpnha("status")
    assert shown.stdout.startswith("Traffic does not flow to hq from eu-central-1a"), shown
    assert "gw-a is down (gateway-silent): " in shown.stdout
    assert "Paused: gw-a until" in shown.stdout
    assert world.vpnha("resume", "--gateway", "gw-a").stdout == "gw-a is no longer paused.\n"
    assert world.vpnha("freeze", "--reason", "year end").stdout.startswith("No drill begins until ")
    assert world.vpnha("unfreeze").stdout == "Drills may begin again.\n"
    assert world.vpnha("unfreeze").stdout == "There was no freeze.\n"
    world.until(lambda: world.target(world.zone_a) == "gw-b")
    assert "Last move, " in world.vpnha("status").stdout

    refused = world.vpnha("failover", "--to", "gw-a")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Nothing was changed, because gw-a is down for hq:")

    world.agents["gw-a"].start()
    world.until(lambda: world.target(world.zone_a) == "gw-a")
    moved = json.loads(world.vpnha("failover", "--to", "gw-b", "--zone", world.zone_a, "--json").stdout)
    assert moved["changed"] and not moved["failed"] and world.target(world.zone_a) == "gw-b"
    world.until(lambda: world.status()["pins"])
    time.sleep(3.0)  # longer than the hold-down
    assert world.target(world.zone_a) == "gw-b"
    back = world.vpnha("failback")
    assert back.returncode == 0 and world.target(world.zone_a) == "gw-a", back
    world.until(lambda: not world.status()["pins"])

    listed = json.loads(world.vpnha("events", "--json", "--since", "10m").stdout)
    assert {"failover", "failback", "pinned", "paused"} <= {event["code"] for event in listed}
    assert set(listed[0]) == {"wall", "code", "subject", "text", "evidence", "resolved"}
    assert "Monitor mon-a has started." in world.vpnha("events").stdout
    planned = json.loads(world.vpnha("plan", "--json").stdout)
    assert [(each["name"], each["calls"]) for each in planned["gateways"]] == [("gw-a", 1), ("gw-b", 1)]


def test_person_hears_whether_packets_follow(world: World) -> None:
    """Measured by the agents' counters; by `vpnha follow`, what the playbooks ask, as well."""
    world.start()
    time.sleep(1.0)
    world.traffic(world.zone_a, "gw-a")

    def follow_the_route() -> None:
        world.until(lambda: world.target(world.zone_a) == "gw-b")
        world.traffic(world.zone_a, "gw-b")

    before = world.status()
    packets = threading.Thread(target=follow_the_route)
    packets.start()
    moved = json.loads(world.vpnha("failover", "--to", "gw-b", "--zone", world.zone_a, "--json").stdout)
    packets.join()
    assert [row["carrying"] for row in moved["routes"]] == [True]
    assert moved["text"].endswith(f"gw-b carries packets of {world.zone_a}.")
    routes = [row | {"carrying": None} for row in moved["routes"]]
    asked = world.vpnha("follow", stdin=json.dumps({"before": before, "routes": routes}))
    assert json.loads(asked.stdout) == [
        {"gateway": "gw-b", "zone": world.zone_a, "carrying": True, "text": f"gw-b carries packets of {world.zone_a}."}
    ]
    lost = json.loads(world.vpnha("failback", "--zone", world.zone_a, "--json").stdout)
    assert [row["carrying"] for row in lost["routes"]] == [False], "the packets still go through gw-b"
    assert "gw-a has seen no packet" in lost["text"] and not lost["failed"]
    refused = world.vpnha("follow", stdin="nonsense")
    assert refused.returncode == 1 and refused.stderr.startswith("Standard input is no status")


def test_no_monitor_runs(world: World) -> None:
    """A sentence that says how to start it; what a person decides works all the same."""
    said = world.vpnha("status")
    assert said.returncode == 1
    assert said.stderr.startswith("No monitor answers at http://127.0.0.1:9784; see `systemctl status vpnha-monitor`")
    assert json.loads(world.vpnha("status", "--json").stdout)["error"].startswith("No monitor answers")
    assert "has the monitor ever run here?" in world.vpnha("events").stderr
    assert world.vpnha("failover", "--to", "gw-b").returncode == 0
    assert world.target(world.zone_a) == "gw-b"
    both = world.vpnha("pause", "--gateway", "gw-a", "--table", "rtb-1")
    assert both.stderr == "Give one of --gateway, --table and --deployment.\n"
    world.proxy.close()
    unreachable = world.vpnha("pause")
    assert unreachable.returncode == 1 and "the endpoint cannot be reached" in unreachable.stderr
    assert "Traceback" not in unreachable.stderr


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["vpnha", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("monitor: [mon-a\n", "line 2, column 1: this is not YAML"),
        ("- a list\n", "holds a list where a dictionary"),
        ("\tmonitor: mon-a\n", "line 1, column 1: this is not YAML"),
        ("monitor: mon-a\nlisten: 2026-13-45\n", "line 2, column 9: this is not YAML (its type has no such value; put"),
        (
            "keys:\n  - !!int short\n",
            "line 2, column 5: this is not YAML (its type has no such value; put it in quotes",
        ),
        ("cloudwatch: !!bool short\n", "line 1, column 13: this is not YAML (its type has no such value"),
        ("journal: !!timestamp short\n", "line 1, column 10: this is not YAML (its type has no such value"),
        ("monitor: !!int ''\n", "line 1, column 10: this is not YAML (its type has no such value"),
        ('monitor: "\\U00110000"\n', "this is not YAML (chr() arg not in range"),
        (f"monitor: {'[' * 500}\n", "monitor.yml: this is not YAML (maximum recursion depth exceeded"),
        ("moniter: mon-a\n", "this key is unknown; did you mean monitor?"),
        ("monitor: mon-a\n", "the list is missing or empty; give at least one"),
        ("keys: [short]\n", "keys[0]: this heartbeat key is no string of at least 32 characters."),
        ("listen: 9784\n", "write a string"),
        ("listen: '[::]:9784'\n", "is no address of IPv4 and TCP port; write one like 0.0.0.0:9784."),
        ("journal: here.sqlite\n", "'here.sqlite' is no absolute path"),
        ("agent_port: 0\n", "'0' is no UDP port"),
    ],
)
def test_bad_configuration(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each problem is one sentence; no secret is in any."""
    file = tmp_path / "monitor.yml"
    file.write_text(text, encoding="utf-8")
    assert run("check-config", str(file), monkeypatch=monkeypatch) == 1
    error = capsys.readouterr().err
    assert said in error and "short" not in error.replace("shorter", "")
    assert run("status", "--config", str(file), monkeypatch=monkeypatch) == 1


def test_a_wrong_endpoint_is_refused_where_all_else_is_right() -> None:
    good = {"monitor": "mon-a", "keys": ["k" * 32], "deployment": description.to_dict(deployment())}
    assert parse(good, "monitor.yml").endpoint_url == ""
    with pytest.raises(DescriptionError) as refused:
        parse({**good, "endpoint_url": 8080}, "monitor.yml")
    assert refused.value.sentences == (
        "monitor.yml.endpoint_url: '8080' is a number; write a string, in quotes if YAML reads it otherwise.",
    )


def test_an_address_that_is_not_this_hosts(tmp_path: Path) -> None:
    """The monitor could not start: that is said before the file replaces the old one."""
    loaded = MonitorConfig("mon-a", deployment(), (), tmp_path / "journal.sqlite", "192.0.2.77", 9784)
    (sentence,) = elsewhere(loaded, "monitor.yml")
    assert sentence.startswith("monitor.yml.listen: 192.0.2.77 is no address of this host (")
    assert [elsewhere(replace(loaded, host=host), "") for host in ("0.0.0.0", "127.0.0.1")] == [[], []]


def test_malformed_configuration_as_a_person_types_it(tmp_path: Path) -> None:
    """One sentence with the place, exit code 1, and the file as it was."""
    file = tmp_path / "monitor.yml"
    text = "monitor: mon-a\nkeys: [abc\nlisten: 0.0.0.0:9784\n"
    file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "vpnha_monitor.cli", "check-config", str(file)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (1, "")
    (sentence,) = said.stderr.splitlines()
    assert sentence.startswith(f"{file}, line 3, column ") and sentence.endswith("; mend that line.")
    assert file.read_text(encoding="utf-8") == text


def test_missing_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("check-config", str(tmp_path / "none.yml"), "--json", monkeypatch=monkeypatch) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem.endswith("the file cannot be read (No such file or directory); give another.")


def test_configuration_of_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not read it is told to be root, and not to open a file with secrets to everybody."""

    def denied(*_args: object, **_options: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)  # tests may run as root, whom nothing is denied
    assert run("status", "--config", str(tmp_path / "monitor.yml"), monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err.replace("\n", " ").strip() == (
        f"{tmp_path}/monitor.yml: the file cannot be read (Permission denied); it has secrets, for root and the "
        "monitor alone: run vpnha with sudo."
    )


def test_times() -> None:
    """As people write them."""
    assert since("", 1000.0) == 0.0
    assert since("30m", 10_000.0) == 8200.0
    assert since("1d", 100_000.0) == 13_600.0
    assert since("1700000000.5", 0.0) == 1700000000.5
    assert since("2026-01-31T12:00", 0.0) == since("2026-01-31T13:00+01:00", 0.0) == 1769860800.0
    with pytest.raises(VpnhaError, match="'yesterday' is no time"):
        since("yesterday", 0.0)
    with pytest.raises(VpnhaError, match="'9999999999d' is no time"):
        since("9999999999d", 0.0)


def test_broken_journal_is_a_sentence(tmp_path: Path) -> None:
    """For `vpnha events` on a file that is no database."""
    (tmp_path / "journal.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(journal.sqlite3.DatabaseError):
        journal.read(tmp_path / "journal.sqlite")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], 50), (["--limit", "0"], 60), (["--limit", "7"], 7), (["--since", "1970-01-01"], 60), (["--json"], 60),
        (["--since", "1970-01-01", "--limit", "7"], 7),
    ],
)  # fmt: skip
def test_so_many_events_are_shown(
    arguments: list[str], shown: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tmp_path / "journal.sqlite"
    written = journal.Journal(where, lambda trouble: None)
    for number in range(60):
        written.put(journal.Event(1000.0 + number, float(number), "failover", "gw-a", f"text {number}"))
    written.start()
    written.close()
    monkeypatch.setattr(cli.config, "load", lambda path: SimpleNamespace(journal=where))
    said = CliRunner().invoke(cli.app, ["events", *arguments])
    assert said.exit_code == 0, said.output
    assert said.stdout.count("text ") == shown
    assert "text 59" in said.stdout, "the newest"


def test_less_than_no_events_are_refused() -> None:
    said = CliRunner().invoke(cli.app, ["events", "--limit", "-1"])
    assert said.exit_code == 2 and "--limit" in said.output


@pytest.mark.parametrize("said", [b"no HTTP at all\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
def test_what_answers_like_no_monitor_is_a_sentence_and_no_proxy_is_asked(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _address = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        there = SimpleNamespace(url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(VpnhaError, match="No monitor answers"):
            cli.ask(cast(MonitorConfig, there))
        thread.join(5.0)
        assert not thread.is_alive(), "it was asked itself"
