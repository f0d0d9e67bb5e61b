# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the product as types: what a deployment is, what is observed of it, what is done to it.

Everything here is immutable and knows no I/O. Times are seconds of the observer's monotonic clock unless a
name ends in ``_wall`` (seconds since the epoch).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Union

from .dual_stack import ipv4, ipv6

PSK, CERTIFICATE = "psk", "certificate"  # how the two ends of a tunnel authenticate each other

# --- What a deployment is ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tunnel:
    """One IKE SA with its CHILD SA between a gateway and a peer of a site."""

    name: str  # unique in the deployment, also the swanctl connection's name: "<site>-<gateway>"
    site: str
    gateway: str
    peer_address: str  # the customer gateway's public address
    peer_id: str  # its IKE identity
    local_id: str  # the gateway's IKE identity for this tunnel
    inside_address: str  # ours in the tunnel's /30, without prefix length
    peer_inside_address: str  # the peer's in the same /30
    inside_cidr: str  # "169.254.10.0/30"
    peer_asn: int | None  # None in static mode
    initiate: bool = True  # only one end starts; the gateway unless the peer must
    if_id: int = 0  # of the XFRM interface, where the data plane has one
    auth: str = PSK  # or CERTIFICATE

    @property
    def interface(self) -> str:
        """Name of the tunnel's interface where each tunnel has one of its own (XFRM)."""
        return f"vpnha{self.if_id}"


@dataclass(frozen=True)
class Site:
    """A remote network: its prefixes, its probe targets; its peers are in the tunnels."""

    name: str
    prefixes: tuple[str, ...]  # CIDRs, normalised
    probe_targets: tuple[str, ...]  # addresses inside the prefixes that answer ICMP
    routing: str  # "bgp" or "static"
    by_prefix_list: bool = False  # the VPC's route tables have one route to a prefix list of all those of a family
    prefix_list: str = ""  # the id in EC2 of the list of IPv4 prefixes, where it is known
    prefix_list_ipv6: str = ""  # the same of IPv6

    @property
    def prefix_lists(self) -> dict[str, tuple[str, ...]]:
        """The lists by which the site is routed, as far as their ids are known, and the prefixes in each."""
        if not self.by_prefix_list:
            return {}
        of_family = ((self.prefix_list, ipv4(self.prefixes)), (self.prefix_list_ipv6, ipv6(self.prefixes)))
        return {listed: prefixes for listed, prefixes in of_family if listed and prefixes}

    @property
    def destinations(self) -> tuple[str, ...]:
        """What a route table needs routes to: the site's prefix lists, and each of its prefixes that is in none."""
        lists = self.prefix_lists
        among = {prefix for prefixes in lists.values() for prefix in prefixes}
        return (*lists, *(prefix for prefix in self.prefixes if prefix not in among))


@dataclass(frozen=True)
class Gateway:
    """A software VPN instance with a fixed ENI and Elastic IP."""

    name: str
    zone: str
    address: str  # private address of its ENI
    home_zones: tuple[str, ...]  # zones whose route tables use it when all is well
    capacity: float = 1.0  # how much it can take, compared with the others
    certificate_ends: float | None = None  # seconds since the epoch; None: it has none


@dataclass(frozen=True)
class ManagedProbe:
    """An address of a site that answers ICMP, which monitors probe through a managed gateway."""

    site: str
    address: str


LAST_RESORT, HOME = "last_resort", "home"


@dataclass(frozen=True)
class ManagedGateway:
    """An AWS-managed VPN as a route target: a virtual private gateway attached to the VPC, made and kept by others."""

    name: str  # no gateway has it
    vpn_gateway: str  # id of the virtual private gateway
    use: str  # LAST_RESORT: only while no other gateway is up; HOME: a gateway like any other
    home_zones: tuple[str, ...] = ()
    probes: tuple[ManagedProbe, ...] = ()  # one for each site that it leads to

    @property
    def zone(self) -> str:
        """Empty: it is in none."""
        return ""

    @property
    def capacity(self) -> float:
        """As a gateway's where nothing else is said."""
        return 1.0

    @property
    def last_resort(self) -> bool:
        """Whether routes lead there only while no other gateway is up."""
        return self.use == LAST_RESORT


