# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two daemons cost: CPU time, memory and packets of the monitor and of a gateway's agent.

``plan`` is the deployment and its EC2, ``others`` everybody that the daemons talk with, ``monitor`` and ``agent`` run
them, ``watch`` is what is read of their process, ``__main__`` goes through the sizes, ``summary`` has rows and a
picture.
"""
