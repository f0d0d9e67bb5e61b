# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's endpoint without kernel and hosts, as a process that ends with the tests that need it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


@contextmanager
def endpoint(directory: Path, *, real_buckets: bool = False) -> Iterator[str]:
    """The address of a fresh endpoint whose state lies in a directory. Its buckets refill only if they are real."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    with subprocess.Popen(
        [sys.executable, str(HERE / "lab_api" / "fake_endpoint.py"), str(directory), *["--refill"] * real_buckets],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()