@dataclass(frozen=True)
class Zone:
    """An Availability Zone of the deployment and the subnets in it, as CIDRs."""

    name: str
    gateway_subnet: str
    app_subnets: tuple[str, ...]
    near: tuple[str, ...] = ()  # other zones, the nearest first; those that are not named come after them, all alike
    gateway_subnet_ipv6: str = ""  # the same subnets' networks of IPv6, in the same order
    app_subnets_ipv6: tuple[str, ...] = ()


@dataclass(frozen=True)
class Monitor:
    """A monitor instance."""

    name: str
    zone: str
    address: str


@dataclass(frozen=True)
class Timing:
    """Every delay that decides something; the defaults are the documented ones. Seconds."""

    heartbeat_interval: float = 0.05
    window: float = 0.5  # no reply in all of it: the gateway does not answer
    tunnel_window: float = 0.5  # the same for probes through a tunnel; judged by the agent's report
    bgp_grace: float = 1.5  # time the gateways' own handover gets before a dead tunnel moves routes (routing bgp)
    grey_loss: float = 0.15  # share of packets lost each way that makes a gateway or tunnel grey...
    grey_window: float = 10.0  # ...over this long
    voluntary_delay: float = 30.0  # a grey or via-neighbour path is left after this long without a break
    hold_down: float = 60.0  # healthy this long before a route goes back; doubles with each flap...
    hold_down_max: float = 3600.0  # ...up to this, and is itself again after
    flap_memory: float = 3600.0  # a quiet time of this length
    voluntary_moves_per_hour: int = 12  # per route
    loop_lag: float = 0.25  # a monitor whose loop is later than this does not trust what it saw
    ec2_interval: float = 5.0  # between two reads of routes and instances when nothing happens
    agent_silence_warning: float = 30.0
    managed_interval: float = 0.25  # between two probes through a managed gateway, across the internet
    managed_window: float = 3.0  # no answer in all of it: nothing comes back through the managed gateway
    managed_patience: float = 60.0  # so long it must last where neither EC2 nor CloudWatch says so too
    managed_read: float = 60.0  # between two reads of what EC2 and CloudWatch say of its connections
    repair_after: float = 120.0  # a gateway must be down so long without a break before it is repaired
    repair_interval: float = 600.0  # between two steps of a repair; a step has so long to help
    repairs_per_day: int = 3  # steps per gateway within 24 hours, then a person is told


SPREADS = ("distance", "capacity")
REPAIR_POLICIES = ("none", "reboot", "restart", "replace")


@dataclass(frozen=True)
class Deployment:
    """Everything of one VPC that one set of monitors looks after."""

    name: str
    region: str
    vpc_cidrs: tuple[str, ...]
    asn: int
    zones: tuple[Zone, ...]
    gateways: tuple[Gateway, ...]
    sites: tuple[Site, ...]
    tunnels: tuple[Tunnel, ...]
    monitors: tuple[Monitor, ...]
    timing: Timing = field(default_factory=Timing)
    repair: str = "none"  # what the monitor may do to a gateway that stays down, one of REPAIR_POLICIES
    managed_gateways: tuple[ManagedGateway, ...] = ()
    spread: str = "distance"  # where a lost gateway's zones go: to the nearest gateway, or to the least loaded one

    @property
    def targets(self) -> tuple[Gateway | ManagedGateway, ...]:
        """All that routes may lead to."""
        return (*self.gateways, *self.managed_gateways)

    def managed(self, name: str | None) -> ManagedGateway | None:
        """The managed gateway of that name, if there is one."""
        return next((one for one in self.managed_gateways if one.name == name), None)

    def gateway(self, name: str) -> Gateway:
        """The gateway of that name; KeyError if there is none."""
        for gateway in self.gateways:
            if gateway.name == name:
                return gateway
        raise KeyError(name)

    def site(self, name: str) -> Site:
        """The site of that name; KeyError if there is none."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(name)

    def home(self, zone: str) -> Gateway | ManagedGateway | None:
        """The home gateway of a zone."""
        return self._homes.get(zone)

    def distance(self, zone: str, other: str) -> int:
        """How far another zone is: 0 is the zone itself, 1 the nearest; none is farther than one that is not named."""
        near = self._near.get(zone, ())
        if zone == other:
            return 0
        return 1 + (near.index(other) if other in near else len(near))

    def site_of(self, destination: str) -> Site | None:
        """The site that a managed destination belongs to."""
        return self._sites_by_destination.get(destination)

    def named(self, key: RouteKey) -> str:
        """A route for people: the id of a prefix list is followed by its site's name."""
        site = self.site_of(key.destination)
        return f"{key} ({site.name})" if site is not None and key.destination not in site.prefixes else str(key)

    # looked up for each route and step: made once; the first one in the description counts

    @cached_property
    def _homes(self) -> dict[str, Gateway | ManagedGateway]:
        return {zone: gateway for gateway in reversed(self.targets) for zone in gateway.home_zones}

    @cached_property
    def _near(self) -> dict[str, tuple[str, ...]]:
        return {zone.name: zone.near for zone in self.zones}

    @cached_property
    def _sites_by_destination(self) -> dict[str, Site]:
        return {
            destination: site
            for site in reversed(self.sites)
            # while a site goes over to its prefix list, routes to its prefixes stand beside it, and come first in EC2
            for destination in (*site.prefixes, *site.destinations)
        }


