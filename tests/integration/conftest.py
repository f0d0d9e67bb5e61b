# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab at a time, beside any that a person has up: its own name, its own ports, the same images.

It stays up from module to module until one asks for another variant of it: each variant is deployed once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "lab" / "inventory" / "hosts.yml"


@dataclass(frozen=True)
class Played:
    """What a playbook's run said: exit code, all output, and per host the counts of the recap."""

    code: int
    output: str
    recap: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Lab:
    """A running lab, driven by the commands that a person would type."""

    env: Mapping[str, str]
    options: tuple[str, ...] = ()  # of every playbook

    def command(self, *argv: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Runs ``python -m lab …``; the caller looks at the exit code."""
        return subprocess.run(
            [sys.executable, "-m", "lab", *argv],
            env=dict(self.env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def shell(self, host: str, *argv: str) -> str:
        """Standard output of a command on a host; fails the test if the command fails."""
        done = self.command("shell", host, *argv)
        assert done.returncode == 0, f"{host}: {' '.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout

    def play(self, name: str, *options: str, timeout: float = 1200, **variables: object) -> Played:
        """Runs a playbook of the collection; its output goes to the test's log as well."""
        argv = ["ansible-playbook", f"vpnha.aws.{name}", "-i", str(INVENTORY), *self.options, *options]
        if variables:
            argv += ["-e", json.dumps(variables)]
        env = {**self.env, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False
        )
        print(f"$ {' '.join(argv)}\n{done.stdout}")
        recap = {
            host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", counts)}
            for host, counts in re.findall(r"^(\S+)\s+: (ok=.*)$", done.stdout, flags=re.M)
        }
        return Played(done.returncode, done.stdout, recap)


def lab_env() -> dict[str, str]:
    """The environment that names the tests' own lab: another one in every checkout, so that two don't meet."""
    checkout = hashlib.sha256(str(ROOT).encode()).digest()
    name = os.environ.get("VPNHA_TEST_LAB_NAME", f"vpt{checkout.hex()[:6]}")
    port = os.environ.get("VPNHA_TEST_LAB_PORT", str(5000 + int.from_bytes(checkout[:2]) % 2000 * 10))
    return {**os.environ, "VPNHA_LAB_NAME": name, "VPNHA_LAB_PORT": port}


@dataclass(frozen=True)
class Variant:
    """What a lab has otherwise than the shipped one."""

    up: tuple[str, ...] = ()  # options of ``lab up``
    play: tuple[str, ...] = ()  # options of every playbook
    release: str = ""  # of Debian, whose images are needed besides the usual ones


SHIPPED = Variant()


class Labs:
    """The one lab that is up, and how it was asked for."""

    def __init__(self) -> None:
        self._variant: Variant | None = None
        self._lab = Lab(lab_env())
        self._deployed = False

    def up(self, variant: Variant) -> Lab:
        """A lab of that variant, which may be up already."""
        if variant != self._variant:
            self.down()
            self._variant = variant
            try:
                self._lab = self._start(variant)
            except BaseException:
                self.down()
                raise
        return self._lab

    @staticmethod
    def _start(variant: Variant) -> Lab:
        env = lab_env()
        starter = Lab(env)
        if variant.release:
            built = starter.command("image", "--release", variant.release, timeout=1500)
            assert built.returncode == 0, built.stdout + built.stderr
        up = starter.command("up", *variant.up, timeout=1500)
        assert up.returncode == 0, up.stdout + up.stderr
        for line in starter.command("env").stdout.splitlines():
            key, equals, value = line.removeprefix("export ").partition("=")
            if equals:
                env[key] = value.strip("'\"")
        return Lab(env, variant.play)

    def deployed(self, variant: Variant) -> Lab:
        """The same after one deploy."""
        lab = self.up(variant)
        if not self._deployed:
            played = lab.play("deploy")
            assert played.code == 0, "deploy failed; its output stands above"
            self._deployed = True
        return lab

    def down(self) -> None:
        """Take the lab down, whatever has become of it."""
        if self._variant is not None:
            self._variant, self._deployed = None, False
            down = Lab(lab_env()).command("down")
            assert down.returncode == 0, down.stdout + down.stderr


LABS = pytest.StashKey[Labs]()


@pytest.fixture(scope="session")
def labs(request: pytest.FixtureRequest) -> Iterator[Labs]:
    """Taken down at the end, whatever happened."""
    assert os.geteuid() == 0, "the lab needs root: run `make integration`"
    found = request.config.stash[LABS] = Labs()
    try:
        yield found
    finally:
        found.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Other tests follow that have no lab: idle as it is, its daemons take a quarter of two cores."""
    yield
    labs = item.config.stash.get(LABS, None)
    if labs is not None and nextitem is not None and Path(__file__).parent not in nextitem.path.parents:
        labs.down()


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    """The shipped lab."""
    return labs.up(SHIPPED)


@pytest.fixture(scope="module")
def deployed(labs: Labs) -> Lab:
    """The shipped deployment, built by the playbook that users run."""
    return labs.deployed(SHIPPED)


# --- What tests of a deployment look at ---------------------------------------------------------------------


def aws(lab: Lab, service: str = "ec2") -> Any:
    """A client of one of the lab's services, as a person with all rights has it."""
    return boto3.client(
        service,
        endpoint_url=lab.env["AWS_ENDPOINT_URL"],
        region_name="eu-central-1",
        aws_access_key_id=lab.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=lab.env["AWS_SECRET_ACCESS_KEY"],
    )


DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")


def app_routes(lab: Lab) -> dict[tuple[str, str], str]:
    """What EC2 says of the deployment's routes: (table, destination) -> ENI."""
    tables = aws(lab).describe_route_tables(Filters=[{"Name": "tag:vpnha:table", "Values": ["app"]}])["RouteTables"]
    return {
        (table["RouteTableId"], next(route[key] for key in DESTINATIONS if route.get(key))): route["NetworkInterfaceId"]
        for table in tables
        for route in table["Routes"]
        if "NetworkInterfaceId" in route
    }


def calls(lab: Lab, since: float, *actions: str) -> list[dict[str, Any]]:
    """EC2's calls of these actions from then on that it did, as its endpoint has recorded them."""
    return [call for call in record(lab, since) if call["action"] in actions and not call["error"]]


def record(lab: Lab, since: float) -> list[dict[str, Any]]:
    """All that EC2 was asked from then on, whoever asked, and whatever came of it."""
    with urllib.request.urlopen(f"{lab.env['AWS_ENDPOINT_URL']}/_lab/calls?since={since}") as answer:
        return list(json.load(answer))


ECHOES = 5


def answered(lab: Lab, host: str, target: str) -> int:
    """How many of ``ECHOES`` echo requests of an application host are answered."""
    done = lab.command("shell", host, "ping", "-c", str(ECHOES), "-i", "0.2", "-W", "2", target)
    found = re.search(rf"^{ECHOES} packets transmitted, (\d+) received", done.stdout, flags=re.M)
    assert found, f"{host}: ping says no counts: {done.stdout}{done.stderr}"
    return int(found[1])


def reaches(lab: Lab, host: str, target: str) -> bool:
    """Whether all of them are: ping itself is content with one answer."""
    return answered(lab, host, target) == ECHOES


def assert_deploy_changes_nothing(lab: Lab, **variables: object) -> None:
    """Deploys once more: no task may report a change, and no route may have moved."""
    before = app_routes(lab)
    again = lab.play("deploy", **variables)
    assert again.code == 0
    assert {host: counts["changed"] for host, counts in again.recap.items()} == dict.fromkeys(again.recap, 0)
    assert app_routes(lab) == before


def drill(lab: Lab, folder: Path, *scenarios: str, **variables: Any) -> dict[str, Any]:
    """Runs the drill without limits and returns its scenarios by name; no packet of a site may have left in clear."""
    played = lab.play(
        "failover_drill",
        vpnha_drill_scenarios=list(scenarios),
        vpnha_drill_output=str(folder),
        vpnha_drill_limits=dict.fromkeys(scenarios, 60_000),
        **variables,
    )
    report = json.loads((folder / "report.json").read_text())
    assert played.code == 0
    assert (folder / "report.html").stat().st_size > 0 and (folder / "junit.xml").stat().st_size > 0
    assert [one["plaintext_packets"] for one in report["scenarios"]] == [0] * len(scenarios)
    return {one["name"]: one for one in report["scenarios"]}


@contextmanager
def steady(
    lab: Lab, targets: Iterable[str], hosts: Iterable[str] = ("app-a", "app-b")
) -> Iterator[dict[tuple[str, str], int]]:
    """Fifty echo requests a second from each host to each target; afterwards how many of each were lost."""
    lost: dict[tuple[str, str], int] = {}
    ways = [(host, target) for host in hosts for target in targets]
    for host, target in ways:
        unit, log = f"steady-{target}", f"/run/steady-{target}"
        ping = ("ping", "-n", "-i", "0.02", "-W", "2", target)
        lab.shell(host, "systemd-run", "--quiet", "--unit", unit, "-p", f"StandardOutput=truncate:{log}", *ping)
    try:
        yield lost
    finally:
        for host, target in ways:
            lab.shell(host, "systemctl", "stop", f"steady-{target}")
            answered = {
                int(seq)
                for seq in re.findall(r"bytes from .*icmp_seq=(\d+) ", lab.shell(host, "cat", f"/run/steady-{target}"))
            }
            # what was under way when it was stopped is not known
            lost[host, target] = max(answered, default=0) - len(answered)


# --- What tests of a failure do and watch -------------------------------------------------------------------


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for it."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


def settle(lab: Lab, monitor: str) -> None:
    """Wait until the one monitor says that all is well, and every route is at home."""

    def well() -> bool:
        status = json.loads(lab.shell(monitor, "vpnha", "status", "--json"))
        paths = {path["verdict"] for path in status["paths"]}
        return bool(status["healthy"] and status["routes"] and not status["away"] and paths == {"up"})

    until(well, 240, f"{monitor} says that all is well")


def instance(lab: Lab, name: str) -> dict[str, Any]:
    """An instance by its name, as EC2 describes it."""
    alive = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    found = aws(lab).describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}, alive])["Reservations"]
    return dict(found[0]["Instances"][0])


