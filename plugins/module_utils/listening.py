# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a monitor serves its pages: as the description and the monitor's own configuration give it."""

from __future__ import annotations

from .description_fields import Section, shown

PORT = 9784
LISTEN = f"0.0.0.0:{PORT}"


def listening(section: Section, key: str) -> tuple[str, int]:
    """Address and port; what is wrong with them is noted."""
    listen = section.text(key, LISTEN)
    host, _colon, port = listen.rpartition(":")
    # of IPv6 there is none: the security group admits no such address either
    if host and ":" not in host and port.isdecimal() and 0 < int(port) < 65536 and port == str(int(port)):
        return host, int(port)
    if listen:  # else that was noted already
        section.problem(key, f"{shown(listen)} is no address of IPv4 and TCP port; write one like {LISTEN}.")
    return "", 0
