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
from pathlib import Path

import pytest
import yaml

from ansible_collections.vpnha.aws.plugins.action.route_swap import followed
from ansible_collections.vpnha.aws.plugins.module_utils.description_codec import to_dict
from ansible_collections.vpnha.aws.plugins.module_utils.swap_progress import Progress, telling
from ansible_collections.vpnha.aws.plugins.modules.route_swap import progress_in
from benchmarks.swapping import stand
from tests.unit.endpoint_process import endpoint

TABLES = 40  # with two routes each, which take EC2's limit more than five seconds


def test_the_playbook_shows_how_far_it_is(tmp_path: Path) -> None:
    with endpoint(tmp_path) as url:
        made = stand.build(TABLES, 2, url, url)
        wish = {"deployment": to_dict(made.deployment), "region": stand.REGION, "gateway": "gw-b"}
        task = {"vpnha.aws.route_swap": {**wish, "endpoint_url": url}, "register": "moved"}
        play = {
            "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task],
            "vars": {"ansible_python_interpreter": sys.executable},
        }  # fmt: skip
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        credentials = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", tmp_path / "play.yml"],
            env={**os.environ, **credentials}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert made.leads_to() == {made.enis["gw-b"]}
    assert re.search(rf"^\d+ of {2 * TABLES} routes moved", done.stdout, flags=re.M), done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_sentence_is_shown_once(tmp_path: Path) -> None:
    file, shown, both = tmp_path / "progress", list[str](), threading.Event()

    def show(said: str) -> None:
        shown.append(said)
        if said == "2 of 9 routes moved.":
            both.set()
        else:
            file.write_text("2 of 9 routes moved.", encoding="utf-8")

    with followed(file, show, seconds=0.01):
        file.write_text("1 of 9 routes moved.", encoding="utf-8")
        assert both.wait(60)
    assert shown == ["1 of 9 routes moved.", "2 of 9 routes moved."]


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
    assert file.exists() == there
    assert not there or file.read_text(encoding="utf-8") == "3 of 9 routes moved."


def test_who_does_not_read_hinders_no_swap() -> None:
    how, asked = Progress(), threading.Event()
    how.swaps = 9

    def gone(_sentence: str) -> None:
        asked.set()
        raise BrokenPipeError

    with telling(how, 0.01, gone):
        assert asked.wait(60)
