# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs that start the lab share: steps with their output shown, and a lab that goes in the end."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console

from lab.errors import LabError
from lab.names import REPOSITORY, Names

API_DELAY_MS = 150  # what the figures of the design are promised at
WIDTH = 120  # of the table where no terminal says how wide it is, as in CI
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


class StepFailed(LabError):
    """A step ended with an error; its own output has said why."""


def run(title: str, argv: Sequence[str], env: Mapping[str, str]) -> float:
    """Runs one step with its output shown; returns the seconds it took. Raises StepFailed."""
    console.rule(f"[bold]{title}")
    console.print(f"$ {' '.join(argv)}", style="dim", soft_wrap=True)
    start = time.monotonic()
    code = subprocess.run(argv, env=dict(env), check=False).returncode
    seconds = time.monotonic() - start
    if code:
        raise StepFailed(f"{title}: failed after {seconds:.0f} s (exit code {code}); the reason stands above.")
    console.print(f"{title}: done in {seconds:.0f} s", style="green")
    return seconds


def playbook(name: str, **variables: object) -> list[str]:
    """The command that runs a playbook of the collection against the lab."""
    inventory = str(REPOSITORY / "lab" / "inventory" / "hosts.yml")
    extra = ["--extra-vars", json.dumps(variables)] if variables else []
    return ["ansible-playbook", f"vpnha.aws.{name}", "--inventory", inventory, *extra]


def lab_environment(names: Names) -> dict[str, str]:
    """The environment in which a playbook finds the lab: what ``python -m lab env`` prints, over our own."""
    env = {**os.environ, **names.environment()}
    printed = subprocess.run(
        [sys.executable, "-m", "lab", "env"], env=env, check=True, capture_output=True, text=True
    ).stdout
    for line in printed.splitlines():
        key, equals, value = line.removeprefix("export ").partition("=")
        if equals:
            env[key] = value.strip("'\"")
    return env


@contextmanager
def lab_program(*, keep: bool = False, stays: str = "") -> Iterator[None]:
    """What a program that starts the lab is in: however it ends, that is said, and the lab goes unless it is kept.

    ``stays``: what an interrupted one leaves, for people. Raises SystemExit for a LabError and an interruption.
    """
    signal.signal(signal.SIGTERM, stop_on_signal)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, stop_on_signal)
    try:
        yield
    except LabError as failure:
        console.print(str(failure), style="red", markup=False)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        console.print(f"interrupted; {stays}" if stays else "interrupted", style="red")
        raise SystemExit(130) from None
    finally:
        if not keep:
            take_down()


def stop_on_signal(_number: int, _frame: FrameType | None) -> None:
    """Turns SIGTERM, or SIGHUP of a closed terminal, into the exception of Ctrl-C: the lab is stopped in any case."""
    raise KeyboardInterrupt


def take_down() -> None:
    """Stop the lab, as the last thing that a program does: no signal may interrupt it and leave half a lab."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # `lab down` inherits it
    console.rule("[bold]Lab down")
    subprocess.run([sys.executable, "-m", "lab", "down"], check=False)


def circumstances() -> dict[str, Any]:
    """What the lab's figures depend on, for reports."""
    return {
        "api_delay_ms": API_DELAY_MS,
        "data_plane": "kernel-libipsec (user-space ESP)",
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }


def commit() -> str:
    """Of what was run. Where files differ from it, with a plus and a hash that other differences do not have.

    Files that git does not know are not looked at.
    """
    name = _git("describe", "--always", "--abbrev=12", "--exclude=*").decode("ascii").strip()
    difference = _git("diff", "HEAD")
    return f"{name}+{hashlib.sha256(difference).hexdigest()[:8]}" if difference else name


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], capture_output=True, check=False, cwd=REPOSITORY).stdout
