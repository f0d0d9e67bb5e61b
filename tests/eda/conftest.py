# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment with a managed VPN connection in the lab's endpoint, and ansible-rulebook with our rulebook."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.unit.ec2.conftest import REGION, World, bare, client, url, world  # noqa: F401 (fixtures)
from tests.unit.ec2.test_managed_vpn_modules import Office
from tests.unit.plugins.module_utils.test_description import good

ROOT = Path(__file__).resolve().parents[2]
VARS = ROOT / "extensions" / "eda" / "vars" / "managed_vpn_alarms.yml"
LONGEST = 600.0  # seconds after which something that should happen will not: a loaded machine may be slow
HOSTS = {
    "all": {
        "hosts": {
            "localhost": {
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            }
        }
    }
}


@dataclass
class Rulebook:
    """ansible-rulebook at work, with the queue that it reads and the folder that its reports go to."""

    process: subprocess.Popen[bytes]
    log: Path
    reports: Path
    queue: str
    sqs: Any
    told: str  # the URL of a queue that hears what the reports' topic is told

    def send(self, **alarm: str) -> None:
        """Puts an alarm into the queue, as SNS does by raw message delivery."""
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps(alarm))

    def said(self) -> str:
        """All that it has printed."""
        return self.log.read_text()

    def until(self, done: Callable[[], Any]) -> Any:
        """Waits for something, and returns it; fails the test, with what was printed, if it does not happen."""
        end = time.monotonic() + LONGEST
        while not (found := done()):
            if self.process.poll() is not None or time.monotonic() > end:
                print(self.said())
                raise AssertionError("ansible-rulebook has ended, or did not do what was waited for")
            time.sleep(0.5)
        return found

    def report(self, alarm: str) -> list[dict[str, Any]]:
        """The reports because of an alarm."""
        found = []
        for path in sorted(self.reports.glob("*.json")):
            text = path.read_text()
            if text.endswith("}\n") and (report := json.loads(text))["alarm"] == alarm:
                assert path.with_suffix(".txt").exists()
                found.append(report)
        return found


@dataclass
class Site:
    """Where ansible-rulebook runs: an inventory, variables, an environment with the rights of the endpoint."""

    directory: Path
    environment: dict[str, str]

    def start(self, variables: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
        """ansible-rulebook with our rulebook and the shipped variables, some of them changed."""
        path = self.directory / "vars.yml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(VARS.read_text()), **variables}))
        command = ["nice", "-n", "19", "ansible-rulebook", "-r", "vpnha.aws.managed_vpn_alarms", "-e", str(path)]
        with log.open("wb") as out:
            return subprocess.Popen(
                [*command, "-i", str(self.directory / "inventory")],
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )


@pytest.fixture
def site(tmp_path: Path, url: str, world: World) -> Site:  # noqa: F811
    """The deployment's description as an inventory. Its hosts' names resolve nowhere: nobody can be asked."""
    net = world.deployment.vpc_cidrs[0].removesuffix(".0.0/16")
    described = json.loads(json.dumps(good()).replace("10.20.", f"{net}."))
    described |= {"vpnha_deployment": world.deployment.name, "vpnha_image": "ami-vpnha0golden"}
    for host in (*described["vpnha_gateways"], *described["vpnha_monitors"]):
        host["ansible_host"] = f"{host['name']}.invalid"
    inventory = tmp_path / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts.yml").write_text(yaml.safe_dump(HOSTS))
    (inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(described))
    taken = ("AWS_", "VPNHA_", "ANSIBLE_", "PYTHONPATH", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(taken)}
    environment |= {
        "PATH": f"{ROOT / '.eda-venv' / 'bin'}:{os.environ['PATH']}",
        # amazon.aws is where this Python has it
        "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.build' / 'collections'}:{sysconfig.get_paths()['purelib']}",
        "ANSIBLE_NOCOLOR": "1",
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "not-needed-here",
        "AWS_ENDPOINT_URL": url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "JAVA_TOOL_OPTIONS": "-Xmx128m -XX:+UseSerialGC",
        "NO_PROXY": "127.0.0.1",
    }
    return Site(tmp_path, environment)


@pytest.fixture
def office(world: World, client: Any, url: str) -> Iterator[Office]:  # noqa: F811
    """A managed VPN connection with nobody at its other end."""
    made = Office(client, url)
    made.make()
    yield made
    client.delete_vpn_connection(VpnConnectionId=made.id)


def aws(url: str, service: str) -> Any:  # noqa: F811
    """A client of one of the endpoint's services."""
    make: Any = boto3.client
    keys = {"aws_access_key_id": "lab", "aws_secret_access_key": "not-needed-here"}
    return make(service, region_name=REGION, endpoint_url=url, **keys)


@pytest.fixture
def queue(url: str, world: World) -> tuple[str, str, Any]:  # noqa: F811
    """The URL and ARN of a queue, and a client for it."""
    sqs = aws(url, "sqs")
    made = sqs.create_queue(
        QueueName=f"{world.deployment.name}-alarms",
        Attributes={"VisibilityTimeout": "3600"},  # what is left is counted once
    )["QueueUrl"]
    shown = sqs.get_queue_attributes(QueueUrl=made, AttributeNames=["QueueArn"])["Attributes"]
    return made, shown["QueueArn"], sqs


@pytest.fixture
def rulebook(
    site: Site,
    office: Office,
    world: World,  # noqa: F811
    queue: tuple[str, str, Any],
) -> Iterator[Rulebook]:
    """Everything that the rulebook may do is asked for; gw-a stands for the managed gateway that routes leave."""
    address, _arn, sqs = queue
    reports, log = site.directory / "reports", site.directory / "log"
    sns = aws(site.environment["AWS_ENDPOINT_URL"], "sns")
    topic = sns.create_topic(Name=f"{world.deployment.name}-reports")["TopicArn"]
    told = sqs.create_queue(QueueName=f"{world.deployment.name}-reports")["QueueUrl"]
    shown = sqs.get_queue_attributes(QueueUrl=told, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=shown["QueueArn"])
    variables = {
        "vpnha_queue": address.rsplit("/", maxsplit=1)[1],
        "vpnha_alarm_names": f"{world.deployment.name}-vpn-",
        "vpnha_failover": True,
        "vpnha_connections": {office.id: {"gateway": "gw-a", "to": "gw-b"}},
        "vpnha_replace_tunnels": True,
        "vpnha_down_minutes": 0,
        "vpnha_report_dir": str(reports),
        "vpnha_report_topic": topic,
    }
    process = site.start(variables, log)
    try:
        yield Rulebook(process, log, reports, address, sqs, told)
    finally:
        process.terminate()
        process.wait(60)