def eni_of(lab: Lab, gateway: str) -> str:
    return str(instance(lab, gateway)["NetworkInterfaces"][0]["NetworkInterfaceId"])


def power_off(lab: Lab, *names: str) -> None:
    """Cut the power of instances, all at once."""
    ids = [instance(lab, name)["InstanceId"] for name in names]
    aws(lab).stop_instances(InstanceIds=ids, Force=True, SkipOsShutdown=True)


class Watch:
    """EC2's routes from now on, by its record of the calls: the interfaces that each led to, one after the other."""

    def __init__(self, lab: Lab) -> None:
        self.home = app_routes(lab)
        self._lab, self._began = lab, time.time()

    def seen(self) -> dict[tuple[str, str], list[str]]:
        """For each route where it led, its home first; a call that left it where it was is none of these."""
        found = {key: [eni] for key, eni in self.home.items()}
        for call in calls(self._lab, self._began, "ReplaceRoute", "CreateRoute", "DeleteRoute"):
            if call["before"] != call["after"]:
                found[call["resources"][0], call["destination"]].append(str(call["after"]))
        return found

    def expect(self, turns: dict[str, int]) -> None:
        """Each route that was at home at that interface has been moved so often, and is not moved again."""
        until(lambda: all(set(self.turns(eni)) == {often} for eni, often in turns.items()), 10, f"moved {turns}")
        time.sleep(2.0)
        assert {eni: set(self.turns(eni)) for eni in turns} == {eni: {often} for eni, often in turns.items()}

    def turns(self, gateway_eni: str) -> list[int]:
        """How often each route that was at home there has been moved."""
        return [len(its) - 1 for key, its in self.seen().items() if self.home[key] == gateway_eni]
