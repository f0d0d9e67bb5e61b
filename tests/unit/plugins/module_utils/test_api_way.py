# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which route a monitor's calls leave: EC2's order of routes, and what leads through a gateway."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.api_way import (
    BEHIND,
    PAST,
    UNKNOWN,
    WITHIN,
    Place,
    Service,
    Way,
    called,
    connect,
    judge,
    route_for,
    warning,
)

HOST, PUBLIC = "ec2.eu-central-1.amazonaws.com", "52.94.1.1"
LOCAL = {"DestinationCidrBlock": "10.20.0.0/16", "GatewayId": "local"}
INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}


def to(destination: str, target: str, **more: Any) -> dict[str, Any]:
    """A route; the kinds are told by what the words begin with."""
    kinds = {"eni": "NetworkInterfaceId", "igw": "GatewayId", "vgw": "GatewayId", "vpce": "GatewayId"}
    kinds |= {"nat": "NatGatewayId", "tgw": "TransitGatewayId", "local": "GatewayId"}
    if destination.startswith("pl-"):
        where = "DestinationPrefixListId"
    else:
        where = "DestinationIpv6CidrBlock" if ":" in destination else "DestinationCidrBlock"
    return {where: destination, kinds[target.partition("-")[0]]: target, **more}


def place(*routes: dict[str, Any], moved: Sequence[str] = (), **entries: Sequence[str]) -> Place:
    """A monitor's subnet with these routes; ``eni-a`` and ``vgw-1`` are gateways."""
    return Place(
        {"RouteTableId": "rtb-1", "Routes": [LOCAL, *routes]},
        {name.replace("_", "-"): cidrs for name, cidrs in entries.items()},
        {"eni-a": "gw-a", "vgw-1": "aws-vpn"},
        frozenset(moved),
    )


def seen(*routes: dict[str, Any], address: str = PUBLIC, **more: Any) -> Way:
    return judge(HOST, [address], place(*routes, **more))


@pytest.mark.parametrize("target", ["igw-1", "nat-1", "tgw-1", "eni-of-a-firewall"])
def test_out_by_what_is_no_gateway_of_the_deployment(target: str) -> None:
    way = seen(to("0.0.0.0/0", target), to("192.168.10.0/24", "eni-a"))
    assert (way.kind, way.table, way.destination, way.target) == (PAST, "rtb-1", "0.0.0.0/0", target)
    assert way.text == f"EC2's API ({HOST} at {PUBLIC}) is called by the route 0.0.0.0/0 of rtb-1 to {target}."


@pytest.mark.parametrize(
    ("target", "name", "more"),
    [
        ("eni-a", "gw-a", {}),
        ("eni-a", "gw-a", {"State": "blackhole"}),
        ("vgw-1", "aws-vpn", {}),
        ("vgw-1", "aws-vpn", {"Origin": "EnableVgwRoutePropagation"}),
    ],
)
def test_through_a_gateway(target: str, name: str, more: dict[str, str]) -> None:
    way = seen(to("0.0.0.0/0", target, **more))
    assert (way.kind, way.target) == (BEHIND, target)
    assert way.text.startswith(f"EC2's API ({HOST} at {PUBLIC}) is called through {name}, by the route 0.0.0.0/0 of ")


def test_a_narrow_route_to_a_gateway_takes_what_a_wide_one_to_the_internet_does_not() -> None:
    assert seen(INTERNET, to("52.0.0.0/8", "eni-a")).kind == BEHIND
    assert seen(INTERNET, to("53.0.0.0/8", "eni-a")).kind == PAST
    assert seen(to("0.0.0.0/0", "eni-a"), to("52.94.0.0/16", "nat-1")).kind == PAST


def test_within_the_vpc_no_default_route_matters() -> None:
    way = seen(to("0.0.0.0/0", "eni-a"), address="10.20.1.77")
    assert (way.kind, way.target) == (WITHIN, "local")
    assert way.text == f"EC2's API ({HOST} at 10.20.1.77) is within the VPC."
    # a route that is narrower than the VPC, as for a firewall, takes its packets all the same
    assert seen(to("10.20.1.0/24", "eni-a"), address="10.20.1.77").kind == BEHIND


def test_a_route_that_is_moved_is_no_way_wherever_it_leads_now() -> None:
    route = to("52.0.0.0/8", "nat-1")
    assert seen(INTERNET, route).kind == PAST
    way = seen(INTERNET, route, moved=["52.0.0.0/8"])
    assert way.kind == BEHIND and "which is the deployment's to move" in way.text


def test_prefix_lists_count_by_their_entries_and_come_after_a_range_of_the_same_length() -> None:
    routes = (INTERNET, to("pl-1", "eni-a"))
    assert seen(*routes, pl_1=["52.94.0.0/16"]).kind == BEHIND
    assert seen(*routes, pl_1=["52.95.0.0/16"]).kind == PAST
    assert seen(*routes).kind == PAST  # its entries may not be read
    assert seen(*routes, to("52.94.0.0/16", "nat-1"), pl_1=["52.94.0.0/16"]).kind == PAST
    assert seen(*routes, moved=["pl-1"], pl_1=["52.94.0.0/16"]).destination == "pl-1"


