# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's cost. It is the daemon as it is installed, a process with its configuration file.

EC2 is the lab's endpoint without kernel and hosts, which the monitor reads each 5 s as always. The agents are one
process that answers for all gateways with authenticated heartbeats, each with a report on two tunnels and all other
gateways; pings are answered by the kernel. The monitor and EC2 are in one network namespace, the gateways in another,
with a cable between them: what passes the cable are the monitor's heartbeats and pings, and what passes its loopback
are its calls of EC2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.vpnha.aws.plugins.module_utils.description import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment
from benchmarks.gateway import CABLE, NotUp, cable
from lab import setns
from lab.net import netns
from tests.unit.endpoint_process import endpoint

from .others import others
from .plan import KEY, TABLES_EACH, build, plan_of
from .watch import Watch

HERE, GATEWAYS = "monitor", "gateways"
WEB = 9784
SETTLE_SECONDS = 10.0  # after the start, before anything is measured
_PATIENCE = 180.0


def measure(gateways: int, more: Callable[[], bool], seconds: float, directory: Path) -> Iterator[dict[str, Any]]:
    """Start all of it, and watch the monitor while ``more`` asks for windows. Raises NotUp, also in the end."""
    plan, tables = plan_of(gateways), TABLES_EACH * gateways
    _networks(plan)
    setns.enter(HERE)
    with endpoint(directory) as url, others(gateways, GATEWAYS) as counts:
        build(plan, tables, url)
        with _daemon(plan, url, directory) as process:
            _wait_until_all_is_well(gateways, tables * len(plan.sites), process)
            time.sleep(SETTLE_SECONDS)
            while more():
                wall, (answered, _answers), watch = time.time(), counts(), Watch(process.pid, (CABLE, "lo"))
                time.sleep(seconds)
                cost, packets, lasted = watch.end()
                answered = counts()[0] - answered
                calls = len(_ask(f"{url}/_lab/calls?since={wall!r}"))
                said = _status()
                yield {
                    "daemon": "monitor", "gateways": gateways, "route_tables": tables, **cost,
                    "sent_per_second": round(packets[CABLE].sent / lasted, 1),
                    "received_per_second": round(packets[CABLE].received / lasted, 1),
                    "ec2_calls_per_second": round(calls / lasted, 2),
                    "ec2_packets_per_second": round(packets["lo"].sent / lasted, 1),
                    "heartbeats_per_second": round(answered / lasted, 1),
                    "heartbeats_per_second_due": round(gateways / plan.timing.heartbeat_interval),
                    "loop_lag_s": said["loop_lag"],
                }  # fmt: skip
            _wait_until_all_is_well(gateways, tables * len(plan.sites), process)


def _networks(plan: Deployment) -> None:
    for name in (HERE, GATEWAYS):
        netns.add(name, router=True)
    cable(HERE, GATEWAYS)
    monitor = plan.monitors[0].address
    # packets as a wire has them, not of 64 kB as loopback would pass; and one neighbour, so that ARP counts little
    netns.ip(
        HERE, "link set lo mtu 1500 gso_max_segs 1", f"address add {monitor}/32 dev {CABLE}", f"link set {CABLE} up"
    )
    netns.ip(GATEWAYS, f"link set {CABLE} up", f"route add {monitor}/32 dev {CABLE}")
    netns.ip(GATEWAYS, *(f"address add {gateway.address}/32 dev lo" for gateway in plan.gateways))
    netns.ip(
        HERE, f"route add {plan.gateways[0].address}/32 dev {CABLE} src {monitor}",
        f"route add {plan.vpc_cidrs[0]} via {plan.gateways[0].address} dev {CABLE} src {monitor} onlink",
    )  # fmt: skip


@contextmanager
def _daemon(plan: Deployment, url: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    config = {
        "monitor": plan.monitors[0].name, "deployment": to_dict(plan), "keys": [KEY], "endpoint_url": url,
        "journal": str(directory / "journal.sqlite"), "listen": f"127.0.0.1:{WEB}",
    }  # fmt: skip
    (directory / "monitor.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    credentials = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vpnha_monitor", "--config", str(directory / "monitor.yml")],
            env={**os.environ, **credentials}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _status() -> dict[str, Any]:
    """What the monitor says of itself."""
    return dict(_ask(f"http://127.0.0.1:{WEB}/status"))


def _ask(url: str) -> Any:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        return json.load(answer)


def _wait_until_all_is_well(gateways: int, routes: int, process: subprocess.Popen[bytes]) -> None:
    """Until the monitor hears every gateway and knows every route."""
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        try:
            now = _status()
        except OSError:
            now = {}
        up = [one for one in now.get("gateways", ()) if one["verdict"] == "up"]
        if len(up) == gateways and len(now.get("routes", ())) == routes:
            return
        time.sleep(0.5)
    raise NotUp("The monitor did not come to hear every gateway and to know every route.")
