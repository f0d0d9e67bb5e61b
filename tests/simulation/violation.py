# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judges of a schedule raise."""


class Violation(Exception):
    """A promise was broken."""

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        super().__init__(f"promise {number}: {text}")
