# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab goes in the end, whatever a person types meanwhile; and the name by which reports know what was run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from lab import steps
from lab.errors import LabError
from lab.matrix.lookout import NotSeen


@pytest.fixture
def signals() -> Iterator[None]:
    """The handlers as they were; meanwhile as a terminal has them, whatever started this."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_does_not_interrupt_the_lab_s_end(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    signal.signal(signal.SIGTERM, steps.stop_on_signal)
    ended: list[Any] = []

    def impatient(argv: list[str], **_: Any) -> None:
        os.kill(os.getpid(), number)
        # what it starts ignores the signal too
        asked = subprocess.Popen(["sleep", "30"])
        asked.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            asked.wait(0.5)
        asked.kill()
        asked.wait()
        ended.append(argv[1:])

    monkeypatch.setattr(steps.subprocess, "run", impatient)
    steps.take_down()
    assert ended == [["-m", "lab", "down"]]


@pytest.fixture
def taken_down(signals: None, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """An entry for each time that the lab was taken down."""
    found: list[bool] = []
    monkeypatch.setattr(steps, "take_down", lambda: found.append(True))
    return found


@pytest.mark.parametrize(
    ("error", "code"),
    [(steps.StepFailed("no"), 1), (NotSeen("no"), 1), (LabError("no"), 1), (KeyboardInterrupt(), 130)],
)
def test_a_program_that_fails_says_so_and_takes_the_lab_down(
    taken_down: list[bool], error: BaseException, code: int
) -> None:
    with pytest.raises(SystemExit) as ended, steps.lab_program():
        raise error
    assert (ended.value.code, taken_down) == (code, [True])


@pytest.mark.parametrize("keep", [False, True])
def test_a_lab_is_kept_only_where_that_is_wanted(taken_down: list[bool], keep: bool) -> None:
    with pytest.raises(typer.Exit) as ended, steps.lab_program(keep=keep):
        raise typer.Exit(3)
    assert (ended.value.exit_code, taken_down) == (3, [] if keep else [True])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_is_told_to_end_takes_the_lab_down(taken_down: list[bool], number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as ended, steps.lab_program(stays="all stays"):
        signal.raise_signal(number)
    assert (ended.value.code, taken_down) == (130, [True])


def test_a_program_that_nohup_starts_goes_on_without_its_terminal(taken_down: list[bool]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with steps.lab_program():
        signal.raise_signal(signal.SIGHUP)
    assert taken_down == [True]


def test_a_commit_has_a_name_of_its_own_for_each_state_of_what_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(steps, "REPOSITORY", tmp_path)
    file, found = tmp_path / "program.py", []
    for number, text in enumerate(("one", "two", "three", "two", "one")):
        file.write_text(text, encoding="ascii")
        if number == 0:
            git("init", "--quiet")
            git("add", "program.py")
            git("commit", "--quiet", "--message", "x")
        found.append(steps.commit())
    clean, two, three, two_again, clean_again = found
    assert re.fullmatch("[0-9a-f]{12}", clean) and clean_again == clean
    assert re.fullmatch(f"{clean}\\+[0-9a-f]{{8}}", two) and two_again == two
    assert three.startswith(f"{clean}+") and three != two
