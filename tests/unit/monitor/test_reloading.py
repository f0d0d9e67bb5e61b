# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which configuration the monitor says it has read, when the file changes under its hands."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from gateway_agents import KEY
from monitor_world import deployment

from ansible_collections.vpnha.aws.plugins.module_utils.description import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from vpnha_monitor import config
from vpnha_monitor.daemon import Monitor
from vpnha_monitor.reloading import Reloading

GOOD = yaml.safe_dump({"monitor": "mon-a", "deployment": to_dict(deployment()), "keys": [KEY]})


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


@pytest.mark.parametrize("text", [GOOD, "monitor: [mon-a", "- no dictionary"])
def test_the_checksum_is_of_what_was_read_though_the_file_is_another_one_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path, real = tmp_path / "monitor.yml", yaml.load
    path.write_text(text)

    def replaced(content: str, loader: type[yaml.SafeLoader]) -> Any:
        path.write_text("monitor: mon-b")
        return real(content, loader)

    monkeypatch.setattr(yaml, "load", replaced)
    found = config.read(path)
    assert path.read_text() == "monitor: mon-b"
    assert found.checksum == sha1(text)
    assert isinstance(found.outcome, config.MonitorConfig if text == GOOD else DescriptionError)
    if isinstance(found.outcome, config.MonitorConfig):
        assert found.outcome.checksum == found.checksum


def test_what_cannot_be_read_has_no_checksum_and_is_a_sentence(tmp_path: Path) -> None:
    found = config.read(tmp_path / "none.yml")
    assert found.checksum == "" and "the file cannot be read" in str(found.outcome)
    with pytest.raises(DescriptionError):
        config.load(tmp_path / "none.yml")


class Readings:
    """Stands for the loop; each reading ends when the test says so."""

    def __init__(self) -> None:
        self.begun: list[tuple[Future[config.Read], config.Read]] = []

    def run_in_executor(self, _pool: None, call: Callable[[Path], config.Read], path: Path) -> Future[config.Read]:
        self.begun.append((Future(), call(path)))
        return self.begun[-1][0]

    def end(self, number: int) -> None:
        future, found = self.begun[number]
        future.set_result(found)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_readings_the_one_that_was_asked_for_last_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
) -> None:
    path, loop, notes = tmp_path / "monitor.yml", Readings(), []
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    monitor = SimpleNamespace(
        path=path, config_reading=False, config_checksum="of before", config_error="", note=notes.append
    )
    reloading = Reloading(cast(Monitor, monitor))
    for text in ("old: [", "new: ["):
        path.write_text(text)
        reloading.ask()
    assert monitor.config_reading and monitor.config_checksum == "of before"
    loop.end(order[0])
    assert monitor.config_reading is (order[0] == 0)
    loop.end(order[1])
    assert not monitor.config_reading and monitor.config_checksum == sha1("new: [")
    assert [note.code for note in notes] == ["config-refused"]
