# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: a step of the decision, a read of EC2, a swap of a dead gateway's routes, and a run of the module.

EC2 is the lab's endpoint without hosts, each call delayed by a proxy. Its own time is in what is measured by the
clock; how often it was called is its own record, and the CPU time is that of this process.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import ec2, routes
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment, Swap, SwapResult
from ansible_collections.vpnha.aws.plugins.module_utils.pace import CHANGES
from benchmarks import decision
from benchmarks.load.plan import REGION, build, plan_of
from benchmarks.swapping.stand import Stand, calls, delay, proxy, warm
from benchmarks.swapping.ways import RouteSwap, Way, play
from tests.unit.endpoint_process import endpoint
from vpnha_monitor.actuator import Actuator

DELAY_MS = 150.0  # of each call, as in the drills
PATIENCE = 600.0  # seconds for one swap


@dataclass(frozen=True)
class Size:
    """How large a deployment is. Each site has one prefix, and each table a route to it."""

    tables: int
    gateways: int
    sites: int

    @property
    def of_one(self) -> int:
        """The routes of the gateway that dies: of the first, which has no fewer tables than any other."""
        return -(-self.tables // self.gateways) * self.sites


@dataclass
class Scene:
    """A deployment of some size at EC2; all its routes lead home when it is made."""

    size: Size
    deployment: Deployment
    url: str  # delayed
    direct: str
    enis: dict[str, str]  # by zone
    directory: Path
    client: Any
    actuator: Actuator
    results: list[SwapResult]
    away: bool = False  # whether the first gateway's routes lead to the second one

    def choice(self) -> routes.Choice:
        """The first gateway's routes, to the second; or back, if they are there."""
        first, second = self.deployment.gateways[:2]
        return routes.Choice(gateway=(first if self.away else second).name, zones=(first.zone,))


@contextmanager
def scene(size: Size, directory: Path) -> Iterator[Scene]:
    """All of it, in this process's own network namespace."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"}
    deployment = plan_of(size.gateways, size.sites)
    with endpoint(directory, real_buckets=True) as direct, proxy(direct, directory) as url:
        enis = build(deployment, size.tables, direct)
        client = ec2.make_client(region=REGION, endpoint_url=url)
        warm(url)
        delay(url, DELAY_MS)
        results: list[SwapResult] = []
        actuator = Actuator(lambda: client, results.extend, lambda _result: None)
        yield Scene(size, deployment, url, direct, enis, directory, client, actuator, results)
        actuator.stop(5.0)


class NotDone(Exception):
    """Something was not done as it should be; one sentence."""


class Work(ABC):
    """Something that is measured."""

    name: str
    says: str

    @abstractmethod
    def done(self, at: Scene) -> dict[str, Any]:
        """Do it once: its ``seconds``, the ``calls`` of EC2 by action, and ``cpu_ms`` where it is in this process."""


class Step(Work):
    """The monitor's decision."""

    name = "step"
    says = "one step of the monitor's decision, of which there are 40 a second, while all is well; CPU time"

    def done(self, at: Scene) -> dict[str, Any]:
        """Some hundred steps."""
        step, _beat = decision.measure(at.deployment, at.size.tables, silent=False)
        return {"seconds": round(step, 7), "cpu_ms": round(1000 * step, 4), "calls": {}}


class Read(Work):
    """The monitor's view of EC2."""

    name = "read"
    says = "one read of all that the monitor knows of EC2, each 5 s"

    def done(self, at: Scene) -> dict[str, Any]:
        """One read."""
        wall, began, cpu = time.time(), time.monotonic(), time.process_time()
        view = routes.read_view(at.client, at.deployment)
        lasted, cpu = time.monotonic() - began, time.process_time() - cpu
        if len(view.routes) != at.size.tables * at.size.sites:
            raise NotDone(f"A read has shown {len(view.routes)} of {at.size.tables * at.size.sites} routes.")
        return {"seconds": round(lasted, 4), "cpu_ms": round(1000 * cpu, 2), "calls": _asked(at, wall)}


class DeadGateway(Work):
    """The monitor's swap."""

    name = "swap"
    says = "all routes of one gateway swapped by the monitor's actuator, from the decision until all are read back"

    def done(self, at: Scene) -> dict[str, Any]:
        """One swap."""
        swaps = self._swaps(at)
        at.actuator.warm(swaps[0].key.table_id)
        _until(lambda: at.actuator.limits.changes.wait_for(CHANGES.capacity) < 0.01)
        time.sleep(1.0)  # connections are open now
        at.results.clear()
        wall, began, cpu = time.time(), time.monotonic(), time.process_time()
        at.actuator.swap(swaps)
        _until(lambda: len(at.results) >= len(swaps))
        lasted, cpu = time.monotonic() - began, time.process_time() - cpu
        if failed := [one for one in at.results if not one.accepted]:
            raise NotDone(f"{len(failed)} of {len(swaps)} swaps were not done: {failed[0].detail}")
        at.away = not at.away
        return {"seconds": round(lasted, 4), "cpu_ms": round(1000 * cpu, 2), "calls": _asked(at, wall)}

    def _swaps(self, at: Scene) -> list[Swap]:
        view = routes.read_view(at.client, at.deployment)
        swaps = routes.plan(view, at.deployment, at.choice(), time.time())
        if len(swaps) != at.size.of_one:
            raise NotDone(f"{len(swaps)} routes were to be swapped, and the gateway that dies has {at.size.of_one}.")
        return swaps


class Module(Work):
    """Our module."""

    name = "route_swap"
    says = "the same routes swapped by a playbook of one task with `vpnha.aws.route_swap`, from its start to its end"

    def done(self, at: Scene) -> dict[str, Any]:
        """One playbook."""
        stand = Stand(at.url, at.direct, at.deployment, "", [], {}, {}, at.client)
        way: Way = RouteSwap(stand, at.directory, PATIENCE)
        choice = at.choice()
        task = {
            "vpnha.aws.route_swap": {
                "deployment": to_dict(at.deployment), "region": REGION, "gateway": choice.gateway,
                "zones": list(choice.zones), "timeout": int(PATIENCE),
            }
        }  # fmt: skip
        time.sleep(min(CHANGES.size, at.size.of_one) / CHANGES.refill)  # it takes EC2's bucket for full
        wall, began = time.time(), time.monotonic()
        play(way, [task])
        lasted, asked = time.monotonic() - began, _asked(at, wall)
        if asked.get("ReplaceRoute", 0) < at.size.of_one:
            raise NotDone(f"The module has called ReplaceRoute for {asked} and not for {at.size.of_one} routes.")
        at.away = not at.away
        return {"seconds": round(lasted, 4), "cpu_ms": None, "calls": asked}


WORKS: tuple[Work, ...] = (Step(), Read(), DeadGateway(), Module())


def measured(work: Work, at: Scene) -> dict[str, Any]:
    """One run, as it is kept."""
    return {"work": work.name, **asdict(at.size), **work.done(at)}


def _asked(at: Scene, since: float) -> dict[str, int]:
    """How often EC2 was asked for what since then."""
    return dict(Counter(call["action"] for call in calls(at.direct, since)))


def _until(done: Any) -> None:
    limit = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > limit:
            raise NotDone(f"A swap took more than {PATIENCE:.0f} s.")
        time.sleep(0.005)
