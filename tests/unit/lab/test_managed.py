# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed VPN in the lab: both ends of a tunnel fit together, and what the thread does about changes."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import faults, managed_aws, managed_site, registry, sites, vpn_end
from lab.errors import LabError
from lab.managed import Connection, ManagedVpn, Tunnel
from lab.names import Names
from lab.net import netns, vgws
from lab.net.desired import Leg
from lab.siteboot import SHIPPED
from lab.vpn_end import End, Seen

KEY = "a.key.that.nobody.sees"


@pytest.fixture
def variables() -> dict[str, Any]:
    return copy.deepcopy(dict(yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))))


def test_each_site_has_an_address_for_managed_vpn(variables: dict[str, Any]) -> None:
    found = managed_site.customers(variables)
    assert {address: each.name for address, each in found.items()} == {
        "198.51.100.201": "cgw-hq-m",
        "198.51.100.202": "cgw-plant-m",
    }
    hosts = [*sites.site_hosts(variables), *(managed_site.host(each) for each in found.values())]
    addresses = [interface.address for host in hosts for interface in host.interfaces]
    assert len(addresses) == len(set(addresses))


def test_a_peer_at_that_address_is_refused(variables: dict[str, Any]) -> None:
    variables["vpnha_sites"][0]["tunnels"][0]["peer"] = "198.51.100.202"
    with pytest.raises(LabError, match=r"198\.51\.100\.202 is a peer of plant"):
        managed_site.customers(variables)


def legs() -> tuple[Leg, Leg]:
    return (
        Leg("192.0.2.129", "169.254.200.0/30", KEY),
        Leg("192.0.2.130", "169.254.200.4/30", KEY),
    )


def test_both_ends_of_a_tunnel_fit_together(variables: dict[str, Any]) -> None:
    customer = managed_site.customers(variables)["198.51.100.201"]
    leg = legs()[0]
    end = End("vgw-1", "vpn-1", 1, leg, 0, customer)
    ours, theirs = vpn_end.connection(end), managed_site.connection(customer, leg, 1)
    assert (ours["local"], ours["remote"]) == (theirs["remote"], theirs["local"])
    assert (ours["local_addrs"], ours["remote_addrs"]) == (theirs["remote_addrs"], theirs["local_addrs"])
    our_child, their_child = ours["children"]["tunnel"], theirs["children"]["aws-1"]
    assert our_child["local_ts"] == their_child["remote_ts"]
    assert our_child["remote_ts"] == their_child["local_ts"]
    assert (our_child["start_action"], their_child["start_action"]) == ("none", "start")


def test_the_customer_gateway_has_both_tunnels_and_is_the_last_resort(variables: dict[str, Any]) -> None:
    customer = managed_site.customers(variables)["198.51.100.201"]
    files = managed_site.files(variables, customer, legs())
    with_key = {path: mode for path, (mode, content) in files.items() if KEY.encode().hex() in content}
    assert with_key == {f"/etc/swanctl/conf.d/aws-{number}.conf": 0o600 for number in (1, 2)}
    conf = files["/etc/frr/frr.conf"][1]
    assert conf.count("ip address 169.254.200.") == 2
    assert "set as-path prepend 65010 65010 65010" in conf
    core = sites.site_files(variables)["core-hq"]["/etc/frr/frr.conf"][1]
    assert f"bgp listen range {customer.lan}/32" in core
    track = files["/usr/local/lib/vpnha/track"][1]
    assert "if carries 169.254.200.2 169.254.200.1 || carries 169.254.200.6 169.254.200.5; then" in track


def test_a_deployment_without_that_site_cannot_have_it(tmp_path: Path, variables: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="lab_managed_vpn has the site moon, but vpnha_sites has hq, plant"):
        managed_aws.ensure(Names("t1", tmp_path, 4700), variables, ["moon"])


# --- The thread's work -------------------------------------------------------------------------------------


@dataclass
class Telemetry:
    """What the backend was told."""

    up: bool = False
    counted: list[tuple[int, int]] = field(default_factory=list)

    def say(self, up: bool) -> None:
        self.up = up

    def count(self, received: int, sent: int) -> None:
        self.counted.append((received, sent))


class Plane:
    """Stands for namespaces, strongSwan and hosts."""

    def __init__(self) -> None:
        self.ends: dict[str, End] = {}
        self.seen: dict[str, Seen] = {}
        self.ways: dict[str, str | None] = {}
        self.did: list[str] = []

    def start(self, _names: Names, end: End) -> None:
        self.did.append(f"start {end.id}")
        self.ends[end.id] = end

    def stop(self, _names: Names, end: End) -> None:
        self.did.append(f"stop {end.id}")
        del self.ends[end.id]

    def look(self, _names: Names, end: End) -> Seen:
        return self.seen.get(end.id, Seen(False, {}))

    def lead(self, _names: Names, _vgw: str, cidr: str, end: str | None) -> None:
        self.ways[cidr] = end


