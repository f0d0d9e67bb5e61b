# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contenders: what stands between a broken gateway and an application host that is cut off."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import peers
from lab import registry
from lab.errors import LabError
from lab.matrix.lookout import MONITOR, Lookout
from lab.net import underlay

from .breaks import BROKEN, drop

OTHER = "gw-b"
UNIT = "vpnha-monitor"
CARD = "ens5"  # a gateway's interface towards the VPC
NEVER = 20.0  # seconds after which nobody comes any more who has not come yet


class Guard:
    """Nobody and nothing: one gateway."""

    name = "one gateway"
    says = "no monitor, and the gateways do not know of each other"
    patience = NEVER  # seconds after which it is mended by hand

    def __init__(self, lookout: Lookout, target: str, directory: Path) -> None:
        """``target``: of the site that is cut off."""
        self.lookout, self.target, self.directory = lookout, target, directory

    @contextmanager
    def standing(self) -> Iterator[None]:
        """It watches, until the end."""
        with ExitStack() as stack:
            stack.enter_context(unwatched(self.lookout))
            stack.callback(drop(self.lookout, [(BROKEN, OTHER)], "apart"))
            yield


class Ours(Guard):
    """The collection as it is deployed."""

    name = "vpnha.aws"
    says = "monitor, and BGP between the gateways"
    patience = 30.0

    @contextmanager
    def standing(self) -> Iterator[None]:
        """It stands already."""
        yield


class BgpAlone(Guard):
    """The gateways as they are deployed, and no monitor."""

    name = "BGP alone"
    says = "BGP and BFD over each tunnel and between the gateways; nobody swaps a route"

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Without a monitor."""
        with unwatched(self.lookout):
            yield


class MoveIp(Guard):
    """Pacemaker's agent: its ``monitor`` on gw-a at an interval, and its ``start`` on gw-b when that fails.

    The agent moves a route to one address: that of the site's host, which the site has and not the gateway. So the
    kernel's own route for it, which comes with the address that the agent configures, is taken away at once.
    The agent sees no tunnel; what corosync needs to find a node dead is left out, in its favour.
    """

    name = "Pacemaker's aws-vpc-move-ip"
    says = "its monitor every 60 s, its default"
    interval = 60.0
    patience = 120.0

    @contextmanager
    def standing(self) -> Iterator[None]:
        """The address is started on gw-a, and the driver runs."""
        table = self._table()
        route = {"RouteTableId": table, "DestinationCidrBlock": f"{self.target}/32"}
        with ExitStack() as stack:
            stack.enter_context(super().standing())
            self.lookout.ec2.create_route(**route, NetworkInterfaceId=self.lookout.eni(BROKEN))
            stack.callback(self.lookout.ec2.delete_route, **route)
            for gateway in (BROKEN, OTHER):
                stack.callback(self._forget, gateway)
            self._start(BROKEN, table)
            ended = threading.Event()
            driver = threading.Thread(target=self._drive, args=(table, ended), daemon=True)
            stack.callback(driver.join)
            stack.callback(ended.set)
            driver.start()
            yield

    def _drive(self, table: str, ended: threading.Event) -> None:
        """What a cluster does: ask at an interval, and start it elsewhere when the answer is no."""
        if ended.wait(random.uniform(0.0, self.interval)):  # a gateway dies at any moment of it
            return
        while not ended.is_set():
            if self._agent(BROKEN, "monitor", table, seconds=30.0) != 0:
                if not ended.is_set():
                    self._start(OTHER, table)
                return
            if ended.wait(self.interval):
                return

    def _start(self, gateway: str, table: str) -> None:
        if self._agent(gateway, "start", table, seconds=180.0) == 0:
            local = f"route del local {self.target} dev {CARD} table local"
            self.lookout.run(gateway, "ip", *local.split(), check=False)

    def _forget(self, gateway: str) -> None:
        with contextlib.suppress(LabError):  # it is off
            self.lookout.run(gateway, "ip", "address", "del", f"{self.target}/32", "dev", CARD, check=False)

    def _agent(self, gateway: str, action: str, table: str, seconds: float) -> int:
        """The agent's exit code, run in a gateway's network; 1 where there is none, or it takes too long."""
        try:
            _id, entry = registry.find(self.lookout.names, gateway)
            command = ["nsenter", f"--net={entry['netns']}", *peers.agent("aws-vpc-move-ip"), action]
            done = subprocess.run(
                command, env=self._environment(gateway, table), capture_output=True, check=False, timeout=seconds
            )
        except (LabError, OSError, subprocess.TimeoutExpired):
            return 1
        with (self.directory / "agent.log").open("ab") as log:
            log.write(f"{time.time():.3f} {gateway} {action}: {done.returncode}\n".encode() + done.stderr)
        return done.returncode

    def _environment(self, gateway: str, table: str) -> Mapping[str, str]:
        given = {
            "awscli": str(peers.aws()), "region": "eu-central-1", "ip": self.target, "routing_table": table,
            "interface": CARD, "lookup_type": "NetworkInterfaceId", "monapi": "false",
        }  # fmt: skip
        return {
            **os.environ,
            **peers.agent_environment(f"{gateway}-ip", self.directory, given),
            "AWS_ENDPOINT_URL": f"http://{underlay.ENDPOINT}:{4566}",
        }

    def _table(self) -> str:
        """The route table of gw-a's zone."""
        home = self.lookout.home()
        return next(route.split()[0] for route, of in home.items() if of["gateway"] == BROKEN)


class MoveIpFast(MoveIp):
    """The same, asked again as soon as it has answered."""

    name = "the same, as fast as it goes"
    says = "its monitor again as soon as it has answered"
    interval = 0.0
    patience = 60.0


GUARDS: tuple[type[Guard], ...] = (Ours, BgpAlone, MoveIpFast, MoveIp, Guard)


@contextmanager
def unwatched(lookout: Lookout) -> Iterator[None]:
    """No monitor runs meanwhile."""
    lookout.run(MONITOR, "systemctl", "stop", UNIT)
    try:
        yield
    finally:
        lookout.run(MONITOR, "systemctl", "start", UNIT)
