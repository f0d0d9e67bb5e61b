# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first look at the data plane of production: one tunnel through the kernel's own ESP, set up by the real role."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from lab.names import Names
from lab.vm import checks, image
from lab.vm.checks import WAIT
from lab.vm.machines import PAIR, Machines
from lab.vm.peer import BLOB_BYTES
from lab.vm.report import Report
from lab.vm.traffic import Echoes, fetch, until

Progress = Callable[[str], None]


class Smoke:
    """The machines, and what is looked at, step by step."""

    def __init__(self, machines: Machines, report: Report) -> None:
        self.machines, self.report = machines, report
        self.network = machines.network
        (self.gateway,) = machines.gateways
        (self.tunnel,) = self.gateway.tunnels

    def echoes(self) -> Echoes:
        """From the application host to the site."""
        return Echoes(self.network.netns(self.network.apps[0]), self.network.targets)

    def routing(self) -> None:
        """BGP and BFD over the tunnel, and the site's route through it."""
        gateway, report = self.gateway, self.report
        up = {self.tunnel.name: "Established"}, {self.tunnel.name: "up"}
        took = until(lambda: (gateway.bgp(), gateway.bfd()) == up, WAIT)
        report.check("BGP and BFD are up over the tunnel", took is not None, [gateway.bgp(), gateway.bfd()])
        took = until(lambda: gateway.way() == self.tunnel.interface, WAIT)
        report.check("the site's route leads into the tunnel", took is not None, gateway.way())

    def carries(self) -> None:
        """Packets of the application host go to the site and are answered, TCP too, and none of it is in clear."""
        network, report = self.network, self.report
        before = self.gateway.packets()
        with network.captured() as captures, self.echoes() as echoes:
            got = fetch(network.netns(network.apps[0]), network.site_address, "/blob")
            until(lambda: echoes.sent >= 100, WAIT)
        report.check("echo requests to the site are answered", echoes.lost == 0, str(echoes))
        report.check("TCP carries a mebibyte", got == BLOB_BYTES, got)
        now = self.gateway.packets()
        report.check(
            "the kernel's ESP has counted them",
            min(now[0] - before[0], now[1] - before[1]) >= echoes.sent,
            {"before": before, "after": now},
        )
        seen = network.count(captures)
        encrypted = checks.in_clear(seen) == 0 and seen["ESP in UDP"] >= 2 * echoes.sent
        report.check("on the wire it is encrypted", encrypted, seen)
        came = seen["in clear into a gateway"]
        report.check("the looking finds what is in clear", came >= echoes.sent, came)
        health = self.machines.health(self.gateway)
        one = health["tunnels"][0]
        report.check(
            "vpn_health_info says up",
            health["healthy"] and one["verdict"] == "up" and one["reasons"] == ["tunnel-up"],
            {key: one[key] for key in ("verdict", "reasons", "ike", "child")} | {"rtt_ms": one["probe"]["rtt_ms"]},
        )
        wanted = {"charon": "alive", "ike": "established", "child": "installed", "hq": "tunnel"}
        heard: dict[str, str] = {}

        def said() -> bool:
            agent = self.gateway.agent()
            tunnel = agent.tunnels[self.tunnel.name]
            heard.update(charon=agent.charon, ike=tunnel.ike, child=tunnel.child, **agent.paths)
            return heard == wanted

        until(said, WAIT)  # an agent that is held up begins to observe afresh
        report.check("the agent reports it to a monitor", heard == wanted, heard)

    def charon_killed(self) -> None:
        """Behind an Elastic IP the tunnel stops with charon, whose socket unpacks ESP from UDP, and comes back."""
        report = self.report
        echoes, said, agent = self._without_charon("behind NAT")
        wanted = {"charon": "dead", "verdict": "down", "reasons": ["charon-dead"]}
        report.check("behind NAT, vpn_health_info says that it is down, and why", said == wanted, said)
        report.check("behind NAT, the agent says so", agent.charon == "dead", {"charon": agent.charon, **agent.paths})
        report.check("behind NAT, nothing comes back without charon", echoes.lost == echoes.sent > 0, str(echoes))

    def charon_killed_without_nat(self) -> None:
        """Where nobody translates addresses the kernel's ESP needs no charon, and goes on."""
        report = self.report
        checks.nat_off(self.machines, self.gateway, report)
        echoes, said, agent = self._without_charon("without NAT")
        wanted = {"charon": "dead", "verdict": "up", "reasons": ["charon-silent-esp-passes"]}
        report.check("without NAT, vpn_health_info says what it is", said == wanted, said)
        heard = {"charon": agent.charon, **agent.paths}
        report.check("without NAT, the agent says so", heard == {"charon": "dead", "hq": "tunnel"}, heard)
        report.check("without NAT, the kernel carries without charon", echoes.lost == 0 < echoes.sent, str(echoes))

    def blocked(self) -> None:
        """Nothing leaves in clear while the tunnel is blocked, and all is well again by itself afterwards."""
        network, gateway, report, device = self.network, self.gateway, self.report, self.tunnel.interface
        with network.captured() as captures, self.echoes() as echoes:
            with network.blocked([self.tunnel]):
                left = until(lambda: gateway.way() != device, WAIT)
                way = gateway.way()
                health = self.machines.health(gateway)
                ping = ("ping", "-n", "-c", "5", "-W", "1", network.site_address)
                itself = gateway.machine.run(*ping, check=False).returncode
                stopped = checks.stopped_by_filter(self.machines, gateway, echoes)
            healed = until(gateway.well, WAIT)
        one = health["tunnels"][0]
        report.check("the route leaves the dead tunnel", left is not None and way != device,
                     {"way": way, "seconds until seen": left and round(left, 1)})  # fmt: skip
        said = {key: one[key] for key in ("verdict", "reasons")}
        report.check("vpn_health_info says down", one["verdict"] == "down", said)
        seen = network.count(captures)
        report.check("nothing passes", echoes.lost > 0 and itself != 0, str(echoes))
        report.check(
            "nothing leaves in clear, though it comes",
            checks.in_clear(seen) == 0 and seen["in clear into a gateway"] >= echoes.lost,
            seen,
        )
        report.check("the filter stops what a wrong route would let out", stopped > 0, f"{stopped} packets")
        report.check("the tunnel heals by itself", healed is not None, {"seconds": healed and round(healed, 1)})
        health = self.machines.health(gateway)
        report.check("vpn_health_info says up again", health["healthy"], health["summary"])

    def _without_charon(self, where: str) -> tuple[Echoes, dict[str, Any], AgentReport]:
        """Packets, the module's and the agent's word of them while charon is dead."""
        with checks.without_charon(self.gateway, self.report, where), self.echoes() as echoes:
            heard = checks.agent_without_charon(self.gateway, echoes)
            health = self.machines.health(self.gateway)
            until(lambda: echoes.sent >= 100, WAIT)
        one = health["tunnels"][0]
        said = {"charon": health["charon"]["state"], "verdict": one["verdict"], "reasons": one["reasons"]}
        return echoes, said, heard