# --- What EC2 shows -----------------------------------------------------------------------------------------


USUAL_PRIORITY = 5  # of a route table that declares none; from 1, the first, to 9
WIDEST_PREFIX = (8, 16)  # of a site, for IPv4 and for IPv6


@dataclass(frozen=True, order=True)
class RouteKey:
    """A swap's granularity: one destination in one route table."""

    table_id: str
    destination: str  # IPv4 CIDR, IPv6 CIDR or prefix list id, as EC2 writes it

    def __str__(self) -> str:
        return f"{self.table_id} {self.destination}"


@dataclass(frozen=True)
class Route:
    """One managed route as one read of EC2 showed it."""

    key: RouteKey
    zone: str  # whose subnets use the table
    eni_id: str | None  # None: it points at something that is no ENI
    gateway: str | None  # the deployment's gateway whose target it is; None: somebody else's
    target: str  # what it points at: "eni-…", "vgw-…", "igw-…", "local"…
    blackhole: bool = False


@dataclass(frozen=True)
class Instance:
    """A gateway's instance and ENI as EC2 shows them."""

    gateway: str
    instance_id: str | None
    eni_id: str | None
    state: str  # EC2's words: "running", "stopped"…; "absent" when there is none
    source_dest_check: bool = False
    system_status: str = "ok"  # "ok", "impaired", "initializing", "insufficient-data", "not-applicable"
    instance_status: str = "ok"
    vpc_id: str | None = None
    retirement_wall: float | None = None  # a scheduled retirement, if EC2 announced one
    eni_free: bool = False  # no instance has the ENI
    eni_dies: bool = False  # EC2 would delete the ENI together with the instance


@dataclass(frozen=True)
class Pin:
    """A person's word that routes stay where they are."""

    gateway: str  # where they were put
    expires_wall: float
    by: str = ""


@dataclass(frozen=True)
class RepairMark:
    """What a gateway's tag says of its repairs."""

    steps_wall: tuple[float, ...] = ()  # when its steps began, the oldest first
    rung: str = ""  # of the last step
    readable: bool = True


@dataclass(frozen=True)
class Left:
    """A route in a table of the deployment, to a gateway of the deployment, which nobody moves."""

    table_id: str
    destination: str
    target: str
    gateway: str
    within: tuple[str, ...]  # the described destinations that it is a part of


@dataclass(frozen=True)
class Ec2View:
    """One consistent read of everything of the deployment in EC2."""

    routes: Mapping[RouteKey, Route]
    instances: Mapping[str, Instance]  # by gateway name
    table_pins: Mapping[str, Pin] = field(default_factory=dict)  # by table id
    paused_deployment_until_wall: float | None = None
    paused_gateways: Mapping[str, float] = field(default_factory=dict)  # name -> expiry, wall
    paused_tables: Mapping[str, float] = field(default_factory=dict)  # table id -> expiry, wall
    missing_routes: frozenset[RouteKey] = frozenset()  # ours by table and destination, but not there
    carried_elsewhere: frozenset[RouteKey] = frozenset()  # of these, those whose packets somebody else's route takes
    refused_tables: Mapping[str, str] = field(default_factory=dict)  # table id -> why it is not looked after
    drill: str | None = None  # a running drill's id
    freeze: str | None = None  # why nothing may be broken on purpose now, for people
    repairs: Mapping[str, RepairMark] = field(default_factory=dict)  # by gateway name
    table_zones: Mapping[str, str] = field(default_factory=dict)  # table id -> zone, of the tables looked after
    table_vpcs: Mapping[str, str] = field(default_factory=dict)  # table id -> VPC id
    vpc_id: str | None = None  # of the deployment, where its tables or interfaces tell
    unreadable_marks: tuple[str, ...] = ()  # pins, pauses, drills whose tag cannot be read in full; one sentence each
    managed: Mapping[str, str] = field(default_factory=dict)  # managed gateway -> its virtual private gateway
    table_priorities: Mapping[str, int] = field(default_factory=dict)  # table id -> its tag's, where it has one
    left: tuple[Left, ...] = ()  # routes for what is not described, which nobody moves

    def priority(self, table_id: str) -> int:
        """When the routes of a table have their turn among others: 1 is the first, 9 the last."""
        return self.table_priorities.get(table_id, USUAL_PRIORITY)

    def target(self, gateway: str) -> str | None:
        """What a route to the gateway must point at: its ENI or its virtual private gateway; None if it has none."""
        instance = self.instances.get(gateway)
        return instance.eni_id if instance is not None else self.managed.get(gateway)


