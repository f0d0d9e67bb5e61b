# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's endpoint without kernel and hosts, as a process that ends with the tests that need it."""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


@functools.cache
def _begun() -> subprocess.Popen[str]:
    """The process that forks endpoints, one for all tests of this process."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "lab_api" / "fake_endpoint.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


@contextmanager
def endpoint(directory: Path, *, real_buckets: bool = False) -> Iterator[str]:
    """The address of a fresh endpoint whose state lies in a directory. Its buckets refill only if they are real."""
    process = _begun()
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps({"directory": str(directory), "refill": real_buckets}), file=process.stdin, flush=True)
    port, pid = map(int, process.stdout.readline().split())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.kill(pid, signal.SIGKILL)
