# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the kernel what ``desired`` says: compares it with what was applied, and changes the difference.

Everything is recorded only once the kernel took it, and every step can be done again: after an error the next
comparison repairs what is missing. Routes go by netlink over an open socket (under a millisecond), the rest through
``ip`` and ``nft``.
"""

from __future__ import annotations

import heapq
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lab.names import Names
from lab.net import cards, netns, underlay, vgws
from lab.net.desired import BLACKHOLE, INTERNET, MAIN, Desired, Nic, Route

_LOG = logging.getLogger(__name__)
_UPLINK = "inet0"
_ONLINK = 4  # RTNH_F_ONLINK
_NOTHING = 4294967295  # the metric of the blackhole behind all routes of a table
_RULE = 33000  # after the main table, which knows the addresses of all ENIs


class Kernel:
    """The VPC router of one lab with all its cards."""

    def __init__(self, names: Names, *, opened: Callable[[str], None], closed: Callable[[str], None]) -> None:
        """``opened`` and ``closed`` are told the id of every ENI whose card was made, or is about to go."""
        self._names = names
        self._router = names.netns("router")
        self._opened, self._closed = opened, closed
        self._lock = threading.RLock()
        self._wanted: dict[str, Nic] = {}
        self._cards: dict[str, int] = {}  # ENI -> index of its link in the router
        self._filters: dict[str, str] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._rules: dict[str, int] = {}
        self._ipv6: dict[str, tuple[str, ...]] = {}  # ENI -> its addresses, of those that have any
        self._plugs: dict[str, tuple[object, ...]] = {}
        self._asked: dict[str, tuple[Route, ...]] = {}
        self._routes: dict[str, dict[str, tuple[str, str]]] = {}  # table -> destination -> (target, next hop)
        self._numbers: dict[str, int] = {}
        self._public: dict[str, str] | None = None
        self._vpcs: set[str] = set()
        self._vgws: dict[str, tuple[int, tuple[str, ...]]] = {}  # index of the link in the router, VPC's CIDRs
        self._queue: list[tuple[float, int, str, tuple[Route, ...]]] = []
        self._due: dict[str, float] = {}
        self._sequence = 0
        self._wake = threading.Condition(self._lock)
        self.propagation = (0.0, 0.0)  # seconds from a route's change to its effect: minimum, maximum
        self._netlink: Any = None

    def start(self) -> None:
        """Make the router anew, and the internet if it is missing."""
        from pyroute2 import IPRoute

        with self._lock:
            for kind in ("card-", "vgw-"):
                for stale in netns.all_with(self._names.netns(kind)):  # of a process that was killed
                    netns.delete(stale)
            underlay.make(self._names)
            netns.delete(self._router)
            netns.add(self._router, router=True)
            underlay.plug(self._names, self._router, _UPLINK, underlay.VPC_ROUTER, gateway=None)
            for ipv6 in (False, True):
                netns.ip(self._router, f"rule add blackhole pref {_RULE + 500}", ipv6=ipv6)
            self._netlink = IPRoute(netns=self._router)
            self._uplink = self._index(_UPLINK)
        threading.Thread(target=self._propagate, name="propagation", daemon=True).start()

    def stop(self) -> None:
        """Remove the router and all cards."""
        with self._lock:
            for eni in list(self._cards):
                self._remove(eni)
            if self._netlink is not None:
                self._netlink.close()
            netns.delete(self._router)

    def apply(self, desired: Desired) -> None:
        """Make everything as desired, routes after their propagation. Raises KernelError or OSError."""
        with self._lock:
            self._wanted = dict(desired.nics)
            for eni, nic in self._wanted.items():  # first what loses power, before anything slow
                if self._plugs.get(eni, _plug(nic)) != _plug(nic):
                    self._unplug(eni)
            for eni in [eni for eni in self._cards if eni not in self._wanted]:
                self._remove(eni)
            self._apply_vpcs(set(desired.vpcs))
            self._apply_vgws(desired.vgws)
            for table in desired.tables:
                self._number(table)
            for nic in self._wanted.values():
                self._apply_nic(nic)
            for table in [table for table in self._asked if table not in desired.tables]:
                self._drop_table(table)
            for table, routes in desired.tables.items():
                self.apply_table(table, routes)
            for vgw in [vgw for vgw in self._vgws if vgw not in desired.vgws]:
                vgws.remove(self._names, self._router, vgw)
                del self._vgws[vgw]
            self._apply_public({public: private for nic in self._wanted.values() for public, private in nic.public})

    def apply_table(self, table: str, routes: tuple[Route, ...]) -> None:
        """Change one route table only: what a ReplaceRoute needs."""
        with self._lock:
            if self._asked.get(table) == routes:
                return
            self._asked[table] = routes
            delay = random.uniform(*self.propagation)
            if delay <= 0 and self._due.get(table, 0.0) <= time.monotonic():
                self._apply_routes(table, routes)
                return
            due = max(time.monotonic() + delay, self._due.get(table, 0.0))  # a later change never overtakes
            self._due[table] = due
            self._sequence += 1
            heapq.heappush(self._queue, (due, self._sequence, table, routes))
            self._wake.notify()

    def boot(self, instance: str) -> str:
        """Make the instance's own namespace anew with its interfaces, as at power-on; returns its path."""
        host = cards.host_netns(self._names, instance)
        with self._lock:
            mine = [nic for nic in self._wanted.values() if nic.host == instance]
            for nic in mine:
                self._unplug(nic.eni)
            netns.delete(host)
            netns.add(host)
            for nic in mine:
                self._plug(nic)
        return f"/run/netns/{host}"

    def forget(self, instance: str) -> None:
        """Remove the instance's namespace."""
        netns.delete(cards.host_netns(self._names, instance))

    # --- One ENI -------------------------------------------------------------------------------------------

    def _apply_nic(self, nic: Nic) -> None:
        if nic.eni not in self._cards:
            cards.make(self._names, self._router, nic)
            self._cards[nic.eni] = self._index(cards.router_link(nic.eni))
            self._opened(nic.eni)
        script = cards.filters(nic)
        if self._filters.get(nic.eni) != script:
            netns.nft(cards.card(self._names, nic.eni), script)
            self._filters[nic.eni] = script
        self._apply_addresses(nic)
        self._apply_ipv6(nic)
        self._apply_rule(nic)
        if nic.host and nic.eni not in self._plugs and netns.exists(cards.host_netns(self._names, nic.host)):
            self._plug(nic)

    def _apply_addresses(self, nic: Nic) -> None:
        before = self._addresses.get(nic.eni, ())
        if before == nic.addresses:
            return
        link, mac = cards.router_link(nic.eni), cards.card_mac(nic.eni)
        new = [address for address in nic.addresses if address not in before]
        old = [address for address in before if address not in nic.addresses]
        netns.ip(
            self._router,
            *(f"neighbour replace {address} lladdr {mac} dev {link} nud permanent" for address in new),
            *(f"route replace {address} dev {link}" for address in new),
            *(f"route delete {address} dev {link}" for address in old),
        )
        self._addresses[nic.eni] = nic.addresses

    def _apply_ipv6(self, nic: Nic) -> None:
        before = self._ipv6.get(nic.eni, ())
        if before == nic.ipv6:
            return
        if not any(self._ipv6.values()):
            netns.speak_ipv6(self._router)
            # only inside the VPC: the way to the internet goes on without
            netns.sysctl(self._router, {f"net/ipv6/conf/{_UPLINK}/disable_ipv6": "1"})
        if before:
            netns.ip(self._router, *(f"route delete {address}" for address in before), ipv6=True)
        if nic.ipv6:
            cards.make_ipv6(self._names, self._router, nic)
            if nic.eni in self._plugs:
                cards.plug_ipv6(self._names, nic)
        self._ipv6[nic.eni] = nic.ipv6

    def _apply_rule(self, nic: Nic) -> None:
        number, before = self._numbers.get(nic.table, 0), self._rules.get(nic.eni, 0)
        if number == before:
            return
        link = cards.router_link(nic.eni)
        add = [f"rule add iif {link} lookup {number} pref {_RULE}"] if number else []
        delete = [f"rule delete iif {link} lookup {before} pref {_RULE}"] if before else []
        for ipv6 in (False, True):
            netns.ip(self._router, *add, *delete, ipv6=ipv6)
        self._rules[nic.eni] = number

    def _plug(self, nic: Nic) -> None:
        cards.plug(self._names, nic)
        if nic.ipv6:
            cards.plug_ipv6(self._names, nic)
        self._plugs[nic.eni] = _plug(nic)

    def _unplug(self, eni: str) -> None:
        cards.unplug(self._names, eni)
        self._plugs.pop(eni, None)

    def _remove(self, eni: str) -> None:
        self._closed(eni)
        if self._rules.pop(eni, 0):  # rules by interface name outlive the interface
            for ipv6 in (False, True):
                netns.ip(self._router, f"rule delete iif {cards.router_link(eni)} pref {_RULE}", ipv6=ipv6)
        cards.remove(self._names, self._router, eni)
        for state in (self._cards, self._filters, self._addresses, self._ipv6, self._plugs):
            state.pop(eni, None)

    # --- The router ----------------------------------------------------------------------------------------

    def _index(self, link: str) -> int:
        return int(self._netlink.link_lookup(ifname=link)[0])

    def _number(self, table: str) -> int:
        """The kernel's number of a route table; a new one holds nothing but the last resort."""
        if table not in self._numbers and table != MAIN:
            number = max(self._numbers.values(), default=999) + 1
            for ipv6 in (False, True):
                nothing = f"route replace blackhole default metric {_NOTHING} table {number}"
                netns.ip(self._router, nothing, ipv6=ipv6)
            self._numbers[table] = number
        return self._numbers[table]

    def _drop_table(self, table: str) -> None:
        for ipv6 in (False, True):
            netns.ip(self._router, f"route flush table {self._numbers[table]}", ipv6=ipv6)
        for state in (self._asked, self._routes, self._numbers, self._due):
            state.pop(table, None)

    def _apply_vpcs(self, vpcs: set[str]) -> None:
        """Addresses of a VPC that nobody has lead nowhere, whatever the route tables say."""
        add = [f"route replace blackhole {cidr} metric {_NOTHING}" for cidr in sorted(vpcs - self._vpcs)]
        delete = [f"route delete blackhole {cidr} metric {_NOTHING}" for cidr in sorted(self._vpcs - vpcs)]
        if add or delete:
            netns.ip(self._router, *add, *delete)
        self._vpcs = vpcs

    def _apply_vgws(self, wanted: Mapping[str, tuple[str, ...]]) -> None:
        for vgw, cidrs in wanted.items():
            if vgw not in self._vgws:
                vgws.make(self._names, self._router, vgw)
                self._vgws[vgw] = (self._index(cards.router_link(vgw)), ())
            link, before = self._vgws[vgw]
            vgws.attach(self._names, vgw, set(cidrs) - set(before), set(before) - set(cidrs))
            self._vgws[vgw] = (link, cidrs)

    def _apply_routes(self, table: str, routes: Iterable[Route]) -> None:
        number, before = self._number(table), self._routes.setdefault(table, {})
        try:
            wanted = {route.destination: (route.target, self._next_hop(route)) for route in routes}
            for destination, way in wanted.items():
                if before.get(destination) != way:
                    self._replace(number, destination, *way)
                    before[destination] = way
            for destination in [each for each in before if each not in wanted]:
                self._delete(number, destination)
                del before[destination]
        except BaseException:
            self._asked.pop(table, None)  # the next comparison begins anew
            raise

    def _next_hop(self, route: Route) -> str:
        target = route.target
        if ":" in route.destination:  # there is no internet of IPv6, and no virtual private gateway carries it
            return cards.CARD6 if target in self._wanted else ""
        if target in (INTERNET, BLACKHOLE):
            return underlay.BACKBONE if target == INTERNET else ""
        if target in self._vgws:
            return vgws.HERE
        return self._wanted[target].addresses[0] if target in self._wanted else ""

    def _replace(self, number: int, destination: str, target: str, next_hop: str) -> None:
        if not next_hop:
            self._netlink.route("replace", dst=destination, table=number, type="blackhole")
            return
        link = self._uplink if target == INTERNET else self._cards.get(target) or self._vgws[target][0]
        self._netlink.route("replace", dst=destination, table=number, gateway=next_hop, oif=link, flags=_ONLINK)

    def _delete(self, number: int, destination: str) -> None:
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            self._netlink.route("del", dst=destination, table=number)
        except NetlinkError as error:
            if error.code != 3:  # ESRCH: it went with its interface
                raise

    def _apply_public(self, public: dict[str, str]) -> None:
        """Elastic IPs: one public address for one private, and no way to or from the internet without."""
        if public == self._public:
            return
        inward = ", ".join(f"{outer} : {inner}" for outer, inner in sorted(public.items()))
        outward = ", ".join(f"{inner} : {outer}" for inner, outer in {i: o for o, i in sorted(public.items())}.items())
        holders = ", ".join(sorted(set(public.values())))
        script = ["table ip elastic", "delete table ip elastic", "table ip elastic {"]
        script += [f"map inward {{ type ipv4_addr : ipv4_addr; {_elements(inward)} }}"]
        script += [f"map outward {{ type ipv4_addr : ipv4_addr; {_elements(outward)} }}"]
        script += [f"set holders {{ type ipv4_addr; {_elements(holders)} }}"]
        script += [
            "chain arriving { type nat hook prerouting priority dstnat;",
            f'iifname "{_UPLINK}" dnat to ip daddr map @inward; }}',
            "chain leaving { type nat hook postrouting priority srcnat;",
            f'oifname "{_UPLINK}" snat to ip saddr map @outward; }}',
            "chain passing { type filter hook forward priority 0;",
            f'iifname "{_UPLINK}" ip daddr != @holders drop;',
            f'oifname "{_UPLINK}" ip saddr != @holders drop;',
            f'oifname "{_UPLINK}" ct state invalid drop; }}',
            "}",
        ]
        netns.nft(self._router, "\n".join(script) + "\n")
        self._public = dict(public)

    # --- Propagation ---------------------------------------------------------------------------------------

    def _propagate(self) -> None:
        with self._wake:
            while True:
                while not self._queue or self._queue[0][0] > time.monotonic():
                    self._wake.wait(self._queue[0][0] - time.monotonic() if self._queue else None)
                _, _, table, routes = heapq.heappop(self._queue)
                if table in self._numbers:
                    try:
                        self._apply_routes(table, routes)
                    except Exception:
                        _LOG.exception("a route of %s could not be changed", table)


def _plug(nic: Nic) -> tuple[object, ...]:
    return (nic.host, nic.device, nic.mac, nic.addresses[0])


def _elements(items: str) -> str:
    return f"elements = {{ {items} }}" if items else ""
