# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster of two gateways does with Pacemaker's aws-vpc-move-ip, and nothing else of Pacemaker.

The agent moves a route to one address, so it is given that of the site's host. It also configures the address on the
gateway that is active, as it is meant for services of the node itself; a gateway only passes packets on to it, so a
rule lets gateways route that address instead of taking it for their own.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from lab import endpoint, registry
from lab.errors import LabError
from lab.matrix.lookout import Lookout
from lab.net import underlay

from .undo import Undo

AGENT = "aws-vpc-move-ip"
CORE = "a dead node is known after 3 s, corosync's default"
CARD = "eth0"  # a gateway's interface towards the VPC
START_SECONDS, MONITOR_SECONDS = 180.0, 30.0  # timeouts, as the agent itself advises
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Pace:
    """How a cluster looks at its resource, in seconds."""

    interval: float  # between the agent's monitor and its next
    silence: float  # after which a node that is gone is taken for dead


class Cluster:
    """Of two gateways; the resource begins on the first."""

    _stopped = False  # somebody stops the benchmark: no agent is waited for
    _failure = ""  # why nothing can be said of this run: the lab's fault as much as the agent's

    def __init__(self, lookout: Lookout, address: str, gateways: tuple[str, str], directory: Path) -> None:
        """Raises LabError if not one route table alone leads to the first."""
        self._lookout, self._address, self._gateways, self._directory = lookout, address, gateways, directory
        active = gateways[0]
        tables = sorted({route.split()[0] for route, to in lookout.routes().items() if to == active})
        if len(tables) != 1:
            raise LabError(
                f"{AGENT} is to move a route of the one table that leads to {active}, and there are {tables}."
            )
        [self._table] = tables

    @contextmanager
    def run(self, pace: Pace) -> Iterator[None]:
        """Start the resource on the first gateway, and watch it. Raises LabError if the agent does not start it.

        The same in the end if it could not be watched, or did not start on the other gateway when it had to.
        """
        active, _other = self._gateways
        route = {"RouteTableId": self._table, "DestinationCidrBlock": f"{self._address}/32"}
        ended = threading.Event()
        watching = threading.Thread(target=self._watch, args=(pace, ended), daemon=True)
        with Undo() as stack:
            self._lookout.ec2.create_route(**route, NetworkInterfaceId=self._lookout.eni(active))
            stack.callback(self._lookout.ec2.delete_route, **route)
            for gateway in self._gateways:
                stack.callback(self._forget, gateway)
                self._pass_on(gateway)
            if self._agent(active, "start", START_SECONDS) != 0:
                raise LabError(f"{AGENT} does not start on {active}: {self._last_words()}")
            watching.start()
            try:
                yield
            except KeyboardInterrupt:
                self._stopped = True
                raise
            finally:
                ended.set()
                watching.join()
            if self._failure:
                raise LabError(self._failure)

    def _watch(self, pace: Pace, ended: threading.Event) -> None:
        """Until the resource had to be started on the other gateway, or that cannot be known any more."""
        other = self._gateways[1]
        try:
            if self._failed(pace, ended) and self._agent(other, "start", START_SECONDS) != 0 and not self._stopped:
                self._failure = f"{AGENT} does not start on {other}: {self._last_words()}"
        except Exception as error:  # whatever it is: of a run that nobody watched, nothing must be told
            self._failure = f"{AGENT} could not be watched: {str(error) or type(error).__name__}"

    def _failed(self, pace: Pace, ended: threading.Event) -> bool:
        """Whether the resource has, before all ends. A gateway breaks at any moment of the interval."""
        active = self._gateways[0]
        alive = time.monotonic()
        due = alive + random.uniform(0.0, pace.interval)
        while not ended.wait(POLL_SECONDS):
            now = time.monotonic()
            if not self._up(active):
                if now - alive >= pace.silence:
                    return True
                continue
            alive = now
            if now >= due:
                code = self._agent(active, "monitor", MONITOR_SECONDS)
                due = time.monotonic() + pace.interval
                if self._up(active):  # else the failure is the node's, whose silence begins
                    if code != 0:
                        return True
                    alive = time.monotonic()
        return False

    def _up(self, gateway: str) -> bool:
        return self._lookout.machines.state(self._lookout.host_id(gateway)) == "running"

    def _agent(self, gateway: str, action: str, seconds: float) -> int:
        """The agent's exit code, run in a gateway's network; below 0 where it takes too long, or the gateway dies.

        A dead node runs no agent: here it would go on, and wait for answers that the node's network no longer has.
        """
        began, said = time.monotonic(), ""
        with _program(self._command(gateway, action), self._environment(gateway, action)) as process:
            while time.monotonic() - began < seconds and self._up(gateway) and not self._stopped:
                with suppress(subprocess.TimeoutExpired):
                    said, _errors = process.communicate(timeout=POLL_SECONDS)
                    break
        self._note(gateway, action, f"{process.returncode} after {time.monotonic() - began:.1f} s\n{said.strip()}")
        return process.returncode

    def _command(self, gateway: str, action: str) -> list[str]:
        _id, entry = registry.find(self._lookout.names, gateway)
        return ["ip", "netns", "exec", entry["netns"], *peers.agent(AGENT), action]  # with its own /sys

    def _environment(self, gateway: str, action: str) -> Mapping[str, str]:
        given = {
            "awscli": str(peers.aws()), "region": endpoint.REGION, "ip": self._address,
            "routing_table": self._table, "interface": CARD,
            "CRM_meta_interval": "60000" if action == "monitor" else "0",  # a monitor without one is a probe
        }  # fmt: skip
        return {
            **peers.environment(),
            **peers.agent_environment(f"{gateway}-ip", self._directory, given),
            "AWS_ENDPOINT_URL": f"http://{underlay.ENDPOINT}:{endpoint.HOSTS_PORT}",
            "NO_PROXY": "*",
        }

    # --- The gateways --------------------------------------------------------------------------------------

    def _pass_on(self, gateway: str) -> None:
        """Look an address up among the gateway's own only after the way to the site, for this one address."""
        self._ip(gateway, "rule add priority 2 lookup local")
        self._ip(gateway, f"rule add priority 1 to {self._address} lookup main")
        self._ip(gateway, "rule del priority 0 lookup local")

    def _forget(self, gateway: str) -> None:
        """Undo that, and what the agent has done; of a gateway that has booted meanwhile nothing is left of it."""
        if self._ip(gateway, f"rule del priority 1 to {self._address} lookup main", check=False):
            self._ip(gateway, "rule add priority 0 lookup local")
            self._ip(gateway, "rule del priority 2 lookup local")
        self._ip(gateway, f"address del {self._address}/32 dev {CARD}", check=False)

    def _ip(self, gateway: str, words: str, check: bool = True) -> bool:
        """Whether it could be done. Raises LabError with the reason, unless it need not be."""
        _id, entry = registry.find(self._lookout.names, gateway)
        command = ["ip", "-netns", entry["netns"], *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise LabError(f"ip {words} failed on {gateway}: {done.stderr.strip()}")
        return done.returncode == 0

    # --- Its log -------------------------------------------------------------------------------------------

    @property
    def _log(self) -> Path:
        return self._directory / "agent.log"

    def _note(self, gateway: str, action: str, said: str) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{time.time():.3f} {gateway} {action}: {said}\n")

    def _last_words(self) -> str:
        return self._log.read_text(encoding="utf-8").strip().splitlines()[-1]


@contextmanager
def _program(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A program with its output, which is ended at the end of this together with all that it has started."""
    with subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