# --- What is observed of a gateway ----------------------------------------------------------------------------


class Verdict(StrEnum):
    """What the evidence amounts to, for a gateway, a tunnel or a (gateway, site)."""

    UP = "up"
    VIA_NEIGHBOUR = "via neighbour"
    GREY = "grey"
    SUSPECT = "suspect"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class LossStats:
    """What a stream of probes says, over the detection window and over the grey window."""

    sent: int = 0  # probes in the detection window whose answer is due
    lost: int = 0
    window_full: bool = False  # observed for a whole window since start or since a break
    last_answer_age: float | None = None  # None: never answered since the start
    slow_loss: float = 0.0  # share lost over the grey window, 0..1
    slow_full: bool = False

    @property
    def silent(self) -> bool:
        """No answer at all over one full window."""
        return self.window_full and self.sent > 0 and self.lost == self.sent


@dataclass(frozen=True)
class TunnelReport:
    """What an agent says of one tunnel, carried in each heartbeat."""

    name: str
    ike: str  # "established", "unanswered" (so, but the peer owes an answer), "connecting", "missing", "unknown"
    child: str  # "installed", "missing", "unknown"
    probe: LossStats  # to the peer's inside address, through this tunnel only
    target: LossStats  # to the site's probe targets, from this tunnel's inside address
    large_loss: float = 0.0  # share of full-size probes lost while small ones pass
    bgp: str = "unknown"  # "established", "down", "unknown", "static"
    rtt_ms: float | None = None


@dataclass(frozen=True)
class AgentReport:
    """What an agent says of its gateway."""

    boot_id: str  # changes with each start of the host
    agent_id: str  # changes with each start of the agent
    charon: str  # "alive", "hung", "dead", "unknown" (a word of a newer version)
    tunnels: Mapping[str, TunnelReport]  # by tunnel name
    paths: Mapping[str, str]  # site -> how packets for it leave: "tunnel", "neighbour", "none"
    peers: Mapping[str, float | None]  # other gateway -> age of its last answer to this agent, seconds
    stopping: str = ""  # "", "agent" (a restart of the agent), "host" (the host is shutting down)
    counters: Mapping[str, int] = field(default_factory=dict)  # zone name -> packets forwarded from that zone
    handed_over: bool = False  # on request, its neighbours carry its traffic
    dataplane: str = ""  # "", "filter-missing", "forwarding-off", or "ipv4-" or "ipv6-forwarding-off" of two in use
    mesh_down: tuple[str, ...] = ()  # the other gateways with which it does not speak BGP


@dataclass(frozen=True)
class GatewayEvidence:
    """All that the monitor knows of one gateway at one moment."""

    heartbeat: LossStats
    icmp: LossStats
    report: AgentReport | None = None  # the newest one
    report_age: float | None = None
    heard_since_start: bool = False

    def recent_report(self, window: float) -> AgentReport | None:
        """Its report, unless it is older than ``window`` seconds."""
        return self.report if self.report_age is not None and self.report_age <= window else None


@dataclass(frozen=True)
class ManagedProbeEvidence:
    """What came back of the probes to one site through a managed gateway."""

    loss: LossStats
    rtt: float | None = None  # smoothed, seconds


WITNESSED_UP, WITNESSED_DOWN = "up", "down"


@dataclass(frozen=True)
class ManagedEvidence:
    """All that the monitor knows of a managed gateway at one moment."""

    probes: Mapping[str, ManagedProbeEvidence] = field(default_factory=dict)  # by site
    witness: str = ""  # what EC2 and CloudWatch say of all its connections together; empty: nothing certain
    witness_age: float | None = None  # seconds since that was read; None: never
    witness_text: str = ""  # the same for people


