# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data plane of production with all its parts: two gateways, two tunnels each, one boot for all that is looked at.

Each part leaves the machines as it found them, but for two: one brings another identity of a tunnel to its own gateway
alone, and the last one takes a gateway's NAT away.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.model import Tunnel
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_config import MESH_DEVICE
from lab.names import Names
from lab.vm import checks, image, peer, traffic
from lab.vm.checks import WAIT
from lab.vm.gateway import Gateway, Sa, device
from lab.vm.machines import MESH, Machines
from lab.vm.network import AppHost, segments_offered
from lab.vm.report import Report
from lab.vm.smoke import Progress, processor
from lab.vm.traffic import Echoes, until

_INTERVAL = 0.05  # seconds between two echo requests of an application host, of IPv4 and of IPv6 in turn
_SELDOM = 0.2  # the same while the role runs on an emulated processor, which has both to do
_ENOUGH = 100  # echo requests, where none may be lost
_REKEYED = 3  # times
_ROUNDED = 2  # seconds between two readings of when a session came up: FRR reckons it from its age in seconds
_MSS = 1360  # what the role sets, its default
# Payloads of pings: with their headers what a tunnel takes (its MTU), and what it does not.
_FULL, _TOO_LARGE, _MTU = 1372, 1472, 1400
_LONGER = 20  # IPv6's header than IPv4's
_FAMILIES = ("", ", IPv6")
_FETCH = """
import http.client, socket, sys
connection = http.client.HTTPConnection(sys.argv[1], 8080, timeout=120, source_address=(sys.argv[2], 0))
connection.connect()
segment = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
connection.request("GET", "/blob")
print(len(connection.getresponse().read()), segment)
"""


