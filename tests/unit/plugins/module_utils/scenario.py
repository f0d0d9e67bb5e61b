# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small deployment on a virtual clock, for tests that read as failures of it.

``Play`` shows the decision what a monitor would see while the test breaks and mends things, and carries out its swaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ansible_collections.vpnha.aws.plugins.module_utils import decision
from ansible_collections.vpnha.aws.plugins.module_utils.model import (
    Action,
    AgentReport,
    Deployment,
    Ec2View,
    Evidence,
    Gateway,
    GatewayEvidence,
    Instance,
    LossStats,
    ManagedEvidence,
    ManagedGateway,
    ManagedProbe,
    ManagedProbeEvidence,
    Monitor,
    Note,
    ReadEc2,
    Repair,
    RepairResult,
    Route,
    RouteKey,
    Site,
    Swap,
    SwapResult,
    Timing,
    Tunnel,
    TunnelReport,
    Zone,
)

TICK = 0.05
WALL = 1_700_000_000.0
VGW = "vgw-0123456789abcdef0"


def deployment(
    letters: Sequence[str] = "ab", routing: str = "bgp", repair: str = "none", **timing: float
) -> Deployment:
    """A zone and a gateway for each letter, and the sites hq and plant with a tunnel to every gateway."""
    sites = (
        Site("hq", ("192.168.10.0/24",), ("192.168.10.10",), routing),
        Site("plant", ("192.168.20.0/24",), ("192.168.20.10",), routing),
    )
    tunnels = []
    for n, site in enumerate(sites):
        for m, letter in enumerate(letters):
            net = f"169.254.{10 + n}."
            tunnels.append(
                Tunnel(
                    f"{site.name}-gw-{letter}", site.name, f"gw-{letter}", f"198.51.100.{10 * n + m + 11}",
                    f"cgw-{site.name}-{letter}", f"gw-{letter}.lab", f"{net}{4 * m + 1}", f"{net}{4 * m + 2}",
                    f"{net}{4 * m}/30", 65010 + n if routing == "bgp" else None, if_id=640 + 64 * n + m,
                )
            )  # fmt: skip
    return Deployment(
        name="lab",
        region="eu-central-1",
        vpc_cidrs=("10.20.0.0/16",),
        asn=64512,
        zones=tuple(
            Zone(f"zone-{letter}", f"10.20.{m}.0/24", (f"10.20.{16 + m}.0/24",)) for m, letter in enumerate(letters)
        ),
        gateways=tuple(
            Gateway(f"gw-{letter}", f"zone-{letter}", f"10.20.{m}.10", (f"zone-{letter}",))
            for m, letter in enumerate(letters)
        ),
        sites=sites,
        tunnels=tuple(tunnels),
        monitors=(Monitor("mon-a", "zone-b", "10.20.1.20"),),
        timing=Timing(**timing),  # type: ignore[arg-type]
        repair=repair,
    )


def with_managed(plan: Deployment, *home_zones: str, probed: Sequence[str] = ("hq", "plant")) -> Deployment:
    """The same with the managed gateway vgw: as the home of zones if any are named, else as the last resort."""
    managed = ManagedGateway(
        "vgw",
        VGW,
        "home" if home_zones else "last_resort",
        home_zones,
        tuple(ManagedProbe(site.name, site.probe_targets[0]) for site in plan.sites if site.name in probed),
    )
    gateways = tuple(
        replace(gateway, home_zones=tuple(zone for zone in gateway.home_zones if zone not in home_zones))
        for gateway in plan.gateways
    )
    return replace(plan, gateways=gateways, managed_gateways=(managed,))


@dataclass
class Probe:
    """A stream of probes: when it was last answered, and what it loses while it is."""

    answered_at: float | None = None
    works: bool = True
    loss: float = 0.0  # share of probes lost
    watched_since: float = 0.0

    def stats(self, now: float, window: float) -> LossStats:
        """What a ``LossWindow`` would say; a probe that works was answered 10 ms ago."""
        if self.works:
            self.answered_at = now - 0.01
        age = None if self.answered_at is None else now - self.answered_at
        sent = round(window / TICK)
        lost = sent if age is None or age >= window else round(sent * max(age / window, self.loss))
        full = now - self.watched_since >= window
        return LossStats(sent, lost, full, age, self.loss, now - self.watched_since >= 10.0)


