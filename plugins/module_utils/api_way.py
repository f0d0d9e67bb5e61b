# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which route a monitor's calls to EC2, and to the other services that it needs, leave its subnet.

Through a gateway of the deployment, they would end with that gateway, and nobody could move routes off it. The first
hop is what counts here: what lies behind a NAT gateway or a Transit Gateway is not looked at.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Union
from urllib.parse import urlsplit

from . import ec2, tags
from .errors import Ec2Error
from .items import Item, destination_of, gateway_of_interface, is_propagated, target_of
from .model import Deployment

WITHIN = "within"  # the VPC itself, so by an endpoint
PAST = "past"  # out of the VPC by a route that has nothing to do with the gateways
BEHIND = "behind"  # through a gateway of the deployment, or by a route that is moved
UNKNOWN = "unknown"

_CONNECT_SECONDS = 2.0  # for each address
_ADDRESSES = 4  # of a name that are tried

Address = Union[IPv4Address, IPv6Address]  # noqa: UP007 (ansible-test's pylint knows no other way)
Network = Union[IPv4Network, IPv6Network]  # noqa: UP007


@dataclass(frozen=True)
class Way:
    """How a monitor's calls to EC2 leave, as a word and as a sentence."""

    kind: str
    text: str
    host: str = ""  # that is called
    addresses: tuple[str, ...] = ()
    table: str = ""  # the route table of the monitor's subnet
    destination: str = ""  # of the route that is taken
    target: str = ""  # what that route leads to
    warnings: Mapping[str, str] = field(default_factory=dict)  # a sentence by name of another service


@dataclass(frozen=True)
class Service:
    """One of AWS's that a monitor needs."""

    name: str  # as it stands in sentences
    lost: str  # what is, while nothing gets there
    url: Callable[[], str] = str  # where it is called, empty where that is known otherwise; may raise Ec2Error


EC2 = Service("EC2's API", "no call gets through that would move routes off it")


@dataclass(frozen=True)
class Place:
    """Where the monitor is in EC2, and what a way through a gateway is known by."""

    table: Item
    entries: Mapping[str, Sequence[str]]  # by prefix list
    gateways: Mapping[str, str]  # interface or virtual private gateway -> gateway
    moved: frozenset[str]  # destinations in this table that are the deployment's to move


def resolve(host: str, port: int) -> tuple[str, ...]:
    """The addresses of a host, each once. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))


def connect(addresses: Sequence[str], port: int) -> None:
    """Connect to one of these addresses, and close it. Raises OSError, within seconds."""
    failed = OSError("the name has no address")
    for address in addresses[:_ADDRESSES]:
        try:
            socket.create_connection((address, port), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            failed = error
        else:
            return
    raise failed


def find(
    client: Any,
    deployment: Deployment,
    monitor: str,
    resolved: Callable[[str, int], tuple[str, ...]] = resolve,
    services: Iterable[Service] = (),
) -> Way:
    """How a monitor's calls leave: some calls, and a question to DNS. Raises Ec2Error if EC2 does not answer.

    ``services`` are the others that are looked at.
    """
    host, port = called(str(client.meta.endpoint_url))
    place, missing = _place(client, deployment, monitor)
    try:
        addresses = resolved(host, port)
    except OSError as error:  # though EC2 has just answered, by a connection that was open
        way = Way(UNKNOWN, f"The name of EC2's API, {host}, cannot be resolved any more: {error}.", host)
    else:
        way = Way(UNKNOWN, missing, host, addresses) if place is None else judge(host, addresses, place)
    found = {service.name: warning(service, host, place, resolved) for service in services}
    return replace(way, warnings={name: text for name, text in found.items() if text})


def warning(
    service: Service,
    api: str,
    place: Place | None,
    resolved: Callable[[str, int], tuple[str, ...]] = resolve,
    connected: Callable[[Sequence[str], int], None] = connect,
) -> str:
    """A sentence where a service is not reached as it should be; empty where it is, or shares EC2's host, ``api``."""
    named = service.name
    try:
        host, port = called(service.url())
        if host == api:
            return ""
        named = f"{service.name} ({host}:{port})"
        addresses = resolved(host, port)
        way = None if place is None else judge(host, addresses, place, service)
        if way is not None and way.kind == BEHIND:
            return way.text
        connected(addresses, port)
    except Exception as error:  # whatever it is, what was seen of EC2 stays
        return f"{named} cannot be reached from here: {error}. Until it can, {service.lost}."
    return ""