def run(names: Names, progress: Progress, report: Report, output: Path, *, stay: bool = False) -> None:
    """All steps, into ``report``. LabError when a step cannot go on."""
    with report.timed("image"):
        image.build(names, progress)
    machines = Machines(names, PAIR)
    smoke = Smoke(machines, report)
    progress("booting a gateway and a customer gateway")
    with report.timed("boot"):
        machines.boot(stay=stay)
    progress("the role on the gateway")
    with report.timed("role"):
        played = machines.configure(output / "role.log")[smoke.gateway.name]
    report.check("the role configures the gateway", played.failed == 0 and played.changed > 0, vars(played))
    progress("what runs now")
    checks.about(smoke.gateway, report)
    checks.data_plane(smoke.gateway, report)
    smoke.routing()
    checks.networkd(smoke.gateway, report)
    progress("packets between an application host and the site")
    smoke.carries()
    progress("the role a second time")
    with report.timed("role again"):
        played = machines.configure(output / "role-again.log")[smoke.gateway.name]
    report.check("a second run changes nothing", (played.failed, played.changed) == (0, 0), vars(played))
    progress("charon killed")
    smoke.charon_killed()
    progress("the tunnel blocked on its way")
    smoke.blocked()
    progress("charon killed where nobody translates addresses")
    smoke.charon_killed_without_nat()
    processor(machines, report)


def processor(machines: Machines, report: Report) -> None:
    """Note how much processor this process and the machines have used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report.about["seconds of processor"] = {"this": round(usage.ru_utime + usage.ru_stime, 1), **machines.processor()}
