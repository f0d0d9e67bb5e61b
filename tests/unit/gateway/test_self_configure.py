# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that replaces another one configures itself: what it asks, what it writes, and when it gives up."""

from __future__ import annotations

import grp
import importlib.util
import io
import json
import os
import pwd
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.vpnha.aws.plugins.modules import host_bundle

_SCRIPT = Path(__file__).parents[3] / "roles" / "gateway" / "files" / "self_configure.py"


def _load() -> ModuleType:
    """The script as a module; on a host it has another name, and no package around it."""
    spec = importlib.util.spec_from_file_location("self_configure", _SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


self_configure = _load()


def metadata(user_data: str | None) -> Callable[[urllib.request.Request], bytes]:
    """A metadata service of version 2."""

    def fetch(request: urllib.request.Request) -> bytes:
        if request.full_url.endswith("/api/token"):
            assert request.get_method() == "PUT"
            return b"a-token"
        assert request.get_header("X-aws-ec2-metadata-token") == "a-token"
        if user_data is None:
            raise urllib.error.HTTPError(request.full_url, 404, "Not Found", Message(), io.BytesIO())
        return user_data.encode()

    return fetch


@pytest.mark.parametrize(
    "text", [None, "#!/bin/sh\necho mine", "#cloud-config\npackages: [vim]\n", '{"vpnha": {"a": 1}}']
)
def test_an_instance_that_no_replacement_launched_is_left_alone(text: str | None) -> None:
    assert self_configure.user_data(metadata(text)) == {}


def test_the_user_data_of_the_launch_template_is_understood() -> None:
    import base64

    from ansible_collections.vpnha.aws.plugins.module_utils.launch_templates import Wanted, data_of

    one = Wanted(
        "prod", "gw-a", "ami-1", "t3.small", "eni-a", "prod-gateway", "", "eu-central-1", "http://192.0.2.10:4566"
    )
    text = base64.b64decode(data_of(one)["UserData"]).decode()
    assert self_configure.user_data(metadata(text)) == {
        "bundle": "vpnha/prod/gw-a", "region": "eu-central-1", "endpoint_url": "http://192.0.2.10:4566",
    }  # fmt: skip
    assert json.loads(text.partition("\n")[2]) == {"vpnha": self_configure.user_data(metadata(text))}


def host(root: Path) -> list[str]:
    """Files of a gateway, as its deploy has left them."""
    for name, content, mode in (
        ("etc/swanctl/conf.d/vpnha-hq.conf", "secret = key", 0o600),
        ("usr/local/lib/vpnha/dataplane", "#!/bin/sh", 0o755),
        ("opt/vpnha/releases/abc/vpnha_agent/agent.py", "import sys", 0o644),
        ("opt/vpnha/releases/abc/vpnha_agent/__pycache__/agent.pyc", "compiled", 0o644),
        ("etc/vpnha/agent.json", "{}", 0o600),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
    (root / "opt/vpnha/lib").symlink_to("releases/abc")
    below = ("etc/swanctl/conf.d/vpnha-*.conf", "usr/local/lib/vpnha/dataplane", "opt/vpnha/releases", "opt/vpnha/lib")
    return [str(root / name) for name in (*below, "etc/none-*", "etc/vpnha/agent.json")]


def packed(root: Path) -> bytes:
    return host_bundle.pack(host_bundle.found(host(root)))


def test_what_was_packed_is_written_with_its_modes_and_the_last_file_last(tmp_path: Path) -> None:
    archive, there = packed(tmp_path / "old"), tmp_path / "new"
    inner = there / str(tmp_path / "old").lstrip("/")
    seen: list[bool] = []

    def before_last() -> None:
        seen.append((inner / "etc/vpnha/agent.json").exists())
        assert (inner / "opt/vpnha/lib/vpnha_agent/agent.py").read_text() == "import sys"

    for _again in range(2):
        self_configure.unpack(archive, there, before_last)
    assert seen == [False, True]
    assert (inner / "etc/vpnha/agent.json").read_text() == "{}"
    modes = {
        name: (inner / name).stat().st_mode & 0o777
        for name in ("etc/swanctl/conf.d/vpnha-hq.conf", "usr/local/lib/vpnha/dataplane")
    }
    assert list(modes.values()) == [0o600, 0o755]
    assert (inner / "opt/vpnha/lib").readlink() == Path("releases/abc")
    assert not list(there.rglob("*.pyc")) and not list(there.rglob("*.vpnha"))


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    archive = packed(tmp_path)
    paths = [str(tmp_path / "etc"), str(tmp_path / "opt/vpnha/lib")]
    os.utime(tmp_path / "etc/vpnha/agent.json", (1, 1))
    assert host_bundle.pack(host_bundle.found(paths)) == host_bundle.pack(host_bundle.found(paths))
    (tmp_path / "again").mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:xz") as tar:
        members = tar.getmembers()
    assert {member.mtime for member in members} == {0}
    mine = (pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name)
    assert {(member.uname, member.gname) for member in members} == {mine}
    assert members[-1].name.endswith("agent.json")


def test_a_file_that_must_be_there_is_missed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"missing\.conf"):
        host_bundle.pack(host_bundle.found([str(tmp_path / "missing.conf")]))


def test_it_tries_with_a_bound_and_says_each_reason_once(capsys: pytest.CaptureFixture[str]) -> None:
    reasons: list[Any] = [OSError("no route")] * 3 + [ValueError("no secret")] * 2
    waited: list[float] = []

    def fail() -> str:
        raise reasons.pop(0)

    assert self_configure.main(fail, 5, waited.append) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == ["Not configured yet: OSError: no route", "Not configured yet: ValueError: no secret"]
    assert "after 5 tries" in told[2] and len(told) == 3
    assert waited == [10.0] * 4


def test_it_ends_with_the_first_success(capsys: pytest.CaptureFixture[str]) -> None:
    answers: list[Any] = [OSError("no route"), "Configured from vpnha/prod/gw-a."]

    def configure() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert self_configure.main(configure, 5, lambda _seconds: None) == 0
    assert capsys.readouterr().out == "Configured from vpnha/prod/gw-a.\n"
