# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees: one sentence for what they can mend, and a lab that is left alone when it is another's."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.module_utils.description import parse
from lab import cli, lifecycle, preflight, supervise
from lab.errors import LabError
from lab.names import REPOSITORY, Names


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Names:
    monkeypatch.setattr(lifecycle, "_NOTES", tmp_path / "notes")
    names = Names("t1none", tmp_path / "dir", 4700)
    for key, value in names.environment().items():
        monkeypatch.setenv(key, value)
    return names


def run(monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lab", *argv])
    return cli.main()


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    assert len(said.err.strip().splitlines()) == 1
    return said.err.strip()


@pytest.mark.parametrize("command", [["up"], ["down"], ["status"], ["image"], ["deps"], ["shell", "gw-a"]])
def test_without_root_it_is_one_sentence(
    command: list[str], names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run(monkeypatch, *command) == 1
    assert "needs root" in sentence(capsys)
    assert not names.dir.exists()


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    have = {"ip", "nft", "nsenter", "ssh", "ssh-keygen", "dpkg-deb"}
    monkeypatch.setattr(shutil, "which", lambda program, path=None: program if program in have else None)
    monkeypatch.setattr(preflight, "_KEYRING", Path("/nonexistent"))
    lacking = "debian-archive-keyring, mmdebstrap, systemd-container, tcpdump"
    with pytest.raises(LabError, match=f"lacks {lacking}: run `python -m lab deps`"):
        preflight.packages()


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LabError, match=f"Port {port} of 127.0.0.1 is in use.*VPNHA_LAB_PORT"):
            preflight.ports([port])
    preflight.ports([port])


def test_a_full_disk_is_told_before_anything_is_made(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    with pytest.raises(LabError, match=r"disk of .* is full \(0 MB free, 300 MB needed\)"):
        preflight.state_directory(names)


def test_too_few_inotify_instances_are_told_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_PROC", tmp_path)
    limit = tmp_path / "sys" / "fs" / "inotify" / "max_user_instances"
    limit.parent.mkdir(parents=True)
    for process, instances in (("1", 40), ("22", 24)):
        (tmp_path / process / "fd").mkdir(parents=True)
        for number in range(instances):
            (tmp_path / process / "fd" / str(number)).symlink_to("anon_inode:inotify")
        (tmp_path / process / "fd" / "socket").symlink_to("socket:[1]")
    limit.write_text("130\n")
    preflight.inotify(11)
    wanted = (
        r"Of root's 130 inotify instances 66 are free, and this lab takes about 72: "
        r".*`sysctl fs.inotify.max_user_instances=512`, or stop another lab"
    )
    with pytest.raises(LabError, match=wanted):
        preflight.inotify(12)
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    preflight.inotify(12)  # those are another user's


def test_a_directory_that_overlayfs_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="VPNHA_LAB_DIR"):
        preflight.state_directory(Names("t1", tmp_path / "a:b", 4700))


def test_a_disk_that_fills_up_later_is_one_sentence_too(
    names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/some/where")

    monkeypatch.setattr(lifecycle, "up", full)
    assert run(monkeypatch, "up") == 1
    assert sentence(capsys).startswith("The disk is full (/some/where)")


def test_down_of_a_lab_that_never_was_changes_nothing(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(lifecycle, "_sweep", lambda _: pytest.fail("swept what is not ours"))
    assert lifecycle.down(names, print) is False


def test_a_lab_of_that_name_in_another_directory_is_left_alone(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(lifecycle, "_sweep", lambda _: pytest.fail("swept what is not ours"))
    lifecycle._NOTES.mkdir()
    (lifecycle._NOTES / names.name).write_text("/somebody/elses\n")
    for act in (lifecycle.down, lifecycle.up):
        with pytest.raises(LabError, match="t1none belongs to /somebody/elses: set VPNHA_LAB_NAME"):
            act(names, print)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a cgroup")
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("works", [True, False])
def test_who_only_builds_images_leaves_the_name_to_others(
    names: Names, monkeypatch: pytest.MonkeyPatch, there: bool, works: bool
) -> None:
    def build(*_: object) -> str:
        assert (lifecycle._NOTES / names.name).read_text() == f"{names.dir}\n", "nobody else comes between"
        if not works:
            raise LabError("no room")
        return "hash"

    monkeypatch.setattr(lifecycle, "_preflight", lambda _: None)
    monkeypatch.setattr(lifecycle.golden, "build", build)
    monkeypatch.setattr(lifecycle, "_namespaces", lambda _: [Path("/run/netns/t1none-x")] if there else [])
    with nullcontext() if works else pytest.raises(LabError, match="no room"):
        assert lifecycle.build_images(names, print) == "hash"
    assert (lifecycle._NOTES / names.name).exists() == names.state.exists() == there


def test_a_wrong_command_line_says_what_is_wrong(
    names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "explode") == 2
    said = capsys.readouterr()
    assert "explode" in said.err and "Traceback" not in said.err


def test_an_unknown_release_is_one_sentence(
    names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "image", "--release", "potato") == 1
    assert "'potato': give one of trixie, bookworm" in sentence(capsys)


def test_a_deployment_that_is_not_there_is_told_before_anything_is_made(
    names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lifecycle, "_preflight", lambda _: None)
    monkeypatch.setenv("VPNHA_LAB_DEPLOYMENT", "/nonexistent/other.yml")
    assert run(monkeypatch, "up") == 1
    assert "/nonexistent/other.yml" in sentence(capsys)
    assert not names.dir.exists()


def test_env_leads_to_the_lab_and_nowhere_else(
    names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "env") == 0
    printed = dict(
        line.removeprefix("export ").split("=", 1)
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("export ")
    )
    assert printed["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4700"
    assert printed["AWS_SHARED_CREDENTIALS_FILE"] == printed["AWS_CONFIG_FILE"] == os.devnull
    assert "127.0.0.1" in printed["NO_PROXY"].strip("'").split(",")


def test_connect_to_an_unknown_host_fails_without_a_traceback(
    names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "connect", "gw-a.lab.invalid") == 1
    assert "no host called gw-a" in sentence(capsys)


@pytest.mark.parametrize(
    ("wanted", "code", "again"),
    [("on", 133, True), ("on", 0, False), ("off", 133, False), ("reboot", 133, True), ("reboot", -9, True)],
)
def test_a_host_is_booted_again_only_when_a_reboot_was_meant(
    wanted: str, code: int, again: bool, tmp_path: Path
) -> None:
    (tmp_path / "wanted").write_text(f"{wanted}\n")
    assert supervise.wants_boot(tmp_path, code) is again


def test_the_shipped_deployment_is_valid_and_reached_through_the_lab_only() -> None:
    variables = yaml.safe_load((REPOSITORY / "lab/inventory/group_vars/all.yml").read_text())
    deployment = parse(variables)
    assert [zone.name for zone in deployment.zones] == ["eu-central-1a", "eu-central-1b"]
    assert {tunnel.name for tunnel in deployment.tunnels} == {"hq-gw-a", "hq-gw-b", "plant-gw-a", "plant-gw-b"}
    hosts = [host for key in ("vpnha_gateways", "vpnha_monitors", "vpnha_app_hosts") for host in variables[key]]
    assert all(host["ansible_host"] == f"{host['name']}.lab.invalid" for host in hosts)
