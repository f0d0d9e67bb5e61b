# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deploy costs: the first one, and a second one that changes nothing, and how much of it is asking AWS.

``callback`` has a plugin by which Ansible writes down how long each task took, ``__main__`` deploys into fresh labs,
``summary`` has rows and a picture.
"""
