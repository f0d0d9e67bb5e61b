# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab up`` as a person types it where it cannot work: one sentence, and nothing is left behind."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lab import preflight
from lab.names import REPOSITORY

NAME = "vpnhabad"
as_root = pytest.mark.skipif(os.geteuid() != 0 or bool(preflight.missing_packages()), reason="needs root and make deps")


def up(directory: Path, port: int = 4966, before: str = "") -> str:
    """What the person reads: the one line on standard error. ``before``: a shell command to run first, and to be in."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "VPNHA_LAB_NAME": NAME,
        "VPNHA_LAB_DIR": str(directory),
        "VPNHA_LAB_PORT": str(port),
    }
    command = ["sh", "-c", f"{before} exec {shlex.quote(sys.executable)} -m lab up"]
    if before:
        command = ["unshare", "--mount", *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stdout + done.stderr
    (sentence,) = done.stderr.splitlines()
    assert sentence not in done.stdout
    return sentence


def nothing_is_left(directory: Path) -> bool:
    """Neither state nor a note nor a namespace of the lab."""
    places = [directory / NAME, Path("/run/vpnha-lab") / NAME, *Path("/run/netns").glob(f"{NAME}-*")]
    return not any(place.exists() for place in places)


def test_somebody_who_is_not_root(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lab", "up"]
    if os.geteuid() == 0:  # nobody, in a user namespace of its own, who may read what root may
        command = ["unshare", "--user", *command]
        if subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode:
            pytest.skip("user namespaces are not allowed here")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "VPNHA_LAB_DIR": str(tmp_path / "lab")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith("which needs root: run it with sudo.")
    assert not (tmp_path / "lab").exists()


@as_root
def test_a_port_that_somebody_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert up(tmp_path / "lab", port) == (
            f"Port {port} of 127.0.0.1 is in use: end what listens there, or set VPNHA_LAB_PORT to the first of two "
            "free ports."
        )
    assert nothing_is_left(tmp_path / "lab")


@as_root
def test_a_full_disk(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    sentence = up(full, before=f"mount -t tmpfs -o size=1m vpnha-test {shlex.quote(str(full))};")
    assert sentence == (
        f"The disk of {full} is full (1 MB free, 300 MB needed): make room, or set VPNHA_LAB_DIR to a directory on a "
        "larger disk."
    )
    assert nothing_is_left(full)