@dataclass(frozen=True)
class StoreView:
    """What the lease store says, where there are several monitors. Ages are seconds."""

    age: float | None = None  # since before the last read that was answered; None: never read
    lease_age: float | None = None  # since before the renewal of this monitor's lease was sent; None: it has none
    holder: str = ""  # of the lease, by the last read; whether it has run out is not known from this
    words: Mapping[str, float] = field(default_factory=dict)  # other monitor -> since it said that it can act


NO_STORE = StoreView()


@dataclass(frozen=True)
class Evidence:
    """All that the monitor knows at one moment; what ``step`` gets to see."""

    gateways: Mapping[str, GatewayEvidence]
    ec2: Ec2View | None = None
    ec2_age: float | None = None  # since the read that made ``ec2`` began
    ec2_version: int = 0  # grows with each read; two equal ones are one read
    loop_lag: float = 0.0  # how late the loop was, at most, since the last step
    wall: float = 0.0  # this host's wall clock
    results: tuple[SwapResult, ...] = ()  # of swaps that ended since the last step
    vetoes: Mapping[str, float] = field(default_factory=dict)  # gateway -> age of another monitor's "healthy", s
    repair_results: tuple[RepairResult, ...] = ()  # of repairs likewise
    clock_skew: float = 0.0  # AWS's clock minus this host's where it matters, seconds
    store: StoreView = NO_STORE
    managed: Mapping[str, ManagedEvidence] = field(default_factory=dict)  # by managed gateway
    traffic: Mapping[str, float] = field(default_factory=dict)  # zone -> packets a second, lately

    @property
    def aws_wall(self) -> float:
        """What AWS's clock shows, by which pins, pauses, drills and notices begin and end; 0.0 if not known."""
        return self.wall + self.clock_skew if self.wall else 0.0


# --- What is done ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Swap:
    """ReplaceRoute of one route to a gateway."""

    key: RouteKey
    gateway: str
    target: str  # what the route shall point at: the gateway's ENI, or its virtual private gateway
    reason: str  # code of a diagnosis
    voluntary: bool = False
    by_lease: bool = False  # only the lease allows it, so it must not be begun when that runs out
    priority: int = USUAL_PRIORITY  # its table's


DEADLINE = "deadline"  # error of a swap that was not begun, because time was up
WITHDRAWN = "withdrawn"  # of one that was not begun, because meanwhile there was no more reason to


@dataclass(frozen=True)
class SwapResult:
    """What became of a swap."""

    swap: Swap
    accepted: bool | None  # two reads agree; None: not known (timed out, not read back yet)
    error: str = ""  # a code: "RequestLimitExceeded", "timeout"…; empty when there was none
    detail: str = ""
    milliseconds: float = 0.0
    carrying: bool | None = None  # the new gateway counts that zone's packets; None: not measured


@dataclass(frozen=True)
class Repair:
    """One call that shall bring a gateway's instance back."""

    gateway: str
    rung: str  # "reboot", "stop", "power-cut", "start", "terminate" or "launch"
    reason: str  # code of a diagnosis
    instance_id: str  # empty where there is none any more
    eni_id: str  # what carries the gateway's tag
    mark: RepairMark | None = None  # what the tag must say before the call; None: the step that it tells of goes on
    template: str = ""  # name of the launch template, for a launch
    token: str = ""  # by which EC2 knows a launch that it has made already


@dataclass(frozen=True)
class RepairResult:
    """What became of a repair's call."""

    repair: Repair
    marked: bool | None  # the tag says so now; None: not known
    accepted: bool | None  # EC2 has taken the call; None: not known
    error: str = ""  # a code as in `SwapResult`
    detail: str = ""
    milliseconds: float = 0.0


@dataclass(frozen=True)
class Note:
    """Something told to people: in the log, the journal, metrics, and by notification where it matters."""

    code: str  # of a diagnosis
    subject: str  # gateway, tunnel, "gateway/site", route or ""
    text: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    resolved: bool = False


@dataclass(frozen=True)
class ReadEc2:
    """Read routes and instances now, out of turn."""

    reason: str


Action = Union[Swap, Repair, Note, ReadEc2]  # noqa: UP007  (ansible-test's pylint knows no | between classes)
