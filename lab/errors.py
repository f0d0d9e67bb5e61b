# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kind of error that the lab shows to a person."""

from __future__ import annotations


class LabError(Exception):
    """Something a person can mend: one sentence that says what, where and how to mend it."""
