# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No process that plays schedules outlives the one that started it."""

from __future__ import annotations

import subprocess
import sys

PARENT = """
import os, time
from tests.simulation.pool import workers

with workers(3) as pool:
    assert len(list(pool.map(abs, range(3)))) == 3
    print("ready", flush=True)
    list(pool.map(time.sleep, [3600.0, 3600.0]))
"""


def test_workers_end_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        # workers have its standard output too: the end of that is theirs
        assert parent.communicate(timeout=60) == ("", None)
