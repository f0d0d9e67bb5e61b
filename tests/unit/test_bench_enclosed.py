# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark reads of the kernel, and that nothing is left of one, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import enclosed, process
from benchmarks.process import Packets

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces")
PATIENCE = 60.0

DEV = """\
Inter-|   Receive                                      |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo:    1000      10    0    0    0     0          0         0     1000      10    0    0    0     0       0
 cable:99999999     123    4    5    6     7          8         9    77777     456    1    2    3     4       5
"""


def test_packets_are_read_by_interface() -> None:
    found = process.packets(DEV)
    assert found == {"lo": Packets(10, 10), "cable": Packets(123, 456)}
    assert found["cable"].since(Packets(100, 400)) == Packets(23, 56)


def test_a_process_is_charged_for_what_it_does() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys\nsys.stdin.read()\nwhile True: pass"], stdin=subprocess.PIPE
    )
    try:
        assert child.stdin is not None
        child.stdin.close()
        limit = time.monotonic() + PATIENCE
        while min(process.cpu_seconds(child.pid), process.exact_seconds(child.pid)) < 0.2:
            assert time.monotonic() < limit
            time.sleep(0.01)
        assert process.children_seconds(child.pid) == 0.0
        assert 1.0 < process.memory(child.pid)["VmRSS"] <= process.memory(child.pid)["VmHWM"]
    finally:
        child.kill()
        child.wait()


# --- What is left ----------------------------------------------------------------------------------------------------


def test_nobody_but_root_is_enclosed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="This needs root: it has network namespaces"):
        enclosed.run("benchmarks.sas", [])


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module ``deep`` that starts a process in another session, and says when it has; its directory."""
    (tmp_path / "deep.py").write_text(
        "import pathlib, subprocess, sys, time\n"
        "from benchmarks import enclosed\n"
        "enclosed.furnish()\n"
        "here = pathlib.Path(sys.argv[2])\n"
        "subprocess.Popen(['sleep', '7777'], start_new_session=True)\n"
        "pathlib.Path('/run/netns/bench').touch(); (enclosed.ROOM / 'bench').touch()\n"
        "(here / 'ready').touch()\n"
        "if 'end' in sys.argv: sys.exit(7)\n"
        "time.sleep(600)\n"
    )
    (tmp_path / "outer.py").write_text(
        "import sys\nfrom benchmarks import enclosed\nsys.exit(enclosed.run('deep', sys.argv[1:]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)]))
    yield tmp_path


def _sleepers() -> set[int]:
    """The processes in other networks than ours that sleep for 7777 s."""
    found, ours = set(), Path("/proc/self/ns/net").readlink()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if words[:2] == [b"sleep", b"7777"] and (place / "ns" / "net").readlink() != ours:
                found.add(int(place.name))
        except OSError:
            continue
    return found


@ROOT
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_benchmark_that_was_stopped(deep: Path, number: signal.Signals) -> None:
    before = _sleepers()
    outer = subprocess.Popen([sys.executable, "-m", "outer", str(deep)])
    limit = time.monotonic() + PATIENCE
    tick = threading.Event()
    while not (deep / "ready").exists():
        assert time.monotonic() < limit and outer.poll() is None
        tick.wait(0.02)
    assert _sleepers() - before
    outer.send_signal(number)
    assert outer.wait(PATIENCE) == (-number if number == signal.SIGKILL else enclosed.INTERRUPTED)
    while _sleepers() - before:
        assert time.monotonic() < limit
        tick.wait(0.02)
    assert not Path("/run/netns/bench").exists() and not (enclosed.ROOM / "bench").exists()


@ROOT
def test_a_benchmark_that_ends_says_how(deep: Path) -> None:
    before = _sleepers()
    assert enclosed.run("deep", [str(deep), "end"]) == 7
    assert not _sleepers() - before
