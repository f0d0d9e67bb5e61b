# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands come to an end, whatever they do."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vpnha_agent.service import KILLED_SECONDS, Ended, run

HOLDS = "sleep 100 & echo $! > {pid}; exec sleep 100"  # a child that is not killed along, and has the same output


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(holds: Callable[[], bool]) -> None:
    """For as long as a busy machine may take; what then does not hold is for the test to find."""
    end = time.monotonic() + 30.0
    while not holds() and time.monotonic() < end:
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_killed_command_whose_child_holds_its_output_is_not_waited_for(tmp_path: Path, cancelled: bool) -> None:
    pid = tmp_path / "pid"

    async def go() -> tuple[Ended | None, int]:
        await run("true")  # what the loop opens for itself
        before = descriptors()
        task = asyncio.create_task(run("sh", "-c", HOLDS.format(pid=pid), seconds=100.0 if cancelled else 2.0))
        if cancelled:
            await until(lambda: pid.exists() and pid.read_text().endswith("\n"))
            task.cancel()
        ended = (await asyncio.gather(task, return_exceptions=True))[0]
        await until(lambda: descriptors() == before)
        return ended if isinstance(ended, Ended) else None, descriptors() - before

    began = time.monotonic()
    ended, left = asyncio.run(go())
    os.kill(int(pid.read_text()), 9)
    assert time.monotonic() - began < KILLED_SECONDS + 70.0
    assert ended == (None if cancelled else Ended(None, "", "sh did not end within 2 s"))
    assert left == 0