class Hosts:
    """Hosts that only note what is asked of them."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    def start(self, host_id: str, **_: Any) -> None:
        self.plane.did.append(f"boot {host_id}")

    def destroy(self, host_id: str) -> None:
        self.plane.did.append(f"destroy {host_id}")


class World:
    """One connection to hq, and the thread's work on demand."""

    def __init__(self, names: Names, plane: Plane, variables: dict[str, Any]) -> None:
        self.plane, self.telemetry = plane, (Telemetry(), Telemetry())
        self.managed = ManagedVpn(names, Hosts(plane))  # type: ignore[arg-type]
        self.managed._variables, self.managed._customers = variables, managed_site.customers(variables)
        tunnels = tuple(Tunnel(leg, 0, telemetry) for leg, telemetry in zip(legs(), self.telemetry, strict=True))
        self.connection = Connection("vpn-1", "vgw-1", "198.51.100.201", ("192.168.10.0/24",), tunnels)

    def work(self, *connections: Connection) -> list[str]:
        """Let these be wanted, do one round, and tell what was done."""
        self.plane.did.clear()
        self.managed.apply(connections)
        self.managed._reconcile(self.managed._wanted)
        self.managed._observe(self.managed._wanted)
        return list(self.plane.did)

    def up(self, *numbers: int) -> None:
        """Let these tunnels be up."""
        self.plane.seen = {f"vpn-1-{number}": Seen(True, {"a": (5, 7)}) for number in numbers}

    def replaced(self) -> Connection:
        """The connection after the endpoint of its first tunnel has been replaced."""
        first, second = self.connection.tunnels
        return dataclasses.replace(self.connection, tunnels=(dataclasses.replace(first, replaced=1), second))


@pytest.fixture
def world(tmp_path: Path, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> World:
    plane = Plane()
    for what in ("start", "stop", "look"):
        monkeypatch.setattr(vpn_end, what, getattr(plane, what))
    monkeypatch.setattr(vgws, "lead", plane.lead)
    return World(Names("t1", tmp_path, 4700), plane, variables)


def test_a_connection_gets_its_ends_and_its_customer_gateway_once(world: World) -> None:
    assert world.work(world.connection) == ["start vpn-1-1", "start vpn-1-2", "boot site-cgw-hq-m"]
    assert world.work(world.connection) == []
    assert world.work() == ["stop vpn-1-1", "stop vpn-1-2", "destroy site-cgw-hq-m"]


def test_a_connection_to_somebody_unknown_gets_nothing(world: World) -> None:
    assert world.work(dataclasses.replace(world.connection, customer="198.51.100.7")) == []


def test_a_replaced_endpoint_is_made_anew_and_is_down_meanwhile(world: World) -> None:
    world.up(1, 2)
    world.work(world.connection)
    assert [each.up for each in world.telemetry] == [True, True]
    world.up(2)
    assert world.work(world.replaced()) == ["stop vpn-1-1", "start vpn-1-1"]
    assert [each.up for each in world.telemetry] == [False, True]


def test_another_key_is_told_to_both_ends(world: World) -> None:
    world.work(world.connection)
    first, second = world.connection.tunnels
    other = dataclasses.replace(second.leg, key="another.key")
    changed = dataclasses.replace(world.connection, tunnels=(first, dataclasses.replace(second, leg=other)))
    assert world.work(changed) == ["stop vpn-1-2", "start vpn-1-2", "destroy site-cgw-hq-m", "boot site-cgw-hq-m"]


def test_packets_go_into_the_first_tunnel_that_is_up_and_stay_there(world: World) -> None:
    ways = world.plane.ways
    world.work(world.connection)
    assert ways == {"192.168.10.0/24": None}
    world.up(2)
    world.work(world.connection)
    assert ways == {"192.168.10.0/24": "t1-vpn-1-2"}
    world.up(1, 2)
    world.work(world.connection)
    assert ways == {"192.168.10.0/24": "t1-vpn-1-2"}
    world.up(1)
    world.work(world.connection)
    assert ways == {"192.168.10.0/24": "t1-vpn-1-1"}
    world.work(dataclasses.replace(world.connection, routes=()))
    assert ways == {"192.168.10.0/24": None}


def test_what_changes_during_a_round_waits_for_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(names: Names, end: End) -> None:
        world.plane.start(names, end)
        world.managed.apply(())  # the connection is deleted meanwhile

    monkeypatch.setattr(vpn_end, "start", start)
    world.up(1)
    world.managed.apply((world.connection,))
    world.managed._round()
    assert world.plane.ways == {"192.168.10.0/24": "t1-vpn-1-1"}
    world.managed._round()
    assert world.plane.ends == {}
    assert caplog.records == []


def test_bytes_are_counted_over_rekeys(world: World) -> None:
    seen = ({"a": (5, 7)}, {"a": (6, 9), "b": (1, 1)}, {"b": (4, 1)})
    for sas in seen:
        world.plane.seen = {"vpn-1-1": Seen(True, sas)}
        world.work(world.connection)
    assert world.telemetry[0].counted == [(5, 7), (2, 3), (3, 0)]


# --- Faults ------------------------------------------------------------------------------------------------


def test_one_tunnel_or_both_can_be_blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, tables = Names("t1", tmp_path, 4700), dict[str, str]()
    monkeypatch.setattr(netns, "nft", tables.__setitem__)
    for number in (1, 2):
        where = f"t1-vpn-1-{number}"
        registry.write(
            names, f"vpn-1-{number}", name=f"vgw-hq-{number}", netns=where, kind="vpn", address="192.0.2.129"
        )
    faults.add(names, "vpn-block", ["hq", "2"], faults.Options())
    assert list(tables) == ["t1-vpn-1-2"]
    assert "udp dport { 500, 4500 } counter drop" in tables["t1-vpn-1-2"]
    faults.add(names, "vpn-block", ["hq"], faults.Options())
    assert set(tables) == {"t1-vpn-1-1", "t1-vpn-1-2"}
    with pytest.raises(LabError, match="no tunnel '3'"):
        faults.add(names, "vpn-block", ["hq", "3"], faults.Options())
    with pytest.raises(LabError, match="no host called vgw-plant-1"):
        faults.add(names, "vpn-block", ["plant", "1"], faults.Options())
