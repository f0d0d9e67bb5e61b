# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machines: what lies on their disks, how QEMU is called, what a report says."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from lab.errors import LabError
from lab.names import Names
from lab.steps import commit
from lab.vm import __main__ as program
from lab.vm import image, peer
from lab.vm.gateway import Sa, sas
from lab.vm.machine import Machine
from lab.vm.machines import MESH, PAIR
from lab.vm.mesh import renamed, replaced
from lab.vm.network import Network, segments_offered
from lab.vm.report import WRITTEN, Report, told
from lab.vm.traffic import longest_run


def described(description: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(description.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def variables() -> dict[str, Any]:
    return described(PAIR)


@pytest.fixture
def network(tmp_path: Path, variables: dict[str, Any]) -> Network:
    return Network(Names("t1", tmp_path, 4700), parse(variables))


@pytest.fixture
def machine(tmp_path: Path, network: Network) -> Machine:
    names = Names("t1", tmp_path, 4700)
    boot = names.images / "vm" / "rootfs" / "boot"
    boot.mkdir(parents=True)
    (names.images / "vm" / "lower.json").write_text("[]", encoding="ascii")
    for name in ("vmlinuz-6.12.9", "initrd.img-6.12.9"):
        (boot / name).touch()
    names.dir.joinpath("key.pub").write_text("ssh-ed25519 AAAA test\n", encoding="ascii")
    return Machine(names, "gw-a", "t1-underlay", network.gateways["gw-a"])


@pytest.mark.parametrize("description", [PAIR, MESH])
def test_the_network_is_the_described_deployments(tmp_path: Path, description: Path) -> None:
    deployment = parse(described(description))
    network = Network(Names("t1", tmp_path, 4700), deployment)
    assert {name: cable.addresses for name, cable in network.gateways.items()} == {
        gateway.name: (gateway.address,) for gateway in deployment.gateways
    }
    assert set(network.peer.addresses) == {tunnel.peer_address for tunnel in deployment.tunnels}
    assert network.prefixes == deployment.sites[0].prefixes and network.site == network.prefixes[0]
    assert network.targets == deployment.sites[0].probe_targets and network.site_address == network.targets[0]
    assert [app.gateway for app in network.apps] == [gateway.name for gateway in deployment.gateways]
    assert len(set(network.elastic.values())) == len(deployment.gateways)


def test_what_speaks_ipv6_has_an_address_in_its_subnet(tmp_path: Path) -> None:
    deployment = parse(described(MESH))
    network = Network(Names("t1", tmp_path, 4700), deployment)
    for zone, app in zip(deployment.zones, network.apps, strict=True):
        gateway = network.gateways[app.gateway]
        for subnet, one in ((zone.gateway_subnet_ipv6, gateway), (zone.app_subnets_ipv6[0], app)):
            assert one.ipv6 != one.router_ipv6
            assert all(ip_address(each) in ip_network(subnet) for each in (one.ipv6, one.router_ipv6))


def test_each_gateway_of_the_mesh_has_two_tunnels_to_one_site() -> None:
    tunnels = parse(described(MESH)).tunnels
    assert sorted((tunnel.gateway, tunnel.site) for tunnel in tunnels) == [
        ("gw-a", "hq"), ("gw-a", "hq"), ("gw-b", "hq"), ("gw-b", "hq"),
    ]  # fmt: skip


@pytest.mark.parametrize("description", [PAIR, MESH])
def test_the_peer_mirrors_the_gateways_with_an_interface_for_each_tunnel(description: Path) -> None:
    variables = described(description)
    files, ends = peer.files(variables), peer.ends(variables)
    assert [end.tunnel for end in ends] == list(parse(variables).tunnels)
    for end in ends:
        mode, swanctl = files[f"/etc/swanctl/conf.d/{end.tunnel.name}.conf"]
        assert mode == 0o600
        assert set(re.findall(r"if_id_(?:in|out) = (\d+)", swanctl)) == {str(end.if_id)}
        assert "start_action = none" in swanctl and f"local_addrs = {end.tunnel.peer_address}\n" in swanctl
        assert tunnel_config.psks(variables["vpnha_sites"])[end.tunnel.name].encode().hex() in swanctl
        made = files["/usr/local/lib/vpnha/site"][1]
        assert made.startswith("#!/bin/sh\n") and f"{end.device} type xfrm if_id {end.if_id}\n" in made
        conf = files["/etc/frr/frr.conf"][1]
        assert f"interface {end.device}\n ip address {end.tunnel.peer_inside_address}/30\n" in conf
        dual = f" ipv6 address {end.address_ipv6}/126\n" in conf
        assert dual == (f"  neighbor {end.tunnel.inside_address} route-map TO-GATEWAY6 out\n" in conf)
        assert dual == (description == MESH)
    # another one than any gateway's, else a mix-up of the two ends would go unseen
    assert {end.if_id for end in ends}.isdisjoint({end.tunnel.if_id for end in ends})
    neighbours = [(end.tunnel.inside_address, "64512") for end in ends]
    assert re.findall(r"neighbor (\S+) remote-as (\d+)", conf) == neighbours
    assert [path for path, (mode, text) in files.items() if "secret = 0x" in text and mode != 0o600] == []


def test_a_renamed_tunnel_is_the_only_one_that_differs() -> None:
    variables = described(MESH)
    before = {tunnel.name: tunnel for tunnel in parse(variables).tunnels}
    other = {**variables, "vpnha_sites": renamed(variables["vpnha_sites"], "gw-a")}
    after = {tunnel.name: tunnel for tunnel in parse(other).tunnels}
    assert [name for name, tunnel in after.items() if tunnel != before[name]] == ["hq-gw-a-2"]
    files, others = peer.connections(variables), peer.connections(other)
    assert [path for path, text in others.items() if text != files[path]] == ["/etc/swanctl/conf.d/hq-gw-a-2.conf"]


def test_sas_are_read_as_swanctl_lists_them() -> None:
    said = (
        "list-sa event {hq-gw-a {uniqueid=7 version=2 state=ESTABLISHED local-host=10.20.0.10 child-sas {hq-gw-a-12 "
        "{name=hq-gw-a uniqueid=12 reqid=1 state=DELETED mode=TUNNEL spi-in=c1 spi-out=c2} hq-gw-a-13 {name=hq-gw-a "
        "uniqueid=13 reqid=1 state=INSTALLED mode=TUNNEL if-id-in=280 if-id-out=280 spi-in=c3 spi-out=c4}}}}\n"
        "list-sa event {hq-gw-a {uniqueid=8 version=2 state=CONNECTING child-sas {}}}\n"
        "list-sas reply {}\n"
    )
    assert sas(said) == {"hq-gw-a": Sa(("7",), (("13", "c3", "c4"),))}


def test_qemu_emulates_and_has_one_card_that_leads_into_the_namespace(machine: Machine) -> None:
    argv = machine.command()
    assert argv[:3] == ["nice", "-n", "10"]
    assert argv[argv.index("-accel") + 1].startswith("tcg,")
    cards = [argv[at + 1] for at, word in enumerate(argv) if word == "-netdev"]
    assert cards == ["tap,id=net0,ifname=gw-a,script=no,downscript=no"]
    assert "-nodefaults" in argv  # else QEMU adds a card with a way out
    assert argv[argv.index("-kernel") + 1].endswith("boot/vmlinuz-6.12.9")


def test_a_machine_is_reached_by_key_and_named_by_its_card(machine: Machine) -> None:
    cable = machine.cable
    files = machine._own_files()
    assert files["/root/.ssh/authorized_keys2"] == (0o600, "ssh-ed25519 AAAA test\n")
    link, settings = (files[f"/etc/systemd/network/{name}"][1] for name in ("10-uplink.link", "20-uplink.network"))
    assert f"MACAddress={machine.mac}" in link and f"Name={cable.ifname}" in link
    assert f"Address={cable.addresses[0]}/24\n" in settings and f"Gateway={cable.router}\n" in settings
    assert "LinkLocalAddressing=no\n" in settings
    dual = replace(machine, cable=replace(cable, ipv6="2001:db8:20::a", router_ipv6="2001:db8:20::1"))
    settings = dual._own_files()["/etc/systemd/network/20-uplink.network"][1]
    assert "LinkLocalAddressing=ipv6\nIPv6AcceptRA=no\nAddress=2001:db8:20::a/64\nGateway=2001:db8:20::1\n" in settings


def segment(destination: str, flags: int, mss: int) -> bytes:
    """A frame with a TCP segment that offers a largest one."""
    tcp = struct.pack("!HHIIBBHHHBBH", 40000, 8080, 0, 0, 6 << 4, flags, 0, 0, 0, 2, 4, mss)
    there = ip_address(destination)
    if there.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + bytes(4) + there.packed
    else:
        header = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + bytes(16) + there.packed
    return bytes(12) + (b"\x08\x00" if there.version == 4 else b"\x86\xdd") + header + tcp


@pytest.mark.skipif(not shutil.which("tcpdump"), reason="needs tcpdump")
@pytest.mark.parametrize(
    ("prefix", "there"), [("192.168.10.0/24", "192.168.10.10"), ("2001:db8:a10::/48", "2001:db8:a10::10")]
)
def test_offered_segments_are_those_of_syns_that_match(tmp_path: Path, prefix: str, there: str) -> None:
    syn, ack = 0x02, 0x10
    frames = [
        segment(there, syn, 1340), segment(there, syn | ack, 1350), segment(there, ack, 1111),
        segment("10.20.16.50", syn, 1222), segment("2001:db8:20:10::32", syn, 1333),
    ]  # fmt: skip
    capture = tmp_path / "syns.pcap"
    packets = b"".join(struct.pack("=IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames)
    capture.write_bytes(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + packets)
    assert segments_offered(capture, f"dst net {prefix}") == [1340, 1350]


def test_an_image_without_kernel_is_named(machine: Machine) -> None:
    for path in (machine.names.images / "vm" / "rootfs" / "boot").iterdir():
        path.unlink()
    with pytest.raises(LabError, match="has no kernel in"):
        machine.command()


def test_a_processor_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image.platform, "machine", lambda: "s390x")
    with pytest.raises(LabError, match="s390x"):
        image.architecture()


@pytest.mark.parametrize(
    ("passed", "error", "wanted"),
    [([True, True], "", True), ([True, False], "", False), ([True], "ended", False), ([], "", False)],
)
def test_a_report_passes_only_whole(tmp_path: Path, passed: list[bool], error: str, wanted: bool) -> None:
    report = Report(error=error)
    for number, one in enumerate(passed):
        report.check(f"check {number}", one, number)
    file = report.write(tmp_path / "deep", "What was seen")
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["passed"] is wanted
    assert [check["passed"] for check in written["checks"]] == passed
    assert written["commit"] == commit()


def test_the_page_has_each_part_with_what_was_seen(tmp_path: Path) -> None:
    report = Report()
    report.part = "Packets & more"
    report.check("not a packet is lost", False, {"gw-a": ["1 of 2 lost", True]})
    page = (report.write(tmp_path, "A stock kernel").with_suffix(".html")).read_text(encoding="utf-8")
    assert "<h2>Packets &amp; more</h2>" in page and "<title>A stock kernel</title>" in page
    assert "gw-a: 1 of 2 lost, yes</td>" in page and "0 of 1 checks passed" in page
    assert f", {commit()}</p>" in page


def test_a_run_removes_what_an_earlier_one_has_left_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays = {"galaxy.yml", "role-notes.log", "reports"}
    (tmp_path / "reports").mkdir()
    for name in ("galaxy.yml", "role-notes.log", *WRITTEN):
        (tmp_path / name).write_text("earlier", encoding="ascii")
    monkeypatch.setattr(program, "_names", lambda: Names("t1", tmp_path, 4700))
    monkeypatch.setattr(program.lifecycle, "borrowed", lambda *_lab, **_how: contextlib.nullcontext())
    found: set[str] = set()

    def run(_names: Names, _step: Any, report: Report, output: Path, *, stay: bool) -> None:
        assert output == tmp_path and not stay
        found.update(path.name for path in output.iterdir())
        report.check("it runs", True, "")

    program._report("A run", run, tmp_path, keep=False)
    assert found == stays
    assert {path.name for path in tmp_path.iterdir()} == {*stays, "report.json", "report.html"}


def test_both_runs_have_a_directory_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[Path] = []
    monkeypatch.setattr(program, "_report", lambda _title, _run, output, _keep: outputs.append(output))
    program.smoke()
    program.mesh()
    assert outputs == [program.OUTPUT / "smoke", program.OUTPUT / "mesh"]


def test_what_was_seen_is_told_without_brackets() -> None:
    assert told({"a": ("x", 2), "b": {"c": False}}) == "a: x, 2; b: c: no"


def test_a_tunnel_is_replaced_when_nothing_of_it_is_left() -> None:
    before = Sa(("1",), (("1", "a", "b"),))
    assert replaced(Sa(("2",), (("2", "c", "d"),)), before)
    assert not replaced(Sa(("2",), (("1", "a", "b"),)), before)  # the IKE SA alone was rekeyed
    assert not replaced(Sa(("1", "2"), (("2", "c", "d"),)), before)
    assert not replaced(Sa((), ()), before)


@pytest.mark.parametrize(("lost", "longest"), [([], 0), ([4], 1), ([9, 1, 2, 3, 7, 8], 3)])
def test_the_longest_outage_is_of_neighbouring_packets(lost: list[int], longest: int) -> None:
    assert longest_run(lost) == longest


def test_the_image_of_the_machines_outlives_a_new_image_of_the_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab import image as images_module

    monkeypatch.setattr(images_module, "_ROOM", 0)
    images = images_module.Images(Names("t1", tmp_path, 4700))
    for which, digest, below in (
        ("base", "b1", []),
        ("golden", "g1", ["b1"]),
        ("vm", "v1", ["g1", "b1"]),
        ("golden", "g2", ["b1"]),
    ):
        with images.locked(print), images.building(digest) as new:
            (new / "rootfs").mkdir()
            (new / "lower.json").write_text(json.dumps(below))
        images.publish_existing(which, digest)
    assert [path.parent.name for path in images.layers("vm")] == ["v1", "g1", "b1"]
    assert (images.dir / "g1" / "rootfs").is_dir()