def called(url: str) -> tuple[str, int]:
    """The host and port that a client of this URL connects to: a proxy's, if the environment names one for it."""
    from botocore.utils import get_environ_proxies

    proxy = get_environ_proxies(url).get(urlsplit(url).scheme)
    parts = urlsplit(proxy if proxy and "://" in proxy else f"http://{proxy}" if proxy else url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _place(client: Any, deployment: Deployment, monitor: str) -> tuple[Place | None, str]:
    """Where the monitor is, or why that is not known."""
    enis = ec2.pages(
        client, "describe_network_interfaces", "NetworkInterfaces", "reading where the monitor is",
        Filters=tags.filters(deployment.name), MaxResults=1000,
    )  # fmt: skip
    mine = [eni for eni in enis if tags.to_dict(eni.get("TagSet")).get("Name") == monitor]
    if not mine:
        return None, f"No network interface in EC2 has the tags of {monitor}, so its way to EC2's API is not known."
    doing = "reading the route table of the monitor's subnet"
    subnet, vpc = mine[0]["SubnetId"], mine[0]["VpcId"]
    for filters in (
        [{"Name": "association.subnet-id", "Values": [subnet]}],
        [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}],
    ):
        tables = ec2.pages(client, "describe_route_tables", "RouteTables", doing, Filters=filters)
        if tables:
            return _described(client, deployment, tables[0], enis), ""
    return None, f"EC2 shows no route table of {subnet}, where {monitor} is, so its way to EC2's API is not known."


def _described(client: Any, deployment: Deployment, table: Item, enis: Sequence[Item]) -> Place:
    gateways = {str(eni["NetworkInterfaceId"]): name for eni in enis if (name := gateway_of_interface(eni))}
    gateways |= {one.vpn_gateway: one.name for one in deployment.managed_gateways}
    tag = tags.to_dict(table.get("Tags"))
    ours = tag.get(tags.DEPLOYMENT) == deployment.name and tag.get(tags.TABLE) == "app"
    moved = {destination for site in deployment.sites for destination in site.destinations} if ours else set()
    entries: dict[str, Sequence[str]] = {}
    for site in deployment.sites:
        entries |= site.prefix_lists
    for route in table.get("Routes", ()):
        listed = str(route.get("DestinationPrefixListId") or "")
        if listed and listed not in entries:
            entries[listed] = _entries(client, listed)
    return Place(table, entries, gateways, frozenset(moved))


def _entries(client: Any, listed: str) -> list[str]:
    """The networks of a prefix list that is not the deployment's; none where it may not be read."""
    try:
        found = ec2.pages(
            client, "get_managed_prefix_list_entries", "Entries", f"reading the prefix list {listed}",
            PrefixListId=listed, MaxResults=100,
        )  # fmt: skip
    except Ec2Error:
        return []
    return [str(entry["Cidr"]) for entry in found]


# --- Pure from here ------------------------------------------------------------------------------------------------


def judge(host: str, addresses: Sequence[str], place: Place, service: Service = EC2) -> Way:
    """How calls to these addresses leave; of several, the way of the one that is worst off."""
    order = (BEHIND, UNKNOWN, PAST, WITHIN)
    ways = [_judge_one(host, address, place, service) for address in addresses]
    if not ways:
        return Way(UNKNOWN, f"The name of {service.name}, {host}, has no address.", host)
    worst = min(ways, key=lambda way: order.index(way.kind))
    return Way(
        worst.kind,
        worst.text,
        host,
        tuple(addresses),
        str(place.table["RouteTableId"]),
        worst.destination,
        worst.target,
    )


def _judge_one(host: str, address: str, place: Place, service: Service) -> Way:
    ip, table = ip_address(address), str(place.table["RouteTableId"])
    named = f"{service.name} at {address}" if host == address else f"{service.name} ({host} at {address})"
    if ip.is_loopback:
        return Way(WITHIN, f"{named} is on this host.")
    route = route_for(ip, place)
    if route is None:
        return Way(UNKNOWN, f"{named} is called, but no route of {table}, the monitor's route table, leads there.")
    destination, target = destination_of(route), target_of(route)
    leads = f"the route {destination} of {table}"
    if target == "local":
        return Way(WITHIN, f"{named} is within the VPC.", destination=destination, target=target)
    gateway = place.gateways.get(target)
    if gateway is not None:
        text = f"{named} is called through {gateway}, by {leads} to {target}: when that gateway fails, {service.lost}."
        return Way(BEHIND, text, destination=destination, target=target)
    if destination in place.moved:
        text = f"{named} is called by {leads}, which is the deployment's to move, so that calls go where the VPN leads."
        return Way(BEHIND, text, destination=destination, target=target)
    return Way(PAST, f"{named} is called by {leads} to {target}.", destination=destination, target=target)


def route_for(address: Address, place: Place) -> Item | None:
    """The route that a packet to an address takes: the longest prefix; of equals local, a CIDR's, a list's, propagated.

    That is EC2's order (https://docs.aws.amazon.com/vpc/latest/userguide/route-tables-priority.html).
    """
    best: tuple[int, int] = (-1, -1)
    found: Item | None = None
    for route, network in _networks(place):
        rank = (network.prefixlen, _rank(route))
        if network.version == address.version and address in network and rank > best:
            best, found = rank, route
    return found


def _rank(route: Item) -> int:
    if target_of(route) == "local":
        return 3
    if is_propagated(route):
        return 0
    return 1 if route.get("DestinationPrefixListId") else 2


def _networks(place: Place) -> Iterator[tuple[Item, Network]]:
    for route in place.table.get("Routes", ()):
        destination = destination_of(route)
        listed = place.entries.get(destination, ()) if destination.startswith("pl-") else (destination,)
        for cidr in listed:
            try:
                yield route, ip_network(cidr, strict=False)
            except ValueError:
                continue  # a destination of a kind that is not known here
