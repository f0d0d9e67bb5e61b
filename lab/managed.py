# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed VPN with packets: makes the tunnels' ends and the sites' customer gateways what the EC2 backend says.

One thread compares what is wanted with what is there, once a second and after each change, and repairs what is missing.
It also looks at every tunnel, tells the backend what it saw, and leads the virtual private gateway's packets into the
first tunnel that is up. A connection whose customer gateway is none of the lab's sites has no packets: it stays down.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lab import managed_site, registry, siteboot, vpn_end
from lab.hosts import Hosts
from lab.managed_site import Customer
from lab.names import Names
from lab.net import netns, vgws
from lab.net.desired import Leg
from lab.vpn_end import End

_LOG = logging.getLogger(__name__)
_EVERY = 1.0


class Telemetry(Protocol):
    """The tunnel in the backend; see lab/api/vpn.py."""

    def say(self, up: bool) -> None: ...

    def count(self, received: int, sent: int) -> None: ...


@dataclass(frozen=True)
class Tunnel:
    """One tunnel as the backend wants it."""

    leg: Leg
    replaced: int  # how often AWS's end of it has been
    telemetry: Telemetry


@dataclass(frozen=True)
class Connection:
    """One connection as the backend wants it."""

    id: str
    vgw: str
    customer: str  # public address
    routes: tuple[str, ...]
    tunnels: tuple[Tunnel, ...]


class ManagedVpn:
    """All managed VPN of one lab."""

    def __init__(self, names: Names, hosts: Hosts) -> None:
        self._names, self._hosts = names, hosts
        self._wanted: tuple[Connection, ...] = ()
        self._wake = threading.Event()
        self._ends: dict[str, End] = {}
        self._sites: dict[str, tuple[Leg, ...]] = {}  # customer gateways that run, by address
        self._ways: dict[tuple[str, str], str | None] = {}  # (gateway, destination) -> namespace of a tunnel's end
        self._counted: dict[str, dict[str, tuple[int, int]]] = {}  # end -> counters of its security associations
        self._variables: Mapping[str, Any] = {}
        self._customers: dict[str, Customer] = {}

    def apply(self, wanted: tuple[Connection, ...]) -> None:
        """Take over what the backend wants; carried out in the thread, which is started with the first connection."""
        if wanted and not self._variables:
            self._variables = siteboot.deployment_variables(self._names)
            self._customers = managed_site.customers(self._variables)
            threading.Thread(target=self._run, name="managed-vpn", daemon=True).start()
        self._wanted = tuple(each for each in wanted if each.customer in self._customers)
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(_EVERY)
            self._wake.clear()
            self._round()

    def _round(self) -> None:
        wanted = self._wanted  # the same for all of it: starting an end takes seconds, in which it may change
        for work in (self._reconcile, self._observe):
            try:
                work(wanted)
            except Exception:
                _LOG.exception("managed VPN")

    # --- What is there -------------------------------------------------------------------------------------

    def _reconcile(self, wanted: tuple[Connection, ...]) -> None:
        ends = {end.id: end for connection in wanted for end in self._described(connection)}
        telemetry = self._telemetry(wanted)
        for end in [each for each in self._ends.values() if ends.get(each.id) != each]:
            if end.id in telemetry:
                telemetry[end.id].say(False)
            vpn_end.stop(self._names, end)
            self._ways = {key: way for key, way in self._ways.items() if way != vpn_end.name(self._names, end)}
            self._counted.pop(end.id, None)
            del self._ends[end.id]
        for end in ends.values():
            if end.id not in self._ends:
                vpn_end.start(self._names, end)
                self._ends[end.id] = end
        legs = {connection.customer: tuple(each.leg for each in connection.tunnels) for connection in wanted}
        for address in [each for each in self._sites if legs.get(each) != self._sites[each]]:
            self._remove_customer(self._customers[address])
            del self._sites[address]
        for address, those in legs.items():
            if address not in self._sites:
                self._boot_customer(self._customers[address], those)
                self._sites[address] = those

    def _described(self, connection: Connection) -> list[End]:
        customer = self._customers[connection.customer]
        return [
            End(connection.vgw, connection.id, number, tunnel.leg, tunnel.replaced, customer)
            for number, tunnel in enumerate(connection.tunnels, 1)
        ]

    def _boot_customer(self, customer: Customer, legs: tuple[Leg, ...]) -> None:
        host = managed_site.host(customer)
        host_id = siteboot.host_id(host)
        self._hosts.start(
            host_id,
            image="golden",
            hostname=host.name,
            prepare=lambda: siteboot.wire(self._names, host),
            files=managed_site.files(self._variables, customer, legs),
        )
        registry.write(self._names, host_id, name=host.name, netns=self._names.netns(host_id), kind="site")

    def _remove_customer(self, customer: Customer) -> None:
        host_id = siteboot.host_id(managed_site.host(customer))
        self._hosts.destroy(host_id)
        netns.delete(self._names.netns(host_id))
        registry.remove(self._names, host_id)

    # --- What it does --------------------------------------------------------------------------------------

    def _observe(self, wanted: tuple[Connection, ...]) -> None:
        telemetry = self._telemetry(wanted)
        up: set[str] = set()
        for end in self._ends.values():
            seen = vpn_end.look(self._names, end)
            before = self._counted.get(end.id, {})
            grown = [
                sum(max(0, now[way] - before.get(spi, (0, 0))[way]) for spi, now in seen.sas.items()) for way in (0, 1)
            ]
            self._counted[end.id] = dict(seen.sas)
            telemetry[end.id].say(seen.up)
            telemetry[end.id].count(*grown)
            if seen.up:
                up.add(end.id)
        for connection in wanted:
            self._lead(connection, up)
        led = {(connection.vgw, cidr) for connection in wanted for cidr in connection.routes}
        gateways = {connection.vgw for connection in wanted}
        for vgw, cidr in [key for key in self._ways if key[0] in gateways and key not in led]:
            vgws.lead(self._names, vgw, cidr, None)
            del self._ways[vgw, cidr]

    def _lead(self, connection: Connection, up: set[str]) -> None:
        """Into the tunnel that is in use while it is up, else into the first that is."""
        ends = [end for end in self._ends.values() if end.connection == connection.id]
        usable = [vpn_end.name(self._names, end) for end in ends if end.id in up]
        for cidr in connection.routes:
            now = self._ways.get((connection.vgw, cidr))
            way = now if now in usable else next(iter(usable), None)
            if way != now or (connection.vgw, cidr) not in self._ways:
                vgws.lead(self._names, connection.vgw, cidr, way)
                self._ways[connection.vgw, cidr] = way

    @staticmethod
    def _telemetry(wanted: tuple[Connection, ...]) -> dict[str, Telemetry]:
        return {
            f"{connection.id}-{number}": tunnel.telemetry
            for connection in wanted
            for number, tunnel in enumerate(connection.tunnels, 1)
        }
