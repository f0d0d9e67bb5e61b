# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault matrix: every fault that the design speaks of, caused in the lab and judged by packets and EC2's record.

``faults`` has all rows in words and which of them are not shown, ``rows_*`` how the others are caused and what is
expected of them. ``stage`` causes and heals, ``watch`` measures, ``judge`` compares, ``results`` keeps, ``page``
shows; ``__main__`` goes through them.
"""
