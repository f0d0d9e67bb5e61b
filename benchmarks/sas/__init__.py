# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to ask strongSwan how its tunnels are: our module, the engine behind it, and swanctl's output read.

``ways`` are the ways to ask, ``__main__`` lets each ask a real charon in turn, ``summary`` has rows and a picture.
"""
