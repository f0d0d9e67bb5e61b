# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's last part: every tunnel of every gateway fails, the AWS-managed VPN takes over, and people are told.

The targets of the notifications are made here: a queue behind an SNS topic, and a webhook on the monitor's loopback.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import yaml

from lab import endpoint, faults, managed_aws
from lab.errors import LabError
from lab.matrix.lookout import MONITOR, Lookout, until
from lab.matrix.stage import tunnels_of
from lab.matrix.watch import Probes
from lab.names import REPOSITORY, Names

DEPLOYMENT = REPOSITORY / "lab" / "deployments" / "managed-vpn.yml"
GATEWAY = DEPLOYMENT.with_name("managed-gateway.yml")
FILES = (DEPLOYMENT, GATEWAY)  # that the playbooks are given
HOSTS = ("app-a", "app-b")
WEBHOOK_PORT = 8099
_HEARD = "/run/vpnha-demo-webhook.jsonl"
_WITHIN = 30.0  # s: routes lead to the virtual private gateway, and a message has come
_STEADY = 1.0  # s of answers to every packet

_RECEIVER = f"""
import http.server

class Heard(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("{_HEARD}", "ab") as heard:
            heard.write(body.replace(b"\\n", b" ") + b"\\n")
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", {WEBHOOK_PORT}), Heard).serve_forever()
"""


class Fallback:
    """The managed VPN of the demo's deployment, and those who are told."""

    def __init__(self, names: Names) -> None:
        self._names = names
        described = yaml.safe_load(GATEWAY.read_text(encoding="utf-8"))["vpnha_managed_gateways"][0]
        self._gateway, self._targets = str(described["name"]), dict[str, str](described["probes"])
        prefixes = {f"{target.rpartition('.')[0]}.0/24": site for site, target in self._targets.items()}
        self._lookout = Lookout(names, prefixes)
        self._sns, self._sqs = endpoint.client(names, "sns"), endpoint.client(names, "sqs")
        self._queue = ""

    def variables(self) -> dict[str, Any]:
        """What the playbooks are given besides ``FILES``: the managed gateway's id; topic and webhook, made here."""
        found = self._lookout.ec2.describe_vpn_gateways(
            Filters=[{"Name": "tag:Name", "Values": [managed_aws.NAME]}, {"Name": "state", "Values": ["available"]}]
        )["VpnGateways"]
        topic = self._sns.create_topic(Name="vpnha-demo")["TopicArn"]
        self._queue = self._sqs.create_queue(QueueName="vpnha-demo")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        self._sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
        return {
            "lab_vpn_gateway": found[0]["VpnGatewayId"],
            "vpnha_notify_sns_topic": topic,
            "vpnha_notify_apprise": [f"json://127.0.0.1:{WEBHOOK_PORT}/"],
            "vpnha_notify_rate": 1000,  # the drill before it makes as many messages as a bad week
        }

    def listen(self) -> None:
        """Start the webhook on the monitor. Raises LabError."""
        unit = ["systemd-run", "--quiet", "--unit", "vpnha-demo-webhook"]
        self._lookout.run(MONITOR, *unit, "/usr/bin/python3", "-c", _RECEIVER)

    def carried_out(self) -> Mapping[str, Any]:
        """The figures with who was told; ``problem`` is a sentence, empty when all was as it should be."""
        try:
            return {**self._carry_out(), "told": self._told(f"to {self._gateway}"), "passed": True, "problem": ""}
        except LabError as error:
            return {"passed": False, "problem": str(error)}

    def _carry_out(self) -> dict[str, Any]:
        """Block every tunnel of every gateway until routes lead to the managed VPN and packets flow through it.

        Raises LabError, with one sentence; the tunnels are open again in any case.
        """
        probes = Probes(self._names, HOSTS, list(self._targets.values()))
        home = self._lookout.home()
        probes.start()
        blocked: list[str] = []
        try:
            until(lambda: probes.steady_seconds(0.0) >= _STEADY, _WITHIN, "packets flow before anything is broken")
            self._forget()
            began = time.time()
            for pair in tunnels_of("gw-a", "gw-b"):
                blocked.append(faults.add(self._names, "tunnel-block", pair, faults.Options()).id)
            until(lambda: set(self._places()) == {"elsewhere"}, _WITHIN, "all routes lead to the managed VPN")
            until(lambda: probes.steady_seconds(began) >= _STEADY, _WITHIN, "packets flow through the managed VPN")
            broken = probes.measured(began, None)
        finally:
            self._open(blocked)
            probes.stop()
        return {
            "routes": len(home),
            "outage_ms": max(stream["longest_ms"] for stream in broken),
            "packets_sent": sum(stream["sent"] for stream in broken),
            "packets_lost": sum(stream["lost"] for stream in broken),
        }

    def _forget(self) -> None:
        """What was told before is not of this failover: routes may lead that way at the first deploy, too."""
        self._queued()
        self._lookout.run(MONITOR, "rm", "-f", _HEARD)

    def _told(self, words: str) -> dict[str, str]:
        """The title, with these words in it, of the first such message to each target. Raises NotSeen."""
        found: dict[str, str] = {}

        def look() -> bool:
            for target, titles in (("sns", self._queued()), ("webhook", self._heard())):
                for title in titles:
                    if words in title:
                        found.setdefault(target, title)
            return len(found) == 2

        until(look, _WITHIN, "a message of that failover has come to the queue and to the webhook", poll=0.5)
        return found

    def _queued(self) -> list[str]:
        titles = []
        for _ in range(20):
            messages = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
            if not messages:
                break
            for message in messages:
                titles.append(str(json.loads(message["Body"]).get("Subject", "")))
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return titles

    def _heard(self) -> list[str]:
        said = self._lookout.run(MONITOR, "cat", _HEARD, check=False)
        return [str(json.loads(line).get("title", "")) for line in said.splitlines()]

    def _places(self) -> list[str]:
        return list(self._lookout.routes().values())

    def _open(self, blocked: list[str]) -> None:
        while blocked:
            faults.clear(self._names, blocked.pop())
