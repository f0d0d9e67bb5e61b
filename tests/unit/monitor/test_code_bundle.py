# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive that brings the daemons' code to a host."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.modules import code_bundle


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A package with what must stay behind beside it."""
    root = tmp_path / "source"
    (root / "part" / "__pycache__").mkdir(parents=True)
    (root / "part" / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"compiled")
    (root / ".hidden").write_text("secret")
    (root / "__init__.py").write_text("")
    (root / "part" / "one.py").write_text("ONE = 1\n")
    return root


def members(archive: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        return tar.getmembers()


def test_same_content_same_bytes(source: Path, tmp_path: Path) -> None:
    """Whenever and from wherever it is packed; other content has another version."""
    files = code_bundle.collect([(source, "package")])
    assert sorted(files) == ["package/__init__.py", "package/part/one.py"]
    version, archive = code_bundle.pack(files)
    os.utime(source / "part" / "one.py", (1, 1))
    (source / "part" / "one.py").chmod(0o600)
    assert code_bundle.pack(code_bundle.collect([(source, "package")])) == (version, archive)
    (source / "part" / "one.py").write_text("ONE = 2\n")
    other, _archive = code_bundle.pack(code_bundle.collect([(source, "package")]))
    assert other != version


def test_archive_is_one_directory_with_the_stamp_last(source: Path) -> None:
    """So an unpacking that was cut short never looks complete."""
    version, archive = code_bundle.pack(code_bundle.collect([(source, "package")]))
    found = members(archive)
    assert {member.name.split("/")[0] for member in found} == {version}
    assert found[-1].name == f"{version}/VERSION-{version}"
    assert {(member.uid, member.gid, member.uname) for member in found} == {(0, 0, "root")}
    assert all(member.mode == (0o755 if member.isdir() else 0o644) for member in found)


@pytest.mark.parametrize(
    ("prefix", "said"),
    [("/etc", "leaves the archive"), ("../up", "leaves the archive"), ("a/../../b", "leaves the archive")],
)
def test_prefix_stays_inside(source: Path, prefix: str, said: str) -> None:
    with pytest.raises(code_bundle.BundleError, match=said):
        code_bundle.collect([(source, prefix)])


def test_sources_that_do_not_fit(source: Path, tmp_path: Path) -> None:
    """Missing, empty, or two files of one name."""
    with pytest.raises(code_bundle.BundleError, match="does not exist"):
        code_bundle.collect([(tmp_path / "none", "")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(code_bundle.BundleError, match="hold no files"):
        code_bundle.collect([(tmp_path / "empty", "")])
    (tmp_path / "one.py").write_text("other")
    with pytest.raises(code_bundle.BundleError, match="different content"):
        code_bundle.collect([(source / "part", "x"), (tmp_path / "one.py", "x")])


def run(arguments: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, code_bundle.__file__],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments | {"_ansible_remote_tmp": "/tmp"}}),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_module_is_idempotent_and_checks(source: Path, tmp_path: Path) -> None:
    """Check mode writes nothing and says the same; the second run changes nothing."""
    arguments = {"sources": [{"src": str(source), "prefix": "package"}], "dest": str(tmp_path / "cache")}
    foreseen = run(arguments | {"_ansible_check_mode": True})
    assert foreseen["changed"] and not (tmp_path / "cache").exists()
    first, second = run(arguments), run(arguments)
    assert first["changed"] and not second["changed"]
    assert foreseen["path"] == first["path"] == second["path"]
    assert first["files"] == 2 and Path(first["path"]).is_file()
    failed = run(arguments | {"sources": [{"src": str(tmp_path / "none")}]})
    assert failed["failed"] and failed["msg"].startswith(f"The source {tmp_path / 'none'} does not exist")
