# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a row was as expected: pure, from what was recorded of it. Empty means yes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lab.matrix.model import Expect, Observation

MONITOR = "monitor"  # who changed a route: the monitor's host, or a person


def judge(expect: Expect, seen: Observation) -> list[str]:
    """What was not as expected, one sentence each."""
    problems = [seen[what] for what in ("act_problem", "recovery_problem") if seen[what]]
    problems += [f"Not so: {fact['text']}." for fact in seen["facts"] if not fact["true"]]
    if not expect.people_move:
        problems += _routes(expect, seen)
    problems += _repairs(expect, seen)
    problems += _told(expect, seen)
    problems += _packets(expect, seen)
    return problems


def _routes(expect: Expect, seen: Observation) -> list[str]:
    by_route: dict[str, list[Mapping[str, Any]]] = {}
    for change in seen["changes"]:
        if change["by"] == MONITOR:
            by_route.setdefault(change["route"], []).append(change)
    home: Mapping[str, Mapping[str, str]] = seen["home"]
    must = {route for route, of in home.items() if _covers(expect.leaves, of)}
    may = must | {route for route, of in home.items() if _covers(expect.may_leave, of)}
    problems = [
        f"The monitor changed {route}, which is not its business here." for route in sorted(set(by_route) - may)
    ]
    problems += [f"{route} did not leave {home[route]['gateway']}." for route in sorted(must - set(by_route))]
    for route in sorted(may & set(by_route)):
        changes, its_home = by_route[route], home[route]["gateway"]
        way = " -> ".join([str(changes[0]["from"]), *(str(change["to"]) for change in changes)])
        if len(changes) > expect.most_changes:
            problems.append(f"{route} was moved {len(changes)} times: {way}.")
        elif changes[0]["from"] != its_home or changes[-1]["to"] != its_home:
            problems.append(f"{route} did not go from home and back: {way}.")
    if expect.most_tries is not None and seen["tries"] > expect.most_tries:
        problems.append(f"ReplaceRoute was called {seen['tries']} times, more than {expect.most_tries}.")
    return problems


def _covers(whose: str, route: Mapping[str, str]) -> bool:
    gateway, _, site = whose.partition("/")
    return bool(gateway) and route["gateway"] == gateway and site in ("", route["site"])


def _repairs(expect: Expect, seen: Observation) -> list[str]:
    made = tuple(repair["action"] for repair in seen["repairs"] if not repair["error"])
    if made == expect.repairs:
        return []
    return [f"Repairs were {', '.join(made) or 'none'}, not {', '.join(expect.repairs) or 'none'}."]


def _told(expect: Expect, seen: Observation) -> list[str]:
    begun = [event for event in seen["events"] if not event["resolved"]]
    codes = {event["code"] for event in begun}
    problems = [f"{code} was not told." for code in expect.told if code not in codes]
    problems += [f"{code} was told." for code in expect.untold if code in codes]
    times = Counter((event["code"], event["subject"]) for event in begun if event["code"] in expect.once)
    problems += [
        f"{code} of {subject} was told {count} times." for (code, subject), count in times.items() if count > 1
    ]
    broken = [event for event in begun if event["code"] == "invariant-violated"]
    return problems + [f"A promise was broken: {event['text']}" for event in broken]


def _packets(expect: Expect, seen: Observation) -> list[str]:
    problems = []
    if expect.outage_ms is not None and seen["outage_ms"] > expect.outage_ms:
        problems.append(f"The longest outage was {seen['outage_ms']:.0f} ms, more than {expect.outage_ms:.0f} ms.")
    if expect.no_flap and seen["flaps"] != 0:
        problems.append(f"BGP sessions ended: {'not known' if seen['flaps'] is None else seen['flaps']}.")
    if expect.encrypted and seen["plaintext"] != 0:
        packets = "an unknown number of" if seen["plaintext"] is None else seen["plaintext"]
        problems.append(f"On the internet {packets} packets of a site were seen in clear.")
    if not seen["sent"]:
        problems.append("No packet of the application hosts was counted.")
    return problems
