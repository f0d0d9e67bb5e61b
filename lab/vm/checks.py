# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both runs in virtual machines look at.

Each step looks at something, and notes what it saw; a step that finds something else than wanted does not keep the next
ones from looking. Only what they all need (machines that boot, a playbook that runs) ends a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath

from ansible_collections.vpnha.aws.plugins.module_utils.dual_stack import is_ipv6
from ansible_collections.vpnha.aws.plugins.module_utils.model import AgentReport
from lab.vm import network
from lab.vm.gateway import Gateway
from lab.vm.image import architecture
from lab.vm.machines import Machines
from lab.vm.report import Report
from lab.vm.traffic import INTERVAL, Echoes, until

WAIT = 300.0  # for what comes by itself: an emulated machine on a busy one is slow
_LAST = "metric 4278198272"  # of the role's blackholes
# What the role has set in the kernel and no daemon sets again: filter, rules, blackholes, parameters.
_SETTINGS = (
    "nft --stateless list table inet vpnha; for family in -4 -6; do ip $family rule show; "
    f"ip $family route show table all type blackhole {_LAST}; done; "
    "cd /proc/sys/net/ipv4; grep . ip_forward conf/*/rp_filter conf/*/send_redirects conf/*/accept_redirects; "
    "cd ../ipv6; grep . conf/all/forwarding conf/*/accept_redirects"
)
_HOLD = 900  # seconds that systemd is told to wait before it starts a charon that was killed
_HOLD_FILE = PurePosixPath("/run/systemd/system/strongswan.service.d/zz-smoke.conf")


def about(gateway: Gateway, report: Report) -> None:
    """What the figures were measured on."""
    machine = gateway.machine
    report.about.update(
        {
            "accelerator": "tcg",
            "architecture": architecture().debian,
            "kernel": machine.say("uname", "-r").strip(),
            "kernel_package": machine.say("sh", "-c", "dpkg-query -S /boot/vmlinuz-$(uname -r)").split(":")[0],
            "debian": machine.say("cat", "/etc/debian_version").strip(),
            "strongswan": _version(machine.say("swanctl", "--version")),
            "frr": _version(machine.say("vtysh", "-c", "show version")),
        }
    )


def data_plane(gateway: Gateway, report: Report) -> None:
    """The kernel's ESP and an XFRM interface for each tunnel, and nothing of libipsec's."""
    machine, name = gateway.machine, gateway.name
    told = machine.say("sh", "-c", 'grep -o \'"data_plane": "[a-z]*"\' /etc/vpnha/agent.json').split('"')[3]
    report.about["data_plane"] = told
    report.check(f"{name}: the role has chosen the kernel's data plane", told == "xfrm", told)
    links = {one.name: machine.run("ip", "-d", "link", "show", one.interface, check=False).stdout
             for one in gateway.tunnels}  # fmt: skip
    wanted = {one.name: f"xfrm if_id {one.if_id:#x}" for one in gateway.tunnels}
    right = all(re.search(rf"{wanted[each]}\s", link) for each, link in links.items())
    report.check(f"{name}: each tunnel has an XFRM interface", right, wanted if right else links)
    plugins = machine.say("swanctl", "--stats")
    loaded = [each for each in ("kernel-libipsec", "kernel-netlink") if each in plugins]
    report.check(f"{name}: charon uses the kernel", loaded == ["kernel-netlink"], loaded)
    esp = gateway.esp()
    report.check(
        f"{name}: the kernel has ESP states and policies with each if_id",
        all(states >= 2 and policies >= 3 for states, policies in esp.values()),
        esp,
    )
    encapsulated = "espinudp" in machine.say("ip", "xfrm", "state")
    report.check(f"{name}: ESP goes in UDP, as behind an Elastic IP", encapsulated, encapsulated)
    failed = machine.say("systemctl", "--failed", "--no-legend", "--plain").split("\n")[0]
    report.check(f"{name}: no unit has failed", not failed, failed)


def networkd(gateway: Gateway, report: Report) -> None:
    """systemd-networkd, which has the uplink, leaves the role's rules, routes and addresses alone at its start."""
    addresses = [f"address show dev {tunnel.interface}" for tunnel in gateway.tunnels]
    commands = ("rule show", f"route show table all type blackhole {_LAST}", *addresses)

    def state() -> str:
        return "\n".join(
            gateway.machine.say("ip", family, *command.split()) for family in ("-4", "-6") for command in commands
        )

    before = state()
    gateway.machine.run("systemctl", "restart", "systemd-networkd.service")
    online = "/usr/lib/systemd/systemd-networkd-wait-online"
    gateway.machine.run(online, f"--interface={network.GATEWAY_IFNAME}", f"--timeout={WAIT:.0f}")
    after = state()
    report.check("systemd-networkd takes nothing away", after == before, "the same" if after == before else after)
    own = {tunnel.interface for tunnel in gateway.tunnels}
    report.check("the route is still in a tunnel", gateway.ways() <= own, gateway.way())


