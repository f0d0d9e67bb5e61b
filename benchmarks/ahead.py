# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be got for a benchmark, got before the first of them: what is missing shows now, and not in hours."""

from __future__ import annotations

from collections.abc import Collection

from lab.errors import LabError

from . import gateway, peers

OF_PEERS = frozenset({"outage", "swapping"})
OF_IMAGES = frozenset({"load", "sas", "outage", "deploying"})


def get(names: Collection[str]) -> None:
    """All that these benchmarks need. Raises SystemExit with what cannot be had, and KeyboardInterrupt for a stop."""
    try:
        if OF_PEERS.intersection(names):
            peers.fetch()
        if OF_IMAGES.intersection(names):
            gateway.ensure_image()
    except (LabError, peers.PeerMissing) as error:
        raise SystemExit(str(error)) from None
