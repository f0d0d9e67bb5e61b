# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role tells systemd of programs that are others'."""

from __future__ import annotations

import configparser

from tests.unit.gateway.test_dataplane import rendered, view


def test_a_charon_that_does_not_go_is_killed_soon() -> None:
    """Restarting one that hangs is an outage until the old one has gone, for which systemd waits 90 s by default."""
    text = rendered(
        "strongswan.service.conf.j2", view("xfrm"), __vpnha_gateway_platform={"swanctl": "/usr/sbin/swanctl"}
    )
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string(text)
    assert 2 <= float(unit["Service"]["TimeoutStopSec"]) <= 10