@dataclass
class TunnelWorld:
    """A tunnel as its gateway's agent sees it."""

    probe: Probe = field(default_factory=Probe)
    target: Probe = field(default_factory=Probe)
    ike: str = "established"
    child: str = "installed"
    bgp: str = "established"
    large_loss: float = 0.0

    def cut(self) -> None:
        """Nothing comes back any more."""
        self.probe.works = self.target.works = False
        self.bgp = "down"

    def mend(self) -> None:
        """All is well again."""
        self.probe.works = self.target.works = True
        self.bgp, self.ike, self.child = "established", "established", "installed"


@dataclass
class GatewayWorld:
    """A gateway as the world sees it."""

    heartbeat: Probe = field(default_factory=Probe)
    icmp: Probe = field(default_factory=Probe)
    tunnels: dict[str, TunnelWorld] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    peers_hear: bool = True  # the other gateways' agents hear it
    peer_heard_at: float | None = 0.0  # by the other gateways' agents
    heard: bool = False
    charon: str = "alive"
    stopping: str = ""
    handed_over: bool = False
    dataplane: str = ""
    mesh_down: tuple[str, ...] = ()
    report: AgentReport | None = None
    reported_at: float = 0.0

    def power_off(self) -> None:
        """It answers nobody, in no way."""
        self.heartbeat.works = self.icmp.works = self.peers_hear = False

    def power_on(self) -> None:
        """It answers everybody again."""
        self.heartbeat.works = self.icmp.works = self.peers_hear = True
        self.stopping = ""


