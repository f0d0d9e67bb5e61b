# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module says of a gateway whose strongSwan runs, or does not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.unit.module_process import Answer, run_module
from tests.unit.plugins.module_utils.fake_vici import serve_nothing, served

TUNNEL = {"name": "hq", "connection": {"version": "2"}, "psk": "0123456789" * 4, "owners": ["a", "b"]}


def load(directory: Path, path: str, **arguments: Any) -> Answer:
    conf = directory / "conf.d"
    conf.mkdir(exist_ok=True)
    return run_module("gateway_tunnels", tunnels=[TUNNEL], directory=str(conf), socket=path, **arguments)


def kill(path: Path) -> None:
    """Leave a socket that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


@pytest.mark.parametrize("there", [False, True], ids=["stopped", "killed"])
def test_a_check_needs_no_strongswan_that_runs(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "charon.vici"
    if there:
        kill(path)
    told = load(tmp_path, str(path), _ansible_check_mode=True)
    assert told.code == 0, told.output
    assert (told.result["loaded"], told.result["up"], told.result["resets"]) == (["hq"], [], [])
    assert not list((tmp_path / "conf.d").iterdir())


def test_a_check_does_not_take_one_that_hangs_for_one_that_carries_nothing(tmp_path: Path) -> None:
    with served(tmp_path / "charon.vici", serve_nothing) as path:
        told = load(tmp_path, path, _ansible_check_mode=True, wait=0.1)
    assert told.code != 0 and "strongSwan does not answer on" in told.result["msg"]


def test_one_that_was_killed_is_told_when_tunnels_are_to_be_loaded(tmp_path: Path) -> None:
    kill(tmp_path / "charon.vici")
    told = load(tmp_path, str(tmp_path / "charon.vici"), wait=0.1)
    assert told.code != 0 and "see 'systemctl status strongswan'" in told.result["msg"]
    assert not list((tmp_path / "conf.d").iterdir())
