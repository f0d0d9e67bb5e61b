# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m benchmarks.decision``: the CPU time that the monitor's engine takes, by the number of gateways.

Measured is the monitor's own work in process: heartbeats (requests, answers with their reports, loss figures) and the
steps of the decision. Agents, sockets and EC2 are not in it.
"""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.vpnha.aws.plugins.module_utils import decision
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import HeartbeatAnswerer, HeartbeatAsker, KeyRing
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    AgentReport,
    Deployment,
    Ec2View,
    Evidence,
    GatewayEvidence,
    Instance,
    LossStats,
    Note,
    Route,
    RouteKey,
    TunnelReport,
)
from lab import reports
from lab.steps import commit
from tests.unit.plugins.module_utils.scenario import WALL, deployment

REPORT = Path("artifacts/bench/decision.json")
SIZES = (2, 20, 100)
TABLES_EACH = 10  # route tables per gateway, each with one route per site
WARM = 40  # steps before anything is measured
STEPS = 200
STEPS_PER_SECOND = 40  # the daemon's tick
HEARTBEATS_PER_SECOND = 20


@dataclass
class Stopwatch:
    """CPU time, summed up."""

    seconds: float = 0.0
    times: int = 0
    _began: float = field(default=0.0, repr=False)

    def __enter__(self) -> None:
        self._began = time.process_time()

    def __exit__(self, *_exception: object) -> None:
        self.seconds += time.process_time() - self._began
        self.times += 1

    @property
    def each(self) -> float:
        """Seconds each time."""
        return self.seconds / self.times


def view_of(plan: Deployment, tables: int) -> Ec2View:
    """EC2 with so many tables, the zones' in turn, and all routes at home."""
    routes = {}
    for number in range(tables):
        gateway = plan.gateways[number % len(plan.gateways)]
        for site in plan.sites:
            key = RouteKey(f"rtb-{gateway.name}-{number}", site.prefixes[0])
            eni = f"eni-{gateway.name}"
            routes[key] = Route(key, gateway.zone, eni, gateway.name, eni)
    instances = {g.name: Instance(g.name, f"i-{g.name}", f"eni-{g.name}", "running") for g in plan.gateways}
    return Ec2View(routes, instances)


def report_of(plan: Deployment, gateway: str, at: float) -> AgentReport:
    """What the agent of a gateway says on a good day."""
    stats = LossStats(10, 0, True, 0.012 + at % 0.03, 0.0, True)
    tunnels = {
        tunnel.name: TunnelReport(tunnel.name, "established", "installed", stats, stats, 0.0, "established", 1.2)
        for tunnel in plan.tunnels
        if tunnel.gateway == gateway
    }
    peers = {
        other.name: 0.01 + (at * (number + 1)) % 0.05
        for number, other in enumerate(plan.gateways)
        if other.name != gateway
    }
    paths = {site.name: "tunnel" for site in plan.sites}
    return AgentReport("boot-1", "agent-1", "alive", tunnels, paths, peers, counters={"zone": int(at * 1000)})


def measure(plan: Deployment, tables: int, silent: bool) -> tuple[float, float]:
    """CPU seconds of one step, and of one round of heartbeats; ``silent``: one gateway does not answer."""
    keys = KeyRing(["a key for this benchmark only, 40 characters"])
    ends = {}
    for gateway in plan.gateways:
        asker = HeartbeatAsker(keys, "mon-a", gateway.name, lambda: LossWindow(0.5, 10.0))
        ends[gateway.name] = asker, HeartbeatAnswerer(keys, gateway.name)
    dead = plan.gateways[0].name if silent else ""
    pings = LossStats(10, 0, True, 0.02, 0.0, True)
    view, now = view_of(plan, tables), 1000.0
    state = decision.start(plan, now)
    steps, beats = Stopwatch(), Stopwatch()
    for number in range(WARM + STEPS):
        if number == WARM:
            steps, beats = Stopwatch(), Stopwatch()
        now += 1 / STEPS_PER_SECOND
        if number % (STEPS_PER_SECOND // HEARTBEATS_PER_SECOND) == 0:
            for name, (asker, answerer) in ends.items():
                with beats:
                    request = asker.next_request(now)
                if name == dead and number >= WARM:
                    continue
                answerer.publish(report_of(plan, name, now), now)
                answer = answerer.on_packet(request, now)
                assert answer is not None
                with beats:
                    asker.on_packet(answer, now)
        seen = {}
        for name, (asker, _answerer) in ends.items():
            with beats:
                heartbeat = asker.stats(now)
            icmp = pings if name != dead or number < WARM else LossStats(10, 10, True, heartbeat.last_answer_age)
            seen[name] = GatewayEvidence(heartbeat, icmp, asker.report, asker.report_age(now), True)
        # a swap's result never comes: the silent gateway's routes stay the matter that they are
        evidence = Evidence(seen, view, now % 5.0, int(now / 5.0), 0.0, WALL + now)
        with steps:
            state, actions = decision.step(state, evidence, now)
        assert not any(isinstance(action, Note) and action.code == "invariant-violated" for action in actions)
    return steps.each, beats.seconds / (STEPS * HEARTBEATS_PER_SECOND / STEPS_PER_SECOND)


def main() -> int:
    """Print the table and write it as JSON."""
    rows = []
    print("gateways  route tables  ms per step  one gateway silent  ms per round of heartbeats  share of a core")
    for size in SIZES:
        plan = deployment([f"{number:03d}" for number in range(size)])
        step, beat = measure(plan, size * TABLES_EACH, silent=False)
        trouble, _beat = measure(plan, size * TABLES_EACH, silent=True)
        share = step * STEPS_PER_SECOND + beat * HEARTBEATS_PER_SECOND
        rows.append(
            {
                "gateways": size,
                "route_tables": size * TABLES_EACH,
                "step_ms": round(1000 * step, 3),
                "step_ms_one_gateway_silent": round(1000 * trouble, 3),
                "heartbeat_round_ms": round(1000 * beat, 3),
                "share_of_a_core": round(share, 3),
            }
        )
        print(
            f"{size:8}  {size * TABLES_EACH:12}  {1000 * step:11.3f}  {1000 * trouble:18.3f}  "
            f"{1000 * beat:26.3f}  {share:15.3f}"
        )
    document = {
        "steps_per_second": STEPS_PER_SECOND,
        "heartbeats_per_second": HEARTBEATS_PER_SECOND,
        "python": platform.python_version(),
        "commit": commit(),
        "rows": rows,
    }
    reports.write(REPORT, document)
    print(f"report: {REPORT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
