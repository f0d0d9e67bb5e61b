# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the backend to the data plane: pure, so these tests need neither root nor an endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from lab.net import cards
from lab.net.desired import Desired, Nic, Route, Rule, collapse, desired


class World:
    """A VPC in a backend of moto's, as it is without mends."""

    def __init__(self) -> None:
        from moto.ec2.models import EC2Backend

        self.backend: Any = EC2Backend("eu-central-1", "123456789012")
        self.vpc = self.backend.create_vpc("10.20.0.0/16")
        self.subnet = self.backend.create_subnet(self.vpc.id, "10.20.1.0/24", availability_zone="eu-central-1a")
        self.table = self.backend.create_route_table(self.vpc.id)

    def eni(self, address: str, groups: list[str] | None = None) -> Any:
        return self.backend.create_network_interface(self.subnet, address, group_ids=groups)

    def group(self, name: str) -> Any:
        return self.backend.create_security_group(name, name, vpc_id=self.vpc.id)

    def route(self, destination: str, **target: Any) -> None:
        self.backend.create_route(self.table.id, destination, **target)

    def routes(self) -> tuple[Route, ...]:
        return self.desired().tables[self.table.id]

    def desired(self, *powered: str) -> Desired:
        return desired(self.backend, powered)

    def nic(self, eni: Any, *powered: str) -> Nic:
        return self.desired(*powered).nics[eni.id]


@pytest.fixture
def world() -> World:
    return World()


def test_an_interface_as_the_kernel_needs_it(world: World) -> None:
    eni = world.eni("10.20.1.10")
    nic = world.nic(eni)
    assert (nic.addresses, nic.prefix_length, nic.gateway, nic.mac) == (
        ("10.20.1.10",), 24, "10.20.1.1", eni.mac_address,
    )  # fmt: skip
    assert nic.check
    assert nic.host is None


def test_only_a_host_with_power_is_plugged(world: World) -> None:
    eni = world.eni("10.20.1.10")
    nics = [{"DeviceIndex": 0, "NetworkInterfaceId": eni.id, "SubnetId": world.subnet.id}]
    made = world.backend.run_instances("ami-1", 1, None, [], nics=nics, is_instance_type_default=True)
    instance = made.instances[0]
    assert world.nic(eni).host is None
    assert world.nic(eni, instance.id).host == instance.id


def test_a_subnet_without_a_table_has_the_main_one(world: World) -> None:
    eni = world.eni("10.20.1.10")
    main = next(table for table in world.backend.route_tables.values() if table.main_association_id
                and table.vpc_id == world.vpc.id)  # fmt: skip
    assert world.nic(eni).table == main.id
    world.backend.associate_route_table(world.table.id, None, world.subnet.id)
    assert world.nic(eni).table == world.table.id


def test_routes_lead_to_interfaces_to_the_internet_or_nowhere(world: World) -> None:
    there, gone = world.eni("10.20.1.10"), world.eni("10.20.1.11")
    attached, detached = world.backend.create_internet_gateway(), world.backend.create_internet_gateway()
    world.backend.attach_internet_gateway(attached.id, world.vpc.id)
    world.route("192.168.10.0/24", interface_id=there.id)
    world.route("192.168.20.0/24", interface_id=gone.id)
    world.route("0.0.0.0/0", gateway_id=attached.id)
    world.route("172.16.0.0/12", gateway_id=detached.id)
    world.backend.delete_network_interface(gone.id)
    assert world.routes() == (
        Route("0.0.0.0/0", "internet"),
        Route("172.16.0.0/12", "blackhole"),
        Route("192.168.10.0/24", there.id),
        Route("192.168.20.0/24", "blackhole"),
    )


def test_a_prefix_list_is_all_its_entries(world: World) -> None:
    eni = world.eni("10.20.1.10")
    entries = [{"Cidr": "192.168.10.0/24"}, {"Cidr": "192.168.30.0/24"}]
    listed = world.backend.create_managed_prefix_list("IPv4", entries, "5", "hq")
    world.route("192.168.10.0/24", interface_id=eni.id)
    next(route for route in world.table.routes if not route.local).destination_prefix_list = listed
    assert [route.destination for route in world.routes()] == ["192.168.10.0/24", "192.168.30.0/24"]


def test_a_route_to_a_range_comes_before_one_to_a_prefix_list(world: World) -> None:
    one, other = world.eni("10.20.1.10"), world.eni("10.20.1.11")
    entries = [{"Cidr": "192.168.10.0/24"}, {"Cidr": "192.168.30.0/24"}]
    listed = world.backend.create_managed_prefix_list("IPv4", entries, "5", "hq")
    world.route("192.168.10.0/24", interface_id=one.id)  # made before the list's, and decides all the same
    world.route("192.168.99.0/24", interface_id=other.id)
    list(world.table.routes)[-1].destination_prefix_list = listed
    assert world.routes() == (Route("192.168.10.0/24", one.id), Route("192.168.30.0/24", other.id))


def test_a_group_as_source_means_its_members(world: World) -> None:
    group = world.group("gateways")
    one = world.eni("10.20.1.10", [group.id])
    world.eni("10.20.1.12", [group.id])
    world.eni("10.20.1.50")
    source = [{"GroupId": group.id}]
    world.backend.authorize_security_group_ingress(group.id, "udp", 4789, 4789, [], source_groups=source)
    assert world.nic(one).ingress == (Rule("udp", 4789, 4789, ("10.20.1.10/32", "10.20.1.12/32")),)


