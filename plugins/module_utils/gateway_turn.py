# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a gateway may be configured beside the others or waits for its turn, and what that begins with. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FILES, TUNNELS, CODE, AGENT = "files", "tunnels", "code", "agent"
ALL = (FILES, TUNNELS, CODE, AGENT)
FRR_DAEMONS = "/etc/frr/daemons"


@dataclass(frozen=True)
class Differences:
    """What of a gateway is not as described."""

    configured: bool = True  # whether it has ever been
    found: bool = False  # whether its instance was there before, so that a VPN of somebody's may work on it
    files: Sequence[str] = ()  # paths
    restarting: str = ""  # the file whose change restarts strongSwan
    tunnels: Sequence[str] = ()  # loaded anew or removed
    up: Sequence[str] = ()  # tunnels that are established
    resets: Sequence[str] = ()  # of those, the ones that are closed
    code: bool = False
    agent: bool = False


@dataclass(frozen=True)
class Turn:
    """What is to be done on a gateway, and how."""

    due: tuple[str, ...]  # of ALL
    alone: bool  # while no other gateway is being configured
    hand_over: bool  # after its traffic has been handed over
    frr_restarts: bool  # and so it forwards nothing for a moment
    outage: bool  # nobody can take its traffic over
    up: tuple[str, ...]  # what has to be up again afterwards
    text: str  # for people
    takes_over: bool = False  # once nothing depends on what somebody has set up there


def turn(gateway: str, others: int, found: Differences) -> Turn:
    """Decide. ``others``: how many further gateways the deployment has."""
    if not found.configured and found.found:
        text = f"{gateway} is taken over from who has set it up, as soon as nothing depends on it."
        return Turn(ALL, True, False, False, False, (), text, takes_over=True)
    if not found.configured:
        return Turn(ALL, False, False, False, False, (), f"{gateway} is configured for the first time.")
    flags = ((FILES, found.files), (TUNNELS, found.tunnels), (CODE, found.code), (AGENT, found.agent))
    due = tuple(name for name, differs in flags if differs)
    if not due:
        return Turn((), False, False, False, False, (), f"{gateway} is as described.")
    if not found.up:
        return Turn(due, False, False, False, False, (), f"{gateway} carries nothing: none of its tunnels is up.")
    charon, frr = found.restarting in found.files, FRR_DAEMONS in found.files
    closes = tuple(found.up) if charon else tuple(found.resets)
    interrupts = bool(closes or frr)
    alone = others == 0
    text = _text(gateway, others, due, closes, frr=frr)
    return Turn(due, True, interrupts and not alone, frr, interrupts and alone, tuple(found.up), text)


def _text(gateway: str, others: int, due: Sequence[str], closes: Sequence[str], *, frr: bool) -> str:
    what = {FILES: "files", TUNNELS: "tunnels", CODE: "the code", AGENT: "the agent's configuration"}
    text = f"{gateway} gets {_listed([what[name] for name in due])} anew"
    if not closes and not frr:
        return f"{text}; no tunnel is interrupted."
    how = f"closes {_listed(closes)}" if closes else "restarts FRR"
    if others:
        return f"{text}, which {how}: its traffic goes through the other gateways meanwhile."
    how = f"{how}: it is the only gateway, so nothing passes for some seconds, until its peers have answered"
    return f"{text}, which {how}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
