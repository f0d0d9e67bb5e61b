# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ansible_collections.vpnha.aws.plugins.module_utils.errors import VpnhaError

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since(text: str, now_wall: float) -> float:
    """Seconds since the epoch for "30m" (ago), "1700000000.5" or "2026-01-31T12:00" (UTC unless it says otherwise).

    Empty means from the beginning. Raises VpnhaError.
    """
    if not text:
        return 0.0
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now_wall - timedelta(**{_UNITS[ago[2]]: int(ago[1])}).total_seconds()
        return float(text)
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise VpnhaError(
            f"'{text}' is no time; write one like 30m, 2h, 7d, 2026-01-31T12:00, or seconds since 1970."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