def test_an_elastic_ip_belongs_to_its_private_address(world: World) -> None:
    eni = world.eni("10.20.1.10")
    address = world.backend.allocate_address("vpc", address="203.0.113.7")
    world.backend.associate_address(eni=eni, allocation_id=address.allocation_id)
    assert world.nic(eni).public == (("203.0.113.7", "10.20.1.10"),)


def test_equal_backends_are_equal_data_planes(world: World) -> None:
    world.eni("10.20.1.10")
    assert world.desired() == world.desired()


def test_overlapping_ranges_become_one() -> None:
    assert collapse(["10.0.0.0/8", "10.20.0.0/16", "192.168.1.0/25", "192.168.1.128/25"]) == (
        "10.0.0.0/8",
        "192.168.1.0/24",
    )


# --- The filters of a card --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("-1", None, None, ("0.0.0.0/0",)), "accept"),
        (Rule("tcp", 22, 22, ("10.0.0.0/8",)), "ip saddr { 10.0.0.0/8 } tcp dport 22-22 accept"),
        (Rule("udp", None, None, ("10.0.0.0/8",)), "ip saddr { 10.0.0.0/8 } udp dport 0-65535 accept"),
        (Rule("icmp", None, None, ("0.0.0.0/0",)), "meta l4proto icmp accept"),
        (Rule("icmp", 8, None, ("0.0.0.0/0",)), "icmp type 8 accept"),
        (Rule("icmp", 3, 4, ("0.0.0.0/0",)), "icmp type 3 icmp code 4 accept"),
        (Rule("50", None, None, ("198.51.100.11/32",)), "ip saddr { 198.51.100.11/32 } meta l4proto 50 accept"),
    ],
)
def test_admissions_in_the_words_of_nftables(rule: Rule, expected: str) -> None:
    nic = Nic("eni-1", "02:00:00:00:00:01", ("10.20.1.10",), 24, "10.20.1.1", True, "rtb-1", (rule,), (), (), None, 0)
    assert f"add rule ip card ingress {expected}\n" in cards.filters(nic)


def test_without_the_check_any_address_passes(world: World) -> None:
    eni = world.eni("10.20.1.10")
    assert "ip saddr != { 10.20.1.10 } drop" in cards.filters(world.nic(eni))
    eni.source_dest_check = False
    assert "!=" not in cards.filters(world.nic(eni))


def test_a_route_to_a_virtual_private_gateway_leads_there_while_it_is_attached(world: World) -> None:
    gateway = world.backend.create_vpn_gateway()
    world.backend.attach_vpn_gateway(gateway.id, world.vpc.id)
    world.route("192.168.10.0/24", gateway_id=gateway.id)
    assert world.routes() == (Route("192.168.10.0/24", gateway.id),)
    assert world.desired().vgws == {gateway.id: ("10.20.0.0/16",)}
    world.backend.detach_vpn_gateway(gateway.id, world.vpc.id)
    assert world.routes() == (Route("192.168.10.0/24", "blackhole"),)
    assert world.desired().vgws == {gateway.id: ()}
    world.backend.delete_vpn_gateway(gateway.id)
    assert world.desired().vgws == {}


# --- IPv6 -----------------------------------------------------------------------------------------------------------


def test_routes_and_ranges_of_ipv6_are_there_beside_those_of_ipv4() -> None:
    world = World()
    world.backend.associate_vpc_cidr_block(world.vpc.id, None, True)
    eni = world.eni("10.20.1.10")
    eni.ipv6_addresses = ["2001:db8:20::7"]
    world.backend.create_route(world.table.id, None, "2001:DB8:A10::/48", interface_id=eni.id)
    assert world.routes() == (Route("2001:db8:a10::/48", eni.id),)
    assert world.nic(eni).ipv6 == ("2001:db8:20::7",)
    assert [cidr for cidr in world.desired().vpcs if ":" in cidr]


def test_a_virtual_private_gateway_carries_no_ipv6(world: World) -> None:
    world.backend.associate_vpc_cidr_block(world.vpc.id, None, True)
    gateway = world.backend.create_vpn_gateway()
    world.backend.attach_vpn_gateway(gateway.id, world.vpc.id)
    assert world.desired().vgws[gateway.id] == ("10.20.0.0/16",)


@pytest.mark.parametrize(
    ("rule", "four", "six"),
    [
        (Rule("-1", None, None, ("2001:db8::/32",)), "", "ip6 saddr { 2001:db8::/32 } accept"),
        (Rule("-1", None, None, ("10.0.0.0/8", "::/0")), "ip saddr { 10.0.0.0/8 } accept", "accept"),
        (Rule("icmp", None, None, ("0.0.0.0/0", "::/0")), "meta l4proto icmp accept", ""),
        (Rule("icmpv6", 128, None, ("0.0.0.0/0", "::/0")), "", "icmpv6 type 128 accept"),
    ],
)
def test_each_family_has_its_own_admissions(rule: Rule, four: str, six: str) -> None:
    nic = Nic(
        "eni-1", "02:00:00:00:00:01", ("10.20.1.10",), 24, "10.20.1.1", True, "rtb-1", (rule,), (), (), None, 0,
        ("2001:db8:20::7",),
    )  # fmt: skip
    lines = cards.filters(nic).splitlines()
    for family, expected in (("ip", four), ("ip6", six)):
        head = f"add rule {family} card ingress "
        assert [line.removeprefix(head) for line in lines if line.startswith(head)] == ([expected] if expected else [])
    assert 'add rule ip6 card forward iifname "h0" ip6 saddr != { 2001:db8:20::7 } drop' in lines


def test_without_addresses_of_ipv6_a_card_has_no_filter_for_it(world: World) -> None:
    assert "ip6" not in cards.filters(world.nic(world.eni("10.20.1.10")))
