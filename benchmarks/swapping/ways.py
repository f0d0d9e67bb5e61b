# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contenders: what they are called, what they need, and how each points all routes at a gateway."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, routes
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.pace import CHANGES
from benchmarks import peers
from vpnha_monitor.actuator import Actuator

from .stand import CARD, REGION, Stand

_STOP_SECONDS = 20.0  # for calls under way, when it is given up
_ENCLOSED = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


class WayFailed(Exception):
    """A contender did not do its work; says which, and its last line."""


class GivenUp(WayFailed):
    """A contender was still at its work when its time was over, and was stopped."""


class Way(ABC):
    """One contender."""

    name: str
    says: str  # what is measured of it
    ours = False

    def __init__(self, stand: Stand, directory: Path, most: float) -> None:
        """``most``: seconds after which a swap is given up."""
        self.stand, self.directory, self.most = stand, directory, most
        self.environment = {
            **(os.environ if self.ours else peers.environment()),
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": stand.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def prepare(self) -> None:  # noqa: B027
        """Learn what the way knows before it is needed; not measured."""

    @abstractmethod
    def swap(self, gateway: str) -> None:
        """Point all routes at a gateway. Raises WayFailed, and GivenUp after ``most`` seconds."""

    def run(self, argv: list[str], **environment: str) -> None:
        """Run a program to its end. Raises WayFailed with its last words, and GivenUp when all it started is killed.

        It is alone in a PID namespace, with which the kernel ends also what has left its process group, as Ansible's
        workers do.
        """
        try:
            done = subprocess.run(
                [*_ENCLOSED, *argv], env={**self.environment, **environment}, capture_output=True, text=True,
                check=False, timeout=self.most,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise self.given_up() from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise WayFailed(f"{self.name}: exit code {done.returncode}: {said}")

    def given_up(self) -> GivenUp:
        """What is raised when its time is over."""
        return GivenUp(f"{self.name}: not done after {self.most:.0f} s")


class Monitor(Way):
    """The monitor's own actuator, over connections that are open, as they are at night."""

    name = "vpnha.aws monitor"
    says = (
        "its actuator, in a process that runs already and knows where the routes lead. It keeps a pace below EC2's "
        "token bucket, also where there is none: beyond 45 routes, five a second"
    )
    ours = True

    def __init__(self, stand: Stand, directory: Path, most: float) -> None:
        super().__init__(stand, directory, most)
        os.environ |= {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"}
        self.client = ec2.make_client(region=REGION, endpoint_url=stand.url)
        self._begin()

    def _begin(self) -> None:
        self.results: list[Any] = []
        self.actuator = Actuator(lambda: self.client, self.results.extend, lambda _result: None)

    def prepare(self) -> None:
        """Its own bucket is full, it reads EC2 each 5 s, and it keeps its connections warm."""
        time.sleep(self.actuator.limits.changes.wait_for(CHANGES.capacity))
        self.view = routes.read_view(self.client, self.stand.deployment)
        self.actuator.warm(self.stand.tables[0])

    def swap(self, gateway: str) -> None:
        """All routes at once; then, as the engine would, those anew that a fresh view shows where they were."""
        choice, limit = routes.Choice(gateway=gateway), time.monotonic() + self.most
        while wanted := routes.plan(self.view, self.stand.deployment, choice, time.time()):
            self.results.clear()
            self.actuator.swap(wanted)
            while len(self.results) < len(wanted):
                if time.monotonic() > limit:
                    self.actuator.stop(_STOP_SECONDS)
                    self._begin()
                    raise self.given_up()
                time.sleep(0.01)
            self.view = routes.read_view(self.client, self.stand.deployment)


class RouteSwap(Way):
    """Our module in a playbook."""

    name = "vpnha.aws.route_swap"
    says = "a playbook of one task, from its start to its end, at the monitor's pace"
    ours = True

    def swap(self, gateway: str) -> None:
        """One task."""
        task = {
            "vpnha.aws.route_swap": {
                "deployment": to_dict(self.stand.deployment), "region": REGION, "gateway": gateway, "timeout": 3600,
            }
        }  # fmt: skip
        play(self, [task])


class RouteTableModule(Way):
    """A playbook with amazon.aws's module for route tables, which purges nothing.

    The module sleeps for 5 s after each table that it has changed, and a plain loop does so for each of them. Who knows
    that has all sleep together.
    """

    name = "amazon.aws.ec2_vpc_route_table"
    says = (
        "a playbook that begins it for one table after the other and waits for none of them (`async`, `poll: 0`), then "
        "for all, from its start to its end"
    )

    def swap(self, gateway: str) -> None:
        """One task that begins all, and one that waits for them."""
        eni = self.stand.enis[gateway]
        task = {
            "amazon.aws.ec2_vpc_route_table": {
                "region": REGION, "vpc_id": self.stand.vpc, "lookup": "id", "route_table_id": "{{ item }}",
                "purge_routes": False, "purge_subnets": False, "purge_tags": False,
                "routes": [{"dest": each, "network_interface_id": eni} for each in self.stand.destinations],
            },
            "loop": self.stand.tables, "async": int(self.most), "poll": 0, "register": "begun",
        }  # fmt: skip
        ended = {
            "ansible.builtin.async_status": {"jid": "{{ item.ansible_job_id }}"}, "loop": "{{ begun.results }}",
            "register": "job", "until": "job is finished", "retries": int(self.most), "delay": 1,
        }  # fmt: skip
        play(self, [task, ended])


class CommandLine(Way):
    """A shell loop over the AWS CLI."""

    name = "AWS CLI in a loop"
    says = "aws ec2 replace-route for each route, one call after the other"

    def swap(self, gateway: str) -> None:
        """One call after another."""
        eni = self.stand.enis[gateway]
        loop = 'set -e; for t in $TABLES; do for d in $DESTINATIONS; do "$AWS" ec2 replace-route --route-table-id $t '
        loop += f"--destination-cidr-block $d --network-interface-id {eni}; done; done"
        self.run(
            ["bash", "-c", loop], AWS=str(peers.aws()), TABLES=" ".join(self.stand.tables),
            DESTINATIONS=" ".join(self.stand.destinations),
        )  # fmt: skip


class MoveIp(Way):
    """Pacemaker's agent: the ``start`` that a cluster calls on the node that takes over; one resource a destination."""

    name = "Pacemaker's aws-vpc-move-ip"
    says = (
        "the agent's start on the node that takes over, after the cluster's decision; destinations side by side, "
        "looked up by network interface. It goes through all tables three times, to look, to swap and to look again, "
        "and sleeps for 1 s at each, which is much of the figure"
    )

    def swap(self, gateway: str) -> None:
        """Each destination is a resource of its own, and Pacemaker starts those side by side."""
        self.stand.metadata_of = gateway
        with ThreadPoolExecutor(len(self.stand.destinations)) as pool:
            list(pool.map(self._start, self.stand.destinations))

    def _start(self, destination: str) -> None:
        subprocess.run(["ip", "address", "del", destination, "dev", CARD], capture_output=True, check=False)
        given = {
            "awscli": str(peers.aws()), "region": REGION, "ip": destination.partition("/")[0],
            "routing_table": ",".join(self.stand.tables), "interface": CARD,
            "lookup_type": "NetworkInterfaceId",
        }  # fmt: skip
        resource = f"ip-{destination.replace('/', '-')}"
        self.run([*peers.agent("aws-vpc-move-ip"), "start"], **peers.agent_environment(resource, self.directory, given))


WAYS: tuple[type[Way], ...] = (Monitor, RouteSwap, RouteTableModule, CommandLine, MoveIp)


def play(way: Way, tasks: list[dict[str, Any]]) -> None:
    """Run a play of these tasks on this machine."""
    file = way.directory / "play.yml"
    play = {
        "name": "Swap", "hosts": "localhost", "connection": "local", "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}, "tasks": tasks,
    }  # fmt: skip
    file.write_text(yaml.safe_dump([play]), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory", "localhost,", str(file)]
    way.run(command, ANSIBLE_HOME=str(way.directory / "ansible"), ANSIBLE_ASYNC_DIR=str(way.directory / "jobs"))
