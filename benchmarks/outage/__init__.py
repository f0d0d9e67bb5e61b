# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an application host is cut off when a gateway or its tunnels die: ours and others, side by side in the lab.

``ways`` are the contenders, ``scenarios`` what is broken, ``__main__`` lets each way in turn see each scenario through.
"""
