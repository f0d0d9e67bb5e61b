# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A row of the matrix: how its fault is caused here, and what must be seen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.matrix.stage import Stage

Act = Callable[["Stage"], None]


@dataclass(frozen=True)
class Expect:
    """What must be seen from the fault's beginning until all is as before. Times are milliseconds."""

    leaves: str = ""  # whose routes the monitor moves away: "gw-a" or "gw-a/hq"; empty: it changes no route
    may_leave: str = ""  # the same, where it may and need not
    most_changes: int = 2  # of one route: away and home
    repairs: tuple[str, ...] = ()  # the monitor's calls on gateways' instances, in this order
    told: tuple[str, ...] = ()  # codes of the journal
    untold: tuple[str, ...] = ()
    once: tuple[str, ...] = ()  # told no more than once of each subject
    outage_ms: float | None = None  # the longest outage while the fault is in force; None: the fault itself makes it
    most_tries: int | None = None  # ReplaceRoute calls of the monitor while the fault is in force, refused ones too
    no_flap: bool = False  # no BGP session of a gateway ended
    encrypted: bool = False  # packets are captured: none of a site is seen in clear
    people_move: bool = False  # people move routes in this row, or a monitor at their word: its facts judge that


@dataclass(frozen=True)
class Row:
    """One fault."""

    number: int
    how: str  # how it is caused here, in words
    act: Act  # causes it, and returns when it is to be healed
    expect: Expect


@dataclass(frozen=True)
class Words:
    """A row as the matrix words it."""

    fault: str
    expected: str


Observation = dict[str, Any]  # see lab/matrix/watch.py

ROWS: dict[int, Row] = {}


def row(number: int, how: str, expect: Expect) -> Callable[[Act], Act]:
    """Register the function below as that row's act."""

    def register(act: Act) -> Act:
        if number in ROWS:
            raise ValueError(f"Row {number} is there twice.")
        ROWS[number] = Row(number, how, act, expect)
        return act

    return register