def test_a_route_of_a_table_comes_before_one_that_is_propagated() -> None:
    routes = [to("0.0.0.0/0", "vgw-1", Origin="EnableVgwRoutePropagation"), INTERNET]
    for order in (routes, routes[::-1]):
        found = route_for(ip_address(PUBLIC), place(*order))
        assert found is not None and found["GatewayId"] == "igw-1"
    narrow = to("52.94.0.0/16", "vgw-1", Origin="EnableVgwRoutePropagation")
    assert seen(*routes, narrow).kind == BEHIND


def test_ipv6_goes_by_ipv6_routes() -> None:
    routes = (to("0.0.0.0/0", "eni-a"), to("::/0", "igw-1"))
    assert seen(*routes, address="2600:1f14::1").kind == PAST
    assert judge(HOST, ["2600:1f14::1", PUBLIC], place(*routes)).kind == BEHIND  # the worst of several


def test_what_cannot_be_told_is_not_called_bad() -> None:
    nowhere = seen()
    assert (nowhere.kind, nowhere.target) == (UNKNOWN, "") and "no route of rtb-1" in nowhere.text
    assert judge(HOST, [], place(INTERNET)).kind == UNKNOWN
    odd = {"DestinationCidrBlock": "what EC2 may think of", "CoreNetworkArn": "arn:1"}
    assert seen(odd, INTERNET).kind == PAST
    assert judge("127.0.0.1", ["127.0.0.1"], place()).text == "EC2's API at 127.0.0.1 is on this host."


# --- The other services --------------------------------------------------------------------------------------------


def said(
    where: Place | None, *, api: str = HOST, url: str = "https://sns.example.com", fails: Exception | None = None
) -> str:
    """The warning of an SNS whose address is outside the VPC, and to which a connection fails so."""

    def connected(addresses: Sequence[str], port: int) -> None:
        assert (addresses, port) == ((PUBLIC,), 443)
        if fails is not None:
            raise fails

    service = Service("SNS", "no message gets to the topic", lambda: url)
    return warning(service, api, where, lambda _host, _port: (PUBLIC,), connected)


def test_another_service_through_a_gateway_is_warned_of() -> None:
    text = said(place(to("0.0.0.0/0", "eni-a")))
    assert text == (
        f"SNS (sns.example.com at {PUBLIC}) is called through gw-a, by the route 0.0.0.0/0 of rtb-1 to eni-a: when "
        "that gateway fails, no message gets to the topic."
    )
    assert (
        said(place(to("0.0.0.0/0", "eni-a")), api="sns.example.com") == ""
    )  # by a proxy or a URL for all: said of EC2
    # DynamoDB's gateway endpoint is a route to a list of AWS's
    assert said(place(to("0.0.0.0/0", "eni-a"), to("pl-1", "vpce-1"), pl_1=["52.94.0.0/16"])) == ""


def test_another_service_that_cannot_be_reached_is_warned_of_whatever_the_error_is() -> None:
    assert said(place(INTERNET)) == said(None) == said(place()) == ""
    for where in (place(INTERNET), None):
        assert said(where, fails=TimeoutError("timed out")) == (
            "SNS (sns.example.com:443) cannot be reached from here: timed out. Until it can, no message gets to the "
            "topic."
        )
    assert "SNS cannot be reached from here: Port" in said(None, url="https://sns.example.com:port")
    assert "SNS (sns.example.com:443) cannot be reached from here: odd" in said(None, fails=RuntimeError("odd"))


def test_a_connection_to_any_address_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect(["127.0.0.2", "127.0.0.1"], port)  # nobody listens at the first
    with pytest.raises(OSError, match="refused"):
        connect(["127.0.0.1"], port)
    with pytest.raises(OSError, match="no address"):
        connect([], port)
    tried: list[str] = []

    def never(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append(address[0])
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(OSError, match="timed out"):
        connect([f"192.0.2.{number}" for number in range(20)], port)
    assert len(tried) == 4  # the look ends within seconds


# --- Proxies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("https://ec2.eu-central-1.amazonaws.com", {}, ("ec2.eu-central-1.amazonaws.com", 443)),
        ("http://192.0.2.10:4566", {}, ("192.0.2.10", 4566)),
        ("https://ec2.example.com", {"HTTPS_PROXY": "http://proxy.example.com:3128"}, ("proxy.example.com", 3128)),
        ("https://ec2.example.com", {"https_proxy": "proxy.example.com:3128"}, ("proxy.example.com", 3128)),
        (
            "https://ec2.example.com",
            {"HTTPS_PROXY": "http://proxy.example.com:3128", "NO_PROXY": "example.com"},
            ("ec2.example.com", 443),
        ),
    ],
)
def test_a_proxy_is_what_is_called(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], expected: tuple[str, int]
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert called(url) == expected
