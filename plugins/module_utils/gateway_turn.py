# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a gateway may be configured beside the others or waits for its turn, and what that begins with. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FILES, TUNNELS, CODE, AGENT = "files", "tunnels", "code", "agent"
ALL = (FILES, TUNNELS, CODE, AGENT)
PACKAGES = "packages"  # where a gateway was configured before: at first they are installed with nothing running yet
FRR_DAEMONS = "/etc/frr/daemons"


@dataclass(frozen=True)
class Differences:
    """What of a gateway is not as described."""

    configured: bool = True  # whether it has ever been
    found: bool = False  # whether its instance was there before, so that a VPN of somebody's may work on it
    packages: bool = False  # whether any is missing; a newer strongSwan and FRR may come with it, which are restarted
    files: Sequence[str] = ()  # paths
    restarting: str = ""  # the file whose change restarts strongSwan
    tunnels: Sequence[str] = ()  # loaded anew or removed
    up: Sequence[str] = ()  # tunnels that are established
    resets: Sequence[str] = ()  # of those, the ones that are closed
    frr: Mapping[str, str] = field(default_factory=dict)  # frr.conf ``before`` and ``after``, where it differs
    code: bool = False
    agent: bool = False


@dataclass(frozen=True)
class Turn:
    """What is to be done on a gateway, and how."""

    due: tuple[str, ...]  # of ALL, and PACKAGES
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
    flags = (
        (PACKAGES, found.packages), (FILES, found.files), (TUNNELS, found.tunnels), (CODE, found.code),
        (AGENT, found.agent),
    )  # fmt: skip
    due = tuple(name for name, differs in flags if differs)
    if not due:
        return Turn((), False, False, False, False, (), f"{gateway} is as described.")
    if not found.up:
        return Turn(due, False, False, False, False, (), f"{gateway} carries nothing: none of its tunnels is up.")
    charon, frr = (found.packages or path in found.files for path in (found.restarting, FRR_DAEMONS))
    closes = tuple(found.up) if charon else tuple(found.resets)
    sessions = [name for name in unlike(found.frr.get("before", ""), found.frr.get("after", "")) if name in found.up]
    interrupts = bool(closes or frr or sessions)
    alone = others == 0
    how = " and ".join(filter(None, (f"closes {_listed(closes)}" if closes else "", "restarts FRR" if frr else "")))
    how = how or (f"closes the BGP sessions of {_listed(sessions)}" if sessions else "")
    text = _text(gateway, others, due, how)
    return Turn(due, True, interrupts and not alone, frr, interrupts and alone, tuple(found.up), text)


def unlike(before: str, after: str) -> list[str]:
    """The tunnels whose BGP session does not stay when FRR takes over another frr.conf.

    It goes with the session, and with another AS number or family of addresses at either end.
    """
    tunnels, made = _sessions(before)
    _tunnels, anew = _sessions(after)
    return [name for peer, name in tunnels.items() if made.get(peer) != anew.get(peer)]


def _sessions(conf: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """By each peer the tunnel to it, and what the session is made with."""
    own = family = ""
    tunnels: dict[str, str] = {}
    made: dict[str, set[str]] = {}
    for words in map(str.split, conf.splitlines()):
        match words:
            case ["router", "bgp", own]:
                pass
            case ["address-family", family, *_more]:
                pass
            case ["neighbor", peer, "remote-as", other]:
                made.setdefault(peer, set()).add(f"{own} {other}")
            case ["neighbor", peer, "description", "tunnel", name]:
                tunnels[peer] = name
            case ["neighbor", peer, "activate"]:
                made.setdefault(peer, set()).add(family)
    return tunnels, made


def _text(gateway: str, others: int, due: Sequence[str], how: str) -> str:
    what = {
        PACKAGES: "packages",
        FILES: "files",
        TUNNELS: "tunnels",
        CODE: "the code",
        AGENT: "the agent's configuration",
    }
    text = f"{gateway} gets {_listed([what[name] for name in due])} anew"
    if not how:
        return f"{text}; no tunnel is interrupted."
    if others:
        return f"{text}, which {how}: its traffic goes through the other gateways meanwhile."
    how = f"{how}: it is the only gateway, so nothing passes for some seconds, until its peers have answered"
    return f"{text}, which {how}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
