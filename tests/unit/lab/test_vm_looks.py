# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at of gateways: it passes where all is well, and each thing that is not is found.

The machines are played: what a gateway would say follows from what was done to it.
"""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from ansible_collections.vpnha.aws.plugins.module_utils.model import Tunnel
from lab.names import Names
from lab.vm import checks, smoke, traffic
from lab.vm import mesh as looks
from lab.vm.gateway import Sa
from lab.vm.machines import MESH, PAIR, Played
from lab.vm.mesh import PARTS, Mesh
from lab.vm.network import Captures, Network
from lab.vm.peer import BLOB_BYTES, ends
from lab.vm.report import WRITTEN, Report
from lab.vm.traffic import Pings

SETTINGS = "filter, rules, blackholes and the kernel's parameters are as they were"
# The parts in which all packets are looked at behind NAT.
CAPTURED = {
    "Packets both ways", "One tunnel blocked", "All tunnels of a gateway blocked", "Rekeying", "One tunnel changed",
    "charon killed", "A gateway rebooted",
}  # fmt: skip


class World:
    """All that is played; ``faults`` are named by who looks for them."""

    def __init__(self, *faults: str) -> None:
        self.faults = set(faults)
        self.blocked: set[str] = set()
        self.nat = True
        self.rebooted = False  # since the last capture began
        self.echoes: list[Echoes] = []  # that run
        self.number = 0
        self.gateways: tuple[PlayedGateway, ...] = ()

    def new(self) -> str:
        self.number += 1
        return str(self.number)


class Echoes:
    """Echo requests that are answered, unless a gateway has no way or ``loses`` says otherwise."""

    world: World

    def __init__(self, _netns: str, _targets: tuple[str, ...], _interval: float = 0.1) -> None:
        self.lost, self.longest = 3 if "loses" in self.world.faults else 0, 0

    @property
    def sent(self) -> int:
        """Who counts them while there is no way finds them lost."""
        if any(gateway.way() == "none" for gateway in self.world.gateways):
            self.lost = 1000
        return 1000

    def __enter__(self) -> Echoes:
        self.world.echoes.append(self)
        return self

    def __exit__(self, *_raised: object) -> None:
        self.world.echoes.remove(self)


class PlayedNetwork(Network):
    """The addresses are those of the real one; nothing is made."""

    world: World
    files: Captures

    def switch_nat_off(self, gateway: str) -> None:
        self.world.nat = False

    @contextlib.contextmanager
    def blocked(self, tunnels: Any) -> Iterator[None]:
        self.world.blocked = {tunnel.name for tunnel in tunnels}
        yield
        self.world.blocked = set()

    @contextlib.contextmanager
    def captured(self) -> Iterator[Captures]:
        self.world.rebooted = False
        self.files = Captures(Path(self.world.new()), {})  # each capture is written over the one before
        yield self.files

    def count(self, captures: Captures) -> dict[str, int]:
        assert captures is self.files
        clear = 1 if "in clear" in self.world.faults else 0
        # nothing comes to a gateway that is off
        esp, came = (9000, 1500 if self.world.rebooted else 5000)
        if "captures end early" in self.world.faults:
            esp, came = (3999, 1099 if self.world.rebooted else 2999)
        return {
            "ESP in UDP": esp, "ESP": esp // 2, "in clear between the gateways": clear, "in clear out of a gateway": 0,
            "in clear into a gateway": came,
        }  # fmt: skip

    @contextlib.contextmanager
    def recorded(self, where: str, device: str) -> Iterator[Path]:
        yield Path("recorded")


class PlayedGateway:
    """A gateway with its machine."""

    def __init__(self, world: World, name: str, address: str, tunnels: tuple[Tunnel, ...], neighbour: str) -> None:
        self.world, self.name, self.tunnels, self.neighbour = world, name, tunnels, neighbour
        self.pid, self.boot, self.count = world.new(), world.new(), 0
        self.machine = SimpleNamespace(
            name=name,
            run=self.run,
            say=self.say,
            reboot=self.reboot,
            cable=SimpleNamespace(addresses=(address,), router="r", router_ipv6="r6"),
            esp_dropped=lambda: Counter(XfrmInNoStates=int(world.new()), XfrmInError=0),
        )
        self.ids = {tunnel.name: (world.new(), world.new()) for tunnel in tunnels}
        self.up = {each: 1000 + int(world.new()) for each in (*self.ids, neighbour) if each}
        self.settings = "" if "no blackholes" in world.faults else "conf/all/rp_filter:0\nblackhole 192.168.10.0/24 \n"
        self.stops = 50

    def run(self, *argv: str, check: bool = True, stdin: str = "") -> SimpleNamespace:
        line = " ".join(argv)
        if "--rekey" in line and not ("--ike" in line and "keeps keys" in self.world.faults):
            ike, _child = self.ids[argv[-1]]
            self.ids[argv[-1]] = (ike, self.world.new()) if "--child" in line else (self.world.new(), self.world.new())
        elif "systemctl kill" in line:
            self.pid = ""
        elif "systemctl start strongswan" in line:
            self.pid = self.world.new()
        elif "nft --stateless" in line:
            return SimpleNamespace(stdout=self.settings)
        links = " ".join(f"xfrm if_id {tunnel.if_id:#x} " for tunnel in self.tunnels)
        return SimpleNamespace(stdout=links, returncode=1 if argv[0] == "ping" and self.way() == "none" else 0)

    def say(self, *argv: str) -> str:
        line = " ".join(argv)
        if "agent.json" in line:
            return '"data_plane": "xfrm"'
        return {"swanctl --stats": "kernel-netlink", "ip xfrm state": "espinudp"}.get(line, "")

    def reboot(self) -> None:
        self.boot = self.boot if "boots not" in self.world.faults else self.world.new()
        if "forgets a parameter" in self.world.faults:
            self.settings = self.settings.replace("rp_filter:0", "rp_filter:2")
        self.stops = 0 if "filters no more" in self.world.faults else 50
        self.world.rebooted, self.world.echoes[0].lost = True, 900

    def bgp(self) -> dict[str, str]:
        return dict.fromkeys(self.up, "Established")

    def bfd(self) -> dict[str, str]:
        return dict.fromkeys(self.up, "up")

    def since(self) -> dict[str, int]:
        return dict(self.up)

    def way(self) -> str:
        carries = self.pid or not self.world.nat
        left = [one.interface for one in self.tunnels if carries and one.name not in self.world.blocked]
        alone = not self.neighbour or "no neighbour" in self.world.faults
        return left[0] if left else "none" if alone else "vpnhavx"

    def ways(self) -> frozenset[str]:
        apart = "families go apart" in self.world.faults and (self.world.blocked or not self.pid)
        return frozenset((self.way(), "none")) if apart else frozenset((self.way(),))

    def sas(self) -> dict[str, Sa]:
        return {name: Sa((ike,), ((child, f"i{child}", f"o{child}"),)) for name, (ike, child) in self.ids.items()}

    def packets(self) -> tuple[int, int]:
        self.count += 1000
        return self.count, self.count

    def forwarded(self) -> int:
        return 0 if "comes not" in self.world.faults else self.packets()[0]

    def esp(self) -> dict[str, tuple[int, int]]:
        return {tunnel.name: (2, 3) for tunnel in self.tunnels}

    def unpacking(self) -> dict[str, int]:
        return {"UDP without a socket": 0}

    def kept_from_leaving(self) -> int:
        self.count += self.stops
        return self.count

    def charon(self) -> str:
        return self.pid

    def well(self) -> bool:
        return self.way().startswith("vpnha") and self.way() != "vpnhavx"

    def agent(self) -> SimpleNamespace:
        path = {"vpnhavx": "neighbour", "none": "none"}.get(self.way(), "tunnel")
        tunnels = dict.fromkeys(self.ids, SimpleNamespace(ike="established", child="installed"))
        charon = "alive" if self.pid else "dead"
        return SimpleNamespace(charon=charon, paths={"hq": path}, boot_id=self.boot, tunnels=tunnels)


class PlayedMachines:
    """The gateways and the peer."""

    def __init__(self, world: World, directory: Path, description: Path) -> None:
        self.world = world
        self.variables: dict[str, Any] = yaml.safe_load(description.read_text(encoding="utf-8"))
        deployment = parse(self.variables)
        self.network = PlayedNetwork(Names("t1", directory, 4700), deployment)
        self.network.world = world
        names = [gateway.name for gateway in deployment.gateways]
        self.gateways = tuple(
            PlayedGateway(
                world, one.name, one.address, tuple(each for each in deployment.tunnels if each.gateway == one.name),
                next((name for name in names if name != one.name), ""),
            )
            for one in deployment.gateways
        )  # fmt: skip
        world.gateways = self.gateways
        segment = 1448 if "unclamped" in world.faults else 1328
        self.written: list[str] = []
        self.played = self.variables["vpnha_sites"]
        self.peer = SimpleNamespace(
            esp_dropped=Counter,
            run=self.write,
            say=lambda *argv: f"{BLOB_BYTES} {segment + (0 if ':' in argv[-1] else 20)}",
        )

    @property
    def all(self) -> dict[str, Any]:
        return {"cgw-hq": self.peer, **{gateway.name: gateway.machine for gateway in self.gateways}}

    def write(self, *argv: str, stdin: str = "", check: bool = True) -> SimpleNamespace:
        if argv[0] == "ip":
            return SimpleNamespace(stdout=f"10.20.10.10 from 192.168.10.10 dev {self.back()} uid 0")
        self.written.append(stdin)
        return SimpleNamespace(stdout="")

    def back(self) -> str:
        """By the first tunnel that carries, the first gateway's first."""
        carries = {one.name for one in self.gateways if one.pid or not self.world.nat}
        for end in ends(self.variables):
            tunnel = end.tunnel
            if "stays behind" in self.world.faults or (
                tunnel.gateway in carries and tunnel.name not in self.world.blocked
            ):
                return end.device
        return "none"

    def let_peer_reach(self, gateway: PlayedGateway) -> None:
        pass

    def health(self, gateway: PlayedGateway) -> dict[str, Any]:
        way = gateway.way() != "none"
        why = "tunnel-up" if gateway.pid and way else "peer-not-answering" if gateway.pid else "charon-dead"
        if not gateway.pid and way:
            why = "charon-silent-esp-passes"
        tunnel = {"verdict": "up" if way else "down", "reasons": [why], "ike": "", "child": "", "probe": {"rtt_ms": {}}}
        charon = {"state": "alive" if gateway.pid else "dead"}
        return {"healthy": way, "tunnels": [tunnel], "charon": charon, "summary": []}

    def configure(self, log: Path, only: PlayedGateway | None = None) -> dict[str, Played]:
        assert log.name in WRITTEN  # and so removed by the next run
        differs, self.played = self.variables["vpnha_sites"] != self.played, self.variables["vpnha_sites"]
        if differs:
            gateway = self.gateways[0]
            closed = list(gateway.ids) if "closes all" in self.world.faults else list(gateway.ids)[-1:]
            gateway.ids |= {name: (self.world.new(), self.world.new()) for name in closed}
        changed = 1 if differs or "changes again" in self.world.faults else 0
        return {one.name: Played(9, changed, 0) for one in self.gateways if only in (None, one)}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Put a world with some faults in the place of packets and clocks."""

    def once(true: Callable[[], bool], _timeout: float) -> float | None:
        return 0.0 if true() else None

    def put(*faults: str) -> World:
        played = World(*faults)
        monkeypatch.setattr(Echoes, "world", played, raising=False)
        for module in (looks, checks, smoke):
            monkeypatch.setattr(module, "Echoes", Echoes)
            monkeypatch.setattr(module, "until", once)
        clamped = {False: [1360, 1360], True: [1360 if "unclamped" in faults else 1340] * 2}
        monkeypatch.setattr(
            looks, "segments_offered", lambda _file, what: clamped[":" in what] if "src" in what else [1440]
        )
        monkeypatch.setattr(traffic, "fetch", lambda *_where: BLOB_BYTES)
        monkeypatch.setattr(smoke, "fetch", lambda *_where: BLOB_BYTES)
        monkeypatch.setattr(traffic, "served", lambda *_where: contextlib.nullcontext())
        small = Pings(5, 5, None)
        monkeypatch.setattr(traffic, "ping", lambda _n, _t, size: small if size in (1372, 1352) else Pings(5, 0, 1400))
        return played

    return put


@pytest.fixture
def seen(world: Callable[..., World], tmp_path: Path) -> Callable[..., dict[str, list[str]]]:
    """Play all parts with some faults; the checks that did not pass, by part."""

    def played(*faults: str) -> dict[str, list[str]]:
        report, machines = Report(), PlayedMachines(world(*faults), tmp_path, MESH)
        described = copy.deepcopy(machines.variables)
        mesh = Mesh(machines, report, tmp_path)  # type: ignore[arg-type]
        for part, look in PARTS:
            report.part = part
            look(mesh)
        assert len(report.checks) > len(PARTS) and len(machines.written) == 2  # one connection, and to load it
        assert machines.variables != described
        found: dict[str, list[str]] = {}
        for check in report.checks:
            if not check.passed:
                found.setdefault(check.part, []).append(check.name)
        return found

    return played


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("", []),
        ("in clear", ["on the wire it is encrypted", "nothing leaves in clear, though it comes"]),
        ("loses", ["echo requests to the site are answered", "without NAT, the kernel carries without charon"]),
    ],
)
def test_the_first_look_finds_what_is_not_well(
    world: Callable[..., World], tmp_path: Path, fault: str, found: list[str]
) -> None:
    report = Report()
    look = smoke.Smoke(PlayedMachines(world(fault), tmp_path, PAIR), report)  # type: ignore[arg-type]
    checks.data_plane(look.gateway, report)
    look.routing()
    checks.networkd(look.gateway, report)
    look.carries()
    look.charon_killed()
    look.blocked()
    look.charon_killed_without_nat()
    assert [check.name for check in report.checks if not check.passed] == found
    assert len(report.checks) > 25


def test_all_passes_where_all_is_well(seen: Callable[..., dict[str, list[str]]]) -> None:
    assert seen() == {}


@pytest.mark.parametrize(
    ("fault", "part", "check"),
    [
        ("in clear", "Packets both ways", "the filter stops what a wrong route would let out"),
        ("unclamped", "Large packets", "app-a: what the application host offers is clamped"),
        ("unclamped", "Large packets", "app-a, IPv6: what the application host offers is clamped"),
        ("unclamped", "Large packets", "app-a, IPv6: what the site offers is clamped, whoever begins"),
        ("families go apart", "One tunnel blocked", "the site's route moves to the other tunnel"),
        (
            "families go apart",
            "All tunnels of a gateway blocked",
            "the site's route leads to the neighbour, over VXLAN",
        ),
        ("loses", "One tunnel blocked", "packets pass by the other tunnel"),
        (
            "comes not",
            "All tunnels of a gateway blocked",
            "the gateway's packet filter has counted them: they come to it as before",
        ),
        ("loses", "Rekeying", "not a packet is lost"),
        ("no neighbour", "All tunnels of a gateway blocked", "its agent says that they go via its neighbour"),
        ("no neighbour", "charon killed", "behind NAT, its agent says so, and where packets go"),
        (
            "closes all",
            "One tunnel changed",
            "the other tunnels are the same, their BGP sessions too",
        ),
        ("changes again", "The role a second time", "a second run changes nothing"),
        ("stays behind", "One tunnel blocked", "the site's route moves to the other tunnel"),
        ("stays behind", "All tunnels of a gateway blocked", "the site's route leads to the neighbour, over VXLAN"),
        ("stays behind", "charon killed", "behind NAT, the site's route leads to the neighbour"),
        ("boots not", "A gateway rebooted", "after a boot"),
        ("forgets a parameter", "A gateway rebooted", SETTINGS),
        ("no blackholes", "A gateway rebooted", SETTINGS),
        ("filters no more", "A gateway rebooted", "the filter stops what a wrong route would let out"),
    ],
)
def test_what_is_not_well_is_found(
    seen: Callable[..., dict[str, list[str]]], fault: str, part: str, check: str
) -> None:
    assert check in seen(fault)[part]


def test_a_capture_that_does_not_hold_all_that_was_sent_shows_nothing(
    seen: Callable[..., dict[str, list[str]]],
) -> None:
    assert seen("captures end early") == {
        **{part: ["nothing leaves in clear, though it comes"] for part in CAPTURED},
        "charon killed where nobody translates addresses": ["without NAT, on the wire it is encrypted"],
    }


def test_what_leaves_in_clear_is_found_whatever_is_changed(seen: Callable[..., dict[str, list[str]]]) -> None:
    found = seen("in clear")
    assert {part for part, names in found.items() if "nothing leaves in clear, though it comes" in names} == CAPTURED
    assert found["charon killed where nobody translates addresses"] == ["without NAT, on the wire it is encrypted"]


def test_an_ike_sa_that_keeps_its_keys_is_found(seen: Callable[..., dict[str, list[str]]]) -> None:
    assert seen("keeps keys") == {"Rekeying": ["every IKE SA and CHILD SA has new keys each time"]}