class Play:
    """The world, the virtual clock and the decision's state; ``run`` lets time pass."""

    def __init__(self, plan: Deployment | None = None, settled: bool = True) -> None:
        self.plan = plan or deployment()
        self.now = 1000.0
        self.gateways: dict[str, GatewayWorld] = {}
        for gateway in self.plan.gateways:
            tunnels = {t.name: TunnelWorld() for t in self.plan.tunnels if t.gateway == gateway.name}
            self.gateways[gateway.name] = GatewayWorld(tunnels=tunnels)
        self.managed = {probe.site: Probe() for one in self.plan.managed_gateways for probe in one.probes}
        self.witness = ""  # what EC2 and CloudWatch say of the managed gateway
        self.witness_age: float | None = 1.0
        for probe in self._probes():
            probe.watched_since = self.now
        self.view = self._first_view()
        self.version = 1
        self.frozen = False  # EC2 cannot be read
        self.lag = 0.0
        self.wall_skew = 0.0
        self.vetoes: dict[str, float] = {}
        self.answer: Callable[[Swap], SwapResult | None] = self._obey
        self.results: list[SwapResult] = []
        self.obey_repair: Callable[[Repair], RepairResult | None] = self._take_repair
        self.repair_results: list[RepairResult] = []
        self.repairs: list[tuple[float, Repair]] = []
        self.clock_skew = 0.0
        self.swaps: list[tuple[float, Swap]] = []
        self.notes: list[tuple[float, Note]] = []
        self.reads: list[tuple[float, ReadEc2]] = []
        self.state = decision.start(self.plan, self.now)
        self._read_at = self.now
        if settled:
            self.run(2).rest(self.plan.timing.hold_down + 8)
            self.swaps.clear()

    # --- what a test does ---------------------------------------------------------------------------------

    def run(self, seconds: float) -> Play:
        """Let time pass, a decision every 50 ms."""
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            self._tick()
        return self

    def rest(self, seconds: float) -> Play:
        """Let time pass in which nothing breaks or mends, a decision every second."""
        for _ in range(round(seconds)):
            self.now += 1.0
            self._tick()
        return self

    def run_until_moved(self, seconds: float) -> float:
        """Seconds until the first swap is ordered."""
        began, count = self.now, len(self.swaps)
        while self.now - began < seconds:
            self.run(TICK)
            if len(self.swaps) > count:
                return self.now - began
        raise AssertionError(f"nothing was swapped within {seconds} s")

    def tunnel(self, name: str) -> TunnelWorld:
        """A tunnel by name."""
        return next(gateway.tunnels[name] for gateway in self.gateways.values() if name in gateway.tunnels)

    def targets_off(self, site: str = "hq") -> None:
        """The site's own hosts fall silent, while its peers answer on."""
        for tunnel in self.plan.tunnels:
            if tunnel.site == site:
                self.tunnel(tunnel.name).target.works = False

    def change_view(self, **changes: object) -> None:
        """Another read of EC2, with changes of ``Ec2View``'s fields."""
        self.view = replace(self.view, **changes)  # type: ignore[arg-type]
        self.version += 1
        self._read_at = self.now

    def change_instance(self, name: str, **changes: object) -> None:
        """Another read of EC2, in which an instance has changed."""
        changed = replace(self.view.instances[name], **changes)  # type: ignore[arg-type]
        self.change_view(instances={**self.view.instances, name: changed})

    def point(self, key: RouteKey, eni_id: str | None, **changes: object) -> None:
        """Another read of EC2, in which a route points elsewhere."""
        owner = {i.eni_id: name for name, i in self.view.instances.items() if eni_id}.get(eni_id)
        changes = {"eni_id": eni_id, "gateway": owner, "target": eni_id or "igw-1", **changes}
        route = replace(self.view.routes[key], **changes)  # type: ignore[arg-type]
        self.change_view(routes={**self.view.routes, key: route})

    # --- what a test looks at -----------------------------------------------------------------------------

    def carrying(self) -> dict[str, str | None]:
        """Where EC2's routes lead: "zone-a hq" -> gateway."""
        return {f"{route.zone} {self._site(key)}": route.gateway for key, route in sorted(self.view.routes.items())}

    def at_home(self) -> bool:
        """Whether every route leads to its home gateway."""
        homes = {zone.name: self.plan.home(zone.name) for zone in self.plan.zones}
        return all(route.gateway == getattr(homes[route.zone], "name", "") for route in self.view.routes.values())

    def moved(self) -> set[tuple[str, str, str]]:
        """(zone, site, target) of the swaps ordered so far."""
        return {(self.view.routes[swap.key].zone, self._site(swap.key), swap.gateway) for _at, swap in self.swaps}

    def told(self, code: str, subject: str | None = None, resolved: bool = False) -> list[Note]:
        """The notes with that code."""
        return [
            note
            for _at, note in self.notes
            if note.code == code and note.resolved == resolved and subject in (None, note.subject)
        ]

    # --- inside -------------------------------------------------------------------------------------------

    def _probes(self) -> Iterable[Probe]:
        yield from self.managed.values()
        for gateway in self.gateways.values():
            yield from (gateway.heartbeat, gateway.icmp)
            for tunnel in gateway.tunnels.values():
                yield from (tunnel.probe, tunnel.target)

    def _first_view(self) -> Ec2View:
        routes = {}
        for zone in self.plan.zones:
            letter, home = zone.name[-1], self.plan.home(zone.name)
            assert home is not None
            eni_id = f"eni-{home.name[-1]}" if self.plan.managed(home.name) is None else None
            for site in self.plan.sites:
                for prefix in site.prefixes:
                    key = RouteKey(f"rtb-{letter}", prefix)
                    routes[key] = Route(key, zone.name, eni_id, home.name, eni_id or VGW)
        instances = {
            gateway.name: Instance(gateway.name, f"i-{gateway.name[-1]}", f"eni-{gateway.name[-1]}", "running")
            for gateway in self.plan.gateways
        }
        return Ec2View(routes, instances, managed={one.name: one.vpn_gateway for one in self.plan.managed_gateways})

    def _site(self, key: RouteKey) -> str:
        site = self.plan.site_of(key.destination)
        return site.name if site else "?"

    def evidence(self) -> Evidence:
        """What the monitor sees now."""
        if not self.frozen and self.now - self._read_at >= self.plan.timing.ec2_interval:
            self.version += 1
            self._read_at = self.now
        for gateway in self.gateways.values():
            if gateway.peers_hear:
                gateway.peer_heard_at = self.now - 0.02
        gateways = {name: self._seen(name, world) for name, world in self.gateways.items()}
        results, self.results = tuple(self.results), []
        repairs, self.repair_results = tuple(self.repair_results), []
        return Evidence(
            gateways, self.view, self.now - self._read_at + 0.1, self.version, self.lag,
            WALL + self.now + self.wall_skew, results, dict(self.vetoes), repairs, self.clock_skew,
            managed={one.name: self._seen_managed() for one in self.plan.managed_gateways},
        )  # fmt: skip

    def _seen_managed(self) -> ManagedEvidence:
        window = self.plan.timing.managed_window
        probes = {site: ManagedProbeEvidence(one.stats(self.now, window), 0.1) for site, one in self.managed.items()}
        return ManagedEvidence(probes, self.witness, self.witness_age, "As the test has it.")

    def _seen(self, name: str, world: GatewayWorld) -> GatewayEvidence:
        timing = self.plan.timing
        heartbeat = world.heartbeat.stats(self.now, timing.window)
        if world.heartbeat.works:
            world.heard = True
            world.reported_at = self.now - 0.03
            world.report = AgentReport(
                "boot", "agent", world.charon,
                {
                    tunnel: TunnelReport(
                        tunnel, one.ike, one.child, one.probe.stats(self.now - 0.03, timing.tunnel_window),
                        one.target.stats(self.now - 0.03, timing.tunnel_window), one.large_loss, one.bgp,
                    )
                    for tunnel, one in world.tunnels.items()
                },
                {site.name: self._way(world, site.name) for site in self.plan.sites},
                {
                    other: None if its.peer_heard_at is None else self.now - its.peer_heard_at
                    for other, its in self.gateways.items()
                    if other != name
                },
                world.stopping,
                handed_over=world.handed_over, dataplane=world.dataplane, mesh_down=world.mesh_down,
            )  # fmt: skip
        age = None if world.report is None else self.now - world.reported_at
        return GatewayEvidence(heartbeat, world.icmp.stats(self.now, timing.window), world.report, age, world.heard)

    def _way(self, world: GatewayWorld, site: str) -> str:
        if site in world.paths:
            return world.paths[site]
        tunnels = [one for name, one in world.tunnels.items() if name.startswith(f"{site}-") and one.bgp != "down"]
        return "tunnel" if any(one.probe.works or one.target.works for one in tunnels) else "none"

    def _tick(self) -> None:
        self.state, actions = decision.step(self.state, self.evidence(), self.now)
        self.lag = 0.0
        for action in actions:
            self._act(action)

    def _act(self, action: Action) -> None:
        if isinstance(action, Note):
            assert action.code != "invariant-violated", action.text
            self.notes.append((self.now, action))
        elif isinstance(action, ReadEc2):
            self.reads.append((self.now, action))
        elif isinstance(action, Repair):
            self.repairs.append((self.now, action))
            told = self.obey_repair(action)
            self.repair_results += [told] if told is not None else []
        else:
            self.swaps.append((self.now, action))
            result = self.answer(action)
            if result is not None:
                self.results.append(result)

    def _take_repair(self, repair: Repair) -> RepairResult:
        """An EC2 that takes tag and call, and shows the tag in the next read. What comes of it is the test's."""
        if repair.mark is not None:
            self.view = replace(self.view, repairs={**self.view.repairs, repair.gateway: repair.mark})
        return RepairResult(repair, marked=True, accepted=True, milliseconds=150.0)

    def _obey(self, swap: Swap) -> SwapResult:
        """An EC2 that does what it is told, and shows it in the next read."""
        eni_id = swap.target if swap.target.startswith("eni-") else None
        route = replace(
            self.view.routes[swap.key], eni_id=eni_id, gateway=swap.gateway, target=swap.target, blackhole=False
        )
        self.view = replace(self.view, routes={**self.view.routes, swap.key: route})
        return SwapResult(swap, accepted=True, milliseconds=150.0)


@lru_cache
def _settled(letters: str, routing: str, repair: str, timing: tuple[tuple[str, float], ...]) -> Play:
    return Play(deployment(letters, routing, repair, **dict(timing)))


def play(letters: str = "ab", routing: str = "bgp", repair: str = "none", **timing: float) -> Play:
    """A world of its own, in which all has been well for longer than the hold-down."""
    return deepcopy(_settled(letters, routing, repair, tuple(sorted(timing.items()))))
