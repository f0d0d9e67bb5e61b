# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role learns of a host at once, by its own script with other programs in the place of the host's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PROBE = Path(__file__).parents[3] / "roles" / "gateway" / "files" / "probe.sh"
DPKG = r"""echo 'dpkg-query: warning: parsing file' >&2; printf 'ii adduser\nhi frr\nrc gone\niU half\nii nftables\n'"""
UNITS = """cat <<'END'
Id=frr.service
ActiveState=active
UnitFileState=enabled

Id=strongswan.service
ActiveState=failed
UnitFileState=enabled

Id=vpnha-agent.service
ActiveState=active
UnitFileState=disabled

Id=vpnha-dataplane.service
ActiveState=inactive
UnitFileState=

Id=renamed.service
ActiveState=active
UnitFileState=alias

Id=frr-to-be.service
ActiveState=activating
UnitFileState=enabled

Id=vpnha-self-configure.service
ActiveState=inactive
UnitFileState=enabled
END"""


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """Runs the script where these programs say so, and ``ip`` can do nothing."""

    def run(**programs: str) -> dict[str, Any]:
        for name, body in {"ip": "exit 1", **programs}.items():
            file = tmp_path / name.replace("_", "-")
            file.write_text(f"#!/bin/sh\n{body}\n")
            file.chmod(0o755)
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        # a terminal, which Ansible's connection has here, makes one of both outputs
        done = subprocess.run(
            ["sh", str(PROBE)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, env=environment
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def test_only_units_that_run_and_start_at_boot_need_nothing(told: Any) -> None:
    found = told(systemctl=UNITS, dpkg_query=DPKG)
    assert found["running"] == ["frr.service"] and found["replaceable"] is True


def test_only_installed_packages_count(told: Any) -> None:
    assert told(systemctl=UNITS, dpkg_query=DPKG)["packages"].split() == ["adduser", "frr", "nftables"]


def test_a_host_that_says_nothing_has_nothing(told: Any) -> None:
    found = told(systemctl="exit 1", dpkg_query="exit 1")
    assert (found["running"], found["replaceable"], found["packages"].split()) == ([], False, [])
    assert (found["data_plane"], found["configured"]) == ("libipsec", False)


def test_code_that_was_brought_and_that_no_agent_was_started_with_is_told(told: Any, tmp_path: Path) -> None:
    notes = tmp_path / "unapplied"
    notes.write_text("/etc/frr/frr.conf\n/opt/vpnha/lib\n")
    grep = f"""exec {shutil.which("grep")} "$1" "$2" {notes}"""  # in the place of the host's
    assert told(systemctl=UNITS, dpkg_query=DPKG, grep=grep)["code_unapplied"] is True
    notes.write_text("/etc/frr/frr.conf\n")
    assert told(systemctl=UNITS, dpkg_query=DPKG, grep=grep)["code_unapplied"] is False


def test_a_filter_that_is_not_in_force_is_told(told: Any) -> None:
    assert told(systemctl=UNITS, dpkg_query=DPKG, nft="""[ "$*" = "list table inet vpnha" ]""")["filtered"] is True
    assert told(systemctl=UNITS, dpkg_query=DPKG, nft="exit 1")["filtered"] is False
