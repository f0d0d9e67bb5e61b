# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machines: what lies on their disks, how QEMU is called, what a report says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils import tunnel_config
from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from lab.errors import LabError
from lab.names import Names
from lab.vm import image, network, peer
from lab.vm.machine import Machine
from lab.vm.pair import INVENTORY
from lab.vm.report import Report


@pytest.fixture
def variables() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((INVENTORY.parent / "group_vars" / "all.yml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    names = Names("t1", tmp_path, 4700)
    boot = names.images / "vm" / "rootfs" / "boot"
    boot.mkdir(parents=True)
    (names.images / "vm" / "lower.json").write_text("[]", encoding="ascii")
    for name in ("vmlinuz-6.12.9", "initrd.img-6.12.9"):
        (boot / name).touch()
    names.dir.joinpath("key.pub").write_text("ssh-ed25519 AAAA test\n", encoding="ascii")
    return Machine(names, "gw-a", "t1-underlay", network.GATEWAY)


def test_the_network_is_the_described_deployments(variables: dict[str, Any]) -> None:
    deployment = parse(variables)
    (tunnel,) = deployment.tunnels
    assert tunnel.peer_address == network.PEER_ADDRESS
    assert deployment.gateway(tunnel.gateway).address == network.GATEWAY_ADDRESS
    assert deployment.sites[0].prefixes == (network.SITE,)
    assert deployment.sites[0].probe_targets == (network.SITE_ADDRESS,)


def test_the_peer_mirrors_the_gateway_with_an_interface_of_its_own(variables: dict[str, Any]) -> None:
    (tunnel,) = parse(variables).tunnels
    files = peer.files(variables, network.PEER_ADDRESS)
    mode, swanctl = files["/etc/swanctl/conf.d/site.conf"]
    assert mode == 0o600
    assert set(re.findall(r"if_id_(?:in|out) = (\d+)", swanctl)) == {str(peer.IF_ID)}
    assert tunnel.if_id != peer.IF_ID  # else a mix-up of the two ends would go unseen
    assert "start_action = none" in swanctl
    assert tunnel_config.psks(variables["vpnha_sites"])[tunnel.name].encode().hex() in swanctl
    made = files["/usr/local/lib/vpnha/site"][1]
    assert made.startswith("#!/bin/sh\n") and f"{peer.DEVICE} type xfrm if_id {peer.IF_ID}" in made
    conf = files["/etc/frr/frr.conf"][1]
    assert f"interface {peer.DEVICE}\n ip address {tunnel.peer_inside_address}/30" in conf
    assert re.findall(r"neighbor (\S+) remote-as (\d+)", conf) == [(tunnel.inside_address, "64512")]
    assert [path for path, (mode, text) in files.items() if "secret = 0x" in text and mode != 0o600] == []


def test_qemu_emulates_and_has_one_card_that_leads_into_the_namespace(machine: Machine) -> None:
    argv = machine.command()
    assert argv[:3] == ["nice", "-n", "10"]
    assert argv[argv.index("-accel") + 1].startswith("tcg,")
    cards = [argv[at + 1] for at, word in enumerate(argv) if word == "-netdev"]
    assert cards == [f"tap,id=net0,ifname={network.GATEWAY_TAP},script=no,downscript=no"]
    assert "-nodefaults" in argv  # else QEMU adds a card with a way out
    assert argv[argv.index("-kernel") + 1].endswith("boot/vmlinuz-6.12.9")


def test_a_machine_is_reached_by_key_and_named_by_its_card(machine: Machine) -> None:
    files = machine._own_files()
    assert files["/root/.ssh/authorized_keys2"] == (0o600, "ssh-ed25519 AAAA test\n")
    link, settings = (files[f"/etc/systemd/network/{name}"][1] for name in ("10-uplink.link", "20-uplink.network"))
    assert f"MACAddress={machine.mac}" in link and f"Name={network.GATEWAY_IFNAME}" in link
    assert f"Address={network.GATEWAY_ADDRESS}/24" in settings and f"Gateway={network.VPC_ROUTER}" in settings


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
    report.write(tmp_path / "deep" / "report.json")
    written = json.loads((tmp_path / "deep" / "report.json").read_text(encoding="utf-8"))
    assert written["passed"] is wanted
    assert [check["passed"] for check in written["checks"]] == passed


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
