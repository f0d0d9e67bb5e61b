# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a task with route_swap is, as whoever runs the playbook sees it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.action.route_swap import followed
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import Progress, telling
from ansible_collections.vpnha.aws.plugins.modules.route_swap import progress_in
from benchmarks.swapping import stand
from tests.unit.endpoint_process import endpoint

TABLES = 40  # with two routes each, which take EC2's limit more than five seconds


def swap_of(made: stand.Stand, url: str) -> dict[str, Any]:
    """A task that points all routes at gw-b."""
    wish = {"deployment": to_dict(made.deployment), "region": stand.REGION, "gateway": "gw-b", "endpoint_url": url}
    return {"vpnha.aws.route_swap": wish}


def play_of(directory: Path, tasks: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """What Ansible says of these tasks on this machine."""
    play = {
        "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks,
        "vars": {"ansible_python_interpreter": sys.executable},
    }  # fmt: skip
    (directory / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    given = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "ANSIBLE_NOCOLOR": "1"}
    given |= {"ANSIBLE_HOME": str(directory / "ansible"), "ANSIBLE_ASYNC_DIR": str(directory / "jobs")}
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", directory / "play.yml"],
        env={**os.environ, **given}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_playbook_shows_how_far_it_is(tmp_path: Path) -> None:
    with endpoint(tmp_path) as url:
        made = stand.build(TABLES, 2, url, url)
        done = play_of(tmp_path, [swap_of(made, url)])
        assert done.returncode == 0, done.stdout + done.stderr
        assert made.leads_to() == {made.enis["gw-b"]}
    assert re.search(rf"^\d+ of {2 * TABLES} routes moved", done.stderr, flags=re.M), done.stdout + done.stderr


def test_a_task_that_is_not_waited_for_swaps_too(tmp_path: Path) -> None:
    with endpoint(tmp_path) as url:
        made = stand.build(2, 2, url, url)
        begin = {**swap_of(made, url), "async": 100, "poll": 0, "register": "begun"}
        wait = {
            "ansible.builtin.async_status": {"jid": "{{ begun.ansible_job_id }}"}, "register": "job",
            "until": "job is finished", "retries": 100, "delay": 1,
        }  # fmt: skip
        done = play_of(tmp_path, [begin, wait])
        assert done.returncode == 0, done.stdout + done.stderr
        assert made.leads_to() == {made.enis["gw-b"]}
    assert "Traceback" not in done.stdout + done.stderr


class Said(type(Path())):  # type: ignore[misc]
    """A file that knows how often it was read."""

    reads = 0

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        Said.reads += 1
        return str(super().read_text(encoding, errors))

    def read_again(self, times: int) -> None:
        """Wait until it was read so often once more."""
        wanted, limit = Said.reads + times, time.monotonic() + 60
        while Said.reads < wanted:
            assert time.monotonic() < limit, "nobody reads it"
            time.sleep(0.01)


def test_a_sentence_is_shown_once(tmp_path: Path) -> None:
    file, shown, both = Said(tmp_path / "progress"), list[str](), threading.Event()

    def show(said: str) -> None:
        shown.append(said)
        if said == "2 of 9 routes moved.":
            both.set()
        else:
            file.write_text("2 of 9 routes moved.", encoding="utf-8")

    with followed(file, show, seconds=0.01):
        file.write_text("1 of 9 routes moved.", encoding="utf-8")
        assert both.wait(60)
        file.read_again(5)
    assert shown == ["1 of 9 routes moved.", "2 of 9 routes moved."]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_cannot_be_written_hinders_no_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr("ansible_collections.vpnha.aws.plugins.modules.route_swap._TELL_SECONDS", 0.01)
    how, asked = Progress(), threading.Event()
    how.swaps = 9
    monkeypatch.setattr(Progress, "moved", property(lambda _how: asked.set() or 3))
    file = tmp_path / "progress" if there else tmp_path / "nowhere" / "progress"
    with progress_in(str(file), how):
        assert asked.wait(60)
        limit = time.monotonic() + 60
        while there and not file.exists():
            assert time.monotonic() < limit, "nothing is written"
            time.sleep(0.01)
    assert file.exists() == there
    assert not there or file.read_text(encoding="utf-8") == "3 of 9 routes moved."


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_does_not_read_hinders_no_swap() -> None:
    how, asked = Progress(), threading.Event()
    how.swaps = 9

    def gone(_sentence: str) -> None:
        asked.set()
        raise BrokenPipeError

    with telling(how, 0.01, gone):
        assert asked.wait(60)