def settings(gateway: Gateway) -> set[str]:
    """What the role has set in a gateway's kernel, line by line; of what is not there, nothing."""
    said = gateway.machine.run("sh", "-c", _SETTINGS, check=False).stdout
    return {line.strip() for line in said.splitlines()}


def kept(gateway: Gateway, report: Report, was: set[str]) -> None:
    """It is all there as it was."""
    now = settings(gateway)
    same = now == was and any(line.startswith("blackhole ") for line in now)
    what = "filter, rules, blackholes and the kernel's parameters are as they were"
    report.check(what, same, "the same" if same else sorted(now ^ was or now))


def stopped_by_filter(machines: Machines, gateway: Gateway, echoes: Echoes) -> int:
    """How many packets the filter keeps from leaving while routes lead the site's packets out of the uplink."""
    before, sent = gateway.kept_from_leaving(), echoes.sent
    routers = {False: gateway.machine.cable.router, True: gateway.machine.cable.router_ipv6}
    wrong = [(each, "via", routers[is_ipv6(each)], "metric", "1") for each in machines.network.prefixes]
    for route in wrong:
        gateway.machine.run("ip", "route", "add", *route)
    until(lambda: echoes.sent >= sent + 50, WAIT)
    stopped = gateway.kept_from_leaving() - before
    for route in wrong:
        gateway.machine.run("ip", "route", "del", *route)
    return stopped


@contextmanager
def without_charon(gateway: Gateway, report: Report, where: str) -> Iterator[None]:
    """Kill charon on a gateway, and start it after the block; then wait until all is well again.

    systemd, which would start it after a second, is told to wait.
    """
    machine, old = gateway.machine, gateway.charon()
    hold = f"mkdir -p {_HOLD_FILE.parent} && cat > {_HOLD_FILE} && systemctl daemon-reload"
    machine.run("sh", "-c", hold, stdin=f"[Service]\nRestartSec={_HOLD}\n")
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "strongswan.service")
    dead = until(lambda: gateway.charon() == "", WAIT)
    before = gateway.unpacking()
    yield
    still, now = gateway.charon() == "", gateway.unpacking()
    report.check(f"{where}, charon is dead", dead is not None and still, gateway.charon() or "no process")
    # why: its states are in the kernel all the same; in UDP, what comes in finds no socket
    grown = {key: now[key] - before[key] for key in now}
    report.about[f"{where}, without charon"] = {"ESP states": gateway.esp(), **grown}
    machine.run("sh", "-c", f"rm {_HOLD_FILE} && systemctl daemon-reload && systemctl start strongswan.service")
    back = until(gateway.well, WAIT)
    came = back is not None and gateway.charon() not in ("", old)
    report.check(f"{where}, the tunnels come back with charon", came, {"bgp": gateway.bgp(), "way": gateway.way()})


def agent_without_charon(gateway: Gateway, echoes: Echoes) -> AgentReport:
    """What the agent says as soon as it has seen that charon is dead."""
    heard = gateway.agent()
    while heard.charon == "alive" and echoes.sent < WAIT / INTERVAL:  # it looks each 100 ms
        heard = gateway.agent()
    return heard


def nat_off(machines: Machines, gateway: Gateway, report: Report) -> None:
    """Have a gateway's tunnels set up anew where nobody translates addresses, so that ESP goes without UDP."""
    machines.let_peer_reach(gateway)
    machines.network.switch_nat_off(gateway.name)
    for tunnel in gateway.tunnels:
        gateway.machine.run("swanctl", "--terminate", "--ike", tunnel.name, "--force", "--timeout", "5", check=False)
    # charon's word: the states of one that was killed stay in the kernel until they expire
    plain = until(lambda: gateway.well() and "TUNNEL-in-UDP" not in gateway.machine.say("swanctl", "--list-sas"), WAIT)
    report.check("without NAT, ESP goes without UDP", plain is not None, gateway.bgp())


def in_clear(seen: Mapping[str, int]) -> int:
    """How many packets were where they must not be."""
    return seen["in clear between the gateways"] + seen["in clear out of a gateway"]


def _version(said: str) -> str:
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found[0] if found else said.strip()
