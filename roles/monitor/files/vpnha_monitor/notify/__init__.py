# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notification: people are told what happens, through SNS and Apprise, and nothing of it can hold the loop.

Rooms: `facts` (what happened, and a message of it), `telling` (which facts make which message, and when), `wording`
(how it reads), `outbox` (what waits, kept in the journal's file), `target` (one address: its queue, rate and retries),
`sending` and `child` (each try is a process of its own, which can be killed), and `room`, which joins them in a thread.
"""
