# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of the benchmarks: another one than what a person has up, unless the person says which."""

from __future__ import annotations

import os

from lab.names import Names

NAME, PORT = "bench", "4596"


def own_lab() -> Names:
    """Its names, and from now on those of all that this process starts. Raises LabError for bad ones."""
    for variable, value in (("VPNHA_LAB_NAME", NAME), ("VPNHA_LAB_PORT", PORT)):
        os.environ[variable] = os.environ.get(variable) or value
    return Names.from_env()
