# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's cost. It is the daemon as it is installed, on a gateway's Python, with a gateway's programs.

charon is real, with two tunnels to another one, through which the agent probes; so are bgpd and nftables' counters,
both of which it asks. bgpd's neighbours are as many as a gateway has, but nobody is there: what their sessions cost is
no matter of the agent's. One process is everybody else: it answers for the other gateways, and asks as they and two
monitors do.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.description import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import PORT, HeartbeatAsker, KeyRing
from ansible_collections.vpnha.aws.plugins.module_utils.losses import LossWindow
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport, Deployment
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_config import LIBIPSEC_DEVICE
from benchmarks import gateway
from benchmarks.gateway import ADDRESSES, CABLE, GATEWAY, SITE, Ends, NotUp, Wire
from lab import setns
from lab.net import netns
from vpnha_agent.agent import ASK_SECONDS

from .others import MONITORS, others, socket_of
from .plan import KEY, plan_of
from .watch import Watch

SETTLE_SECONDS = 5.0
_PATIENCE = 60.0
_CONFIG, _LOG, _BGPD = "etc/vpnha-agent.json", "run/agent.log", "etc/frr/benchmark.conf"


def measure(gateways: int, more: Callable[[], bool], seconds: float, root: Path) -> Iterator[dict[str, Any]]:
    """Start all of it, and watch the agent while ``more`` asks for windows. Raises NotUp, also in the end."""
    plan = plan_of(gateways)
    gateway.networks()
    _addresses(plan)
    with (
        gateway.charons(root, _wires(plan)) as ends,
        _bgpd(plan, ends),
        _agent(plan, ends) as process,
        others(gateways, SITE, ask=True) as counts,
    ):
        _wait_until_all_is_well(plan, root, process)
        time.sleep(SETTLE_SECONDS)
        while more():
            (answered, answers), watch = counts(), Watch(process.pid, (CABLE, LIBIPSEC_DEVICE))
            time.sleep(seconds)
            cost, packets, lasted = watch.end()
            now = counts()
            # what passes a tunnel passes the cable as well, as ESP; the few of IKE are no matter
            probes, cable = packets[LIBIPSEC_DEVICE], packets[CABLE]
            asked = len(MONITORS) / plan.timing.heartbeat_interval + (gateways - 1) / ASK_SECONDS
            yield {
                "daemon": "agent", "gateways": gateways, "monitors": len(MONITORS), **cost,
                "sent_per_second": round(cable.sent / lasted, 1),
                "received_per_second": round(cable.received / lasted, 1),
                "probes_per_second": round((probes.sent + probes.received) / lasted, 1),
                "heartbeats_per_second": round((now[0] - answered + now[1] - answers) / lasted, 1),
                "heartbeats_per_second_due": round(asked + (gateways - 1) / ASK_SECONDS),
            }  # fmt: skip
        _wait_until_all_is_well(plan, root, process)


def _wires(plan: Deployment) -> list[Wire]:
    name = plan.gateways[0].name
    return [
        Wire(each.name, each.inside_address, each.peer_inside_address, plan.site(each.site).prefixes, plan.vpc_cidrs)
        for each in plan.tunnels
        if each.gateway == name
    ]


def _addresses(plan: Deployment) -> None:
    """The gateway's own; everybody else's are at the other end of the cable."""
    own, vpc = plan.gateways[0].address, plan.vpc_cidrs[0]
    netns.ip(GATEWAY, f"address add {own}/32 dev lo", f"route add {vpc} via {ADDRESSES[SITE]} dev {CABLE} src {own}")
    others = [each.address for each in plan.gateways[1:]] + list(MONITORS)
    targets = [target for site in plan.sites for target in site.probe_targets]
    netns.ip(SITE, *(f"address add {address}/32 dev lo" for address in (*others, *targets)))
    netns.ip(SITE, f"route add {own}/32 via {ADDRESSES[GATEWAY]} dev {CABLE}")
    counters = "\n".join(f"add counter inet vpnha zone-{zone.name}" for zone in plan.zones)
    netns.nft(GATEWAY, f"add table inet vpnha\n{counters}\n")


@contextmanager
def _bgpd(plan: Deployment, ends: Ends) -> Iterator[None]:
    neighbours = [
        f" neighbor {each.peer_inside_address} remote-as {each.peer_asn}"
        for each in plan.tunnels
        if each.gateway == plan.gateways[0].name
    ]
    neighbours += [f" neighbor 169.254.254.{n + 2} remote-as {plan.asn}" for n in range(len(plan.gateways) - 1)]
    shut = [f"{line.rpartition(' remote-as')[0]} shutdown" for line in neighbours]
    text = "\n".join([f"router bgp {plan.asn}", " no bgp ebgp-requires-policy", *neighbours, *shut, "exit", ""])
    (ends.root / _BGPD).write_text(text, encoding="ascii")
    place = ends.root / "run" / "frr"
    place.mkdir(exist_ok=True)
    place.chmod(0o777)
    command = ("/usr/lib/frr/bgpd", "--no_zebra", "--config_file", f"/{_BGPD}", "--vty_addr", "127.0.0.1")
    with (ends.root / "run" / "bgpd.log").open("wb") as log:
        process = subprocess.Popen(ends.within(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _agent(plan: Deployment, ends: Ends) -> Iterator[subprocess.Popen[bytes]]:
    config = {
        "gateway": plan.gateways[0].name, "deployment": to_dict(plan), "keys": [KEY], "data_plane": "libipsec",
        "vici_socket": ends.vici_inside(),
    }  # fmt: skip
    (ends.root / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
    environment = {
        **gateway.environment(), "PYTHONPATH": "/repository/.build/collections:/repository/roles/gateway/files",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    with (ends.root / _LOG).open("wb") as log:
        process = subprocess.Popen(
            ends.within(gateway.PYTHON, "-m", "vpnha_agent", "--config", f"/{_CONFIG}"), env=environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_until_all_is_well(plan: Deployment, root: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the agent says that both tunnels carry packets, and hears all others, and knows of BGP and the counters."""
    report: AgentReport | None = None
    asker = HeartbeatAsker(KeyRing([KEY]), "benchmark", plan.gateways[0].name, lambda: LossWindow(0.5, 10.0))
    sock = setns.inside(f"/proc/{process.pid}/ns/net", lambda: socket_of("127.0.0.1"))
    sock.settimeout(0.2)
    address = (plan.gateways[0].address, PORT)
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        try:
            sock.sendto(asker.next_request(time.monotonic()), address)
            report = asker.on_packet(sock.recv(65535), time.monotonic()) or report
        except OSError:
            pass
        if report is not None and _well(report, plan):
            sock.close()
            return
        time.sleep(0.1)
    last = "\n".join((root / _LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
    raise NotUp(f"The agent did not come to see all that is there; its last report: {report}; it logged last:\n{last}")


def _well(report: AgentReport, plan: Deployment) -> bool:
    tunnels = report.tunnels.values()
    return (
        report.charon == "alive"
        and all(each.child == "installed" and each.bgp == "down" for each in tunnels)
        and all(seen.window_full and not seen.lost for each in tunnels for seen in (each.probe, each.target))
        and len(report.peers) == len(plan.gateways) - 1
        and all(age is not None for age in report.peers.values())
        and len(report.counters) == len(plan.zones)
    )
