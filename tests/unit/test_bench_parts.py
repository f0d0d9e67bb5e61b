# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All benchmarks, one after the other: how they are begun, stopped and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks import __main__ as pages
from benchmarks import ahead, peers
from benchmarks.alone import alone
from benchmarks.outage import __main__ as outage

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def nothing_is_got(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither programs nor images."""
    monkeypatch.setattr(ahead, "get", lambda _names: None)


@pytest.mark.parametrize(("repeats", "given"), [(True, ["--runs", "3"]), (False, [])])
def test_only_parts_that_repeat_are_told_how_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeats: bool, given: list[str]
) -> None:
    (tmp_path / "told.py").write_text(
        "import json, sys\njson.dump(sys.argv[1:], open('told.json', 'w'))\nsys.exit(7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert pages.carried_out(pages.Part("told", "told", "", repeats=repeats), 3) == 7
    assert json.loads((tmp_path / "told.json").read_text(encoding="utf-8")) == given


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_part_that_is_stopped_ends_in_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A lab has to be taken down, and that takes longer than Python waits for a child after Ctrl-C."""
    (tmp_path / "slow.py").write_text(
        "import os, pathlib, signal, sys, time\n"
        "def stop(number, frame): time.sleep(1.0); pathlib.Path('undone').touch(); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, stop); signal.signal(signal.SIGTERM, stop)\n"
        "pathlib.Path('pid').write_text(str(os.getpid())); pathlib.Path('ready').touch()\n"
        "while True: time.sleep(0.02)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(number)

    def stop() -> None:
        tick = threading.Event()
        while not (tmp_path / "ready").exists() or signal.getsignal(number) == before:
            tick.wait(0.02)
        os.kill(os.getpid(), number)
        if number == signal.SIGINT:  # a terminal sends it to all
            os.kill(int((tmp_path / "pid").read_text(encoding="ascii")), number)

    stopping = threading.Thread(target=stop)
    stopping.start()
    assert pages.carried_out(pages.Part("slow", "slow", ""), None) == pages.INTERRUPTED
    stopping.join()
    assert (tmp_path / "undone").exists() and signal.getsignal(number) == before


def test_what_is_interrupted_is_the_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(pages, "OUTPUT", tmp_path)
    monkeypatch.setattr(pages, "carried_out", lambda part, *_: begun.append(part.name) or pages.INTERRUPTED)
    assert pages.main([]) == 1
    assert begun == [pages.PARTS[0].name]
    assert (tmp_path / "report.html").exists(), "what was measured before is shown all the same"


def test_a_stop_counts_also_when_the_part_was_about_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes a lab down ignores all signals, and ends well: the next part would begin."""
    (tmp_path / "ending.py").write_text(
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(0.5)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert pages.carried_out(pages.Part("ending", "ending", ""), None) == pages.INTERRUPTED


def test_a_part_ends_with_its_parent_and_holds_the_lock_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lasting.py").write_text(
        "import pathlib, signal, sys, time\n"
        "here = pathlib.Path(__file__).parent\n"
        "def stop(number, frame):\n"
        "    while not (here / 'let-go').exists(): time.sleep(0.02)\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "(here / 'ready').touch()\n"
        "while True: time.sleep(0.02)\n"  # a signal that comes just before one long sleep is seen after it
    )
    (tmp_path / "outer.py").write_text(
        "import pathlib, sys\n"
        "from benchmarks import __main__ as pages\n"
        "with pages.alone(pathlib.Path(sys.argv[1])) as lock:\n"
        "    pages.carried_out(pages.Part('lasting', 'lasting', ''), None, (lock,))\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)]))
    outer = subprocess.Popen([sys.executable, "-m", "outer", str(tmp_path)])
    limit, tick = time.monotonic() + PATIENCE, threading.Event()
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < limit and outer.poll() is None
        tick.wait(0.02)
    outer.kill()
    outer.wait()
    with pytest.raises(SystemExit, match="Another run of the benchmarks writes to"), alone(tmp_path):
        pass
    (tmp_path / "let-go").touch()
    while True:
        try:
            with alone(tmp_path):
                break
        except SystemExit:
            assert time.monotonic() < limit
            tick.wait(0.02)


def test_the_page_can_be_made_while_benchmarks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "OUTPUT", tmp_path)
    with alone(tmp_path):
        assert pages.main(["--page"]) == 0
        with pytest.raises(SystemExit, match="wait for its end, or stop it"):
            pages.main(["decision"])


def test_the_page_of_another_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"commit": "abc", "rows": []}
    (tmp_path / "decision.json").write_text(json.dumps(report), encoding="utf-8")
    assert pages.main(["--page", "--in", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["commits"] == ["abc"]
    for argv, said in (
        (["--page", "--in", str(tmp_path / "nowhere")], "There is no benchmark's report in"),
        (["--in", str(tmp_path)], "--in is for --page"),
    ):
        with pytest.raises(SystemExit):
            pages.main(argv)
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(("names", "runs"), [([], {"deploying": 3, "outage": 10}), (["deploying"], {"deploying": 10})])
def test_a_deploy_is_repeated_ten_times_only_if_it_alone_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], runs: dict[str, int]
) -> None:
    told: dict[str, int] = {}
    monkeypatch.setattr(pages, "OUTPUT", tmp_path)
    monkeypatch.setattr(pages, "carried_out", lambda part, repeat, _held: told.update({part.name: repeat}) or 0)
    assert pages.main([*names, "--runs", "10"]) == 0
    assert runs.items() <= told.items()


def test_a_benchmark_that_has_no_figure_yet_does_not_keep_the_page_from_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages, "OUTPUT", tmp_path)
    monkeypatch.setattr(peers, "versions", lambda: {"awscli": "1"})
    what = {"way": "no HA", "scenario": "tunnel_block", "reason": "Not within 10 s: they are apart."}
    outage.kept(tmp_path / "outage.json").note("aborted", what)
    assert pages.main(["--page"]) == 0
    assert "outage: no picture yet" in capsys.readouterr().out
    assert "they are apart" in (tmp_path / "report.html").read_text(encoding="utf-8")
