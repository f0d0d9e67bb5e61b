# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark has measured so far: when it is gone on with, and that none of it is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as pages
from benchmarks.kept import Kept


@pytest.mark.parametrize("name", ["outage.c0ffee.json", "outage.c0ffee.2.json"])
def test_a_report_of_another_commit_is_put_aside_when_there_is_something_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    if name.endswith("2.json"):
        (tmp_path / "outage.c0ffee.json").write_text("{}")
    path = tmp_path / "outage.json"
    old = Kept(path, {"commit": "c0ffee"}, "runs")
    old.add({"hours": 8})
    new = Kept(path, {"commit": "decade"}, "runs")
    assert json.loads(path.read_text())["commit"] == "c0ffee", "who only looks changes nothing"
    new.add({"hours": 1})
    assert json.loads((tmp_path / name).read_text()) == old.content
    assert json.loads(path.read_text()) == {"commit": "decade", "runs": [{"hours": 1}]}
    said = capsys.readouterr().out
    assert f"is of something else: it is {name} now." in said
    new.add({"hours": 2})
    assert not capsys.readouterr().out


@pytest.mark.parametrize("text", ["", '{"commit": "c0f', "[]"])
def test_a_file_that_is_no_report_counts_for_nothing_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "outage.json"
    path.write_text(text)
    report = Kept(path, {"commit": "decade"}, "runs")
    assert "outage.json is no report, so it counts for nothing." in capsys.readouterr().out
    report.add({"hours": 1})
    assert Kept(path, {"commit": "decade"}, "runs").having(hours=1)
    assert (tmp_path / "outage.unreadable.json").read_text() == text


def test_the_page_is_made_without_a_file_that_is_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "growth.json").write_text("")
    assert "growth" not in pages.gathered(tmp_path)
    assert "growth.json is no report" in capsys.readouterr().out
