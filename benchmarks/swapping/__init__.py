# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes to point many routes at another gateway: ours and what people use instead, side by side.

``stand`` is EC2 with its tables, ``ways`` are the contenders, ``__main__`` lets each swap in turn and reports.
"""
