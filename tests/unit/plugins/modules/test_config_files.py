# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing several files at once, as Ansible runs the module."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from tests.unit.module_process import run_module

OWNER = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def run(files: list[dict[str, Any]], **internal: Any) -> dict[str, Any]:
    return run_module("config_files", files=[{**OWNER, **file} for file in files], **internal).result


@pytest.fixture
def two(tmp_path: Path) -> list[dict[str, Any]]:
    return [
        {"path": str(tmp_path / "deep" / "er" / "one"), "content": "1\n", "mode": "0600"},
        {"path": str(tmp_path / "two"), "content": "ü\n"},
    ]


def test_files_and_their_directories_are_made_once(two: list[dict[str, Any]]) -> None:
    paths = [Path(file["path"]) for file in two]
    assert run(two)["changed_files"] == [str(path) for path in paths]
    assert [path.read_text(encoding="utf-8") for path in paths] == ["1\n", "ü\n"]
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o600, 0o644]
    assert (run(two)["changed"], run(two)["changed_files"]) == (False, [])


def test_a_mode_alone_is_a_change_of_that_file(two: list[dict[str, Any]]) -> None:
    run(two)
    Path(two[0]["path"]).chmod(0o640)
    assert run(two)["changed_files"] == [two[0]["path"]]
    assert Path(two[0]["path"]).stat().st_mode & 0o777 == 0o600


def test_one_bad_file_keeps_all_from_being_replaced(two: list[dict[str, Any]]) -> None:
    two[0]["validate"] = "grep -q 1 %s"
    two[1]["validate"] = "ls --no-such-option %s"
    result = run(two)
    assert result["failed"] and two[1]["path"] in result["msg"] and "no-such-option" in result["msg"]
    assert not Path(two[0]["path"]).exists() and not Path(two[1]["path"]).exists()


def test_check_mode_says_what_would_change_and_changes_nothing(two: list[dict[str, Any]]) -> None:
    run(two)
    changed = [two[0], {**two[1], "content": "other\n", "validate": "false %s"}]
    result = run([*changed, {"path": two[1]["path"] + "-new", "content": "x"}], _ansible_check_mode=True)
    assert result["changed_files"] == [two[1]["path"], two[1]["path"] + "-new"]
    assert [(one["before"], one["after"]) for one in result["diff"]] == [("ü\n", "other\n"), ("", "x")]
    assert Path(two[1]["path"]).read_text(encoding="utf-8") == "ü\n"
    assert not Path(two[1]["path"] + "-new").exists()