class Mesh:
    """The machines, and what is looked at, part by part."""

    def __init__(self, machines: Machines, report: Report, output: Path) -> None:
        self.machines, self.report, self.output = machines, report, output
        self.network = machines.network
        self.first, self.second = machines.gateways
        self.near, self.far = self.network.apps  # the first's home zone, and the other one
        self._seen: dict[str, str] = {}  # the devices by which packets went when they had moved

    @contextmanager
    def echoes(self, *apps: AppHost, interval: float = _INTERVAL) -> Iterator[tuple[Echoes, ...]]:
        """Echo requests from those application hosts, of all unless one is named, to the site."""
        with ExitStack() as stack:
            to = self.network.targets
            started = (Echoes(self.network.netns(app), to, interval) for app in apps or self.network.apps)
            yield tuple(stack.enter_context(one) for one in started)

    def enough(self, app: AppHost) -> Echoes:
        """As many echo requests as show whether packets pass now."""
        with self.echoes(app) as (one,):
            until(lambda: one.sent >= _ENOUGH, WAIT)
        return one

    def well(self) -> bool:
        """Whether all is as it should be on both gateways."""
        return all(gateway.well() for gateway in self.machines.gateways)

    # --- the parts, in their order ---------------------------------------------------------------------------

    def comes_up(self) -> None:
        """Every tunnel, every BGP and BFD session, also that between the gateways, over XFRM interfaces."""
        report = self.report
        report.check("all comes up", until(self.well, WAIT) is not None, self._sessions())
        for gateway in self.machines.gateways:
            checks.data_plane(gateway, report)
            self._agent(gateway, f"{gateway.name}: the agent reports it to a monitor", "alive", "tunnel")
        checks.networkd(self.first, report)

    def carries(self) -> None:
        """Packets of both application hosts go through the tunnels both ways, and none of them in clear."""
        network, report = self.network, self.report
        before = {one.name: one.packets() for one in self.machines.gateways}
        with network.captured() as captures, self.echoes() as sent:
            until(lambda: min(one.sent for one in sent) >= _ENOUGH, WAIT)
        report.check("echo requests are answered", all(one.lost == 0 for one in sent), [str(one) for one in sent])
        grown = {}
        for gateway in self.machines.gateways:
            now, then = gateway.packets(), before[gateway.name]
            grown[gateway.name] = {"in": now[0] - then[0], "out": now[1] - then[1]}
        least = min(min(each.values()) for each in grown.values())
        report.check("the kernels' ESP has counted them", least >= _ENOUGH, grown)
        self._encrypted(network.count(captures), *sent)
        self._filtered()

    def large(self) -> None:
        """TCP in both directions, segments that fit, and a router that says so where a packet does not."""
        for at, site in enumerate(self.network.targets):
            for app in (self.near,) if at else self.network.apps:
                self._tcp(app, at)
            full, too_large = (
                traffic.ping(self.network.netns(self.near), site, size - at * _LONGER) for size in (_FULL, _TOO_LARGE)
            )
            family = _FAMILIES[at]
            self.report.check(f"a packet of the tunnel's MTU passes{family}", full.received == full.sent, vars(full))
            told = (too_large.received, too_large.mtu) == (0, _MTU)
            self.report.check(f"for a larger one the sender is told the MTU{family}", told, vars(too_large))

    def _tcp(self, app: AppHost, at: int) -> None:
        """A mebibyte each way between an application host and the site, in segments that are not too large."""
        network, report, what = self.network, self.report, app.name + _FAMILIES[at]
        address, site, prefix, most = app.addresses[at], network.targets[at], network.prefixes[at], _MSS - at * _LONGER
        where = network.netns(app)
        with network.recorded(where, "eth0") as file:
            down = traffic.fetch(where, site, "/blob")
            with traffic.served(where, address, b"x" * peer.BLOB_BYTES):
                said = self.machines.peer.say("python3", "-c", _FETCH, address, site)
        up, segment = (int(word) for word in said.split())
        whole = down == up == peer.BLOB_BYTES
        report.check(f"{what}: a mebibyte by TCP each way", whole, {"from the site": down, "to the site": up})
        offered = {way: segments_offered(file, f"{way} net {prefix}") for way in ("src", "dst")}
        report.check(
            f"{what}: what the site offers is clamped, whoever begins",
            len(offered["src"]) >= 2 and set(offered["src"]) == {most} and min(offered["dst"]) > most,
            {"of the site": offered["src"], "of the application host": offered["dst"]},
        )
        # TCP's own options come off what was offered
        clamped = most - 12 <= segment <= most
        report.check(f"{what}: what the application host offers is clamped", clamped, {"segment": segment})

    def one_tunnel_blocked(self) -> None:
        """The gateway's other tunnel to the site takes over."""
        gateway, report = self.first, self.report
        ways = gateway.ways()
        used = next(tunnel for tunnel in gateway.tunnels if tunnel.interface in ways)
        (twin,) = (tunnel for tunnel in gateway.tunnels if tunnel is not used)
        with self.network.captured() as captures, self.echoes() as (near, far):
            with self.network.blocked([used]):
                moved = self._moved(twin.interface, used)
                after = self.enough(self.near)
                self._agent(gateway, "the agent says that it carries", "alive", "tunnel")
            healed = until(self.well, WAIT)
        report.check("the site's route moves to the other tunnel", moved is not None, self._seen)
        self._lost("packets pass by the other tunnel", near, after)
        report.check("the other zone's packets are not touched", far.lost == 0, str(far))
        self._encrypted(self.network.count(captures), near, far)
        report.check("the tunnel heals by itself", healed is not None, self._sessions())

    def handed_over(self) -> None:
        """All tunnels of a gateway blocked: its packets go through its neighbour. Nothing here could change a route."""
        gateway, neighbour, report = self.first, self.second, self.report
        with self.network.captured() as captures, ExitStack() as healing_too:
            with self.echoes() as (near, far), self.network.blocked(gateway.tunnels):
                moved = self._moved(MESH_DEVICE, *gateway.tunnels)
                came, carried, sent = gateway.forwarded(), neighbour.packets()[1], near.sent
                after = self.enough(self.near)
                sent = near.sent - sent + after.sent  # both by the same host
                came, carried = gateway.forwarded() - came, neighbour.packets()[1] - carried
                self._agent(gateway, "its agent says that they go via its neighbour", "alive", "neighbour")
                self._agent(neighbour, "the neighbour's agent says that it carries", "alive", "tunnel")
                (healing,) = healing_too.enter_context(self.echoes(self.near))
            healed = until(self.well, WAIT)
        report.check("the site's route leads to the neighbour, over VXLAN", moved is not None, self._seen)
        report.check("the gateway's packet filter has counted them: they come to it as before", came >= sent, came)
        self._lost("packets pass through the neighbour", near, after)
        report.check("the neighbour's ESP has counted them", carried >= after.sent, carried)
        report.check("the other zone's packets are not touched", far.lost == 0, str(far))
        self._encrypted(self.network.count(captures), near, far, healing)
        report.check("the tunnels heal by themselves", healed is not None, self._sessions())
        report.check("and take the packets back without losing one", healing.lost == 0, str(healing))

    def rekeyed(self) -> None:
        """New keys for every IKE SA and CHILD SA of both gateways, again and again while packets pass."""
        machines = self.machines
        rounds, dropped = [self._sas()], {name: one.esp_dropped() for name, one in machines.all.items()}
        with self.network.captured() as captures, self.echoes() as sent:
            while len(rounds) <= _REKEYED and self._rekey(rounds[-1]):
                rounds.append(self._sas())
            until(lambda: self.well() and min(one.sent for one in sent) >= _ENOUGH, WAIT)
        keys = {name: [spis(each[name]) for each in rounds] for name in rounds[0]}
        self.report.check("every IKE SA and CHILD SA has new keys each time", len(rounds) > _REKEYED, keys)
        # if a packet is lost: whether it was ESP that a kernel had no state for, or one that did not come so far
        self.report.about["ESP dropped by the kernels while rekeying"] = {
            name: dict(one.esp_dropped() - dropped[name]) for name, one in machines.all.items()
        }
        self.report.check("not a packet is lost", all(one.lost == 0 for one in sent), [str(one) for one in sent])
        self._encrypted(self.network.count(captures), *sent)

    def _rekey(self, before: Mapping[str, Sa]) -> bool:
        """Once, from the gateways; whether all keys are others than before."""
        for gateway in self.machines.gateways:
            for tunnel in gateway.tunnels:
                for what in ("--child", "--ike"):
                    gateway.machine.run("swanctl", "--rekey", what, tunnel.name)
        done = until(lambda: all(replaced(sa, before[name]) for name, sa in self._sas().items()), WAIT)
        return done is not None

    def one_reloaded(self) -> None:
        """Another identity for one tunnel, agreed with its peer: the role closes that tunnel, and no other."""
        machines, report = self.machines, self.report
        changed = self.first.tunnels[-1].name
        others = [tunnel.name for one in machines.gateways for tunnel in one.tunnels if tunnel.name != changed]
        before, since = self._sas(), self._since()
        former = peer.connections(machines.variables)
        machines.variables["vpnha_sites"] = renamed(machines.variables["vpnha_sites"], self.first.name)
        for path, text in peer.connections(machines.variables).items():
            if text != former[path]:
                machines.peer.run("sh", "-c", f"umask 077 && cat > {path}", stdin=text)
        machines.peer.run("sh", "-c", "swanctl --load-creds --noprompt && swanctl --load-conns")
        with (
            self.network.captured() as captures,
            self.echoes(interval=_SELDOM) as sent,
            report.timed("role, for one tunnel"),
        ):
            played = machines.configure(self.output / "role-one-tunnel.log", only=self.first)[self.first.name]
        report.check("the role brings it", played.failed == 0 < played.changed, vars(played))
        after, still = self._sas(), self._since()
        report.check(
            "that tunnel is another one",
            replaced(after[changed], before[changed]),
            {changed: {"before": before[changed].ike, "after": after[changed].ike}},
        )
        kept = {
            name: after[name].ike == before[name].ike and since[name] and abs(still[name] - since[name]) <= _ROUNDED
            for name in others
        }
        report.check(
            "the other tunnels are the same, their BGP sessions too",
            all(kept.values()),
            {name: {"IKE SA": after[name].ike, "BGP": "the same" if kept[name] else "another"} for name in others},
        )
        report.check("not a packet is lost", all(one.lost == 0 for one in sent), [str(one) for one in sent])
        self._encrypted(self.network.count(captures), *sent)

    def again(self) -> None:
        """The role once more."""
        with self.report.timed("role again"):
            played = self.machines.configure(self.output / "role-again.log")
        nothing = all((one.failed, one.changed) == (0, 0) for one in played.values())
        self.report.check("a second run changes nothing", nothing, {name: vars(one) for name, one in played.items()})

    def charon_killed(self) -> None:
        """Behind NAT the tunnels end with charon, whose socket unpacks ESP from UDP: the neighbour carries."""
        gateway, report = self.first, self.report
        with (
            self.network.captured() as captures,
            self.echoes() as (near, far),
            checks.without_charon(gateway, report, "behind NAT"),
        ):
            moved = self._moved(MESH_DEVICE, *gateway.tunnels)
            after = self.enough(self.near)
            self._agent(gateway, "behind NAT, its agent says so, and where packets go", "dead", "neighbour")
        report.check("behind NAT, the site's route leads to the neighbour", moved is not None, self._seen)
        self._lost("behind NAT, packets pass through the neighbour", near, after)
        report.check("the other zone's packets are not touched", far.lost == 0, str(far))
        self._encrypted(self.network.count(captures), near, far)

    def rebooted(self) -> None:
        """A gateway comes back as it was, without Ansible, and lets nothing out in clear meanwhile."""
        gateway, report = self.first, self.report
        before, was = gateway.agent().boot_id, checks.settings(gateway)
        with self.network.captured() as captures, self.echoes() as (near, far):
            gateway.machine.reboot()
            back = until(self.well, WAIT)
        report.check("all comes back by itself", back is not None, self._sessions())
        now = gateway.agent().boot_id
        report.check("after a boot", now != before, {"before": before, "after": now})
        checks.data_plane(gateway, report)
        checks.kept(gateway, report, was)
        self._agent(gateway, "its agent reports it to a monitor", "alive", "tunnel")
        after = self.enough(self.near)
        self._lost("packets pass again", near, after)
        report.check("the other zone's packets are not touched", far.lost == 0, str(far))
        self._encrypted(self.network.count(captures), near, far, off=True)
        self._filtered()

    def charon_killed_without_nat(self) -> None:
        """Where nobody translates addresses the kernel's ESP needs no charon, and goes on."""
        gateway, report = self.first, self.report
        checks.nat_off(self.machines, gateway, report)
        with (
            checks.without_charon(gateway, report, "without NAT"),
            self.network.captured() as captures,
            self.echoes() as sent,
        ):
            self._agent(gateway, "without NAT, its agent says that charon is dead and packets pass", "dead", "tunnel")
            until(lambda: min(one.sent for one in sent) >= _ENOUGH, WAIT)
        lost = [str(one) for one in sent]
        report.check("without NAT, the kernel carries without charon", all(one.lost == 0 for one in sent), lost)
        seen = self.network.count(captures)
        near = sent[0]  # the far one's gateway is still behind NAT
        plain = checks.in_clear(seen) == 0 and seen["ESP"] >= 2 * (near.sent - near.lost) > 0
        report.check("without NAT, on the wire it is encrypted", plain, seen)

    # --- what they share -------------------------------------------------------------------------------------

    def _moved(self, way: str, *left: Tunnel) -> float | None:
        """Wait until the first gateway sends to the site by that device, and the site by none of these tunnels."""
        names = {tunnel.name for tunnel in left}
        devices = {end.device for end in peer.ends(self.machines.variables) if end.tunnel.name in names}
        moved = until(
            lambda: self.first.ways() == {way} and self._back().isdisjoint({*devices, "none"}),
            WAIT,
        )
        self._seen = {"to the site": self.first.way(), "from the site": " and ".join(sorted(self._back()))}
        return moved

    def _back(self) -> set[str]:
        """The devices by which the site sends packets to the application host of the first gateway's zone."""
        ways = zip(self.near.addresses, self.network.targets, strict=True)
        return {device(self.machines.peer, there, "from", here) for there, here in ways}

    def _agent(self, gateway: Gateway, what: str, charon: str, path: str) -> None:
        """Check what the gateway's agent says; one that is held up begins to observe afresh."""
        wanted: dict[str, Any] = {
            "charon": charon,
            "path": {site["name"]: path for site in self.machines.variables["vpnha_sites"]},
        }
        heard: dict[str, Any] = {}

        def said() -> bool:
            report = gateway.agent()
            heard.update(charon=report.charon, path=dict(report.paths))
            return heard == wanted

        until(said, WAIT)
        self.report.check(what, heard == wanted, dict(heard))

    def _lost(self, what: str, during: Echoes, after: Echoes) -> None:
        """Packets may be lost while something changes, and none afterwards."""
        self.report.check(what, after.lost == 0 < after.sent, {"while it changes": str(during), "then": str(after)})

    def _filtered(self) -> None:
        """A route that leads the site's packets out of the first gateway's uplink: its filter lets none of them out."""
        with self.echoes(self.near) as (one,), self.network.captured() as captures:
            stopped = checks.stopped_by_filter(self.machines, self.first, one)
        seen = self.network.count(captures)
        stays = stopped > 0 and checks.in_clear(seen) == 0
        what = {"packets": stopped, **seen}
        self.report.check("the filter stops what a wrong route would let out", stays, what)

    def _encrypted(self, seen: dict[str, int], *echoes: Echoes, off: bool = False) -> None:
        """Nothing in clear, though all that was sent comes so from the VPC, and ESP for all that was answered.

        ``off``: a gateway was for a while, and what was for it then did not come so far.
        """
        sent, answered = sum(one.sent for one in echoes), sum(one.sent - one.lost for one in echoes)
        came = seen["in clear into a gateway"]
        whole = came >= (answered if off else sent) and seen["ESP in UDP"] >= 2 * answered > 0
        what = {"sent": sent, "answered": answered, **seen}
        self.report.check("nothing leaves in clear, though it comes", whole and checks.in_clear(seen) == 0, what)

    def _sessions(self) -> dict[str, Any]:
        return {one.name: {"BGP": one.bgp(), "BFD": one.bfd(), "way": one.way()} for one in self.machines.gateways}

    def _sas(self) -> dict[str, Sa]:
        found = {tunnel.name: Sa((), ()) for one in self.machines.gateways for tunnel in one.tunnels}
        for gateway in self.machines.gateways:
            found |= gateway.sas()
        return found

    def _since(self) -> dict[str, int]:
        return {name: at for one in self.machines.gateways for name, at in one.since().items()}


