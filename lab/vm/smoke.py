# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first look at the data plane of production: one tunnel through the kernel's own ESP, configured by the real role.

Each step looks at something, and notes what it saw; a step that finds something else than wanted does not keep the next
ones from looking. Only what they all need (machines that boot, a playbook that runs) ends the run.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from lab.errors import LabError
from lab.names import Names
from lab.vm import image, network
from lab.vm.image import architecture
from lab.vm.pair import Pair
from lab.vm.report import Report
from lab.vm.traffic import INTERVAL, Echoes, fetch, until

Progress = Callable[[str], None]

_WAIT = 300.0  # for what comes by itself: an emulated machine on a busy one is slow
_HOLD = 900  # seconds that systemd is told to wait before it starts a charon that was killed
_BLOB_BYTES = 1 << 20
_HOLD_FILE = PurePosixPath("/run/systemd/system/strongswan.service.d/zz-smoke.conf")


def run(names: Names, progress: Progress, report: Report, output: Path, *, stay: bool = False) -> None:
    """All steps, into ``report``. LabError when a step cannot go on."""
    with report.timed("image"):
        image.build(names, progress)
    pair = Pair(names)
    progress("booting a gateway and a customer gateway")
    with report.timed("boot"):
        pair.boot(stay=stay)
    progress("the role on the gateway")
    with report.timed("role"):
        played = pair.configure(output / "role.log")
    report.check("the role configures the gateway", played.failed == 0 and played.changed > 0, vars(played))
    progress("what runs now")
    about(pair, report)
    data_plane(pair, report)
    routing(pair, report)
    networkd(pair, report)
    progress("packets between an application host and the site")
    carries(pair, report)
    progress("the role a second time")
    with report.timed("role again"):
        played = pair.configure(output / "role-again.log")
    report.check("a second run changes nothing", (played.failed, played.changed) == (0, 0), vars(played))
    progress("charon killed")
    charon_killed(pair, report)
    progress("the tunnel blocked on its way")
    blocked(pair, report)
    progress("charon killed where nobody translates addresses")
    charon_killed_without_nat(pair, report)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report.about["seconds of processor"] = {"smoke": round(usage.ru_utime + usage.ru_stime, 1), **pair.processor()}


def about(pair: Pair, report: Report) -> None:
    """What the figures were measured on."""
    gateway = pair.gateway
    report.about.update(
        {
            "accelerator": "tcg",
            "architecture": architecture().debian,
            "kernel": gateway.say("uname", "-r").strip(),
            "kernel_package": gateway.say("sh", "-c", "dpkg-query -S /boot/vmlinuz-$(uname -r)").split(":")[0],
            "debian": gateway.say("cat", "/etc/debian_version").strip(),
            "strongswan": _version(gateway.say("swanctl", "--version")),
            "frr": _version(gateway.say("vtysh", "-c", "show version")),
        }
    )


def data_plane(pair: Pair, report: Report) -> None:
    """The kernel's ESP and an XFRM interface of the tunnel's, and nothing of libipsec's."""
    gateway, tunnel = pair.gateway, pair.tunnel
    told = gateway.say("sh", "-c", 'grep -o \'"data_plane": "[a-z]*"\' /etc/vpnha/agent.json').split('"')[3]
    report.about["data_plane"] = told
    report.check("the role has chosen the kernel's data plane", told == "xfrm", told)
    link = gateway.run("ip", "-d", "link", "show", tunnel.interface, check=False).stdout
    wanted = f"xfrm if_id {tunnel.if_id:#x}"
    report.check("the tunnel has an XFRM interface", wanted in link, wanted if wanted in link else link)
    plugins = gateway.say("swanctl", "--stats")
    loaded = [name for name in ("kernel-libipsec", "kernel-netlink") if name in plugins]
    report.check("charon uses the kernel", loaded == ["kernel-netlink"], loaded)
    states, policies = pair.esp()
    report.check("kernel has ESP states and policies with the if_id", states == 2 and policies >= 3, [states, policies])
    encapsulated = "espinudp" in gateway.say("ip", "xfrm", "state")
    report.check("ESP goes in UDP, as behind an Elastic IP", encapsulated, encapsulated)
    failed = gateway.say("systemctl", "--failed", "--no-legend", "--plain").split("\n")[0]
    report.check("no unit of the gateway has failed", not failed, failed)


def routing(pair: Pair, report: Report) -> None:
    """BGP and BFD over the tunnel, and the site's route through it."""
    took = until(lambda: pair.bgp() == "Established" and pair.bfd() == "up", _WAIT)
    report.check("BGP and BFD are up over the tunnel", took is not None, [pair.bgp(), pair.bfd()])
    device = pair.tunnel.interface
    took = until(lambda: pair.way() == device, _WAIT)
    report.check("the site's route leads into the tunnel", took is not None, pair.way())


