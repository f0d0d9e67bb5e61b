# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing several files at once, as Ansible runs the module."""

from __future__ import annotations

import grp
import importlib
import inspect
import os
import pwd
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible.plugins.callback import CallbackBase

from ansible_collections.vpnha.aws.plugins.module_utils.quiet_log import QuietLog
from ansible_collections.vpnha.aws.plugins.modules.config_files import QuietModule
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
    again = run(two)
    assert (again["changed"], again["changed_files"]) == (False, [])
    assert again["checksums"] == {str(path): sha1(path.read_bytes()).hexdigest() for path in paths}


def test_a_mode_alone_is_a_change_of_that_file(two: list[dict[str, Any]]) -> None:
    run(two)
    Path(two[0]["path"]).chmod(0o640)
    assert run(two)["changed_files"] == [two[0]["path"]]
    assert Path(two[0]["path"]).stat().st_mode & 0o777 == 0o600


def apart(files: list[dict[str, Any]], notes: Path, **internal: Any) -> dict[str, Any]:
    """As ``run``, with notes of what was replaced."""
    given = [{**OWNER, **file} for file in files]
    return run_module("config_files", files=given, unapplied=str(notes), **internal).result


def test_what_was_replaced_counts_as_changed_until_somebody_has_applied_it(
    two: list[dict[str, Any]], tmp_path: Path
) -> None:
    notes, paths = tmp_path / "run" / "unapplied", [file["path"] for file in two]
    assert apart(two, notes, _ansible_check_mode=True)["changed_files"] == paths and not notes.exists()
    assert apart(two, notes)["changed_files"] == paths
    assert notes.read_text().splitlines() == paths
    for check in (True, False):  # that run died before it applied anything
        again = apart(two, notes, _ansible_check_mode=check)
        assert again["changed"] and again["changed_files"] == paths and again["diff"] == []
    notes.write_text(f"{paths[1]}\n/of/another/call\n")
    assert apart(two, notes)["changed_files"] == paths[1:]
    notes.unlink()
    assert apart(two, notes)["changed"] is False and not notes.exists()


def test_it_is_noted_before_the_first_file_is_replaced(two: list[dict[str, Any]], tmp_path: Path) -> None:
    notes = tmp_path / "unapplied"
    two[0]["owner"] = "nobody-of-that-name"  # so that it ends with the first file
    assert apart(two, notes)["failed"] and not Path(two[1]["path"]).exists()
    assert notes.read_text().splitlines() == [file["path"] for file in two]


def test_one_bad_file_keeps_all_from_being_replaced(two: list[dict[str, Any]]) -> None:
    two[0]["validate"] = "grep -q 1 %s"
    two[1]["validate"] = "ls --no-such-option %s"
    result = run(two)
    assert result["failed"] and two[1]["path"] in result["msg"] and "no-such-option" in result["msg"]
    assert not Path(two[0]["path"]).exists() and not Path(two[1]["path"]).exists()


def test_check_mode_says_what_would_change_and_changes_nothing(two: list[dict[str, Any]]) -> None:
    run(two)
    changed = [two[0], {**two[1], "content": "other\n", "validate": "grep -q other %s"}]
    result = run([*changed, {"path": two[1]["path"] + "-new", "content": "x"}], _ansible_check_mode=True)
    assert result["changed_files"] == [two[1]["path"], two[1]["path"] + "-new"]
    assert [(one["before"], one["after"]) for one in result["diff"]] == [("ü\n", "other\n"), ("", "x")]
    assert Path(two[1]["path"]).read_text(encoding="utf-8") == "ü\n"
    assert not Path(two[1]["path"] + "-new").exists()


def test_check_mode_tells_of_a_bad_file_unless_what_would_check_it_comes_later(two: list[dict[str, Any]]) -> None:
    def checked(check: bool = True, **file: Any) -> dict[str, Any]:
        return run([two[0], {**two[1], **file}], _ansible_check_mode=check)

    bad = checked(validate="ls --no-such-option %s")
    assert bad["failed"] and two[1]["path"] in bad["msg"] and "no-such-option" in bad["msg"]
    for command in ("no-such-command %s", "sh -c 'no-such-command %s'"):
        assert len(checked(validate=command)["changed_files"]) == 2
        assert "no-such-command" in checked(check=False, validate=command)["msg"]
    assert len(checked(validate="false %s", validate_in_check_mode=False)["changed_files"]) == 2
    assert checked(check=False, validate="false %s", validate_in_check_mode=False)["failed"]
    assert not Path(two[0]["path"]).exists() and not Path(two[1]["path"]).exists()


def test_a_secret_is_written_and_never_shown(two: list[dict[str, Any]]) -> None:
    path = Path(two[0]["path"])
    secret = {"path": str(path), "secret": "a key\nnobody sees\n", "mode": "0600"}
    written = run([secret, two[1]], _ansible_diff=True)
    assert path.read_text(encoding="utf-8") == secret["secret"]
    assert written["changed_files"] == [str(path), two[1]["path"]]
    shown = CallbackBase()._get_diff(written["diff"])
    assert f"{path} differs" in shown and "ü" in shown and "nobody sees" not in str(written)
    assert not run([secret])["changed"]
    refused = run([{**secret, "content": "as well"}])
    assert refused["failed"] and "mutually exclusive" in refused["msg"] and "nobody sees" not in str(refused)
    assert run([{"path": str(path)}])["failed"]


def test_the_journal_has_the_names_of_arguments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _self, msg, log_args=None: logged.append(f"{msg} {log_args}"))
    given = {"files": [{"path": "/etc/x", "secret": "a key\nnobody sees"}], "quiet": "none's"}
    spec = {"files": {"type": "list", "elements": "dict"}, "quiet": {"type": "str"}}
    with patch_module_args(given):
        QuietModule(argument_spec=spec).log("a word of its own")
    assert logged == ["Invoked with files, quiet None", "a word of its own None"]


@pytest.mark.parametrize("name", ["config_files", "gateway_tunnels", "tunnel_rotate"])
def test_modules_with_secrets_deep_in_their_arguments_are_quiet(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.vpnha.aws.plugins.modules.{name}")
    assert issubclass(module.QuietModule, QuietLog) and "= AnsibleModule(" not in inspect.getsource(module)
