# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, registry, pid files: how the lab finds its own things, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import procs, registry
from lab.errors import LabError
from lab.names import REPOSITORY, Names


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names("t1", tmp_path, 4700)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("bad", ["", "a-b", "a.b", "A", "1a", "a" * 11, "../x"])
def test_a_name_that_could_be_another_labs_prefix_is_refused(bad: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="VPNHA_LAB_NAME"):
        Names(bad, tmp_path, 4700)


@pytest.mark.parametrize("port", ["x", "-1", "80", "70000", "4566 "])
def test_a_bad_port_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPNHA_LAB_PORT", port)
    with pytest.raises(LabError, match="VPNHA_LAB_PORT"):
        Names.from_env()


def test_defaults_and_environment_are_each_others_inverse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key in ("VPNHA_LAB_NAME", "VPNHA_LAB_DIR", "VPNHA_LAB_PORT"):
        monkeypatch.delenv(key, raising=False)
    default = Names.from_env()
    assert (default.name, default.dir, default.port) == ("vpnha", REPOSITORY / ".lab", 4566)
    for key, value in Names("t2", tmp_path, 5000).environment().items():
        monkeypatch.setenv(key, value)
    again = Names.from_env()
    assert (again.name, again.dir, again.port) == ("t2", tmp_path, 5000)


def test_a_host_is_found_by_name_domain_and_id(names: Names) -> None:
    registry.write(names, "i-1", name="gw-a", netns="t1-i-1", kind="ec2")
    found = ("i-1", {"name": "gw-a", "netns": "t1-i-1", "kind": "ec2", "address": "127.0.0.1"})
    assert registry.find(names, "gw-a") == registry.find(names, "gw-a.lab.invalid") == found
    assert registry.find(names, "i-1") == found


def test_an_unknown_host_is_told_with_those_there_are(names: Names) -> None:
    registry.write(names, "i-1", name="gw-a", netns="t1-i-1", kind="ec2")
    with pytest.raises(LabError, match="no host called gw-b; its hosts are: gw-a"):
        registry.find(names, "gw-b")


def test_two_hosts_of_one_name_are_not_confused(names: Names) -> None:
    for host_id in ("i-1", "i-2"):
        registry.write(names, host_id, name="gw-a", netns=f"t1-{host_id}", kind="ec2")
    with pytest.raises(LabError, match=r"i-1, i-2.*use the id"):
        registry.find(names, "gw-a")
    registry.remove(names, "i-2")
    assert registry.find(names, "gw-a")[0] == "i-1"


def test_a_daemon_is_known_by_pid_and_start_time(names: Names, child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{child.pid} {procs.start_time(child.pid)}")
    assert procs.running(pid_file) == child.pid
    assert procs.end(pid_file) is True
    assert child.wait() != 0
    assert not pid_file.exists()


def test_a_reused_pid_is_never_ended(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{child.pid} 1")  # began right after the machine: not this one
    assert procs.running(pid_file) is None
    assert procs.end(pid_file) is False
    assert child.poll() is None


@pytest.mark.parametrize("content", ["", "12", "x y z", "999999999 5"])
def test_a_broken_pid_file_means_not_running(content: str, tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(content)
    assert procs.running(tmp_path / "pid") is None


def test_the_start_time_of_a_process_whose_name_has_spaces_is_found() -> None:
    stat = Path("/proc/self/stat").read_text()
    assert procs.start_time(os.getpid()) == stat.rpartition(")")[2].split()[19]
