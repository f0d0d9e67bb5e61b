# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How time and calls of EC2 grow with the number of route tables, gateways and sites.

``works`` is what is measured, ``__main__`` goes through the sizes, ``summary`` has rows and a picture.
"""
