# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machines: what is seen of two gateways, and that nothing stays when a run is ended half-way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import cgroups, lifecycle
from lab.names import Names
from lab.vm.__main__ import OUTPUT
from lab.vm.mesh import PARTS

pytestmark = pytest.mark.vm
ENV = {**os.environ, "VPNHA_LAB_NAME": "vpnhavmt"}


def names() -> Names:
    """The tests' own machines, beside those that a person has running."""
    return Names("vpnhavmt", Names.from_env().dir, 4966)


def vm(*argv: str) -> list[str]:
    return [sys.executable, "-m", "lab.vm", *argv]


def emulators() -> list[str]:
    """The command lines of the machines that run."""
    found = []
    for where in cgroups.all_of(names()):
        for pid in cgroups.pids(where):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command.startswith("qemu-system"):
                    found.append(command)
    return found


def wait(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run all of whose machines are booting; ended at the end, whatever the test did."""
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(vm("mesh", "--output", str(tmp_path / "out")), env=ENV, stdout=log, stderr=log)
    try:
        assert wait(lambda: len(emulators()) == 3 or run.poll() is not None, 1200), (tmp_path / "log").read_text()
        assert run.poll() is None, (tmp_path / "log").read_text()
        yield run
    finally:
        run.kill()
        run.wait()
        subprocess.run(vm("down"), env=ENV, check=True)


def test_the_machines_have_no_way_out(begun: subprocess.Popen[bytes]) -> None:
    routes = subprocess.run(
        ["ip", "-n", names().netns("underlay"), "route"], capture_output=True, text=True, check=True
    ).stdout
    assert "blackhole default" in routes and "default via" not in routes
    links = subprocess.run(
        ["ip", "-n", names().netns("underlay"), "-br", "link"], capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0].split("@")[0] for line in links.splitlines()} == {
        "lo", "gw-a", "gw-b", "cgw-hq", "app-a", "app-b",
    }  # fmt: skip
    begun.send_signal(signal.SIGTERM)
    assert begun.wait(60) == 130
    assert lifecycle.leftovers(names()) == []


def test_a_run_that_is_killed_takes_its_machines_along_and_down_removes_the_rest(
    begun: subprocess.Popen[bytes],
) -> None:
    begun.kill()
    begun.wait()
    assert wait(lambda: emulators() == [], 10)
    subprocess.run(vm("down"), env=ENV, check=True)
    assert lifecycle.leftovers(names()) == []


def test_the_data_plane_of_two_gateways() -> None:
    """One boot for all that is looked at; the report stays in ``artifacts/vm/mesh``."""
    done = subprocess.run(vm("mesh"), env=ENV, capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr)
    report = json.loads((OUTPUT / "mesh" / "report.json").read_text(encoding="utf-8"))
    assert [check for check in report["checks"] if not check["passed"]] == []
    assert done.returncode == 0 and report["passed"] and report["error"] == ""
    assert report["about"]["data_plane"] == "xfrm"
    assert {check["part"] for check in report["checks"]} >= {name for name, _look in PARTS}
    assert (OUTPUT / "mesh" / "report.html").exists()
    assert lifecycle.leftovers(names()) == []
