# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab goes in the end, whatever a person types meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from lab import steps


@pytest.fixture
def signals() -> Iterator[None]:
    """The handlers as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
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
