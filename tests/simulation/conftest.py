# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the simulation share: they take what others leave of the processor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest


@pytest.fixture(autouse=True)
def leaves_the_processor_to_others() -> Iterator[None]:
    """Schedules have no clock but their own; the daemons of other tests have. Only root can take it back afterwards."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.nice(19)
    yield
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before)