def renamed(sites: Any, gateway: str) -> Any:
    """The sites with another identity of the gateway in the last of its tunnels."""
    other = copy.deepcopy(sites)
    last = [tunnel for tunnel in other[0]["tunnels"] if tunnel["gateway"] == gateway][-1]
    last["local_id"] = f"{gateway}-renamed.vm"
    return other


def replaced(now: Sa, before: Sa) -> bool:
    """Whether a tunnel is up, with nothing left of its former SAs."""
    up = bool(now.ike and now.children)
    return up and set(now.ike).isdisjoint(before.ike) and set(now.children).isdisjoint(before.children)


def spis(sa: Sa) -> list[str]:
    """The SPIs of the CHILD SAs: in and out of each."""
    return [f"{child[1]} {child[2]}" for child in sa.children]


def run(names: Names, progress: Progress, report: Report, output: Path, *, stay: bool = False) -> None:
    """All parts, into ``report``. LabError when a part cannot go on."""
    with report.timed("image"):
        image.build(names, progress)
    machines = Machines(names, MESH)
    progress("booting two gateways and a customer gateway")
    with report.timed("boot"):
        machines.boot(stay=stay)
    report.part = "The role on both gateways"
    progress(report.part)
    with report.timed("role"):
        played = machines.configure(output / "role.log")
    done = all(one.failed == 0 < one.changed for one in played.values())
    report.check("the role configures them", done, {name: vars(one) for name, one in played.items()})
    checks.about(machines.gateways[0], report)
    mesh = Mesh(machines, report, output)
    for part, look in PARTS:
        report.part = part
        progress(part)
        with report.timed(part):
            look(mesh)
    report.part = ""
    processor(machines, report)


# What is looked at, in this order.
PARTS: tuple[tuple[str, Callable[[Mesh], None]], ...] = (
    ("All tunnels and sessions", Mesh.comes_up),
    ("Packets both ways", Mesh.carries),
    ("Large packets", Mesh.large),
    ("One tunnel blocked", Mesh.one_tunnel_blocked),
    ("All tunnels of a gateway blocked", Mesh.handed_over),
    ("Rekeying", Mesh.rekeyed),
    ("The role a second time", Mesh.again),
    ("One tunnel changed", Mesh.one_reloaded),
    ("charon killed", Mesh.charon_killed),
    ("A gateway rebooted", Mesh.rebooted),
    ("charon killed where nobody translates addresses", Mesh.charon_killed_without_nat),
)