def networkd(pair: Pair, report: Report) -> None:
    """systemd-networkd, which has the uplink, leaves the role's rules, routes and addresses alone at its start."""
    last_resort = "route show table all type blackhole metric 4278198272"
    commands = ("rule show", last_resort, f"address show dev {pair.tunnel.interface}")

    def state() -> str:
        return "\n".join(pair.gateway.say("ip", "-4", *command.split()) for command in commands)

    before = state()
    pair.gateway.run("systemctl", "restart", "systemd-networkd.service")
    online = "/usr/lib/systemd/systemd-networkd-wait-online"
    pair.gateway.run(online, f"--interface={network.GATEWAY_IFNAME}", f"--timeout={_WAIT:.0f}")
    after = state()
    report.check("systemd-networkd takes nothing away", after == before, "the same" if after == before else after)
    report.check("the route is still in the tunnel", pair.way() == pair.tunnel.interface, pair.way())


def carries(pair: Pair, report: Report) -> None:
    """Packets of the application host go to the site and are answered, TCP too, and none of it is in clear."""
    names = pair.names
    before = _packets(pair)
    with network.captured(names) as captures, Echoes(network.app(names), network.SITE_ADDRESS) as echoes:
        got = fetch(network.app(names), network.SITE_ADDRESS, "/blob")
        until(lambda: echoes.sent >= 100, _WAIT)
    report.check("echo requests to the site are answered", echoes.lost == 0, _lost(echoes))
    report.check("TCP carries a mebibyte", got == _BLOB_BYTES, got)
    now = _packets(pair)
    report.check(
        "the kernel's ESP has counted them",
        min(now[0] - before[0], now[1] - before[1]) >= echoes.sent,
        {"before": before, "after": now},
    )
    seen = captures.count()
    report.check("on the wire it is encrypted", _in_clear(seen) == 0 and seen["ESP in UDP"] >= 2 * echoes.sent, seen)
    report.check(
        "the looking finds what is in clear",
        seen["in clear into the gateway"] >= echoes.sent,
        seen["in clear into the gateway"],
    )
    health = pair.health()
    one = health["tunnels"][0]
    report.check(
        "vpn_health_info says up",
        health["healthy"] and one["verdict"] == "up" and one["reasons"] == ["tunnel-up"],
        {key: one[key] for key in ("verdict", "reasons", "ike", "child")} | {"rtt_ms": one["probe"]["rtt_ms"]},
    )
    wanted = {"charon": "alive", "ike": "established", "child": "installed", "hq": "tunnel"}
    heard: dict[str, str] = {}

    def said() -> bool:
        agent = pair.agent()
        tunnel = agent.tunnels[pair.tunnel.name]
        heard.update(charon=agent.charon, ike=tunnel.ike, child=tunnel.child, **agent.paths)
        return heard == wanted

    until(said, _WAIT)  # an agent that is held up begins to observe afresh
    report.check("the agent reports it to a monitor", heard == wanted, heard)


def charon_killed(pair: Pair, report: Report) -> None:
    """Behind an Elastic IP the tunnel stops with charon, whose socket unpacks ESP from UDP, and comes back with it."""
    echoes, health, agent = _without_charon(pair, report, "behind NAT")
    one = health["tunnels"][0]
    said = {"charon": health["charon"]["state"], "verdict": one["verdict"], "reasons": one["reasons"]}
    report.check(
        "behind NAT, vpn_health_info says that it is down, and why",
        said == {"charon": "dead", "verdict": "down", "reasons": ["charon-dead"]},
        said,
    )
    report.check("behind NAT, the agent says so", agent.charon == "dead", {"charon": agent.charon, **agent.paths})
    report.check("behind NAT, nothing comes back without charon", echoes.lost == echoes.sent > 0, _lost(echoes))


def charon_killed_without_nat(pair: Pair, report: Report) -> None:
    """Where nobody translates addresses the kernel's ESP needs no charon, and goes on."""
    pair.let_peer_reach_gateway()
    network.switch_nat_off(pair.names)
    pair.gateway.run("swanctl", "--terminate", "--ike", pair.tunnel.name, "--force", "--timeout", "5", check=False)
    # charon's word: the states of one that was killed stay in the kernel until they expire
    plain = until(lambda: _well(pair) and "TUNNEL-in-UDP" not in pair.gateway.say("swanctl", "--list-sas"), _WAIT)
    report.check("without NAT, ESP goes without UDP", plain is not None, pair.bgp())
    echoes, health, agent = _without_charon(pair, report, "without NAT")
    one = health["tunnels"][0]
    said = {"charon": health["charon"]["state"], "verdict": one["verdict"], "reasons": one["reasons"]}
    report.check(
        "without NAT, vpn_health_info says what it is",
        said == {"charon": "dead", "verdict": "up", "reasons": ["charon-silent-esp-passes"]},
        said,
    )
    heard = {"charon": agent.charon, **agent.paths}
    report.check("without NAT, the agent says so", heard == {"charon": "dead", "hq": "tunnel"}, heard)
    report.check("without NAT, the kernel carries without charon", echoes.lost == 0 < echoes.sent, _lost(echoes))


def _without_charon(pair: Pair, report: Report, where: str) -> tuple[Echoes, dict[str, Any], AgentReport]:
    """Kill charon, ask for packets, health and the agent's word without it, start it, wait until all is well again.

    systemd, which would start it after a second, is told to wait.
    """
    gateway, old = pair.gateway, pair.charon()
    hold = f"mkdir -p {_HOLD_FILE.parent} && cat > {_HOLD_FILE} && systemctl daemon-reload"
    gateway.run("sh", "-c", hold, stdin=f"[Service]\nRestartSec={_HOLD}\n")
    gateway.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "strongswan.service")
    dead = until(lambda: pair.charon() == "", _WAIT)
    before = pair.unpacking()
    with Echoes(network.app(pair.names), network.SITE_ADDRESS) as echoes:
        heard = pair.agent()
        while heard.charon == "alive" and echoes.sent < _WAIT / INTERVAL:  # it looks each 100 ms
            heard = pair.agent()
        health = pair.health()
        until(lambda: echoes.sent >= 100, _WAIT)
        still, now = pair.charon() == "", pair.unpacking()
    report.check(f"{where}, charon is dead", dead is not None and still, pair.charon() or "no process")
    # why: its states are in the kernel all the same; in UDP, what comes in finds no socket
    grown = {key: now[key] - before[key] for key in now}
    report.about[f"{where}, without charon"] = {"ESP states": pair.esp()[0], **grown}
    gateway.run("sh", "-c", f"rm {_HOLD_FILE} && systemctl daemon-reload && systemctl start strongswan.service")
    back = until(lambda: _well(pair), _WAIT)
    came = back is not None and pair.charon() not in ("", old)
    report.check(f"{where}, the tunnel comes back with charon", came, {"bgp": pair.bgp(), "way": pair.way()})
    return echoes, health, heard


def blocked(pair: Pair, report: Report) -> None:
    """Nothing leaves in clear while the tunnel is blocked, and all is well again by itself afterwards."""
    names, device = pair.names, pair.tunnel.interface
    with network.captured(names) as captures, Echoes(network.app(names), network.SITE_ADDRESS) as echoes:
        with network.blocked(names):
            left = until(lambda: pair.way() != device, _WAIT)
            way = pair.way()
            health = pair.health()
            itself = pair.gateway.run("ping", "-n", "-c", "5", "-W", "1", network.SITE_ADDRESS, check=False).returncode
            stopped = _filtered(pair, echoes)
        healed = until(lambda: _well(pair), _WAIT)
    one = health["tunnels"][0]
    report.check("the route leaves the dead tunnel", left is not None and way != device,
                 {"way": way, "seconds until seen": left and round(left, 1)})  # fmt: skip
    said = {key: one[key] for key in ("verdict", "reasons")}
    report.check("vpn_health_info says down", one["verdict"] == "down", said)
    seen = captures.count()
    report.check("nothing passes", echoes.lost > 0 and itself != 0, _lost(echoes))
    report.check(
        "nothing leaves in clear, though it comes",
        _in_clear(seen) == 0 and seen["in clear into the gateway"] >= echoes.lost,
        seen,
    )
    report.check("the filter stops what a wrong route would let out", stopped > 0, f"{stopped} packets")
    report.check("the tunnel heals by itself", healed is not None, {"seconds": healed and round(healed, 1)})
    health = pair.health()
    report.check("vpn_health_info says up again", health["healthy"], health["summary"])


def _packets(pair: Pair) -> tuple[int, int]:
    """(in, out) over all CHILD SAs of the tunnel, as the kernel counts them."""
    said = pair.gateway.say("swanctl", "--list-sas", "--raw")
    return (
        sum(int(count) for count in re.findall(r"packets-in=(\d+)", said)),
        sum(int(count) for count in re.findall(r"packets-out=(\d+)", said)),
    )


def _well(pair: Pair) -> bool:
    """Whether there is a CHILD SA, and BGP's route leads into the tunnel."""
    installed = "INSTALLED" in pair.gateway.run("swanctl", "--list-sas", check=False).stdout
    return installed and pair.bgp() == "Established" and pair.way() == pair.tunnel.interface


def _lost(echoes: Echoes) -> str:
    return f"{echoes.lost} of {echoes.sent} lost"


def _in_clear(seen: Mapping[str, int]) -> int:
    return seen["in clear between the gateways"] + seen["in clear out of the gateway"]


def _filtered(pair: Pair, echoes: Echoes) -> int:
    """How many packets the filter keeps from leaving while a route leads the site's packets out of the uplink."""
    before, sent = _stopped(pair), echoes.sent
    wrong = (network.SITE, "via", network.VPC_ROUTER, "metric", "1")
    pair.gateway.run("ip", "route", "add", *wrong)
    until(lambda: echoes.sent >= sent + 50, _WAIT)
    stopped = _stopped(pair) - before
    pair.gateway.run("ip", "route", "del", *wrong)
    return stopped


def _stopped(pair: Pair) -> int:
    said = pair.gateway.say("nft", "list", "counter", "inet", "vpnha", "plaintext")
    found = re.search(r"packets (\d+)", said)
    if found is None:
        raise LabError(f"The filter's counter cannot be read: {' '.join(said.split())}")
    return int(found[1])


def _version(said: str) -> str:
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found[0] if found else said.strip()
